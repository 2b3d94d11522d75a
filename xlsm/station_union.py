"""What many files of stations hold together: variables, units, depths, attributes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.delayed import delayed

from xlsm.errors import DimensionError, LSMError, LSMWarning, UnitsError
from xlsm.station_block import Axis, Part, Wanted, read_block
from xlsm.station_file import Series, StationFile
from xlsm.units import convert
from xlsm.variables import DEPTH_ATTRIBUTES, VARIABLES

__all__ = ["united"]

#: Files read by one task, and bytes they may become, at most.
BLOCK, BLOCK_BYTES = 64, 64_000_000

Files = Sequence[StationFile]
Pairs = list[tuple[StationFile, Series]]


def united(files: Files, names: Sequence[str], axis: Axis, rename: Mapping[str, str]) -> xr.Dataset:
    """Make the lazy Dataset of all files; see `xlsm.stations.open_stations`.

    Parameters
    ----------
    files : sequence of StationFile
        One a station.
    names : sequence of str
        Of the stations.
    axis : Axis
        Times.
    rename : mapping of str to str
        As for `xlsm.station_file.look_at`.

    Returns
    -------
    Dataset
    """
    trouble: list[str] = []
    each: dict[str, Pairs] = {}
    for file in files:
        for name, series in file.series.items():
            each.setdefault(name, []).append((file, series))
    wanted = []
    for name, pairs in each.items():
        try:
            wanted.append(_wanted(files, name, pairs))
        except LSMError as error:
            if name in VARIABLES:
                raise
            trouble.append(str(error))
    times = (axis.first + axis.step * np.arange(axis.size)).astype("M8[ns]")
    coords: dict[str, Any] = {"station": ("station", list(names)), "time": ("time", times)}
    for one in wanted:
        if one.depth is not None:
            coords[one.depth] = (one.depth, list(one.metres), DEPTH_ATTRIBUTES)
    variables = _lazy(files, axis, wanted, each, rename)
    scalars, more = _scalars(files, {*coords, *variables})
    ds = xr.Dataset(variables, coords | scalars, _shared([file.attrs for file in files]))
    cells = _other_cells(each)
    for name in cells:
        ds[name].attrs.pop("cell_methods", None)
    trouble += [*more, *cells.values()]
    if trouble:
        warnings.warn("; ".join(trouble), LSMWarning, stacklevel=3)
    return ds


def _wanted(files: Files, name: str, pairs: Pairs) -> Wanted:
    """Say what a variable of all files is like."""
    file, first = pairs[0]
    other = next((f for f, series in pairs if series.depth != first.depth), None)
    if other is not None:
        depth = other.series[name].depth
        raise DimensionError(
            f"{name} has {first.depth or 'no depth'} in {file.path} and {depth or 'no depth'} in "
            f"{other.path}: give it a dimension or a scalar coordinate depth in all files"
        )
    one = next((f for f in files if name in f.scalars), None)
    if one is not None:
        raise DimensionError(
            f"{name} is a series in {file.path} and one number in {one.path}: make it a series"
        )
    target = _common_units(name, [(f.path, series.units) for f, series in pairs])
    dtype = np.result_type(*{series.dtype for _, series in pairs}, np.float32)
    metres = () if first.depth is None else _levels(files, first.depth)
    return Wanted(name, first.depth, metres, "f8" if target else dtype.str, target or "")


def _levels(files: Files, dim: str) -> tuple[float, ...]:
    """Give all depths along a dimension, those of other variables along it among them."""
    return tuple(sorted({z for file in files for z in file.depths.get(dim, ())}))


def _common_units(name: str, given: Iterable[tuple[str, str]]) -> str | None:
    """Units that all values are converted to; None if they have the same already."""
    first: dict[str, str] = {}
    for path, units in given:
        first.setdefault(units, path)
    if len(first) == 1:
        return None
    # what has none is taken as it is everywhere else, if it is known at all
    usual = VARIABLES[name].units if name in VARIABLES else ""
    target = usual or next(units for units in first if units)
    for units, path in first.items():
        if not (units or usual):
            raise UnitsError(
                f"{name} has no units in {path}, and units {target!r} in {first[target]}: set them"
            )
        try:
            convert(0.0, units or usual, target, name=name)
        except UnitsError as error:
            raise UnitsError(f"{path}, where others differ: {error}") from error
    return target


def _lazy(
    files: Files,
    axis: Axis,
    wanted: Sequence[Wanted],
    each: Mapping[str, Pairs],
    rename: Mapping[str, str],
) -> dict[str, xr.Variable]:
    """Give variables that Dask reads, all variables of some files in one task."""
    series = sum(axis.size * max(1, len(one.metres)) * 8 for one in wanted)
    size = max(1, min(BLOCK, BLOCK_BYTES // max(1, series)))
    converted = {one.name for one in wanted if one.units}
    names = {one.name for one in wanted}
    parts = []
    for file in files:
        units = {
            name: (found.units or VARIABLES[name].units if name in converted else None)
            for name, found in file.series.items()
            if name in names
        }
        parts.append(Part(file.path, units))
    # the same in every process, and another when a file has changed: resumed runs rest on it
    token = tokenize([file.version for file in files], parts, axis, wanted, sorted(rename.items()))
    read = delayed(read_block, traverse=False)
    blocks = [
        (read(parts[i : i + size], axis, wanted, rename, dask_key_name=f"stations-{token}-{i}"), n)
        for i in range(0, len(files), size)
        for n in [len(parts[i : i + size])]
    ]
    variables = {}
    for k, one in enumerate(wanted):
        levels = (len(one.metres),) if one.depth is not None else ()
        arrays = [
            da.from_delayed(  # type: ignore[no-untyped-call]
                block[k], (n, axis.size, *levels), dtype=one.dtype
            )
            for block, n in blocks
        ]
        dims = ("station", "time", *([one.depth] if one.depth is not None else []))
        attrs = _shared([found.attrs for _, found in each[one.name]])
        if one.units:
            attrs["units"] = one.units
        whole = da.concatenate(arrays)  # type: ignore[no-untyped-call]
        variables[one.name] = xr.Variable(dims, whole, attrs)
    return variables


def _scalars(files: Files, taken: set[str]) -> tuple[dict[str, xr.Variable], list[str]]:
    """Make coordinates along station of what holds for a whole file."""
    coords, trouble = {}, []
    for name in dict.fromkeys(name for file in files for name in file.scalars):
        if name in taken:
            continue
        there = [(file.path, file.scalars[name]) for file in files if name in file.scalars]
        try:
            target = _common_units(name, [(p, str(v.attrs.get("units", ""))) for p, v in there])
        except UnitsError as error:
            trouble.append(str(error))
            continue
        text = any(v.dtype.kind not in "iufb" for _, v in there)
        values = [_scalar(file.scalars.get(name), name, target, text) for file in files]
        attrs = _shared([v.attrs for _, v in there])
        if target:
            attrs["units"] = target
        coords[name] = xr.Variable("station", np.array(values), attrs)
    return coords, trouble


def _scalar(found: xr.Variable | None, name: str, units: str | None, text: bool) -> Any:
    if found is None:
        return "" if text else np.nan
    value = found.values.item()
    if text:
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if units:
        own = str(found.attrs.get("units", "")) or VARIABLES[name].units
        return convert(float(value), own, units, name=name)
    return value


def _shared(attributes: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """Attributes that nothing contradicts."""
    shared: dict[str, Any] = {}
    differ = set()
    for attrs in attributes:
        for name, value in attrs.items():
            known = shared.setdefault(str(name), value)
            if known is not value and not np.array_equal(known, value):
                differ.add(str(name))
    return {name: value for name, value in shared.items() if name not in differ}


def _other_cells(each: Mapping[str, Pairs]) -> dict[str, str]:
    """Tell of observations that are means in some files and not in others, by their names."""
    trouble = {}
    for name in VARIABLES:
        first: dict[str, str] = {}
        for file, series in each.get(name, ()):
            first.setdefault(str(series.attrs.get("cell_methods", "")), file.path)
        if len(first) > 1:
            told = ", ".join(f"{cells or 'none'!r} in {path}" for cells, path in first.items())
            trouble[name] = (
                f"cell_methods of {name} differ ({told}) and are not believed; say what it is, "
                "xlsm.Observation(mean=...)"
            )
    return trouble
