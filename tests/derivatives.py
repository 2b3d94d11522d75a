"""Derivatives of a misfit by several routes that must agree, for any model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import quick

from xlsm.inference.objective import cost, normal_equations
from xlsm.inference.problem import Data, Problem

#: Stations, and how far from the middle of their bounds their parameters lie.
COUNT, SPREAD = 3, 1.0
#: What the flux-like observables are, plus or minus some tens.
USUAL = {"LWup": 400.0, "AvgSurfT": 290.0}
AXES = Data(-1, -1, -1, -1, None, None, None, None, None, None)

misfit = quick.jit(cost, static_argnums=0)
forward = quick.jit(normal_equations, static_argnums=0)
reverse = quick.jit(
    jax.grad(lambda problem, data, x: jnp.sum(cost(problem, data, x)), argnums=2), static_argnums=0
)


def numbers(model, free, forcing, *, depths, errors, start=None, fixed=None, dt=3600.0):
    """Numbers of COUNT unlike stations with some observations missing."""
    random = np.random.default_rng(0)
    series = {
        name: values[..., None] * random.uniform(0.98, 1.02, COUNT)
        for name, values in forcing.items()
    }
    times = len(next(iter(forcing.values())))
    observations = {
        name: USUAL.get(name, 0.0) + random.uniform(-20, 20, (times, 1, COUNT)) for name in errors
    }
    if "SoilTemp" in errors:
        observations["SoilTemp"] = random.uniform(280, 300, (times, len(depths), COUNT))
        observations["SoilTemp"][2, 0, 1] = np.nan
    known = model.parameters
    # a value of a series is called by its parameter and its place
    specs = {name: known[name.partition("[")[0]] for name in {*known, *free}}
    owners = {name.partition("[")[0] for name in free}
    used = model.used({*owners, *(fixed or {})})
    values = {n: specs[n].default for n in used if n not in owners}
    values |= fixed or {}
    return Data(
        forcing=series,
        start=start or {},
        fixed={
            name: np.multiply.outer(np.asarray(value, float), np.ones(COUNT))
            for name, value in values.items()
        },
        observations=observations,
        errors={name: np.float64(error) for name, error in errors.items()},
        dt=np.float64(dt),
        depths=np.asarray(depths, float),
        lower=np.array([specs[name].bounds[0] for name in free]),
        upper=np.array([specs[name].bounds[1] for name in free]),
        log_scale=np.array([specs[name].scale == "log" for name in free]),
    )


def close(actual, expected, rtol):
    """Agreement relative to the largest component: the small ones carry its round-off."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert np.all(np.isfinite(actual))
    largest = np.abs(expected).max(axis=0)
    assert np.all(np.abs(actual - expected) <= rtol * largest), np.abs(actual - expected) / largest


def agree(model, free, data, *, in_vmap=False, **of_problem):
    """Normal equations, reverse mode and central differences, and all of it inside vmap."""
    problem = Problem(model, free, tuple(data.errors), **of_problem)
    point = np.random.default_rng(1).uniform(-SPREAD, SPREAD, (len(free), COUNT))
    gradient = np.asarray(reverse(problem, data, point))
    assert np.all(np.abs(gradient) > 0), "a parameter that does nothing proves nothing"
    normal = forward(problem, data, point)
    close(normal.cost[None], misfit(problem, data, point)[None], 1e-12)
    close(normal.gradient, gradient, 1e-9)
    slopes, step = [], 1e-4
    for i in range(len(free)):
        shift = np.zeros_like(point)
        shift[i] = step
        up, down = (np.asarray(misfit(problem, data, x)) for x in (point + shift, point - shift))
        slopes.append((up - down) / (2 * step))
    close(np.stack(slopes), gradient, 1e-6)
    if in_vmap:  # where the model sees one station and no batch axis
        one = jax.grad(functools.partial(cost, problem), argnums=1)
        inside = quick.jit(jax.vmap(one, in_axes=(AXES, 1), out_axes=1))
        close(inside(data, point), gradient, 1e-9)
