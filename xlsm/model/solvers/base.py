"""What the three ways to advance a step have in common."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Direct", "Operator", "Solver", "Values", "close_surface", "step_operator"]

#: Coefficients of one step, whatever a solver makes of them.
Operator = Mapping[str, jax.Array]
Values = Mapping[str, jax.Array]


class Solver(abc.ABC):
    """One backward-Euler step of the column under its surface energy balance.

    Shapes: a state has its own leading axis, then any batch axes; parameters have only the
    batch axes. Solvers are frozen and hold settings, never arrays.
    """

    @property
    @abc.abstractmethod
    def exact(self) -> Direct:
        """The direct solver with the same states, whose derivatives are those of the step."""

    @abc.abstractmethod
    def prepare(self, model: Model, parameters: Values, dt: jax.Array) -> dict[str, jax.Array]:
        """Coefficients that stay the same over the run."""

    @abc.abstractmethod
    def begin(self, model: Model, parameters: Values, profile: jax.Array) -> jax.Array:
        """State from node temperatures (K), shape (nodes, ...)."""

    @abc.abstractmethod
    def advance(
        self,
        model: Model,
        parameters: Values,
        operator: Operator,
        state: jax.Array,
        surface_temperature: jax.Array,
        forcing: Values,
    ) -> tuple[jax.Array, jax.Array]:
        """State and surface temperature at the end of the step."""

    @abc.abstractmethod
    def sample(self, model: Model, depths: jax.Array) -> Any:
        """Whatever `temperatures` needs to read these depths (m), shape (z,)."""

    @abc.abstractmethod
    def temperatures(self, state: jax.Array, bottom: jax.Array, sampler: Any) -> jax.Array:
        """Soil temperature (K) at the sampled depths, shape (z, ...)."""


class Direct(Solver):
    """A solver that splits a step at the surface: the column first, then the surface, then both.

    Both halves are linear in the state, the flux and the bottom temperature.
    """

    @property
    def exact(self) -> Direct:
        """The solver itself."""
        return self

    @abc.abstractmethod
    def respond(
        self, model: Model, operator: Operator, state: jax.Array, bottom: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Advance without knowing the surface flux.

        Returns
        -------
        half : array, shape (states, ...)
            The state half-way, for `absorb`.
        offset : array, shape (...)
            Temperature of the top node (K) if no flux came; a flux q into the soil makes it
            ``offset + operator["slope"] * q``.
        """

    @abc.abstractmethod
    def absorb(
        self, operator: Operator, half: jax.Array, offset: jax.Array, flux: jax.Array
    ) -> jax.Array:
        """State at the end of the step, given the flux into the soil (W m-2)."""

    def advance(
        self,
        model: Model,
        parameters: Values,
        operator: Operator,
        state: jax.Array,
        surface_temperature: jax.Array,
        forcing: Values,
    ) -> tuple[jax.Array, jax.Array]:
        """State and surface temperature at the end of the step."""
        bottom = model.bottom.temperature(parameters)
        half, offset = self.respond(model, operator, state, bottom)
        surface_temperature, flux = close_surface(
            model, parameters, forcing, offset, operator["slope"], surface_temperature
        )
        return self.absorb(operator, half, offset, flux), surface_temperature


def close_surface(
    model: Model,
    parameters: Values,
    forcing: Values,
    offset: jax.Array,
    slope: jax.Array,
    guess: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Surface temperature and flux into the soil, given the column's answer to a flux."""

    def net_flux(temperature: jax.Array) -> jax.Array:
        return model.net_flux(temperature, forcing, parameters)

    return model.surface.solve(net_flux, offset, slope, guess)


def step_operator(model: Model, parameters: Values, dt: jax.Array) -> dict[str, jax.Array]:
    """Finite-volume coefficients of one step, for any soil and grid.

    Returns
    -------
    dict
        ``storage`` (nodes, ...): heat capacity over the time step, W m-2 K-1;
        ``conductance`` (nodes - 1, ...): between neighbours, W m-2 K-1;
        ``diagonal`` (nodes, ...): storage plus both conductances.
    """
    storage = model.soil.capacities(model.grid, parameters) / dt
    conductance = model.soil.conductances(model.grid, parameters)
    none = jnp.zeros_like(conductance[:1])
    above = jnp.concatenate([none, conductance])
    below = jnp.concatenate([conductance, none])
    return {
        "storage": storage,
        "conductance": conductance,
        "diagonal": storage + above + below,
    }
