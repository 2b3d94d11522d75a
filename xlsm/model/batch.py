"""The compiled kernel of a simulation: a batch of stations, a cache-full at a time."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from xlsm.model import column
from xlsm.model.model import Model

__all__ = ["run_batch"]


@partial(jax.jit, static_argnums=(0, 1, 2))
def run_batch(
    model: Model,
    outputs: tuple[str, ...],
    lanes: int,
    parameters: dict[str, jax.Array],
    forcing: dict[str, jax.Array],
    start: dict[str, jax.Array],
    dt: jax.Array,
    depths: jax.Array,
    series: dict[str, jax.Array] | None = None,
) -> dict[str, jax.Array]:
    """Simulate n stations, `lanes` of them at a time; `lanes` divides n.

    Parameters
    ----------
    model : Model
        The forward model.
    outputs : tuple of str
        Which outputs to give.
    lanes : int
        How many stations go through time together.
    parameters : dict of str to array, shape (n,)
        All parameters in use that are constant.
    forcing : dict of str to array, shape (time, n) or (time, depth, n)
        All forcing of the model.
    start : dict of str to array, shape (..., n)
        What was observed at the first time.
    dt : array, shape ()
        Time step (s).
    depths : array, shape (z,)
        Depths of the soil temperatures (m).
    series : dict of str to array, shape (time, n), optional
        The parameters that vary.

    Returns
    -------
    dict of str to array, shape (time, n) or (time, z, n)
        The outputs asked for; see `column.run`.
    """

    def some(group: dict[str, dict[str, jax.Array]]) -> dict[str, jax.Array]:
        given = (group["parameters"], group["forcing"], group["start"])
        result = column.run(model, *given, dt, depths, group["series"])
        return {name: result[name] for name in outputs}

    def split(values: jax.Array) -> jax.Array:
        return jnp.moveaxis(values.reshape(*values.shape[:-1], -1, lanes), -2, 0)

    def join(values: jax.Array) -> jax.Array:
        joined = jnp.moveaxis(values, 0, -2)
        return joined.reshape(*joined.shape[:-2], -1)

    whole = {
        "parameters": parameters,
        "forcing": forcing,
        "start": start,
        "series": {} if series is None else series,
    }
    groups = jax.tree.map(split, whole)
    return {name: join(values) for name, values in jax.lax.map(some, groups).items()}
