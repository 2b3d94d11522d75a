"""What the three ways to advance a step have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Solver", "close_surface", "step_operator"]

#: Coefficients of one step, whatever a solver makes of them.
Operator = Mapping[str, jax.Array]
Values = Mapping[str, jax.Array]


class Solver(Protocol):
    """One backward-Euler step of the column under its surface energy balance.

    Shapes: a state has its own leading axis, then any batch axes; parameters have only the
    batch axes. Solvers are frozen and hold settings, never arrays.
    """

    def prepare(self, model: Model, parameters: Values, dt: jax.Array) -> dict[str, jax.Array]:
        """Coefficients that stay the same over the run."""
        ...

    def begin(self, model: Model, parameters: Values, profile: jax.Array) -> jax.Array:
        """State from node temperatures (K), shape (nodes, ...)."""
        ...

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
        ...

    def sample(self, model: Model, depths: jax.Array) -> Any:
        """Whatever `temperatures` needs to read these depths (m), shape (z,)."""
        ...

    def temperatures(
        self, model: Model, parameters: Values, state: jax.Array, sampler: Any
    ) -> jax.Array:
        """Soil temperature (K) at the sampled depths, shape (z, ...)."""
        ...


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
