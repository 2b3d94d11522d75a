"""Temperatures between nodes at depths that may themselves be uncertain."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from xlsm.model.grid import Grid

__all__ = ["between", "nodes_near", "support"]


def support(grid: Grid) -> int:
    """How many neighbouring nodes the temperature between two of them is made of."""
    return min(4, grid.nodes)


def nodes_near(grid: Grid, depths: jax.Array) -> jax.Array:
    """Find the first of the nodes that `between` needs for each depth (m), shape (m, ...)."""
    nodes = jnp.asarray(grid.node_depths).reshape((-1,) + (1,) * depths.ndim)
    above = jnp.sum(nodes <= depths, axis=0) - 1
    return jnp.clip(above - 1, 0, grid.nodes - support(grid))


def between(grid: Grid, first: jax.Array, temperatures: jax.Array, depths: jax.Array) -> jax.Array:
    """Interpolate by cubics with a continuous slope, which may be differentiated by the depth.

    Straight lines would do for the value. But then a misfit has a kink where a thermometer passes
    a node, and where its minimum is one, no method that follows a gradient ever comes to rest. The
    slope at a node is that of the parabola through it and its two neighbours (at the ends of the
    column through the two next to it); values at nodes are those of the nodes.

    Parameters
    ----------
    grid : Grid
        The column's nodes.
    first : int array, shape (m, ...)
        See `nodes_near`.
    temperatures : array, shape (support, m, ...)
        Of this node and those below it (K).
    depths : array, shape (m, ...)
        Inside the column (m).

    Returns
    -------
    array, shape (m, ...)
        Temperatures (K).
    """
    nodes = jnp.asarray(grid.node_depths)
    at = [nodes[first + k] for k in range(len(temperatures))]
    steps = [b - a for a, b in itertools.pairwise(at)]
    rises = [(temperatures[k + 1] - temperatures[k]) / step for k, step in enumerate(steps)]
    inner = [
        (rises[k] * steps[k + 1] + rises[k + 1] * steps[k]) / (steps[k] + steps[k + 1])
        for k in range(len(steps) - 1)
    ]
    slopes = [2 * rises[0] - inner[0], *inner, 2 * rises[-1] - inner[-1]]
    result = temperatures[0]
    for k, step in enumerate(steps):
        share = (depths - at[k]) / step
        straight = temperatures[k] + share * (temperatures[k + 1] - temperatures[k])
        bend = (1 - share) * (slopes[k] - rises[k]) - share * (slopes[k + 1] - rises[k])
        piece = straight + share * (1 - share) * step * bend
        result = piece if k == 0 else jnp.where(depths >= at[k], piece, result)
    return result
