"""First-order optimisers from optax, for many stations at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from xlsm.inference.least_squares import EDGE, Fit, decrement
from xlsm.inference.objective import cost, normal_equations
from xlsm.inference.problem import Data, Problem, per_station, station_axes

__all__ = ["first_order"]

#: Points, state of the optimiser, steps so far, results, and whether to go on.
_Carry = tuple[jax.Array, Any, jax.Array, Fit, jax.Array]

#: Step of Adam in the unbounded parameters.
LEARNING_RATE = 0.05
#: Steps between two looks at the distance to the minimum.
BURST = {"adam": 50, "lbfgs": 5}


def first_order(
    problem: Problem,
    data: Data,
    start: jax.Array,
    *,
    method: str,
    tolerance: jax.Array,
    max_steps: jax.Array,
) -> Fit:
    """Minimise the cost of every item by Adam or L-BFGS with reverse-mode gradients.

    The items go in step. Every few steps the normal equations are evaluated, and an item whose
    distance to the minimum (see `least_squares.decrement`) is below the tolerance stays where
    it is; so the tolerance means the same for every method.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers of s stations, one batch axis.
    start : array, shape (P, n)
        Starting points; ``n`` is a multiple of ``s``, item ``i`` belongs to station
        ``i // (n // s)``.
    method : {"adam", "lbfgs"}
        The optimiser.
    tolerance : float
        Distance to the minimum (standard errors) at which an item is done.
    max_steps : int
        Steps an item may take.

    Returns
    -------
    Fit
        Last point of every item.
    """
    items = start.shape[1]
    starts = items // next(iter(data.forcing.values())).shape[-1]

    def repeat(values: jax.Array) -> jax.Array:
        return jnp.repeat(values, starts, axis=-1)

    data = per_station(data, repeat)
    optimiser = optax.adam(LEARNING_RATE) if method == "adam" else optax.lbfgs()
    # one optimiser an item: L-BFGS takes inner products over all it is given
    step_axes = (-1, 0, station_axes(data))

    def advance(point: jax.Array, state: Any, data: Data) -> tuple[jax.Array, Any]:
        def value(point: jax.Array) -> jax.Array:
            return cost(problem, data, point)

        now, gradient = jax.value_and_grad(value)(point)
        extra = {} if method == "adam" else {"value": now, "grad": gradient, "value_fn": value}
        change, state = optimiser.update(gradient, state, point, **extra)
        return jnp.clip(optax.apply_updates(point, change), -EDGE, EDGE), state

    step = jax.vmap(advance, in_axes=step_axes, out_axes=(-1, 0))

    def judge(point: jax.Array, count: jax.Array, fit: Fit) -> Fit:
        normal = normal_equations(problem, data, point)
        near = jnp.isfinite(normal.cost) & (decrement(point, normal) <= tolerance)
        latest = Fit(point, normal, jnp.full(items, count), near)
        kept: Fit = jax.tree.map(partial(jnp.where, fit.converged), fit, latest)
        return kept

    def burst(carry: _Carry) -> _Carry:
        point, state, count, fit, _ = carry
        fit = judge(point, count, fit)
        going = jnp.any(~fit.converged & jnp.isfinite(fit.normal.cost))
        steps = jnp.where(going, jnp.minimum(BURST[method], max_steps - count), 0)

        def one(_: int, inner: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
            return step(*inner, data)

        point, state = jax.lax.fori_loop(0, steps, one, (point, state))
        return point, state, count + steps, fit, steps > 0

    shapes = jax.eval_shape(partial(normal_equations, problem), data, start)
    normal = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    fit = Fit(start, normal, jnp.zeros(items, int), jnp.zeros(items, bool))
    state = jax.vmap(optimiser.init, in_axes=-1)(start)
    carry = (start, state, jnp.array(0), fit, jnp.array(True))
    return jax.lax.while_loop(lambda carry: carry[-1], burst, carry)[3]
