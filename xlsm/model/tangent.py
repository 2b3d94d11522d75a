"""The column and its derivatives along several directions, carried through time together.

What automatic differentiation gives for a step is right but slow: it does not know that the two
halves of a direct solver are linear, so that a tangent goes through them like one more station,
nor that most parameters leave the coefficients of a step alone. Here that is said; the surface,
which is a handful of numbers a station, is left to automatic differentiation.

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
from xlsm.model.solvers.base import close_surface

__all__ = ["Directions", "Tangents", "begin", "observe", "push", "step"]

Values = Mapping[str, jax.Array]


class Directions(NamedTuple):
    """Directions in parameter space along which derivatives are taken.

    Parameters
    ----------
    parameters : mapping of str to array, shape (P, ...)
        Derivative of the parameters that change along any of the directions.
    operators : sequence of mappings of str to array, shapes of the operator
        Derivative of the coefficients of a step along each of the last M directions; along the
        first L = P - M they do not change.
    """

    parameters: Values
    operators: Sequence[Values]


class Tangents(NamedTuple):
    """Derivatives of a column's state.

    Parameters
    ----------
    plain : array, shape (states, L, ...)
        Of the solver's state along the directions that leave the coefficients alone.
    changing : list of array, shapes (states, ...)
        Along each of those that change them.
    surface : array, shape (P, ...)
        Of the surface temperature.
    """

    plain: jax.Array
    changing: list[jax.Array]
    surface: jax.Array


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


def begin(
    model: Model, parameters: Values, forcing: Values, directions: Directions
) -> tuple[column.State, Tangents]:
    """State at the first time and its derivatives; see `column.begin`."""

    def start(parameters: Values) -> column.State:
        return column.begin(model, parameters, forcing)

    state, (moved, surface) = _push_parameters(start, parameters, directions)
    plain = moved.shape[0] - len(directions.operators)
    return state, Tangents(jnp.moveaxis(moved[:plain], 0, 1), list(moved[plain:]), surface)


def step(
    model: Model,
    parameters: Values,
    operator: Values,
    state: column.State,
    forcing: Values,
    directions: Directions,
    tangents: Tangents,
) -> tuple[column.State, Tangents]:
    """State at the end of a step and its derivatives; see `column.step`.

    Parameters
    ----------
    model : Model
        The forward model.
    parameters, operator, state, forcing
        As in `column.step`.
    directions : Directions
        Along which to differentiate.
    tangents : Tangents
        Derivatives at the start of the step.

    Returns
    -------
    state, tangents
        At the end of the step.
    """
    solver = model.stepper.exact
    columns, guess = state
    plain = tangents.plain.shape[1]
    wide = {
        name: jnp.expand_dims(values, values.ndim - guess.ndim) for name, values in operator.items()
    }
    bottom, bottom_moved = _push_parameters(model.bottom.temperature, parameters, directions)

    half, offset = solver.respond(model, operator, columns, bottom)
    halves, offsets = solver.respond(model, wide, tangents.plain, bottom_moved[:plain])
    moved = [
        _along(partial(solver.respond, model), (operator, columns, bottom), (change, state, end))
        for change, state, end in zip(
            directions.operators, tangents.changing, bottom_moved[plain:], strict=True
        )
    ]
    offset_moved = jnp.concatenate([offsets, *(offset[None] for _, offset in moved)])
    slope = operator["slope"]
    slope_moved = jnp.stack(
        [jnp.zeros_like(slope)] * plain + [change["slope"] for change in directions.operators]
    )

    # The surface: gradients first, of one station each, then their product with the tangents.
    # Pushing the tangents through instead would be right too, but the compiler would then solve
    # the surface once more for every state that takes up the flux.
    names = tuple(directions.parameters)

    def close(inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        *values, offset, slope = inputs
        known = {**parameters, **dict(zip(names, values, strict=True))}
        return close_surface(model, known, forcing, offset, slope, guess)

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

    changing = [
        _along(solver.absorb, (operator, half, offset, flux), (change, *halved, flux_moved))
        for change, halved, flux_moved in zip(
            directions.operators, moved, flux_moved[plain:], strict=True
        )
    ]
    moved_on = Tangents(
        solver.absorb(wide, halves, offsets, flux_moved[:plain]), changing, surface_moved
    )
    if solver != model.stepper:  # its values are its own
        return column.step(model, parameters, operator, state, forcing), moved_on
    return (solver.absorb(operator, half, offset, flux), surface), moved_on


def observe(
    model: Model,
    parameters: Values,
    state: column.State,
    sampler: Any,
    directions: Directions,
    tangents: Tangents,
) -> tuple[jax.Array, jax.Array]:
    """Soil temperatures at the sampled depths (z, ...) and their derivatives (z, P, ...)."""
    solver = model.stepper.exact
    bottom, bottom_moved = _push_parameters(model.bottom.temperature, parameters, directions)
    plain = tangents.plain.shape[1]
    moved = [
        solver.temperatures(state, end, sampler)[:, None]
        for state, end in zip(tangents.changing, bottom_moved[plain:], strict=True)
    ]
    rest = solver.temperatures(tangents.plain, bottom_moved[:plain], sampler)
    return solver.temperatures(state[0], bottom, sampler), jnp.concatenate([rest, *moved], axis=1)


def _along(
    function: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> Any:
    """Give the derivative along one direction."""
    return jax.jvp(function, primals, tangents)[1]
