"""Which combinations of parameters the data resolve, before anything is fitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.inference.groups import in_groups
from xlsm.inference.linear import eigh, solve_positive
from xlsm.inference.posterior import PART, UNSEEN
from xlsm.inference.prior import prior_equations
from xlsm.inference.problem import Data, Problem, per_station, physical
from xlsm.inference.sensitivity import information

__all__ = ["Sensitivity", "sensitivity"]

#: How many directions, the weakest, are looked at a second time.
WEAKEST = 3
#: Singular values below this part of the largest are what round-off leaves of nothing.
ROUND_OFF = 1e-11


class Sensitivity(NamedTuple):
    """What the data say of the free parameters, for s stations.

    Each parameter is counted in its natural unit, the logarithm of one that is positive and
    varies over decades, else its physical unit; and in the singular values, directions and the
    resolution each is measured in standard deviations of a uniform distribution between its
    bounds.

    Parameters
    ----------
    values : array, shape (P, s)
        The parameters, in physical units.
    singular_values : array, shape (P, s)
        Of the whitened Jacobian, largest first; above one the data say more than the bounds.
    directions : array, shape (P, P, s)
        Its right singular vectors, the first axis along the singular values.
    structural : bool array, shape (P, s)
        Directions that change nothing at all: what is left of them is round-off.
    resolution : array, shape (P, P, s)
        Resolution matrix, how an estimate answers to a change of the truth (Rodgers 2000 [1]_).
    covariance : array, shape (P, P, s)
        In natural units, of data and priors; infinite where neither says anything.
    worth : array, shape (K, P, s)
        Standard errors, in natural units, with one more channel each.

    References
    ----------
    .. [1] Rodgers, C. D. (2000). Inverse Methods for Atmospheric Sounding. World Scientific.
    """

    values: jax.Array
    singular_values: jax.Array
    directions: jax.Array
    structural: jax.Array
    resolution: jax.Array
    covariance: jax.Array
    worth: jax.Array


@partial(jax.jit, static_argnames=("problem", "observed", "lanes"))
def sensitivity(
    problem: Problem,
    data: Data,
    unbounded: jax.Array,
    *,
    observed: tuple[bool, ...],
    lanes: int,
) -> Sensitivity:
    """Look at the sensitivities of every station, `lanes` of them at a time.

    The squares of the singular values of J are the eigenvalues of ``J^T J``, but what is below
    1e-16 of the largest of these is round-off. So the weakest directions are run through the
    model a second time, as tangents of their own: what is then left of them is exact, and tells a
    direction that changes nothing from one that changes little.

    Parameters
    ----------
    problem : Problem
        What is to be estimated.
    data : Data
        The numbers, with one batch axis of s stations.
    unbounded : array, shape (P, s)
        Where to look, on the real line.
    observed : tuple of bool
        For each channel whether it is observed; the K others might be.
    lanes : int
        Stations that go through time together.

    Returns
    -------
    Sensitivity
    """

    def some(pick: Callable[[jax.Array], jax.Array]) -> Sensitivity:
        return _look(problem, per_station(data, pick), pick(unbounded), np.array(observed))

    return in_groups(some, unbounded.shape[1], lanes)


def _look(
    problem: Problem, data: Data, point: jax.Array, observed: np.ndarray[Any, Any]
) -> Sensitivity:
    """Do it for stations that go through time together."""
    count = len(point)
    log = data.log_scale[:, None]

    def natural(values: jax.Array) -> jax.Array:
        return jnp.where(log, jnp.log(jnp.where(log, values, 1.0)), values)

    values, stretch = jax.jvp(partial(physical, data), (point,), (jnp.ones_like(point),))
    _, per_physical = jax.jvp(natural, (values,), (jnp.ones_like(values),))
    width = natural(data.upper[:, None]) - natural(data.lower[:, None])
    unit = width / math.sqrt(12) / (stretch * per_physical)  # of the unbounded parameters

    channels = information(problem, data, point) * unit[:, None] * unit[None]
    known = prior_equations(problem, data, point)[2] * unit[:, None] * unit[None]
    total = jnp.sum(channels[observed], axis=0)

    # small first, as eigh has them
    eigenvalues, vectors = _eigen(total)
    few = min(WEAKEST, count)
    weak = vectors[:, :few]
    along = jnp.swapaxes(weak, 0, 1) * unit
    seen = jnp.sum(information(problem, data, point, along)[observed], axis=0)
    exact, turn = _eigen(seen)
    vectors = vectors.at[:, :few].set(jnp.einsum("pws,wvs->pvs", weak, turn))
    eigenvalues = jnp.maximum(eigenvalues.at[:few].set(exact), 0.0)
    singular = jnp.sqrt(eigenvalues)
    structural = singular <= ROUND_OFF * jnp.max(singular, axis=0)

    eye = jnp.eye(count)[..., None]
    resolution = solve_positive(total + known + eye, total + known)
    if data.prior is None:
        covariance = _covariance(eigenvalues, vectors, structural)
    else:
        covariance = _inverse(total + known)
    more = [_inverse(total + known + channels[i]) for i in np.flatnonzero(~observed)]
    worth = [jnp.sqrt(jnp.einsum("ii...->i...", one)) for one in more]
    scale = width / math.sqrt(12)
    return Sensitivity(
        values=values,
        singular_values=singular[::-1],
        directions=jnp.swapaxes(vectors, 0, 1)[::-1],
        structural=structural[::-1],
        resolution=resolution,
        covariance=covariance * scale[:, None] * scale[None],
        worth=jnp.stack(worth) * scale if worth else jnp.zeros((0, *point.shape)),
    )


def _eigen(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues (P, n), smallest first, and eigenvectors in columns (P, P, n)."""
    finite = jnp.where(jnp.isfinite(matrix), matrix, jnp.nan)
    return eigh(finite)


def _covariance(eigenvalues: jax.Array, vectors: jax.Array, unseen: jax.Array) -> jax.Array:
    """Invert a matrix; infinite for whatever takes part in a direction that is not seen."""
    inverse = jnp.where(unseen, 0.0, 1 / jnp.where(unseen, 1.0, eigenvalues))
    covariance = jnp.einsum("pdn,dn,qdn->pqn", vectors, inverse, vectors)
    lost = jnp.any(unseen[None] & (vectors**2 > PART), axis=1)
    return jnp.where(lost[:, None] | lost[None], jnp.inf, covariance)


def _inverse(precision: jax.Array) -> jax.Array:
    """Do it for a matrix whose small eigenvalues may be round-off."""
    eigenvalues, vectors = _eigen(precision)
    return _covariance(eigenvalues, vectors, eigenvalues < UNSEEN * eigenvalues[-1])
