"""The stretch of a record that is held out: what a model has not seen when it is judged."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xlsm.axes import time_step, time_text
from xlsm.errors import ParameterError, TimeAxisError

__all__ = ["split"]


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
    elif not isinstance(holdout, slice) and np.asarray(holdout).dtype.kind not in "biufc":
        with contextlib.suppress(TypeError, ValueError):
            return round(pd.Timedelta(holdout).total_seconds() / step)
    raise ParameterError(
        "holdout must be a duration such as '7D', a share of the record between 0 and 1, or a "
        f"slice of times, slice('2017-06-15', '2017-06-21'); got {holdout!r}"
    )
