"""Run the column through time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from xlsm.model.model import Model
from xlsm.model.solvers.base import State

__all__ = [
    "State",
    "begin",
    "constant_operator",
    "observe",
    "observe_nodes",
    "prepare",
    "run",
    "step",
]

Values = Mapping[str, jax.Array]


def prepare(model: Model, parameters: Values, dt: jax.Array, forcing: Values) -> Values:
    """Coefficients of a stage under the forcing of one time; see the solver in use."""
    # nothing else is handed over: the inference counts on it
    allowed = {n: parameters[n] for n in model.operator_parameters if n in parameters}
    read = {name: forcing[name] for name in model.soil.forcing}
    return model.stepper.prepare(model, allowed, model.stepping.stage_length * dt, read)


def constant_operator(
    model: Model, parameters: Values, dt: jax.Array, varying: Collection[str] = ()
) -> Values | None:
    """Coefficients of a stage that stay the same over the run; None where they change.

    They change with the forcing of the soil, and with any of its parameters among the `varying`.
    """
    if model.soil.forcing or not set(varying).isdisjoint(model.operator_parameters):
        return None
    return prepare(model, parameters, dt, {})


def begin(model: Model, parameters: Values, forcing: Values, start: Values, dt: jax.Array) -> State:
    """State at the first time, whose forcing only serves its surface temperature and fluxes.

    Parameters
    ----------
    model, parameters, forcing, start, dt
        As in `run`.

    Returns
    -------
    State
        At the first time.
    """
    first = _at(forcing, 0)
    bottom = model.bottom.temperature(first, parameters)
    profile = model.initial.profile(model, bottom, start, parameters)
    state = _close(model, parameters, first, _given(model, parameters, first, profile))
    count, repeats = model.initial.spin_up
    if repeats == 0:
        return state
    operator = constant_operator(model, parameters, dt)

    def body(state: State, series: tuple[Values, Values]) -> tuple[State, None]:
        return step(model, parameters, operator, state, *series, dt), None

    def repeat(_: int, state: State) -> State:
        return jax.lax.scan(body, state, pairs(forcing, count))[0]

    columns = jax.lax.fori_loop(0, repeats, repeat, state).columns
    if model.bottom.varying or not model.surface.balanced:  # back to what is given at first
        everywhere = model.stepper.sample(model, jnp.asarray(model.layout.node_depths))
        profile = model.stepper.temperatures(columns, bottom, everywhere)
        columns = _given(model, parameters, first, profile)
    return _close(model, parameters, first, columns)


def _given(model: Model, parameters: Values, forcing: Values, profile: jax.Array) -> jax.Array:
    """Make the solver's state of a profile whose ends are where they are told to be."""
    if not model.surface.balanced:
        top = profile[0]
        told, _ = model.close_surface(parameters, forcing, top, jnp.zeros_like(top), top)
        profile = profile.at[0].set(told)
    return model.stepper.begin(model, model.bottom.temperature(forcing, parameters), profile)


def _close(model: Model, parameters: Values, forcing: Values, columns: jax.Array) -> State:
    """Find surface temperature and flux for a given column."""
    solver = model.stepper
    ends = solver.sample(model, jnp.asarray(model.layout.node_depths[:2]))
    bottom = model.bottom.temperature(forcing, parameters)
    top, below = solver.temperatures(columns, bottom, ends)
    # the column's answer to a flux is no answer: its top node is given
    none = jnp.zeros_like(top)
    surface, flux = model.close_surface(parameters, forcing, top, none, top)
    if not model.surface.balanced:  # nothing tells the flux but the temperatures
        soil = {name: forcing[name] for name in model.soil.forcing}
        flux = model.soil.conductances(model.layout, parameters, soil)[0] * (top - below)
    return State(columns, surface, flux)


def _at(series: Values, index: int) -> Values:
    return {name: values[index] for name, values in series.items()}


def pairs(forcing: Values, count: int | None = None) -> tuple[Values, Values]:
    """Split forcing into that at the start and at the end of each of the first `count` steps."""
    end = None if count is None else count + 1
    before = {name: series[: -1 if end is None else end - 1] for name, series in forcing.items()}
    now = {name: series[1:end] for name, series in forcing.items()}
    return before, now


def step(
    model: Model,
    parameters: Values,
    operator: Values | None,
    state: State,
    before: Values,
    now: Values,
    dt: jax.Array,
) -> State:
    """State at the end of a step, under the forcing at its start and end.

    Parameters that vary in time are those of the end, all the step long.
    """
    if operator is None:
        operator = prepare(model, parameters, dt, now)

    def stage(state: State, forcing: Values) -> State:
        return model.stepper.advance(model, parameters, operator, state, forcing)

    stepped: State = model.stepping.advance(stage, state, before, now)
    return stepped


def observe(
    model: Model, parameters: Values, state: State, forcing: Values, sampler: Any
) -> jax.Array:
    """Soil temperature (K) at the sampled depths, shape (z, ...)."""
    bottom = model.bottom.temperature(forcing, parameters)
    return model.stepper.temperatures(state.columns, bottom, sampler)


def observe_nodes(
    model: Model, parameters: Values, state: State, forcing: Values, picker: jax.Array
) -> jax.Array:
    """Temperature (K) of the nodes picked, which may differ between stations, shape (m, ...)."""
    bottom = model.bottom.temperature(forcing, parameters)
    return model.stepper.picked(state.columns, bottom, picker)


def run(
    model: Model,
    parameters: Values,
    forcing: Values,
    start: Values,
    dt: jax.Array,
    depths: jax.Array,
    series: Values | None = None,
) -> dict[str, jax.Array]:
    """Simulate all times.

    Parameters
    ----------
    model : Model
        The forward model.
    parameters : mapping of str to array, shape (...)
        A value for every name in ``model.used(...)`` that is not in `series`; all of one batch
        shape.
    forcing : mapping of str to array, shape (time, ...)
        A series for every name in ``model.forcing``, at the end of each step; the first only
        serves the fluxes of the initial state.
    start : mapping of str to array
        What was observed at the first time; see `Initial`.
    dt : array, shape ()
        Time step (s).
    depths : array, shape (z,)
        Depths of the soil temperatures (m).
    series : mapping of str to array, shape (time, ...), optional
        Parameters that vary: each value holds over the step that ends at its time, the first
        serves the initial state.

    Returns
    -------
    dict of str to array
        ``SoilTemp`` (time, z, ...), ``AvgSurfT`` and the surface fluxes (time, ...).
    """
    series = {} if series is None else series
    operator = constant_operator(model, parameters, dt, series)
    sampler = model.stepper.sample(model, depths)

    def look(values: Values, state: State, forcing: Values) -> tuple[jax.Array, ...]:
        return observe(model, values, state, forcing, sampler), state.surface, state.flux

    def body(state: State, row: tuple[Values, Values, Values]) -> tuple[State, Any]:
        before, now, varying = row
        values = {**parameters, **varying}
        state = step(model, values, operator, state, before, now, dt)
        return state, look(values, state, now)

    at_first = {**parameters, **_at(series, 0)}
    first = begin(model, at_first, forcing, start, dt)
    head = look(at_first, first, _at(forcing, 0))
    later = {name: values[1:] for name, values in series.items()}
    _, rest = jax.lax.scan(body, first, (*pairs(forcing), later))
    soil, surface, flux = (
        jnp.concatenate([one[None], tail]) for one, tail in zip(head, rest, strict=True)
    )
    fluxes = {"Qg": flux} | model.fluxes(surface, forcing, {**parameters, **series})
    return {"SoilTemp": soil, "AvgSurfT": surface, **fluxes}
