"""A soil whose water freezes and thaws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ModelError
from xlsm.model.constants import FREEZING_POINT, LATENT_HEAT_OF_FUSION, WATER_DENSITY
from xlsm.model.grid import Grid
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Facts
from xlsm.model.soil import Soil, UniformSoil, down

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["FreezingSoil"]

Values = Mapping[str, jax.Array]
Array = np.ndarray[Any, np.dtype[Any]]

FREEZABLE_WATER = ParameterSpec(
    "freezable_water",
    "theta_f",
    "m3 m-3",
    0.2,
    (0.0, 0.9),
    "linear",
    "water in the soil that can freeze",
)
FREEZING_WIDTH = ParameterSpec(
    "freezing_width",
    "w",
    "K",
    0.5,
    (0.01, 5.0),
    "log",
    "range below the freezing point in which the water of the soil freezes",
)


@dataclasses.dataclass(frozen=True)
class FreezingSoil(Soil):
    """A soil, of any kind, whose water takes up latent heat as it thaws and gives it back.

    Of the freezable water, ``exp(-((T - T_f) / w)^2)`` is liquid below the freezing point
    ``T_f = 273.15 K`` and all above it [1]_: a volume of soil holds the heat
    ``C T + L_f rho_w theta_f liquid(T)``. What never freezes in the range of temperatures is no
    part of the freezable water. Heat capacity and conductivity are those of the soil within,
    frozen or not; and where its moisture is given, the freezable water does not follow it.

    Parameters
    ----------
    soil : Soil
        How the soil conducts and stores heat but for its freezing.

    References
    ----------
    .. [1] McKenzie, Voss & Siegel (2007), Adv. Water Resour. 30, 966-983.

    Examples
    --------
    >>> [p.symbol for p in FreezingSoil().parameters]
    ['lambda', 'kappa', 'C', 'theta_f', 'w']
    """

    nonlinear: ClassVar[bool] = True

    soil: Soil = dataclasses.field(default_factory=UniformSoil)

    def __post_init__(self) -> None:
        """Refuse what is no soil, or freezes already."""
        soil: object = self.soil
        if not isinstance(soil, Soil) or soil.nonlinear:
            raise ModelError(
                "FreezingSoil wraps a soil that does not freeze by itself, such as "
                f"UniformSoil(); got {soil!r}"
            )

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Those of the soil within, how much water freezes, and in which range."""
        return (*self.soil.parameters, FREEZABLE_WATER, FREEZING_WIDTH)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return self.soil.forcing

    @property
    def tolerated(self) -> tuple[str, ...]:
        """Those of the forcing that may be missing at times."""
        return self.soil.tolerated

    @property
    def depths(self) -> tuple[float, ...]:  # type: ignore[override]
        """Depths (m) at which the forcing is read."""
        return self.soil.depths

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Those of the soil within, and its own two."""
        return (*self.soil.used(given, model), "freezable_water", "freezing_width")

    def resolved(self, facts: Facts) -> FreezingSoil:
        """Fill in what the data decide of the soil within."""
        return dataclasses.replace(self, soil=self.soil.resolved(facts))

    def check(self, model: Model) -> None:
        """Refuse what the soil within refuses."""
        self.soil.check(model)

    def impossible(
        self, forcing: Mapping[str, Array], parameters: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Find stations that the soil within finds impossible."""
        return self.soil.impossible(forcing, parameters)

    def capacities(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Heat capacity but for freezing (J m-2 K-1), shape (nodes, ...)."""
        return self.soil.capacities(grid, parameters, forcing)

    def conductances(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Conductance between neighbouring nodes (W m-2 K-1), shape (nodes - 1, ...)."""
        return self.soil.conductances(grid, parameters, forcing)

    def latent_heats(self, grid: Grid, parameters: Values) -> jax.Array:
        """Heat that thaws all the ice a node can own (J m-2), shape (nodes, ...)."""
        latent = LATENT_HEAT_OF_FUSION * WATER_DENSITY * parameters["freezable_water"]
        return latent * down(grid.thicknesses, latent)

    def liquid(self, temperature: jax.Array, parameters: Values) -> jax.Array:
        """Liquid share of the freezable water (1), shape (nodes, ...), from temperatures (K)."""
        below = jnp.minimum(temperature - FREEZING_POINT, 0.0) / parameters["freezing_width"]
        return jnp.exp(-(below**2))

    def steepest(self, parameters: Values) -> jax.Array:
        """Temperature about which most water freezes (K), shape (...).

        The curve of `liquid` is convex below it and concave above it.
        """
        return FREEZING_POINT - parameters["freezing_width"] / math.sqrt(2)
