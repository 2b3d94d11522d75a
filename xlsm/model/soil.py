"""How the soil stores and conducts heat."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from xlsm.model.grid import UniformGrid
from xlsm.model.parameters import ParameterSpec

__all__ = ["UniformSoil"]

THERMAL_CONDUCTIVITY = ParameterSpec(
    "thermal_conductivity",
    "lambda",
    "W m-1 K-1",
    1.0,
    (0.02, 8.0),
    "log",
    "thermal conductivity of the soil",
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


@dataclasses.dataclass(frozen=True)
class UniformSoil:
    """One conductivity and one heat capacity for the whole column, constant in time.

    Examples
    --------
    >>> [p.name for p in UniformSoil().parameters]
    ['thermal_conductivity', 'heat_capacity']
    """

    #: The same everywhere and always: the modal solver may be used.
    uniform: ClassVar[bool] = True

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Thermal conductivity and volumetric heat capacity."""
        return (THERMAL_CONDUCTIVITY, HEAT_CAPACITY)

    def capacities(self, grid: UniformGrid, parameters: Mapping[str, jax.Array]) -> jax.Array:
        """Heat capacity of the soil each node owns (J m-2 K-1), shape (nodes, ...)."""
        capacity = parameters["heat_capacity"]
        return _down(grid.thicknesses, capacity) * capacity

    def conductances(self, grid: UniformGrid, parameters: Mapping[str, jax.Array]) -> jax.Array:
        """Conductance between neighbouring nodes (W m-2 K-1), shape (nodes - 1, ...)."""
        conductivity = parameters["thermal_conductivity"]
        return conductivity / _down(jnp.diff(jnp.asarray(grid.node_depths)), conductivity)


def _down(profile: object, like: jax.Array) -> jax.Array:
    """Put a profile on the leading axis, broadcast against the batch axes of `like`."""
    profile = jnp.asarray(profile)
    return profile.reshape(profile.shape + (1,) * jnp.ndim(like))
