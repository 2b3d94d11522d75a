"""Results into Zarr stores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import FsspecStore

__all__ = ["FILL", "consolidate", "consolidate_store", "plain", "to_zarr"]

#: Fill values of kinds that have no NaN.
FILL = {"i": -1, "b": False}


def to_zarr(
    result: xr.Dataset | xr.DataTree,
    store: Any,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a result, computing what is lazy; see `xlsm.accessor.LSMAccessor.to_zarr`."""
    options = dict(storage_options) if storage_options else None
    try:
        if isinstance(result, xr.DataTree):
            _write_groups(result, store, options)
        else:
            plain(result).to_zarr(
                store,
                mode="w-",
                zarr_format=3,
                encoding=_fills(result),
                consolidated=False,
                storage_options=options,
            )
    except FileExistsError as error:
        raise FileExistsError(
            f"{store} exists already and is left as it is: write to another name, or remove it"
        ) from error
    consolidate(store, options)


def _write_groups(tree: xr.DataTree, store: Any, options: dict[str, Any] | None) -> None:
    zarr.open_group(store, mode="w-", zarr_format=3, storage_options=options)
    for node in tree.subtree:
        if node.has_data:
            ds = node.to_dataset(inherit=False)
            plain(ds).to_zarr(
                store,
                group=node.path.strip("/"),
                mode="a",
                encoding=_fills(ds),
                consolidated=False,
                storage_options=options,
            )


def _fills(ds: xr.Dataset) -> dict[Any, dict[str, Any]]:
    # zarr's own fill value is zero, and a status that was never written would read "converged"
    return {
        name: {"fill_value": FILL.get(variable.dtype.kind, np.nan)}
        for name, variable in ds.data_vars.items()
    }


def plain(ds: xr.Dataset) -> xr.Dataset:
    """Give a result without what its input was encoded like, in regular chunks."""
    # a ragged last block would otherwise decide the chunks of the store
    regular = ds.chunk({dim: max(sizes) for dim, sizes in ds.chunksizes.items()})
    # coordinates come from the input, and would bring the chunks of its store
    regular = regular.drop_encoding()
    # Zarr has a specification for strings of variable length only; names, and dates of other
    # calendars, are encoded by looking at them
    texts = {n: c.compute().astype(object) for n, c in ds.coords.items() if c.dtype.kind in "UO"}
    return regular.assign_coords(texts)


def consolidate(store: Any, options: Mapping[str, Any] | None) -> None:
    """Put all metadata of a store in one place: one read instead of one per variable."""
    given = None if options is None else dict(options)
    opened = zarr.open_group(store, mode="r+", storage_options=given).store
    if isinstance(opened, FsspecStore):  # see `xlsm.pipeline.places.FsspecPlace.store`
        opened.fs.invalidate_cache()
    consolidate_store(opened)


def consolidate_store(store: Any) -> None:
    """Do it for a store of zarr, if it is of a kind that has it."""
    if not store.supports_consolidated_metadata:
        return
    with warnings.catch_warnings():
        # readers that do not know consolidated metadata skip it
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        # names are strings of variable length, which have no final specification yet
        warnings.filterwarnings("ignore", message="The data type")
        zarr.consolidate_metadata(store)
