"""The file of one station: what it holds, without its values."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import xarray as xr

from xlsm.axes import depths
from xlsm.errors import DimensionError, LSMError, MissingVariableError, TimeAxisError
from xlsm.pipeline.identity import version
from xlsm.reading import open_file
from xlsm.variables import VARIABLES

__all__ = ["Series", "StationFile", "file_name", "look_at", "metres_of", "opened", "times_of"]

Array = np.ndarray[Any, np.dtype[Any]]

#: What the name of a station is called, among scalars and attributes, in this order.
NAMES = tuple(kind + what for kind in ("station", "site") for what in ("", "_id", "_code", "_name"))
#: What a time may be off its place, in steps: times decoded from days in floating point jitter.
JITTER = 1e-3
#: Digits of a depth in metres: single precision has no more.
DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Series:
    """A variable of a file that has times.

    Parameters
    ----------
    depth : str or None
        Its dimension of depths.
    dtype : numpy.dtype
        As it is decoded.
    attrs : mapping
        Its attributes.
    """

    depth: str | None
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]

    @property
    def units(self) -> str:
        """Units as the file has them; empty if it has none."""
        return str(self.attrs.get("units", "")).strip()


@dataclasses.dataclass(frozen=True)
class StationFile:
    """What a file holds, without the values.

    Parameters
    ----------
    path : str
        Path or URL.
    name : str
        Of the station.
    version : str
        Changes when the file is changed.
    first, last, step : int
        Times (ns since 1970); the step is 0 where there is only one.
    depths : mapping of str to tuple of float
        Metres along each dimension of depths.
    series : mapping of str to Series
        What has times.
    scalars : mapping of str to Variable
        Numbers and words that hold for the whole file.
    attrs : mapping
        Of the file.
    renamed : frozenset of str
        Names that were found and changed.
    """

    path: str
    name: str
    version: str
    first: int
    last: int
    step: int
    depths: Mapping[str, tuple[float, ...]]
    series: Mapping[str, Series]
    scalars: Mapping[str, xr.Variable]
    attrs: Mapping[str, Any]
    renamed: frozenset[str]


def look_at(path: str, rename: Mapping[str, str], label: str | None) -> StationFile:
    """See what a file holds.

    Raises
    ------
    LSMError
        Names the file: if it cannot be read, has no regular times, or dimensions of more than one
        station.
    """
    with opened(path, rename) as (ds, renamed):
        times = times_of(ds, path)
        steps = np.diff(np.sort(times))
        step = int(np.median(steps)) if steps.size else 0
        _check_steps(steps, step, path)
        series, metres = _series(ds, path)
        scalars = {
            str(name): v.to_base_variable().load()
            for name, v in ds.variables.items()
            if v.ndim == 0 and name not in ("time", "depth") and v.dtype.kind in "iufbUSO"
        }
        return StationFile(
            path=path,
            name=_name(path, scalars, ds.attrs, label),
            version=version(path),
            first=int(times.min()),
            last=int(times.max()),
            step=step,
            depths=metres,
            series=series,
            scalars=scalars,
            attrs=dict(ds.attrs),
            renamed=renamed,
        )


@contextlib.contextmanager
def opened(path: str, rename: Mapping[str, str]) -> Iterator[tuple[xr.Dataset, frozenset[str]]]:
    """Open a file, under the names that are wanted and without dimensions of one station."""
    with open_file(path) as ds:
        there = {o: n for o, n in rename.items() if o in ds.variables or o in ds.dims}
        for old, new in there.items():
            if (new in ds.variables or new in ds.dims) and new not in there:
                raise MissingVariableError(f"{path}: {old} cannot become {new}, which is there")
        ds = ds.rename(there)
        alone = [d for d, n in ds.sizes.items() if n == 1 and d != "time" and not _is_depth(d)]
        yield ds.squeeze(alone), frozenset(there)


def _is_depth(dim: Any) -> bool:
    return str(dim).startswith("depth")


def times_of(ds: xr.Dataset, path: str) -> Array:
    """Give the times of a file (ns since 1970)."""
    cure = "give it one, or leave the file out"
    if "time" not in ds.variables or ds["time"].dims != ("time",):
        raise TimeAxisError(f"{path} has no coordinate time along a dimension time: {cure}")
    times = ds["time"].values
    if times.dtype.kind != "M":
        raise TimeAxisError(
            f"{path}: its times are {times.dtype}, not dates of the usual calendar: {cure}"
        )
    if times.size == 0 or np.isnat(times).any():
        raise TimeAxisError(f"{path} has {'no time' if times.size == 0 else 'a time that is NaT'}")
    ns: Array = times.astype("M8[ns]").astype(np.int64)
    return np.round(ns / 1e6).astype(np.int64) * 1_000_000  # no jitter of decoding


def _check_steps(steps: Array, step: int, path: str) -> None:
    """Let times be missing, and none be twice or off its place."""
    if not steps.size:
        return
    if step == 0 or (steps == 0).any():
        raise TimeAxisError(f"{path} has the same time twice: drop it, ds.drop_duplicates('time')")
    counts = steps / step
    off = abs(counts - np.round(counts)) > JITTER * np.maximum(counts, 1)
    if off.any():
        raise TimeAxisError(
            f"{path}: times are not regular, there is a step of {steps[off][0] / 1e9:g} s where "
            f"the usual one is {step / 1e9:g} s: ds.resample(time='{step / 1e9:g}s').mean()"
        )


def _series(ds: xr.Dataset, path: str) -> tuple[dict[str, Series], dict[str, tuple[float, ...]]]:
    """Take what has times, and the depths of it; nothing with other dimensions."""
    series: dict[str, Series] = {}
    metres: dict[str, tuple[float, ...]] = {}
    for name, variable in ds.variables.items():
        if "time" not in variable.dims or name == "time" or variable.dtype.kind not in "iuf":
            continue
        dim = _depth_dim(ds, str(name))
        others = [d for d in variable.dims if d not in ("time", dim)]
        try:
            if others:
                raise DimensionError(
                    f"{name} has the dimension {others[0]!r} of size {ds.sizes[others[0]]}, but a "
                    "file is one station: split it, or rename the dimension if it is depth"
                )
            if dim is not None and dim not in metres:
                metres[dim] = metres_of(ds, dim, str(name))
        except LSMError as error:
            if name in VARIABLES:
                raise type(error)(f"{path}: {error}") from error
            continue  # nothing that xlsm would read
        series[str(name)] = Series(dim, variable.dtype, dict(variable.attrs))
    return series, metres


def _depth_dim(ds: xr.Dataset, name: str) -> str | None:
    """Name the dimension of depths of a variable, which may be a scalar coordinate."""
    own = [str(dim) for dim in ds.variables[name].dims if _is_depth(dim)]
    if own:
        return own[0]
    profile = name in VARIABLES and "depth" in VARIABLES[name].dims
    alone = profile and "depth" in ds.variables and ds.variables["depth"].ndim == 0
    return "depth" if alone else None


def metres_of(ds: xr.Dataset, dim: str, name: str) -> tuple[float, ...]:
    """Give the depths of a variable along a dimension, or that of a scalar coordinate."""
    if dim not in ds.variables:
        raise DimensionError(f"the dimension {dim!r} of {name} has no depths in metres: add them")
    values = np.atleast_1d(ds[dim].values)
    profile = xr.DataArray(np.zeros(values.size), dims="depth")
    found = depths(profile.assign_coords(depth=("depth", values, ds[dim].attrs)), name)
    return tuple(np.round(found, DIGITS).tolist())


def _name(
    path: str, scalars: Mapping[str, xr.Variable], attrs: Mapping[Any, Any], label: str | None
) -> str:
    """Name the station: as its file does, or as the file is called."""
    known = {str(name).lower(): value for name, value in attrs.items()}
    known |= {name.lower(): v.values.item() for name, v in scalars.items()}
    roles = [n.lower() for n, v in scalars.items() if v.attrs.get("cf_role") == "timeseries_id"]
    if label is not None and label != "file" and label.lower() not in known:
        raise MissingVariableError(f"{path} has no scalar and no attribute {label!r} to name it by")
    names: Sequence[str] = (*roles, *NAMES) if label is None else (label.lower(),)
    for name in names:
        text = _text(known.get(name, "")).strip()
        if text and label != "file":
            return text
    return file_name(path)


def file_name(path: str) -> str:
    """Give the name of a file without its folder and its ending."""
    return re.sub(r"\.(nc4?|cdf|netcdf|h5|hdf5|zarr)$", "", PurePosixPath(path).name)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return f"{value:g}" if isinstance(value, float) else str(value)
