"""Grids that the data decide: as deep as the record asks for, or between the sensors."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from xlsm.errors import ModelError
from xlsm.model.grid import Grid, StretchedGrid, UniformGrid
from xlsm.model.piece import Facts

__all__ = ["AutoGrid", "SensorGrid", "damping_depth"]

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
