"""How many stations are computed at a time, where nobody says it.

Small blocks cost a start each and large ones memory; and a block that cuts through a chunk of the
store makes that chunk be read more than once. Results do not depend on it: kernels work on a fixed
number of stations at a time, whatever the size of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.variables import VARIABLES

__all__ = ["BlockSize", "batch_dims", "block_size"]

#: Bytes of input (float64) a block has, about; and what it may have to hold whole chunks.
BYTES, MOST_BYTES = 64_000_000, 1_000_000_000
#: Stations a block has, at least and at most, unless there are too few for all workers.
LEAST, MOST = 64, 4096
#: Blocks for each worker, so that none of them waits long for the last.
EACH = 4
#: Stations a kernel works on together: smaller blocks are padded to it.
LANES = 32
#: Bytes read in all from which it is worth telling that chunks are read more than once.
WORTH_TELLING = 100_000_000


class BlockSize(NamedTuple):
    """A size, along which dimension, and what there is to say of its cost."""

    dim: str
    size: int
    cost: str


def batch_dims(ds: xr.Dataset) -> dict[str, int]:
    """Give the dimensions of stations and their sizes: all of what is read, but time and depth.

    Examples
    --------
    >>> batch_dims(xr.Dataset({"Tair": (("station", "time"), np.zeros((3, 5)))}))
    {'station': 3}
    """
    return {
        str(dim): ds.sizes[dim]
        for variable in _inputs(ds)
        for dim in variable.dims
        if dim != "time" and not str(dim).startswith("depth")
    }


def block_size(ds: xr.Dataset, workers: int, *, stored: bool = True) -> BlockSize | None:
    """Choose the size of a block along the longest dimension of stations.

    Parameters
    ----------
    ds : Dataset
        Lazy or in memory.
    workers : int
        How many there are.
    stored : bool
        Whether it is read from its store block by block, so that the chunks there matter.

    Returns
    -------
    BlockSize or None
        None where there are no stations.
    """
    batch = batch_dims(ds)
    if not batch:
        return None
    dim = max(batch, key=lambda name: batch[name])
    count = max(1, batch[dim])
    inputs = [variable for variable in _inputs(ds) if dim in variable.dims]
    series = sum(variable.size for variable in inputs) * 8 / count
    others = math.prod(batch.values()) // count or 1
    size = int(min(max(BYTES / max(series, 1), LEAST / others), MOST / others))
    size = min(size, max(-(-count // (EACH * workers)), LANES // others))
    size = max(1, min(size, -(-count // workers)))
    chunk = _chunk(inputs, dim, count) if stored else 1
    if chunk <= size:
        return BlockSize(dim, size // chunk * chunk, "")
    if chunk * series <= MOST_BYTES and count > chunk * (workers - 1):
        return BlockSize(dim, chunk, "")
    size = -(-chunk // -(-chunk // size))  # so that few blocks lie across two chunks
    return BlockSize(dim, size, _cost(inputs, dim, size))


def _inputs(ds: xr.Dataset) -> list[xr.DataArray]:
    known = [ds[name] for name in map(str, ds.data_vars) if name in VARIABLES]
    return [variable for variable in known if "time" in variable.dims]


def _chunk(inputs: Iterable[xr.DataArray], dim: str, count: int) -> int:
    """Give the stations of a chunk; where variables differ, what all their chunks fit into."""
    sizes = {min(_stored(variable, dim), count) for variable in inputs}
    together = math.lcm(*sizes)
    return together if together <= max(MOST, *sizes) else max(sizes)


def _stored(variable: xr.DataArray, dim: str) -> int:
    """Give the size along a dimension of what is read at once: 1 where any part can be."""
    if variable.chunks is not None:
        return int(max(variable.chunksizes[dim]))
    chunks: Any = variable.encoding.get("preferred_chunks") or {}
    if dim not in chunks and len(chunks) == variable.ndim:  # it has been renamed
        return int([*chunks.values()][variable.dims.index(dim)])
    return int(chunks.get(dim, 1))


def _cost(inputs: Iterable[xr.DataArray], dim: str, size: int) -> str:
    """Say how often chunks are read, and what would help; nothing where it does not matter."""
    most, whole, read = 1, 0.0, 0.0
    for variable in inputs:
        count = variable.sizes[dim]
        firsts = np.arange(0, count, _stored(variable, dim))
        ends = np.append(firsts[1:], count)
        times = (ends - 1) // size - firsts // size + 1
        most = max(most, int(times.max()))
        whole += variable.nbytes
        read += variable.nbytes / count * float((times * (ends - firsts)).sum())
    if most == 1 or read < WORTH_TELLING:
        return ""
    return (
        f"the input is stored in chunks that hold more stations than a block of {size} and are "
        f"read up to {most} times each, {read / 1e9:.3g} GB in all for {whole / 1e9:.3g} GB of "
        f"data. A copy helps, made once: xr.open_zarr(IN, chunks={{}}).chunk({dim}={size}, "
        "time=-1).drop_encoding().to_zarr(COPY)"
    )
