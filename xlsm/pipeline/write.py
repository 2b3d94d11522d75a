"""Results into Zarr stores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr

__all__ = ["to_zarr"]

#: Fill values of kinds that have no NaN.
FILL = {"i": -1, "b": False}


def to_zarr(
    ds: xr.Dataset, store: Any, *, storage_options: Mapping[str, Any] | None = None
) -> None:
    """Write a result, computing what is lazy; see `xlsm.accessor.LSMAccessor.to_zarr`."""
    options = dict(storage_options) if storage_options else None
    # a ragged last block would otherwise decide the chunks of the store
    regular = ds.chunk({dim: max(sizes) for dim, sizes in ds.chunksizes.items()})
    # coordinates come from the input, and would bring the chunks of its store
    regular = regular.drop_encoding()
    # Zarr has a specification for strings of variable length only; names, and dates of other
    # calendars, are encoded by looking at them
    texts = {n: c.compute().astype(object) for n, c in ds.coords.items() if c.dtype.kind in "UO"}
    regular = regular.assign_coords(texts)
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
    with warnings.catch_warnings():
        # readers that do not know consolidated metadata skip it
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(zarr.open_group(store, mode="r+", storage_options=options).store)
