"""Files and stores named on the command line: opened, checked, written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from dask.base import tokenize

from xlsm import tutorial
from xlsm.arguments import did_you_mean
from xlsm.blocksize import batch_dims, block_size
from xlsm.errors import (
    DataNotFoundError,
    DimensionError,
    LSMError,
    LSMWarning,
    MissingVariableError,
    TimeAxisError,
)
from xlsm.pipeline.address import filesystem
from xlsm.pipeline.places import place_of
from xlsm.reading import SMALL, exists, is_zarr, open_file, why_absent, written
from xlsm.stations import is_many, open_stations

__all__ = [
    "CLUSTER",
    "SMALL",
    "check_output",
    "chunk_stations",
    "load_if_small",
    "open_input",
    "remove",
    "write_output",
]

#: Where the encoding of an input says what it is known by.
IDENTITY = "xlsm_identity"
#: Workers a cluster is taken to have that is not asked yet.
CLUSTER = 32


def open_input(
    source: str, time: str | None = None, rename: Mapping[str, str] | None = None
) -> xr.Dataset:
    """Open NetCDF files, Zarr stores or a tutorial data set; nothing large is read yet.

    Parameters
    ----------
    source : str
        Path, URL or name; a folder of files of one station each, or a pattern such as
        ``sites/*.nc``.
    time : str, optional
        ``from/to``, both included; either may be empty.
    rename : mapping of str to str, optional
        New names of variables and dimensions by what they are called.

    Raises
    ------
    DataNotFoundError
        If there is no such thing.
    LSMError
        If it cannot be read.
    MissingVariableError
        If there is nothing to rename, or something of the new name is there.
    TimeAxisError
        If no time is left, or `time` cannot be read.
    """
    known: Any = None
    if source.startswith("icechunk"):
        snapshot = place_of(source).store()
        known = snapshot.session.snapshot_id
        ds = xr.open_zarr(snapshot, chunks=None, consolidated=False)
        ds = _renamed(ds, rename) if rename else ds
    elif source not in tutorial.NAMES and is_many(source):
        ds = open_stations(source, rename=rename)
    else:
        ds, known = _open(source)
        ds = _renamed(ds, rename) if rename else ds
    ds = ds if time is None else _select(ds, time)
    if known:
        # all that decides what is in it; a run that is resumed compares
        ds.encoding[IDENTITY] = tokenize(source, known, time, sorted((rename or {}).items()))
    return ds


def _open(source: str) -> tuple[xr.Dataset, list[str]]:
    """Open what is named, and tell when it was written."""
    if source in tutorial.NAMES and not Path(source).exists():
        return tutorial.open_dataset(source), []
    # the folder of a store need not exist by itself on a web server
    if is_zarr(source) or exists(source):
        return open_file(source), written(source)
    hint = did_you_mean(source, tutorial.NAMES, {})
    raise DataNotFoundError(
        f"there is no file or store {source}{why_absent(source)}, nor a tutorial data set of that "
        f"name.{hint} Tutorial data sets are {', '.join(tutorial.NAMES)}."
    )


def _renamed(ds: xr.Dataset, names: Mapping[str, str]) -> xr.Dataset:
    there = [str(name) for name in dict.fromkeys([*ds.variables, *ds.dims])]
    for old, new in names.items():
        if old not in there or (new in there and new not in names):
            fault = f"{new} is there already" if old in there else f"there is no {old}"
            raise MissingVariableError(
                f"--rename {old}={new}: {fault}; the data hold {', '.join(there)}"
            )
    return ds.rename(names)


def _select(ds: xr.Dataset, time: str) -> xr.Dataset:
    first, _, last = time.partition("/")
    if "time" not in ds.indexes:
        raise TimeAxisError("--time cannot select: the data have no time coordinate")
    try:
        selected = ds.sel(time=slice(first.strip() or None, last.strip() or None))
    except (ValueError, TypeError, KeyError) as error:
        raise TimeAxisError(
            f"--time {time} cannot be read: expected FROM/TO, e.g. 2012-05-01/2012-05-07 ({error})"
        ) from error
    if selected.sizes["time"] == 0:
        times = ds.indexes["time"]
        raise TimeAxisError(
            f"--time {time} leaves nothing: the data run from {times[0]} to {times[-1]}"
        )
    return selected


def chunk_stations(ds: xr.Dataset, sizes: Mapping[str, int], workers: int) -> xr.Dataset:
    """Cut the batch dimensions into blocks; without any the data are read and stay whole.

    Parameters
    ----------
    ds : Dataset
        As `open_input` gives it.
    sizes : mapping of str to int
        Block sizes by dimension; none means those of `xlsm.blocksize.block_size`.
    workers : int
        How many there will be.

    Raises
    ------
    DimensionError
        If a name is no batch dimension, or a size is less than 1.

    Warns
    -----
    LSMWarning
        If chunks of the input are read several times.
    """
    batch = batch_dims(ds)
    for dim, size in sizes.items():
        if dim not in batch:
            hint = f"they are {', '.join(batch)}" if batch else "there is none"
            raise DimensionError(f"--chunk: {dim!r} is no dimension of stations; {hint}")
        if size < 1:
            raise DimensionError(f"--chunk {dim}={size}: must be at least 1")
    return _in_blocks(ds, sizes, max(1, workers)) if batch else ds.load()


def _in_blocks(ds: xr.Dataset, sizes: Mapping[str, int], workers: int) -> xr.Dataset:
    """Cut into blocks, in one go: what is cut twice is read whole."""
    if small := ds.nbytes <= SMALL:
        ds = ds.load()
    if not sizes and (usual := block_size(ds, workers, stored=not small)):
        sizes = {usual.dim: usual.size}
        if usual.cost:
            warnings.warn(usual.cost, LSMWarning, stacklevel=3)
    # what was read is known by its numbers
    token = None if small else ds.encoding.get(IDENTITY)
    return ds.chunk({**dict.fromkeys(ds.dims, -1), **sizes}, token=token)


def load_if_small(ds: xr.Dataset) -> xr.Dataset:
    """Read what fits; leave the rest lazy, in blocks, each station's series whole."""
    return ds.load() if ds.nbytes <= SMALL else _in_blocks(ds, {}, os.cpu_count() or 1)


def check_output(out: str, overwrite: bool, *, source: str = "", resume: bool = False) -> None:
    """Refuse, before anything is computed, to write where something is; not to go on with it.

    Raises
    ------
    LSMError
        If something is there, and it is no Zarr store or must not be replaced, or if the name is
        that of another kind of file, or of the input.
    """
    if out.rstrip("/") == source.rstrip("/"):
        raise LSMError(f"{out} is the input: write to another name")
    if out.rstrip("/").endswith((".nc", ".nc4", ".h5", ".csv")):
        stem = out.rsplit(".", 1)[0]
        raise LSMError(f"{out}: results are written as Zarr stores; call it {stem}.zarr")
    if out.startswith(("http://", "https://")):
        raise LSMError(f"{out}: nothing can be written to a web server; name a path or a bucket")
    if resume:
        return
    if out.startswith("icechunk"):
        raise LSMError(f"{out}: a repository is written to with --resume")
    if not exists(out):
        return
    if not overwrite:
        raise LSMError(f"{out} exists: choose another name, or replace it with --overwrite")
    if not is_zarr(out):
        raise LSMError(f"{out} exists and is no Zarr store: --overwrite does not replace it")


def write_output(ds: xr.Dataset, out: str, overwrite: bool) -> None:
    """Write a result, in place of the old one if it must be."""
    if overwrite:
        remove(out)
    ds.lsm.to_zarr(out)


def remove(out: str) -> None:
    """Remove a store, if it is there."""
    if exists(out):
        files, path = filesystem(out)
        files.rm(path, recursive=True)
