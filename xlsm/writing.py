"""Results into stores: at once, or block by block with a bar to look at."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import xarray as xr
from rich.console import Console

from xlsm.errors import LSMError
from xlsm.pipeline.durable import to_zarr_durably
from xlsm.pipeline.write import to_zarr
from xlsm.progress import station_bar

__all__ = ["write_result"]


def write_result(
    result: xr.Dataset | xr.DataTree,
    store: Any,
    *,
    resume: bool,
    overwrite: bool,
    chunks: Mapping[str, int] | None,
    storage_options: Mapping[str, Any] | None,
) -> None:
    """Write a result; see `xlsm.accessor.LSMAccessor.to_zarr`."""
    if not resume:
        if overwrite or chunks:
            raise LSMError("overwrite= and chunks= belong to resume=True")
        to_zarr(result, store, storage_options=storage_options)
        return
    console = Console()
    bar: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if console.is_terminal or console.is_jupyter:  # somebody looks
        bar = station_bar(console)
    with bar as watch:
        to_zarr_durably(
            result,
            store,
            storage_options=storage_options,
            chunks=chunks,
            overwrite=overwrite,
            watch=watch,
        )
