"""The general solver: elimination from the bottom up to one scalar surface equation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from xlsm.errors import ModelError
from xlsm.model.solvers.base import Direct, Nodal, Operator, Values, step_operator

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Tridiagonal", "eliminate"]


@dataclasses.dataclass(frozen=True)
class Tridiagonal(Nodal, Direct):
    """Direct solution for any soil and grid.

    Eliminating from the bottom turns every node into ``T_i = a_i T_(i-1) + b_i`` and leaves one
    scalar equation ``T_0 = offset + slope * flux(T_0)`` at the surface. Only the ``b_i`` change
    from step to step. The state is the node temperatures.
    """

    def check(self, model: Model) -> None:
        """Refuse a soil whose heat is not proportional to its temperature."""
        if model.soil.nonlinear:
            raise ModelError(
                f"the tridiagonal solver cannot serve {type(model.soil).__name__}, whose heat is "
                'not proportional to its temperature: use solver="auto"'
            )

    def prepare(
        self, model: Model, parameters: Values, dt: jax.Array, forcing: Values
    ) -> dict[str, jax.Array]:
        """Eliminate once: the factors ``a_i`` and the pivots stay the same over the run."""
        return eliminate(model, step_operator(model, parameters, dt, forcing))

    def respond(
        self, model: Model, operator: Operator, state: jax.Array, bottom: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Sweep up: what the nodes below the surface would be if the one above them were 0."""
        heat = operator["storage"] * state
        conductance, pivots = operator["conductance"], operator["pivots"]
        last = bottom if model.bottom.fixed else heat[-1] / pivots[-1]

        def up(
            below: jax.Array, row: tuple[jax.Array, jax.Array, jax.Array]
        ) -> tuple[jax.Array, jax.Array]:
            heat, conductance, pivot = row
            value = (heat + conductance * below) / pivot
            return value, value

        # a tangent has more batch axes than the coefficients
        inner = heat[1:-1]
        rows = (
            inner,
            jnp.broadcast_to(conductance[1:], inner.shape),
            jnp.broadcast_to(pivots[:-1], inner.shape),
        )
        _, values = jax.lax.scan(up, last, rows, reverse=True)
        half = jnp.concatenate([values, last[None]])
        return half, operator["slope"] * (heat[0] + conductance[0] * half[0])

    def absorb(
        self, operator: Operator, half: jax.Array, offset: jax.Array, flux: jax.Array
    ) -> jax.Array:
        """Sweep down from the temperature of the top node."""
        top = offset + operator["slope"] * flux

        def down(above: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            factor, value = row
            temperature = factor * above + value
            return temperature, temperature

        factors = jnp.broadcast_to(operator["factors"], half.shape)
        _, below = jax.lax.scan(down, top, (factors, half))
        return jnp.concatenate([top[None], below])


def eliminate(model: Model, operator: Operator) -> dict[str, jax.Array]:
    """Coefficients of the sweeps from those of `step_operator`."""
    conductance, diagonal = operator["conductance"], operator["diagonal"]
    # a fixed bottom node answers nothing; an insulated one is eliminated like the others
    last = jnp.zeros_like(diagonal[0])
    if not model.bottom.fixed:
        last = conductance[-1] / diagonal[-1]

    def up(
        factor: jax.Array, row: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        above, below, diagonal = row
        pivot = diagonal - below * factor
        return above / pivot, (above / pivot, pivot)

    rows = (conductance[:-1], conductance[1:], diagonal[1:-1])
    _, (factors, pivots) = jax.lax.scan(up, last, rows, reverse=True)
    factors = jnp.concatenate([factors, last[None]])
    return {
        "storage": operator["storage"],
        "conductance": conductance,
        "factors": factors,
        "pivots": jnp.concatenate([pivots, diagonal[-1:]]),
        "slope": 1 / (diagonal[0] - conductance[0] * factors[0]),
    }
