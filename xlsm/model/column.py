"""Run the column through time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from xlsm.model.model import Model

__all__ = ["begin", "observe", "prepare", "run", "step"]

Values = Mapping[str, jax.Array]
#: Solver state and surface temperature.
State = tuple[jax.Array, jax.Array]


def prepare(model: Model, parameters: Values, dt: jax.Array) -> dict[str, jax.Array]:
    """Coefficients of a step that stay the same over the run; see the solver in use."""
    # nothing else is handed over: the inference counts on it
    allowed = {name: parameters[name] for name in model.operator_parameters}
    return model.stepper.prepare(model, allowed, dt)


def begin(model: Model, parameters: Values, forcing: Values) -> State:
    """State at the first time, whose forcing only serves its surface temperature and fluxes."""
    profile = model.initial.profile(model.grid, parameters)
    top = profile[0]

    def net_flux(temperature: jax.Array) -> jax.Array:
        return model.net_flux(temperature, forcing, parameters)

    # the column's answer to a flux is no answer: its top node is given
    surface_temperature, _ = model.surface.solve(net_flux, top, jnp.zeros_like(top), top)
    return model.stepper.begin(model, parameters, profile), surface_temperature


def step(
    model: Model, parameters: Values, operator: Values, state: State, forcing: Values
) -> State:
    """State at the end of a step, under the forcing at the end of the step."""
    return model.stepper.advance(model, parameters, operator, *state, forcing)


def observe(model: Model, parameters: Values, state: State, sampler: Any) -> State:
    """Soil temperature at the sampled depths, shape (z, ...), and surface temperature (K)."""
    columns, surface_temperature = state
    bottom = model.bottom.temperature(parameters)
    return model.stepper.temperatures(columns, bottom, sampler), surface_temperature


def run(
    model: Model, parameters: Values, forcing: Values, dt: jax.Array, depths: jax.Array
) -> dict[str, jax.Array]:
    """Simulate all times.

    Parameters
    ----------
    model : Model
        The forward model.
    parameters : mapping of str to array, shape (...)
        A value for every name in ``model.used(...)``; all of one batch shape.
    forcing : mapping of str to array, shape (time, ...)
        A series for every name in ``model.forcing``, at the end of each step; the first only
        serves the fluxes of the initial state.
    dt : array, shape ()
        Time step (s).
    depths : array, shape (z,)
        Depths of the soil temperatures (m).

    Returns
    -------
    dict of str to array
        ``SoilTemp`` (time, z, ...), ``AvgSurfT`` and the surface fluxes (time, ...).
    """
    operator = prepare(model, parameters, dt)
    sampler = model.stepper.sample(model, depths)
    first = begin(model, parameters, jax.tree.map(lambda series: series[0], forcing))

    def body(state: State, now: Values) -> tuple[State, State]:
        state = step(model, parameters, operator, state, now)
        return state, observe(model, parameters, state, sampler)

    start = observe(model, parameters, first, sampler)
    _, rest = jax.lax.scan(body, first, jax.tree.map(lambda series: series[1:], forcing))
    soil, surface = (
        jnp.concatenate([head[None], tail]) for head, tail in zip(start, rest, strict=True)
    )
    return {
        "SoilTemp": soil,
        "AvgSurfT": surface,
        **model.surface_fluxes(surface, forcing, parameters),
    }
