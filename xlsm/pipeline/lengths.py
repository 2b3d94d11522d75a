"""Stations whose records begin late or end early on an axis of time that all of them share."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from xlsm.model.model import Model
from xlsm.pipeline.forked import refuse_fork

__all__ = ["After", "Plan", "by_length", "least_times", "spans"]

Array = np.ndarray[Any, np.dtype[Any]]
Outputs = tuple[Array, ...]
#: What an array is after the end of a station's record: its last value, or missing; None where
#: it has no axis of time.
After = Literal["same", "missing"] | None

#: Times computed over times recorded, up to which lengths are put together, for every one of them
#: has to be compiled; or up to this part more than with all of them, but never twice.
ENOUGH, MORE = 1.5, 1.125


class Plan(NamedTuple):
    """What the arrays of a block are, for `by_length`.

    Parameters
    ----------
    model : Model
        Its forcing comes first among the arrays.
    core_ndims : sequence of int
        How many of the last axes of each array are core axes; time is the first of them.
    after : sequence of {"same", "missing", None}
        What each is after the end of a record.
    tied : bool
        Whether the axis of time means more than a distance from its first time, so that a
        record that begins late cannot be moved to it.
    in_time : bool
        Whether the outputs have an axis of time, the first of their core axes.
    """

    model: Model
    core_ndims: Sequence[int]
    after: Sequence[After]
    tied: bool = False
    in_time: bool = False


def least_times(model: Model) -> int:
    """Count the times that a record must have for the model to run."""
    return max(2, model.initial.spin_up[0] + 1)


def spans(absent: Array, least: int = 2) -> tuple[Array, Array]:
    """Find the record of each station: from its first to its last time with all forcing.

    Parameters
    ----------
    absent : bool array, shape (..., time)
        Times at which some forcing is missing.
    least : int
        Times that a record must have; a shorter one is not cut out.

    Returns
    -------
    first, count : int array, shape (...)
        Index of the first time, and how many there are: all of them where the record is too
        short, none where there is no time with all forcing.

    Examples
    --------
    >>> there = np.array([[0, 1, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    >>> spans(~there)
    (array([1, 0, 0]), array([3, 5, 0]))
    """
    times = absent.shape[-1]
    first = np.argmin(absent, axis=-1)
    count = times - np.argmin(absent[..., ::-1], axis=-1) - first
    none = absent.all(axis=-1)
    short = none | (count < least)
    return np.where(short, 0, first), np.where(none, 0, np.where(short, times, count))


def by_length(
    function: Callable[[Sequence[Array], int], Outputs],
    arrays: Sequence[Array],
    plan: Plan,
    size: int,
    group: Callable[[int], int],
) -> Outputs:
    """Compute each station of a block over its own record, and not over what surrounds it.

    Records are moved to the first time and computed together with others of about their length:
    the whole axis, half of it, a quarter, ..., so that each pays for less than twice its own,
    or, where a length would hardly be worth its compilation, all of them for less than that.
    Where all are as long as the axis, the block is computed as it is.

    Parameters
    ----------
    function : callable
        Takes arrays and how many stations to pad them to, gives outputs (batch..., core...).
    arrays : sequence of array, shapes (batch..., core...)
        Batch shapes that broadcast.
    plan : Plan
        What they are.
    size : int
        Number of stations to pad to, at least those of the block.
    group : callable
        Says how many of so many stations go through time together: those of one length are
        computed as many at a time, where a block has several.

    Returns
    -------
    tuple of array, shapes (batch..., core...)
        Outputs in time are NaN outside of a station's record.
    """
    needed = _needed(arrays, plan)
    if not any(_at_ends(array, ndim).any() for array, ndim in needed):
        return function(arrays, size)
    refuse_fork()
    leads = [a.shape[: a.ndim - n] for a, n in zip(arrays, plan.core_ndims, strict=True)]
    shape = np.broadcast_shapes(*leads)
    absent = functools.reduce(operator.or_, (_absent(array, ndim) for array, ndim in needed))
    times, least, together = absent.shape[-1], least_times(plan.model), min(size, group(size))
    absent = np.broadcast_to(absent, (*shape, times)).reshape(-1, times)
    first, count = spans(absent, least)
    if plan.tied:
        count = np.where(first > 0, times, count)
        first = np.zeros_like(first)
        length = np.full(first.shape, times)
    else:
        length = _lengths(count, times, least, together)
    if ((length == times) & ((count == times) | (count == 0))).all():
        return function(arrays, size)
    used = np.unique(length)
    if used.size == 1:
        together = size
    outputs: list[Array] = []
    for each in used:
        alike = np.flatnonzero(length == each)
        for begin in range(0, alike.size, together):
            some = alike[begin : begin + together]
            own = first[some], count[some]
            pieces = [
                _cut_out(array, ndim, after, some, shape, own, each)
                for array, ndim, after in zip(arrays, plan.core_ndims, plan.after, strict=True)
            ]
            found = function(pieces, together)
            if not outputs:
                outputs = [_empty(one, first.size, times, plan.in_time) for one in found]
            for whole, part in zip(outputs, found, strict=True):
                _put(whole, part, some, own, plan.in_time)
    return tuple(whole.reshape(shape + whole.shape[1:]) for whole in outputs)


def _needed(arrays: Sequence[Array], plan: Plan) -> list[tuple[Array, int]]:
    """Take the forcing that must not be missing, and how many core axes it has."""
    forcing = zip(plan.model.forcing, arrays, plan.core_ndims, strict=False)
    return [(array, n) for name, array, n in forcing if name not in plan.model.tolerated]


def _at_ends(array: Array, ndim: int) -> Array:
    """Look at the first and the last time alone: most records are whole, and that is soon seen."""
    ends: Array = np.isnan(np.moveaxis(array, -ndim, 0)[[0, -1]])
    return ends


def _absent(array: Array, ndim: int) -> Array:
    """Where it is missing, at any of its levels, (batch..., time)."""
    absent = np.isnan(array)
    return np.asarray(absent.any(axis=-1) if ndim > 1 else absent)


def _lengths(count: Array, times: int, least: int, together: int) -> Array:
    """Give each station the length it is computed at, if so many at a time cost the same.

    Examples
    --------
    >>> _lengths(np.array([100, 100, 51, 50, 20]), 100, 2, together=1)
    array([100, 100, 100,  50,  50])
    >>> _lengths(np.array([100, 20, 20, 20, 0]), 100, 2, together=1)
    array([100,  25,  25,  25,  25])
    >>> _lengths(np.array([100, 20, 20, 20, 0]), 100, 2, together=4)
    array([100, 100, 100, 100, 100])
    """
    sizes = [times]
    while (half := -(-sizes[0] // 2)) >= least and half < sizes[0]:
        sizes.insert(0, half)
    there = count > 0
    if not there.any():
        return np.full(count.shape, times)
    length = np.asarray(sizes)[np.searchsorted(sizes, count)]

    def cost(length: Array) -> int:
        used, stations = np.unique(length[there], return_counts=True)
        return int(np.sum(-(-stations // together) * together * used))

    used = np.unique(length[there])
    twice = 2 * count.sum() + (together - 1) * used.sum()  # the last group may be nearly empty
    enough = max(ENOUGH * count.sum(), min(MORE * cost(length), twice))
    for shorter, longer in itertools.pairwise(used):
        joined = np.where(length == shorter, longer, length)
        if cost(joined) <= enough:
            length = joined
    # who has nothing is flagged whatever the length
    return np.where(there, length, length[there].min())


def _cut_out(
    array: Array,
    ndim: int,
    after: After,
    stations: Array,
    shape: tuple[int, ...],
    own: tuple[Array, Array],
    length: int,
) -> Array:
    """Take some stations of an array, each from its own first time on, (stations, core...)."""
    batch = shape or (1,)
    everywhere = np.broadcast_to(array, batch + array.shape[array.ndim - ndim :])
    places = np.unravel_index(stations, batch)
    if after is None:
        return everywhere[places]
    first, count = (numbers[:, None] for numbers in own)
    step = np.arange(length)
    last = first + np.where(count > 0, count, length) - 1
    cut: Array = everywhere[(*(place[:, None] for place in places), np.minimum(first + step, last))]
    if after == "missing":
        cut[first + step > last] = np.nan
    return cut


def _empty(part: Array, stations: int, times: int, in_time: bool) -> Array:
    if in_time:
        return np.full((stations, times, *part.shape[2:]), np.nan)
    return np.empty((stations, *part.shape[1:]), part.dtype)


def _put(
    whole: Array, part: Array, stations: Array, own: tuple[Array, Array], in_time: bool
) -> None:
    """Put the outputs of some stations where they belong."""
    if not in_time:
        whole[stations] = part
        return
    for station, values, first, count in zip(stations, part, *own, strict=True):
        whole[station, first : first + count] = values[:count]
