"""Where the nodes of the soil column lie."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ModelError
from xlsm.model.piece import Piece

__all__ = ["Grid", "StretchedGrid", "UniformGrid", "interpolation_weights"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclasses.dataclass(frozen=True)
class Grid(Piece, abc.ABC):
    """Nodes from the top of the column down to its bottom.

    The first node is the top, which is the surface unless a temperature is followed at some
    depth; the last is the bottom. Every node owns the soil half-way to its neighbours.
    """

    #: Equal spacing: the modal solver may be used.
    uniform: ClassVar[bool] = False
    #: The data have yet to decide where it begins and ends.
    undecided: ClassVar[bool] = False

    depth: float = 1.0
    nodes: int = 101
    top: float = dataclasses.field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse grids on which heat cannot be conducted."""
        if not (np.isfinite(self.depth) and self.depth > 0):
            raise ModelError(f"the column's depth must be positive (m), got {self.depth}")
        if not 0 <= self.top < self.depth:
            raise ModelError(
                f"the top of the column (m) must lie between the surface and its depth, "
                f"{self.depth:g} m; got {self.top}"
            )
        if self.nodes < 3:
            raise ModelError(f"a column needs at least 3 nodes, got {self.nodes}")

    @property
    @abc.abstractmethod
    def node_depths(self) -> Array:
        """Depth of each node (m), shape ``(nodes,)``."""

    @property
    def edges(self) -> Array:
        """Limits of the soil each node owns (m), shape ``(nodes + 1,)``."""
        nodes = self.node_depths
        return np.concatenate([nodes[:1], (nodes[1:] + nodes[:-1]) / 2, nodes[-1:]])

    @property
    def thicknesses(self) -> Array:
        """Soil owned by each node (m), shape ``(nodes,)``."""
        return np.diff(self.edges)


@dataclasses.dataclass(frozen=True)
class UniformGrid(Grid):
    """Equally spaced nodes.

    Parameters
    ----------
    depth : float
        Depth of the bottom (m).
    nodes : int
        Number of nodes, both ends included.
    top : float
        Depth of the first node (m): not zero only where a buried sensor is followed.

    Examples
    --------
    >>> UniformGrid(depth=1.0, nodes=101).spacing
    0.01
    """

    uniform: ClassVar[bool] = True

    @property
    def spacing(self) -> float:
        """Distance between nodes (m)."""
        return (self.depth - self.top) / (self.nodes - 1)

    @property
    def node_depths(self) -> Array:
        """Depth of each node (m), shape ``(nodes,)``."""
        return np.linspace(self.top, self.depth, self.nodes)


@dataclasses.dataclass(frozen=True)
class StretchedGrid(Grid):
    """Nodes whose distance grows by a constant factor downward.

    Parameters
    ----------
    depth : float
        Depth of the bottom (m).
    nodes : int
        Number of nodes, both ends included.
    first : float
        Distance between the first two nodes (m).
    top : float
        Depth of the first node (m).

    Notes
    -----
    The nodes are the images of equal steps under a smooth map, so that the differences stay of
    second order in the number of nodes.

    Examples
    --------
    >>> StretchedGrid(depth=2.0, nodes=31, first=0.01).node_depths[:3].round(4)
    array([0.    , 0.01  , 0.0211])
    """

    depth: float = 2.0
    nodes: int = 31
    first: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a first distance from which the depth cannot be reached by growing."""
        super().__post_init__()
        even = (self.depth - self.top) / (self.nodes - 1)
        if not 0 < self.first <= even * (1 + 1e-9):
            raise ModelError(
                f"the first distance of a stretched grid must be positive and at most the even "
                f"one, {even:g} m for {self.nodes} nodes; got {self.first}"
            )

    @property
    def growth(self) -> float:
        """Factor from one distance to the next."""
        count, target = self.nodes - 1, (self.depth - self.top) / self.first
        # bisection: the sum of the distances grows with the factor, and is no less than the last
        lower, upper = 1.0, max(target, 1.0) ** (1 / (count - 1))
        for _ in range(200):
            middle = (lower + upper) / 2
            total = float(np.sum(middle ** np.arange(count)))
            lower, upper = (middle, upper) if total < target else (lower, middle)
        return lower

    @property
    def node_depths(self) -> Array:
        """Depth of each node (m), shape ``(nodes,)``."""
        distances = self.growth ** np.arange(self.nodes - 1)
        below = np.concatenate([[0.0], np.cumsum(distances) / np.sum(distances)])
        return self.top + (self.depth - self.top) * below


def interpolation_weights(grid: Grid, depths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give the upper node and its neighbour's weight for linear interpolation between nodes.

    Parameters
    ----------
    grid : Grid
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
