"""What the ways to advance a step have in common."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from xlsm.model.grid import interpolation_weights
from xlsm.model.piece import Piece

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Direct", "Nodal", "Operator", "Solver", "State", "Values", "step_operator"]

#: Coefficients of one step, whatever a solver makes of them.
Operator = Mapping[str, jax.Array]
Values = Mapping[str, jax.Array]


class State(NamedTuple):
    """A column at one time.

    Parameters
    ----------
    columns : array, shape (states, ...)
        What the solver makes of the node temperatures.
    surface : array, shape (...)
        Surface temperature (K).
    flux : array, shape (...)
        Flux into the soil (W m-2).
    """

    columns: jax.Array
    surface: jax.Array
    flux: jax.Array


class Solver(Piece, abc.ABC):
    """One backward-Euler step of the column under its surface energy balance.

    Shapes: a state has its own leading axis, then any batch axes; parameters have only the
    batch axes. Solvers are frozen and hold settings, never arrays.
    """

    @property
    @abc.abstractmethod
    def exact(self) -> Direct | None:
        """The direct solver with the same states, whose derivatives are those of the step.

        None where there is none: derivatives are then those of `advance` itself.
        """

    @abc.abstractmethod
    def prepare(
        self, model: Model, parameters: Values, dt: jax.Array, forcing: Values
    ) -> dict[str, jax.Array]:
        """Coefficients of a step of length dt (s), from the parameters and forcing of the soil."""

    @abc.abstractmethod
    def begin(self, model: Model, bottom: jax.Array, profile: jax.Array) -> jax.Array:
        """State from the temperature of the bottom and of the nodes (K), shape (nodes, ...)."""

    @abc.abstractmethod
    def advance(
        self,
        model: Model,
        parameters: Values,
        operator: Operator,
        state: State,
        forcing: Values,
    ) -> State:
        """State at the end of the step."""

    @abc.abstractmethod
    def sample(self, model: Model, depths: jax.Array) -> Any:
        """Whatever `temperatures` needs to read these depths (m), shape (z,)."""

    @abc.abstractmethod
    def temperatures(self, state: jax.Array, bottom: jax.Array, sampler: Any) -> jax.Array:
        """Soil temperature (K) at the sampled depths, shape (z, ...)."""

    @abc.abstractmethod
    def pick(self, model: Model, nodes: jax.Array) -> jax.Array:
        """Whatever `picked` needs to read nodes (m, ...) that differ between stations.

        Its last axes are those of the batch.
        """

    @abc.abstractmethod
    def picked(self, state: jax.Array, bottom: jax.Array, picker: jax.Array) -> jax.Array:
        """Temperature (K) of the nodes that were picked, shape (m, ...)."""


class Nodal(Solver):
    """A solver whose state is the node temperatures."""

    def begin(self, model: Model, bottom: jax.Array, profile: jax.Array) -> jax.Array:
        """Node temperatures, with the bottom node at its given temperature."""
        if model.bottom.fixed:
            profile = profile.at[-1].set(bottom)
        return profile

    def sample(self, model: Model, depths: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Interpolation weights between nodes."""
        return interpolation_weights(model.layout, depths)

    def temperatures(
        self, state: jax.Array, bottom: jax.Array, sampler: tuple[jax.Array, jax.Array]
    ) -> jax.Array:
        """Linear interpolation between nodes (K), shape (z, ...)."""
        upper, weight = sampler
        weight = weight.reshape(weight.shape + (1,) * (state.ndim - 1))
        return (1 - weight) * state[upper] + weight * state[upper + 1]

    def pick(self, model: Model, nodes: jax.Array) -> jax.Array:
        """Give the nodes themselves."""
        return nodes

    def picked(self, state: jax.Array, bottom: jax.Array, picker: jax.Array) -> jax.Array:
        """Temperature (K) of the nodes that were picked, shape (m, ...)."""
        return jnp.take_along_axis(state, picker, axis=0)


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
        state: State,
        forcing: Values,
    ) -> State:
        """State at the end of the step."""
        bottom = model.bottom.temperature(forcing, parameters)
        half, offset = self.respond(model, operator, state.columns, bottom)
        surface, flux = model.close_surface(
            parameters, forcing, offset, operator["slope"], state.surface
        )
        return State(self.absorb(operator, half, offset, flux), surface, flux)


def step_operator(
    model: Model, parameters: Values, dt: jax.Array, forcing: Values
) -> dict[str, jax.Array]:
    """Finite-volume coefficients of one step, for any soil and grid.

    Returns
    -------
    dict
        ``storage`` (nodes, ...): heat capacity over the time step, W m-2 K-1;
        ``conductance`` (nodes - 1, ...): between neighbours, W m-2 K-1;
        ``diagonal`` (nodes, ...): storage plus both conductances.
    """
    storage = model.soil.capacities(model.layout, parameters, forcing) / dt
    conductance = model.soil.conductances(model.layout, parameters, forcing)
    none = jnp.zeros_like(conductance[:1])
    above = jnp.concatenate([none, conductance])
    below = jnp.concatenate([conductance, none])
    return {
        "storage": storage,
        "conductance": conductance,
        "diagonal": storage + above + below,
    }
