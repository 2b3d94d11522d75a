"""Layers: exact integrals, the wave through two of them, conserved heat, gradients, recovery."""

import itertools
import math

import jax
import numpy as np
import pytest
import xarray as xr
from cases import run, weather
from derivatives import agree, close, forward, numbers, reverse
from twins import forcing, truth

import xlsm
from xlsm.errors import ModelError, ParameterError
from xlsm.inference.problem import Problem
from xlsm.model.layers import LayeredSoil
from xlsm.model.parameters import to_unbounded
from xlsm.model.soil import UniformSoil

AIR = {"combined_transfer_coefficient": 25.0, "deep_temperature": 287.0}
#: Two unlike stations of two layers, organic over mineral, and of one.
LAYERS = {
    "thermal_conductivity_1": np.array([0.3, 1.1]),
    "heat_capacity_1": np.array([3.2e6, 2.0e6]),
    "thermal_conductivity_2": np.array([1.8, 1.1]),
    "heat_capacity_2": np.array([1.9e6, 2.0e6]),
}
GRIDS = {
    "uniform": xlsm.UniformGrid(0.6, 21),
    "stretched": xlsm.StretchedGrid(0.6, 21, first=0.01),
    "buried": xlsm.UniformGrid(0.6, 21, top=0.07),
}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


@every_grid
def test_layers_alike_are_a_uniform_soil(grid):
    like = np.array([0.3, 1.1]), np.array([3.2e6, 2.0e6])
    one = dict(zip(("thermal_conductivity", "heat_capacity"), like, strict=True))
    soil = LayeredSoil((0.1, 0.033, math.inf))
    many = {f"{name}_{i}": value for name, value in one.items() for i in (1, 2, 3)}
    with jax.enable_x64(True):
        for part in ("capacities", "conductances"):
            actual = getattr(soil, part)(grid, many, {})
            expected = getattr(UniformSoil(), part)(grid, one, {})
            np.testing.assert_allclose(actual, expected, rtol=1e-13)


def test_a_run_over_layers_alike_is_that_over_a_uniform_soil():
    grid = GRIDS["stretched"]
    one = {name: LAYERS[f"{name}_1"] for name in ("thermal_conductivity", "heat_capacity")}
    many = {f"{name}_{i}": value for name, value in one.items() for i in (1, 2)}
    options = {"forcing": weather(49), "depths": grid.node_depths}
    layered = run(xlsm.Model(grid, LayeredSoil((0.1, math.inf))), AIR | many, **options)
    uniform = run(xlsm.Model(grid, solver="tridiagonal"), AIR | one, **options)
    for name, values in uniform.items():
        np.testing.assert_allclose(layered[name], values, rtol=1e-11, atol=1e-10)


@every_grid
def test_layers_are_integrated_exactly(grid):
    thicknesses = (0.0931, 0.0119, 0.2, math.inf)  # the second thinner than a cell
    soil = LayeredSoil(thicknesses)
    conductivity, capacity = np.array([0.2, 5.0, 1.0, 2.0]), np.array([4e6, 1e6, 2e6, 3e6])
    parameters = {f"thermal_conductivity_{i + 1}": v for i, v in enumerate(conductivity)}
    parameters |= {f"heat_capacity_{i + 1}": v for i, v in enumerate(capacity)}

    def integral(values, lower, upper):
        """By a fine sum: the definition, without a thought for overlaps."""
        fine = np.linspace(lower, upper, 20001)
        middle = (fine[1:] + fine[:-1]) / 2
        layer = np.searchsorted(np.cumsum(thicknesses), middle)
        return np.mean(values[layer]) * (upper - lower)

    edges, nodes = grid.edges, grid.node_depths
    heat = [integral(capacity, a, b) for a, b in itertools.pairwise(edges)]
    resistance = [integral(1 / conductivity, a, b) for a, b in itertools.pairwise(nodes)]
    with jax.enable_x64(True):
        np.testing.assert_allclose(soil.capacities(grid, parameters, {}), heat, rtol=2e-4)
        conductances = soil.conductances(grid, parameters, {})
        np.testing.assert_allclose(1 / conductances, resistance, rtol=2e-3)
        # nothing of the column is lost between the nodes
        whole = integral(1 / conductivity, grid.top, grid.depth)
        np.testing.assert_allclose(np.sum(1 / conductances), whole, rtol=2e-4)


PERIOD, STEPS, INTERFACE, SWING = 86400.0, 48, 0.06, 8.0
OMEGA = 2 * np.pi / PERIOD
UPPER, LOWER = (0.4, 3.0e6), (2.0, 1.6e6)


def two_layer_wave(rate, depths):
    """Amplitude at some depths (m), and flux into the surface, of T ~ exp(rate t), 1 at the top.

    ``a exp(-k1 z) + b exp(k1 z)`` over ``c exp(-k2 z)`` with ``k = sqrt(rate C / lambda)``:
    temperature and flux are continuous, nothing comes from below.
    """
    k1, k2 = (np.sqrt(rate * c / k) for k, c in (UPPER, LOWER))
    ratio = UPPER[0] * k1 / (LOWER[0] * k2)
    # a e- + b e+ = c e2,  ratio (a e- - b e+) = c e2,  a + b = 1
    reflected = (ratio - 1) / (ratio + 1) * np.exp(-2 * k1 * INTERFACE)
    a = 1 / (1 + reflected)
    b = 1 - a
    c = a * np.exp(-k1 * INTERFACE) + b * np.exp(k1 * INTERFACE)
    above = a * np.exp(-k1 * depths) + b * np.exp(k1 * np.minimum(depths, INTERFACE))
    wave = np.where(depths <= INTERFACE, above, c * np.exp(-k2 * (depths - INTERFACE)))
    return wave, UPPER[0] * k1 * (a - b)


def wave_error(cells):
    """Largest errors of temperature (K) and flux (W m-2) with `cells` in the upper layer.

    The truth is discrete in time as the model is: backward Euler turns i omega into
    (1 - exp(-i omega dt)) / dt.
    """
    spacing = INTERFACE / cells
    count = round(1.8 / spacing)
    grid = xlsm.UniformGrid(count * spacing, count + 1)
    dt = PERIOD / STEPS
    amplitude, admittance = two_layer_wave((1 - np.exp(-1j * OMEGA * dt)) / dt, grid.node_depths)
    time = np.arange(STEPS + 1) * dt
    swing = SWING * np.exp(1j * OMEGA * time)
    true = 290.0 + (swing[:, None] * amplitude).imag
    model = xlsm.Model(
        grid,
        soil=LayeredSoil((INTERFACE, math.inf)),
        surface=xlsm.ObservedSurface("AvgSurfT"),
        initial=xlsm.ObservedInitial(),
    )
    parameters = {"deep_temperature": 290.0}
    for i, (conductivity, capacity) in enumerate((UPPER, LOWER), start=1):
        parameters |= {f"thermal_conductivity_{i}": conductivity, f"heat_capacity_{i}": capacity}
    start = {"profile": true[0], "share": np.zeros(grid.nodes)}
    out = run(model, parameters, {"AvgSurfT": true[:, 0]}, dt, depths=grid.node_depths, start=start)
    np.testing.assert_allclose(out["SoilTemp"][:, 0], true[:, 0], rtol=1e-14)
    flux = (admittance * swing).imag
    return np.abs(out["SoilTemp"] - true).max(), np.abs(out["Qg"] - flux)[1:].max()


@pytest.mark.parametrize("offset", [0.0, 0.3], ids=["on a node", "between"])
def test_wave_through_two_layers_converges_to_second_order(offset):
    cells = np.array([2, 4, 8]) + offset
    errors = np.array([wave_error(n) for n in cells])
    slopes = np.polyfit(np.log(1 / cells), np.log(errors), 1)[0]
    assert np.all(np.abs(slopes - 2) < 0.12), (slopes, errors)
    assert errors[-1, 0] < 0.05


@pytest.mark.parametrize("bottom", [xlsm.FixedTemperature(), xlsm.ZeroFlux()], ids=["T", "flux"])
def test_stored_heat_changes_by_what_flows_in(bottom):
    grid = GRIDS["uniform"]
    model = xlsm.Model(grid, LayeredSoil((0.111, math.inf)), bottom=bottom)
    forcing = weather(49)
    out = run(model, AIR | LAYERS, forcing, depths=grid.node_depths)
    net = forcing["SWdown"][:, None] - out["SWup"] + forcing["LWdown"][:, None] - out["LWup"]
    np.testing.assert_allclose(net, out["Qturb"] + out["Qg"], rtol=0, atol=1e-11)
    with jax.enable_x64(True):
        capacity = np.array(model.soil.capacities(grid, LAYERS, {}))
        conductance = np.asarray(model.soil.conductances(grid, LAYERS, {}))
    soil, leaving = out["SoilTemp"], 0.0
    if bottom.fixed:  # the bottom node stores nothing
        capacity[-1] = 0.0
        leaving = conductance[-1] * (soil[:, -2] - soil[:, -1])
    flow = 3600 * (out["Qg"] - leaving)[1:]
    change = np.sum(capacity * np.diff(soil, axis=0), axis=1)
    assert np.abs(change).max() > 1e5
    np.testing.assert_allclose(flow, change, rtol=0, atol=1e-9 * np.abs(flow).sum())


def test_steady_flux_crosses_an_interface_between_nodes_exactly():
    steady = {name: np.full(151, values[12]) for name, values in weather(49).items()}
    grid = xlsm.UniformGrid(0.6, 7)
    layers = {name: value[0] for name, value in LAYERS.items()}
    model = xlsm.Model(grid, LayeredSoil((0.123, math.inf)))
    out = run(model, AIR | layers, steady, dt=1e6, depths=grid.node_depths)
    flux, last = out["Qg"][-1], out["SoilTemp"][-1]
    assert flux > 5
    above, below = np.minimum(grid.node_depths, 0.123), np.maximum(grid.node_depths - 0.123, 0)
    resistance = above / layers["thermal_conductivity_1"] + below / layers["thermal_conductivity_2"]
    np.testing.assert_allclose(last, last[0] - flux * resistance, rtol=0, atol=1e-9)


def test_diffusivity_may_stand_for_the_conductivity_of_a_layer():
    grid = GRIDS["buried"]
    soil = LayeredSoil((0.1, math.inf))
    other = {n: v for n, v in LAYERS.items() if n != "thermal_conductivity_2"}
    other["thermal_diffusivity_2"] = LAYERS["thermal_conductivity_2"] / LAYERS["heat_capacity_2"]
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            soil.conductances(grid, other, {}), soil.conductances(grid, LAYERS, {}), rtol=1e-14
        )
    used = soil.used(frozenset(other), None)
    assert used == (
        "thermal_conductivity_1",
        "heat_capacity_1",
        "thermal_diffusivity_2",
        "heat_capacity_2",
    )
    both = frozenset(["thermal_conductivity_2", "thermal_diffusivity_2"])
    with pytest.raises(ParameterError, match=r"conductivity_2 and .*diffusivity_2 are both given"):
        soil.used(both, None)


#: Conductivity and heat capacity, layer by layer, at their bounds.
EXTREMES = {"thin over thick": (0.02, 1e5, 8.0, 6e6), "thick over thin": (8.0, 6e6, 0.02, 1e5)}


@pytest.mark.slow  # every day layers are found again, for which the derivatives must be right
@pytest.mark.usefixtures("x64")
def test_all_routes_to_a_derivative_agree():
    free, errors = tuple(LAYERS), {"SoilTemp": 0.1, "LWup": 5.0, "Qg": 10.0}
    model = xlsm.Model(xlsm.UniformGrid(0.1, 6), LayeredSoil((0.03, math.inf)))
    series = {name: values[6:13] for name, values in weather(13).items()}
    data = numbers(model, free, series, depths=(0.0, 0.07), errors=errors)
    agree(model, free, data)
    problem = Problem(model, free, tuple(errors))
    for values in EXTREMES.values():
        bounds = (data.lower[:, None], data.upper[:, None], data.log_scale[:, None])
        point = np.asarray(to_unbounded(np.repeat(np.array(values)[:, None], 3, axis=1), *bounds))
        normal = forward(problem, data, point)
        assert np.all(np.isfinite(normal.matrix))
        close(normal.gradient, reverse(problem, data, point), 1e-9)


def test_layers_are_found_again():
    ds = forcing(2)
    grid, soil = xlsm.StretchedGrid(0.8, 21, first=0.01), LayeredSoil((0.08, math.inf))
    model = xlsm.Model(grid, soil)
    layers = {name: xr.DataArray(value, dims="station") for name, value in LAYERS.items()}
    known = {name: truth(2)[name] for name in ("albedo", "deep_temperature")}
    known["combined_transfer_coefficient"] = truth(2)["combined_transfer_coefficient"]
    ds["SoilTemp"] = ds.lsm.simulate(known | layers, model=model, depth=[0.02, 0.1, 0.3]).SoilTemp
    est = ds.lsm.estimate(list(layers), model=model, fixed=known)
    assert (est.status == xlsm.Status.converged).all()
    for name, value in layers.items():
        np.testing.assert_allclose(est[name], value, rtol=1e-6, err_msg=name)
    # the text in the attributes of the estimate, infinite thickness and all, is the model again
    assert xlsm.Model.from_json(est.attrs["model"]) == model
    again = ds.lsm.simulate(est, depth=[0.02, 0.1, 0.3])
    np.testing.assert_allclose(again.SoilTemp, ds.SoilTemp, rtol=0, atol=1e-5)


def test_layers_that_do_not_fill_the_column_are_refused():
    grid = xlsm.UniformGrid(0.5, 21)
    for thicknesses in ((0.2, 0.3), (0.1, 0.2, 0.2), (0.2, math.inf), (math.inf,), [0.2, 0.3]):
        assert xlsm.Model(grid, LayeredSoil(thicknesses)).soil.thicknesses == tuple(thicknesses)
    with pytest.raises(ModelError, match=r"end at 0\.4 m, but the column at 0\.5 m: make the last"):
        xlsm.Model(grid, LayeredSoil((0.2, 0.2)))
    with pytest.raises(ModelError, match=r"down to 0\.6 m, but the column ends at 0\.5 m: leave"):
        xlsm.Model(grid, LayeredSoil((0.3, 0.3)))
    with pytest.raises(ModelError, match=r"down to 0\.5 m and beyond, but the column ends at 0\.5"):
        xlsm.Model(grid, LayeredSoil((0.2, 0.3, math.inf)))
    buried = xlsm.UniformGrid(0.5, 21, top=0.1)
    with pytest.raises(ModelError, match=r"layer 1 .* ends at 0\.1 m, .*begins at 0\.1 m: give"):
        xlsm.Model(buried, LayeredSoil((0.1, math.inf)))
    for none in ((), (0.1, 0.0), (-0.1, math.inf), (math.inf, 0.1), (0.1, math.nan), ("a",), 0.5):
        with pytest.raises(ModelError, match="thicknesses of LayeredSoil must be positive"):
            LayeredSoil(none)


def test_a_grid_that_the_data_decide_is_checked_when_they_have():
    ds = forcing(hours=240)
    model = xlsm.Model("auto", LayeredSoil((0.1, 0.2)))
    with pytest.raises(ModelError, match=r"end at 0\.3 m, but the column at 1\.\d+ m"):
        ds.lsm.simulate(AIR, model=model)
