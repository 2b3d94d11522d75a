"""Results into Zarr stores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr

__all__ = ["FILL", "consolidate", "plain", "to_zarr"]

#: Fill values of kinds that have no NaN.
FILL = {"i": -1, "b": False}


def to_zarr(
    ds: xr.Dataset, store: Any, *, storage_options: Mapping[str, Any] | None = None
) -> None:
    """Write a result, computing what is lazy; see `xlsm.accessor.LSMAccessor.to_zarr`."""
    options = dict(storage_options) if storage_options else None
    regular = plain(ds)
    # zarr's own fill value is zero, and a status that was never written would read "converged"
    encoding = {
        name: {"fill_value": FILL.get(variable.dtype.kind, np.nan)}
        for name, variable in ds.data_vars.items()
    }
    try:
        regular.to_zarr(
            store,
            mode="w-",
            zarr_format=3,
            encoding=encoding,
            consolidated=False,
            storage_options=options,
        )
    except FileExistsError as error:
        raise FileExistsError(
            f"{store} exists already and is left as it is: write to another name, or remove it"
        ) from error
    consolidate(store, options)


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
    with warnings.catch_warnings():
        # readers that do not know consolidated metadata skip it
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        given = None if options is None else dict(options)
        group = zarr.open_group(store, mode="r+", storage_options=given)
        zarr.consolidate_metadata(group.store)
