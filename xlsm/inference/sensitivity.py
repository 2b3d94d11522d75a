"""What the data say of the parameters: Fisher information, channel by channel."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.gather import gather
from xlsm.inference.likelihood import Gaussian
from xlsm.inference.linear import solve_positive
from xlsm.inference.prior import prior_equations
from xlsm.inference.problem import Data, Problem
from xlsm.inference.residuals import SIGNIFICANT, Behaviour
from xlsm.inference.sweep import sweep
from xlsm.inference.watch import Residuals

__all__ = ["Bars", "information", "sandwich"]

#: Part of its diagonal added to a matrix before it is inverted, for directions nobody sees.
TRACE = 1e-10


def information(
    problem: Problem, data: Data, unbounded: jax.Array, basis: jax.Array | None = None
) -> jax.Array:
    """Fisher information ``J^T R^-1 J`` of every channel, if its errors are as stated.

    Parameters
    ----------
    problem : Problem
        What is to be estimated.
    data : Data
        The numbers; of the observations only where they are missing matters.
    unbounded : array, shape (P, ...)
        The free parameters on the real line.
    basis : array, shape (D, P, ...), optional
        Directions; by default along each of the free parameters.

    Returns
    -------
    array, shape (C, D, D, ...)
        In the unbounded parameters, or along the directions.
    """

    def add(total: jax.Array, _: Residuals, slopes: list[jax.Array]) -> jax.Array:
        slope = jnp.moveaxis(jnp.concatenate(slopes, axis=1), 1, 0)
        return total + slope[:, :, None] * slope[:, None]

    channels = sum(values.shape[1] for values in data.observations.values())
    count = unbounded.shape[0] if basis is None else basis.shape[0]
    zero = jnp.zeros((channels, count, count, *unbounded.shape[1:]))
    return sweep(problem, data, unbounded, add, zero, basis)


class Bars(NamedTuple):
    """The two matrices of a sandwich covariance ``A^-1 M A^-1``, in the unbounded parameters.

    Parameters
    ----------
    curvature : array, shape (P, P, ...)
        A, the expected curvature of the cost at its minimum.
    scatter : array, shape (P, P, ...)
        M, the variance of the gradient there.
    """

    curvature: jax.Array
    scatter: jax.Array


def sandwich(
    problem: Problem,
    data: Data,
    unbounded: jax.Array,
    seen: Behaviour,
    matrix: jax.Array,
    *,
    at_least: float,
) -> Bars:
    """Give error bars their matter: how steep the cost is, and how much its gradient scatters.

    With weights that are those of independent errors, the estimate of least squares stays
    without bias where errors are larger or correlated, but its covariance becomes ``A^-1 M A^-1``
    (Huber 1967 [1]_, Newey & West 1987 [2]_). Here errors are taken to be, in each channel, an
    autoregression of first order in the order of the observations, with the autocorrelation
    and the mean square that the residuals show. The sum over all pairs of times is one recursion.

    Parameters
    ----------
    problem : Problem
        What was estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The estimate on the real line.
    seen : Behaviour
        Of the residuals there.
    matrix : array, shape (P, P, ...)
        That of the normal equations there.
    at_least : float
        Mean square that normal residuals are believed to have, over the square of their stated
        error, unless they are significantly larger: one where it is a promise, zero where it is
        a guess.

    Returns
    -------
    Bars

    References
    ----------
    .. [1] Huber, P. J. (1967), Proc. Fifth Berkeley Symp. Math. Stat. Prob. 1, 221-233.
    .. [2] Newey, W. K. & West, K. D. (1987), Econometrica 55, 703-708.
    """
    batch = unbounded.shape[1:]
    known = prior_equations(problem, data, unbounded)[2]
    count: float | jax.Array = len(unbounded)
    if any(one.smooth for one in problem.series):  # they do not all have their own way
        count = _trace_of_ratio(matrix - known, matrix)
    elif problem.series:  # those after the end of a record take nothing away
        count = jnp.sum(jnp.einsum("ii...->i...", matrix - known) > 0, axis=0)
    expected = jnp.concatenate(
        [
            jnp.full(
                data.observations[name].shape[1],
                at_least if isinstance(problem.likelihood(i), Gaussian) else 0.0,
            )
            for i, name in enumerate(problem.observed)
        ]
    ).reshape((-1,) + (1,) * len(batch))
    rho, number = seen.autocorrelation, jnp.maximum(seen.number, 1)
    total = jnp.sum(seen.number, axis=0)
    square = seen.score * total / jnp.maximum(total - count, 1)  # the fit took its share away
    chance = SIGNIFICANT * jnp.sqrt(2 / number * (1 + rho**2) / (1 - rho**2))
    larger = square > expected * (1 + chance)
    scatter = jnp.where(larger, square, expected)
    # residuals that are small even for their correlation say nothing against what was stated
    echo = jnp.where(square * (1 + rho) > expected * (1 - rho), rho, 0.0)

    def add(
        memory: jax.Array, residuals: Residuals, slopes: list[jax.Array]
    ) -> tuple[jax.Array, list[jax.Array]]:
        slope = jnp.concatenate(slopes, axis=1)  # (D, C, ...)
        there = jnp.concatenate(residuals.there)
        before = echo * memory
        both = slope + 2 * before  # its product with the slope, made symmetric at the end
        curved, scattered = (
            jnp.sum((weight * slope)[:, None] * other[None], axis=2)
            for weight, other in ((seen.curvature, slope), (scatter, both))
        )
        return jnp.where(there, before + slope, memory), [curved, scattered]

    def begin(directions: int) -> jax.Array:
        return jnp.zeros((directions, *seen.number.shape))

    curvature, bent = gather(problem, data, unbounded, add, begin, 2)
    curvature = curvature + known
    symmetric = 0.5 * (bent + jnp.swapaxes(bent, 0, 1))

    # of errors that are correlated it took more: as many as the trace of A^-1 M
    share = jnp.sum(seen.number * scatter, axis=0) / jnp.maximum(total, 1)
    taken = _trace_of_ratio(symmetric / jnp.where(share > 0, share, 1.0), curvature)
    taken = jnp.clip(taken, count, jnp.maximum(0.5 * total, count))
    more = jnp.maximum(total - count, 1) / jnp.maximum(total - taken, 1)
    by_residuals = jnp.sum(seen.number * larger, axis=0) / jnp.maximum(total, 1)
    return Bars(curvature, symmetric * (1 + by_residuals * (more - 1)) + known)


def _trace_of_ratio(matrix: jax.Array, divisor: jax.Array) -> jax.Array:
    """Trace of ``divisor^-1 matrix``, shapes (P, P, ...), whatever the scales of the parameters."""
    diagonal = jnp.einsum("ii...->i...", divisor)
    eye = jnp.eye(len(matrix)).reshape(matrix.shape[:2] + (1,) * (matrix.ndim - 2))
    trace = TRACE * eye * jnp.where(diagonal > 0, diagonal, 1.0)
    return jnp.einsum("ii...->...", solve_positive(divisor + trace, matrix))
