"""Regions: the pieces of the batch dimensions that are computed and written as one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Region", "missing", "named", "places", "regions", "stations"]

#: For each batch dimension its name, first index and end.
Region = tuple[tuple[str, int, int], ...]


def regions(sizes: Mapping[Any, int], chunks: Mapping[str, int]) -> Iterator[Region]:
    """Give all regions of the batch dimensions.

    Examples
    --------
    >>> list(regions({"station": 5}, {"station": 3}))
    [(('station', 0, 3),), (('station', 3, 5),)]
    """
    ranges = [
        [(dim, first, min(first + step, sizes[dim])) for first in range(0, sizes[dim], step)]
        for dim, step in chunks.items()
    ]
    return itertools.product(*ranges)


def missing(
    done: np.ndarray[Any, Any], dims: Sequence[str], chunks: Mapping[str, int]
) -> Iterator[Region]:
    """Give the regions in which something is not done.

    Parameters
    ----------
    done : bool array
        With the dimensions `dims`.
    dims : sequence of str
        Batch dimensions.
    chunks : mapping of str to int
        Size of a region along each.
    """
    sizes = dict(zip(dims, done.shape, strict=True))
    for region in regions(sizes, chunks):
        if not done[places(dims, region)].all():
            yield region


def places(dims: Sequence[str], region: Region) -> tuple[slice, ...]:
    """Where a region lies in a variable."""
    known = {dim: slice(first, end) for dim, first, end in region}
    return tuple(known.get(dim, slice(None)) for dim in dims)


def stations(region: Region) -> int:
    """Count the stations of a region."""
    return math.prod(end - first for _, first, end in region)


def named(region: Region) -> str:
    """Name a region in a message.

    Examples
    --------
    >>> named((("station", 0, 3), ("member", 4, 5)))
    'station 0 to 2, member 4'
    """
    return ", ".join(
        f"{dim} {first}" + (f" to {end - 1}" if end - first > 1 else "")
        for dim, first, end in region
    )
