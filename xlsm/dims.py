"""Dimensions: the core ones whole and in their place, the batch ones fitting together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from xlsm.errors import DimensionError
from xlsm.variables import VARIABLES

__all__ = ["check_batch_dims", "check_core_dims"]


def check_core_dims(
    da: xr.DataArray,
    name: str,
    *,
    core: Iterable[str] = ("time",),
    optional: Iterable[str] | None = None,
) -> None:
    """Require the core dimensions, each in one chunk.

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
        If a core dimension is missing or chunked, or ``time`` or ``depth`` is there and has no
        business there.

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
        chunks = da.variable.chunksizes.get(dim, (1,))
        if len(chunks) > 1:
            raise DimensionError(
                f"{name} is split along {dim!r} into {len(chunks)} chunks, but every step of the "
                f"model needs the one before: use ds.chunk({dim}=-1) and chunk a batch dimension."
            )


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
