"""The misfit between model and observations, its gradient and its Gauss-Newton matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.gather import gather
from xlsm.inference.prior import prior_cost, prior_equations
from xlsm.inference.problem import Data, Problem
from xlsm.inference.sweep import sweep
from xlsm.inference.watch import Residuals, watch

__all__ = ["Normal", "cost", "normal_equations"]


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


def _losses(problem: Problem, residuals: Sequence[jax.Array]) -> jax.Array:
    """Loss of each observable at one time, shape (observables, ...)."""
    losses = [problem.likelihood(i).loss(r) for i, r in enumerate(residuals)]
    return jnp.stack([jnp.sum(loss, axis=0) for loss in losses])


def _misfit(problem: Problem, data: Data, unbounded: jax.Array) -> jax.Array:
    """Loss of each observable, shape (observables, ...)."""

    def add(total: jax.Array, residuals: Residuals) -> jax.Array:
        return total + _losses(problem, residuals.values)

    nothing = jnp.zeros((len(problem.observed), *unbounded.shape[1:]))
    return watch(problem, data, unbounded, add, nothing)


def cost(problem: Problem, data: Data, unbounded: jax.Array) -> jax.Array:
    """Give what is minimised: the losses of all residuals, and half the squares of the prior.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The free values on the real line.

    Returns
    -------
    array, shape (...)
        The cost; differentiable in reverse and forward mode.
    """
    misfit = jnp.sum(_misfit(problem, data, unbounded), axis=0)
    return misfit + prior_cost(problem, data, unbounded)


def normal_equations(problem: Problem, data: Data, unbounded: jax.Array) -> Normal:
    """Cost, gradient and J^T J.

    One run of the model and its P tangents gives all of them where there are few free values, or
    none of them varies in time. Else the gradient is that of reverse mode, exact and as dear as a
    few runs however many values there are, and J^T J that of tangents which are forgotten after
    a while (see `gather`): Gauss-Newton steps need it but roughly, and where they end depends on
    the gradient alone.

    A residual of a likelihood that is not normal has the weight ``rho'(r) / r`` in the matrix,
    as in iteratively reweighted least squares.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The free values on the real line.

    Returns
    -------
    Normal
        The normal equations of each station.
    """
    of_data = (_backward if problem.backward else _forward)(problem, data, unbounded)
    before, gradient, matrix = prior_equations(problem, data, unbounded)
    return Normal(
        jnp.concatenate([of_data.misfit, before[None]]),
        of_data.gradient + gradient,
        of_data.matrix + matrix,
    )


def _weighted(
    problem: Problem, residuals: Residuals, slopes: Sequence[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Give the derivatives of all residuals of a time, and the same by their weights."""
    weights = [problem.likelihood(i).weight(r) for i, r in enumerate(residuals.values)]
    slope = jnp.concatenate(slopes, axis=1)
    return slope, slope * jnp.concatenate(weights)


def _forward(problem: Problem, data: Data, unbounded: jax.Array) -> Normal:
    """Give those of the observations, forward in time."""
    count, batch = unbounded.shape[0], unbounded.shape[1:]

    def add(total: Normal, residuals: Residuals, slopes: list[jax.Array]) -> Normal:
        slope, weighted = _weighted(problem, residuals, slopes)
        return Normal(
            total.misfit + _losses(problem, residuals.values),
            total.gradient + jnp.sum(weighted * jnp.concatenate(residuals.values), axis=1),
            total.matrix + jnp.sum(slope[:, None] * weighted[None], axis=2),
        )

    zero = Normal(
        jnp.zeros((len(problem.observed), *batch)),
        jnp.zeros((count, *batch)),
        jnp.zeros((count, count, *batch)),
    )
    return sweep(problem, data, unbounded, add, zero)


def _backward(problem: Problem, data: Data, unbounded: jax.Array) -> Normal:
    """Give those of the observations, the gradient backward in time."""

    def whole(unbounded: jax.Array) -> tuple[jax.Array, jax.Array]:
        misfit = _misfit(problem, data, unbounded)
        return jnp.sum(misfit), misfit  # stations do not know of each other

    (_, misfit), gradient = jax.value_and_grad(whole, has_aux=True)(unbounded)

    def add(_: None, residuals: Residuals, slopes: list[jax.Array]) -> tuple[None, list[jax.Array]]:
        slope, weighted = _weighted(problem, residuals, slopes)
        return None, [jnp.sum(slope[:, None] * weighted[None], axis=2)]

    (matrix,) = gather(problem, data, unbounded, add, lambda _: None, 1)
    return Normal(misfit, gradient, matrix)
