"""The paper's solver: a convolution iterated to a tolerance, kept for fidelity."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from xlsm.model.solvers.base import Nodal, Operator, State, Values, step_operator
from xlsm.model.solvers.tridiagonal import Tridiagonal

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Jacobi"]


@dataclasses.dataclass(frozen=True)
class Jacobi(Nodal):
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

    def prepare(
        self, model: Model, parameters: Values, dt: jax.Array, forcing: Values
    ) -> dict[str, jax.Array]:
        """Coefficients of the sweep, and of the exact step for the derivatives."""
        given = (model, parameters, dt, forcing)
        return step_operator(*given) | self.exact.prepare(*given)

    def check(self, model: Model) -> None:
        """Refuse what the exact solver of the same step refuses."""
        self.exact.check(model)

    def advance(
        self,
        model: Model,
        parameters: Values,
        operator: Operator,
        state: State,
        forcing: Values,
    ) -> State:
        """Iterate one step to the tolerance."""
        advanced: State = _iterate(self, model, parameters, operator, state, forcing)
        return advanced


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _iterate(
    solver: Jacobi,
    model: Model,
    parameters: Values,
    operator: Operator,
    state: State,
    forcing: Values,
) -> State:
    storage, conductance = operator["storage"], operator["conductance"]
    diagonal = operator["diagonal"]
    heat = storage * state.columns
    slope = 1 / diagonal[0]
    bottom = model.bottom.temperature(forcing, parameters)

    def sweep(last: State) -> State:
        old = last.columns
        offset = slope * (heat[0] + conductance[0] * old[1])
        surface, flux = model.close_surface(parameters, forcing, offset, slope, last.surface)
        neighbours = conductance[:-1] * old[:-2] + conductance[1:] * old[2:]
        inner = (heat[1:-1] + neighbours) / diagonal[1:-1]
        end = bottom
        if not model.bottom.fixed:
            end = (heat[-1] + conductance[-1] * old[-2]) / diagonal[-1]
        top = offset + slope * flux
        return State(jnp.concatenate([top[None], inner, end[None]]), surface, flux)

    Carry = tuple[jax.Array, State, jax.Array]

    def moving(carry: Carry) -> jax.Array:
        count, _, change = carry
        return (count < solver.max_iterations) & jnp.any(change > solver.tolerance)

    def iterate(carry: Carry) -> Carry:
        count, old, change = carry
        new = sweep(old)
        # a column that has settled stays as it is while others of the batch still move
        active = change > solver.tolerance
        kept: State = jax.tree.map(partial(jnp.where, active), new, old)
        moved = jnp.max(jnp.abs(new.columns - old.columns), axis=0)
        return count + 1, kept, jnp.where(active, moved, change)

    start = (jnp.array(0), state, jnp.full_like(state.surface, jnp.inf))
    _, reached, change = jax.lax.while_loop(moving, iterate, start)
    gave_up = ~(change <= solver.tolerance)
    stopped: State = jax.tree.map(lambda values: jnp.where(gave_up, jnp.nan, values), reached)
    return stopped


@_iterate.defjvp
def _exact_tangent(
    solver: Jacobi, model: Model, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    value = _iterate(solver, model, *primals)
    _, tangent = jax.jvp(partial(solver.exact.advance, model), primals, tangents)
    return value, tangent
