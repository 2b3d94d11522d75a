"""Blocks of stations: from named arrays to the kernels' shapes and back.

The kernels want one batch axis, last, of a size that is always the same; Datasets have any
number of batch dimensions, first, and a last chunk that is smaller than the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.model.model import Model
from xlsm.model.parameters import ParameterSpec
from xlsm.pipeline.compiled import keep_compiled
from xlsm.pipeline.forked import refuse_fork
from xlsm.pipeline.isolate import is_watched, isolated
from xlsm.variables import plausible

__all__ = [
    "Block",
    "apply_blocks",
    "from_batch",
    "implausible",
    "leading_core",
    "outside_is_nan",
    "unpack",
]

Array = np.ndarray[Any, np.dtype[Any]]


def to_batch(
    arrays: Sequence[Array], core_ndims: Sequence[int], size: int
) -> tuple[list[Array], tuple[int, ...]]:
    """Bring arrays to one batch axis, last, padded to `size` with NaN.

    Parameters
    ----------
    arrays : sequence of array, shapes (batch..., core...)
        Batch shapes that broadcast.
    core_ndims : sequence of int
        How many of the last axes of each array are core axes.
    size : int
        Size of the batch axis to give, at least the number of stations.

    Returns
    -------
    arrays : list of array, shapes (core..., size)
    shape : tuple of int
        The broadcast batch shape, for `from_batch`.

    Examples
    --------
    >>> (tair, albedo), shape = to_batch([np.ones((2, 3, 5)), np.zeros(3)], [1, 0], size=8)
    >>> tair.shape, albedo.shape, shape
    ((5, 8), (8,), (2, 3))
    """
    leads = [a.shape[: a.ndim - n] for a, n in zip(arrays, core_ndims, strict=True)]
    shape = np.broadcast_shapes(*leads)
    batched = []
    for array, lead in zip(arrays, leads, strict=True):
        core = array.shape[len(lead) :]
        flat = np.broadcast_to(array, shape + core).reshape((math.prod(shape), *core))
        padded = np.full((*core, size), np.nan)
        padded[..., : flat.shape[0]] = np.moveaxis(flat, 0, -1)
        batched.append(padded)
    return batched, shape


class Block(NamedTuple):
    """What a verb's block was given, ready for a kernel; n is the padded number of stations.

    Parameters
    ----------
    forcing : dict of str to array, shapes (time, n) or (time, depth, n)
        Forcing of the model; a value that cannot be is NaN.
    start : dict of str to array, shapes (..., n)
        What the initial state wants of the first time.
    rest : list of array, shapes (core..., n)
        All other arrays.
    shape : tuple of int
        The batch shape, for `from_batch`.
    bad : bool array, shape (n,)
        Stations with a value in their forcing that cannot be.
    """

    forcing: dict[str, Array]
    start: dict[str, Array]
    rest: list[Array]
    shape: tuple[int, ...]
    bad: Array


def leading_core(model: Model) -> list[int]:
    """Count the core axes of the arrays that come first: forcing, and the profile it starts on."""
    profile = [name in model.profiles for name in model.forcing]
    first = [2] if model.initial.observed else []
    return [*(2 if deep else 1 for deep in profile), *first]


def unpack(arrays: Sequence[Array], model: Model, rest: Sequence[int], size: int) -> Block:
    """Sort the arrays of a block: forcing, the first time, and the others.

    Parameters
    ----------
    arrays : sequence of array, shapes (batch..., core...)
        In this order.
    model : Model
        Says which forcing there is.
    rest : sequence of int
        Core axes of the others.
    size : int
        Number of stations to pad to.

    Returns
    -------
    Block
    """
    refuse_fork()
    keep_compiled()
    names, core = model.forcing, leading_core(model)
    first = model.initial.observed
    if first:  # of the profile, all but the first time is another's
        arrays = [*arrays[: len(names)], arrays[len(names)][..., 0, :], *arrays[len(core) :]]
        core[-1] = 1
    batch, shape = to_batch(arrays, [*core, *rest], size)
    forcing, bad = {}, np.zeros(size, bool)
    for name, series in zip(names, batch, strict=False):
        wrong = implausible(series, plausible(name))
        forcing[name] = np.where(wrong, np.nan, series)
        bad |= wrong.any(axis=tuple(range(wrong.ndim - 1)))
    others = batch[len(names) :]
    start = {}
    if first:
        profile_then, *others = others
        wrong = implausible(profile_then, plausible("SoilTemp"))
        start = model.initial.digest(model, np.where(wrong, np.nan, profile_then))
    return Block(forcing, start, others, shape, bad)


def from_batch(array: Array, shape: tuple[int, ...]) -> Array:
    """Undo `to_batch`: (core..., size) to (batch..., core...).

    Examples
    --------
    >>> from_batch(np.zeros((5, 8)), (2, 3)).shape
    (2, 3, 5)
    """
    first = np.moveaxis(np.asarray(array), -1, 0)[: math.prod(shape)]
    return np.array(first.reshape(shape + first.shape[1:]), order="C")


def outside_is_nan(values: Any, spec: ParameterSpec) -> Any:
    """Turn values outside the physical bounds into NaN: what was lazy could not be refused.

    Examples
    --------
    >>> from xlsm.model.albedo import ALBEDO
    >>> outside_is_nan(np.array([0.2, 7.0]), ALBEDO)
    array([0.2, nan])
    """
    lower, upper = spec.bounds
    return np.where((values >= lower) & (values <= upper), values, np.nan)


def implausible(values: Array, plausible: tuple[float, float]) -> Array:
    """Mark finite values that cannot be: fill values, wrong units, dead sensors.

    Examples
    --------
    >>> implausible(np.array([290.0, np.nan, -9999.0]), (200.0, 380.0))
    array([False, False,  True])
    """
    lower, upper = plausible
    outside: Array = np.isfinite(values) & ((values < lower) | (values > upper))
    return outside


def apply_blocks(
    function: Callable[..., Any],
    inputs: Sequence[xr.DataArray],
    *,
    core_dims: Sequence[Sequence[str]],
    output_dims: Sequence[Sequence[str]],
    output_dtypes: Sequence[Any],
    output_sizes: Mapping[str, int],
    settings: Any,
    blanks: Mapping[int, int] | None = None,
) -> tuple[xr.DataArray, ...]:
    """Apply a function of NumPy blocks, eagerly or lazily.

    Parameters
    ----------
    function : callable
        Module-level function of the blocks with keywords ``settings`` and ``size``; returns a
        tuple of arrays.
    inputs : sequence of DataArray
        All other dimensions than the core dimensions are batch dimensions.
    core_dims, output_dims : sequence of sequences of str
        Core dimensions of each input and output, last in each block.
    output_dtypes : sequence
        Of each output.
    output_sizes : mapping of str to int
        Sizes of dimensions that only the outputs have.
    settings : hashable
        Handed to the function; pickled where workers are processes.
    blanks : mapping of int to int, optional
        What outputs of whole numbers, by their place, hold of a station whose computation raised;
        given where one of them says so. The others of its block are then not affected.

    Returns
    -------
    tuple of DataArray
        In the order of `output_dims`; lazy where any input is.
    """
    # a scalar coordinate, left from a selection, would clash with a dimension of the outputs
    inputs = [array.drop_vars(set(array.coords) & set(output_sizes)) for array in inputs]
    unified = [array for array in xr.unify_chunks(*inputs) if isinstance(array, xr.DataArray)]
    core = {dim for dims in core_dims for dim in dims}
    sizes = {dim: array.sizes[dim] for array in unified for dim in array.dims} | {**output_sizes}
    outputs = [
        (tuple(sizes[dim] for dim in dims), np.dtype(dtype).str, (blanks or {}).get(place, 0))
        for place, (dims, dtype) in enumerate(zip(output_dims, output_dtypes, strict=True))
    ]
    result = xr.apply_ufunc(
        _isolated,
        *unified,
        input_core_dims=list(core_dims),
        output_core_dims=list(output_dims),
        kwargs={
            "function": function,
            "core_ndims": tuple(len(dims) for dims in core_dims),
            "outputs": tuple(outputs),
            "flagged": blanks is not None,
            "settings": settings,
            "size": _block_size(unified, core),
        },
        dask="parallelized",
        output_dtypes=list(output_dtypes),
        dask_gufunc_kwargs={"output_sizes": dict(output_sizes)},
        keep_attrs=False,
    )
    return result if isinstance(result, tuple) else (result,)


def _isolated(
    *arrays: Array,
    function: Callable[..., Any],
    core_ndims: Sequence[int],
    outputs: Sequence[tuple[tuple[int, ...], str, int]],
    flagged: bool,
    settings: Any,
    size: int,
) -> Any:
    """Compute a block; a station that raises is blank, and the others are as if it were not."""

    def some(arrays: Sequence[Array], *, size: int) -> tuple[Array, ...]:
        result = function(*arrays, settings=settings, size=size)
        return result if isinstance(result, tuple) else (result,)

    def blank(shape: tuple[int, ...]) -> tuple[Array, ...]:
        return tuple(
            np.full((*shape, *core), np.nan if np.dtype(dtype).kind == "f" else value, dtype)
            for core, dtype, value in outputs
        )

    if not (flagged or is_watched()):  # nobody would be told of a station that is blank
        return function(*arrays, settings=settings, size=size)
    found = isolated(some, arrays, core_ndims, blank, size=size)
    return found if len(outputs) > 1 else found[0]


def _block_size(inputs: Iterable[xr.DataArray], core: set[str]) -> int:
    """Count the stations of the largest block: the size all blocks are padded to."""
    largest: dict[Any, int] = {}
    for array in inputs:
        for dim in set(array.dims) - core:
            chunks = array.chunksizes.get(dim, (array.sizes[dim],))
            # an array that is not chunked is cut as the others are
            known = largest.get(dim, array.sizes[dim])
            largest[dim] = min(known, max(chunks))
    return max(1, math.prod(largest.values()))
