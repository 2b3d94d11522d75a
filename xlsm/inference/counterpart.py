"""The model's counterpart of the observations."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from xlsm.inference.problem import Data, Problem
from xlsm.inference.view import Reader, View, offsets_of, positions
from xlsm.model.conduction import heat_flux, nodes_about
from xlsm.model.model import Model
from xlsm.model.profile import between

__all__ = ["counterparts"]

Values = Mapping[str, jax.Array]


def counterparts(
    problem: Problem,
    data: Data,
    reader: Reader,
    parameters: Values,
    before: tuple[View, Values] | None,
    now: tuple[View, Values],
) -> dict[str, jax.Array]:
    """Give what the model makes of the observations of one time, each (channels, ...).

    A mean over a step is half the sum of the values at its ends, as between them temperatures are
    taken to be linear in time: of second order in the step. Where forcing is given as means, both
    ends are under that of the step, and its beginning is the column as it was, with a surface that
    balances the new forcing.

    Parameters
    ----------
    problem : Problem
        What is observed.
    data : Data
        The numbers; of these the depths.
    reader : Reader
        How the column was looked at.
    parameters : mapping of str to array, shape (...)
        All of them.
    before, now : tuple of View and mapping of str to array
        The column and the forcing at the start and at the end of the step; the start only where
        there are means.

    Returns
    -------
    dict of str to array
    """
    end = _instant(problem, data, reader, parameters, *now)
    if before is None:
        return end
    if problem.model.stepping.forcing_is == "mean":
        before = _under(problem.model, parameters, before[0], now[1]), now[1]
    start = _instant(problem, data, reader, parameters, *before)
    return {
        name: 0.5 * (start[name] + end[name]) if problem.operator(i).mean else end[name]
        for i, name in enumerate(problem.observed)
    }


def _under(model: Model, parameters: Values, view: View, forcing: Values) -> View:
    """Put a column under another forcing: the soil stays, the surface does not."""
    if not model.surface.balanced:
        return view
    top = view.soil[-1]
    surface, flux = model.close_surface(parameters, forcing, top, jnp.zeros_like(top), top)
    return view._replace(surface=surface, flux=flux)


def _instant(
    problem: Problem, data: Data, reader: Reader, parameters: Values, view: View, forcing: Values
) -> dict[str, jax.Array]:
    """Give what is observed of a column at one instant."""
    model = problem.model
    fluxes = model.fluxes(view.surface, forcing, parameters)
    predicted = fluxes | {"AvgSurfT": view.surface, "Qg": view.flux}
    row = data.depths.shape[0]
    seen = {}
    for i, name in enumerate(problem.observed):
        operator = problem.operator(i)
        if name == "SoilTemp":
            values = _temperatures(problem, data, reader, parameters, view)
        elif operator.depth is not None:
            count = len(nodes_about(model.layout, operator.depth))
            about = view.soil[row : row + count]
            row += count
            flux = heat_flux(model, parameters, forcing, operator.depth, about, view.flux)
            values = flux[None]
        else:
            values = predicted[name][None]
        seen[name] = values * parameters[operator.factor] if operator.factor else values
    return seen


def _temperatures(
    problem: Problem, data: Data, reader: Reader, parameters: Values, view: View
) -> jax.Array:
    """Temperatures of all thermometers, (z, ...)."""
    count, offsets = data.depths.shape[0], offsets_of(problem)
    if view.nodes is None or reader.first is None:
        return view.soil[:count]
    where = positions(offsets, data, parameters)
    moved = between(problem.model.layout, reader.first, view.nodes, where)
    rows = list(view.soil[:count])
    for (channel, _), values in zip(offsets, moved, strict=True):
        rows[channel] = values
    return jnp.stack(rows)
