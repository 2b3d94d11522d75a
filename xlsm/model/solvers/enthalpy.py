"""The solver for a soil that freezes: heat is conserved, temperature follows from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from xlsm.errors import ModelError
from xlsm.model.freezing import FreezingSoil
from xlsm.model.solvers.base import Nodal, Operator, State, Values, step_operator
from xlsm.model.solvers.tridiagonal import Tridiagonal, eliminate

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Enthalpy"]

#: Share of the water that is liquid, and its derivative (K-1).
Tangent = tuple[jax.Array, jax.Array]

#: Heat that a node may gain or lose unexplained in a step (K, over what a degree more would store
#: and conduct): some times the round-off of a temperature.
TOLERANCE = 1e-12
#: The same for the inner iterations of the nested method.
INNER_TOLERANCE = 1e-6
#: Iterations after which the nested method takes over from the quick one, and after which a step
#: is given up. In ordinary winters 3 to 7 are usual and 18 the most that were seen; with all
#: parameters anywhere inside their bounds, 20 in steps of an hour and 170 in steps of a month.
PATIENCE, LARGEST_COUNT = 20, 1000


@dataclasses.dataclass(frozen=True)
class Enthalpy(Nodal):
    """Solution for a soil whose heat is not proportional to its temperature.

    A step finds the temperatures at which ``E(T) - E(T_old)`` of every node is what it was
    conducted and, at the top, what came through the surface: heat is conserved to round-off
    whatever the step. Newton's method makes of each iteration a step of the linear problem with
    the apparent heat capacity ``dE/dT``, surface included.

    ``E`` is S-shaped, and plain Newton swings between frozen and thawed for ever where water
    freezes in a narrow range of temperatures. So no node passes the temperature of steepest
    freezing in one iteration: it stops there, as is done for other S-shaped equations [1]_.
    Where that is not enough the nested method of Casulli and Zanolli takes over, which is slower
    but always converges [2]_, for freezing soils too [3]_. A step that does not end all the same
    becomes NaN. Each station ends for itself: what its neighbours do leaves no trace.
    Derivatives are those of the converged step, to any order.

    References
    ----------
    .. [1] Jenny, Tchelepi & Lee (2009), J. Comput. Phys. 228, 7497-7512.
    .. [2] Casulli & Zanolli (2010), SIAM J. Sci. Comput. 32, 2255-2273.
    .. [3] Tubini, Gruber & Rigon (2021), Cryosphere 15, 2541-2568.
    """

    #: Derivatives are those of a whole step.
    exact: ClassVar[None] = None

    def check(self, model: Model) -> None:
        """Refuse a soil that does not freeze, and a stepping that mixes temperatures."""
        if not isinstance(model.soil, FreezingSoil):
            raise ModelError(
                "the enthalpy solver is for soil=FreezingSoil(...), got "
                f'{type(model.soil).__name__}: use solver="auto"'
            )
        if model.stepping.blends:
            raise ModelError(
                f"stepping={type(model.stepping).__name__} starts stages from sums of "
                "temperatures, in which the latent heat of a soil that freezes would be lost: use "
                "stepping=BackwardEuler(substeps=...)"
            )

    def prepare(
        self, model: Model, parameters: Values, dt: jax.Array, forcing: Values
    ) -> dict[str, jax.Array]:
        """Add ``latent`` (W m-2), shape (nodes, ...): latent heat over the time step."""
        latent = _soil(model).latent_heats(model.layout, parameters) / dt
        if model.bottom.fixed:
            latent = latent.at[-1].set(0.0)  # its temperature is given: no heat to account for
        return {**step_operator(model, parameters, dt, forcing), "latent": latent}

    def advance(
        self,
        model: Model,
        parameters: Values,
        operator: Operator,
        state: State,
        forcing: Values,
    ) -> State:
        """State at the end of the step."""
        soil, latent = _soil(model), operator["latent"]

        def curve(temperature: jax.Array) -> Tangent:
            def liquid(temperature: jax.Array) -> jax.Array:
                return soil.liquid(temperature, parameters)

            return jax.jvp(liquid, (temperature,), (jnp.ones_like(temperature),))

        before, _ = curve(state.columns)

        def solve(point: State, tangent: Tangent) -> State:
            """Step of a soil whose liquid water follows a tangent at some temperatures."""
            share, slope = tangent
            gained = operator["storage"] * (point.columns - state.columns)
            gained += latent * (share - before)
            apparent = operator["storage"] + latent * slope
            # the same step of a soil of this heat capacity starts here
            start = point._replace(columns=point.columns - gained / apparent)
            diagonal = operator["diagonal"] + latent * slope
            linear = eliminate(model, {**operator, "storage": apparent, "diagonal": diagonal})
            return Tridiagonal().advance(model, parameters, linear, start, forcing)

        def find(_: Any, start: jax.Array) -> jax.Array:
            steepest = soil.steepest(parameters)
            return _pack(_Iteration(solve, curve, operator, steepest).find(_unpack(start)))

        def away(packed: jax.Array) -> jax.Array:
            point = _unpack(packed)
            return packed - _pack(solve(point, curve(point.columns)))

        return _unpack(jax.lax.custom_root(away, _pack(state), find, _unchanged))


class _Iteration(NamedTuple):
    """Linear steps, repeated until heat is accounted for; see `Enthalpy`.

    The freezing curve is the sum of a convex function, which goes on straight above the steepest
    point, and of a concave one. The nested method follows the convex part by its tangent at the
    last temperatures, and the concave part by its tangent at others, `outer`, until that has
    converged. From `outer` below the steepest point these only rise, and the temperatures
    within, but for their first step, only fall. The quick method takes both at the same.
    """

    solve: Callable[[State, Tangent], State]
    curve: Callable[[jax.Array], Tangent]
    operator: Operator
    steepest: jax.Array

    def find(self, start: State) -> State:
        """State at which heat is accounted for; NaN where there is none."""
        Carry = tuple[jax.Array, State, jax.Array, jax.Array]

        def unsettled(carry: Carry) -> jax.Array:
            count, *_, moving = carry
            return (count < LARGEST_COUNT) & jnp.any(moving)

        def refine(carry: Carry) -> Carry:
            count, point, outer, moving = carry
            old, quick = point.columns, count < PATIENCE
            tangent = jax.lax.cond(quick, self._tangent, self._tangents, old, outer)
            new = self.solve(point, tangent)
            again, scale = self._missed(old, tangent, new.columns)
            begin = count == PATIENCE - 1
            ahead = (old, outer, new.columns, begin, scale)
            columns, outer_now = jax.lax.cond(quick, self._stop, self._nest, *ahead)
            # a station that has ended stays as it is
            new = new._replace(columns=jnp.where(again, columns, new.columns))
            new, outer = jax.tree.map(partial(jnp.where, moving), (new, outer_now), (point, outer))
            return count + 1, new, outer, moving & again

        begin = (jnp.array(0), start, start.columns, jnp.full(start.surface.shape, True))
        _, reached, _, moving = jax.lax.while_loop(unsettled, refine, begin)
        found: State = jax.tree.map(lambda values: jnp.where(moving, jnp.nan, values), reached)
        return found

    def _missed(
        self, old: jax.Array, tangent: Tangent, new: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Whether heat is amiss, shape (...), and over what it is counted, (nodes, ...)."""
        share, slope = self.curve(new)
        missed = share - tangent[0] - tangent[1] * (new - old)
        scale = self.operator["diagonal"] + self.operator["latent"] * slope
        # NaN is never large, so that a lost station does not keep the others waiting
        large = jnp.abs(self.operator["latent"] * missed) > TOLERANCE * scale
        return jnp.any(large, axis=0), scale

    def _tangent(self, old: jax.Array, outer: jax.Array) -> Tangent:
        """Tangent of the curve."""
        return self.curve(old)

    def _tangents(self, old: jax.Array, outer: jax.Array) -> Tangent:
        """Sum of the tangents of both parts, at temperatures of their own."""
        share, slope = self.curve(outer)
        excess, steeper = self._above_tangent(old, outer)
        return share + slope * (old - outer) + excess, slope + steeper

    def _stop(
        self, old: jax.Array, outer: jax.Array, new: jax.Array, last: jax.Array, scale: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Stop where the curve is steepest; the last time, do not go on above."""
        passed = (old - self.steepest) * (new - self.steepest) < 0
        stopped = jnp.where(passed | (last & (new > self.steepest)), self.steepest, new)
        return stopped, stopped

    def _nest(
        self, old: jax.Array, outer: jax.Array, new: jax.Array, last: jax.Array, scale: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Move the outer temperatures where the inner ones have converged."""
        excess, _ = self._above_tangent(new, old)
        near = jnp.all(self.operator["latent"] * excess <= INNER_TOLERANCE * scale, axis=0)
        return new, jnp.where(near, new, outer)

    def _above_tangent(self, temperature: jax.Array, touching: jax.Array) -> Tangent:
        """How far the convex part lies above one of its tangents, and its derivative."""
        at, touch = (jnp.minimum(values, self.steepest) for values in (temperature, touching))
        (share, slope), (share_there, slope_there) = self.curve(at), self.curve(touch)
        excess = share + slope * (temperature - at)
        return excess - share_there - slope_there * (temperature - touch), slope - slope_there


def _unchanged(linearised: Callable[[jax.Array], jax.Array], value: jax.Array) -> jax.Array:
    """Solve the linearised equation of the root.

    Where Newton's method has converged, what it gives does not change with where it starts: the
    matrix is the identity. It is said to be a matrix all the same, for second derivatives.
    """

    def solve(_: Any, value: jax.Array) -> jax.Array:
        return value

    solved: jax.Array = jax.lax.custom_linear_solve(linearised, value, solve, transpose_solve=solve)
    return solved


def _pack(state: State) -> jax.Array:
    """One array of a state, shape (nodes + 2, ...): second derivatives take no trees."""
    return jnp.concatenate([state.columns, state.surface[None], state.flux[None]])


def _unpack(packed: jax.Array) -> State:
    return State(packed[:-2], packed[-2], packed[-1])


def _soil(model: Model) -> FreezingSoil:
    assert isinstance(model.soil, FreezingSoil)  # see `Enthalpy.check`
    return model.soil
