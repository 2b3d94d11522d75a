"""Parameters that vary in time: their values on pieces of a record, and at each of its times."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.axes import time_step, time_text
from xlsm.errors import ParameterError, TimeAxisError
from xlsm.inference.series import Series
from xlsm.windows import seconds_of

__all__ = ["CALENDAR", "Pieces", "anywhen", "at_times", "pieces_of", "varies"]

Array = np.ndarray[Any, np.dtype[Any]]

#: Lengths that only a calendar knows, and where they begin.
CALENDAR = {"month": "MS", "season": "QS-DEC", "year": "YS"}
#: A dimension of values in time is called by the distance between them, ...
PREFIX = "every_"
#: ... and, where they are the corners of a line, by that too.
LINEAR = "_linear"
#: Values one parameter can have in a record: more would be a matter of days and gigabytes.
MOST = 4000
#: How far behind its last value a series still holds, in parts of the longest distance in it.
LEEWAY = 1.1


class Pieces(NamedTuple):
    """Where the values of a parameter lie in a record.

    Parameters
    ----------
    dim : str
        Name of their dimension.
    labels : array, shape (K,)
        Their times: where a piece starts, or the corners of a line.
    knots : tuple of float
        The same as a number of time steps from the first time of the record.
    linear : bool
        Whether the parameter is linear between two of them; else each is that of all steps
        that end after its time, and not after the next.
    """

    dim: str
    labels: Array
    knots: tuple[float, ...]
    linear: bool


def varies(value: Any) -> bool:
    """Whether a parameter has values in time.

    Examples
    --------
    >>> varies(xr.DataArray([0.2, 0.3], dims="every_1D")), varies(0.2)
    (True, False)
    """
    return bool(_dims_in_time(value))


def anywhen(there: xr.DataArray) -> xr.DataArray:
    """Whether something is so at any of the values of a parameter that varies in time.

    Examples
    --------
    >>> bool(anywhen(xr.DataArray([False, True], dims="every_1D")))
    True
    """
    return there.any(_dims_in_time(there))


def _dims_in_time(value: Any) -> list[str]:
    dims = map(str, getattr(value, "dims", ()))
    return [dim for dim in dims if dim == "time" or dim.startswith(PREFIX)]


def pieces_of(ds: xr.Dataset, every: Any, *, linear: bool, name: str) -> Pieces:
    """Cut a record into the pieces of a parameter.

    Days and hours are counted from midnight before the first time, as ``ds.resample`` does.

    Parameters
    ----------
    ds : Dataset
        With regular times.
    every : str or timedelta
        A duration, or ``"month"``, ``"season"`` (from 1 December, March, June, September) or
        ``"year"``.
    linear : bool
        Whether the values are the corners of a line, which ends at or after the last time.
    name : str
        Of the parameter, for errors.

    Returns
    -------
    Pieces

    Raises
    ------
    ParameterError
        If `every` is no such thing, or the pieces would be too many.
    TimeAxisError
        If it is shorter than a time step, or needs dates where there are durations.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.date_range("2024-06-01 12:00", periods=48, freq="h")
    >>> found = pieces_of(xr.Dataset(coords={"time": times}), "1D", linear=False, name="albedo")
    >>> found.dim, found.knots
    ('every_1D', (-12.0, 12.0, 36.0))
    """
    times, dt = ds["time"].values, time_step(ds)
    text = every if isinstance(every, str) else f"{seconds_of(every) or 0:g}s"
    dim = PREFIX + "".join(text.split()) + (LINEAR if linear else "")
    if every in CALENDAR:
        labels = _by_calendar(ds, CALENDAR[every], name)
    else:
        labels = _by_duration(times, dt, every, name)
    if labels.size > MOST:
        raise ParameterError(
            f"{name}: every={every!r} makes {labels.size} values in this record, and no more than "
            f"{MOST} can be estimated together: make it longer, or cut the record, "
            "ds.sel(time=...)"
        )
    # a piece that starts at the last time has no step of its own, a line ends with the first there
    begun = max(int((labels < times[-1]).sum()), 1)
    own = labels[: begun + linear]
    return Pieces(dim, own, _positions(own, times, dt), linear)


def _by_duration(times: Array, dt: float, every: Any, name: str) -> Array:
    """Give the starts of pieces of one length, past the last time."""
    seconds = seconds_of(every)
    if seconds is None:
        raise ParameterError(
            f"{name}: every must be a duration such as '1D' or '6h', or one of "
            f"{', '.join(CALENDAR)}; got {every!r}"
        )
    if seconds < dt * 0.999:
        raise TimeAxisError(
            f"{name}: every={every!r} is shorter than the time step of {dt:g} s, so that some "
            "values would belong to no time"
        )
    origin, step = _midnight(times[0]), _duration(times[0], seconds)
    first = math.floor(_seconds(times[0] - origin) / seconds + 1e-9)
    last = math.ceil(_seconds(times[-1] - origin) / seconds - 1e-9)
    if last - first > MOST:  # before they are made
        raise ParameterError(
            f"{name}: every={every!r} makes {last - first} values in this record, and no more "
            f"than {MOST} can be estimated together: make it longer, or cut the record, "
            "ds.sel(time=...)"
        )
    return np.array([origin + i * step for i in range(first, max(last, first + 1) + 1)])


def _midnight(time: Any) -> Any:
    if isinstance(time, np.timedelta64):
        return time - time
    if isinstance(time, np.datetime64):
        return time.astype("M8[D]").astype(time.dtype)
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def _duration(time: Any, seconds: float) -> Any:
    """Give a duration that can be added to a time of its kind."""
    nanoseconds = np.timedelta64(round(seconds * 1e9), "ns")
    if isinstance(time, np.timedelta64 | np.datetime64):
        return nanoseconds
    return nanoseconds.astype("m8[us]").item()


def _seconds(duration: Any) -> float:
    if isinstance(duration, np.timedelta64):
        return float(duration / np.timedelta64(1, "s"))
    return float(duration.total_seconds())


def _by_calendar(ds: xr.Dataset, frequency: str, name: str) -> Array:
    """Give the starts of the months, seasons or years, past the last time."""
    times = ds["time"]
    if times.dtype.kind == "m":
        raise TimeAxisError(
            f"{name}: months, seasons and years need dates, but the time coordinate holds "
            "durations. Give dates, ds.assign_coords(time=pd.date_range(...)), or every='30D'"
        )
    index = xr.DataArray(np.arange(times.size), coords={"time": times}, dims="time")
    first = index.resample(time=frequency).first()["time"]
    following = xr.date_range(
        first.values[-1], periods=2, freq=frequency, calendar=first.dt.calendar
    )
    return np.append(first.values, following.values[-1:].astype(first.dtype))


def _positions(labels: Array, times: Array, dt: float) -> tuple[float, ...]:
    """Count the time steps from the first time of a record."""
    return tuple(round(_seconds(label - times[0]) / dt, 6) for label in labels)


def at_times(value: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Give a parameter at every time of a record.

    Parameters
    ----------
    value : DataArray
        A parameter; constant, (..., time), or with the values of an estimate, (..., every_1D).
    ds : Dataset
        The record.

    Returns
    -------
    DataArray
        (..., time), without labels of time; a constant one as it is.

    Raises
    ------
    ParameterError
        If its times are not those of the record, or do not reach over it.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.date_range("2024-06-01 00:30", periods=4, freq="12h")
    >>> days = pd.to_datetime(["2024-06-01", "2024-06-02"])
    >>> albedo = xr.DataArray([0.2, 0.3], dims="every_1D", coords={"every_1D": days})
    >>> at_times(albedo, xr.Dataset(coords={"time": times})).values
    array([0.2, 0.2, 0.3, 0.3])
    """
    dims = _dims_in_time(value)
    if not dims:
        return value
    name = "a parameter" if value.name is None else value.name
    if len(dims) > 1:
        raise ParameterError(f"{name} has two dimensions of time, {dims[0]} and {dims[1]}")
    (dim,) = dims
    times = ds["time"].values
    if dim == "time":
        own = value["time"].values if "time" in value.coords else times
        if own.shape != times.shape or (own != times).any() or value.sizes["time"] != times.size:
            raise ParameterError(
                f"{name} has values at {value.sizes['time']} times, which are not the "
                f"{times.size} times of the Dataset: {name}.reindex_like(ds.time, method='ffill'), "
                f"or {name}.interp(time=ds.time)"
            )
        spread = value.drop_vars("time", errors="ignore")
    else:
        spread = _spread(value, dim, ds, str(name))
    return spread if spread.chunks is None else spread.chunk(time=-1)


def _spread(value: xr.DataArray, dim: str, ds: xr.Dataset, name: str) -> xr.DataArray:
    """Give the values of pieces, or between corners, at every time."""
    times, linear = ds["time"].values, dim.endswith(LINEAR)
    if dim not in value.coords:
        raise ParameterError(f"{name} has no coordinate {dim!r}, which says when each value begins")
    labels = value[dim].values
    try:
        knots = _positions(labels, times, time_step(ds))
    except (AttributeError, TypeError) as error:
        raise ParameterError(
            f"the times of {name}, {labels.dtype}, and those of the Dataset, {times.dtype}, are of "
            "different kinds"
        ) from error
    longest = max(np.diff(knots), default=math.inf)
    end = knots[-1] + (0.0 if linear else LEEWAY * longest)
    if knots[0] > 1e-6 or (end < times.size - 1 - 1e-6 and len(knots) > 1):
        raise ParameterError(
            f"{name} has values from {time_text(labels[0])} to {time_text(labels[-1])}, which do "
            f"not reach over the record, {time_text(times[0])} to {time_text(times[-1])}: select "
            "the times they are for, ds.sel(time=slice(...)), or give values for all of it"
        )
    before, after, share = Series(name, 0, knots, linear, math.inf).place(times.size)
    first, second = (
        value.isel({dim: xr.DataArray(index, dims="time")}).drop_vars(dim)
        for index in (before, after)
    )
    if not linear:
        return first
    spread: xr.DataArray = first + xr.DataArray(share, dims="time") * (second - first)
    return spread.transpose(*first.dims).rename(name)
