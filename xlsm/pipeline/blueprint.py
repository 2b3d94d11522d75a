"""What a store will hold, region by region: a lazy result with its ledger, and where both lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.errors import DimensionError, LSMError
from xlsm.inference.invert import Status
from xlsm.pipeline.write import FILL, plain

__all__ = ["LEDGER", "MESSAGE", "Blueprint", "blueprint_of"]

#: Variable that is written last.
LEDGER = "status"
#: Variable with what was raised at stations that raised.
MESSAGE = "status_message"


class Blueprint(NamedTuple):
    """A result that will be written.

    Parameters
    ----------
    groups : dict of str to Dataset
        By path; ``""`` is the root. All variables that have a batch dimension are lazy.
    ledger : str
        Path of the ledger, such as ``status`` or ``constant_data/status``.
    dims : tuple of str
        Batch dimensions.
    sizes, chunks, inner : dict of str to int
        Along each of them its size, that of a region, and of a chunk within a region.
    own : bool
        Whether the ledger is the result's own; otherwise it says only what is written.
    """

    groups: dict[str, xr.Dataset]
    ledger: str
    dims: tuple[str, ...]
    sizes: dict[str, int]
    chunks: dict[str, int]
    inner: dict[str, int]
    own: bool

    @property
    def variables(self) -> dict[str, xr.Variable]:
        """All variables that are written by regions, by path; the ledger last, if it is here."""
        found = {
            join(path, str(name)): array.variable
            for path, ds in self.groups.items()
            for name, array in ds.data_vars.items()
            if set(array.dims) & set(self.dims)
        }
        if self.own:
            found[self.ledger] = found.pop(self.ledger)
        return found


def join(path: str, name: str) -> str:
    """Give the path of a variable in a group."""
    return f"{path}/{name}" if path else name


def blueprint_of(result: xr.Dataset | xr.DataTree, inner: Mapping[str, int] | None) -> Blueprint:
    """Cut a result into regions.

    Parameters
    ----------
    result : Dataset or DataTree
        Lazy or not.
    inner : mapping of str to int, optional
        Size of the chunks within a region along batch dimensions.

    Returns
    -------
    Blueprint

    Raises
    ------
    LSMError
        If there is no batch dimension to cut, or two groups are not cut alike.
    DimensionError
        If `inner` names what is no batch dimension, or does not divide a region.
    """
    if isinstance(result, xr.DataTree):
        groups = {
            node.path.strip("/"): plain(node.to_dataset(inherit=False))
            for node in result.subtree
            if node.has_data or node.attrs
        }
    else:
        groups = {"": plain(result)}
    home = next((path for path, ds in groups.items() if LEDGER in ds), None)
    own = home is not None
    if home is not None:
        ledger = groups[home][LEDGER]
    else:
        home, ledger = _first(groups)
    dims = tuple(map(str, ledger.dims))
    if not dims:
        raise LSMError(
            "resume=True writes station by station, and this result has no dimension of stations: "
            "write it without"
        )
    sizes = {dim: ledger.sizes[dim] for dim in dims}
    chunks = {dim: int(max(ledger.chunksizes.get(dim, (sizes[dim],)))) for dim in dims}
    return Blueprint(
        groups={path: _cut(ds, chunks) for path, ds in groups.items()},
        ledger=join(home, LEDGER),
        dims=dims,
        sizes=sizes,
        chunks=chunks,
        inner=_inner(inner or {}, chunks),
        own=own,
    )


def _first(groups: Mapping[str, xr.Dataset]) -> tuple[str, xr.DataArray]:
    """Find a variable that has all batch dimensions, without its others."""
    every = [v for ds in groups.values() for v in ds.data_vars.values() if v.dims]
    lazy = [v for v in every if v.chunks is not None] or every
    # what comes of a block of stations has their dimensions, and all else is its own
    batch = set.intersection(*(set(v.dims) for v in lazy)) - {"time", "depth"} if lazy else set()
    for path, ds in groups.items():
        for variable in ds.data_vars.values():
            if set(variable.dims) >= batch:
                others = [dim for dim in variable.dims if dim not in batch]
                # of the numbers only the shape is of use, and with it the chunks
                return path, variable.isel(dict.fromkeys(others, 0), drop=True)
    raise LSMError("no variable has all batch dimensions, and nothing says which is done")


def _cut(ds: xr.Dataset, chunks: Mapping[str, int]) -> xr.Dataset:
    """Cut all variables that have a batch dimension into regions, whole along the others."""
    return ds.assign(
        {
            name: variable.chunk({dim: chunks.get(str(dim), -1) for dim in variable.dims})
            for name, variable in ds.data_vars.items()
            if set(variable.dims) & set(chunks)
        }
    )


def _inner(wanted: Mapping[str, int], chunks: Mapping[str, int]) -> dict[str, int]:
    """Check the size of chunks within regions."""
    for dim, size in wanted.items():
        if dim not in chunks:
            raise DimensionError(
                f"chunks: {dim!r} is no dimension of stations; they are {', '.join(chunks)}"
            )
        if size < 1 or chunks[dim] % size:
            raise DimensionError(
                f"chunks={{{dim!r}: {size}}} does not divide a region, which has {chunks[dim]}: "
                f"chunk the input so that it does, ds.chunk({dim}=...)"
            )
    return {dim: int(wanted.get(dim, size)) for dim, size in chunks.items()}


def template_of(ds: xr.Dataset, batch: Mapping[str, int]) -> xr.Dataset:
    """Give a Dataset without its numbers: names, shapes, attributes, coordinates."""
    import dask.array as da

    empty = {}
    for name, variable in ds.data_vars.items():
        if not set(variable.dims) & set(batch):  # of no station: small, and written at once
            empty[name] = variable.compute().variable
            continue
        fill = FILL.get(variable.dtype.kind, np.nan)
        # one chunk, that the graph of a million regions is not made to be thrown away
        numbers = da.full(  # type: ignore[no-untyped-call]
            variable.shape, fill, dtype=variable.dtype, chunks=variable.shape
        )
        empty[name] = xr.Variable(variable.dims, numbers, variable.attrs)
    # coordinates are written with the template
    return xr.Dataset(empty, ds.coords.to_dataset().compute().coords, ds.attrs)


def attributes_of_ledger() -> dict[str, Any]:
    """Describe a ledger that a result has none of itself."""
    return {
        "long_name": "whether it is written",
        "flag_values": [FILL["i"], Status.converged.value, Status.raised.value],
        "flag_meanings": "not_computed written raised",
    }
