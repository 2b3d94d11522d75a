"""Posterior sampling by the No-U-Turn sampler, for many stations and chains at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.base import get_filter_adapt_info_fn

from xlsm.inference.objective import cost, normal_equations
from xlsm.inference.problem import Data, Problem, station_axes
from xlsm.model.parameters import to_physical, to_unbounded

__all__ = ["Draws", "sample", "whiten"]

#: Mean acceptance aimed at. Above the usual 0.8, for the long valleys that one thermometer leaves:
#: there 0.8 and 0.9 diverge in some of a thousand draws, and where the posterior is near to normal
#: a higher aim costs little.
ACCEPTANCE = 0.95
#: How far apart along the valley (standard deviations) its floor is looked for, in how many
#: steps, and which part of each is taken.
STRIDE, PASSES, DAMPING = 0.75, 5, 0.7
#: What a bent floor must leave at most of the squared slopes that a straight one has.
WORTH = 0.25
#: Precision, in an unbounded parameter, of the prior alone: one over the variance of the logistic
#: distribution, which is what a uniform one becomes there.
PRIOR_PRECISION = 3 / np.pi**2
#: How far out in the unbounded parameters the chains may be centred: an estimate held at a bound
#: lies where the prior has next to no mass.
FARTHEST = 4.0


class Draws(NamedTuple):
    """Draws from the posterior of s stations; n draws of c chains.

    Parameters
    ----------
    values : array, shape (s, c, n, P)
        Parameters in physical units.
    lp : array, shape (s, c, n)
        Logarithm of the posterior density in the unbounded parameters, up to a constant.
    energy : array, shape (s, c, n)
        Of the Hamiltonian.
    acceptance_rate : array, shape (s, c, n)
        Mean over the trajectory.
    diverging : bool array, shape (s, c, n)
        Whether the trajectory left the surface of constant energy.
    n_steps : int array, shape (s, c, n)
        Evaluations of the gradient.
    """

    values: jax.Array
    lp: jax.Array
    energy: jax.Array
    acceptance_rate: jax.Array
    diverging: jax.Array
    n_steps: jax.Array


def _physical(data: Data, unbounded: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Physical parameters and their slopes; shapes (P,)."""

    def transform(unbounded: jax.Array) -> jax.Array:
        return to_physical(unbounded, data.lower, data.upper, data.log_scale)

    return jax.jvp(transform, (unbounded,), (jnp.ones_like(unbounded),))


def whiten(problem: Problem, data: Data, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Linear map from independent unit normals to Laplace's approximation of the posterior.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers of one station.
    values : array, shape (P,)
        The estimate in physical units.

    Returns
    -------
    centre : array, shape (P,)
        The estimate in the unbounded parameters, kept off the bounds.
    root : array, shape (P, P)
        A root of the covariance there, the least certain direction last. Where the data say less
        than the prior, nothing at all perhaps, it is the prior's.
    """
    estimate = to_unbounded(values, data.lower, data.upper, data.log_scale)
    centre = jnp.clip(estimate, -FARTHEST, FARTHEST)
    curvature = normal_equations(problem, data, centre).matrix
    precisions, directions = jnp.linalg.eigh(curvature + PRIOR_PRECISION * jnp.eye(values.size))
    root = directions / jnp.sqrt(jnp.maximum(precisions, PRIOR_PRECISION))
    return centre, root[:, ::-1]


def valley_floor(log_density: Callable[[jax.Array], jax.Array], count: int) -> jax.Array:
    """Where the floor of the valley runs as one goes along the last coordinate.

    The other coordinates follow the floor when they are moved by what is returned times the
    square and the cube of the last. That shear keeps volumes, so the density needs no factor; and
    the sampler, whose step must suit the width of the valley, can go straight where else it would
    go round many short corners.

    Parameters
    ----------
    log_density : callable
        Of whitened coordinates, shape (P,): about minus half the sum of their squares.
    count : int
        P, the number of parameters.

    Returns
    -------
    array, shape (2, P)
        The last column is zero; all of it is where a straight floor is as good.
    """
    along = STRIDE * np.array([-2.0, -1.0, 1.0, 2.0])
    powers = np.stack([along**2, along**3], axis=-1)
    last = np.eye(count)[-1]
    slopes = jax.vmap(jax.grad(log_density))

    Carry = tuple[jax.Array, jax.Array, jax.Array]

    def closer(done: int, carry: Carry) -> Carry:
        bend, best, least = carry
        points = along[:, None] * last + powers @ bend
        # across the valley the second derivative is about one: the slope is the way to the floor
        way = slopes(points) * (1 - last)
        left = jnp.sum(way**2) * jnp.where(done == 0, WORTH, 1.0)
        best, least = jax.tree.map(partial(jnp.where, left < least), (bend, left), (best, least))
        return bend + DAMPING * np.linalg.pinv(powers) @ way, best, least

    straight = jnp.zeros((2, count))
    first: Carry = (straight, straight, jnp.array(jnp.inf))
    _, best, _ = jax.lax.fori_loop(0, PASSES, closer, first)
    return jnp.asarray(best)


@partial(jax.jit, static_argnames=("problem", "draws", "warmup"))
def sample(
    problem: Problem,
    data: Data,
    values: jax.Array,
    keys: jax.Array,
    *,
    draws: int,
    warmup: int,
) -> Draws:
    """Draw from the posterior of every station.

    The density is ``exp(-cost)`` with respect to the physical parameters within their bounds:
    the likelihood, times the priors in the cost, times a prior that is uniform between the bounds
    (in the logarithm of a parameter whose prior is one of the logarithm).
    In the unbounded parameters, where the sampler [1]_ moves, the slope of the transform is a
    further factor. The sampler works on coordinates whitened by Laplace's approximation and
    straightened along the longest valley, begins at draws from that, and adapts step size and
    mass matrix as Stan does; then all chains go on with the same.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers of s stations, one batch axis.
    values : array, shape (P, s)
        Estimates in physical units; NaN gives NaN.
    keys : array of PRNG keys, shape (c,)
        One for each chain, the same for all stations.
    draws, warmup : int
        Draws to keep, and draws for the adaptation before them.

    Returns
    -------
    Draws

    References
    ----------
    .. [1] Hoffman, M. D. & Gelman, A. (2014). The No-U-Turn sampler. J. Mach. Learn. Res. 15,
       1593-1623; in the variant of blackjax.
    """

    def station(own: Data, values: jax.Array) -> Draws:
        centre, root = whiten(problem, own, values)

        @jax.jit  # traced once, not wherever the sampler asks for it
        def straight(white: jax.Array) -> jax.Array:
            unbounded = centre + root @ white
            physical, slope = _physical(own, unbounded)
            if own.prior is not None:  # one of a logarithm is a density of the logarithm
                slope = jnp.where(own.prior.of_logarithm, slope / physical, slope)
            return jnp.sum(jnp.log(slope)) - cost(problem, own, unbounded)

        bend = valley_floor(straight, values.size)

        def place(white: jax.Array) -> jax.Array:
            return white + white[-1] ** 2 * (bend[0] + white[-1] * bend[1])

        def log_density(white: jax.Array) -> jax.Array:
            density: jax.Array = straight(place(white))
            return density

        adaptation = blackjax.window_adaptation(
            blackjax.nuts,
            log_density,
            is_mass_matrix_diagonal=False,
            target_acceptance_rate=ACCEPTANCE,
            adaptation_info_fn=get_filter_adapt_info_fn(),
        )

        def tune(key: jax.Array) -> tuple[Any, Any]:
            begin, adapt = jax.random.split(key)
            first = jax.random.normal(begin, values.shape)
            (state, tuned), _ = adaptation.run(adapt, first, warmup)
            return state, tuned

        states, tuned = jax.vmap(tune)(keys)
        # each chain has seen a part of the valley: what is right for all is the smallest step,
        # and the mean of what they think of its shape
        step = blackjax.nuts(
            log_density,
            step_size=jnp.min(tuned["step_size"]),
            inverse_mass_matrix=jnp.mean(tuned["inverse_mass_matrix"], axis=0),
        ).step

        def draw(state: Any, key: jax.Array) -> tuple[Any, Draws]:
            state, info = step(key, state)
            physical, _ = _physical(own, centre + root @ place(state.position))
            return state, Draws(
                values=physical,
                lp=state.logdensity,
                energy=info.energy,
                acceptance_rate=info.acceptance_rate,
                diverging=info.is_divergent,
                n_steps=info.num_integration_steps,
            )

        def chain(state: Any, key: jax.Array) -> Draws:
            key = jax.random.fold_in(key, warmup)  # another stream than that of the tuning
            drawn: Draws = jax.lax.scan(draw, state, jax.random.split(key, draws))[1]
            return drawn

        return jax.vmap(chain)(states, keys)

    return jax.vmap(station, in_axes=(station_axes(data), -1))(data, values)
