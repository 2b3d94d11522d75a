"""Heat that is conducted through a depth of the soil."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.model.grid import Grid
from xlsm.model.model import Model

__all__ = ["heat_flux", "nodes_about"]

Values = Mapping[str, jax.Array]


def nodes_about(grid: Grid, depth: float) -> range:
    """Name the nodes between which the heat through a depth is conducted.

    Parameters
    ----------
    grid : Grid
        The column's nodes.
    depth : float
        Inside the column (m).

    Returns
    -------
    range
        Two or three neighbours.
    """
    cell = _cell(grid, depth)
    return range(max(cell - 1, 0), min(cell + 2, grid.nodes))


def heat_flux(
    model: Model,
    parameters: Values,
    forcing: Values,
    depth: float,
    temperatures: jax.Array,
    surface_flux: jax.Array,
) -> jax.Array:
    """Flux of heat downward through a depth (W m-2), shape (...).

    Between two nodes the scheme conducts ``conductance (T_i - T_(i+1))`` through the limit of the
    cells they own, and through the surface ``Qg``. Inside a cell, whose heat is spread evenly, the
    flux is linear between its two limits. So a step of backward Euler takes up above any depth, in
    whole cells and the share of one, what flows in at the surface less what flows on: exactly, for
    any soil and grid, and with no correction for the heat stored above a plate.

    Parameters
    ----------
    model : Model
        The forward model.
    parameters, forcing : mapping of str to array, shape (...)
        Of this time.
    depth : float
        Inside the column (m).
    temperatures : array, shape (2 or 3, ...)
        Of the nodes that `nodes_about` names (K).
    surface_flux : array, shape (...)
        Flux into the soil (W m-2).

    Returns
    -------
    array, shape (...)

    Notes
    -----
    A bottom whose temperature is given takes part in no balance: half a cell above it the flux is
    that of the last limit. Through an insulated one there is none.
    """
    grid = model.layout
    cell = _cell(grid, depth)
    read = {name: forcing[name] for name in model.soil.forcing}
    conductances = model.soil.conductances(grid, parameters, read)
    below = temperatures if cell == 0 else temperatures[1:]  # from the cell's own node on
    if cell == 0:
        upper = surface_flux
    else:
        upper = conductances[cell - 1] * (temperatures[0] - temperatures[1])
    if cell < grid.nodes - 1:
        lower = conductances[cell] * (below[0] - below[1])
    else:
        lower = upper if model.bottom.fixed else jnp.zeros_like(upper)
    limits = grid.edges[cell : cell + 2]
    share = float((depth - limits[0]) / (limits[1] - limits[0]))
    return upper + share * (lower - upper)


def _cell(grid: Grid, depth: float) -> int:
    """Index of the node that owns the soil at a depth."""
    return int(np.clip(np.searchsorted(grid.edges, depth, side="right") - 1, 0, grid.nodes - 1))
