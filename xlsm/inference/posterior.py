"""Error bars from the curvature of the misfit."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.least_squares import pinned
from xlsm.inference.linear import eigh, inverse
from xlsm.inference.objective import Normal
from xlsm.inference.problem import FEW, Data, physical
from xlsm.inference.sensitivity import Bars

__all__ = ["Posterior", "laplace"]

#: Eigenvalues of J^T J, scaled to a unit diagonal, below which a direction is not seen at all:
#: what round-off leaves of a combination of parameters that changes nothing.
UNSEEN = 1e-12
#: Variance, over that it would have were nothing else unknown, from which a value is not seen: it
#: is that of a ridge of the size above.
RIDGED = 1e-3 / UNSEEN
#: Share of an unseen direction from which a parameter counts as part of it.
PART = 1e-6


class Posterior(NamedTuple):
    """Estimates with their uncertainty in physical units; batch axes last.

    Parameters
    ----------
    values : array, shape (P, ...)
        The estimates.
    std : array, shape (P, ...)
        Standard errors; infinite where the data do not determine a parameter, NaN where it is
        held at a bound.
    covariance : array, shape (P, P, ...)
        Covariance; NaN in the rows and columns of such parameters.
    at_bound : bool array, shape (...)
        Whether a parameter is held at a bound.
    unseen : bool array, shape (...)
        Whether a combination of parameters leaves no trace in the data.
    """

    values: jax.Array
    std: jax.Array
    covariance: jax.Array
    at_bound: jax.Array
    unseen: jax.Array


def laplace(data: Data, unbounded: jax.Array, normal: Normal, bars: Bars) -> Posterior:
    """Covariance by Laplace's approximation, ``A^-1 M A^-1`` in physical units.

    Where the errors of the observations are independent and as stated, A = M = J^T R^-1 J and
    this is its inverse; see `xlsm.inference.sensitivity.sandwich`.

    Parameters
    ----------
    data : Data
        The numbers; only the bounds are used.
    unbounded : array, shape (P, ...)
        The estimate on the real line.
    normal : Normal
        Normal equations there; its gradient says which parameters are held at a bound.
    bars : Bars
        A and M.

    Returns
    -------
    Posterior
        Estimates, standard errors, covariance and flags.
    """

    def to_physical(unbounded: jax.Array) -> jax.Array:
        return physical(data, unbounded)

    values, stretch = jax.jvp(to_physical, (unbounded,), (jnp.ones_like(unbounded),))
    held = pinned(unbounded, normal)
    diagonal = jnp.einsum("ii...->i...", bars.curvature)
    scale = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    apart = held[:, None] | held[None]
    unit = jnp.eye(unbounded.shape[0]).reshape(apart.shape[:2] + (1,) * (unbounded.ndim - 1))

    def scaled(matrix: jax.Array) -> jax.Array:
        return jnp.where(apart, unit, matrix / (scale[:, None] * scale[None]))

    bread, lost = _inverted(scaled(bars.curvature))
    slices, meat = (jnp.moveaxis(m, (0, 1), (-2, -1)) for m in (bread, scaled(bars.scatter)))
    covariance = jnp.moveaxis(slices @ meat @ slices, (-2, -1), (0, 1))
    unit_to_physical = stretch / scale
    covariance = covariance * unit_to_physical[:, None] * unit_to_physical[None]

    std = jnp.sqrt(jnp.maximum(jnp.einsum("ii...->i...", covariance), 0.0))
    undefined = (held | lost)[:, None] | (held | lost)[None]
    return Posterior(
        values=values,
        std=jnp.where(held, jnp.nan, jnp.where(lost, jnp.inf, std)),
        covariance=jnp.where(undefined, jnp.nan, covariance),
        at_bound=jnp.any(held, axis=0),
        unseen=jnp.any(lost, axis=0),
    )


def _inverted(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Invert a matrix with a unit diagonal, and mark the parameters that are not seen.

    Returns
    -------
    array, shape (P, P, ...)
    bool array, shape (P, ...)
    """
    if len(matrix) <= FEW:
        eigenvalues, vectors = eigh(matrix)
        unseen = eigenvalues < UNSEEN
        inverted = jnp.where(unseen, 0.0, 1 / jnp.where(unseen, 1.0, eigenvalues))
        first = jnp.moveaxis(vectors, (0, 1), (-2, -1))
        scaled = first * jnp.moveaxis(inverted, 0, -1)[..., None, :]
        product = scaled @ jnp.swapaxes(first, -1, -2)
        lost = jnp.any(unseen & (vectors**2 > PART), axis=1)
        return jnp.moveaxis(product, (-2, -1), (0, 1)), lost
    # eigenvectors of hundreds of values take long: what is not seen has the variance of a ridge
    eye = jnp.eye(len(matrix)).reshape(matrix.shape[:2] + (1,) * (matrix.ndim - 2))
    ridged = inverse(matrix + UNSEEN * eye)
    lost = jnp.einsum("ii...->i...", ridged) > RIDGED
    return jnp.where(lost[:, None] | lost[None], 0.0, ridged), lost
