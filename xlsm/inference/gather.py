"""Matrices summed over all times, of however many free values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.inference.frame import Frame
from xlsm.inference.problem import Data, Problem, series_of
from xlsm.inference.sweep import framed, moved_along, sweep
from xlsm.inference.watch import Residuals, Row, in_blocks, rows_of

__all__ = ["gather"]

M = TypeVar("M")


def gather(
    problem: Problem,
    data: Data,
    unbounded: jax.Array,
    visit: Callable[[M, Residuals, list[jax.Array]], tuple[M, list[jax.Array]]],
    begin: Callable[[int], M],
    count: int,
) -> list[jax.Array]:
    """Sum matrices over all times, of all free values however many there are.

    Where they are many, only the derivatives of those are carried that are not forgotten, see
    `Series.memory`: the matrices are then banded, and right as far as what is forgotten was
    small.

    Parameters
    ----------
    problem, data, unbounded
        As in `sweep`.
    visit : callable
        Takes what it remembers of the time before, the residuals, and their derivatives along
        D directions, as in `sweep`; gives what to remember, and this time's share in each of the
        matrices, (D, D, ...).
    begin : callable
        What is remembered at first, of D directions: a tree of arrays (D, ...).
    count : int
        The number of matrices.

    Returns
    -------
    list of array, shapes (P, P, ...)
    """
    size, batch = len(unbounded), unbounded.shape[1:]

    def add(total: Any, residuals: Residuals, slopes: list[jax.Array]) -> Any:
        sums, memory = total
        memory, parts = visit(memory, residuals, slopes)
        return [s + part for s, part in zip(sums, parts, strict=True)], memory

    if not problem.backward:
        zeros = [jnp.zeros((size, size, *batch))] * count
        sums, _ = sweep(problem, data, unbounded, add, (zeros, begin(size)))
        return sums

    course, frame, stretch = framed(problem, data, unbounded)
    slots, (blocks, length) = len(frame.owner), frame.now.shape[:2]
    zeros = [jnp.zeros((slots, slots, *batch))] * count

    def step(carry: Any, given: tuple[Row, jax.Array, jax.Array], own: jax.Array) -> Any:
        inner, total = carry
        row, now, then = given
        moved, coming = moved_along(frame, own, now), moved_along(frame, own, then)
        return course.body(add, total, inner, row, moved, coming), None

    def block(carry: Any, given: Any) -> tuple[Any, list[jax.Array]]:
        (state, tangents, past), memory = carry
        rows, now, then, own, fresh = given

        def renewed(values: jax.Array, axis: int = 0) -> jax.Array:
            who = fresh[: values.shape[axis]]  # the last ones are constants, and never new
            return jnp.where(jnp.expand_dims(who, _others(values, axis)), 0.0, values)

        tangents = tangents._replace(
            plain=renewed(tangents.plain, 1),
            surface=renewed(tangents.surface),
            flux=renewed(tangents.flux),
        )
        if past:
            (view, view_moved), forcing = past
            past = (view, jax.tree.map(renewed, view_moved)), forcing
        memory = jax.tree.map(renewed, memory)
        begun = ((state, tangents, past), (zeros, memory))
        (inner, (sums, memory)), _ = jax.lax.scan(
            lambda carry, one: step(carry, one, own), begun, (rows, now, then)
        )
        return (inner, memory), sums

    rows = in_blocks(rows_of(data, series_of(problem, data, unbounded), blocks * length), blocks)
    fresh = np.array(frame.fresh)
    fresh[0] = False  # the first derivatives are those of the initial state
    given = (rows, frame.now, frame.then, stretch[frame.occupant], fresh)
    _, local = jax.lax.scan(block, (course.carry, begin(slots)), jax.tree.map(jnp.asarray, given))
    return [_spread(sums, frame, size) for sums in local]


def _others(values: jax.Array, axis: int) -> tuple[int, ...]:
    """All axes but one."""
    return tuple(i for i in range(values.ndim) if i != axis)


def _spread(local: jax.Array, frame: Frame, size: int) -> jax.Array:
    """Put the matrices of the blocks (blocks, slots, slots, ...) together: (size, size, ...)."""
    occupant = frame.occupant
    whole = jnp.zeros((size + 1, size + 1, *local.shape[3:]))
    return whole.at[occupant[:, :, None], occupant[:, None]].add(local)[:size, :size]
