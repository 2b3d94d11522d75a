"""What the data say of the parameters: Fisher information, channel by channel."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.likelihood import Gaussian
from xlsm.inference.objective import Residuals, prior_residuals, sweep
from xlsm.inference.problem import Data, Problem
from xlsm.inference.residuals import Behaviour

__all__ = ["Bars", "information", "sandwich"]


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
    problem: Problem, data: Data, unbounded: jax.Array, seen: Behaviour, *, at_least: float
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
    at_least : float
        Least mean square that normal residuals are believed to have, over the square of their
        stated error: one where it is a promise, zero where it is a guess.

    Returns
    -------
    Bars

    References
    ----------
    .. [1] Huber, P. J. (1967), Proc. Fifth Berkeley Symp. Math. Stat. Prob. 1, 221-233.
    .. [2] Newey, W. K. & West, K. D. (1987), Econometrica 55, 703-708.
    """
    count, batch = unbounded.shape[0], unbounded.shape[1:]
    total = jnp.sum(seen.number, axis=0)
    # the fit has taken its share of the scatter away
    lost = total / jnp.maximum(total - count, 1)
    expected = jnp.concatenate(
        [
            jnp.full(
                data.observations[name].shape[1],
                at_least if isinstance(problem.likelihood(i), Gaussian) else 0.0,
            )
            for i, name in enumerate(problem.observed)
        ]
    ).reshape((-1,) + (1,) * len(batch))
    scatter = jnp.maximum(seen.score * lost, expected)
    # residuals that are small even for their correlation say nothing against what was stated
    rho = seen.autocorrelation
    echo = jnp.where(seen.score * lost * (1 + rho) > expected * (1 - rho), rho, 0.0)[:, None]

    def add(
        sums: tuple[Bars, jax.Array], residuals: Residuals, slopes: list[jax.Array]
    ) -> tuple[Bars, jax.Array]:
        bars, memory = sums
        slope = jnp.moveaxis(jnp.concatenate(slopes, axis=1), 1, 0)  # (C, P, ...)
        there = jnp.concatenate(residuals.there)[:, None]
        before = echo * memory
        both = slope + 2 * before  # its product with the slope, made symmetric at the end
        curved = seen.curvature[:, None] * slope
        scattered = scatter[:, None] * slope
        bars = Bars(
            bars.curvature + jnp.sum(curved[:, :, None] * slope[:, None], axis=0),
            bars.scatter + jnp.sum(scattered[:, :, None] * both[:, None], axis=0),
        )
        return bars, jnp.where(there, before + slope, memory)

    zero = jnp.zeros((count, count, *batch))
    channels = seen.number.shape[0]
    empty = (Bars(zero, zero), jnp.zeros((channels, count, *batch)))
    bars, _ = sweep(problem, data, unbounded, add, empty)
    _, slopes = prior_residuals(data, unbounded)
    before = jnp.eye(count).reshape((count, count) + (1,) * len(batch)) * slopes**2
    symmetric = 0.5 * (bars.scatter + jnp.swapaxes(bars.scatter, 0, 1))
    return Bars(bars.curvature + before, symmetric + before)
