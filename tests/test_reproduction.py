"""The synthetic experiment of Huang, Heaney & van Reeuwijk, trial by trial.

The search is that of their public code: Adam in physical parameters on the mean squared
difference, until neither the loss nor a parameter moves, at most 151 steps.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import xarray as xr
from cases import TRUTH, paper_dataset, published

import xlsm
from benchmarks import case
from xlsm.model import column

PAPER = xlsm.models.huang2025()
NAMES = (
    "albedo",
    "heat_transfer_coefficient",
    "bowen_ratio",
    "thermal_conductivity",
    "deep_temperature",
    "heat_capacity",
)
RATE = dict.fromkeys(NAMES, 0.1) | {"deep_temperature": 1.0, "heat_capacity": 1e5}
CASES = {"one_depth": [0.05], "two_depths": [0.0, 0.05]}
ERROR = {"SoilTemp": 0.1}


def combined(table):
    return table["heat_transfer_coefficient"] * (1 + 1 / table["bowen_ratio"])


def tables(name):
    """Where the paper's trials began, and where they ended."""
    return [pd.read_csv(published(f"{kind}_{name}.csv"))[[*NAMES]] for kind in ("starts", "finals")]


def adam(slope, start):
    """Search from one start with a function that gives loss and gradient."""
    optimiser = optax.adam(1.0)

    def step(carry, _):
        values, state, last, going = carry
        loss, gradient = slope(values)
        change, following = optimiser.update(gradient, state)
        moved = {name: values[name] + RATE[name] * change[name] for name in NAMES}
        shift = jnp.stack([abs(moved[name] / values[name] - 1) for name in NAMES])
        still = (shift.max() > 1e-3) | (abs(loss / last - 1) > 1e-4)
        carried = moved, following, loss, going & still
        return jax.tree.map(partial(jnp.where, going), carried, carry), None

    first = start, optimiser.init(start), jnp.float64(9e9), jnp.array(True)
    return jax.lax.scan(step, first, length=151)[0][0]


def search(slope, starts):
    with jax.enable_x64(True):
        begin = {name: starts[name].to_numpy() for name in NAMES}
        ends = jax.jit(jax.vmap(partial(adam, slope)))(begin)
        return pd.DataFrame({name: np.asarray(ends[name]) for name in NAMES}, index=starts.index)


def exact_slope(target, depths):
    """The gradient of the exact solution of every step."""
    forcing = dict(zip(("SWdown", "LWdown", "Tair"), case.forcing(), strict=True))

    def misfit(values):
        known = values | {"emissivity": np.float64(case.EMISSIVITY)}
        out = column.run(PAPER, known, forcing, {}, np.float64(case.STEP), np.array(depths))
        return jnp.mean((out["SoilTemp"] - target) ** 2)

    return jax.value_and_grad(misfit)


def unrolled_slope(target):
    """The gradient of the paper's Jacobi sweeps at 0.05 m, each of them differentiated."""
    sun, (longwave, air) = case.forcing()[0], case.forcing()[1:, 0]
    spacing = case.DEPTH / (case.NODES - 1)

    def misfit(values):
        albedo, h, beta, conductivity, deep, capacity = (values[name] for name in NAMES)
        ratio = conductivity * case.STEP / (capacity * spacing**2)
        exchange = h * (1 + 1 / beta)

        def advance(before, shortwave):
            gain = shortwave * (1 - albedo) + longwave + exchange * air

            def sweep(carry):
                last, _ = carry
                above = last[1] + spacing / conductivity * gain
                loss = exchange + case.EMISSIVITY * 5.67e-8 * last[0] ** 3
                slope = 1 + 2 * ratio * (1 + spacing / conductivity * loss)
                inner = (before[1:-1] + ratio * (last[:-2] + last[2:])) / (1 + 2 * ratio)
                top = (before[0] + 2 * ratio * above) / slope
                new = jnp.concatenate([top[None], inner, deep[None]])
                return new, abs(new - last).max()

            start = before, jnp.float64(np.inf)
            after, _ = jax.lax.while_loop(lambda carry: carry[1] > 1e-4, sweep, start)
            return after, after[5]

        first = jnp.full(case.NODES, 1.0) * deep
        _, later = jax.lax.scan(advance, first, sun[1:])
        return jnp.mean((jnp.concatenate([deep[None], later]) - target) ** 2)

    def slope(values):  # forward mode goes through a loop of unknown length, reverse does not
        unit = {name: jnp.eye(len(NAMES))[i] for i, name in enumerate(NAMES)}

        def push(along):
            return jax.jvp(misfit, (values,), (along,))

        loss, slopes = jax.vmap(push, out_axes=(None, 0))(unit)
        return loss, {name: slopes[i] for i, name in enumerate(NAMES)}

    return slope


def observations(depths, noise=0.0, realisations=None):
    """The paper's case with its temperatures at these depths, and noise on them."""
    ds = paper_dataset()
    sim = ds.lsm.simulate(TRUTH, model=PAPER, depth=depths, outputs="SoilTemp")
    shape, dims = sim.SoilTemp.shape, sim.SoilTemp.dims
    if realisations is not None:
        shape, dims = (realisations, *shape), ("realisation", *dims)
    random = np.random.default_rng(0).standard_normal(shape)
    noisy = sim.SoilTemp + xr.DataArray(noise * random, dims=dims)
    return ds.assign(SoilTemp=noisy.assign_attrs(sim.SoilTemp.attrs))


def apart(ours, theirs):
    """Relative difference of two tables, the largest of all parameters, for each trial."""
    return abs(ours / theirs - 1).max(axis=1)


def test_adam_at_two_depths_ends_where_the_paper_says():
    starts, finals = tables("two_depths")
    depths = CASES["two_depths"]
    ends = search(exact_slope(observations(depths).SoilTemp.values, depths), starts)
    difference = apart(ends, finals)
    assert difference.median() < 5e-4
    assert difference.max() < 7e-3
    assert (abs(combined(ends) / combined(finals) - 1) < 1e-3).all()


def test_adam_at_one_depth_stops_all_along_the_valley():
    # half of the trials as in the paper; where the others stop the gradient's last digits decide
    starts, finals = tables("one_depth")
    depths = CASES["one_depth"]
    target = observations(depths).SoilTemp.values
    ends = search(exact_slope(target, depths), starts)
    assert apart(ends, finals).median() < 0.02
    assert ends.thermal_conductivity.max() > 3 * ends.thermal_conductivity.min()
    for table in (ends, finals):
        sim = paper_dataset().lsm.simulate(
            {name: xr.DataArray(table[name], dims="trial") for name in NAMES},
            model=PAPER,
            depth=depths,
            outputs="SoilTemp",
        )
        rmse = np.sqrt(((sim.SoilTemp - target) ** 2).mean(["time", "depth"]))
        assert rmse.median() < 0.02
        assert rmse.max() < 0.11


@pytest.mark.slow
@pytest.mark.optimised
def test_differentiated_sweeps_end_where_the_paper_says_at_one_depth():
    starts, finals = tables("one_depth")
    target = np.loadtxt(published("target_0.05m.txt"))
    some = [1, 2, 19, 41]  # the last two end elsewhere with the gradient of the exact solution
    ends = search(unrolled_slope(target), starts.loc[some])
    assert (apart(ends, finals.loc[some]) < 5e-4).all()


@pytest.mark.parametrize(
    ("depths", "percent"),
    [("one_depth", [2.8, 2.7, 44, 22, 0.02]), ("two_depths", [0.5, 0.3, 1.1, 0.8, 0.01])],
)
def test_standard_errors_for_a_tenth_of_a_kelvin(depths, percent):
    est = observations(CASES[depths]).lsm.estimate(case.FREE, observed=ERROR, model=PAPER)
    found = [float(100 * est[f"{name}_std"] / est[name]) for name in case.FREE]
    np.testing.assert_allclose(found, percent, rtol=0.1, atol=0.005)


@pytest.mark.parametrize("depths", CASES)
def test_with_noise_all_starts_of_gauss_newton_end_in_one_point(depths):
    starts, _ = tables(depths)
    starts["combined_transfer_coefficient"] = combined(starts)
    treated = {
        name: xlsm.Parameter(initial=xr.DataArray(starts[name], dims="start")) for name in case.FREE
    }
    ds = observations(CASES[depths], noise=0.1)
    est = ds.lsm.estimate(treated, observed=ERROR, model=PAPER)
    np.testing.assert_array_equal(est.status, 0)
    for name in case.FREE:
        assert est[name].std() < 1e-5 * est[f"{name}_std"].mean()
        assert (abs(est[name] - TRUTH[name]) < 3 * est[f"{name}_std"]).all()


def test_two_depths_scatter_as_their_standard_errors_say():
    ds = observations(CASES["two_depths"], noise=0.1, realisations=400)
    est = ds.lsm.estimate(case.FREE, observed=ERROR, model=PAPER)
    np.testing.assert_array_equal(est.status, 0)
    for name in case.FREE:
        off = (est[name] - TRUTH[name]) / est[f"{name}_std"]
        assert abs(float(off.mean())) < 4 / np.sqrt(400)
        assert float(off.std()) == pytest.approx(1, abs=4 / np.sqrt(800))
