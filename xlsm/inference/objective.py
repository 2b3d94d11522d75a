"""The misfit between model and observations, its gradient and its Gauss-Newton matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.inference.counterpart import counterparts
from xlsm.inference.problem import Data, Problem, parameters_of, physical
from xlsm.inference.view import View, look, look_along, reader
from xlsm.model import column, tangent

__all__ = [
    "Normal",
    "Residuals",
    "cost",
    "normal_equations",
    "prior_residuals",
    "sweep",
    "watch",
]

Values = Mapping[str, jax.Array]
T = TypeVar("T")


class Normal(NamedTuple):
    """Gauss-Newton normal equations in the unbounded parameters.

    Parameters
    ----------
    misfit : array, shape (observables + 1, ...)
        Loss of each observable, half the sum of squared residuals over their standard errors
        where errors are normal; last, half the sum of squares of the prior.
    gradient : array, shape (P, ...)
        Gradient of their sum, J^T r.
    matrix : array, shape (P, P, ...)
        J^T J.
    """

    misfit: jax.Array
    gradient: jax.Array
    matrix: jax.Array

    @property
    def cost(self) -> jax.Array:
        """Sum of all misfits, shape (...): what is minimised."""
        return jnp.sum(self.misfit, axis=0)


class Residuals(NamedTuple):
    """Model minus observations at one time, over their standard errors.

    Parameters
    ----------
    values : list of array, shapes (channels, ...)
        One for each observable; zero where it is missing.
    there : list of bool array, shapes (channels, ...)
        Where it is not.
    """

    values: list[jax.Array]
    there: list[jax.Array]


def _there(problem: Problem, now: Data) -> list[jax.Array]:
    """Where there are observations at one time: (channels, ...) of each."""
    return [~jnp.isnan(now.observations[name]) for name in problem.observed]


def _whiten(
    problem: Problem, predicted: Values, there: Sequence[jax.Array], now: Data
) -> list[jax.Array]:
    """Residuals over their standard errors, zero where missing: (channels, ...) of each."""
    residuals = []
    for name, known in zip(problem.observed, there, strict=True):
        # the inner where keeps NaN out of the derivative of the outer one
        difference = predicted[name] - jnp.where(known, now.observations[name], 0.0)
        residuals.append(jnp.where(known, difference / now.errors[name], 0.0))
    return residuals


def _losses(problem: Problem, residuals: Sequence[jax.Array]) -> jax.Array:
    """Loss of each observable at one time, shape (observables, ...)."""
    losses = [problem.likelihood(i).loss(r) for i, r in enumerate(residuals)]
    return jnp.stack([jnp.sum(loss, axis=0) for loss in losses])


def _series(data: Data) -> tuple[Any, Any, Any]:
    """Give forcing and observations of each time, and the forcing of the next.

    After the last time a step is taken that nobody looks at: cheaper than to compile what is
    done at each time once more for the first.
    """

    def shift(series: jax.Array) -> jax.Array:
        return jnp.concatenate([series[1:], series[-1:]])

    return data.forcing, data.observations, jax.tree.map(shift, data.forcing)


def watch(
    problem: Problem,
    data: Data,
    unbounded: jax.Array,
    visit: Callable[[T, Residuals], T],
    total: T,
) -> T:
    """Run the model and show the residuals of every time to a visitor, in their order.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The free parameters on the real line.
    visit : callable
        Takes what it gave at the time before, and the residuals.
    total : tree of arrays
        What it is given at the first time.

    Returns
    -------
    tree of arrays
        What it gave at the last time; differentiable in reverse and forward mode.
    """
    model = problem.model
    parameters = parameters_of(problem, data, unbounded)
    operator = column.constant_operator(model, parameters, data.dt)
    read = reader(problem, data, parameters)

    def body(carry: Any, series: Any) -> tuple[Any, None]:
        state, past, total = carry
        now = data._replace(forcing=series[0], observations=series[1])
        view = look(model, read, parameters, state, now.forcing)
        predicted = counterparts(problem, data, read, parameters, past, (view, now.forcing))
        there = _there(problem, now)
        total = visit(total, Residuals(_whiten(problem, predicted, there, now), there))
        state = column.step(model, parameters, operator, state, series[0], series[2], data.dt)
        return (state, (view, now.forcing) if past else None, total), None

    state = column.begin(model, parameters, data.forcing, data.start, data.dt)
    past = None
    if problem.means:  # of the first time, which ends no step, nothing is observed
        first = _first(data)
        past = look(model, read, parameters, state, first), first
    (_, _, total), _ = jax.lax.scan(body, (state, past, total), _series(data))
    return total


def _first(data: Data) -> Values:
    """Give the forcing of the first time."""
    return {name: series[0] for name, series in data.forcing.items()}


def cost(problem: Problem, data: Data, unbounded: jax.Array) -> jax.Array:
    """Give what is minimised: the losses of all residuals, and half the squares of the prior.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The free parameters on the real line.

    Returns
    -------
    array, shape (...)
        The cost; differentiable in reverse and forward mode.
    """

    def add(total: jax.Array, residuals: Residuals) -> jax.Array:
        return total + jnp.sum(_losses(problem, residuals.values), axis=0)

    total = watch(problem, data, unbounded, add, jnp.zeros(unbounded.shape[1:]))
    before, _ = prior_residuals(data, unbounded)
    return total + 0.5 * jnp.sum(before**2, axis=0)


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
        The free parameters on the real line.
    visit : callable
        Takes what it gave at the time before, the residuals, and their derivatives,
        (D, channels, ...) for each observable.
    total : tree of arrays
        What it is given at the first time.
    basis : array, shape (D, P, ...), optional
        Directions of the derivatives; by default along each of the free parameters.

    Returns
    -------
    tree of arrays
        What it gave at the last time.
    """
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
    parameters, moved = tangent.push(everything, (unbounded,), (basis,))
    known = [name for name in problem.free if name not in problem.nuisances]
    directions = tangent.Directions({name: moved[name] for name in known}, [])
    along = directions.last(count)
    operator: Values | None = None
    changes: list[Values] = [{}] * len(along)
    if not model.soil.forcing and model.stepper.exact is not None:
        operator, changes = tangent.operators(model, parameters, along, data.dt, {})
    directions = directions._replace(operators=changes)

    read = reader(problem, data, parameters)

    def view_of(
        state: column.State, tangents: tangent.Tangents, forcing: Values
    ) -> tuple[View, View]:
        return look_along(model, read, parameters, state, forcing, directions, tangents)

    def body(carry: Any, series: Any) -> tuple[Any, None]:
        state, tangents, past, total = carry
        now = data._replace(forcing=series[0], observations=series[1])
        view, view_moved = view_of(state, tangents, now.forcing)
        there = _there(problem, now)

        def residuals_of(parameters: Values, view: View, before: View | None) -> list[jax.Array]:
            begin = None if before is None else (before, past[1])
            at = view, now.forcing
            predicted = counterparts(problem, data, read, parameters, begin, at)
            return _whiten(problem, predicted, there, now)

        before, before_moved = past[0] if past else (None, None)
        values, slopes = tangent.push(
            residuals_of, (parameters, view, before), (moved, view_moved, before_moved)
        )
        total = visit(total, Residuals(values, there), [slope[back] for slope in slopes])
        if past:
            past = (view, view_moved), now.forcing
        state, tangents = tangent.step(
            model, parameters, operator, state, series[0], series[2], data.dt, directions, tangents
        )
        return (state, tangents, past, total), None

    state, tangents = tangent.begin(
        model, parameters, data.forcing, data.start, data.dt, directions
    )
    past = None
    if problem.means:
        first = _first(data)
        past = view_of(state, tangents, first), first
    (_, _, _, total), _ = jax.lax.scan(body, (state, tangents, past, total), _series(data))
    return total


def normal_equations(problem: Problem, data: Data, unbounded: jax.Array) -> Normal:
    """Cost, gradient and J^T J in one run of the model and its P tangents.

    A residual of a likelihood that is not normal has the weight ``rho'(r) / r`` in the matrix,
    as in iteratively reweighted least squares.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The free parameters on the real line.

    Returns
    -------
    Normal
        The normal equations of each station.
    """
    count, batch = unbounded.shape[0], unbounded.shape[1:]

    def add(total: Normal, residuals: Residuals, slopes: list[jax.Array]) -> Normal:
        weights = [problem.likelihood(i).weight(r) for i, r in enumerate(residuals.values)]
        values, slope = jnp.concatenate(residuals.values), jnp.concatenate(slopes, axis=1)
        weighted = slope * jnp.concatenate(weights)
        return Normal(
            total.misfit + _losses(problem, residuals.values),
            total.gradient + jnp.sum(weighted * values, axis=1),
            total.matrix + jnp.sum(slope[:, None] * weighted[None], axis=2),
        )

    zero = Normal(
        jnp.zeros((len(problem.observed), *batch)),
        jnp.zeros((count, *batch)),
        jnp.zeros((count, count, *batch)),
    )
    total = sweep(problem, data, unbounded, add, zero)
    before, slopes = prior_residuals(data, unbounded)
    unit = jnp.eye(count).reshape((count, count) + (1,) * len(batch))
    return Normal(
        jnp.concatenate([total.misfit, 0.5 * jnp.sum(before**2, axis=0, keepdims=True)]),
        total.gradient + slopes * before,
        total.matrix + unit * slopes**2,
    )


def prior_residuals(data: Data, unbounded: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Distance of each free parameter from its prior, and the derivative, (P, ...); or zeros."""
    if data.prior is None:
        return jnp.zeros_like(unbounded), jnp.zeros_like(unbounded)
    prior = data.prior

    def distance(unbounded: jax.Array) -> jax.Array:
        return prior.residuals(physical(data, unbounded))

    residuals, slopes = jax.jvp(distance, (unbounded,), (jnp.ones_like(unbounded),))
    return residuals, slopes
