"""The column and its derivatives along several directions, carried through time together.

What automatic differentiation gives for a step is right but slow: it does not know that the two
halves of a direct solver are linear, so that a tangent goes through them like one more station,
nor that most parameters leave the coefficients of a step alone. Here that is said; the surface,
which is a handful of numbers a station, is left to automatic differentiation.

A solver whose halves are not linear (`Solver.exact` is None) is left to automatic
differentiation whole.

Shapes: P directions are the first of the batch axes, so a state tangent is (states, P, ...) and
that of a number (P, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xlsm.model import column
from xlsm.model.model import Model
from xlsm.model.solvers.base import Direct, State

__all__ = [
    "Directions",
    "Tangents",
    "begin",
    "changing",
    "observe",
    "observe_nodes",
    "operators",
    "push",
    "step",
]

Values = Mapping[str, jax.Array]


class Directions(NamedTuple):
    """Directions in parameter space along which derivatives are taken.

    Parameters
    ----------
    parameters : mapping of str to array, shape (P, ...)
        Derivative of the parameters that change along any of the directions.
    operators : sequence of mappings of str to array, shapes of the operator
        Derivative of the coefficients of a step along each of the last M directions.
    varied : tuple of str
        Parameters whose change along the first L = P - M directions changes the coefficients
        nevertheless: those that vary in time, and along each direction only for some of it.
    """

    parameters: Values
    operators: Sequence[Values]
    varied: tuple[str, ...] = ()

    def last(self, count: int) -> list[Values]:
        """Give the derivative of the parameters along each of the last `count` directions."""
        total = len(next(iter(self.parameters.values())))
        return [
            {name: values[i] for name, values in self.parameters.items()}
            for i in range(total - count, total)
        ]


class Tangents(NamedTuple):
    """Derivatives of a column's state.

    Parameters
    ----------
    plain : array, shape (states, L, ...)
        Of the solver's state along the first directions, see `Directions`.
    changing : list of array, shapes (states, ...)
        Along each of the others.
    surface, flux : array, shape (P, ...)
        Of the surface temperature and the flux into the soil.
    """

    plain: jax.Array
    changing: list[jax.Array]
    surface: jax.Array
    flux: jax.Array


def push(
    function: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """Value of a function, and its derivative along every direction on a new leading axis."""

    def along(tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        return jax.jvp(function, primals, tangents)

    value, moved = jax.vmap(along, out_axes=(None, 0))(tangents)
    return value, moved


def _push_parameters(
    function: Callable[[Values], Any], parameters: Values, directions: Directions
) -> tuple[Any, Any]:
    """Do the same for a function of all parameters."""

    def of_moving(moving: Values) -> Any:
        return function({**parameters, **moving})

    moving = {name: parameters[name] for name in directions.parameters}
    return push(of_moving, (moving,), (directions.parameters,))


def changing(model: Model, names: Sequence[str]) -> list[bool]:
    """Which directions, one for each name, change the coefficients of a step."""
    if model.stepper.exact is None:
        return [False] * len(names)
    return [name in model.operator_parameters for name in names]


def operators(
    model: Model, parameters: Values, moved: Sequence[Values], dt: jax.Array, forcing: Values
) -> tuple[Values, list[Values]]:
    """Coefficients of a step, and their derivative along each of some directions."""

    def prepare(parameters: Values) -> Values:
        return column.prepare(model, parameters, dt, forcing)

    moving = [{**{n: jnp.zeros_like(v) for n, v in parameters.items()}, **m} for m in moved]
    changes = [jax.jvp(prepare, (parameters,), (along,))[1] for along in moving]
    return prepare(parameters), changes


def begin(
    model: Model,
    parameters: Values,
    forcing: Values,
    start: Values,
    dt: jax.Array,
    directions: Directions,
) -> tuple[State, Tangents]:
    """State at the first time and its derivatives; see `column.begin`."""

    def first(parameters: Values) -> State:
        return column.begin(model, parameters, forcing, start, dt)

    state, moved = _push_parameters(first, parameters, directions)
    plain = len(moved.surface) - len(directions.operators)
    columns = moved.columns
    return state, Tangents(
        jnp.moveaxis(columns[:plain], 0, 1), list(columns[plain:]), moved.surface, moved.flux
    )


def step(
    model: Model,
    parameters: Values,
    operator: Values | None,
    state: State,
    before: Values,
    now: Values,
    dt: jax.Array,
    directions: Directions,
    tangents: Tangents,
) -> tuple[State, Tangents]:
    """State at the end of a step and its derivatives; see `column.step`.

    Parameters
    ----------
    model : Model
        The forward model.
    parameters, operator, state, before, now, dt
        As in `column.step`.
    directions : Directions
        Along which to differentiate; where `operator` is None, the derivatives of the
        coefficients are found anew.
    tangents : Tangents
        Derivatives at the start of the step.

    Returns
    -------
    state, tangents
        At the end of the step.
    """
    if model.stepper.exact is None:
        return _whole_step(model, parameters, state, before, now, dt, directions, tangents)
    by_name: list[Values] = []
    if operator is None:
        moved = directions.last(len(directions.operators))
        unit = [{name: jnp.ones_like(parameters[name])} for name in directions.varied]
        operator, changes = operators(model, parameters, [*moved, *unit], dt, now)
        by_name = changes[len(moved) :]
        directions = directions._replace(operators=changes[: len(moved)])
    coefficients = operator

    def stage(both: tuple[State, Tangents], forcing: Values) -> tuple[State, Tangents]:
        return _stage(model, parameters, coefficients, *both, forcing, directions, by_name)

    stepped: tuple[State, Tangents] = model.stepping.advance(stage, (state, tangents), before, now)
    return stepped


def _whole_step(
    model: Model,
    parameters: Values,
    state: State,
    before: Values,
    now: Values,
    dt: jax.Array,
    directions: Directions,
    tangents: Tangents,
) -> tuple[State, Tangents]:
    """Step and derivatives by automatic differentiation of all of it."""

    def whole(moving: Values, state: State) -> State:
        return column.step(model, {**parameters, **moving}, None, state, before, now, dt)

    moving = {name: parameters[name] for name in directions.parameters}
    along = State(jnp.moveaxis(tangents.plain, 1, 0), tangents.surface, tangents.flux)
    state, moved = push(whole, (moving, state), (directions.parameters, along))
    return state, Tangents(jnp.moveaxis(moved.columns, 0, 1), [], moved.surface, moved.flux)


def _stage(
    model: Model,
    parameters: Values,
    operator: Values,
    state: State,
    tangents: Tangents,
    forcing: Values,
    directions: Directions,
    by_name: Sequence[Values],
) -> tuple[State, Tangents]:
    """One implicit solution and its derivatives, split at the surface.

    ``by_name`` are the derivatives of the coefficients by each of ``directions.varied``.
    """
    solver = _direct(model)
    columns, guess, _ = state
    plain = tangents.plain.shape[1]
    wide = {
        name: jnp.expand_dims(values, values.ndim - guess.ndim) for name, values in operator.items()
    }
    bottom, bottom_moved = _bottom(model, parameters, forcing, directions)

    half, offset = solver.respond(model, operator, columns, bottom)
    halves, offsets = solver.respond(model, wide, tangents.plain, bottom_moved[:plain])
    # how far each of the first directions moves what varies: by the same change, more or less
    shares = [directions.parameters[name][:plain] for name in directions.varied]
    still = (jnp.zeros_like(columns), jnp.zeros_like(bottom))
    for share, change in zip(shares, by_name, strict=True):
        more, further = _along(
            partial(solver.respond, model), (operator, columns, bottom), (change, *still)
        )
        halves, offsets = halves + more[:, None] * share, offsets + further * share
    moved = [
        _along(partial(solver.respond, model), (operator, columns, bottom), (change, state, end))
        for change, state, end in zip(
            directions.operators, tangents.changing, bottom_moved[plain:], strict=True
        )
    ]
    offset_moved = jnp.concatenate([offsets, *(offset[None] for _, offset in moved)])
    slope = operator["slope"]
    slopes = jnp.zeros((plain, *slope.shape))
    for share, change in zip(shares, by_name, strict=True):
        slopes += share * change["slope"]
    slope_moved = jnp.concatenate(
        [slopes, *(change["slope"][None] for change in directions.operators)]
    )

    # The surface: gradients first, of one station each, then their product with the tangents.
    # Pushing the tangents through instead would be right too, but the compiler would then solve
    # the surface once more for every state that takes up the flux.
    names = tuple(directions.parameters)

    def close(inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        *values, offset, slope = inputs
        known = {**parameters, **dict(zip(names, values, strict=True))}
        return model.close_surface(known, forcing, offset, slope, guess)

    inputs = jnp.stack([*(parameters[name] for name in names), offset, slope])
    inputs_moved = jnp.concatenate(
        [
            jnp.stack([directions.parameters[name] for name in names]),
            offset_moved[None],
            slope_moved[None],
        ]
    )
    (surface, flux), gradient = jax.vjp(close, inputs)
    one, zero = jnp.ones_like(flux), jnp.zeros_like(flux)
    (to_surface,), (to_flux,) = gradient((one, zero)), gradient((zero, one))
    surface_moved = jnp.sum(to_surface[:, None] * inputs_moved, axis=0)
    flux_moved = jnp.sum(to_flux[:, None] * inputs_moved, axis=0)

    changed = [
        _along(solver.absorb, (operator, half, offset, flux), (change, *halved, flux_moved))
        for change, halved, flux_moved in zip(
            directions.operators, moved, flux_moved[plain:], strict=True
        )
    ]
    taken = solver.absorb(wide, halves, offsets, flux_moved[:plain])
    none = (jnp.zeros_like(half), jnp.zeros_like(offset), jnp.zeros_like(flux))
    for share, change in zip(shares, by_name, strict=True):
        more = _along(solver.absorb, (operator, half, offset, flux), (change, *none))
        taken += more[:, None] * share
    moved_on = Tangents(
        taken,
        changed,
        surface_moved,
        flux_moved,
    )
    if solver != model.stepper:  # its values are its own
        return model.stepper.advance(model, parameters, operator, state, forcing), moved_on
    return State(solver.absorb(operator, half, offset, flux), surface, flux), moved_on


def observe(
    model: Model,
    parameters: Values,
    state: State,
    forcing: Values,
    sampler: Any,
    directions: Directions,
    tangents: Tangents,
) -> tuple[jax.Array, jax.Array]:
    """Soil temperatures at the sampled depths (z, ...) and their derivatives (z, P, ...)."""
    ends = _bottom(model, parameters, forcing, directions)
    return _read(model.stepper.temperatures, state, tangents, ends, sampler, sampler)


def observe_nodes(
    model: Model,
    parameters: Values,
    state: State,
    forcing: Values,
    picker: jax.Array,
    directions: Directions,
    tangents: Tangents,
) -> tuple[jax.Array, jax.Array]:
    """Temperatures of the nodes picked (m, ...) and their derivatives (m, P, ...)."""
    ends = _bottom(model, parameters, forcing, directions)
    wide = jnp.expand_dims(picker, picker.ndim - state.surface.ndim)
    return _read(model.stepper.picked, state, tangents, ends, picker, wide)


def _read(
    read: Callable[[jax.Array, jax.Array, Any], jax.Array],
    state: State,
    tangents: Tangents,
    ends: tuple[jax.Array, jax.Array],
    sampler: Any,
    wide: Any,
) -> tuple[jax.Array, jax.Array]:
    """Read a state and its tangents, which have one more batch axis; linear in both."""
    bottom, bottom_moved = ends
    plain = tangents.plain.shape[1]
    moved = [
        read(state, end, sampler)[:, None]
        for state, end in zip(tangents.changing, bottom_moved[plain:], strict=True)
    ]
    rest = read(tangents.plain, bottom_moved[:plain], wide)
    return read(state.columns, bottom, sampler), jnp.concatenate([rest, *moved], axis=1)


def _bottom(
    model: Model, parameters: Values, forcing: Values, directions: Directions
) -> tuple[jax.Array, jax.Array]:
    """Temperature of the bottom (...) and its derivatives (P, ...)."""
    given = partial(model.bottom.temperature, forcing)
    value, moved = _push_parameters(given, parameters, directions)
    return value, moved


def _direct(model: Model) -> Direct:
    solver = model.stepper.exact
    assert solver is not None  # asked before
    return solver


def _along(
    function: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> Any:
    """Give the derivative along one direction."""
    return jax.jvp(function, primals, tangents)[1]
