"""What to think of an estimate: the meaning of its flags, and a summary in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from xlsm.inference.invert import NEAR, Status
from xlsm.model.parameters import ParameterSpec
from xlsm.notices import doubt_notice
from xlsm.nuisance import is_nuisance
from xlsm.pipeline.flags import CORRELATED, DAILY, POOR_FIT, Flag, poorly_known
from xlsm.series import anywhen, varies
from xlsm.words import STRONG, value_in_words

__all__ = ["doubts", "with_verdict"]


def with_verdict(
    est: xr.Dataset, observed: Sequence[str], specs: Sequence[ParameterSpec]
) -> xr.Dataset:
    """Say what the flags mean, and, where nothing is lazy, add the summary.

    Parameters
    ----------
    est : Dataset
        Estimates with ``flags`` and diagnostics of the residuals.
    observed : sequence of str
        Names of the observables.
    specs : sequence of ParameterSpec
        Of the free parameters.
    """
    est = est.assign(
        flags=est["flags"].assign_attrs(
            long_name="what to keep in mind",
            standard_name="status_flag",
            flag_masks=np.array(list(Flag), np.int16),
            flag_meanings=" ".join(str(flag.name) for flag in Flag),
        )
    )
    if est["flags"].chunks is not None:
        return est
    text = _of_many(est, specs) if est["status"].ndim else _of_one(est, observed, specs)
    return est.assign_attrs(summary=text)


def doubts(est: xr.Dataset, observed: Sequence[str], specs: Sequence[ParameterSpec]) -> str:
    """Say in a line what to doubt; nothing where nothing is computed yet."""
    return doubt_notice(est, observed, {spec.name: _poor(est, spec) for spec in specs})


def _poor(est: xr.Dataset, spec: ParameterSpec) -> xr.DataArray:
    """Whether a parameter is poorly known, (...)."""
    there: xr.DataArray = poorly_known(
        est[spec.name], est[f"{spec.name}_std"], log=spec.scale == "log", bounds=spec.bounds
    )
    return anywhen(there)


def _of_one(est: xr.Dataset, observed: Sequence[str], specs: Sequence[ParameterSpec]) -> str:
    """Sum up one station."""
    status = Status(int(est["status"]))
    if status > Status.not_identifiable:
        return f"No estimate: {status.name}."
    lines, valleys = [], []
    for spec in specs:
        if varies(est[spec.name]):
            lines.append(f"  {spec.name}: {_over_time(est, spec)}")
            continue
        value, std = float(est[spec.name]), float(est[f"{spec.name}_std"])
        poor = ", poorly determined" if bool(_poor(est, spec)) and np.isfinite(std) else ""
        if (poor or np.isnan(std)) and not is_nuisance(spec.name):
            valleys.append(spec.name)
        lines.append(f"  {spec.name}: {value_in_words(value, std, spec.units, spec.name)}{poor}")
    near = int(est["flags"]) & Flag.not_quite_converged
    lines.insert(0, f"{status.name}{f', to within {NEAR:g} standard errors' if near else ''}:")
    if valleys and len(specs) > 1:
        which = " or ".join(map(repr, valleys[:2]))
        lines.append(
            f"Where the valley is flat or ends at a bound an error bar says too little: "
            f"ds.lsm.profile(est, {which}) traces it."
        )
    lines += _correlations(est)
    lines += [text for name in observed for text in _misfit(est, name)]
    return "\n".join(lines)


def _over_time(est: xr.Dataset, spec: ParameterSpec) -> str:
    """Sum up a parameter that varies."""
    values, std = est[spec.name].values, est[f"{spec.name}_std"].values
    units = "" if spec.units == "1" else f" {spec.units}"
    text = f"{values.min():.4g} to {values.max():.4g}{units} in {values.size} values"
    known = std[np.isfinite(std)]
    if known.size:
        text += f", give or take {np.median(known):.2g}{units}"
    for number, what in (
        (int(np.isnan(std).sum()), "at a bound"),
        (int(np.isposinf(std).sum()), "not determined"),
    ):
        text += f", {number} of them {what}" if number else ""
    return text


def _correlations(est: xr.Dataset) -> list[str]:
    """Name the pair whose errors go together the most, if they do."""
    matrix, names = est["covariance"].values, est["parameter"].values
    if len(matrix) < 2:
        return []
    std = np.sqrt(np.diagonal(matrix))
    correlation = np.tril(matrix / (std[:, None] * std), -1)
    correlation = np.where(np.isfinite(correlation), correlation, 0.0)
    i, j = map(int, np.unravel_index(np.argmax(abs(correlation)), correlation.shape))
    if abs(correlation[i, j]) < STRONG:
        return []
    return [
        f"{names[i]} and {names[j]} are hard to tell apart: their errors are correlated by "
        f"{correlation[i, j]:+.2f}."
    ]


def _misfit(est: xr.Dataset, name: str) -> list[str]:
    """Say what is wrong with the residuals of an observable."""
    chi_square = float(est[f"chi_square_{name}"])
    correlation = float(est[f"autocorrelation_{name}"])
    daily = float(est[f"daily_share_{name}"])
    found = []
    if chi_square > POOR_FIT:
        found.append(f"{chi_square**0.5:.2g} times the stated error")
    if daily > DAILY:
        found.append(f"to {100 * daily:.0f} % a function of the hour of the day")
    if correlation > CORRELATED:
        found.append(f"correlated by {correlation:.2f} from one to the next")
    if not found:
        return []
    widened = {
        "stated": "the error bars do not know of it",
        "adjusted": "the error bars are wider for it",
        "estimated": "the error bars are wider for it",
    }[est.attrs["error_bars"]]
    return [f"Residuals of {name} are no noise, but {', '.join(found)}: {widened}."]


def _of_many(est: xr.Dataset, specs: Sequence[ParameterSpec]) -> str:
    """Sum up a batch: how many stations are what."""
    status, flags = est["status"].values, est["flags"].values
    codes, counts = np.unique(status, return_counts=True)
    lines = [
        f"{status.size} stations: "
        + ", ".join(f"{n} {Status(c).name}" for c, n in zip(codes, counts, strict=True))
    ]
    for flag in Flag:
        number = int(((flags & flag) > 0).sum())
        if not number:
            continue
        which = ""
        if flag == Flag.poorly_determined:
            each = {spec.name: int(_poor(est, spec).sum()) for spec in specs}
            which = f" ({', '.join(f'{name} {n}' for name, n in each.items() if n)})"
        lines.append(f"  {flag.name}: {number}{which}")
    return "\n".join(lines)
