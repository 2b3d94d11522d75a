"""Where the nodes of the soil column lie."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ModelError
from xlsm.model.piece import Facts, Piece

__all__ = [
    "AutoGrid",
    "Grid",
    "SensorGrid",
    "StretchedGrid",
    "UniformGrid",
    "damping_depth",
    "interpolation_weights",
]

Array = np.ndarray[Any, np.dtype[np.float64]]

DAY, YEAR = 86400.0, 365.25 * 86400.0
#: Thermal diffusivity of a soil of which nothing is known (m2 s-1).
USUAL_DIFFUSIVITY = 5e-7


def damping_depth(diffusivity: Any, period: Any) -> Any:
    """Depth at which a temperature wave has 1/e of its amplitude, ``sqrt(2 kappa / omega)``.

    Parameters
    ----------
    diffusivity : number or array
        Thermal diffusivity kappa, conductivity over heat capacity (m2 s-1).
    period : number or array
        Period of the wave (s), ``omega = 2 pi / period``.

    Returns
    -------
    number or array
        Damping depth (m).

    Examples
    --------
    >>> round(damping_depth(5e-7, 86400), 2), round(damping_depth(5e-7, 365.25 * 86400), 1)
    (0.12, 2.2)
    """
    return (diffusivity * period / math.pi) ** 0.5


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


@dataclasses.dataclass(frozen=True)
class AutoGrid(StretchedGrid):
    """A stretched grid as deep as the record asks for; ``grid="auto"``.

    Three damping depths of the slowest wave in the record (its length, between a day and a
    year), and half as deep again as the deepest soil
    temperature; distances grow from ``first`` by at
    most a tenth.

    Examples
    --------
    >>> facts = Facts(step=1800.0, duration=14 * 86400.0, depths={"SoilTemp": (0.05, 0.5)})
    >>> grid = AutoGrid().resolved(facts)
    >>> round(grid.depth, 2), grid.nodes
    (1.32, 29)
    """

    undecided: ClassVar[bool] = True
    #: Damping depths from top to bottom, and largest factor between distances.
    REACH: ClassVar[float] = 3.0
    #: Depth of the bottom over that of the deepest soil temperature, at least.
    BELOW: ClassVar[float] = 1.5
    LARGEST_GROWTH: ClassVar[float] = 1.1

    def __post_init__(self) -> None:
        """Refuse what the data decide, and a first distance that is none."""
        _leave_to_data(self, "depth", "nodes")
        if not (np.isfinite(self.first) and self.first > 0):
            raise ModelError(f"the first distance must be positive (m), got {self.first}")

    def resolved(self, facts: Facts) -> StretchedGrid:  # type: ignore[override]
        """Give the grid for a record."""
        period = min(max(facts.duration, DAY), YEAR)
        depth = self.REACH * damping_depth(USUAL_DIFFUSIVITY, period)
        # the bottom is not the sensor: there a fixed temperature would take the place of data
        depth = max(depth, self.BELOW * max(facts.depths.get("SoilTemp", ()), default=0.0))
        growth, target = self.LARGEST_GROWTH, max(depth - self.top, 0.0) / self.first
        count = math.ceil(math.log1p(target * (growth - 1)) / math.log(growth))
        # a few long distances: no more of them than there is room for
        count = max(min(count, math.floor(target)), 2)
        return StretchedGrid(depth, count + 1, self.first, top=self.top)


@dataclasses.dataclass(frozen=True)
class SensorGrid(UniformGrid):
    """Equally spaced nodes from the shallowest soil temperature to the deepest.

    Examples
    --------
    >>> facts = Facts(step=1800.0, duration=86400.0, depths={"SoilTemp": (0.05, 0.1, 0.5)})
    >>> SensorGrid(nodes=51).resolved(facts)
    UniformGrid(depth=0.5, nodes=51, top=0.05)
    """

    undecided: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what the data decide."""
        super().__post_init__()
        _leave_to_data(self, "depth", "top")

    def resolved(self, facts: Facts) -> UniformGrid:  # type: ignore[override]
        """Give the grid between the sensors.

        Raises
        ------
        ModelError
            If there are fewer than two.
        """
        there = facts.depths.get("SoilTemp", ())
        if len(there) < 2:
            raise ModelError(
                f"a grid between soil temperatures needs two depths at least; there are {there}"
            )
        return UniformGrid(there[-1], self.nodes, top=there[0])


def _leave_to_data(grid: Grid, *names: str) -> None:
    """Refuse settings that would be taken from the data all the same."""
    for name in names:
        if getattr(grid, name) != getattr(type(grid), name):
            kind = type(grid).__mro__[1].__name__
            raise ModelError(
                f"{type(grid).__name__} takes its {name} from the data, but {name}="
                f"{getattr(grid, name)!r} is given: leave it out, or use {kind}"
            )


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
