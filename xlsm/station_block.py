"""The values of some stations, each from its own file, on times and depths they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.errors import LSMError
from xlsm.station_file import metres_of, opened, times_of
from xlsm.units import convert

__all__ = ["Axis", "Part", "Wanted", "read_block"]

Array = np.ndarray[Any, np.dtype[Any]]


class Axis(NamedTuple):
    """Regular times that all stations share (ns since 1970)."""

    first: int
    step: int
    size: int


class Wanted(NamedTuple):
    """A variable of all stations: name, dimension and metres of its depths, dtype, units."""

    name: str
    depth: str | None
    metres: tuple[float, ...]
    dtype: str
    units: str


class Part(NamedTuple):
    """What is taken of a file: names of variables, with their units where these must change."""

    path: str
    units: Mapping[str, str | None]


def read_block(
    parts: Sequence[Part], axis: Axis, wanted: Sequence[Wanted], rename: Mapping[str, str]
) -> tuple[Array, ...]:
    """Read some files, each of them once; NaN where a station has nothing.

    Returns
    -------
    tuple of array, shapes (station, time) or (station, time, depth)
        One for each of `wanted`.
    """
    shapes = [(axis.size, len(one.metres)) if one.depth else (axis.size,) for one in wanted]
    blocks = tuple(
        np.full((len(parts), *shape), np.nan, one.dtype)
        for shape, one in zip(shapes, wanted, strict=True)
    )
    for i, part in enumerate(parts):
        try:
            with opened(part.path, rename) as (ds, _):
                places = np.round((times_of(ds, part.path) - axis.first) / axis.step).astype(int)
                if places.min() < 0:
                    raise LookupError("it begins earlier than it did")
                for block, one in zip(blocks, wanted, strict=True):
                    if one.name in part.units:
                        levels = _levels(ds, one)
                        values = _values(ds, one, part.units[one.name])
                        block[i][np.ix_(*([places, *levels]))] = values
        # whatever a library makes of a file that is broken, or is another one by now
        except (OSError, ValueError, LookupError, RuntimeError) as error:
            if isinstance(error, LSMError) and part.path in str(error):
                raise
            raise LSMError(f"{part.path} cannot be read, or has changed: {error}") from error
    return blocks


def _levels(ds: xr.Dataset, one: Wanted) -> list[list[int]]:
    """Where the depths of a file are among those of all files."""
    if one.depth is None:
        return []
    return [[one.metres.index(z) for z in metres_of(ds, one.depth, one.name)]]


def _values(ds: xr.Dataset, one: Wanted, units: str | None) -> Array:
    """Give (time,) or (time, depth), in the units that are wanted."""
    series = ds[one.name]
    values = series.transpose("time", ...).values
    if one.depth is not None and one.depth not in series.dims:
        values = values[:, np.newaxis]
    if units is not None:
        values = np.asarray(convert(values.astype(float), units, one.units, name=one.name))
    return values
