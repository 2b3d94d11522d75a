"""The fast solver for a uniform soil: every cosine mode decays on its own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ModelError
from xlsm.model.grid import interpolation_weights
from xlsm.model.solvers.base import Direct, Operator, Values

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Modal"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclasses.dataclass(frozen=True)
class Modal(Direct):
    """Exact solution in the eigenvectors of uniform conduction.

    The backward-Euler matrix of a uniform soil has cosines for eigenvectors:
    ``cos((k + 1/2) pi i / N)`` with eigenvalue ``mu_k = 2 - 2 cos((k + 1/2) pi / N)`` over a
    bottom at fixed temperature, ``cos(k pi i / N)`` over an insulated one. Every mode decays by
    ``1 / (1 + r mu_k)``, ``r = lambda dt / (C dz^2)``, and takes its share of the surface flux;
    only the scalar surface equation couples them. The state is the amplitudes, scaled so that
    the surface flux enters all modes alike, relative to the bottom's temperature.
    """

    @staticmethod
    def serves(model: Model) -> bool:
        """Whether a model's soil and grid are uniform, and constant with its bottom."""
        soil, bottom = model.soil, model.bottom
        return soil.uniform and model.layout.uniform and not bottom.varying

    def check(self, model: Model) -> None:
        """Refuse what has other eigenvectors."""
        if not self.serves(model):
            raise ModelError(
                "the modal solver needs a uniform soil on a uniform grid, and a bottom, all "
                'constant in time: use solver="tridiagonal" or "auto"'
            )

    def prepare(
        self, model: Model, parameters: Values, dt: jax.Array, forcing: Values
    ) -> dict[str, jax.Array]:
        """Give ``decay`` (modes, ...), ``gain`` 2 dt / (C dz) and ``slope`` (K m2 W-1), (...)."""
        eigenvalues, _, weights = _modes(model)
        # uniform: any two neighbours tell all
        conductance = model.soil.conductances(model.layout, parameters, forcing)[0]
        capacity = model.soil.capacities(model.layout, parameters, forcing)[1]
        ratio = conductance * dt / capacity
        decay = 1 / (1 + ratio * eigenvalues.reshape((-1,) + (1,) * jnp.ndim(ratio)))
        gain = 2 * dt / capacity
        return {"decay": decay, "gain": gain, "slope": gain * _contract(weights[None], decay)[0]}

    def begin(self, model: Model, bottom: jax.Array, profile: jax.Array) -> jax.Array:
        """Scaled amplitudes of a profile, shape (modes, ...)."""
        _, shapes, _ = _modes(model)
        own = np.ones(model.layout.nodes)
        own[[0, -1]] = 0.5  # the ends own half a cell
        anomaly = profile - bottom
        # the weight cancels: amplitude = weight * projection, state = amplitude / weight
        return jnp.tensordot(jnp.asarray(2 * shapes * own), anomaly, axes=1)

    def respond(
        self, model: Model, operator: Operator, state: jax.Array, bottom: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Decay every mode."""
        _, _, weights = _modes(model)
        half = operator["decay"] * state
        return half, bottom + _contract(weights[None], half)[0]

    def absorb(
        self, operator: Operator, half: jax.Array, offset: jax.Array, flux: jax.Array
    ) -> jax.Array:
        """Give every mode its share of the flux."""
        return half + operator["decay"] * (operator["gain"] * flux)

    def sample(self, model: Model, depths: jax.Array) -> jax.Array:
        """Weighted mode shapes, linearly interpolated between nodes, shape (z, modes)."""
        _, shapes, weights = _modes(model)
        upper, weight = interpolation_weights(model.layout, depths)
        at_nodes = jnp.asarray((weights[:, None] * shapes).T)
        return (1 - weight)[:, None] * at_nodes[upper] + weight[:, None] * at_nodes[upper + 1]

    def temperatures(self, state: jax.Array, bottom: jax.Array, sampler: jax.Array) -> jax.Array:
        """Sum of the modes (K), shape (z, ...)."""
        return bottom + _contract(sampler, state)

    def pick(self, model: Model, nodes: jax.Array) -> jax.Array:
        """Weighted mode shapes at the nodes, shape (m, modes, ...)."""
        _, shapes, weights = _modes(model)
        return jnp.moveaxis(jnp.asarray((weights[:, None] * shapes).T)[nodes], -1, 1)

    def picked(self, state: jax.Array, bottom: jax.Array, picker: jax.Array) -> jax.Array:
        """Sum of the modes (K) at the nodes that were picked, shape (m, ...)."""
        return bottom + jnp.sum(picker * state, axis=1)


def _contract(matrix: Any, state: jax.Array) -> jax.Array:
    """Product over the leading axis, (m, modes) with (modes, ...) to (m, ...).

    Written as a product of two matrices, which is what compiles to fast code.
    """
    product = jnp.asarray(matrix) @ state.reshape(state.shape[0], -1)
    return product.reshape(product.shape[0], *state.shape[1:])


def _modes(model: Model) -> tuple[Array, Array, Array]:
    """Eigenvalues (modes,), shapes at the nodes (modes, nodes), weights (modes,)."""
    intervals = model.layout.nodes - 1
    node = np.arange(model.layout.nodes)
    if model.bottom.fixed:
        wavenumber = (np.arange(intervals) + 0.5) * np.pi / intervals
        weights = np.full(intervals, 1 / intervals)
    else:
        wavenumber = np.arange(intervals + 1) * np.pi / intervals
        weights = np.full(intervals + 1, 1 / intervals)
        weights[[0, -1]] /= 2
    return 2 - 2 * np.cos(wavenumber), np.cos(np.outer(wavenumber, node)), weights
