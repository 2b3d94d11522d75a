"""From a batch of stations to their estimates: the one compiled kernel of an estimation."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.gradient import first_order
from xlsm.inference.groups import in_groups
from xlsm.inference.least_squares import Fit, decrement, gauss_newton
from xlsm.inference.posterior import laplace
from xlsm.inference.problem import Data, Problem, per_station, physical
from xlsm.inference.residuals import Behaviour, behaviour, by_observable
from xlsm.inference.sensitivity import Bars, sandwich
from xlsm.inference.strength import with_strengths
from xlsm.model.parameters import to_unbounded

__all__ = ["ERROR_BARS", "METHODS", "NEAR", "Estimate", "Status", "invert"]

METHODS = ("gauss_newton", "adam", "lbfgs")
#: Distance to the minimum (standard errors) up to which a station that did not converge has an
#: estimate nevertheless, and a flag: Gauss-Newton stalls at a kink of the model, Adam slowly ends.
NEAR = 0.1
#: What error bars rest on, and the least mean square that residuals are then believed to have.
ERROR_BARS = {"adjusted": 1.0, "estimated": 0.0, "stated": 1.0}


class Status(enum.IntEnum):
    """What became of a station. Up to ``not_identifiable`` there are estimates, beyond NaN."""

    not_computed = -1
    converged = 0
    at_bound = 1
    not_identifiable = 2
    limit_reached = 3
    no_observations = 4
    too_few_observations = 5
    forcing_gap = 6
    missing_parameter = 7
    non_finite_cost = 8
    implausible_values = 9
    no_initial_profile = 10
    impossible_estimate = 11
    raised = 12


class Estimate(NamedTuple):
    """Result of an estimation for s stations.

    Parameters
    ----------
    values, std : array, shape (P, s)
        Estimates and standard errors in physical units.
    covariance : array, shape (P, P, s)
        Covariance of the estimates.
    status : int8 array, shape (s,)
        A `Status`.
    cost : array, shape (s,)
        Half the sum of squared residuals over their standard errors.
    iterations : int32 array, shape (s,)
        Evaluations of the model after the first.
    residual_std : array, shape (observables, s)
        Root mean square residual of each observable, in its units.
    chi_square : array, shape (observables, s)
        Mean square residual over the square of its standard error.
    autocorrelation : array, shape (observables, s)
        Of a residual with the one before it; zero where it is not significant.
    daily : array, shape (observables, s)
        Part of the variance of the residuals that follows the hour of the day.
    spread : array, shape (P, s)
        Standard deviation over the starts that converged; NaN where fewer than two did.
    walk : array, shape (series, s)
        See `Data.walk`; as estimated where that was asked for.
    near : bool array, shape (s,)
        Whether it did not converge, but is so near to the minimum that it counts.
    """

    values: jax.Array
    std: jax.Array
    covariance: jax.Array
    status: jax.Array
    cost: jax.Array
    iterations: jax.Array
    residual_std: jax.Array
    chi_square: jax.Array
    autocorrelation: jax.Array
    daily: jax.Array
    spread: jax.Array
    walk: jax.Array
    near: jax.Array


@partial(jax.jit, static_argnames=("problem", "method", "error_bars", "lanes"))
def invert(
    problem: Problem,
    data: Data,
    guess: jax.Array,
    offsets: jax.Array,
    tolerance: jax.Array,
    max_steps: jax.Array,
    *,
    method: str,
    error_bars: str,
    lanes: int,
) -> Estimate:
    """Estimate the free parameters of every station of a batch.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers, with one batch axis of s stations.
    guess : array, shape (P, s)
        First guess in physical units.
    offsets : array, shape (starts, P)
        Where each start lies from the guess, in unbounded parameters.
    tolerance : array, shape ()
        Distance to the minimum (standard errors) at which a station is done.
    max_steps : array, shape ()
        Evaluations a start may have after its first.
    method : {"gauss_newton", "adam", "lbfgs"}
        The optimiser.
    error_bars : {"adjusted", "estimated", "stated"}
        What standard errors rest on: see `xlsm.accessor.LSMAccessor.estimate`.
    lanes : int
        Stations worked on at a time by Gauss-Newton.

    Returns
    -------
    Estimate
        The best start of each station; NaN where the status says it could not be solved.
    """
    count, stations = guess.shape
    bounds = (data.lower[:, None], data.upper[:, None], data.log_scale[:, None])
    centre = to_unbounded(guess, *bounds)
    start = (centre[:, :, None] + offsets.T[:, None]).reshape(count, -1)
    limits = {"tolerance": tolerance, "max_steps": max_steps}

    def minimise(data: Data, start: jax.Array) -> Fit:
        if method == "gauss_newton":
            return gauss_newton(problem, data, start, lanes=lanes, **limits)
        return first_order(problem, data, start, method=method, **limits)

    fit = minimise(data, start)
    spread = _spread(physical(data, fit.unbounded), fit.converged, stations)
    fit = _best(fit, stations)
    if any(one.estimated for one in problem.series):
        fit, data = with_strengths(problem, data, fit, minimise, lanes)

    seen, bars = _appraise(problem, data, fit, error_bars, lanes)
    posterior = laplace(data, fit.unbounded, fit.normal, bars)
    near = ~fit.converged & (decrement(fit.unbounded, fit.normal) <= NEAR)
    fit = fit._replace(converged=fit.converged | near)
    status = _status(problem, data, fit, posterior.at_bound, posterior.unseen)
    solved = status <= Status.not_identifiable
    chi_square, autocorrelation, daily = (
        by_observable(problem, data, values, weights)
        for values, weights in (
            (seen.square, seen.number),
            (seen.autocorrelation, seen.number),
            (seen.daily / jnp.where(seen.variance > 0, seen.variance, 1.0), seen.number),
        )
    )

    def keep(values: jax.Array) -> jax.Array:
        return jnp.where(solved, values, jnp.nan)

    return Estimate(
        values=keep(posterior.values),
        std=keep(posterior.std),
        covariance=keep(posterior.covariance),
        status=status,
        cost=keep(fit.normal.cost),
        iterations=fit.iterations.astype(jnp.int32),
        residual_std=keep(_root_mean_squares(problem, data, seen)),
        chi_square=keep(chi_square),
        autocorrelation=keep(autocorrelation),
        daily=keep(daily),
        spread=keep(spread),
        walk=keep(jnp.zeros((0, stations)) if data.walk is None else data.walk),
        near=near,
    )


def _appraise(
    problem: Problem, data: Data, fit: Fit, error_bars: str, lanes: int
) -> tuple[Behaviour, Bars]:
    """Look at the residuals where the fit ended, a cache-full of stations at a time."""

    def some(pick: Callable[[jax.Array], jax.Array]) -> tuple[Behaviour, Bars]:
        numbers, point = per_station(data, pick), pick(fit.unbounded)
        seen = behaviour(problem, numbers, point)
        if error_bars == "stated":
            matrix = pick(fit.normal.matrix)
            return seen, Bars(matrix, matrix)
        bars = sandwich(
            problem, numbers, point, seen, pick(fit.normal.matrix), at_least=ERROR_BARS[error_bars]
        )
        return seen, bars

    return in_groups(some, fit.unbounded.shape[-1], lanes)


def _spread(values: jax.Array, converged: jax.Array, stations: int) -> jax.Array:
    """Give the standard deviation over the starts that converged, shape (P, s)."""
    values, converged = values.reshape(len(values), stations, -1), converged.reshape(stations, -1)
    count = jnp.sum(converged, axis=-1)
    safe = jnp.where(converged, values, 0.0)
    mean = jnp.sum(safe, axis=-1) / jnp.maximum(count, 1)
    squares = jnp.sum(jnp.where(converged, (values - mean[..., None]) ** 2, 0.0), axis=-1)
    return jnp.where(count > 1, jnp.sqrt(squares / jnp.maximum(count - 1, 1)), jnp.nan)


def _best(fit: Fit, stations: int) -> Fit:
    """Take the start of lowest cost for each station, those that converged first."""

    def split(values: jax.Array) -> jax.Array:
        return values.reshape(*values.shape[:-1], stations, -1)

    cost = split(jnp.where(jnp.isfinite(fit.normal.cost), fit.normal.cost, jnp.inf))
    converged = split(fit.converged)
    ranked = jnp.where(converged | ~jnp.any(converged, -1, keepdims=True), cost, jnp.inf)
    best = jnp.argmin(ranked, axis=-1)
    station = jnp.arange(stations)
    chosen: Fit = jax.tree.map(lambda values: split(values)[..., station, best], fit)
    return chosen


def _root_mean_squares(problem: Problem, data: Data, seen: Behaviour) -> jax.Array:
    """Root mean square residuals, in units of the observables; NaN where there are none."""
    errors = []
    for name in problem.observed:
        shape = (data.observations[name].shape[1], seen.square.shape[-1])
        errors.append(jnp.broadcast_to(data.errors[name], shape))
    squares = seen.square * jnp.concatenate(errors) ** 2
    return jnp.sqrt(by_observable(problem, data, squares, seen.number))


def _status(
    problem: Problem, data: Data, fit: Fit, at_bound: jax.Array, unseen: jax.Array
) -> jax.Array:
    gap = jnp.zeros_like(at_bound)
    needed = [s for n, s in data.forcing.items() if n not in problem.model.tolerated]
    for series in needed:
        gap |= jnp.any(~jnp.isfinite(series), axis=tuple(range(series.ndim - 1)))
    unknown = jnp.zeros_like(at_bound)
    for profile in data.start.values():
        unknown |= jnp.any(~jnp.isfinite(profile), axis=tuple(range(profile.ndim - 1)))
    missing = jnp.zeros_like(at_bound)
    for name, value in data.fixed.items():
        known = jnp.isfinite(value)
        missing |= ~(jnp.all(known, axis=0) if name in problem.given else known)
    present = sum(jnp.sum(~jnp.isnan(o), axis=(0, 1)) for o in data.observations.values())
    # values that hang together, or are known before, need no observation each
    together = sum(len(one.knots) - 1 for one in problem.series if one.smooth)
    before = 0 if data.prior is None else jnp.sum(jnp.isfinite(data.prior.std), axis=0)
    few = present < len(problem.free) - together - before
    cases = [
        (gap, Status.forcing_gap),
        (unknown, Status.no_initial_profile),
        (missing, Status.missing_parameter),
        (present == 0, Status.no_observations),
        (few, Status.too_few_observations),
        (~jnp.isfinite(fit.normal.cost), Status.non_finite_cost),
        (~fit.converged, Status.limit_reached),
        (at_bound, Status.at_bound),
        (unseen, Status.not_identifiable),
    ]
    conditions, codes = zip(*cases, strict=True)
    status = jnp.select(list(conditions), [jnp.array(c) for c in codes], Status.converged)
    return status.astype(jnp.int8)
