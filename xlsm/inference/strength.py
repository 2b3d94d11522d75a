"""How much a parameter changes from one value to the next, estimated with the values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.inference.groups import in_groups
from xlsm.inference.least_squares import Fit
from xlsm.inference.linear import inverse
from xlsm.inference.prior import walk_of
from xlsm.inference.problem import Data, Problem, natural, per_station

__all__ = ["START", "with_strengths"]

#: Where the standard deviations start, and the least they can be, in widths of the bounds (of
#: their logarithms, where changes are of the logarithm).
START, LEAST = 0.05, 1e-4
#: They are found when none changes by more than this part any more, ...
CLOSE = 0.01
#: ... or after so many rounds, ...
ROUNDS = 40
#: ... of which none may change one by more than this factor.
LARGEST = 4.0
#: Share in a change that the data have at least: what is left of one they say nothing of.
FAINT = 1e-6


def with_strengths(
    problem: Problem,
    data: Data,
    fit: Fit,
    minimise: Callable[[Data, jax.Array], Fit],
    lanes: int,
) -> tuple[Fit, Data]:
    """Estimate the standard deviations of random walks by the evidence of the data.

    What is maximised is the probability of the data with all values integrated out, by Laplace's
    approximation. At its maximum the sum of the squared changes is ``gamma`` times their
    variance, with gamma the number of changes that the data determine, not the walk (MacKay
    1992 [1]_): this is iterated, each time from the values found before.

    Parameters
    ----------
    problem : Problem
        With a series whose walk is to be estimated.
    data : Data
        The numbers of s stations.
    fit : Fit
        Best point of each with the widths that are in `data`.
    minimise : callable
        Takes numbers and starts, gives a fit.
    lanes : int
        Stations worked on at a time.

    Returns
    -------
    fit : Fit
        With the widths found.
    data : Data
        With these.

    References
    ----------
    .. [1] MacKay, D. J. C. (1992). Bayesian interpolation. Neural Computation 4, 415-447.
    """
    assert data.walk is not None
    stations = fit.unbounded.shape[-1]
    estimated = np.array([one.estimated for one in problem.series])[:, None]
    least = LEAST * _spans(problem, data)[:, None]

    Carry = tuple[Fit, jax.Array, jax.Array, jax.Array]

    def round_(carry: Carry) -> Carry:
        fit, walk, done, count = carry
        now = data._replace(walk=walk)
        wanted = in_groups(
            lambda pick: _wanted(
                problem, per_station(now, pick), pick(fit.unbounded), pick(fit.normal.matrix)
            ),
            stations,
            min(lanes, stations),
        )
        wanted = jnp.maximum(jnp.clip(wanted, walk / LARGEST, walk * LARGEST), least)
        change = jnp.where(estimated, jnp.abs(jnp.log(wanted / walk)), 0.0)
        # of a station that is done, or that has no fit, nothing moves any more
        done = done | jnp.all(change < CLOSE, axis=0) | jnp.any(jnp.isnan(change), axis=0)
        walk = jnp.where(done | ~estimated, walk, wanted)
        again = minimise(data._replace(walk=walk), fit.unbounded)
        again = again._replace(iterations=fit.iterations + again.iterations)
        fit = jax.tree.map(partial(jnp.where, done), fit, again)
        return fit, walk, done, count + 1

    def going(carry: Carry) -> jax.Array:
        return ~jnp.all(carry[2]) & (carry[3] < ROUNDS)

    first: Carry = (fit, data.walk, jnp.zeros(stations, bool), jnp.array(0))
    fit, walk, _, _ = jax.lax.while_loop(going, round_, first)
    return fit, data._replace(walk=walk)


def _spans(problem: Problem, data: Data) -> jax.Array:
    """Widths of the bounds of each series, in the units of its changes; shape (series,)."""
    lower, upper = (natural(data, bound[:, None])[:, 0] for bound in (data.lower, data.upper))
    first = np.array([one.first for one in problem.series])
    return (upper - lower)[first]


def _wanted(problem: Problem, data: Data, point: jax.Array, matrix: jax.Array) -> jax.Array:
    """Next standard deviation of each series, shape (series, ...)."""
    walk = walk_of(problem, data, point)
    assert walk is not None
    assert data.walk is not None
    scale = jnp.sqrt(jnp.maximum(jnp.einsum("ii...->i...", matrix), 1e-300))
    both = scale[:, None] * scale[None]
    covariance = inverse(matrix / both) / both
    first, second = walk.first, walk.first + 1
    left = walk.back**2 * covariance[first, first] + walk.ahead**2 * covariance[second, second]
    left += 2 * walk.back * walk.ahead * covariance[first, second]
    zero = jnp.zeros_like(data.walk)
    determined = zero.at[walk.series].add(jnp.maximum(1 - left, FAINT))
    squares = zero.at[walk.series].add(walk.change**2)
    return data.walk * jnp.sqrt(squares / jnp.where(determined > 0, determined, 1.0))
