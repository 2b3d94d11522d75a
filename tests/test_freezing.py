"""Freezing soil: fronts that are known exactly, heat that is conserved, steps that converge."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
import twins
import xarray as xr
from cases import run
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import erf, erfc

import xlsm
from xlsm.errors import ModelError
from xlsm.inference.objective import cost, normal_equations
from xlsm.inference.problem import Data, Problem
from xlsm.model import column
from xlsm.model.freezing import FreezingSoil
from xlsm.model.parameters import to_unbounded
from xlsm.model.piece import Facts
from xlsm.model.solvers import Enthalpy, enthalpy
from xlsm.model.solvers.base import State

T_F = 273.15
#: Heat that melts the ice in a cubic metre of it, had it the density of water (J m-3).
LATENT = 3.334e5 * 999.8
COLD = {"deep_temperature": 275.0, "freezable_water": 0.3, "freezing_width": 0.05}


def winter(times, step=3600.0):
    """Days that freeze by night and thaw by day, and a thaw after a week."""
    hour = np.arange(times) * step / 3600
    return {
        "SWdown": 150 * np.maximum(np.sin((hour - 6) * np.pi / 12), 0.0),
        "LWdown": 250 + 10 * np.sin(hour / 7),
        "Tair": 271 + 6 * np.sin(hour * np.pi / 12) - 3 * np.sin(hour * np.pi / 120),
        "Wind": 3 + 2 * np.sin(hour / 5),
    }


def liquid(temperature, width):
    """The freezing curve, written once more."""
    return np.where(temperature < T_F, np.exp(-(((temperature - T_F) / width) ** 2)), 1.0)


def content(model, temperatures, parameters):
    """Heat of each node (J m-2) above that of ice at 0 K, from temperatures (..., nodes, n)."""
    thickness = model.layout.thicknesses[:, None]
    wet = liquid(temperatures, parameters["freezing_width"]) * parameters["freezable_water"]
    return thickness * (parameters["heat_capacity"] * temperatures + LATENT * wet)


# --- the freezing half space ---

CAPACITY, CONDUCTIVITY, WATER = 2.0e6, 1.0, 0.3
#: Surface, and the soil at first: at the freezing point, and above it.
TOP, INITIAL = T_F - 10.0, np.array([T_F, T_F + 4.0])
DEPTH, DURATION = 0.8, 43200.0


def neumann(initial, depths):
    """Temperatures and depth of the front where water freezes at one temperature.

    Neumann's solution (Carslaw & Jaeger 1959, section 11.2) for phases of equal properties.
    """
    stefan = CAPACITY * (T_F - TOP) / (LATENT * WATER)
    ratio = (initial - T_F) / (T_F - TOP)

    def balance(x):
        return math.exp(-x * x) * (1 / erf(x) - ratio / erfc(x)) - x * math.sqrt(math.pi) / stefan

    root = brentq(balance, 1e-6, 3.0)
    reach = 2 * math.sqrt(CONDUCTIVITY / CAPACITY * DURATION)
    frozen = TOP + (T_F - TOP) * erf(depths / reach) / erf(root)
    thawed = initial - (initial - T_F) * erfc(depths / reach) / erfc(root)
    return np.where(depths < root * reach, frozen, thawed), root * reach


@functools.cache
def similar(initial, width):
    """Temperatures where water freezes over a width, as a function of depth / sqrt(time): shot."""
    end = 1.5 * DEPTH / math.sqrt(DURATION)

    def slopes(place, y):
        below = min(y[0] - T_F, 0.0) / width
        apparent = CAPACITY - LATENT * WATER * 2 * below / width * math.exp(-(below**2))
        return [y[1], -place / 2 * apparent / CONDUCTIVITY * y[1]]

    def shoot(slope):
        given = {"rtol": 1e-9, "atol": 1e-9, "method": "DOP853", "max_step": end / 50}
        return solve_ivp(slopes, (0, end), [TOP, slope], dense_output=True, **given)

    slope = brentq(lambda slope: shoot(slope).y[0, -1] - initial, 1e2, 1e5, xtol=1e-6)
    return shoot(slope).sol


def test_a_freezing_front_moves_as_neumann_found():
    smooth, sharp, fronts = [], [], []
    for level, (nodes, steps) in enumerate([(17, 24), (33, 96), (65, 384)]):
        grid = xlsm.UniformGrid(depth=DEPTH, nodes=nodes)
        top = xlsm.ObservedSurface("AvgSurfT")
        model = xlsm.Model(grid=grid, soil=FreezingSoil(), surface=top)
        width = 0.5**level  # as wide as the nodes are apart
        given = {
            "thermal_conductivity": CONDUCTIVITY,
            "heat_capacity": CAPACITY,
            "deep_temperature": np.tile(INITIAL, 2),
            "freezable_water": WATER,
            "freezing_width": np.repeat([4.0, width], 2),
        }
        forcing = {"AvgSurfT": np.full(steps + 1, TOP)}
        depths = grid.node_depths
        out = run(model, given, forcing, dt=DURATION / steps, depths=depths)["SoilTemp"][-1]
        places = depths / math.sqrt(DURATION)
        exact = np.stack([similar(initial, 4.0)(places)[0] for initial in INITIAL], axis=1)
        smooth.append(np.sqrt(np.mean((out[:, :2] - exact) ** 2, axis=0)))
        limit, front = zip(*(neumann(initial, depths) for initial in INITIAL), strict=True)
        sharp.append(np.sqrt(np.mean((out[:, 2:] - np.stack(limit, axis=1)) ** 2, axis=0)))
        frozen = grid.thicknesses @ (1 - liquid(out[:, 2:], width))
        fronts.append(frozen - np.array(front))
    # second order in space and first in time, in steps of a fourth on a grid twice as fine, where
    # the freezing curve is wide enough for the coarsest grid
    orders = np.log2(np.array(smooth[:-1]) / smooth[1:])
    assert np.all(orders > 1.8), orders
    # Neumann's solution as grid and width go to nothing, at first order with the width
    orders = np.log2(np.array(sharp[0]) / sharp[-1]) / 2
    assert np.all(orders > 0.8), orders
    assert np.all(np.abs(fronts[-1]) < 0.02 * np.array(front)), fronts


# --- limits ---


def test_without_water_it_is_the_soil_within():
    grid = xlsm.StretchedGrid(depth=0.5, nodes=16, first=0.01)
    parts = {"grid": grid, "surface": xlsm.SkinLayer(), "turbulence": xlsm.WindExchange()}
    forcing = winter(72)
    depths = [0.0, 0.07, 0.3]
    plain = run(xlsm.Model(**parts), {"deep_temperature": np.full(2, 275.0)}, forcing, 3600, depths)
    freezing = xlsm.Model(soil=FreezingSoil(), **parts)
    given = COLD | {"freezable_water": np.array([0.0, 0.3])}
    out = run(freezing, given, forcing, 3600, depths)
    for name, expected in plain.items():
        dry = out[name][..., 0]
        np.testing.assert_allclose(dry, expected[..., 0], rtol=0, atol=1e-9, err_msg=name)
    assert np.abs(out["SoilTemp"][..., 1] - plain["SoilTemp"][..., 1]).max() > 1.0
    # water that never freezes is no other thing
    forcing["Tair"], forcing["LWdown"] = forcing["Tair"] + 25, forcing["LWdown"] + 80
    warm = {"deep_temperature": np.full(2, 285.0)}
    plain = run(xlsm.Model(**parts), warm, forcing, 3600, depths)
    out = run(freezing, given | warm, forcing, 3600, depths)
    assert out["SoilTemp"].min() > T_F
    for name, expected in plain.items():
        np.testing.assert_allclose(out[name], expected, rtol=0, atol=1e-9, err_msg=name)


def test_a_wet_slab_stays_at_zero_until_its_heat_is_gone():
    """A millimetre is as warm above as below, and loses a known flux at the freezing point."""
    grid = xlsm.UniformGrid(depth=0.001, nodes=3)
    model = xlsm.Model(grid=grid, soil=FreezingSoil(), bottom=xlsm.ZeroFlux())
    given = {
        "thermal_conductivity": 8.0,
        "initial_temperature": T_F + 1.0,
        "combined_transfer_coefficient": 10.0,
        "emissivity": 0.9,
        "freezing_width": 0.04,
        "freezable_water": np.array([0.0, 0.15, 0.3]),
    }
    air, sky, step = T_F - 10.0, 250.0, 2.0
    forcing = {"SWdown": np.zeros(400), "LWdown": np.full(400, sky), "Tair": np.full(400, air)}
    out = run(model, given, forcing, dt=step)["AvgSurfT"]
    loss = 10.0 * (T_F - air) + 0.9 * (5.670374419e-8 * T_F**4 - sky)
    curtain = step * np.sum((out < T_F) & (out > T_F - 0.1), axis=0)
    # within that range all but exp(-2.5^2) freezes
    expected = LATENT * given["freezable_water"] * 0.001 * (1 - math.exp(-(2.5**2))) / loss
    assert curtain[0] <= 2 * step
    np.testing.assert_allclose(curtain[1:], expected[1:], rtol=0.02)


# --- heat, and convergence ---


def storm(stations, times, seed=0):
    """Columns anywhere inside their bounds under weather that jumps about the freezing point."""
    random = np.random.default_rng(seed)
    specs = xlsm.Model(soil=FreezingSoil(), surface=xlsm.SkinLayer()).parameters
    wide = ("freezing_width", "thermal_conductivity", "heat_capacity", "skin_conductivity")
    given = {
        name: np.exp(random.uniform(*np.log(specs[name].bounds), stations))
        for name in (*wide, "combined_transfer_coefficient")
    }
    given["freezable_water"] = random.uniform(*specs["freezable_water"].bounds, stations)
    given["deep_temperature"] = random.uniform(262, 285, stations)
    given["initial_temperature"] = T_F + random.normal(0, 1, stations)
    forcing = {
        "SWdown": np.maximum(random.normal(100, 300, (times, stations)), 0),
        "LWdown": random.uniform(180, 350, (times, stations)),
        "Tair": random.normal(272, 8, (times, stations)),
    }
    return given, forcing


@pytest.mark.parametrize("bottom", [xlsm.FixedTemperature(), xlsm.ZeroFlux()], ids=["T", "flux"])
def test_heat_is_conserved_whatever_the_step(bottom):
    grid = xlsm.UniformGrid(depth=1.0, nodes=31)
    model = xlsm.Model(grid=grid, soil=FreezingSoil(), surface=xlsm.SkinLayer(), bottom=bottom)
    given, forcing = storm(200, 13)
    given = {name: value for name, value in given.items() if name in model.parameters}
    for step in (60.0, 3600.0, 86400.0, 30 * 86400.0):
        out = run(model, given, forcing, step, grid.node_depths)
        soil = out["SoilTemp"]
        assert np.all(np.isfinite(soil))
        change = np.diff(content(model, soil, given), axis=0) / step
        gained, through = change.sum(axis=1), 0.0
        if bottom.fixed:
            gained = change[:, :-1].sum(axis=1)
            spacing = grid.spacing
            through = given["thermal_conductivity"] / spacing * (soil[1:, -2] - soil[1:, -1])
        # to the round-off of temperatures of 273 K, in what a kelvin more stores and conducts
        kelvin = (content(model, np.full(31, T_F)[:, None], given) / step).sum(axis=0) / T_F
        kelvin = kelvin + LATENT * given["freezable_water"] / given["freezing_width"] / step
        kelvin = kelvin + given["thermal_conductivity"] / grid.spacing
        error = np.abs(gained - (out["Qg"][1:] - through)) / kelvin
        assert error.max() < 1e-10, step
    # the last steps froze and thawed almost every column
    assert np.ptp(liquid(soil, given["freezing_width"]), axis=0).max(axis=0).mean() > 0.9


def test_hard_steps_need_the_nested_method(monkeypatch):
    """Without it some of the steps above have no end, and no number."""
    monkeypatch.setattr(enthalpy, "LARGEST_COUNT", enthalpy.PATIENCE)
    grid = xlsm.UniformGrid(depth=1.0, nodes=31)
    # the model of the test above, but not yet compiled
    top = xlsm.SkinLayer(sources=("Qanth",))
    model = xlsm.Model(grid=grid, soil=FreezingSoil(), surface=top)
    given, forcing = storm(200, 13)
    given = {name: value for name, value in given.items() if name in model.parameters}
    out = run(model, given, forcing | {"Qanth": np.zeros(13)}, 30 * 86400.0)["SoilTemp"]
    lost = np.isnan(out[-1, 0])
    assert 0 < lost.sum() < 50
    gone = np.isnan(out[:, 0, lost]).astype(int)
    assert np.all(np.diff(gone, axis=0) >= 0)  # once lost, lost for good


@pytest.mark.parametrize("spoilt", ["Tair", "freezable_water", "freezing_width"])
def test_a_hard_or_spoilt_station_leaves_the_others_bit_for_bit(spoilt):
    grid = xlsm.UniformGrid(depth=0.4, nodes=16)
    model = xlsm.Model(grid=grid, soil=FreezingSoil())
    random = np.random.default_rng(0)
    given = COLD | {
        "freezable_water": random.uniform(0.1, 0.4, 8),
        "freezing_width": random.uniform(0.1, 1.0, 8),
    }
    forcing = {name: series[:, None] + np.zeros(8) for name, series in winter(13).items()}
    clean = run(model, given, forcing, 6 * 3600.0)
    if spoilt == "freezing_width":
        given[spoilt][2] = 0.01
        given["freezable_water"][2] = 0.9
    else:
        (given if spoilt in given else forcing)[spoilt][..., 2] = np.nan
    spoiled = run(model, given, forcing, 6 * 3600.0)
    for name, values in clean.items():
        others = np.arange(8) != 2
        assert np.all(np.isfinite(values))
        np.testing.assert_array_equal(spoiled[name][..., others], values[..., others])
        assert np.any(spoiled[name][..., 2] != values[..., 2]) or name == "SWup"


# --- derivatives ---

FREE = (
    "freezable_water",
    "freezing_width",
    "thermal_conductivity",
    "heat_capacity",
    "combined_transfer_coefficient",
    "initial_temperature",
)
ERRORS = {"SoilTemp": 0.1, "LWup": 5.0, "Qg": 10.0}
COUNT, TIMES = 3, 13
#: Axis of the stations in each field of Data.
STATIONS = Data(-1, -1, -1, -1, None, None, None, None, None, None)


def total(what, data, x):
    values = cost(what, data, x)
    return jnp.sum(values), values


forward = quick.jit(normal_equations, static_argnums=0)
reverse = quick.jit(jax.value_and_grad(total, argnums=2, has_aux=True), static_argnums=0)
# a column that is shallow and coarse: what takes time is to compile
MODEL = xlsm.Model(
    grid=xlsm.UniformGrid(depth=0.2, nodes=6), soil=FreezingSoil(), surface=xlsm.SkinLayer()
)
PROBLEM = Problem(MODEL, FREE, tuple(ERRORS))


def numbers(**forcing):
    """Numbers of COUNT stations, with observations missing."""
    random = np.random.default_rng(0)
    series = {
        name: values[6:, None] * random.uniform(0.99, 1.01, COUNT)
        for name, values in winter(6 + TIMES).items()
    }
    series |= {name: np.full((TIMES, COUNT), value) for name, value in forcing.items()}
    observations = {
        "SoilTemp": random.uniform(270, 276, (TIMES, 2, COUNT)),
        "LWup": random.uniform(280, 330, (TIMES, 1, COUNT)),
        "Qg": random.uniform(-50, 50, (TIMES, 1, COUNT)),
    }
    observations["SoilTemp"][4, 0, 1] = np.nan
    specs = [MODEL.parameters[name] for name in FREE]
    others = {name for name in MODEL.used(FREE) if name not in FREE}
    fixed = {name: np.full(COUNT, MODEL.parameters[name].default) for name in others}
    return Data(
        forcing={name: series[name] for name in MODEL.forcing},
        start={},
        fixed=fixed | {"deep_temperature": np.array([272.0, T_F, 274.0])},
        observations=observations,
        errors={name: np.float64(error) for name, error in ERRORS.items()},
        dt=np.float64(3600.0),
        depths=np.array([0.0, 0.05]),
        lower=np.array([spec.bounds[0] for spec in specs]),
        upper=np.array([spec.bounds[1] for spec in specs]),
        log_scale=np.array([spec.scale == "log" for spec in specs]),
    )


def point(data, **values):
    """Unbounded parameters (P, COUNT) of physical ones."""
    usual = {name: MODEL.parameters[name].default for name in FREE} | values
    physical = np.stack([np.broadcast_to(usual[name], COUNT) for name in FREE])
    bounds = (data.lower[:, None], data.upper[:, None], data.log_scale[:, None])
    return np.asarray(to_unbounded(physical, *bounds))


def differences(function, x, step):
    slopes = []
    for i in range(len(x)):
        shift = np.zeros_like(x)
        shift[i] = step
        slopes.append((function(x + shift) - function(x - shift)) / (2 * step))
    return np.stack([np.asarray(slope) for slope in slopes])


def close(actual, expected, rtol):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert np.all(np.isfinite(actual))
    largest = np.abs(expected).max(axis=0)
    assert np.all(np.abs(actual - expected) <= rtol * largest), np.abs(actual - expected) / largest


@pytest.mark.slow  # every day the second derivatives hold reverse mode against differences
@pytest.mark.usefixtures("x64")
def test_forward_reverse_and_differences_agree():
    data = numbers()
    x = point(data, freezing_width=[1.0, 0.2, 0.05], initial_temperature=[274.0, 273.0, 272.5])
    ((_, misfit), gradient), normal = reverse(PROBLEM, data, x), forward(PROBLEM, data, x)
    close(normal.cost[None], misfit[None], 1e-12)
    close(normal.gradient, gradient, 1e-8)
    close(differences(lambda x: reverse(PROBLEM, data, x)[0][1], x, 1e-6), gradient, 1e-5)

    # inside vmap, where the model sees one station and no batch axis
    def along(data, x, direction):
        return jax.jvp(functools.partial(cost, PROBLEM, data), (x,), (direction,))[1]

    moved = Data(
        *(
            part if axis is None else jax.tree.map(lambda v: np.moveaxis(v, -1, 0), part)
            for axis, part in zip(STATIONS, data, strict=True)
        )
    )
    axes = Data(*(None if axis is None else 0 for axis in STATIONS))
    directions = np.random.default_rng(1).normal(size=x.shape)
    slopes = quick.jit(jax.vmap(along, in_axes=(axes, 0, 0)))(moved, x.T, directions.T)
    close(slopes[None], np.sum(gradient * directions, axis=0)[None], 1e-8)


HARD = {
    "at the freezing point": ({"initial_temperature": T_F}, {"Tair": T_F}),
    "narrow": ({"freezing_width": 0.01, "freezable_water": 0.9, "heat_capacity": 1e5}, {}),
    "dry": ({"freezable_water": 0.0}, {}),
    "wide": ({"freezing_width": 5.0, "thermal_conductivity": 8.0}, {}),
    "far below": ({"initial_temperature": 220.0, "freezing_width": 0.01}, {"Tair": 225.0}),
    "far above": ({"initial_temperature": 330.0, "freezing_width": 0.01}, {"Tair": 320.0}),
}


@pytest.mark.usefixtures("x64")
def test_derivatives_are_finite_where_the_curve_is_not_smooth():
    for name, (values, forcing) in HARD.items():
        data = numbers(**forcing)
        x = point(data, **values)
        normal, (_, gradient) = forward(PROBLEM, data, x), reverse(PROBLEM, data, x)
        for part in (*normal, gradient):
            assert np.all(np.isfinite(part)), name
        close(normal.gradient, gradient, 1e-7)


@pytest.mark.usefixtures("x64")
def test_second_derivatives():
    """A converged step is no more than its equations: all its derivatives are theirs."""
    forcing = {name: jnp.asarray(winter(2)[name][1]) for name in MODEL.forcing}
    names = {name: MODEL.parameters[name].default for name in MODEL.used(())}
    parameters = names | {"combined_transfer_coefficient": 60.0, "deep_temperature": 272.5}
    old = State(jnp.linspace(273.2, 272.5, 6), jnp.asarray(272.0), jnp.asarray(0.0))

    def below(water):
        given = {n: jnp.asarray(v) for n, v in parameters.items()} | {"freezable_water": water}
        dt = jnp.asarray(3600.0)
        return column.step(MODEL, given, None, old, forcing, forcing, dt).columns[1]

    twice = quick.jit(jax.value_and_grad(jax.grad(below)))
    slope, second = map(float, twice(0.2))
    change = float(twice(0.2001)[0] - twice(0.1999)[0])
    assert second == pytest.approx(change / 2e-4, rel=1e-5)
    assert abs(second) > 0.1 * abs(slope)


# --- through the accessor ---


def cold(hours=72):
    """Two cold stations, of which the first is given no clouds, as a Dataset."""
    ds = twins.forcing(2, hours)
    for name, offset in {"Tair": -19.0, "LWdown": -90.0}.items():
        ds[name] = (ds[name] + offset).assign_attrs(ds[name].attrs)
    ds["SWdown"] = (0.3 * ds.SWdown).assign_attrs(ds.SWdown.attrs)
    wind = 3 + np.sin(np.arange(hours) / 5)
    ds["Wind"] = ("time", wind, {"units": "m s-1"})
    return ds


def test_freezable_water_is_found_from_soil_that_crosses_zero():
    grid = xlsm.StretchedGrid(depth=1.0, nodes=16, first=0.02)
    parts = {"surface": xlsm.SkinLayer(), "turbulence": xlsm.WindExchange()}
    model = xlsm.Model(grid=grid, soil=FreezingSoil(), **parts)
    ds = cold()
    known = {"deep_temperature": 275.0, "freezing_width": 0.3}
    truth = known | {
        "freezable_water": xr.DataArray([0.12, 0.33], dims="station"),
        "thermal_conductivity": 1.4,
    }
    sim = ds.lsm.simulate(truth, model=model, depth=[0.02, 0.1])
    assert np.all((sim.SoilTemp.min(["time", "depth"]) < 272.5) & (sim.SoilTemp.max() > 273.5))
    ds["SoilTemp"] = sim.SoilTemp
    free = ["freezable_water", "thermal_conductivity"]
    est = ds.lsm.estimate(free, observed={"SoilTemp": 0.1}, fixed=known, model=model)
    for name in free:
        np.testing.assert_allclose(est[name], truth[name], rtol=1e-5, err_msg=name)
    assert np.all(est.freezable_water_std < 0.1)
    # an estimate carries its model: soil within soil, and the solver that goes with it
    again = ds.lsm.simulate(est, depth=[0.02, 0.1])
    np.testing.assert_allclose(again.SoilTemp, sim.SoilTemp, rtol=0, atol=1e-3)


@pytest.mark.usefixtures("x64")
def test_soil_within_may_change_with_time():
    within = xlsm.MoistSoil(depths=(0.05, 0.6))
    grid = xlsm.UniformGrid(depth=0.6, nodes=13)
    model = xlsm.Model(grid=grid, soil=FreezingSoil(within), bottom=xlsm.ZeroFlux())
    wetter = np.linspace(0.2, 0.3, 30)
    moisture = np.stack([wetter, wetter + 0.1], axis=1)
    forcing = winter(30) | {"SoilMoist": moisture}
    given = {"initial_temperature": 274.0, "freezable_water": np.array([0.0, 0.2])}
    out = run(model, given, forcing, 3600.0, grid.node_depths)
    given = {"initial_temperature": np.full(2, 274.0)}
    plain = run(dataclasses.replace(model, soil=within), given, forcing, 3600.0)
    dry = out["AvgSurfT"][:, 0]
    np.testing.assert_allclose(dry, plain["AvgSurfT"][:, 0], rtol=0, atol=1e-9)
    # heat is what the soil within takes up as it is at the end of a step, and latent heat
    soil = out["SoilTemp"][..., 1]
    names = {n: jnp.asarray(model.parameters[n].default) for n in within.used(frozenset(), model)}
    capacity = [within.capacities(grid, names, {"SoilMoist": now}) for now in moisture[1:]]
    latent = LATENT * 0.2 * grid.thicknesses * np.diff(liquid(soil, 0.5), axis=0)
    gained = np.sum(capacity * np.diff(soil, axis=0) + latent, axis=1)
    np.testing.assert_allclose(gained, 3600 * out["Qg"][1:, 1], rtol=0, atol=1e-4)
    assert np.ptp(liquid(soil, 0.5)) > 0.5


def test_what_is_refused():
    soil = FreezingSoil(xlsm.LayeredSoil((0.1, math.inf)))
    model = xlsm.Model(soil=soil)
    assert isinstance(model.stepper, Enthalpy)
    assert xlsm.Model.from_json(model.to_json()) == model
    for solver in ("tridiagonal", "modal", "jacobi"):
        with pytest.raises(ModelError, match='"auto"'):
            xlsm.Model(soil=soil, solver=solver)
    with pytest.raises(ModelError, match=r"FreezingSoil.*UniformSoil.*solver=\"auto\""):
        xlsm.Model(solver="enthalpy")
    with pytest.raises(ModelError, match=r"SDIRK2.*BackwardEuler\(substeps="):
        xlsm.Model(soil=soil, stepping=xlsm.SDIRK2())
    for wrong in (soil, xlsm.UniformGrid(), "moist"):
        with pytest.raises(ModelError, match="wraps a soil that does not freeze by itself"):
            FreezingSoil(wrong)
    with pytest.raises(ModelError, match="layer"):
        xlsm.Model(soil=FreezingSoil(xlsm.LayeredSoil((0.1, 0.2))))


def test_everything_else_is_asked_of_the_soil_within():
    within = xlsm.MoistSoil(depths=(0.05, 1.0))
    soil = FreezingSoil(within)
    assert soil.forcing == ("SoilMoist",)
    assert soil.depths == within.depths
    facts = Facts(3600.0, 86400.0, {"SoilMoist": (0.05, 0.3, 1.0)})
    assert FreezingSoil(xlsm.MoistSoil()).resolved(facts).depths == (0.05, 0.3, 1.0)
    names = xlsm.Model(soil=soil).used(["dry_density"])
    assert {"dry_density", "freezable_water", "freezing_width"} <= set(names)
    assert "porosity" not in names
    wet = {"SoilMoist": np.full((1, 2, 1), 0.6)}
    known = {"porosity": np.array([0.4])}
    assert soil.impossible(wet, known) == within.impossible(wet, known) != {}
