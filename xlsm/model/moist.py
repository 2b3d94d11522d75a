"""A soil that conducts and stores heat by how much water is in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ModelError, ParameterError
from xlsm.model import conductivity as law
from xlsm.model.data_grid import AutoGrid, SensorGrid
from xlsm.model.grid import Grid
from xlsm.model.moist_conductivity import JohansenConductivity, MoistConductivity
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Facts
from xlsm.model.soil import Soil, down

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["MoistSoil"]

Values = Mapping[str, jax.Array]
Array = np.ndarray[Any, np.dtype[Any]]

#: Volumetric heat capacity of water (J m-3 K-1), 1 cal cm-3 K-1 (de Vries 1963).
WATER_HEAT_CAPACITY = 4.18e6
#: How far from the top of the column (m) the uppermost moisture sensor may be.
NEAR_SURFACE = 0.1

POROSITY = ParameterSpec(
    "porosity",
    "n",
    "1",
    0.45,
    (0.1, 0.9),
    "linear",
    "volume fraction of pores in the soil",
)
DRY_DENSITY = ParameterSpec(
    "dry_density",
    "rho_d",
    "kg m-3",
    1485.0,
    (270.0, 2430.0),
    "linear",
    "dry density of the soil, from which its porosity follows",
)
SOLIDS_HEAT_CAPACITY = ParameterSpec(
    "solids_heat_capacity",
    "C_s",
    "J m-3 K-1",
    1.93e6,
    (1.0e6, 3.0e6),
    "log",
    "volumetric heat capacity of the solids of the soil",
)


@dataclasses.dataclass(frozen=True)
class MoistSoil(Soil):
    """Mineral soil whose conductivity and heat capacity follow the observed SoilMoist.

    Moisture is linear between its sensors and the same at all depths beyond them. The heat
    capacity is ``C = (1 - n) C_s + theta C_w`` with ``C_w = 4.18e6 J m-3 K-1`` [1]_. Heat that
    moves with the water is left out.

    ``dry_density`` (kg m-3) may be given in place of the porosity, which is then
    ``1 - rho_d / 2700``. A station with fewer pores than water is refused or flagged. An estimate
    of the porosity that ends below the observed SoilMoist has the status
    ``impossible_estimate``: bound it from below by the largest SoilMoist,
    ``{"porosity": xlsm.Parameter(bounds=(0.42, 0.6))}``. On the way there water beyond what the
    pores hold does not count; see `xlsm.model.conductivity.saturation`.

    Parameters
    ----------
    conductivity : MoistConductivity
        How conductivity follows from moisture.
    depths : tuple of float
        Depths of the moisture sensors (m); filled in from the data.
    extend : bool
        Whether the moisture of the nearest sensor may stand for a part of the column that has
        none: all below the deepest, or more than 0.1 m above the shallowest.

    References
    ----------
    .. [1] de Vries, D. A. (1963), Thermal properties of soils, in: van Wijk (ed.), Physics of
       Plant Environment, North-Holland.

    Examples
    --------
    >>> [p.symbol for p in MoistSoil().parameters]
    ['n', 'rho_d', 'C_s', 'q']
    """

    conductivity: MoistConductivity = dataclasses.field(default_factory=JohansenConductivity)
    depths: tuple[float, ...] = ()
    extend: bool = False

    def __post_init__(self) -> None:
        """Refuse depths that are none, and a conductivity that knows no moisture."""
        if not isinstance(self.conductivity, MoistConductivity):
            raise ModelError(
                "the conductivity of MoistSoil must be JohansenConductivity() or "
                f"LuConductivity(), got {self.conductivity!r}"
            )
        if self.depths and not np.all(np.diff([-1e-12, *self.depths]) > 0):
            raise ModelError(
                f"the depths of MoistSoil must be positive and grow, got {self.depths}"
            )

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Porosity or dry density, heat capacity of the solids, those of the conductivity."""
        return (POROSITY, DRY_DENSITY, SOLIDS_HEAT_CAPACITY, *self.conductivity.parameters)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("SoilMoist",)

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Choose between porosity and dry density.

        Raises
        ------
        ParameterError
            When both are given.
        """
        pores = "dry_density" if "dry_density" in given else "porosity"
        if {"dry_density", "porosity"} <= given:
            raise ParameterError(
                "porosity and dry_density are both given, but dry_density = "
                f"{law.MINERAL_DENSITY:g} (1 - porosity): leave one out"
            )
        return (pores, "solids_heat_capacity", *self.conductivity.used(given, model))

    def resolved(self, facts: Facts) -> MoistSoil:
        """Take all sensors there are.

        Raises
        ------
        ModelError
            If there are none, or none at a depth that was asked for.
        """
        there = facts.depths.get("SoilMoist", ())
        if not there:
            raise ModelError(
                "soil=MoistSoil follows the observed SoilMoist, but the Dataset has none by "
                'depth: add it with a coordinate "depth" (m), or use soil=UniformSoil()'
            )
        for depth in self.depths:
            if min(abs(known - depth) for known in there) > 1e-9:
                raise ModelError(
                    f"soil=MoistSoil follows SoilMoist at {depth:g} m, but there is "
                    f"{_listed(there)} m"
                )
        return dataclasses.replace(self, depths=self.depths or there)

    def check(self, model: Model) -> None:
        """Refuse sensors that do not cover the column."""
        grid = model.layout
        if not self.depths or self.extend or isinstance(grid, AutoGrid | SensorGrid):
            return  # all is well, or the data decide
        top, bottom = max(grid.top, NEAR_SURFACE), grid.depth
        missing, cures = [], ["MoistSoil(extend=True), for which the nearest value holds there"]
        if self.depths[0] > top * (1 + 1e-9):
            missing.append(f"above {self.depths[0]:g} m")
        if self.depths[-1] < bottom * (1 - 1e-9):
            missing.append(f"below {self.depths[-1]:g} m")
            if not self.depths[0] > top * (1 + 1e-9):
                cures.insert(0, f"a grid that ends at {self.depths[-1]:g} m")
        if missing:
            raise ModelError(
                f"SoilMoist at {_listed(self.depths)} m does not cover the column of MoistSoil, "
                f"{grid.top:g} to {grid.depth:g} m: there is none {' and '.join(missing)} (up to "
                f"{NEAR_SURFACE:g} m from the surface is near enough). Use {', or '.join(cures)}"
            )

    def capacities(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Heat capacity of the soil each node owns (J m-2 K-1), shape (nodes, ...)."""
        porosity: jax.Array = self.porosity(parameters)
        held = porosity * law.saturation(self.moisture(grid, forcing), porosity)
        solids = (1 - porosity) * parameters["solids_heat_capacity"]
        return (solids + held * WATER_HEAT_CAPACITY) * down(grid.thicknesses, porosity)

    def conductances(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Conductance between neighbouring nodes (W m-2 K-1), shape (nodes - 1, ...)."""
        porosity: jax.Array = self.porosity(parameters)
        at_nodes = self.conductivity.of(self.moisture(grid, forcing), porosity, parameters)
        distances = down(np.diff(grid.node_depths), porosity)
        return 2 / ((1 / at_nodes[:-1] + 1 / at_nodes[1:]) * distances)

    def porosity(self, parameters: Mapping[str, Any]) -> Any:
        """Volume fraction of pores, shape (...)."""
        if "dry_density" in parameters:
            return 1 - parameters["dry_density"] / law.MINERAL_DENSITY
        return parameters["porosity"]

    def moisture(self, grid: Grid, forcing: Values) -> jax.Array:
        """Volume fraction of water at every node, shape (nodes, ...)."""
        observed = forcing["SoilMoist"]
        place = np.interp(grid.node_depths, self.depths, np.arange(len(self.depths)))
        above = np.floor(place).astype(int)
        below = np.minimum(above + 1, len(self.depths) - 1)
        share = jnp.asarray(down(place - above, observed[0]))
        return (1 - share) * observed[above] + share * observed[below]

    def impossible(
        self, forcing: Mapping[str, Array], parameters: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Find stations with more water than pores."""
        given = next((name for name in ("dry_density", "porosity") if name in parameters), None)
        if given is None:
            return {}
        porosity, moisture = self.porosity(parameters), forcing["SoilMoist"]
        found = (moisture > porosity).any(axis=(0, 1))
        if not found.any():
            return {}
        excess = np.where(found, np.nan_to_num(moisture - porosity, nan=-np.inf), -np.inf)
        _, depth, worst = np.unravel_index(np.argmax(excess), excess.shape)
        value = float(parameters[given][worst])
        text = f"porosity = {value:g}"
        if given == "dry_density":
            text = f"dry_density = {value:g} kg m-3, a porosity of {porosity[worst]:.3g},"
        most = moisture[:, depth, worst].max()
        reason = (
            f"{text} is below the observed SoilMoist, up to {most:.3g} at "
            f"{self.depths[depth]:g} m: a soil cannot hold more water than it has pores; give it "
            "more, or check the units and the spikes of SoilMoist"
        )
        return {reason: found}


def _listed(depths: tuple[float, ...]) -> str:
    return ", ".join(f"{depth:g}" for depth in depths)
