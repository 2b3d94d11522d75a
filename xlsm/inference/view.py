"""What is looked at of a column and its derivatives: all that observations are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.inference.problem import Data, Problem
from xlsm.model import column, tangent
from xlsm.model.conduction import nodes_about
from xlsm.model.model import Model
from xlsm.model.profile import nodes_near, support

__all__ = ["Reader", "View", "look", "look_along", "offsets_of", "positions", "reader"]

Values = Mapping[str, jax.Array]
Array = np.ndarray[Any, np.dtype[np.float64]]


class View(NamedTuple):
    """A column at one time, as far as it is looked at.

    Parameters
    ----------
    soil : array, shape (rows, ...)
        Temperatures at the depths of the thermometers, then those of the nodes about each plate,
        then, where a step begins anew under its own forcing, that of the top node (K).
    nodes : array, shape (support, m, ...), optional
        Temperatures of the nodes about each of m thermometers whose depth is uncertain (K).
    surface, flux : array, shape (...)
        Surface temperature (K) and flux into the soil (W m-2).
    """

    soil: jax.Array
    nodes: jax.Array | None
    surface: jax.Array
    flux: jax.Array


class Reader(NamedTuple):
    """What is needed to look at a column; made once a run, see `reader`."""

    sampler: Any
    picker: jax.Array | None = None
    first: jax.Array | None = None  # (m, ...) first of the nodes about each thermometer


def reader(problem: Problem, data: Data, parameters: Values) -> Reader:
    """Find out where to look."""
    model = problem.model
    places = [*(_plate(model, depth) for depth in _plates(problem)), *_top(problem)]
    depths = jnp.concatenate([data.depths, *places]) if places else data.depths
    sampler = model.stepper.sample(model, depths)
    offsets = offsets_of(problem)
    if not offsets:
        return Reader(sampler)
    where = jax.lax.stop_gradient(positions(offsets, data, parameters))
    first = nodes_near(model.layout, where)
    about = jnp.concatenate([first + k for k in range(support(model.layout))])
    return Reader(sampler, model.stepper.pick(model, about), first)


def look(
    model: Model, reader: Reader, parameters: Values, state: column.State, forcing: Values
) -> View:
    """Look at a column."""
    soil = column.observe(model, parameters, state, forcing, reader.sampler)
    nodes = None
    if reader.picker is not None:
        nodes = column.observe_nodes(model, parameters, state, forcing, reader.picker)
        nodes = _apart(model, nodes)
    return View(soil, nodes, state.surface, state.flux)


def look_along(
    model: Model,
    reader: Reader,
    parameters: Values,
    state: column.State,
    forcing: Values,
    directions: tangent.Directions,
    tangents: tangent.Tangents,
) -> tuple[View, View]:
    """Look at a column and its derivatives, whose first axis is the directions."""
    given = (directions, tangents)
    soil, soil_moved = tangent.observe(model, parameters, state, forcing, reader.sampler, *given)
    nodes = nodes_moved = None
    if reader.picker is not None:
        nodes, nodes_moved = tangent.observe_nodes(
            model, parameters, state, forcing, reader.picker, *given
        )
        nodes, nodes_moved = (_apart(model, rows) for rows in (nodes, nodes_moved))
        nodes_moved = jnp.moveaxis(nodes_moved, 2, 0)
    return (
        View(soil, nodes, state.surface, state.flux),
        View(jnp.moveaxis(soil_moved, 1, 0), nodes_moved, tangents.surface, tangents.flux),
    )


def _apart(model: Model, nodes: jax.Array) -> jax.Array:
    """Give the nodes about each thermometer an axis of their own, the first."""
    return nodes.reshape(support(model.layout), -1, *nodes.shape[1:])


def offsets_of(problem: Problem) -> list[tuple[int, str]]:
    """Thermometers whose depth is uncertain, and the parameter that says by how much."""
    for i, name in enumerate(problem.observed):
        if name == "SoilTemp":
            return [(c, one) for c, one in enumerate(problem.operator(i).offsets) if one]
    return []


def positions(offsets: list[tuple[int, str]], data: Data, parameters: Values) -> jax.Array:
    """Depths of these thermometers (m), (m, ...)."""
    return jnp.stack([data.depths[channel] + parameters[name] for channel, name in offsets])


def _plates(problem: Problem) -> list[float]:
    """Depths (m) of the plates, in the order of the observables."""
    found = [problem.operator(i).depth for i in range(len(problem.observed))]
    return [depth for depth in found if depth is not None]


def _plate(model: Model, depth: float) -> Array:
    """Depths of the nodes about a plate (m)."""
    return model.layout.node_depths[list(nodes_about(model.layout, depth))]


def _top(problem: Problem) -> list[Array]:
    """Depth of the top node (m), where a step begins under a forcing of its own."""
    model = problem.model
    anew = problem.means and model.stepping.forcing_is == "mean" and model.surface.balanced
    return [model.layout.node_depths[:1]] if anew else []
