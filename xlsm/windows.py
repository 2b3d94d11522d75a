"""Windows: stretches of a record, side by side along a batch dimension of their own."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from xlsm.axes import time_step, time_text
from xlsm.errors import DimensionError, ParameterError, TimeAxisError

__all__ = ["Windows", "cut", "seconds_of", "windows_of", "windows_of_estimate"]

Array = np.ndarray[Any, np.dtype[Any]]

#: Times in a window, at least: fewer hold no two steps.
FEWEST = 3
#: How far a duration may be from a whole number of time steps, which jitter themselves.
WHOLE = 0.01


class Windows(NamedTuple):
    """Where the windows of a record lie.

    Parameters
    ----------
    starts : tuple of int
        Index of the first time of each.
    length : int
        Times in each.
    labels : dict of str to DataArray
        Coordinates (window,): ``window``, the first time of each, ``window_end``, the last.
    """

    starts: tuple[int, ...]
    length: int
    labels: dict[str, xr.DataArray]


def windows_of(ds: xr.Dataset, window: Any, step: Any) -> Windows | None:
    """Lay windows over a record, from its first time on.

    Parameters
    ----------
    ds : Dataset
        With regular times.
    window : str, timedelta, Windows or None
        Length of the windows: n time steps hold n times, so that windows one after the other
        share none.
    step : str, timedelta or None
        From the start of one to the start of the next; by default as long as the window. One
        that would reach past the end of the record is left out.

    Returns
    -------
    Windows or None
        None without `window`.

    Raises
    ------
    ParameterError
        If one is no duration, or there is a step and no window.
    TimeAxisError
        If a window has fewer than three time steps or more than the record, a step less than
        one, or one of them no whole number.
    DimensionError
        If the Dataset has a ``window`` or ``window_end`` of its own.

    Examples
    --------
    >>> times = pd.date_range("2024-06-01", periods=96, freq="h")
    >>> days = windows_of(xr.Dataset(coords={"time": times}), "1D", None)
    >>> days.starts, days.length
    ((0, 24, 48, 72), 24)
    >>> str(days.labels["window_end"].values[0])[:16]
    '2024-06-01T23:00'
    """
    if isinstance(window, Windows):  # of a verb that knows them already
        return window
    if window is None:
        if step is not None:
            raise ParameterError(
                f"step={step!r} is the distance between windows, but there are none: give window= "
                "as well, e.g. window='7D'"
            )
        return None
    taken = [name for name in ("window", "window_end") if name in {*ds.dims, *ds.variables}]
    if taken:
        raise DimensionError(
            f"The Dataset has a {taken[0]!r} already, and window= makes one. Rename it, "
            f"ds.rename({{{taken[0]!r}: 'case'}}), or drop it."
        )
    times, dt = ds["time"].values, time_step(ds)
    length = _steps("window", window, dt, FEWEST)
    every = length if step is None else _steps("step", step, dt, 1)
    if length > times.size:
        raise TimeAxisError(
            f"window={window!r} is longer than the record, which has {times.size} times, every "
            f"{dt:g} s from {time_text(times[0])} to {time_text(times[-1])}; the window takes "
            f"{length}"
        )
    return _labelled(times, np.arange(0, times.size - length + 1, every), length)


def _labelled(times: Array, starts: Array, length: int) -> Windows:
    """Put labels on windows."""
    labels = {
        name: xr.DataArray(times[index], dims="window", attrs={"long_name": meaning})
        for name, index, meaning in (
            ("window", starts, "first time of the window"),
            ("window_end", starts + length - 1, "last time of the window"),
        )
    }
    return Windows(tuple(starts.tolist()), length, labels)


def windows_of_estimate(ds: xr.Dataset, est: xr.Dataset) -> tuple[xr.Dataset, Windows | None]:
    """Find the part of a record that an estimate is of.

    Parameters
    ----------
    ds : Dataset
        The record.
    est : Dataset
        As ``ds.lsm.estimate`` gave it, with ``window=`` or without, whole or some of its windows.

    Returns
    -------
    ds : Dataset
        The record, or the times of the one window that was selected.
    windows : Windows or None
        None where there are none.

    Raises
    ------
    TimeAxisError
        If the record does not hold the windows.

    Examples
    --------
    >>> times = pd.date_range("2024-06-01", periods=96, freq="h")
    >>> ds = xr.Dataset(coords={"time": times})
    >>> labels = windows_of(ds, "1D", None).labels
    >>> est = xr.Dataset(coords=labels).isel(window=[0, 3])
    >>> windows_of_estimate(ds, est)[1].starts
    (0, 72)
    """
    if not {"window", "window_end"} <= set(est.coords) or "window" in ds.dims:
        return ds, None
    times = ds["time"].values
    first, last = (np.atleast_1d(est[name].values) for name in ("window", "window_end"))
    starts, ends = (np.searchsorted(times, ends) for ends in (first, last))
    inside = (starts < times.size) & (ends < times.size)
    there = inside & (times[starts * inside] == first) & (times[ends * inside] == last)
    if not there.all():
        lost = int(np.argmin(there))
        raise TimeAxisError(
            f"The estimate is of a window from {time_text(first[lost])} to "
            f"{time_text(last[lost])}, which the record, {time_text(times[0])} to "
            f"{time_text(times[-1])}, does not hold: use the Dataset it was made from"
        )
    if est["window"].ndim == 0:
        return ds.isel(time=slice(int(starts[0]), int(ends[0]) + 1)), None
    return ds, _labelled(times, starts, int(ends[0] - starts[0]) + 1)


def _steps(name: str, duration: Any, dt: float, least: int) -> int:
    """Count the time steps of a duration."""
    seconds = seconds_of(duration)
    if seconds is None:
        raise ParameterError(
            f"{name} must be a duration such as '7D', '36h' or a timedelta; got {duration!r}"
        )
    steps = seconds / dt
    if steps < least - WHOLE:
        raise TimeAxisError(
            f"{name}={duration!r} is shorter than {least} time step{'s' * (least > 1)} of {dt:g} s"
        )
    if abs(steps - round(steps)) > WHOLE:
        raise TimeAxisError(
            f"{name}={duration!r} is no multiple of the time step, {dt:g} s: it has {steps:.2f} of "
            f"them. Take {round(steps) * dt:g} s, '{round(steps) * dt:g}s'."
        )
    return round(steps)


def seconds_of(duration: Any) -> float | None:
    """Read a duration; None if it is none.

    Parameters
    ----------
    duration : str, timedelta or timedelta64
        Bare numbers are none: they do not say of what.

    Returns
    -------
    float or None
        In seconds.

    Examples
    --------
    >>> seconds_of("90min"), seconds_of(np.timedelta64(2, "h")), seconds_of(3)
    (5400.0, 7200.0, None)
    """
    if np.asarray(duration).dtype.kind in "biufc" or isinstance(duration, slice):
        return None
    with contextlib.suppress(TypeError, ValueError):
        seconds = pd.Timedelta(duration).total_seconds()
        return seconds if np.isfinite(seconds) else None
    return None


def cut(array: xr.DataArray, windows: Windows | None) -> xr.DataArray:
    """Cut a series of the record into windows.

    Parameters
    ----------
    array : DataArray
        (..., time), in one chunk along time.
    windows : Windows or None
        None leaves it whole.

    Returns
    -------
    DataArray
        (..., window, time), without labels of time: the windows have times in common only by
        their distance from the first. Lazy if the input is, one task for each of its chunks.

    Examples
    --------
    >>> times = pd.date_range("2024-06-01", periods=6, freq="h")
    >>> ds = xr.Dataset({"Tair": ("time", [0, 1, 2, 3, 4, 5])}, {"time": times})
    >>> cut(ds.Tair, windows_of(ds, "4h", "2h")).values
    array([[0, 1, 2, 3],
           [2, 3, 4, 5]])
    """
    if windows is None:
        return array
    result: xr.DataArray = xr.apply_ufunc(
        _cut,
        array,
        input_core_dims=[["time"]],
        output_core_dims=[["window", "time"]],
        exclude_dims={"time"},
        kwargs={"length": windows.length, "starts": windows.starts},
        dask="parallelized",
        output_dtypes=[array.dtype],
        dask_gufunc_kwargs={
            "output_sizes": {"window": len(windows.starts), "time": windows.length}
        },
        keep_attrs=True,
    )
    return result.assign_coords(windows.labels)


def _cut(series: Array, length: int, starts: tuple[int, ...]) -> Array:
    """Windows of a series (..., time): (..., window, time); a view where they are regular."""
    every = np.lib.stride_tricks.sliding_window_view(series, length, axis=-1)
    steps = set(np.diff(starts).tolist())
    if len(steps) > 1:
        return every[..., list(starts), :]
    return every[..., starts[0] : starts[-1] + 1 : steps.pop() if steps else 1, :]
