"""The fast solver for a uniform soil: every cosine mode decays on its own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.model.grid import interpolation_weights
from xlsm.model.solvers.base import Operator, Values, close_surface

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Modal"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclasses.dataclass(frozen=True)
class Modal:
    """Exact solution in the eigenvectors of uniform conduction.

    The backward-Euler matrix of a uniform soil has cosines for eigenvectors:
    ``cos((k + 1/2) pi i / N)`` with eigenvalue ``mu_k = 2 - 2 cos((k + 1/2) pi / N)`` over a
    bottom at fixed temperature, ``cos(k pi i / N)`` over an insulated one. Every mode decays by
    ``1 / (1 + r mu_k)``, ``r = lambda dt / (C dz^2)``, and takes its share of the surface flux;
    only the scalar surface equation couples them. The state is the amplitudes, scaled so that
    the surface flux enters all modes alike, relative to the bottom's temperature.
    """

    def prepare(self, model: Model, parameters: Values, dt: jax.Array) -> dict[str, jax.Array]:
        """Give the step's ``ratio`` r and ``gain`` 2 dt / (C dz) (K m2 W-1), shape (...)."""
        spacing = model.grid.spacing
        capacity = parameters["heat_capacity"]
        return {
            "ratio": parameters["thermal_conductivity"] * dt / (capacity * spacing**2),
            "gain": 2 * dt / (capacity * spacing),
        }

    def begin(self, model: Model, parameters: Values, profile: jax.Array) -> jax.Array:
        """Scaled amplitudes of a profile, shape (modes, ...)."""
        _, shapes, _ = _modes(model)
        own = np.ones(model.grid.nodes)
        own[[0, -1]] = 0.5  # the ends own half a cell
        anomaly = profile - model.bottom.temperature(parameters)
        # the weight cancels: amplitude = weight * projection, state = amplitude / weight
        return jnp.tensordot(jnp.asarray(2 * shapes * own), anomaly, axes=1)

    def advance(
        self,
        model: Model,
        parameters: Values,
        operator: Operator,
        state: jax.Array,
        surface_temperature: jax.Array,
        forcing: Values,
    ) -> tuple[jax.Array, jax.Array]:
        """Decay, solve the surface, add the flux."""
        eigenvalues, _, weights = _modes(model)
        column = (-1,) + (1,) * (state.ndim - 1)
        weights = weights.reshape(column)
        decay = 1 / (1 + operator["ratio"] * eigenvalues.reshape(column))
        offset = model.bottom.temperature(parameters) + jnp.sum(weights * decay * state, axis=0)
        slope = operator["gain"] * jnp.sum(weights * decay, axis=0)
        surface_temperature, flux = close_surface(
            model, parameters, forcing, offset, slope, surface_temperature
        )
        return decay * (state + operator["gain"] * flux), surface_temperature

    def sample(self, model: Model, depths: jax.Array) -> jax.Array:
        """Weighted mode shapes, linearly interpolated between nodes, shape (z, modes)."""
        _, shapes, weights = _modes(model)
        upper, weight = interpolation_weights(model.grid, depths)
        at_nodes = jnp.asarray((weights[:, None] * shapes).T)
        return (1 - weight)[:, None] * at_nodes[upper] + weight[:, None] * at_nodes[upper + 1]

    def temperatures(
        self, model: Model, parameters: Values, state: jax.Array, sampler: jax.Array
    ) -> jax.Array:
        """Sum of the modes (K), shape (z, ...)."""
        # one depth at a time: a product of matrices would give other last bits in other batches
        sampler = sampler.reshape(sampler.shape + (1,) * (state.ndim - 1))
        anomaly = jnp.sum(sampler * state, axis=1)
        return model.bottom.temperature(parameters) + anomaly


def _modes(model: Model) -> tuple[Array, Array, Array]:
    """Eigenvalues (modes,), shapes at the nodes (modes, nodes), weights (modes,)."""
    intervals = model.grid.nodes - 1
    node = np.arange(model.grid.nodes)
    if model.bottom.fixed:
        wavenumber = (np.arange(intervals) + 0.5) * np.pi / intervals
        weights = np.full(intervals, 1 / intervals)
    else:
        wavenumber = np.arange(intervals + 1) * np.pi / intervals
        weights = np.full(intervals + 1, 1 / intervals)
        weights[[0, -1]] /= 2
    return 2 - 2 * np.cos(wavenumber), np.cos(np.outer(wavenumber, node)), weights
