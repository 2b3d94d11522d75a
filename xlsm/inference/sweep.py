"""The model and its tangents run through time, residuals and derivatives shown to a visitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.inference.counterpart import counterparts
from xlsm.inference.frame import Frame, frame_of
from xlsm.inference.problem import Data, Problem, parameters_of, physical, series_of
from xlsm.inference.view import View, look_along, reader
from xlsm.inference.watch import Residuals, Row, first_of, rows_of, where_seen, whiten
from xlsm.model import tangent

__all__ = ["Course", "framed", "moved_along", "sweep"]

Values = Mapping[str, jax.Array]
T = TypeVar("T")


class Course(NamedTuple):
    """A run with tangents, ready to go."""

    carry: Any  # state, tangents, and what was seen of the step before
    body: Callable[..., Any]  # takes visitor, total, carry, row, and moved parameters


def _course(
    problem: Problem,
    data: Data,
    constant: Values,
    series: Values,
    moved_first: Values,
    changing: int,
) -> Course:
    """Begin a run and its tangents.

    Parameters
    ----------
    problem, data
        As in `sweep`.
    constant, series : mapping of str to array
        Parameters.
    moved_first : mapping of str to array, shape (D, ...)
        Derivative of all parameters that move along any direction, at the first time.
    changing : int
        Along how many directions, the last ones, constants change the coefficients of a step.
    """
    model = problem.model
    known = [name for name in moved_first if name not in problem.nuisances]
    first = {**constant, **first_of(series)}
    steady = not model.soil.forcing and model.stepper.exact is not None
    varied = tuple(name for name in problem.varying if name in model.operator_parameters)
    operator: Values | None = None
    changes: list[Values] = [{}] * changing
    moves = tuple(name for name in varied if name in moved_first)

    def directions_of(moved: Values) -> tangent.Directions:
        return tangent.Directions({name: moved[name] for name in known}, changes, moves)

    if steady and not varied:
        along = directions_of(moved_first).last(changing)
        operator, changes = tangent.operators(model, first, along, data.dt, {})
    read = reader(problem, data, first)

    def view_of(
        parameters: Values, moved: Values, state: Any, tangents: Any, forcing: Values
    ) -> tuple[View, View]:
        directions = directions_of(moved)
        return look_along(model, read, parameters, state, forcing, directions, tangents)

    def body(
        visit: Callable[..., Any], total: Any, carry: Any, row: Row, moved: Values, coming: Values
    ) -> tuple[Any, Any]:
        state, tangents, past = carry
        parameters = {**constant, **row.series}
        view, view_moved = view_of(parameters, moved, state, tangents, row.forcing)
        there = where_seen(problem, row.observations)

        def residuals_of(parameters: Values, view: View, before: View | None) -> list[jax.Array]:
            begin = None if before is None else (before, past[1])
            at = view, row.forcing
            predicted = counterparts(problem, data, read, parameters, begin, at)
            return whiten(problem, predicted, there, data, row.observations)

        def of_moving(moving: Values, view: View, before: View | None) -> list[jax.Array]:
            return residuals_of({**parameters, **moving}, view, before)

        before, before_moved = past[0] if past else (None, None)
        moving = {name: parameters[name] for name in moved}
        values, slopes = tangent.push(
            of_moving, (moving, view, before), (moved, view_moved, before_moved)
        )
        total = visit(total, Residuals(values, there), slopes)
        if past:
            past = (view, view_moved), row.forcing
        state, tangents = tangent.step(
            model,
            {**constant, **row.next_series},
            operator,
            state,
            row.forcing,
            row.next_forcing,
            data.dt,
            directions_of(coming),
            tangents,
        )
        return (state, tangents, past), total

    state, tangents = tangent.begin(
        model, first, data.forcing, data.start, data.dt, directions_of(moved_first)
    )
    past = None
    if problem.means:
        now = first_of(data.forcing)
        past = view_of(first, moved_first, state, tangents, now), now
    return Course((state, tangents, past), body)


def sweep(
    problem: Problem,
    data: Data,
    unbounded: jax.Array,
    visit: Callable[[T, Residuals, list[jax.Array]], T],
    total: T,
    basis: jax.Array | None = None,
) -> T:
    """Run the model and its tangents, and show residuals and derivatives to a visitor.

    The tangents are carried through time beside the state: no Jacobian is stored, so that memory
    does not grow with the number of times.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The free values on the real line.
    visit : callable
        Takes what it gave at the time before, the residuals, and their derivatives,
        (D, channels, ...) for each observable.
    total : tree of arrays
        What it is given at the first time.
    basis : array, shape (D, P, ...), optional
        Directions of the derivatives, not with series; by default along each of the free values.

    Returns
    -------
    tree of arrays
        What it gave at the last time.
    """
    if problem.series:
        return _sweep_series(problem, data, unbounded, visit, total)
    model, batch = problem.model, unbounded.shape[1:]
    if basis is None:
        # directions that change the coefficients of a step go last
        changing = np.array(tangent.changing(model, problem.free))
        order = np.argsort(changing, kind="stable")
        basis = jnp.eye(len(order))[order].reshape((len(order), len(order)) + (1,) * len(batch))
        basis = jnp.broadcast_to(basis, (len(order), *unbounded.shape))
        count = int(np.count_nonzero(changing))
    else:
        order = np.arange(len(basis))
        count = len(basis) if any(tangent.changing(model, problem.free)) else 0
    back = np.argsort(order)  # to the order the caller knows
    everything = partial(parameters_of, problem, data)
    constant, moved = tangent.push(everything, (unbounded,), (basis,))
    moved = {name: moved[name] for name in problem.free}
    series = series_of(problem, data, unbounded)
    course = _course(problem, data, constant, series, moved, count)

    def in_order(total: T, residuals: Residuals, slopes: list[jax.Array]) -> T:
        return visit(total, residuals, [slope[back] for slope in slopes])

    def body(carry: Any, row: Row) -> tuple[Any, None]:
        inner, total = carry
        return course.body(in_order, total, inner, row, moved, moved), None

    (_, total), _ = jax.lax.scan(body, (course.carry, total), rows_of(data, series))
    return total


def _sweep_series(
    problem: Problem,
    data: Data,
    unbounded: jax.Array,
    visit: Callable[[T, Residuals, list[jax.Array]], T],
    total: T,
) -> T:
    """Do it where parameters vary in time, and the part of each value in them with it."""
    course, frame, stretch = framed(problem, data, unbounded)
    order = frame.occupant[0]
    back, own = np.argsort(order), stretch[order]

    def in_order(total: T, residuals: Residuals, slopes: list[jax.Array]) -> T:
        return visit(total, residuals, [slope[back] for slope in slopes])

    def body(carry: Any, rows: tuple[Row, jax.Array, jax.Array]) -> tuple[Any, None]:
        inner, total = carry
        row, now, then = rows
        moved, coming = moved_along(frame, own, now), moved_along(frame, own, then)
        return course.body(in_order, total, inner, row, moved, coming), None

    rows = rows_of(data, series_of(problem, data, unbounded))
    parts = jnp.asarray(frame.now[0]), jnp.asarray(frame.then[0])
    (_, total), _ = jax.lax.scan(body, (course.carry, total), (rows, *parts))
    return total


def framed(problem: Problem, data: Data, unbounded: jax.Array) -> tuple[Course, Frame, jax.Array]:
    """Begin a run whose tangents are those of a frame's slots.

    Returns
    -------
    course : Course
    frame : Frame
    stretch : array, shape (P + 1, ...)
        Derivative of each physical value; last, zero for a slot that none has.
    """
    frame = frame_of(problem, len(next(iter(data.forcing.values()))))
    _, stretch = jax.jvp(partial(physical, data), (unbounded,), (jnp.ones_like(unbounded),))
    stretch = jnp.concatenate([stretch, jnp.zeros_like(stretch[:1])])
    constant = parameters_of(problem, data, unbounded)
    series = series_of(problem, data, unbounded)
    first = moved_along(frame, stretch[frame.occupant[0]], jnp.asarray(frame.now[0, 0]))
    return _course(problem, data, constant, series, first, frame.changing), frame, stretch


def moved_along(frame: Frame, stretch: jax.Array, part: jax.Array) -> dict[str, jax.Array]:
    """Give the derivatives of the parameters at one time along each slot: (slots, ...).

    Parameters
    ----------
    frame : Frame
        The slots.
    stretch : array, shape (slots, ...)
        Derivative of the physical value that has each.
    part : array, shape (slots,)
        Part of this value in its parameter at the time.
    """
    tail = (-1,) + (1,) * (stretch.ndim - 1)
    rows = stretch * part.reshape(tail)
    names = dict.fromkeys(frame.owner)
    return {
        name: rows * np.array([owner == name for owner in frame.owner], float).reshape(tail)
        for name in names
    }
