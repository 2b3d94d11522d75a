"""Whether the Zarr stores that a graph reads are still there.

A chunk that is not there reads as fill values, and so does every chunk of a store that was moved
away meanwhile: what was computed of it must not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import zarr
from zarr.core.sync import sync

from xlsm.errors import LSMError

__all__ = ["refuse_lost", "sources_of"]


def sources_of(graph: Mapping[Any, Any]) -> list[zarr.Array[Any]]:
    """Find the arrays of Zarr stores in a graph of Dask.

    Parameters
    ----------
    graph : mapping
        Of a region; xarray hands its arrays to Dask in layers of lazy indexing.

    Returns
    -------
    list of zarr.Array
    """
    found = {}
    for node in graph.values():
        inner = getattr(node, "value", node)
        while inner is not None and not isinstance(inner, zarr.Array):
            # xarray's layers call what they wrap `array`, and its wrapper of Zarr `_array`
            inner = getattr(inner, "array", None) or getattr(inner, "_array", None)
        if inner is not None:
            found[str(inner.store_path)] = inner
    return list(found.values())


def refuse_lost(arrays: list[zarr.Array[Any]]) -> None:
    """See that arrays are still where they were.

    Raises
    ------
    LSMError
        If the metadata of one are gone, and with them its chunks.
    """
    for array in arrays:
        names = ("zarr.json",) if array.metadata.zarr_format == 3 else (".zarray",)
        if not any(sync((array.store_path / name).exists()) for name in names):
            raise LSMError(
                f"the input {array.store_path} has disappeared while it was read: bring it back "
                "and run it again"
            )
