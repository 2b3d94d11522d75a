"""Where the nodes of the soil column lie."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ModelError
from xlsm.model.parameters import ParameterSpec

__all__ = ["UniformGrid", "interpolation_weights"]


@dataclasses.dataclass(frozen=True)
class UniformGrid:
    """Equally spaced nodes from the surface down.

    The first node is the surface, the last the bottom of the column. Every node owns the soil
    half-way to its neighbours, the two ends half as much.

    Parameters
    ----------
    depth : float
        Depth of the column (m).
    nodes : int
        Number of nodes, both ends included.

    Examples
    --------
    >>> UniformGrid(depth=1.0, nodes=101).spacing
    0.01
    """

    depth: float = 1.0
    nodes: int = 101

    def __post_init__(self) -> None:
        """Refuse grids on which heat cannot be conducted."""
        if not (np.isfinite(self.depth) and self.depth > 0):
            raise ModelError(f"the column's depth must be positive (m), got {self.depth}")
        if self.nodes < 3:
            raise ModelError(f"a column needs at least 3 nodes, got {self.nodes}")

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The grid has none."""
        return ()

    @property
    def spacing(self) -> float:
        """Distance between nodes (m)."""
        return self.depth / (self.nodes - 1)

    @property
    def node_depths(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Depth of each node (m), shape ``(nodes,)``."""
        return np.linspace(0.0, self.depth, self.nodes)

    @property
    def thicknesses(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Soil owned by each node (m), shape ``(nodes,)``; they add up to the depth."""
        edges = np.concatenate(
            [[0.0], (self.node_depths[1:] + self.node_depths[:-1]) / 2, [self.depth]]
        )
        return np.diff(edges)


def interpolation_weights(grid: UniformGrid, depths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give the upper node and its neighbour's weight for linear interpolation between nodes.

    Parameters
    ----------
    grid : UniformGrid
        The column's nodes.
    depths : array, shape (z,)
        Depths asked for (m), inside the column.

    Returns
    -------
    upper : int array, shape (z,)
        Index of the node at or above each depth, at most ``nodes - 2``.
    weight : array, shape (z,)
        Weight of node ``upper + 1``; ``upper`` has one minus it. Zero or one at a node, to
        round-off.
    """
    nodes = jnp.asarray(grid.node_depths)
    above = jnp.sum(nodes <= depths[:, None], axis=1)
    upper = jnp.clip(above - 1, 0, grid.nodes - 2)
    weight = (depths - nodes[upper]) / (nodes[upper + 1] - nodes[upper])
    return upper, weight
