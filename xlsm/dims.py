"""Dimensions: the core ones whole and in their place, the batch ones fitting together."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from xlsm.errors import DimensionError, LSMWarning
from xlsm.variables import VARIABLES

__all__ = ["check_batch_dims", "check_core_dims", "in_one_piece", "put_together"]


def check_core_dims(
    da: xr.DataArray,
    name: str,
    *,
    core: Iterable[str] = ("time",),
    optional: Iterable[str] | None = None,
) -> None:
    """Require the core dimensions, and no others that are none of a batch.

    Parameters
    ----------
    da : xarray.DataArray
        Any dimension but ``time`` and ``depth`` is a batch dimension and free.
    name : str
        Its name, for the error.
    core : iterable of str
        Dimensions that must be there.
    optional : iterable of str, optional
        Dimensions that may be there beside ``core``; by default those the table of variables
        gives to ``name``.

    Raises
    ------
    DimensionError
        If a core dimension is missing, or ``time`` or ``depth`` is there and has no business
        there.

    Examples
    --------
    >>> check_core_dims(xr.DataArray([1.0], dims="hour"), "Tair")
    Traceback (most recent call last):
    ...
    xlsm.errors.DimensionError: Tair has no dimension 'time'; it has ('hour',). ...
    """
    core = tuple(core)
    if optional is None:
        optional = VARIABLES[name].dims if name in VARIABLES else ()
    allowed = {*core, *optional}
    for dim in core:
        if dim not in da.dims:
            raise DimensionError(
                f"{name} has no dimension {dim!r}; it has {da.dims}. "
                f"Rename the one that is it: ds.rename({{'...': {dim!r}}})."
            )
    for dim in ("time", "depth"):
        if dim in da.dims and dim not in allowed:
            raise DimensionError(
                f"{name} has a dimension {dim!r}, which is no batch dimension and which {name} "
                f"cannot have; it has {da.dims}. Select one: ds[{name!r}].isel({dim}=0)."
            )


def put_together(da: xr.DataArray) -> xr.DataArray:
    """Make one chunk along time, and along depths, of what is split there; lazily.

    Examples
    --------
    >>> put_together(xr.DataArray(np.zeros((4, 6)), dims=("station", "time")).chunk(1)).chunks
    ((1, 1, 1, 1), (6,))
    """
    split = _split(da)
    return da.chunk(dict.fromkeys(split, -1)) if split else da


def _split(da: xr.DataArray) -> dict[str, int]:
    """Count the chunks along each core dimension that has more than one."""
    return {
        str(dim): len(chunks)
        for dim, chunks in da.variable.chunksizes.items()
        if len(chunks) > 1 and (dim == "time" or str(dim).startswith("depth"))
    }


def in_one_piece(ds: xr.Dataset, stacklevel: int = 4) -> xr.Dataset:
    """Make one chunk along time and depth of all that is read, and say once what it costs.

    Every step of a model needs the one before, so that a block has to have all times.

    Parameters
    ----------
    ds : Dataset
        Unchanged; without Dask it is given back.
    stacklevel : int, optional
        Frames up to the caller the warning should point at.

    Returns
    -------
    Dataset
        Lazy where `ds` is.

    Warns
    -----
    LSMWarning
        If anything had to be put together: how many chunks, how large a block becomes, how often
        a chunk is read, and how to avoid it.

    Examples
    --------
    >>> ds = xr.Dataset({"Tair": (("station", "time"), np.zeros((4, 6)))})
    >>> in_one_piece(ds.chunk(station=2)).chunksizes["time"]
    (6,)
    """
    read = [ds[name] for name in map(str, ds.data_vars) if name in VARIABLES]
    pieces = {str(da.name): math.prod(_split(da).values()) for da in read if _split(da)}
    if not pieces:
        return ds
    whole = ds.assign({name: put_together(ds[name]) for name in pieces})
    warnings.warn(_cost(pieces, [whole[da.name] for da in read]), LSMWarning, stacklevel=stacklevel)
    return whole


def _cost(pieces: dict[str, int], whole: list[xr.DataArray]) -> str:
    """Say what it costs to put chunks together."""
    chunks: dict[str, set[tuple[int, ...]]] = {}
    for da in whole:
        for dim, sizes in da.variable.chunksizes.items():
            if dim != "time" and not str(dim).startswith("depth"):
                chunks.setdefault(str(dim), set()).add(sizes)
    # blocks end wherever a chunk of any variable ends
    ends = {dim: {e for one in cuts for e in np.cumsum(one)} for dim, cuts in chunks.items()}
    size = {dim: max(np.diff([0, *sorted(found)])) for dim, found in ends.items()}
    block = sum(math.prod(size.get(str(d), n) for d, n in da.sizes.items()) * 8 for da in whole)
    often = math.prod(max(_inside(one, ends[dim]) for one in cuts) for dim, cuts in chunks.items())
    names = list(pieces)
    more = f" and {len(names) - 1} more variables are" if len(names) > 1 else " is"
    cut = "".join(f", {dim}={n}" for dim, n in size.items())
    return (
        f"{names[0]}{more} chunked along time or depth, and a model needs all of it at once: "
        f"{max(pieces.values())} chunks are put together for every block, which takes "
        f"{block / 1e6:.3g} MB, and each of them is read "
        f"{'once' if often == 1 else f'for up to {often} blocks'}. To avoid it, write the data "
        f"with whole series once, ds.chunk(time=-1{cut}).drop_encoding().to_zarr(...); smaller "
        "chunks along a dimension of stations make smaller blocks"
    )


def _inside(sizes: tuple[int, ...], ends: set[int]) -> int:
    """Count the blocks that a chunk goes into, at most."""
    cuts = np.cumsum((0, *sizes))
    blocks = np.array(sorted(ends))
    return int(max(np.diff(np.searchsorted(blocks, cuts, "right"))))


def check_batch_dims(arrays: Iterable[xr.DataArray], parameters: Iterable[str]) -> None:
    """Refuse batch dimensions that do not fit together, or whose names a result needs.

    Parameters
    ----------
    arrays : iterable of DataArray
        Inputs of a verb.
    parameters : iterable of str
        Names of the model's parameters: each is a variable of the result.

    Raises
    ------
    DimensionError
        If a dimension has other sizes or labels in one array than in another, or is called like
        a parameter, or ``parameter``, ``parameter_``, ``observable``.

    Examples
    --------
    >>> check_batch_dims([xr.DataArray([0.2, 0.3], dims="albedo")], ["albedo"])
    Traceback (most recent call last):
    ...
    xlsm.errors.DimensionError: A dimension cannot be called 'albedo': ...
    """
    taken = {*parameters, "parameter", "parameter_", "observable"}
    first: dict[Any, xr.DataArray] = {}
    for array in arrays:
        for dim in array.dims:
            if dim in taken:
                raise DimensionError(
                    f"A dimension cannot be called {dim!r}: the result has a variable or dimension "
                    f"of that name. Rename it, e.g. .rename({{{dim!r}: 'case'}})."
                )
            _check_same_labels(first.setdefault(dim, array), array, dim)


def _check_same_labels(one: xr.DataArray, other: xr.DataArray, dim: Any) -> None:
    """Refuse two arrays that mean different stations, or the same in another order."""
    if one.sizes[dim] != other.sizes[dim]:
        difference = f"has {one.sizes[dim]} values in {one.name!r} and {other.sizes[dim]}"
    elif dim in one.indexes and dim in other.indexes:
        if one.indexes[dim].equals(other.indexes[dim]):
            return
        place = int(np.flatnonzero(one[dim].values != other[dim].values)[0])
        difference = (
            f"has other labels or another order: {dim}[{place}] is {one[dim].values[place]} in "
            f"{one.name!r} and {other[dim].values[place]}"
        )
    else:
        return
    raise DimensionError(
        f"The dimension {dim!r} {difference} in {other.name!r}. Bring them together: "
        f"select the same {dim} in both, or other.reindex({dim}=ds[{dim!r}])."
    )
