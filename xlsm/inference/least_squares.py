"""Damped Gauss-Newton (Levenberg-Marquardt) for many stations at once."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.linear import solve_positive
from xlsm.inference.objective import Normal, normal_equations
from xlsm.inference.problem import Data, Problem, per_station

__all__ = ["EDGE", "Fit", "decrement", "gauss_newton", "pinned"]

#: The unbounded parameters live in [-EDGE, EDGE], within 5e-5 of their range from the bounds.
EDGE = 10.0
#: Largest change of an unbounded parameter in one step.
LARGEST_STEP = 2.0
#: Damping at the start, and where a lane is given up for finding no way down.
FIRST_DAMPING, LAST_DAMPING = 1e-3, 1e12
#: A step is accepted when the cost falls by this part of what was predicted, ...
SUFFICIENT = 1e-4
#: ... with this part of the cost allowed for round-off.
ROUND_OFF = 1e-13
#: After so many steps in a row that promise less than round-off there is nothing left to gain.
SETTLED = 4
#: ... provided that the minimum is this near (standard errors): heavy damping promises little, too.
RESOLVED = 1e-3


class Fit(NamedTuple):
    """Where an optimiser ended, for each item; batch axis last.

    Parameters
    ----------
    unbounded : array, shape (P, n)
        The free parameters on the real line.
    normal : Normal
        Normal equations there.
    iterations : int array, shape (n,)
        Evaluations of the model after the first.
    converged : bool array, shape (n,)
        Whether the distance to the minimum fell below the tolerance.
    """

    unbounded: jax.Array
    normal: Normal
    iterations: jax.Array
    converged: jax.Array


class _Lanes(NamedTuple):
    """The items being worked on, one a lane."""

    item: jax.Array  # (w,) index of the item; n and above: idle
    point: jax.Array  # (P, w) best point so far
    normal: Normal  # there
    distance: jax.Array  # (w,) from there to the minimum, in standard errors
    trial: jax.Array  # (P, w) point to evaluate next
    predicted: jax.Array  # (w,) fall of the cost expected there
    damping: jax.Array  # (w,)
    growth: jax.Array  # (w,) factor of the damping at the next rejection
    settled: jax.Array  # (w,) steps in a row whose promise was below round-off
    iterations: jax.Array  # (w,)


def gauss_newton(
    problem: Problem,
    data: Data,
    start: jax.Array,
    *,
    lanes: int,
    tolerance: jax.Array,
    max_steps: jax.Array,
) -> Fit:
    """Minimise the cost of every item by Levenberg-Marquardt.

    A fixed number of lanes works through the items: a lane whose item is done takes the next
    one waiting, so that no lane idles for the slowest and the working set stays in cache. What
    happens to an item does not depend on its neighbours. A lane ends when its distance to the
    minimum, ``sqrt(g^T (J^T J)^-1 g)`` in standard errors, falls below the tolerance (parameters
    held at a bound left out) or below what round-off lets the cost tell, when it reaches the
    limit of steps, or when the cost is not finite at the start or no damping leads down. The
    damping follows Nielsen (1999) [1]_ on Marquardt's scaling.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers of s stations, one batch axis.
    start : array, shape (P, n)
        Starting points; ``n`` is a multiple of ``s``, and item ``i`` belongs to station
        ``i // (n // s)``.
    lanes : int
        Items worked on at a time.
    tolerance : array, shape ()
        Distance to the minimum (standard errors) at which an item is done.
    max_steps : array, shape ()
        Evaluations of the model an item may have after its first.

    Returns
    -------
    Fit
        Best point of every item.

    References
    ----------
    .. [1] Nielsen, H. B. (1999). Damping parameter in Marquardt's method. IMM-REP-1999-05, DTU.
    """
    count, items = start.shape
    parts = len(problem.observed) + 1
    starts = items // next(iter(data.forcing.values())).shape[-1]

    def take(item: jax.Array) -> Data:
        station = jnp.minimum(item, items - 1) // starts

        def pick(values: jax.Array) -> jax.Array:
            return values[..., station]

        return per_station(data, pick)

    def fresh(item: jax.Array) -> _Lanes:
        width = item.shape
        infinite = jnp.full(width, jnp.inf)
        normal = Normal(
            jnp.full((parts, *width), jnp.inf),
            jnp.zeros((count, *width)),
            jnp.zeros((count, count, *width)),
        )
        point = start[:, jnp.minimum(item, items - 1)]
        return _Lanes(
            item=item,
            point=point,
            normal=normal,
            distance=infinite,
            trial=point,
            predicted=infinite,
            damping=jnp.full(width, FIRST_DAMPING),
            growth=jnp.full(width, 2.0),
            settled=jnp.zeros(width, int),
            iterations=jnp.zeros(width, int),
        )

    def work(carry: tuple[_Lanes, jax.Array, Fit]) -> tuple[_Lanes, jax.Array, Fit]:
        lane, waiting, fit = carry
        evaluated = normal_equations(problem, take(lane.item), lane.trial)
        lane, converged, stuck = _judge(lane, evaluated, tolerance)
        done = converged | stuck | (lane.iterations >= max_steps)
        # an index past the end is dropped: lanes still at work, and idle ones, write nothing
        into = jnp.where(done, lane.item, items)
        result = Fit(lane.point, lane.normal, lane.iterations, converged)
        fit = jax.tree.map(lambda all_, new: all_.at[..., into].set(new, mode="drop"), fit, result)

        following = waiting + jnp.cumsum(done) - 1
        successor = fresh(jnp.where(done, following, lane.item))
        lane = _propose(lane._replace(iterations=lane.iterations + 1))
        lane = jax.tree.map(partial(jnp.where, done), successor, lane)
        return lane, waiting + jnp.sum(done), fit

    empty = Fit(
        unbounded=jnp.full((count, items), jnp.nan),
        normal=Normal(
            jnp.full((parts, items), jnp.nan),
            jnp.full((count, items), jnp.nan),
            jnp.full((count, count, items), jnp.nan),
        ),
        iterations=jnp.zeros(items, int),
        converged=jnp.zeros(items, bool),
    )
    carry = (fresh(jnp.arange(lanes)), jnp.array(lanes), empty)
    return jax.lax.while_loop(lambda c: jnp.any(c[0].item < items), work, carry)[2]


def _judge(
    lane: _Lanes, evaluated: Normal, tolerance: jax.Array
) -> tuple[_Lanes, jax.Array, jax.Array]:
    """Accept or reject the trial point; say which lanes converged and which are stuck."""
    first = jnp.isinf(lane.normal.cost)
    finite = jnp.isfinite(evaluated.cost)
    fall = lane.normal.cost - evaluated.cost
    slack = ROUND_OFF * lane.normal.cost
    # at a bound a shortened step can promise nothing: then it must at least not lead up
    promised = jnp.maximum(lane.predicted, 0.0)
    falls = fall + slack >= SUFFICIENT * promised
    # where less is promised than round-off leaves of the cost, the gradient still tells: it is a
    # difference that vanishes, the cost a sum that does not
    settled = ~first & (jnp.abs(lane.predicted) <= slack)
    distance = decrement(lane.trial, evaluated)
    nearer = jnp.where(settled & (lane.distance <= RESOLVED), distance < lane.distance, falls)
    accepted = finite & (first | nearer)

    # below round-off the fall is noise and must not move the damping
    ratio = jnp.where(promised > 0, fall / lane.predicted, 0.5)
    ratio = jnp.where(first | settled, 1.0, ratio)
    shrink = jnp.clip(1 - (2 * ratio - 1) ** 3, 1 / 3, 2.0)
    damping = jnp.where(
        first, lane.damping, lane.damping * jnp.where(accepted, shrink, lane.growth)
    )
    lane = lane._replace(
        point=jnp.where(accepted, lane.trial, lane.point),
        normal=jax.tree.map(partial(jnp.where, accepted), evaluated, lane.normal),
        distance=jnp.where(accepted, distance, lane.distance),
        damping=damping,
        growth=jnp.where(accepted, 2.0, 2 * lane.growth),
        settled=jnp.where(settled, lane.settled + 1, 0),
    )
    near = lane.distance <= tolerance
    near |= (lane.settled >= SETTLED) & (lane.distance <= RESOLVED)
    converged = ~jnp.isinf(lane.normal.cost) & near
    stuck = (first & ~finite) | (damping > LAST_DAMPING)
    return lane, converged, stuck & ~converged


def _propose(lane: _Lanes) -> _Lanes:
    """Next trial point from the damped normal equations, and the fall it promises."""
    gradient, matrix = _without(pinned(lane.point, lane.normal), lane.normal)
    lower = jnp.maximum(-LARGEST_STEP, -EDGE - lane.point)
    upper = jnp.minimum(LARGEST_STEP, EDGE - lane.point)
    step = -_solve(matrix, gradient, lane.damping)
    # parameters that would go too far go as far as they may, and the others make the best of it
    limited = (step < lower) | (step > upper)
    limit = jnp.where(limited, jnp.clip(step, lower, upper), 0.0)
    pulled = gradient + jnp.sum(matrix * limit[None], axis=1)
    rest, coupled = _without(limited, Normal(lane.normal.misfit, pulled, matrix))
    step = jnp.where(limited, limit, -_solve(coupled, rest, lane.damping))
    step = jnp.clip(step, lower, upper)
    trial = lane.point + step
    curved = jnp.sum(step[:, None] * matrix * step[None], axis=(0, 1))
    predicted = -jnp.sum(gradient * step, axis=0) - 0.5 * curved
    return lane._replace(trial=trial, predicted=predicted)


def pinned(point: jax.Array, normal: Normal) -> jax.Array:
    """Mark the parameters that sit at a bound and would leave through it, shape (P, ...)."""
    outward = jnp.where(point > 0, normal.gradient < 0, normal.gradient > 0)
    return (jnp.abs(point) >= EDGE) & outward


def _without(held: jax.Array, normal: Normal) -> tuple[jax.Array, jax.Array]:
    """Gradient and matrix with the held parameters decoupled and at rest."""
    either = held[:, None] | held[None]
    unit = jnp.eye(held.shape[0]).reshape(either.shape[:2] + (1,) * (held.ndim - 1))
    return jnp.where(held, 0.0, normal.gradient), jnp.where(either, unit, normal.matrix)


def _solve(matrix: jax.Array, vector: jax.Array, damping: Any) -> jax.Array:
    """Solve ``(A + damping diag(A)) x = v``, shapes (P, P, ...), (P, ...)."""
    return solve_positive(matrix, vector[:, None], damping)[:, 0]


def decrement(point: jax.Array, normal: Normal) -> jax.Array:
    """Distance to the minimum in standard errors, ``sqrt(g^T (J^T J)^-1 g)``, shape (...).

    It does not depend on how the parameters are scaled; parameters held at a bound are left out.
    """
    gradient, matrix = _without(pinned(point, normal), normal)
    # a trace of damping: along a direction the data do not see there is nothing left to gain
    return jnp.sqrt(jnp.maximum(jnp.sum(gradient * _solve(matrix, gradient, 1e-14), axis=0), 0.0))
