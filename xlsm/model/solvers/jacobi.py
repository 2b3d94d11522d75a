"""The paper's solver: a convolution iterated to a tolerance, kept for fidelity."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from xlsm.model.solvers.base import Operator, Solver, Values, close_surface, step_operator
from xlsm.model.solvers.tridiagonal import Tridiagonal

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Jacobi"]


@dataclasses.dataclass(frozen=True)
class Jacobi(Solver):
    """Jacobi iteration of each step, as in Neural Physics [1]_.

    Every node is set from its neighbours' last values, a convolution with ``[1, 0, 1]``, until
    nothing moves by more than the tolerance; the top node solves the surface energy balance for
    its neighbour's last value. Each step may be off by about ``2 r`` tolerances, with
    ``r = lambda dt / (C dz^2)``, and the errors add up over the run. Derivatives are those of
    the step's exact solution (implicit differentiation), not of the iterations.

    Parameters
    ----------
    tolerance : float
        Largest change (K) of a node at which the iteration ends.
    max_iterations : int
        Iterations after which a step is given up: its temperatures become NaN.

    References
    ----------
    .. [1] Huang, Heaney & van Reeuwijk (2025), arXiv 2505.02979.
    """

    tolerance: float = 1e-4
    max_iterations: int = 100_000

    @property
    def exact(self) -> Tridiagonal:
        """The direct solution of the same step."""
        return Tridiagonal()

    def prepare(self, model: Model, parameters: Values, dt: jax.Array) -> dict[str, jax.Array]:
        """Coefficients of the sweep, and of the exact step for the derivatives."""
        return step_operator(model, parameters, dt) | self.exact.prepare(model, parameters, dt)

    def begin(self, model: Model, parameters: Values, profile: jax.Array) -> jax.Array:
        """Node temperatures."""
        return self.exact.begin(model, parameters, profile)

    def advance(
        self,
        model: Model,
        parameters: Values,
        operator: Operator,
        state: jax.Array,
        surface_temperature: jax.Array,
        forcing: Values,
    ) -> tuple[jax.Array, jax.Array]:
        """Iterate one step to the tolerance."""
        advanced: tuple[jax.Array, jax.Array] = _iterate(
            self, model, parameters, operator, state, surface_temperature, forcing
        )
        return advanced

    def sample(self, model: Model, depths: jax.Array) -> Any:
        """Interpolation weights between nodes."""
        return self.exact.sample(model, depths)

    def temperatures(self, state: jax.Array, bottom: jax.Array, sampler: Any) -> jax.Array:
        """Linear interpolation between nodes (K), shape (z, ...)."""
        return self.exact.temperatures(state, bottom, sampler)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _iterate(
    solver: Jacobi,
    model: Model,
    parameters: Values,
    operator: Operator,
    state: jax.Array,
    surface_temperature: jax.Array,
    forcing: Values,
) -> tuple[jax.Array, jax.Array]:
    storage, conductance = operator["storage"], operator["conductance"]
    diagonal = operator["diagonal"]
    heat = storage * state
    slope = 1 / diagonal[0]

    def sweep(old: jax.Array, surface_temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
        offset = slope * (heat[0] + conductance[0] * old[1])
        surface_temperature, flux = close_surface(
            model, parameters, forcing, offset, slope, surface_temperature
        )
        neighbours = conductance[:-1] * old[:-2] + conductance[1:] * old[2:]
        inner = (heat[1:-1] + neighbours) / diagonal[1:-1]
        last = (
            old[-1] if model.bottom.fixed else (heat[-1] + conductance[-1] * old[-2]) / diagonal[-1]
        )
        top = offset + slope * flux
        return jnp.concatenate([top[None], inner, last[None]]), surface_temperature

    Carry = tuple[jax.Array, jax.Array, jax.Array, jax.Array]

    def moving(carry: Carry) -> jax.Array:
        count, _, _, change = carry
        return (count < solver.max_iterations) & jnp.any(change > solver.tolerance)

    def iterate(carry: Carry) -> Carry:
        count, old, surface, change = carry
        new, new_surface = sweep(old, surface)
        # a column that has settled stays as it is while others of the batch still move
        active = change > solver.tolerance
        return (
            count + 1,
            jnp.where(active, new, old),
            jnp.where(active, new_surface, surface),
            jnp.where(active, jnp.max(jnp.abs(new - old), axis=0), change),
        )

    start = (
        jnp.array(0),
        state,
        surface_temperature,
        jnp.full_like(surface_temperature, jnp.inf),
    )
    _, temperatures, surface, change = jax.lax.while_loop(moving, iterate, start)
    gave_up = ~(change <= solver.tolerance)
    return (
        jnp.where(gave_up, jnp.nan, temperatures),
        jnp.where(gave_up, jnp.nan, surface),
    )


@_iterate.defjvp
def _exact_tangent(
    solver: Jacobi, model: Model, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    value = _iterate(solver, model, *primals)
    _, tangent = jax.jvp(partial(solver.exact.advance, model), primals, tangents)
    return value, tangent
