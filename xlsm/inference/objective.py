"""The misfit between model and observations, its gradient and its Gauss-Newton matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.model import column, tangent
from xlsm.model.model import Model
from xlsm.model.parameters import to_physical

__all__ = ["Data", "Normal", "Problem", "cost", "normal_equations"]

Values = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is estimated, and from what: everything but the numbers.

    Parameters
    ----------
    model : Model
        The forward model.
    free : tuple of str
        Names of the estimated parameters, P of them.
    observed : tuple of str
        Names of the observables; ``"SoilTemp"`` stands for as many channels as there are depths.
    """

    model: Model
    free: tuple[str, ...]
    observed: tuple[str, ...]


class Data(NamedTuple):
    """The numbers of a batch of stations; batch axes last, written as ``...``.

    Parameters
    ----------
    forcing : mapping of str to array, shape (time, ...)
        Forcing of the model.
    start : mapping of str to array
        What was observed at the first time; see `xlsm.model.initial.Initial`.
    fixed : mapping of str to array, shape (...)
        Parameters that are not estimated.
    observations : mapping of str to array, shape (time, channels, ...)
        One entry for each observable; ``SoilTemp`` has a channel a depth, the others one.
        NaN is missing.
    errors : mapping of str to array, shape ()
        Standard error of each observable, in its units.
    dt : array, shape ()
        Time step (s).
    depths : array, shape (z,)
        Depths of the soil temperatures (m).
    lower, upper : array, shape (P,)
        Bounds of the free parameters.
    log_scale : bool array, shape (P,)
        Which of them are transformed on a logarithmic scale.
    """

    forcing: Mapping[str, jax.Array]
    start: Mapping[str, jax.Array]
    fixed: Mapping[str, jax.Array]
    observations: Mapping[str, jax.Array]
    errors: Mapping[str, jax.Array]
    dt: jax.Array
    depths: jax.Array
    lower: jax.Array
    upper: jax.Array
    log_scale: jax.Array


class Normal(NamedTuple):
    """Gauss-Newton normal equations in the unbounded parameters.

    Parameters
    ----------
    misfit : array, shape (observables, ...)
        Half the sum of squared residuals, each over its standard error, of each observable.
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


def parameters_of(problem: Problem, data: Data, unbounded: jax.Array) -> dict[str, jax.Array]:
    """All parameters by name from the unbounded free ones, shape (P, ...)."""
    tail = (-1,) + (1,) * (unbounded.ndim - 1)
    bounds = (data.lower.reshape(tail), data.upper.reshape(tail), data.log_scale.reshape(tail))
    values = to_physical(unbounded, *bounds)
    return {**data.fixed, **dict(zip(problem.free, values, strict=True))}


def _predict(
    problem: Problem,
    parameters: Values,
    soil: jax.Array,
    surface: jax.Array,
    flux: jax.Array,
    forcing: Values,
) -> dict[str, jax.Array]:
    """Model counterpart of the observations at one time, each (channels, ...)."""
    fluxes = problem.model.fluxes(surface, forcing, parameters)
    predicted = fluxes | {"AvgSurfT": surface, "Qg": flux}
    return {
        name: soil if name == "SoilTemp" else predicted[name][None] for name in problem.observed
    }


def _whiten(problem: Problem, predicted: Values, now: Data) -> list[jax.Array]:
    """Residuals over their standard errors, zero where missing: (channels, ...) of each."""
    residuals = []
    for name in problem.observed:
        observed = now.observations[name]
        there = ~jnp.isnan(observed)
        # the inner where keeps NaN out of the derivative of the outer one
        difference = predicted[name] - jnp.where(there, observed, 0.0)
        residuals.append(jnp.where(there, difference / now.errors[name], 0.0))
    return residuals


def _half_squares(residuals: list[jax.Array]) -> jax.Array:
    """Half the sum of squares of each observable, shape (observables, ...)."""
    return jnp.stack([0.5 * jnp.sum(r**2, axis=0) for r in residuals])


def _series(data: Data) -> tuple[Any, Any, Any]:
    """Give forcing and observations of each time, and the forcing of the next.

    After the last time a step is taken that nobody looks at: cheaper than to compile what is
    done at each time once more for the first.
    """

    def shift(series: jax.Array) -> jax.Array:
        return jnp.concatenate([series[1:], series[-1:]])

    return data.forcing, data.observations, jax.tree.map(shift, data.forcing)


def cost(problem: Problem, data: Data, unbounded: jax.Array) -> jax.Array:
    """Half the sum of squared, whitened residuals, shape (...).

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
    model = problem.model
    parameters = parameters_of(problem, data, unbounded)
    operator = column.constant_operator(model, parameters, data.dt)
    sampler = model.stepper.sample(model, data.depths)

    def body(carry: tuple[column.State, jax.Array], series: Any) -> tuple[Any, None]:
        state, total = carry
        now = data._replace(forcing=series[0], observations=series[1])
        soil = column.observe(model, parameters, state, now.forcing, sampler)
        predicted = _predict(problem, parameters, soil, *state[1:], now.forcing)
        total += jnp.sum(_half_squares(_whiten(problem, predicted, now)), axis=0)
        state = column.step(model, parameters, operator, state, series[0], series[2], data.dt)
        return (state, total), None

    state = column.begin(model, parameters, data.forcing, data.start, data.dt)
    carry = (state, jnp.zeros(unbounded.shape[1:]))
    (_, total), _ = jax.lax.scan(body, carry, _series(data))
    return total


def normal_equations(problem: Problem, data: Data, unbounded: jax.Array) -> Normal:
    """Cost, gradient and J^T J in one run of the model and its P tangents.

    The tangents are carried through time beside the state, and the products are added up on the
    way: no Jacobian is stored, so that memory does not grow with the number of times.

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
    model, batch = problem.model, unbounded.shape[1:]
    sampler = model.stepper.sample(model, data.depths)
    # directions that change the coefficients of a step go last
    changing = np.array(tangent.changing(model, problem.free))
    order = np.argsort(changing, kind="stable")
    basis = jnp.eye(len(order))[order].reshape((len(order), len(order)) + (1,) * len(batch))
    basis = jnp.broadcast_to(basis, (len(order), *unbounded.shape))
    everything = partial(parameters_of, problem, data)
    parameters, moved = tangent.push(everything, (unbounded,), (basis,))
    directions = tangent.Directions({name: moved[name] for name in problem.free}, [])
    along = directions.last(int(np.count_nonzero(changing)))
    operator: Values | None = None
    changes: list[Values] = [{}] * len(along)
    if not model.soil.forcing and model.stepper.exact is not None:
        operator, changes = tangent.operators(model, parameters, along, data.dt, {})
    directions = directions._replace(operators=changes)

    def add(total: Normal, state: column.State, tangents: tangent.Tangents, now: Data) -> Normal:
        soil, soil_moved = tangent.observe(
            model, parameters, state, now.forcing, sampler, directions, tangents
        )

        def residuals_of(
            parameters: Values, soil: jax.Array, surface: jax.Array, flux: jax.Array
        ) -> Any:
            predicted = _predict(problem, parameters, soil, surface, flux, now.forcing)
            return _whiten(problem, predicted, now)

        separate, separate_slopes = tangent.push(
            residuals_of,
            (parameters, soil, state.surface, state.flux),
            (moved, jnp.moveaxis(soil_moved, 1, 0), tangents.surface, tangents.flux),
        )
        residuals = jnp.concatenate(separate)
        slopes = jnp.concatenate(separate_slopes, axis=1)
        return Normal(
            total.misfit + _half_squares(separate),
            total.gradient + jnp.sum(slopes * residuals, axis=1),
            total.matrix + jnp.sum(slopes[:, None] * slopes[None], axis=2),
        )

    def body(carry: Any, series: Any) -> tuple[Any, None]:
        state, tangents, total = carry
        now = data._replace(forcing=series[0], observations=series[1])
        total = add(total, state, tangents, now)
        state, tangents = tangent.step(
            model, parameters, operator, state, series[0], series[2], data.dt, directions, tangents
        )
        return (state, tangents, total), None

    state, tangents = tangent.begin(
        model, parameters, data.forcing, data.start, data.dt, directions
    )
    count = len(order)
    zero = Normal(
        jnp.zeros((len(problem.observed), *batch)),
        jnp.zeros((count, *batch)),
        jnp.zeros((count, count, *batch)),
    )
    (_, _, total), _ = jax.lax.scan(body, (state, tangents, zero), _series(data))
    back = np.argsort(order)  # to the order of the free parameters
    return Normal(total.misfit, total.gradient[back], total.matrix[back][:, back])
