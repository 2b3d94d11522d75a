"""What is known before any observation, as a part of the cost."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.inference.problem import Data, Problem, natural, physical

__all__ = ["Walk", "prior_cost", "prior_equations", "walk_of"]

Index = np.ndarray[Any, np.dtype[np.intp]]


def _distances(data: Data, unbounded: jax.Array) -> jax.Array:
    """Distance of each free value from its prior, in its standard deviations; (P, ...)."""
    if data.prior is None:
        return jnp.zeros_like(unbounded)
    return data.prior.residuals(physical(data, unbounded))


class Walk(NamedTuple):
    """Changes from one value of a series to the next, where these are known to be small.

    Parameters
    ----------
    first : int array, shape (pairs,)
        Index of the value before, among the free ones; the one after follows it.
    series : int array, shape (pairs,)
        Which series they belong to.
    change : array, shape (pairs, ...)
        In standard deviations.
    back, ahead : array, shape (pairs, ...)
        Derivatives by the value before, and by the one after.
    """

    first: Index
    series: Index
    change: jax.Array
    back: jax.Array
    ahead: jax.Array


def walk_of(problem: Problem, data: Data, unbounded: jax.Array) -> Walk | None:
    """Give the random walks; None where there are none."""
    smooth = [(i, one) for i, one in enumerate(problem.series) if one.smooth]
    if data.walk is None or not smooth:
        return None
    first = np.concatenate([np.arange(one.values.start, one.values.stop - 1) for _, one in smooth])
    series = np.concatenate([np.full(len(one.knots) - 1, i) for i, one in smooth])
    width = data.walk[series]

    def line(unbounded: jax.Array) -> jax.Array:
        return natural(data, physical(data, unbounded))

    values, stretch = jax.jvp(line, (unbounded,), (jnp.ones_like(unbounded),))
    return Walk(
        first,
        series,
        (values[first + 1] - values[first]) / width,
        -stretch[first] / width,
        stretch[first + 1] / width,
    )


def prior_cost(problem: Problem, data: Data, unbounded: jax.Array) -> jax.Array:
    """Half the sum of squares of all that is known before.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers; of these prior, walk and bounds.
    unbounded : array, shape (P, ...)
        The free values on the real line.

    Returns
    -------
    array, shape (...)
    """
    squares = jnp.sum(_distances(data, unbounded) ** 2, axis=0)
    walk = walk_of(problem, data, unbounded)
    if walk is not None:
        squares += jnp.sum(walk.change**2, axis=0)
    return 0.5 * squares


def prior_equations(
    problem: Problem, data: Data, unbounded: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cost, gradient and Gauss-Newton matrix of what is known before.

    Parameters
    ----------
    problem, data, unbounded
        As in `prior_cost`.

    Returns
    -------
    cost : array, shape (...)
    gradient : array, shape (P, ...)
    matrix : array, shape (P, P, ...)
    """
    one = jnp.ones_like(unbounded)
    distance, slope = jax.jvp(partial(_distances, data), (unbounded,), (one,))
    eye = jnp.eye(len(unbounded)).reshape((len(unbounded),) * 2 + (1,) * (unbounded.ndim - 1))
    cost, gradient, matrix = 0.5 * jnp.sum(distance**2, axis=0), slope * distance, eye * slope**2
    walk = walk_of(problem, data, unbounded)
    if walk is None:
        return cost, gradient, matrix
    first, second = walk.first, walk.first + 1
    both = walk.back * walk.ahead
    cost += 0.5 * jnp.sum(walk.change**2, axis=0)
    gradient = gradient.at[first].add(walk.back * walk.change)
    gradient = gradient.at[second].add(walk.ahead * walk.change)
    matrix = matrix.at[first, first].add(walk.back**2).at[second, second].add(walk.ahead**2)
    return cost, gradient, matrix.at[first, second].add(both).at[second, first].add(both)
