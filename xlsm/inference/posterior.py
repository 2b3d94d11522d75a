"""Error bars from the curvature of the misfit."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.least_squares import pinned
from xlsm.inference.objective import Data, Normal
from xlsm.model.parameters import to_physical

__all__ = ["Posterior", "laplace"]

#: Eigenvalues of J^T J, scaled to a unit diagonal, below which a direction is not seen at all:
#: what round-off leaves of a combination of parameters that changes nothing.
UNSEEN = 1e-12
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


def laplace(data: Data, unbounded: jax.Array, normal: Normal) -> Posterior:
    """Covariance by Laplace's approximation, ``(J^T R^-1 J)^-1`` in physical units.

    The stated standard errors of the observations are taken at their word and as independent.

    Parameters
    ----------
    data : Data
        The numbers; only the bounds are used.
    unbounded : array, shape (P, ...)
        The estimate on the real line.
    normal : Normal
        Normal equations there.

    Returns
    -------
    Posterior
        Estimates, standard errors, covariance and flags.
    """
    tail = (-1,) + (1,) * (unbounded.ndim - 1)
    bounds = (data.lower.reshape(tail), data.upper.reshape(tail), data.log_scale.reshape(tail))

    def physical(unbounded: jax.Array) -> jax.Array:
        return to_physical(unbounded, *bounds)

    values, stretch = jax.jvp(physical, (unbounded,), (jnp.ones_like(unbounded),))
    held = pinned(unbounded, normal)
    diagonal = jnp.einsum("ii...->i...", normal.matrix)
    scale = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    apart = held[:, None] | held[None]
    unit = jnp.eye(unbounded.shape[0]).reshape(apart.shape[:2] + (1,) * (unbounded.ndim - 1))
    correlation = jnp.where(apart, unit, normal.matrix / (scale[:, None] * scale[None]))

    eigenvalues, vectors = jnp.linalg.eigh(jnp.moveaxis(correlation, (0, 1), (-2, -1)))
    eigenvalues, vectors = jnp.moveaxis(eigenvalues, -1, 0), jnp.moveaxis(vectors, (-2, -1), (0, 1))
    unseen = eigenvalues < UNSEEN
    inverse = jnp.where(unseen, 0.0, 1 / jnp.where(unseen, 1.0, eigenvalues))
    covariance = jnp.sum(vectors[:, None] * inverse * vectors[None], axis=2)
    unit_to_physical = stretch / scale
    covariance = covariance * unit_to_physical[:, None] * unit_to_physical[None]

    lost = jnp.any(unseen & (vectors**2 > PART), axis=1)
    std = jnp.sqrt(jnp.einsum("ii...->i...", covariance))
    undefined = (held | lost)[:, None] | (held | lost)[None]
    return Posterior(
        values=values,
        std=jnp.where(held, jnp.nan, jnp.where(lost, jnp.inf, std)),
        covariance=jnp.where(undefined, jnp.nan, covariance),
        at_bound=jnp.any(held, axis=0),
        unseen=jnp.any(unseen, axis=0),
    )
