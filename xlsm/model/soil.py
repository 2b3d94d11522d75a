"""How the soil stores and conducts heat."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ParameterError
from xlsm.model.grid import Grid
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Piece

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Soil", "UniformSoil"]

Values = Mapping[str, jax.Array]
Array = np.ndarray[Any, np.dtype[np.float64]]

THERMAL_CONDUCTIVITY = ParameterSpec(
    "thermal_conductivity",
    "lambda",
    "W m-1 K-1",
    1.0,
    (0.02, 8.0),
    "log",
    "thermal conductivity of the soil",
)
THERMAL_DIFFUSIVITY = ParameterSpec(
    "thermal_diffusivity",
    "kappa",
    "m2 s-1",
    5.0e-7,
    (1.0e-8, 1.0e-5),
    "log",
    "thermal diffusivity of the soil, conductivity over heat capacity",
)
HEAT_CAPACITY = ParameterSpec(
    "heat_capacity",
    "C",
    "J m-3 K-1",
    2.0e6,
    (1.0e5, 6.0e6),
    "log",
    "volumetric heat capacity of the soil",
)


class Soil(Piece, abc.ABC):
    """Heat capacity and conductance of the column's cells.

    A soil that names forcing changes from step to step; its forcing are profiles, of shape
    (depth, ...) at each time.
    """

    #: The same everywhere and always: the modal solver may be used.
    uniform: ClassVar[bool] = False
    #: Heat is not proportional to temperature: a step is solved by iteration.
    nonlinear: ClassVar[bool] = False
    #: Depths (m) at which its forcing is read.
    depths: tuple[float, ...] = ()

    @abc.abstractmethod
    def capacities(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Heat capacity of the soil each node owns (J m-2 K-1), shape (nodes, ...)."""

    @abc.abstractmethod
    def conductances(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Conductance between neighbouring nodes (W m-2 K-1), shape (nodes - 1, ...)."""


@dataclasses.dataclass(frozen=True)
class UniformSoil(Soil):
    """One conductivity and one heat capacity for the whole column, constant in time.

    Where temperatures are all there is, only their ratio, ``thermal_diffusivity``, can be known:
    it may be given in place of the conductivity.

    Examples
    --------
    >>> [p.symbol for p in UniformSoil().parameters]
    ['lambda', 'kappa', 'C']
    """

    uniform: ClassVar[bool] = True

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Thermal conductivity or diffusivity, and volumetric heat capacity."""
        return (THERMAL_CONDUCTIVITY, THERMAL_DIFFUSIVITY, HEAT_CAPACITY)

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Choose between conductivity and diffusivity.

        Raises
        ------
        ParameterError
            When both are given.
        """
        return (conducting(given, ""), "heat_capacity")

    def conductivity(self, parameters: Values) -> jax.Array:
        """Thermal conductivity (W m-1 K-1), shape (...)."""
        return conductivity(parameters, "")

    def capacities(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Heat capacity of the soil each node owns (J m-2 K-1), shape (nodes, ...)."""
        capacity = parameters["heat_capacity"]
        return capacity * down(grid.thicknesses, capacity)

    def conductances(self, grid: Grid, parameters: Values, forcing: Values) -> jax.Array:
        """Conductance between neighbouring nodes (W m-2 K-1), shape (nodes - 1, ...)."""
        conductivity = self.conductivity(parameters)
        return conductivity / down(np.diff(grid.node_depths), conductivity)


def conducting(given: frozenset[str], layer: str) -> str:
    """Name what tells how a layer conducts: its conductivity unless its diffusivity is given."""
    conductivity, diffusivity = f"thermal_conductivity{layer}", f"thermal_diffusivity{layer}"
    if diffusivity not in given:
        return conductivity
    if conductivity in given:
        raise ParameterError(
            f"{conductivity} and {diffusivity} are both given, but the one is the other times "
            f"heat_capacity{layer}: leave one out"
        )
    return diffusivity


def conductivity(parameters: Values, layer: str) -> jax.Array:
    """Thermal conductivity of a layer (W m-1 K-1), shape (...)."""
    if f"thermal_diffusivity{layer}" in parameters:
        return parameters[f"thermal_diffusivity{layer}"] * parameters[f"heat_capacity{layer}"]
    return parameters[f"thermal_conductivity{layer}"]


def down(profile: Array, like: jax.Array) -> Array:
    """Put a profile on the leading axis, broadcast against the batch axes of `like`."""
    return profile.reshape(profile.shape + (1,) * jnp.ndim(like))
