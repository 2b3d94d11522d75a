"""What the numbers of an identifiability analysis mean, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

__all__ = [
    "STRONG",
    "combination_in_words",
    "identifiability_in_words",
    "value_in_words",
    "worth_in_words",
]

#: Cosine from which a combination of parameters is called by a known name.
ALIKE = 0.95
#: Share of its squared length that the parameters named in a combination make up.
SHARE = 0.95
#: Correlations of errors worth telling.
STRONG = 0.9
#: Standard errors, relative, from which a parameter is called poorly known; and shrinkage by a
#: further sensor that is worth telling.
POOR, WORTHWHILE = 0.1, 1.5
#: What names of parameters begin with that are zero where all is as stated.
OFFSET = "sensor_depth_offset"


def combination_in_words(loadings: Mapping[str, float], values: Mapping[str, float]) -> str:
    """Name a combination of parameters.

    Parameters
    ----------
    loadings : mapping of str to float
        How far each parameter goes, in widths of its bounds on its own scale.
    values : mapping of str to float
        Where, in physical units.

    Returns
    -------
    str

    Examples
    --------
    >>> combination_in_words({"thermal_conductivity": 0.6, "heat_capacity": 0.8}, {})
    'thermal_conductivity and heat_capacity up together (their ratio, the diffusivity, stays)'
    """
    size = sum(loading**2 for loading in loadings.values())
    order = sorted(loadings, key=lambda name: -abs(loadings[name]))
    named, covered = [], 0.0
    for name in order:
        if covered >= SHARE * size:
            break
        named.append(name)
        covered += loadings[name] ** 2
    known = _known(named, loadings, values)
    if known:
        return known
    if len(named) == 1:
        return f"{named[0]} alone"
    first = loadings[named[0]]
    parts = [f"{name} {'up' if loadings[name] * first > 0 else 'down'}" for name in named]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _known(named: list[str], loadings: Mapping[str, float], values: Mapping[str, float]) -> str:
    """Give the name of a combination that has one of its own."""
    pair = set(named)
    if pair <= {"heat_transfer_coefficient", "bowen_ratio"} and named:
        if pair == {"bowen_ratio"}:
            return "bowen_ratio alone"
        return (
            "heat_transfer_coefficient and bowen_ratio together (temperature sees only "
            "h (1 + 1/beta), the combined transfer coefficient)"
        )
    if len(named) != 2:
        return ""
    one, other = sorted(named, reverse=True)
    layer = one.removeprefix("thermal_conductivity")
    if not one.startswith("thermal_conductivity") or other != f"heat_capacity{layer}":
        return ""
    if loadings[one] * loadings[other] > 0:
        return f"{one} and {other} up together (their ratio, the diffusivity, stays)"
    return f"{one} up and {other} down (their product, the thermal inertia, stays)"


def identifiability_in_words(result: xr.Dataset, best: xr.DataArray | None) -> xr.Dataset:
    """Add the summary as an attribute; lazy results are not looked at.

    Parameters
    ----------
    result : Dataset
        Of ``ds.lsm.identifiability``.
    best : DataArray, optional
        Standard errors (parameter) with the one sensor more that brings the most.
    """
    if result["std"].chunks is not None:
        return result
    if result["resolved"].ndim:
        return result.assign_attrs(summary=_of_many(result))
    return result.assign_attrs(summary=_of_one(result, best))


def _of_one(result: xr.Dataset, best: xr.DataArray | None) -> str:
    names = [str(name) for name in result["parameter"].values]
    values = dict(zip(names, result["value"].values.tolist(), strict=True))
    std = dict(zip(names, result["std"].values.tolist(), strict=True))
    lines = [f"From {result.attrs['observed']}:"]
    if not np.isfinite(result["singular_value"].values).all():
        return f"{lines[0]} nothing can be said, the station has no valid run."
    resolved, count = int(result["resolved"]), len(names)
    lines.append(
        f"{resolved} of {count} combinations of parameters are better known than their bounds say."
    )
    for i in range(count):
        loadings = dict(zip(names, result["direction"].values[i].tolist(), strict=True))
        words = combination_in_words(loadings, values)
        singular = float(result["singular_value"][i])
        if bool(result["structural"][i]):
            lines.append(f"Not seen at all, whatever the noise: {words}.")
        elif singular <= 1:
            lines.append(f"Below the noise: {words}.")
        elif i == count - 1 and _largest(values, std) > POOR:
            lines.append(f"The weakest: {words}.")
    units = result["units"].values if "units" in result.coords else [""] * count
    for name, unit in zip(names, units, strict=True):
        words = value_in_words(values[name], std[name], str(unit), name)
        lines.append(f"  {name}: {words}")
    lines += _correlations(result, names)
    lines += _best_sensor(names, values, std, best)
    return "\n".join(lines)


def value_in_words(value: float, std: float, units: str, name: str = "") -> str:
    """Say how well a value is known.

    Examples
    --------
    >>> value_in_words(0.8, 0.35, "W m-1 K-1")
    '0.8 W m-1 K-1, give or take 44 %'
    """
    unit = "" if units == "1" else f" {units}"
    if np.isnan(std):
        return f"{value:.4g}{unit}, at a bound"
    if np.isinf(std):
        return f"{value:.4g}{unit}, not determined"
    if name.startswith(OFFSET):
        return f"{round(1000 * value, 1) + 0.0:g} mm, give or take {1000 * std:.2g} mm"
    if units == "K":
        return f"{value:.2f} K, give or take {std:.2g} K"
    return f"{value:.4g}{unit}, give or take {_percent(std / abs(value))}"


def _largest(values: Mapping[str, float], std: Mapping[str, float]) -> float:
    """Give the largest standard error over its value, of what has one by nature."""
    return max(std[n] / abs(values[n]) for n in values if not n.startswith(OFFSET))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"


def _correlations(result: xr.Dataset, names: list[str]) -> list[str]:
    """Name pairs whose errors go together."""
    matrix = result["correlation"].values
    pairs = [
        f"{names[i]} with {names[j]} {matrix[i, j]:+.2f}"
        for i in range(len(names))
        for j in range(i)
        if np.isfinite(matrix[i, j]) and abs(matrix[i, j]) >= STRONG
    ]
    return [f"Strongly correlated: {', '.join(pairs)}."] if pairs else []


def _best_sensor(
    names: list[str],
    values: Mapping[str, float],
    std: Mapping[str, float],
    best: xr.DataArray | None,
) -> list[str]:
    """Name the further sensor that helps the most, if it helps much."""
    if best is None:
        return []
    then = dict(zip(names, best.values.tolist(), strict=True))
    changes = [
        f"{name} from {_size(std[name], values[name], name)} to "
        f"{_size(then[name], values[name], name)}"
        for name in names
        if np.isfinite(then[name]) and std[name] > WORTHWHILE * then[name]
    ]
    return [f"{best['candidate'].item()} too would bring {', '.join(changes)}."] if changes else []


def _size(std: float, value: float, name: str) -> str:
    if not np.isfinite(std):
        return "nothing"
    if name.startswith(OFFSET):
        return f"{1000 * std:.2g} mm"
    return f"{std:.2g} K" if name.endswith("temperature") else _percent(std / abs(value))


def _of_many(result: xr.Dataset) -> str:
    """Sum up a batch: how many stations know what."""
    known = result["singular_value"].notnull().all("combination")
    total, valid = known.size, int(known.sum())
    lines = [f"From {result.attrs['observed']}, {valid} of {total} stations with a valid run:"]
    for name in result["parameter"].values:
        one = result.sel(parameter=name)
        lost = int((np.isinf(one["std"]) & known).sum())
        share = one["relative_std"].where(np.isfinite(one["relative_std"]))
        middle = float(share.median()) if share.notnull().any() else np.nan
        poor = int((share > POOR).sum())
        text = (
            f"  {name}: give or take {_percent(middle)} in the middle"
            if valid > lost
            else (f"  {name}:")
        )
        if poor:
            text += f", more than {_percent(POOR)} at {poor}"
        if lost:
            text += f", not determined at {lost}"
        lines.append(text)
    return "\n".join(lines)


def worth_in_words(result: xr.Dataset) -> xr.Dataset:
    """Add the ranking of further sensors as an attribute; lazy results are not looked at."""
    if result["gain"].chunks is not None or result["gain"].ndim > 1:
        return result
    names = [str(name) for name in result["parameter"].values]
    lines = [f"Beside {result.attrs['observed']}, the best first:"]
    for candidate in result["candidate"].values:
        one = result.sel(candidate=candidate)
        factor = dict(zip(names, one["factor"].values.tolist(), strict=True))
        better = sorted(
            (name for name in names if factor[name] > 1.05), key=lambda name: -factor[name]
        )
        what = ", ".join(
            f"{name} becomes known"
            if np.isinf(factor[name])
            else f"{name} {factor[name]:.2g} times better"
            for name in better
        )
        lines.append(f"  {candidate}: {what or 'next to nothing'}")
    return result.assign_attrs(summary="\n".join(lines))
