"""What to think of an estimate: flags for every station, and a summary in words."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
import xarray as xr

from xlsm.inference.invert import Status
from xlsm.model.parameters import ParameterSpec
from xlsm.notices import POOR_FIT, doubt_notice
from xlsm.words import STRONG, value_in_words

__all__ = ["Flag", "doubts", "with_verdict"]

#: Standard errors from which a parameter is poorly known: of its logarithm where it varies over
#: decades, else as a part of the width of its bounds.
POOR_LOGARITHM, POOR_PART = 0.3, 0.1
#: Autocorrelation of residuals from which they are no noise.
CORRELATED = 0.5
#: Part of the variance of residuals that follows the hour of the day, from which it is a pattern.
DAILY = 0.25


class Flag(enum.IntFlag):
    """What to keep in mind; a station may have several."""

    at_bound = 1
    poorly_determined = 2
    poor_fit = 4
    correlated_residuals = 8
    daily_pattern = 16


def with_verdict(
    est: xr.Dataset, observed: Sequence[str], specs: Sequence[ParameterSpec]
) -> xr.Dataset:
    """Add flags, and, where nothing is lazy, the summary.

    Parameters
    ----------
    est : Dataset
        Estimates with diagnostics of the residuals.
    observed : sequence of str
        Names of the observables.
    specs : sequence of ParameterSpec
        Of the free parameters.
    """
    poor = [poorly_known(est, spec) for spec in specs]
    raised = {
        Flag.at_bound: est["status"] == Status.at_bound,
        Flag.poorly_determined: _any(poor),
        Flag.poor_fit: _any([est[f"chi_square_{name}"] > POOR_FIT for name in observed]),
        Flag.correlated_residuals: _any(
            [est[f"autocorrelation_{name}"] > CORRELATED for name in observed]
        ),
        Flag.daily_pattern: _any([est[f"daily_share_{name}"] > DAILY for name in observed]),
    }
    zero = xr.zeros_like(est["status"], dtype=np.int16).drop_attrs()
    flags = sum(
        (there.astype(np.int16) * np.int16(flag) for flag, there in raised.items()), start=zero
    )
    est = est.assign(
        flags=flags.assign_attrs(
            long_name="what to keep in mind",
            flag_masks=np.array(list(Flag), np.int16),
            flag_meanings=" ".join(str(flag.name) for flag in Flag),
        )
    )
    if est["flags"].chunks is not None:
        return est
    text = _of_many(est, specs, poor) if est["status"].ndim else _of_one(est, observed, specs)
    return est.assign_attrs(summary=text)


def doubts(est: xr.Dataset, observed: Sequence[str], specs: Sequence[ParameterSpec]) -> str:
    """Say in a line what to doubt; nothing where nothing is computed yet."""
    return doubt_notice(est, observed, {spec.name: poorly_known(est, spec) for spec in specs})


def _any(conditions: Sequence[xr.DataArray]) -> xr.DataArray:
    found = conditions[0]
    for condition in conditions[1:]:
        found = found | condition
    return found


def poorly_known(est: xr.Dataset, spec: ParameterSpec) -> xr.DataArray:
    """Whether a parameter is poorly known; one that is held at a bound is flagged as such."""
    std = est[f"{spec.name}_std"]
    if spec.scale == "log":
        return std > POOR_LOGARITHM * est[spec.name]
    return std > POOR_PART * (spec.bounds[1] - spec.bounds[0])


def _of_one(est: xr.Dataset, observed: Sequence[str], specs: Sequence[ParameterSpec]) -> str:
    """Sum up one station."""
    status = Status(int(est["status"]))
    if status > Status.not_identifiable:
        return f"No estimate: {status.name}."
    lines = []
    for spec in specs:
        value, std = float(est[spec.name]), float(est[f"{spec.name}_std"])
        poor = ", poorly determined" if bool(poorly_known(est, spec)) and np.isfinite(std) else ""
        lines.append(f"  {spec.name}: {value_in_words(value, std, spec.units, spec.name)}{poor}")
    lines.insert(0, f"{status.name}:")
    lines += _correlations(est, specs)
    lines += [text for name in observed for text in _misfit(est, name)]
    return "\n".join(lines)


def _correlations(est: xr.Dataset, specs: Sequence[ParameterSpec]) -> list[str]:
    """Name the pair whose errors go together the most, if they do."""
    matrix = est["covariance"].values
    std = np.sqrt(np.diagonal(matrix))
    correlation = np.tril(matrix / (std[:, None] * std), -1)
    correlation = np.where(np.isfinite(correlation), correlation, 0.0)
    i, j = map(int, np.unravel_index(np.argmax(abs(correlation)), correlation.shape))
    if abs(correlation[i, j]) < STRONG:
        return []
    return [
        f"{specs[i].name} and {specs[j].name} are hard to tell apart: their errors are correlated "
        f"by {correlation[i, j]:+.2f}."
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


def _of_many(est: xr.Dataset, specs: Sequence[ParameterSpec], poor: Sequence[xr.DataArray]) -> str:
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
            each = {spec.name: int(p.sum()) for spec, p in zip(specs, poor, strict=True)}
            which = f" ({', '.join(f'{name} {n}' for name, n in each.items() if n)})"
        lines.append(f"  {flag.name}: {number}{which}")
    return "\n".join(lines)
