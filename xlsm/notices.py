"""What a result lacks, said once: stations without an estimate, bounds, gaps in the forcing."""

from __future__ import annotations

import contextlib
import functools
import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xlsm.axes import time_text
from xlsm.errors import FlaggedWarning, LSMWarning
from xlsm.inference.invert import Status
from xlsm.model.model import Model
from xlsm.pipeline.blocks import implausible
from xlsm.pipeline.flags import POOR_FIT
from xlsm.pipeline.lengths import least_times, spans
from xlsm.series import anywhen
from xlsm.variables import plausible

__all__ = ["doubt_notice", "estimate_notice", "gap_notice", "notify", "unnoticed"]

#: What helps, by what is wrong with a station.
CURES = {
    Status.limit_reached: "give max_steps= or starts=",
    Status.no_observations: "all of them are NaN",
    Status.too_few_observations: "free fewer parameters, or observe for longer",
    Status.forcing_gap: (
        "ds.lsm.check() finds the gaps: fill them, or select times without; with every= a record "
        "that begins late is one"
    ),
    Status.missing_parameter: "a fixed parameter is NaN or outside its bounds",
    Status.non_finite_cost: "is an observation infinite?",
    Status.implausible_values: "ds.lsm.check() finds them; where() makes fill values NaN",
    Status.no_initial_profile: "begin at a time when the profile is there",
    Status.raised: "computing them failed; the log of the worker says how, please report it",
    Status.impossible_estimate: (
        "bound the porosity from below by the largest SoilMoist, xlsm.Parameter(bounds=(0.42, 0.6))"
    ),
}
HELD = (
    "the model, or what is fixed or left at its default, does not fit the data there; change it, "
    "fix the parameter, or give it other xlsm.Parameter(bounds=...)"
)


def notify(text: str, category: type[LSMWarning] = FlaggedWarning, stacklevel: int = 4) -> None:
    """Warn the caller of a verb, if there is anything to say.

    Warns
    -----
    LSMWarning
        Of the category, with the text.
    """
    if text:
        warnings.warn(text, category, stacklevel=stacklevel)  # over the verb and the accessor


@contextlib.contextmanager
def unnoticed() -> Iterator[None]:
    """Keep quiet: for callers of the verbs that tell of flagged stations in their own way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LSMWarning)
        yield


def estimate_notice(est: xr.Dataset) -> str:
    """Say which stations have no estimate, and which parameters ended at a bound.

    Parameters
    ----------
    est : Dataset
        As ``ds.lsm.estimate`` gives it.

    Returns
    -------
    str
        One line; empty where there is nothing to say, or nothing is computed yet.

    Examples
    --------
    >>> est = xr.Dataset({"status": ("station", [0, 4, 6])}, {"parameter": []})
    >>> print(estimate_notice(est).partition(" (")[0])
    2 of 3 stations have no estimate: 1 no_observations
    """
    status = est["status"]
    if status.chunks is not None:
        return ""
    said, many = [], status.size > 1
    lost = status.values[status.values > Status.not_identifiable]
    if lost.size:
        codes, counts = np.unique(lost, return_counts=True)
        reasons = [
            (f"{count} " if many else "") + f"{Status(code).name} ({CURES[Status(code)]})"
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        ]
        whose = f"{lost.size} of {status.size} stations have" if many else "there is"
        said.append(f"{whose} no estimate: {', '.join(reasons)}")
    held = {
        name: int(anywhen(est[name].notnull() & est[f"{name}_std"].isnull()).sum())
        for name in map(str, est.data_vars)
        if f"{name}_std" in est
    }
    ended = [
        name + (f" at {n} of {status.size} stations" if many else "")
        for name, n in held.items()
        if n
    ]
    if ended:
        said.append(f"{', '.join(ended)} ended at a bound: {HELD}")
    return "; ".join(said)


def doubt_notice(est: xr.Dataset, observed: Sequence[str], poor: Mapping[str, xr.DataArray]) -> str:
    """Say which parameters the data leave open, and which observations the model does not fit.

    Parameters
    ----------
    est : Dataset
        As ``ds.lsm.estimate`` gives it.
    observed : sequence of str
        Names of the observables.
    poor : mapping of str to bool DataArray
        Where each parameter is poorly known.

    Returns
    -------
    str
        One line; empty where there is nothing to say, or nothing is computed yet.
    """
    size = est["status"].size
    if est["status"].chunks is not None:
        return ""

    def of_stations(there: xr.DataArray) -> str:
        return f" at {int(there.sum())} of {size} stations" if size > 1 else ""

    said = [f"{name}{of_stations(there)}" for name, there in poor.items() if there.any()]
    text = (
        f"poorly determined: {', '.join(said)}; ds.lsm.identifiability(est) says why and what "
        "would help, ds.lsm.profile(est, ...) what interval there is"
    )
    texts = [text] if said else []
    for name in observed:
        misfit = est[f"chi_square_{name}"] ** 0.5
        there = misfit > POOR_FIT**0.5
        if there.any():
            worst = float(misfit.where(there).median())
            texts.append(
                f"residuals of {name} are {worst:.2g} times the stated error{of_stations(there)}: "
                "another model may fit (xlsm.compare), or the error is larger than stated"
            )
    return "; ".join(texts)


def gap_notice(model: Model, forcing: Sequence[xr.DataArray]) -> str:
    """Say from when on a simulation is NaN, because its forcing is missing or cannot be.

    A record that begins late or ends early has no gap there.

    Parameters
    ----------
    model : Model
        Resolved.
    forcing : sequence of DataArray
        One for each name of ``model.forcing``, in memory.

    Returns
    -------
    str
        One line; empty where there is no gap.
    """
    read = zip(model.forcing, forcing, strict=True)
    needed = {n: series for n, series in read if n not in model.tolerated}
    inside = _recorded(list(needed.values()), least_times(model))
    gaps = {n: _missing(n, series) & inside for n, series in needed.items()}
    names = [name for name, gap in gaps.items() if gap.any()]
    if not names:
        return ""
    missing = functools.reduce(operator.or_, (gaps[name] for name in names))
    stations = missing.any("time")
    anywhere = missing.any(list(stations.dims)).values
    begin = time_text(missing["time"].values[np.argmax(anywhere)])
    where = f"at {int(stations.sum())} of {stations.size} stations " if stations.size > 1 else ""
    earliest = ", at the earliest" if stations.sum() > 1 else ""
    return (
        f"{where}the result is NaN from {begin} on{earliest}, where {', '.join(names)} is missing "
        "or cannot be: ds.lsm.check() finds the gaps; fill them, "
        f"ds[{names[0]!r}].interpolate_na('time'), or select times without"
    )


def _recorded(forcing: Sequence[xr.DataArray], least: int) -> xr.DataArray:
    """Whether a time lies in the record of its station, (..., time)."""
    absent = functools.reduce(operator.or_, (_at_any_level(one.isnull()) for one in forcing))
    absent = absent.transpose(..., "time")
    first, count = (numbers[..., None] for numbers in spans(absent.values, least))
    index = np.arange(absent.sizes["time"])
    inside: Any = (index >= first) & (index < first + count) | (count == 0)
    return absent.copy(data=inside)


def _missing(name: str, series: xr.DataArray) -> xr.DataArray:
    """Whether a forcing is missing, or cannot be, at any of its levels, (..., time)."""
    absent = series.copy(data=~np.isfinite(series.values))
    absent |= implausible(series.values, plausible(name))
    return _at_any_level(absent)


def _at_any_level(there: xr.DataArray) -> xr.DataArray:
    return there.any([dim for dim in there.dims if str(dim).startswith("_")])
