"""Small dense matrices of many stations: shapes (P, P, ...), batch axes last.

On a CPU jaxlib's LAPACK hands a large batch of matrices to the very threads that run the program,
and waits for them; where as many such calls run at once as there are threads, they wait for ever
(seen with jax 0.10.2 on two cores). So LAPACK is given one matrix at a time here, which it does
on the spot, and what is small is eliminated in XLA, for all stations at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xlsm.inference.problem import FEW

__all__ = ["eigh", "inverse", "solve_positive"]


def solve_positive(matrix: jax.Array, right: jax.Array, damping: Any = 0.0) -> jax.Array:
    """Solve ``(A + damping diag(A)) x = b`` for positive definite A, scaled to a unit diagonal.

    Where P is small by Gauss-Jordan elimination, which needs no pivoting then.

    Parameters
    ----------
    matrix : array, shape (P, P, ...)
        A.
    right : array, shape (P, Q, ...)
        Several b.
    damping : float or array, shape (...)
        Zero by default.

    Returns
    -------
    array, shape (P, Q, ...)

    Examples
    --------
    >>> [round(float(x), 3) for x in solve_positive(2 * jnp.eye(2), jnp.ones((2, 1)))[:, 0]]
    [0.5, 0.5]
    """
    count = matrix.shape[0]
    scale = jnp.sqrt(jnp.maximum(jnp.einsum("ii...->i...", matrix), 1e-300))
    unit = matrix / (scale[:, None] * scale[None])
    eye = jnp.eye(count).reshape((count, count) + (1,) * (matrix.ndim - 2))
    unit = unit + damping * eye
    scaled = right / scale[:, None]
    if count > FEW:
        solved: jax.Array = _one_by_one(jnp.linalg.solve, unit, scaled)
        return solved / scale[:, None]
    rows = jnp.concatenate([unit, scaled], axis=1)

    def eliminate(k: int, rows: jax.Array) -> jax.Array:
        pivot = rows[k] / rows[k, k]
        return (rows - rows[:, k][:, None] * pivot).at[k].set(pivot)

    eliminated: jax.Array = jax.lax.fori_loop(0, count, eliminate, rows)
    return eliminated[:, count:] / scale[:, None]


def eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues (P, ...), smallest first, and eigenvectors in columns (P, P, ...)."""
    values, vectors = _one_by_one(jnp.linalg.eigh, matrix)
    return values, vectors


def inverse(matrix: jax.Array) -> jax.Array:
    """Inverse (P, P, ...)."""
    inverted: jax.Array = _one_by_one(jnp.linalg.inv, matrix)
    return inverted


def _one_by_one(function: Callable[..., Any], *matrices: jax.Array) -> Any:
    """Apply a function of matrices to those of each station; all its results have rows first."""
    batch = matrices[0].shape[2:]
    stacks = [m.reshape(*m.shape[:2], math.prod(batch)) for m in matrices]
    stacks = [jnp.moveaxis(stack, -1, 0) for stack in stacks]

    def in_turn(*stacks: jax.Array) -> Any:
        return jax.lax.map(lambda one: function(*one), stacks)

    results = jax.lax.platform_dependent(*stacks, cpu=in_turn, default=jax.vmap(function))

    def back(values: jax.Array) -> jax.Array:
        last = jnp.moveaxis(values, 0, -1)
        return last.reshape(*last.shape[:-1], *batch)

    return jax.tree.map(back, tuple(results) if isinstance(results, tuple) else results)
