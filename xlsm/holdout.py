"""The part of a record that is held out: what a model has not seen when it is judged."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm.axes import time_step, time_text
from xlsm.errors import DimensionError, ParameterError, TimeAxisError
from xlsm.model.data_grid import DAY
from xlsm.variables import OBSERVABLES
from xlsm.windows import Windows, seconds_of

__all__ = ["as_written", "count_observations", "held_out", "split", "withheld", "without"]

Array = np.ndarray[Any, np.dtype[Any]]


def split(ds: xr.Dataset, holdout: Any) -> tuple[int, int]:
    """Find where the held-out stretch begins and ends.

    Parameters
    ----------
    ds : Dataset
        With regular times, at least three.
    holdout : str, timedelta, float or slice
        The end of the record as a duration (``"7D"``) or a share of its times (0.25), or a slice
        of times.

    Returns
    -------
    tuple of int
        Index of the first time that is held out, at least 2, and of the one after the last.

    Raises
    ------
    ParameterError
        If `holdout` is none of these.
    TimeAxisError
        If it holds out no time, or leaves fewer than two before it.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.date_range("2024-06-01", periods=96, freq="h")
    >>> split(xr.Dataset(coords={"time": times}), "1D")
    (72, 96)
    """
    step, size = time_step(ds), ds.sizes["time"]
    if isinstance(holdout, slice) and holdout.step is None:
        index = ds["time"].to_index()
        try:
            found = index.slice_indexer(holdout.start, holdout.stop)
        except (KeyError, TypeError, ValueError) as error:
            raise TimeAxisError(f"holdout={holdout!r} is no slice of times: {error}") from error
        first, end = found.start, found.stop
    else:
        first, end = size - _held_out(holdout, step, size), size
    if first < 2 or first >= end:
        times = ds["time"].values
        raise TimeAxisError(
            f"holdout={holdout!r} holds out {max(min(end - first, size), 0)} of the {size} times "
            f"from {time_text(times[0])} to {time_text(times[-1])}, with {max(first, 0)} before "
            "them to fit; hold out one at least, with two before it, e.g. holdout=0.25"
        )
    return first, end


def _held_out(holdout: Any, step: float, size: int) -> int:
    """Count the times at the end of the record that are held out."""
    if isinstance(holdout, float | np.floating):
        if 0 < holdout < 1:
            return max(round(float(holdout) * size), 1)
    elif (seconds := seconds_of(holdout)) is not None:
        return round(seconds / step)
    raise ParameterError(
        "holdout must be a duration such as '7D', a share of the record between 0 and 1, or a "
        f"slice of times, slice('2017-06-15', '2017-06-21'); got {holdout!r}"
    )


def held_out(ds: xr.Dataset, holdout: Any, windows: Windows | None) -> Array | None:
    """Mark the times whose observations are held out.

    Parameters
    ----------
    ds : Dataset
        With regular times.
    holdout : str, timedelta, float, slice or None
        As of `split`, or ``"every 5th day"``: days of 24 hours from the first time on.
    windows : Windows or None
        Each is treated alike, for itself.

    Returns
    -------
    bool array, shape (time,), or None
        Of the record or of a window; None without `holdout`.

    Raises
    ------
    ParameterError
        If `holdout` is none of these, or a slice where there are windows.
    TimeAxisError
        If it holds out no time, or leaves fewer than two before it.
    DimensionError
        If the Dataset has a dimension ``part``, which the scores have.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.date_range("2024-06-01", periods=6, freq="12h")
    >>> held_out(xr.Dataset(coords={"time": times}), "every 2nd day", None)
    array([False, False,  True,  True, False, False])
    """
    if holdout is None:
        return None
    if "part" in ds.dims:
        raise DimensionError(
            "A dimension cannot be called 'part': the scores have one of that name. Rename it, "
            "e.g. ds.rename({'part': 'case'})."
        )
    if windows and isinstance(holdout, slice):
        raise ParameterError(
            f"holdout={holdout!r} is a slice of the record, most of whose windows have no part in "
            "it: hold out the end of each, holdout='1D' or holdout=0.25, or every other day of "
            "each, holdout='every 2nd day'"
        )
    record = ds.isel(time=slice(windows.length)) if windows else ds
    size = record.sizes["time"]
    if not isinstance(holdout, str) or not holdout.strip().startswith("every"):
        first, end = split(record, holdout)
        return (np.arange(size) >= first) & (np.arange(size) < end)
    found = re.fullmatch(r"every (\d+)(st|nd|rd|th) day", holdout.strip())
    number = int(found[1]) if found else 0
    if number < 2:
        raise ParameterError(
            f"holdout={holdout!r} is not understood: write 'every 5th day', with a number of at "
            "least 2"
        )
    step = time_step(ds)
    # half a step more: a day begins at its first time, whatever round-off says
    day = np.floor((np.arange(size) + 0.5) * step / DAY)
    held: Array = day % number == number - 1
    if not held.any():
        raise TimeAxisError(
            f"holdout={holdout!r} holds out nothing of {size * step / DAY:g} days: hold out less "
            "rarely, or the end, e.g. holdout=0.25"
        )
    if held[:2].any():
        raise TimeAxisError(
            f"holdout={holdout!r} leaves fewer than two times before the first that is held out; "
            f"the time step is {step:g} s"
        )
    return held


def as_written(text: str | None) -> Any:
    """Read what an estimate says was held out of it, its attribute ``holdout``.

    Examples
    --------
    >>> as_written("0.25"), as_written("every 5th day"), as_written("slice('2017-06-15', None)")
    (0.25, 'every 5th day', slice('2017-06-15', None, None))
    """
    if text is None:
        return None
    if found := re.fullmatch(r"slice\((.*)\)", text):
        with contextlib.suppress(SyntaxError, ValueError):
            ends = ast.literal_eval(f"({found[1]},)")
            return slice(*ends)
    with contextlib.suppress(ValueError):
        return float(text)
    return text


def withheld(
    observations: Mapping[str, xr.DataArray], held: Array | None, holdout: Any, free: int
) -> dict[str, xr.DataArray]:
    """Take what is held out from the observations.

    Parameters
    ----------
    observations : mapping of str to DataArray
        (..., time) or (..., time, depth).
    held : bool array, shape (time,), or None
        None takes nothing.
    holdout : str, timedelta, float or slice
        What the caller said, for errors.
    free : int
        Number of free parameters.

    Returns
    -------
    dict of str to DataArray
        NaN where held out.

    Raises
    ------
    TimeAxisError
        If none is held out, or fewer are left than free parameters, at every station; lazy
        observations are not looked at.
    """
    if held is None:
        return dict(observations)
    out = xr.DataArray(held, dims="time")
    left = {name: series.where(~out) for name, series in observations.items()}
    if any(series.chunks is not None for series in observations.values()):
        return left
    total, fitted = count_observations(observations), count_observations(left)
    if (total > 0).any() and (total == fitted).all():
        raise TimeAxisError(
            f"holdout={holdout!r} holds out times at which nothing is observed of "
            f"{', '.join(observations)}: hold out others, or more"
        )
    if (total >= free).any() and (fitted < free).all():
        raise TimeAxisError(
            f"holdout={holdout!r} leaves {int(fitted.max())} of {int(total.max())} observations, "
            f"too few for {free} free parameters: hold out less"
        )
    return left


def count_observations(observations: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Count the observations of each station."""
    counts = (
        series.notnull().sum([dim for dim in ("time", "depth") if dim in series.dims])
        for series in observations.values()
    )
    return sum(counts, xr.DataArray(0))


def without(ds: xr.Dataset, held: Array | None, windows: Windows | None) -> xr.Dataset:
    """Give a Dataset without the observations that are held out, in any of the windows."""
    if held is None:
        return ds
    anywhere = np.zeros(ds.sizes["time"], bool)
    for first in windows.starts if windows else (0,):
        anywhere[first : first + held.size] |= held
    kept = xr.DataArray(~anywhere, dims="time")
    return ds.assign({name: ds[name].where(kept) for name in OBSERVABLES if name in ds})
