"""What residuals look like: their size, their autocorrelation, what follows the hour of the day."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.linear import solve_positive
from xlsm.inference.problem import Data, Problem
from xlsm.inference.watch import Residuals, watch

__all__ = ["Behaviour", "behaviour", "by_observable"]

DAY = 86400.0
#: Mean, and cosine and sine of the day and of half of it.
WAVES = 5
#: Part of the count added to the diagonal of their products, for hours that nobody saw.
RIDGE = 1e-9
#: Autocorrelations below so many of their standard errors are taken for none.
SIGNIFICANT = 2.0
#: Largest autocorrelation that is believed.
LARGEST = 0.999


class Behaviour(NamedTuple):
    """Statistics of the residuals over their standard errors, one for each channel.

    Parameters
    ----------
    number : array, shape (C, ...)
        How many there are.
    square : array, shape (C, ...)
        Mean of their squares.
    score, curvature : array, shape (C, ...)
        Means of rho'(r)^2 and of rho''(r) of the likelihood; both the square and one where
        errors are normal.
    autocorrelation : array, shape (C, ...)
        Correlation of a residual with the one observed before it, corrected for its bias
        (Kendall 1954 [1]_); zero where it is not significant.
    variance, daily : array, shape (C, ...)
        Variance about the mean, and the part of it that follows the hour of the day, in its
        first two harmonics.

    References
    ----------
    .. [1] Kendall, M. G. (1954), Biometrika 41, 403-404.
    """

    number: jax.Array
    square: jax.Array
    score: jax.Array
    curvature: jax.Array
    autocorrelation: jax.Array
    variance: jax.Array
    daily: jax.Array


class _Sums(NamedTuple):
    time: jax.Array  # () index of the time
    last: jax.Array  # (C, ...) residual observed last
    pairs: jax.Array  # (C, ...) how many have one before them
    products: jax.Array  # (C, ...) with that
    number: jax.Array
    square: jax.Array
    score: jax.Array
    curvature: jax.Array
    along: jax.Array  # (waves, C, ...) products with the waves
    gram: jax.Array  # (waves, waves, C, ...) of the waves among each other


def behaviour(problem: Problem, data: Data, unbounded: jax.Array) -> Behaviour:
    """Run the model once and describe its residuals.

    Parameters
    ----------
    problem : Problem
        What was estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The free parameters on the real line.

    Returns
    -------
    Behaviour
        One entry for each channel, in the order of the observables.
    """

    def add(sums: _Sums, residuals: Residuals) -> _Sums:
        value, there = jnp.concatenate(residuals.values), jnp.concatenate(residuals.there)
        laws = [problem.likelihood(i) for i in range(len(residuals.values))]
        pairs = list(zip(laws, residuals.values, strict=True))
        score = jnp.concatenate([law.weight(r) * r for law, r in pairs])
        curvature = jnp.concatenate([law.curvature(r) for law, r in pairs])
        angle = 2 * math.pi * sums.time * data.dt / DAY
        waves = jnp.stack(
            [
                jnp.ones_like(angle),
                jnp.cos(angle),
                jnp.sin(angle),
                jnp.cos(2 * angle),
                jnp.sin(2 * angle),
            ]
        ).reshape((WAVES,) + (1,) * value.ndim)
        return _Sums(
            time=sums.time + 1,
            last=jnp.where(there, value, sums.last),
            pairs=sums.pairs + (there & (sums.number > 0)),
            products=sums.products + value * sums.last,  # both zero where there is none
            number=sums.number + there,
            square=sums.square + value**2,
            score=sums.score + score**2,
            curvature=sums.curvature + jnp.where(there, curvature, 0.0),
            along=sums.along + waves * value,
            gram=sums.gram + waves[:, None] * waves[None] * there,
        )

    channels = sum(values.shape[1] for values in data.observations.values())
    zero = jnp.zeros((channels, *unbounded.shape[1:]))
    none = jnp.zeros(zero.shape, int)
    empty = _Sums(
        time=jnp.array(0),
        last=zero,
        pairs=none,
        products=zero,
        number=none,
        square=zero,
        score=zero,
        curvature=zero,
        along=jnp.zeros((WAVES, *zero.shape)),
        gram=jnp.zeros((WAVES, WAVES, *zero.shape)),
    )
    sums = watch(problem, data, unbounded, add, empty)

    number = jnp.maximum(sums.number, 1)
    mean = sums.along[0] / number
    variance = jnp.maximum(sums.square / number - mean**2, 0.0)
    daily = jnp.maximum(_explained(sums) / number - mean**2, 0.0)
    correlation = sums.products / jnp.maximum(sums.pairs, 1)
    correlation /= jnp.where(sums.square > 0, sums.square / number, 1.0)
    correlation += (1 + 3 * correlation) / number
    significant = correlation > SIGNIFICANT / jnp.sqrt(number)
    return Behaviour(
        number=sums.number,
        square=sums.square / number,
        score=sums.score / number,
        curvature=sums.curvature / number,
        autocorrelation=jnp.where(significant, jnp.minimum(correlation, LARGEST), 0.0),
        variance=variance,
        daily=jnp.minimum(daily, variance),
    )


def _explained(sums: _Sums) -> jax.Array:
    """Sum of the squares of the waves fitted to the residuals, shape (C, ...)."""
    ridge = RIDGE * (1.0 + sums.number)
    eye = jnp.eye(WAVES).reshape((WAVES, WAVES) + (1,) * sums.number.ndim)
    solved = solve_positive(sums.gram + ridge * eye, sums.along[:, None])[:, 0]
    return jnp.sum(sums.along * solved, axis=0)


def by_observable(problem: Problem, data: Data, values: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted mean over the channels of each observable, shape (observables, ...)."""
    ends = [0]
    for name in problem.observed:
        ends.append(ends[-1] + data.observations[name].shape[1])
    means = []
    for begin, end in itertools.pairwise(ends):
        total = jnp.sum(weights[begin:end], axis=0)
        summed = jnp.sum(weights[begin:end] * values[begin:end], axis=0)
        means.append(jnp.where(total > 0, summed / jnp.where(total > 0, total, 1), jnp.nan))
    return jnp.stack(means)
