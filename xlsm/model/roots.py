"""Roots of one equation in one unknown, for many stations at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["bracketed", "newton"]

Function = Callable[[jax.Array], jax.Array]

#: Newton steps to the root of a concave balance, which converge quadratically: enough from
#: 100 K away.
NEWTON_STEPS = 8
#: Temperatures (K) between which a root is sought at first, either side of the guess; doubled
#: until it is inside, at most this often: no surface is 10,000 K away.
FIRST_REACH, DOUBLINGS = 4.0, 12
#: A step (K) after which a root is found: the error left by Newton's method is its square.
SETTLED = 1e-9
#: Largest number of steps to find a root.
LARGEST_COUNT = 200


def newton(function: Function, guess: jax.Array) -> jax.Array:
    """Find the root of an increasing, convex function by a fixed number of Newton steps."""
    for _ in range(NEWTON_STEPS):
        value, derivative = jax.jvp(function, (guess,), (jnp.ones_like(guess),))
        guess = guess - value / derivative
    return guess


class _Reach(NamedTuple):
    doublings: jax.Array
    below: jax.Array
    above: jax.Array
    high: jax.Array  # whether the function is positive at the lower end, too high
    low: jax.Array  # whether it is negative at the upper end


class _Bracket(NamedTuple):
    steps: jax.Array
    lower: jax.Array  # where the function is negative
    upper: jax.Array  # where it is positive
    point: jax.Array
    last: jax.Array  # length of the last step
    lost: jax.Array  # whether the function was no number where it was looked at last


def bracketed(function: Function, guess: jax.Array) -> jax.Array:
    """Find a root of a function that is negative far below and positive far above.

    Newton's method inside a bracket, halved wherever a Newton step would leave it or does not
    halve the step before (Press et al. 1992, Numerical Recipes, section 9.4). Each station ends
    for itself: what its neighbours do leaves no trace. NaN where there is no root.

    The function is traced three times, all of them inside the two loops: compiling it is most of
    what a model with a heavy one costs.
    """

    def outside(reach: _Reach) -> jax.Array:
        return (reach.doublings < DOUBLINGS) & jnp.any(reach.high | reach.low)

    def widen(reach: _Reach) -> _Reach:
        below = jnp.where(reach.high, 2 * reach.below, reach.below)
        above = jnp.where(reach.low, 2 * reach.above, reach.above)
        high, low = function(guess - below) > 0, function(guess + above) < 0
        return _Reach(reach.doublings + 1, below, above, high, low)

    # the first doubling is to the first reach
    half, unknown = jnp.full_like(guess, FIRST_REACH / 2), jnp.full(guess.shape, True)
    none = _Reach(jnp.array(-1), half, half, unknown, unknown)
    _, below, above, high, low = jax.lax.while_loop(outside, widen, none)

    def unsettled(bracket: _Bracket) -> jax.Array:
        return (bracket.steps < LARGEST_COUNT) & jnp.any(_moving(bracket))

    def refine(bracket: _Bracket) -> _Bracket:
        point = bracket.point
        value, derivative = jax.jvp(function, (point,), (jnp.ones_like(point),))
        lower = jnp.where(value < 0, point, bracket.lower)
        upper = jnp.where(value > 0, point, bracket.upper)
        following = point - value / jnp.where(derivative == 0, 1.0, derivative)
        inside = (following >= lower) & (following <= upper) & (derivative != 0)
        quick = jnp.abs(following - point) <= jnp.abs(bracket.last) / 2
        following = jnp.where(inside & quick, following, (lower + upper) / 2)
        step, lost = following - point, jnp.isnan(value)
        moved = _Bracket(bracket.steps + 1, lower, upper, following, step, lost)
        still = _moving(bracket)
        kept = [jnp.where(still, new, old) for new, old in zip(moved[1:], bracket[1:], strict=True)]
        return _Bracket(moved.steps, *kept)

    ends, nowhere = (guess - below, guess + above), jnp.isnan(guess)
    start = _Bracket(jnp.array(0), *ends, guess, below + above, nowhere)
    found = jax.lax.while_loop(unsettled, refine, start)
    # halving ends somewhere even where there is nothing to be found
    return jnp.where(high | low | found.lost, jnp.nan, found.point)


def _moving(bracket: _Bracket) -> jax.Array:
    return jnp.abs(bracket.last) > SETTLED
