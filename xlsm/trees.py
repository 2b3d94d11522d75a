"""``tree.lsm``: what can be done with the DataTree that ``ds.lsm.sample`` gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from xlsm.writing import write_result

__all__ = ["LSMTreeAccessor"]


@xr.register_datatree_accessor("lsm")
class LSMTreeAccessor:
    """What can be done with the samples that ``ds.lsm.sample`` gives: ``tree.lsm``."""

    def __init__(self, tree: xr.DataTree) -> None:
        self._obj = tree

    def to_zarr(
        self,
        store: Any,
        *,
        resume: bool = False,
        overwrite: bool = False,
        chunks: Mapping[str, int] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the groups to a new Zarr store, as ``ds.lsm.to_zarr`` writes a Dataset.

        Parameters
        ----------
        store, resume, overwrite, chunks, storage_options
            As of `xlsm.accessor.LSMAccessor.to_zarr`.

        Raises
        ------
        FileExistsError, LSMError, DimensionError
            As `xlsm.accessor.LSMAccessor.to_zarr` does.

        Examples
        --------
        >>> import tempfile, xarray as xr, xlsm
        >>> ds = xlsm.tutorial.open_dataset("twin").isel(station=[0], time=slice(30))
        >>> drawn = ds.chunk(station=1).lsm.sample("albedo", observed="LWup", draws=4, warmup=4)
        >>> folder = tempfile.TemporaryDirectory()
        >>> drawn.lsm.to_zarr(f"{folder.name}/drawn.zarr", resume=True)
        >>> xr.open_datatree(f"{folder.name}/drawn.zarr", engine="zarr").posterior.albedo.shape
        (4, 4, 1)
        >>> folder.cleanup()
        """
        write_result(
            self._obj,
            store,
            resume=resume,
            overwrite=overwrite,
            chunks=chunks,
            storage_options=storage_options,
        )
