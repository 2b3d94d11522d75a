"""The two axes of the model: time, and depth in metres, positive down."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xlsm.errors import DimensionError, TimeAxisError
from xlsm.units import as_float, convert, units_of

__all__ = ["check_depths_in_column", "depths", "time_step", "time_text", "year_fraction"]

# steps may differ by this much, relative: times decoded from floating-point days jitter
_STEP_TOLERANCE = 1e-3


def time_step(ds: xr.Dataset) -> float:
    """Step of the time coordinate in seconds.

    Parameters
    ----------
    ds : xarray.Dataset
        With a one-dimensional ``time`` coordinate of datetime64, timedelta64 or cftime.

    Returns
    -------
    float
        Seconds. A single time has no step, and none is needed: 1.0.

    Raises
    ------
    TimeAxisError
        If there is no such coordinate, or it is unsorted, duplicated or irregular; says where.

    Examples
    --------
    >>> import pandas as pd
    >>> time_step(xr.Dataset(coords={"time": pd.date_range("2012-05-01", periods=3, freq="30min")}))
    1800.0
    """
    if "time" not in ds.coords:
        raise TimeAxisError(
            f"There is no coordinate 'time'; coordinates are {[str(c) for c in ds.coords]}, "
            f"dimensions {dict(ds.sizes)}. Rename yours, ds.rename({{'...': 'time'}}), or add "
            "times: ds.assign_coords(time=...)."
        )
    if ds["time"].dims != ("time",):
        raise TimeAxisError(
            f"The time coordinate must have the one dimension 'time', it has {ds['time'].dims}. "
            "For a single time: ds.expand_dims('time')."
        )
    times = ds["time"].values
    if times.size == 0:
        raise TimeAxisError("The time coordinate is empty; was the selection of times too narrow?")
    steps = np.diff(_seconds(times))
    if steps.size == 0:
        return 1.0
    backwards = np.flatnonzero(steps < 0)
    if backwards.size:
        raise TimeAxisError(
            f"Times are not sorted: {_where(times, backwards)} goes backwards. "
            "Use ds.sortby('time')."
        )
    repeated = np.flatnonzero(steps == 0)
    if repeated.size:
        raise TimeAxisError(
            f"Times are duplicated: {_where(times, repeated)}. Use ds.drop_duplicates('time')."
        )
    step = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - step) > _STEP_TOLERANCE * step)
    if odd.size:
        raise TimeAxisError(
            f"Times are not regular: {_where(times, odd)} is {steps[odd[0]]:g} s where the usual "
            f"step is {step:g} s. Use ds.resample(time='{step:g}s').asfreq() (missing times become "
            "NaN), or ds.reindex(time=...) onto times of your choice."
        )
    return step


def _seconds(times: np.ndarray) -> np.ndarray:
    """Seconds since the first time, float64; times of (n,), n >= 1."""
    missing = np.flatnonzero(pd.isnull(times))
    if missing.size:
        raise TimeAxisError(
            f"time[{missing[0]}] is {times[missing[0]]}, not a time ({missing.size} in all). "
            "Drop them: ds.sel(time=ds.time.notnull())."
        )
    if times.dtype.kind in "mM":
        seconds: np.ndarray = (times - times[0]) / np.timedelta64(1, "s")
        return seconds
    try:
        return np.array([(t - times[0]).total_seconds() for t in times], dtype=float)
    except (AttributeError, TypeError) as error:
        raise TimeAxisError(
            f"The time coordinate holds {times.dtype} ({times[0]!r}, ...), not times. Decode it, "
            "xr.decode_cf(ds), or set it: ds.assign_coords(time=pd.date_range(...))."
        ) from error


def year_fraction(ds: xr.Dataset) -> xr.DataArray:
    """Time since the start of the year, in years of 365.25 days.

    Parameters
    ----------
    ds : xarray.Dataset
        With times that have a date.

    Returns
    -------
    xarray.DataArray
        (time,), 1.

    Raises
    ------
    TimeAxisError
        If the times are durations.

    Examples
    --------
    >>> import pandas as pd
    >>> ds = xr.Dataset(coords={"time": pd.to_datetime(["2012-01-01 00:00", "2012-07-01 15:00"])})
    >>> year_fraction(ds).values
    array([0. , 0.5])
    """
    time_step(ds)  # there, and a time axis
    time = ds["time"]
    if time.dtype.kind == "m":
        raise TimeAxisError(
            "The time of the year is needed, but the time coordinate holds durations. Give dates: "
            "ds.assign_coords(time=pd.date_range(...))."
        )
    clock = time.dt.hour / 24 + time.dt.minute / 1440 + time.dt.second / 86400
    return (time.dt.dayofyear - 1 + clock) / 365.25


def time_text(time: Any) -> str:
    """Write a time without the zeros behind its seconds.

    Examples
    --------
    >>> time_text(np.datetime64("2012-05-01T00:30", "ns"))
    '2012-05-01T00:30:00'
    """
    return re.sub(r"\.0+$", "", str(time))


def _where(times: np.ndarray, places: np.ndarray) -> str:
    """Say where the first of some odd steps is, and how many there are."""
    i = int(places[0])
    first = f"from time[{i}] = {time_text(times[i])} to time[{i + 1}] = {time_text(times[i + 1])}"
    return first + (f" (and {places.size - 1} more)" if places.size > 1 else "")


def depths(da: xr.DataArray, name: str) -> np.ndarray:
    """Depths of a variable in metres, positive down.

    Parameters
    ----------
    da : xarray.DataArray
        With a coordinate ``depth``, of dimension ``depth`` or scalar; its ``units`` are converted.
    name : str
        Its name, for the error.

    Returns
    -------
    numpy.ndarray
        (depth,), float64, in the order they have; a scalar gives one.

    Raises
    ------
    DimensionError
        If there is no such coordinate, or a depth is negative, missing or there twice.
    UnitsError
        If the units cannot be converted to metres.

    Examples
    --------
    >>> depths(xr.DataArray([290.0], coords={"depth": ("depth", [5], {"units": "cm"})}), "SoilTemp")
    array([0.05])
    """
    if "depth" not in da.coords:
        near = [str(dim) for dim in da.dims if "depth" in str(dim).lower() and dim != "depth"]
        cure = (
            f"If {near[0]!r} is it: ds.rename({{{near[0]!r}: 'depth'}})."
            if near
            else "Say where it was measured, in metres, positive down: "
            "ds.assign_coords(depth=[...]), or a single number for one depth."
        )
        raise DimensionError(f"{name} has no coordinate 'depth' (dimensions {da.dims}). {cure}")
    depth = da["depth"]
    if depth.ndim > 1 or depth.dims not in ((), ("depth",)):
        raise DimensionError(
            f"The depth coordinate of {name} must be a scalar or have the one dimension 'depth', "
            f"it has {depth.dims}; depths that differ between stations are not supported."
        )
    numbers = np.atleast_1d(as_float(depth, "depth").values)
    metres = np.asarray(convert(numbers, units_of(depth, "m"), "m", name="depth"), dtype=float)
    if not np.isfinite(metres).all():
        raise DimensionError(
            f"A depth of {name} is not finite: {metres}. Drop it: ds.sel(depth=ds.depth.notnull())."
        )
    if (metres < 0).any() or str(depth.attrs.get("positive", "down")).lower() == "up":
        raise DimensionError(
            f"The depths of {name} are {metres} m (positive={depth.attrs.get('positive')!r}), but "
            'depth counts downwards from 0 at the surface, positive="down": use '
            "ds.assign_coords(depth=('depth', -ds.depth.values, {'units': ..., "
            "'positive': 'down'}))."
        )
    values, counts = np.unique(metres, return_counts=True)
    if (counts > 1).any():
        raise DimensionError(
            f"The depths of {name} have duplicates: {values[counts > 1]} m. "
            "Use ds.drop_duplicates('depth'), or average them."
        )
    return metres


def check_depths_in_column(depths: np.ndarray, column_depth: float, top: float = 0.0) -> None:
    """Refuse depths outside the soil column.

    Parameters
    ----------
    depths : numpy.ndarray
        (depth,), m, positive down.
    column_depth : float
        Depth of the bottom of the model's column, m.
    top : float
        Depth of its top, m.

    Raises
    ------
    DimensionError
        If one of them is deeper than the column, or above its top.

    Examples
    --------
    >>> check_depths_in_column(np.array([0.0, 1.0]), 1.0)
    """
    high = depths[depths < top * (1 - 1e-9)]
    if high.size:
        raise DimensionError(
            f"Depths {high} m are above the top of the soil column, {top:g} m: leave them out, "
            f"ds.sel(depth=ds.depth >= {top:g})."
        )
    deep = depths[depths > column_depth * (1 + 1e-9)]
    if deep.size:
        raise DimensionError(
            f"Depths {deep} m are below the bottom of the soil column, {column_depth:g} m. If they "
            "are not metres, set ds.depth.attrs['units'] (e.g. 'cm'); else leave them out, "
            f"ds.sel(depth=ds.depth <= {column_depth:g}), or give the model a deeper grid."
        )
