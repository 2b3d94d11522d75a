"""What every solver owes its callers, whatever it does inside."""

import jax
import numpy as np
import pytest
from cases import SOLVER_NAMES, SOLVERS, TRUTH, paper_dataset, run, weather

import xlsm
from benchmarks.case import STEFAN_BOLTZMANN
from xlsm.model.batch import run_batch

every_solver = pytest.mark.parametrize("solver", SOLVERS, ids=SOLVER_NAMES)
BOTTOMS = {"fixed": xlsm.FixedTemperature(), "insulated": xlsm.ZeroFlux()}
every_bottom = pytest.mark.parametrize("bottom", BOTTOMS.values(), ids=BOTTOMS)


def small(solver, bottom=BOTTOMS["fixed"], nodes=9):
    grid = xlsm.UniformGrid(depth=0.4, nodes=nodes)
    return xlsm.Model(grid=grid, bottom=bottom, solver=solver)


def test_auto_is_modal():
    assert isinstance(xlsm.Model().stepper, xlsm.Modal)
    auto, modal = (
        paper_dataset().lsm.simulate(TRUTH, model=xlsm.Model(solver=solver), outputs="SoilTemp")
        for solver in ("auto", "modal")
    )
    np.testing.assert_array_equal(auto.SoilTemp, modal.SoilTemp)


@every_bottom
@every_solver
def test_depths_are_exact_at_nodes_and_linear_between(solver, bottom):
    model = small(solver, bottom)
    nodes = model.grid.node_depths
    profile = run(model, TRUTH, weather(9), depths=nodes)
    np.testing.assert_allclose(profile["SoilTemp"][:, 0], profile["AvgSurfT"], rtol=0, atol=1e-10)
    # in any order, twice, at the ends, and just above a node, where a floor would be a cell off
    asked = np.array([0.33, 0.0, 0.05 - 1e-13, 0.05, 0.4, 0.12, 0.12])
    between = run(model, TRUTH, weather(9), depths=asked)["SoilTemp"]
    expected = [np.interp(asked, nodes, now) for now in profile["SoilTemp"]]
    assert np.ptp(profile["SoilTemp"][-1]) > 2
    np.testing.assert_allclose(between, expected, rtol=0, atol=1e-10)


@every_solver
def test_shallowest_grid_agrees_with_its_own_equations(solver):
    """Three nodes, one step: two equations, solved here by bisection."""
    model = small(solver, nodes=3)
    forcing = weather(2, step=12 * 3600.0)
    out = run(model, TRUTH, forcing, dt=3600.0, depths=model.grid.node_depths)
    spacing, deep = 0.2, TRUTH["deep_temperature"]
    storage = TRUTH["heat_capacity"] * spacing / 3600.0
    conductance = TRUTH["thermal_conductivity"] / spacing
    now = {name: series[1] for name, series in forcing.items()}

    def middle(top):
        return (storage * deep + conductance * (top + deep)) / (storage + 2 * conductance)

    def excess(top):
        flux = 0.8 * now["SWdown"] + 0.95 * (now["LWdown"] - STEFAN_BOLTZMANN * top**4)
        flux -= TRUTH["combined_transfer_coefficient"] * (top - now["Tair"])
        return storage / 2 * (top - deep) + conductance * (top - middle(top)) - flux

    low, high = 200.0, 400.0
    for _ in range(60):
        centre = (low + high) / 2
        low, high = (centre, high) if excess(centre) < 0 else (low, centre)
    np.testing.assert_allclose(out["SoilTemp"][1], [low, middle(low), deep], rtol=0, atol=1e-9)


@every_bottom
@every_solver
def test_first_output_is_the_initial_state(solver, bottom):
    model = small(solver, bottom)
    given = TRUTH | {"initial_temperature": 280.0}
    nodes = model.grid.node_depths
    forcing = weather(5)
    out = run(model, given, forcing, depths=nodes)
    expected = np.full(9, 280.0)
    if bottom.fixed:
        expected[-1] = TRUTH["deep_temperature"]
    np.testing.assert_allclose(out["SoilTemp"][0], expected, rtol=0, atol=1e-11)
    assert out["AvgSurfT"][0] == pytest.approx(280.0, abs=1e-11)

    # forcing at the first time serves the fluxes of that time and nothing else
    forcing["SWdown"][0] += 500.0
    other = run(model, given, forcing, depths=nodes)
    np.testing.assert_array_equal(other["SoilTemp"], out["SoilTemp"])
    assert other["Qg"][0] - out["Qg"][0] == pytest.approx(0.8 * 500)
    for name in ("SWup", "LWup", "Qturb", "Qg"):
        np.testing.assert_array_equal(other[name][1:], out[name][1:])


@every_solver
def test_a_single_time_is_the_initial_state(solver):
    out = run(small(solver), TRUTH, weather(1), depths=[0.0, 0.1])
    np.testing.assert_allclose(out["SoilTemp"], [[293.0, 293.0]], rtol=0, atol=1e-11)
    assert all(out[name].shape == (1,) for name in ("AvgSurfT", "SWup", "LWup", "Qturb", "Qg"))

    ds = paper_dataset().isel(time=[0])
    sim = ds.lsm.simulate(TRUTH, model=small(solver), depth=[0.0, 0.1])
    np.testing.assert_allclose(sim.SoilTemp, [[293.0, 293.0]], rtol=0, atol=1e-11)


def test_jacobi_that_cannot_reach_its_tolerance_gives_no_number():
    forcing = weather(13)  # night first, so that the first steps are easy, then the sun rises
    slow = TRUTH | {"thermal_conductivity": np.array([2.0, 0.02])}
    exact = run(small("modal"), slow, forcing)["SoilTemp"]
    out = run(small(xlsm.Jacobi(max_iterations=12)), slow, forcing)
    # the conductive station needs more iterations than it may have, the other does not
    assert np.isnan(out["AvgSurfT"][-1, 0])
    gone = np.isnan(out["AvgSurfT"][:, 0])
    assert not gone[0]
    assert np.all(np.diff(gone.astype(int)) >= 0)  # once lost, lost for good
    np.testing.assert_array_equal(gone, np.isnan(out["SoilTemp"][:, 0, 0]))
    np.testing.assert_array_equal(gone, np.isnan(out["Qg"][:, 0]))
    np.testing.assert_allclose(out["SoilTemp"][..., 1], exact[..., 1], rtol=0, atol=1e-3)


def stations(count):
    """Parameters and forcing of unlike stations, all on the batch axis."""
    random = np.random.default_rng(0)
    parameters = {
        "albedo": random.uniform(0.1, 0.4, count),
        "emissivity": random.uniform(0.8, 1.0, count),
        "combined_transfer_coefficient": random.uniform(5, 50, count),
        "thermal_conductivity": random.uniform(0.2, 3, count),
        "heat_capacity": random.uniform(1e6, 3e6, count),
        "deep_temperature": random.uniform(280, 295, count),
    }
    forcing = {
        name: series[:, None] * random.uniform(0.9, 1.1, count)
        for name, series in weather(9).items()
    }
    return parameters, forcing


@pytest.mark.parametrize("spoilt", ["SWdown", "Tair", "albedo", "heat_capacity"])
@pytest.mark.parametrize("solver", ["modal", "tridiagonal", "jacobi"])
def test_a_spoilt_station_leaves_the_others_bit_for_bit(solver, spoilt):
    outputs = ("SoilTemp", "AvgSurfT", "Qg")

    def compute(parameters, forcing):
        with jax.enable_x64(True):
            depths = np.array([0.0, 0.13])
            out = run_batch(small(solver), outputs, 4, parameters, forcing, {}, 3600.0, depths)
            return {name: np.asarray(out[name]) for name in outputs}

    parameters, forcing = stations(8)
    clean = compute(parameters, forcing)
    if spoilt in forcing:
        forcing[spoilt][4, 2] = np.nan
    else:
        parameters[spoilt][2] = np.nan
    spoiled = compute(parameters, forcing)
    others = np.arange(8) != 2
    for name in outputs:
        assert np.all(np.isfinite(clean[name]))
        np.testing.assert_array_equal(spoiled[name][..., others], clean[name][..., others])
    assert np.all(np.isnan(spoiled["AvgSurfT"][4:, 2]))
    if spoilt in forcing:  # and what came before the gap stays, too
        np.testing.assert_array_equal(spoiled["SoilTemp"][:4, :, 2], clean["SoilTemp"][:4, :, 2])
