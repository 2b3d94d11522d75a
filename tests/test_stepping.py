"""Orders in time, sub-steps, and what the stages of a step conserve."""

import functools

import jax
import numpy as np
import pytest
from cases import run, weather
from derivatives import agree, numbers

import xlsm
from xlsm.errors import ModelError
from xlsm.model import column

LAND = {
    "thermal_conductivity": 0.8,
    "heat_capacity": 2.2e6,
    "combined_transfer_coefficient": 25.0,
    "deep_temperature": 290.0,
}
#: Diagonal of the second-order scheme.
GAMMA = 1 - np.sqrt(0.5)


def start_on(profile):
    """What `ObservedInitial` makes of the first time, for a column that starts on a profile."""
    return {"profile": np.asarray(profile, float), "share": np.zeros(len(profile))}


# ---------------------------------------------------------------------------- order

DURATION, FINEST = 43200.0, 192
SURFACES = {"bare": xlsm.BareSurface(), "followed": xlsm.ObservedSurface("AvgSurfT")}


def smooth(time):
    """Half a day of weather without a kink, and of a surface that could have followed it."""
    swing = 1 - np.cos(2 * np.pi * time / 86400)
    return {
        "SWdown": 350 * swing,
        "LWdown": 330 + 20 * np.sin(2 * np.pi * time / 86400),
        "Tair": 290 + 4 * swing,
        "AvgSurfT": 290 + 6 * swing,
    }


@functools.cache
def ends(stepping, surface):
    """Soil temperatures, and ground heat flux, at the end of 24, 48, 96 and 192 steps."""
    depths = [0.02, 0.06, 0.1, 0.2]
    model = xlsm.Model(xlsm.UniformGrid(0.3, 16), surface=SURFACES[surface], stepping=stepping)
    soil, flux = [], []
    for steps in (24, 48, 96, FINEST):
        dt = DURATION / steps
        # all are run for as many steps: one compilation
        series = smooth(np.arange(FINEST + 1) * dt)
        out = run(model, LAND, {name: series[name] for name in model.forcing}, dt, depths)
        soil.append(out["SoilTemp"][steps])
        flux.append(out["Qg"][steps])
    return np.array(soil), np.array(flux)


def order(values):
    """Order of convergence, from the distances between ever finer solutions."""
    distances = np.abs(np.diff(values, axis=0)).reshape(len(values) - 1, -1).max(axis=1)
    return np.polyfit(np.log(0.5) * np.arange(len(distances)), np.log(distances), 1)[0]


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize(
    ("stepping", "expected"), [(xlsm.BackwardEuler(), 1), (xlsm.SDIRK2(), 2)], ids=["BE", "SDIRK2"]
)
def test_order_of_convergence(stepping, expected, surface):
    soil, flux = ends(stepping, surface)
    assert order(soil) == pytest.approx(expected, abs=0.1)
    # the flux under a followed temperature is a rate of change, and of first order only
    assert order(flux) == pytest.approx(1 if surface == "followed" else expected, abs=0.15)


@pytest.mark.parametrize("surface", SURFACES)
def test_both_converge_to_the_same(surface):
    euler, _ = ends(xlsm.BackwardEuler(), surface)
    second, _ = ends(xlsm.SDIRK2(), surface)
    extrapolated = 2 * euler[-1] - euler[-2]
    assert np.abs(euler[-1] - second[-1]).max() > 5e-3
    np.testing.assert_allclose(extrapolated, second[-1], rtol=0, atol=3e-4)


# ---------------------------------------------------------------------------- sub-steps


SUBSTEPS = 4
SMALL = xlsm.UniformGrid(0.3, 7)


def small_run(stepping, series, dt, solver="auto"):
    model = xlsm.Model(SMALL, stepping=stepping, solver=solver)
    return run(model, LAND, series, dt, SMALL.node_depths)


@pytest.mark.parametrize(
    ("stepping", "forcing_is"),
    [(xlsm.BackwardEuler, "instant"), (xlsm.BackwardEuler, "mean"), (xlsm.SDIRK2, "instant")],
)
def test_substeps_are_steps_under_the_forcing_between(stepping, forcing_is):
    time = np.arange(12 * SUBSTEPS + 1) / SUBSTEPS
    between = {
        "instant": lambda values: np.interp(time, np.arange(13), values),
        "mean": lambda values: values[np.ceil(time).astype(int)],
    }[forcing_is]
    series = weather(13)
    coarse = small_run(stepping(SUBSTEPS, forcing_is), series, 3600.0)
    fine = small_run(stepping(), {n: between(v) for n, v in series.items()}, 3600.0 / SUBSTEPS)
    assert np.ptp(coarse["AvgSurfT"]) > 5
    for name in coarse:
        same = fine[name][::SUBSTEPS]
        np.testing.assert_allclose(coarse[name], same, rtol=1e-11, err_msg=name)


def test_means_hold_through_both_stages():
    """The forcing of a mean is that of the end, all the step long: that at the start is unread."""
    series = weather(13)
    held = small_run(xlsm.SDIRK2(SUBSTEPS, "mean"), series, 3600.0)
    alone = small_run(
        xlsm.SDIRK2(SUBSTEPS), {name: np.repeat(v[12], 13) for name, v in series.items()}, 3600.0
    )
    constant = {name: np.append(v[0], np.repeat(v[12], 12)) for name, v in series.items()}
    means = small_run(xlsm.SDIRK2(SUBSTEPS, "mean"), constant, 3600.0)
    np.testing.assert_allclose(means["SoilTemp"], alone["SoilTemp"], rtol=1e-12)
    assert np.abs(held["SoilTemp"] - means["SoilTemp"]).max() > 1


def test_modal_and_tridiagonal_agree():
    stepping = xlsm.SDIRK2(SUBSTEPS)
    modal, general = (
        small_run(stepping, weather(13), 3600.0, solver) for solver in ("auto", "tridiagonal")
    )
    for name in modal:
        np.testing.assert_allclose(modal[name], general[name], rtol=0, atol=1e-9, err_msg=name)


# ---------------------------------------------------------------------------- one step

#: No flux at either end: conduction alone.
CLOSED = LAND | {"emissivity": 0.0, "albedo": 1.0, "combined_transfer_coefficient": 0.0}
del CLOSED["deep_temperature"]


def conduct(grid, profile, dt, solver="auto"):
    """One step of conduction alone."""
    model = xlsm.Model(
        grid,
        bottom=xlsm.ZeroFlux(),
        initial=xlsm.ObservedInitial((0.0,)),
        stepping=xlsm.SDIRK2(),
        solver=solver,
    )
    out = run(model, CLOSED, weather(2), dt, grid.node_depths, start_on(profile))
    np.testing.assert_allclose(out["SoilTemp"][0], profile, rtol=1e-13)
    assert np.all(np.abs(out["Qg"]) < 1e-10)
    return out["SoilTemp"][1]


def rate(grid):
    """Matrix of the rate of change of the node temperatures (s-1), written out."""
    nodes = grid.node_depths
    matrix = np.zeros((nodes.size, nodes.size))
    for i, distance in enumerate(np.diff(nodes)):
        conductance = LAND["thermal_conductivity"] / distance
        matrix[i : i + 2, i : i + 2] += conductance * np.array([[-1, 1], [1, -1]])
    return matrix / (LAND["heat_capacity"] * grid.thicknesses)[:, None]


def tr_bdf2(matrix, profile, dt):
    """Bank et al. (1985): a trapezoidal rule to 2 - sqrt(2) of the step, then BDF2 to its end."""
    part, one = 2 - np.sqrt(2), np.eye(len(matrix))
    half = part / 2 * dt * matrix
    middle = np.linalg.solve(one - half, (one + half) @ profile)
    known = (middle - (1 - part) ** 2 * profile) / (part * (2 - part))
    return np.linalg.solve(one - (1 - part) / (2 - part) * dt * matrix, known)


GRIDS = {
    "modal": (xlsm.UniformGrid(0.3, 7), "modal"),
    "tridiagonal": (xlsm.UniformGrid(0.3, 7), "tridiagonal"),
    "stretched": (xlsm.StretchedGrid(0.3, 7, first=0.01), "auto"),
}


@pytest.mark.parametrize("name", GRIDS)
def test_conduction_is_that_of_tr_bdf2_and_never_oscillates(name):
    grid, solver = GRIDS[name]
    profile = 290 + 5 * np.random.default_rng(0).standard_normal(grid.nodes)
    matrix = rate(grid)
    for dt in (60.0, 3600.0, 1e5):
        stepped = conduct(grid, profile, dt, solver)
        np.testing.assert_allclose(stepped, tr_bdf2(matrix, profile, dt), rtol=1e-13)
    # a step of 30 years: the mean is all that is left, where the trapezoidal rule would ring on
    mean = np.average(profile, weights=grid.thicknesses)
    assert np.abs(profile - mean).max() > 4
    np.testing.assert_allclose(conduct(grid, profile, 1e9, solver), mean, rtol=0, atol=1e-3)


def test_stored_heat_changes_by_the_weighted_fluxes_of_the_stages():
    grid = SMALL
    model = xlsm.Model(grid, stepping=xlsm.SDIRK2(), solver="tridiagonal")
    dt = 3600.0
    land = {n: np.asarray(v) for n, v in (LAND | {"emissivity": 0.95, "albedo": 0.2}).items()}
    series = {name: values[9:11] for name, values in weather(11).items()}
    profile = 290 + 8 * np.random.default_rng(0).standard_normal(grid.nodes)
    profile[-1] = 290.0

    @jax.jit
    def both_stages(profile, before, now):
        operator = column.constant_operator(model, land, dt)
        columns = model.stepper.begin(model, land["deep_temperature"], profile)
        states = []

        def stage(state, forcing):
            states.append(model.stepper.advance(model, land, operator, state, forcing))
            return states[-1]

        first = column.State(columns, profile[0], 0 * profile[0])
        states.append(model.stepping.advance(stage, first, before, now))
        sampler = model.stepper.sample(model, grid.node_depths)
        soil = [
            model.stepper.temperatures(s.columns, land["deep_temperature"], sampler) for s in states
        ]
        return soil, [s.flux for s in states]

    with jax.enable_x64(True):
        before, now = ({name: v[i] for name, v in series.items()} for i in (0, 1))
        (first, second, end), fluxes = jax.tree.map(np.asarray, both_stages(profile, before, now))
    np.testing.assert_array_equal(end, second)  # stiffly accurate
    own = grid.thicknesses.copy()
    own[-1] = 0.0  # the bottom is given
    change = LAND["heat_capacity"] * np.sum(own * (end - profile))
    leaving = [
        LAND["thermal_conductivity"] * (soil[-2] - soil[-1]) / grid.spacing
        for soil in (first, second)
    ]
    passed = (1 - GAMMA) * (fluxes[0] - leaving[0]) + GAMMA * (fluxes[1] - leaving[1])
    assert abs(fluxes[0] - fluxes[1]) > 1  # or any weights would do
    assert change == pytest.approx(dt * passed, rel=1e-10)


# ---------------------------------------------------------------------------- the rest


@pytest.mark.usefixtures("x64")
def test_derivatives_agree_through_stages_and_substeps_and_a_spin_up():
    spun_up = xlsm.SpunUp(0.125, repeats=2, steps=3)
    stepping = xlsm.SDIRK2(substeps=2)
    model = xlsm.Model(xlsm.UniformGrid(0.1, 6), stepping=stepping, initial=spun_up)
    free = (
        "albedo",
        "thermal_conductivity",
        "heat_capacity",
        "combined_transfer_coefficient",
        "deep_temperature",
        "initial_temperature",
    )
    series = {name: values[6:] for name, values in weather(13).items()}
    errors = {"SoilTemp": 0.1, "LWup": 5.0}
    agree(model, free, numbers(model, free, series, depths=[0.0, 0.07], errors=errors))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"substeps": 0}, "whole number of at least 1, got 0"),
        ({"substeps": 1.5}, "whole number"),
        ({"forcing_is": "average"}, "'instant' or 'mean', got 'average'"),
    ],
)
@pytest.mark.parametrize("stepping", [xlsm.BackwardEuler, xlsm.SDIRK2])
def test_what_is_no_way_to_step_is_refused(stepping, settings, message):
    with pytest.raises(ModelError, match=message):
        stepping(**settings)
