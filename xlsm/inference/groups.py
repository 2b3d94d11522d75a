"""Stations in groups that go through time together, as many as fit a core's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

__all__ = ["in_groups"]

T = TypeVar("T")
Pick = Callable[[jax.Array], jax.Array]


def in_groups(function: Callable[[Pick], T], stations: int, lanes: int) -> T:
    """Do something for all stations, `lanes` of them at a time, and join the results.

    Every group is as wide, the last one filled up with its last station: the width decides the
    last bits of the results.

    Parameters
    ----------
    function : callable
        Takes a function that picks a group's part of an array (..., stations), and gives a tree of
        arrays (..., lanes).
    stations, lanes : int
        How many there are, and how many go together.

    Returns
    -------
    tree of arrays, shapes (..., stations)
    """
    lane = jnp.arange(-(-stations // lanes) * lanes).reshape(-1, lanes)

    def some(lane: jax.Array) -> T:
        return function(lambda values: values[..., jnp.minimum(lane, stations - 1)])

    def join(values: jax.Array) -> jax.Array:
        joined = jnp.moveaxis(values, 0, -2)
        return joined.reshape(*joined.shape[:-2], lane.size)[..., :stations]

    joined: T = jax.tree.map(join, jax.lax.map(some, lane))
    return joined
