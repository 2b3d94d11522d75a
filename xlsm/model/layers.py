"""A soil of layers, each with its own conductivity and heat capacity."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ModelError
from xlsm.model.data_grid import AutoGrid, SensorGrid
from xlsm.model.grid import Grid
from xlsm.model.parameters import ParameterSpec
from xlsm.model.soil import (
    HEAT_CAPACITY,
    THERMAL_CONDUCTIVITY,
    THERMAL_DIFFUSIVITY,
    Soil,
    conducting,
    conductivity,
    down,
)

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["LayeredSoil"]

Values = Mapping[str, jax.Array]
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclasses.dataclass(frozen=True)
class LayeredSoil(Soil):
    """Layers that are uniform in themselves and constant in time.

    Layer i, counted from 1 at the surface, has ``thermal_conductivity_<i>`` and
    ``heat_capacity_<i>``; where temperatures are all there is, ``thermal_diffusivity_<i>`` may
    be given in place of the conductivity. Layers may end anywhere between the nodes: the heat
    capacity of the soil a node owns is the sum over its layers, the resistance between two
    nodes the sum of those of the layers between them, which is the harmonic mean of the
    conductivities and exact for a steady flux [1]_.

    Parameters
    ----------
    thicknesses : tuple of float
        Thickness of each layer (m), from the surface down, also where the column begins below
        it. ``math.inf`` as the last one leads down to the bottom, wherever that is.

    Raises
    ------
    ModelError
        For thicknesses that are none; where the layers do not fill the column.

    References
    ----------
    .. [1] Patankar, S. V. (1980), Numerical Heat Transfer and Fluid Flow, Hemisphere, ch. 4.2-3.

    Examples
    --------
    >>> soil = LayeredSoil((0.1, math.inf))
    >>> [p.name for p in soil.parameters if p.symbol.startswith(("lambda", "C"))]
    ['thermal_conductivity_1', 'heat_capacity_1', 'thermal_conductivity_2', 'heat_capacity_2']
    """

    thicknesses: tuple[float, ...] = (0.1, 0.2, math.inf)

    def __post_init__(self) -> None:
        """Refuse thicknesses that are none."""
        given = self.thicknesses
        try:
            metres = tuple(map(float, given))
        except (TypeError, ValueError):
            metres = ()
        positive = bool(metres) and all(thickness > 0 for thickness in metres)
        if not positive or not all(map(math.isfinite, metres[:-1])):
            raise ModelError(
                "the thicknesses of LayeredSoil must be positive numbers (m), of which only the "
                f"last may be math.inf, down to the bottom; got {given!r}"
            )
        object.__setattr__(self, "thicknesses", metres)

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Conductivity or diffusivity, and heat capacity, of each layer."""
        return tuple(
            dataclasses.replace(
                spec,
                name=f"{spec.name}_{i}",
                symbol=f"{spec.symbol}_{i}",
                meaning=spec.meaning.replace("the soil", f"soil layer {i}"),
            )
            for i in self._numbers
            for spec in (THERMAL_CONDUCTIVITY, THERMAL_DIFFUSIVITY, HEAT_CAPACITY)
        )

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Choose between conductivity and diffusivity, layer by layer.

        Raises
        ------
        ParameterError
            When both are given.
        """
        return tuple(
            name
            for i in self._numbers
            for name in (conducting(given, f"_{i}"), f"heat_capacity_{i}")
        )

    def check(self, model: Model) -> None:
        """Refuse layers that do not fill the column, or lie outside it."""
        grid = model.layout
        if isinstance(grid, AutoGrid | SensorGrid):
            return  # the data decide where it ends
        ends = np.cumsum(self.thicknesses)
        finite = ends[np.isfinite(ends)]
        lowest = float(finite[-1]) if finite.size else 0.0
        tolerance = 1e-9 * grid.depth
        if ends[-1] < grid.depth - tolerance:
            raise ModelError(
                f"the layers of LayeredSoil end at {lowest:g} m, but the column at "
                f"{grid.depth:g} m: make the last one math.inf, or use a grid of that depth"
            )
        if lowest > grid.depth + tolerance or (
            finite.size < ends.size and lowest > grid.depth - tolerance
        ):
            raise ModelError(
                f"the layers of LayeredSoil reach down to {lowest:g} m"
                f"{'' if finite.size == ends.size else ' and beyond'}, but the column ends at "
                f"{grid.depth:g} m: leave out what lies below, or use a deeper grid"
            )
        unseen = int(np.count_nonzero(ends <= grid.top + tolerance))
        if unseen:
            raise ModelError(
                f"layer {unseen} of LayeredSoil ends at {ends[unseen - 1]:g} m, but the column "
                f"only begins at {grid.top:g} m: give the first layer a thickness that is greater "
                "than that"
            )

    def capacities(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Heat capacity of the soil each node owns (J m-2 K-1), shape (nodes, ...)."""
        shares = self._overlaps(grid.edges)
        values = [parameters[f"heat_capacity_{i}"] for i in self._numbers]
        return _summed(shares, values)

    def conductances(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Conductance between neighbouring nodes (W m-2 K-1), shape (nodes - 1, ...)."""
        shares = self._overlaps(grid.node_depths)
        values = [1 / conductivity(parameters, f"_{i}") for i in self._numbers]
        return 1 / _summed(shares, values)

    @property
    def _numbers(self) -> range:
        return range(1, len(self.thicknesses) + 1)

    def _overlaps(self, limits: Array) -> Array:
        """How much of each interval lies in each layer (m), shape (layers, intervals)."""
        ends = np.cumsum(self.thicknesses)
        # the last one fills what round-off may leave over
        ends[-1] = np.inf
        starts = np.concatenate([[0.0], ends[:-1]])
        upper = np.maximum(limits[:-1], starts[:, None])
        lower = np.minimum(limits[1:], ends[:, None])
        shares: Array = np.maximum(lower - upper, 0.0)
        return shares


def _summed(shares: Array, values: list[jax.Array]) -> jax.Array:
    """Sum of values (...) by their shares (layers, n), shape (n, ...).

    Added up one by one: a matrix product may round a station by where it is in the batch.
    """
    total = jnp.zeros(())
    for share, value in zip(shares, values, strict=True):
        total = total + down(share, value) * value
    return total
