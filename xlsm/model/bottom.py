"""What happens at the lower end of the column, and where it starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from xlsm.model.grid import UniformGrid
from xlsm.model.parameters import ParameterSpec

__all__ = ["FixedTemperature", "UniformInitial", "ZeroFlux"]

DEEP_TEMPERATURE = ParameterSpec(
    "deep_temperature",
    "T_deep",
    "K",
    288.15,
    (220.0, 340.0),
    "linear",
    "constant temperature at the bottom of the column",
)
INITIAL_TEMPERATURE = ParameterSpec(
    "initial_temperature",
    "T_0",
    "K",
    288.15,
    (220.0, 340.0),
    "linear",
    "temperature of the whole column at the first time",
)


@dataclasses.dataclass(frozen=True)
class FixedTemperature:
    """The bottom node stays at ``deep_temperature``."""

    #: The bottom node is given, not solved for.
    fixed: ClassVar[bool] = True

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The deep temperature."""
        return (DEEP_TEMPERATURE,)

    def temperature(self, parameters: Mapping[str, jax.Array]) -> jax.Array:
        """Temperature of the bottom node (K), shape (...)."""
        return parameters["deep_temperature"]


@dataclasses.dataclass(frozen=True)
class ZeroFlux:
    """No heat leaves through the bottom; the bottom node is solved for like the others."""

    #: The bottom node is solved for.
    fixed: ClassVar[bool] = False

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """None: an insulated bottom has nothing to set."""
        return ()

    def temperature(self, parameters: Mapping[str, jax.Array]) -> jax.Array:
        """Zero: the reference temperature of a column that has no fixed one."""
        return jnp.zeros_like(parameters["heat_capacity"])


@dataclasses.dataclass(frozen=True)
class UniformInitial:
    """The column starts at one temperature, by default that of its bottom.

    Without ``initial_temperature`` the column starts at ``deep_temperature``, or, over an
    insulated bottom, at the default initial temperature.
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The initial temperature, used only where it is given."""
        return (INITIAL_TEMPERATURE,)

    def used(self, given: frozenset[str], bottom_fixed: bool) -> tuple[str, ...]:
        """Name the parameter where the caller set it, or where nothing else can start it."""
        needed = "initial_temperature" in given or not bottom_fixed
        return ("initial_temperature",) if needed else ()

    def profile(self, grid: UniformGrid, parameters: Mapping[str, jax.Array]) -> jax.Array:
        """Temperature of every node at the first time (K), shape (nodes, ...)."""
        name = "initial_temperature" if "initial_temperature" in parameters else "deep_temperature"
        start = parameters[name]
        return jnp.broadcast_to(start, (grid.nodes, *jnp.shape(start)))
