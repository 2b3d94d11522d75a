"""Known solutions, orders of convergence, conserved heat, and units."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest
from cases import SOLVER_NAMES, SOLVERS, run, weather

import xlsm
from benchmarks.case import STEFAN_BOLTZMANN
from xlsm.model.initial import Initial

LAND = {"thermal_conductivity": 0.8, "heat_capacity": 2.2e6, "combined_transfer_coefficient": 25.0}
MEAN, AMPLITUDE, PERIOD = 290.0, 8.0, 86400.0
OMEGA = 2 * np.pi / PERIOD
#: Depth at which the daily wave has fallen to 1/e (m), 0.1 m here.
DAMPING = np.sqrt(2 * LAND["thermal_conductivity"] / (LAND["heat_capacity"] * OMEGA))
#: Depths at which waves are compared (m): nodes of every grid used.
COMPARED = np.array([0.0, 0.5, 1.0, 1.5]) * DAMPING


@dataclasses.dataclass(frozen=True)
class StartsOnProfile(Initial):
    """A stand-in piece: the column starts on a given profile (K)."""

    temperatures: tuple[float, ...]

    def profile(self, model, bottom, start, parameters):
        return jnp.asarray(self.temperatures)


def wave(rate, spacing):
    """Decay per metre, and flux per kelvin at the surface, of T ~ exp(rate t - decay z).

    With a spacing of zero that of the half-space, else that of an endless column of nodes.
    """
    conductivity, capacity = LAND["thermal_conductivity"], LAND["heat_capacity"]
    if spacing == 0:
        decay = np.sqrt(rate * capacity / conductivity)
        return decay, conductivity * decay
    decay = np.arccosh(1 + rate * capacity * spacing**2 / (2 * conductivity)) / spacing
    falling = (1 - np.exp(-decay * spacing)) / spacing
    return decay, rate * capacity * spacing / 2 + conductivity * falling


def periodic(cells, steps, *, exact_in="", periods=2, damping_depths=20, solver="modal"):
    """Run a column whose surface should follow a daily sine; give it and the true wave.

    LWdown is what the balance needs for the sine and its ground flux. The wave is that of the
    half-space; with "z" or "t" in `exact_in` that of the equations discrete in depth or in time,
    which leaves the error of the other alone: backward Euler turns i omega into
    (1 - exp(-i omega dt)) / dt.

    `cells` is per damping depth, `steps` per period. Gives times (s), simulated and true
    temperatures at the depths compared, shape (time, z), and the decay per metre.
    """
    dt = PERIOD / steps
    grid = xlsm.UniformGrid(damping_depths * DAMPING, damping_depths * cells + 1)
    rate = (1 - np.exp(-1j * OMEGA * dt)) / dt if "t" in exact_in else 1j * OMEGA
    decay, admittance = wave(rate, grid.spacing if "z" in exact_in else 0)
    time = np.arange(periods * steps + 1) * dt
    swing = AMPLITUDE * np.exp(1j * OMEGA * time)

    surface, flux = MEAN + swing.imag, (admittance * swing).imag
    emissivity, albedo, coefficient = 0.95, 0.2, LAND["combined_transfer_coefficient"]
    forcing = {"SWdown": 300 + 200 * np.cos(OMEGA * time), "Tair": 288 + 0 * time}
    turbulent = coefficient * (surface - forcing["Tair"])
    missing = flux + turbulent - (1 - albedo) * forcing["SWdown"]
    forcing["LWdown"] = missing / emissivity + STEFAN_BOLTZMANN * surface**4

    def truth(depth):
        return MEAN + (swing[:, None] * np.exp(-decay * depth)).imag

    start = StartsOnProfile(tuple(truth(grid.node_depths)[0].tolist()))
    model = xlsm.Model(grid=grid, initial=start, solver=solver)
    parameters = LAND | {"emissivity": emissivity, "albedo": albedo, "deep_temperature": MEAN}
    out = run(model, parameters, forcing, dt, COMPARED)
    return time, out["SoilTemp"], truth(COMPARED), decay


def test_wave_damps_and_lags_as_in_a_half_space():
    time, soil, _, _ = periodic(cells=10, steps=288)
    day = slice(-288, None)  # one whole period: other frequencies drop out
    swing = 2j * np.mean((soil[day] - MEAN).T * np.exp(-1j * OMEGA * time[day]), axis=1)
    response = swing / swing[0]
    ratio = COMPARED / DAMPING
    np.testing.assert_allclose(np.abs(response), np.exp(-ratio), rtol=0.01)
    np.testing.assert_allclose(-np.angle(response), ratio, atol=0.01)
    assert np.abs(swing[0]) == pytest.approx(AMPLITUDE, rel=0.01)


@pytest.mark.parametrize("solver", SOLVERS[:2], ids=SOLVER_NAMES[:2])
def test_wave_of_the_discrete_equations_is_met_to_round_off(solver):
    _, soil, truth, _ = periodic(cells=2, steps=24, exact_in="zt", damping_depths=26, solver=solver)
    np.testing.assert_allclose(soil, truth, rtol=0, atol=1e-11)


def order(sizes, errors):
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@functools.cache
def wave_error(cells, steps, exact_in):
    _, soil, truth, _ = periodic(cells, steps, exact_in=exact_in)
    return np.abs(soil - truth)[steps:].max(axis=0)


def test_convergence_is_first_order_in_time():
    steps = np.array([48, 96, 192, 384])
    errors = np.array([wave_error(4, n, "z") for n in steps])
    slopes = [order(1 / steps, error) for error in errors.T]
    assert np.all(np.abs(np.array(slopes) - 1) < 0.1), slopes


def test_convergence_is_second_order_in_depth():
    cells = np.array([2, 4, 8, 16])
    errors = np.array([wave_error(n, 48, "t") for n in cells])
    slopes = [order(1 / cells, error) for error in errors.T]
    assert np.all(np.abs(np.array(slopes) - 2) < 0.2), slopes


SURFACES = {"grey": xlsm.BareSurface(), "paper": xlsm.BareSurface(xlsm.PaperRadiation())}
BOTTOMS = {"fixed": xlsm.FixedTemperature(), "insulated": xlsm.ZeroFlux()}
#: Two stations of unlike soil, with the split of the turbulent flux known.
STATIONS = {
    "thermal_conductivity": np.array([0.5, 2.0]),
    "heat_capacity": np.array([3.0e6, 1.2e6]),
    "bowen_ratio": np.array([0.4, 3.0]),
    "initial_temperature": np.array([283.0, 295.0]),
    "emissivity": np.array([0.6, 0.97]),
}


def any_run(solver, surface, bottom):
    """Outputs of an arbitrary run at all nodes, with the model and its forcing."""
    grid = xlsm.UniformGrid(depth=0.5, nodes=26)
    model = xlsm.Model(grid, surface=SURFACES[surface], bottom=BOTTOMS[bottom], solver=solver)
    forcing = weather(49)
    return model, forcing, run(model, STATIONS, forcing, depths=grid.node_depths)


@pytest.mark.parametrize("bottom", BOTTOMS)
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("solver", ["modal", "tridiagonal", xlsm.Jacobi()], ids=SOLVER_NAMES)
def test_energy_closes_at_every_step(solver, surface, bottom):
    _, forcing, out = any_run(solver, surface, bottom)
    net = forcing["SWdown"][:, None] - out["SWup"] + forcing["LWdown"][:, None] - out["LWup"]
    np.testing.assert_allclose(net, out["Qh"] + out["Qle"] + out["Qg"], rtol=0, atol=1e-11)
    np.testing.assert_allclose(out["Qh"] + out["Qle"], out["Qturb"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(out["Qh"], STATIONS["bowen_ratio"] * out["Qle"], atol=1e-11)
    np.testing.assert_array_equal(out["SWup"], 0.2 * forcing["SWdown"][:, None] + 0 * out["SWup"])


@pytest.mark.parametrize("bottom", BOTTOMS)
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("solver", ["modal", "tridiagonal"])
def test_stored_heat_changes_by_what_flows_in(solver, surface, bottom):
    model, _, out = any_run(solver, surface, bottom)
    soil, spacing = out["SoilTemp"], model.grid.spacing
    # the surface node owns half a cell; so does an insulated bottom, while a fixed one has none
    own = np.ones(model.grid.nodes)
    own[0] = 0.5
    own[-1] = 0.0 if bottom == "fixed" else 0.5
    heat = STATIONS["heat_capacity"] * spacing * np.tensordot(own, soil, axes=(0, 1))
    leaving = 0.0
    if bottom == "fixed":
        leaving = STATIONS["thermal_conductivity"] * (soil[:, -2] - soil[:, -1]) / spacing
    flow = 3600 * (out["Qg"] - leaving)[1:]
    change = heat[-1] - heat[0]
    assert np.all(np.abs(change) > 1e5)
    np.testing.assert_allclose(np.sum(flow, axis=0), change, rtol=1e-9)
    # and step by step, against the heat that passes
    np.testing.assert_allclose(flow, np.diff(heat, axis=0), rtol=0, atol=1e-9 * np.abs(flow).sum())


@pytest.mark.parametrize("solver", ["modal", "tridiagonal"])
def test_constant_forcing_ends_in_a_steady_state(solver):
    forcing = {name: np.full(201, v[12]) for name, v in weather(49).items()}
    model = xlsm.Model(solver=solver)
    depths = np.linspace(0, 1, 21)
    out = run(model, LAND | {"deep_temperature": 284.0}, forcing, dt=1e6, depths=depths)
    surface, last = out["AvgSurfT"][-1], out["SoilTemp"][-1]
    assert surface - 284.0 > 5
    np.testing.assert_allclose(last, surface + (284.0 - surface) * depths, rtol=0, atol=1e-9)
    gradient = (surface - 284.0) / model.grid.depth
    assert out["Qg"][-1] == pytest.approx(LAND["thermal_conductivity"] * gradient, rel=1e-9)


def test_insulated_column_settles_where_nothing_flows():
    forcing = {name: np.full(201, v[12]) for name, v in weather(49).items()}
    out = run(xlsm.Model(bottom=xlsm.ZeroFlux()), LAND, forcing, dt=1e6, depths=[0.0, 0.5, 1.0])
    np.testing.assert_allclose(out["SoilTemp"][-1], out["AvgSurfT"][-1], rtol=0, atol=1e-9)
    assert out["Qg"][-1] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("bottom", BOTTOMS.values(), ids=BOTTOMS)
@pytest.mark.parametrize("solver", SOLVERS[:2], ids=SOLVER_NAMES[:2])
def test_units_do_not_matter(solver, bottom):
    minute, foot = 60.0, 0.3048

    def temperatures(time_unit, length_unit):
        """Times and depths counted in other units; watts per square metre stay what they are."""
        grid = xlsm.UniformGrid(depth=0.6 / length_unit, nodes=31)
        soil = LAND | {
            "thermal_conductivity": LAND["thermal_conductivity"] / length_unit,
            "heat_capacity": LAND["heat_capacity"] * length_unit / time_unit,
        }
        depths = np.array([0.0, 0.013, 0.6]) / length_unit
        model = xlsm.Model(grid, solver=solver, bottom=bottom)
        return run(model, soil, weather(25), 3600 / time_unit, depths)["SoilTemp"]

    usual = temperatures(1.0, 1.0)
    assert np.ptp(usual[:, 0]) > 5
    for other in (temperatures(minute, 1.0), temperatures(1.0, foot), temperatures(minute, foot)):
        np.testing.assert_allclose(other, usual, rtol=1e-12)
