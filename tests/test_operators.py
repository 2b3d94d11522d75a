"""What instruments see: fluxes through a depth, means over a step, depths that are uncertain."""

import dataclasses
import functools
import math

import jax
import numpy as np
import pytest
from cases import run, weather
from derivatives import agree, numbers

import xlsm
from xlsm.inference.objective import watch
from xlsm.inference.operators import ENERGY_CLOSURE, OFFSET, Operator
from xlsm.inference.problem import Data, Problem
from xlsm.model.conduction import heat_flux, nodes_about
from xlsm.model.profile import between, nodes_near, support

LAYERS = {
    "thermal_conductivity_1": 0.4,
    "heat_capacity_1": 1.3e6,
    "thermal_conductivity_2": 1.8,
    "heat_capacity_2": 2.9e6,
}
UNIFORM = {"thermal_conductivity": 0.9, "heat_capacity": 2.1e6}
EVEN = xlsm.UniformGrid(0.5, 26)
COLUMNS = {
    "uniform": (xlsm.Model(EVEN), UNIFORM),
    "layered": (xlsm.Model(EVEN, soil=xlsm.LayeredSoil((0.07, math.inf))), LAYERS),
    "stretched": (xlsm.Model(xlsm.StretchedGrid(0.5, 16, 0.01)), UNIFORM),
    "insulated": (xlsm.Model(EVEN, bottom=xlsm.ZeroFlux()), UNIFORM),
    "skin": (xlsm.Model(EVEN, surface=xlsm.SkinLayer(), solver="tridiagonal"), UNIFORM),
}


def flux_through(model, known, depth, out):
    """Flux through a depth at all times, from temperatures of all nodes."""
    used = {n: known.get(n, model.parameters[n].default) for n in model.used(known)}
    about = list(nodes_about(model.layout, depth))
    with jax.enable_x64(True):
        flux = heat_flux(
            model,
            {n: np.float64(v) for n, v in used.items()},
            {},
            depth,
            out["SoilTemp"][:, about].T,
            out["Qg"],
        )
    return np.asarray(flux)


@pytest.mark.parametrize("name", COLUMNS)
def test_what_flows_in_is_stored_or_flows_on(name):
    """The flux at any depth is that at the surface less the change of the heat above it."""
    model, known = COLUMNS[name]
    grid, forcing = model.layout, weather(25)
    out = run(model, known, forcing, depths=grid.node_depths)
    capacities = np.asarray(model.soil.capacities(grid, known, {}))
    edges = grid.edges
    deepest = edges[-2] if model.bottom.fixed else edges[-1]
    places = [*edges[1:-1], 0.0, 0.003, 0.05, 0.0723, 0.31, deepest]
    for depth in places:
        # the share of each cell that lies above; its heat is spread evenly
        above = np.clip((depth - edges[:-1]) / np.diff(edges), 0, 1)
        heat = out["SoilTemp"] @ (above * capacities)
        flux = flux_through(model, known, depth, out)
        expected = out["Qg"][1:] - np.diff(heat) / 3600
        np.testing.assert_allclose(flux[1:], expected, rtol=0, atol=1e-7, err_msg=f"{depth} m")
    at_bottom = flux_through(model, known, grid.depth, out)
    last = flux_through(model, known, edges[-2], out)
    np.testing.assert_allclose(at_bottom, last if model.bottom.fixed else 0.0, atol=1e-9)


def wave(depth, time, amplitude=8.0, period=86400.0):
    """Temperature and flux of a wave in a half-space (Carslaw & Jaeger 1959, sec. 2.6)."""
    conductivity, capacity = UNIFORM.values()
    omega = 2 * math.pi / period
    damping = math.sqrt(2 * conductivity / capacity / omega)
    phase, size = omega * time - depth / damping, amplitude * math.exp(-depth / damping)
    flux = conductivity * size / damping * math.sqrt(2) * np.sin(phase + math.pi / 4)
    return 290 + size * np.sin(phase), flux


def test_flux_of_a_wave():
    """Of second order in the distance of the nodes, wherever the plate lies between them."""
    steps, errors = 300, []
    time = np.arange(steps + 1) * 86400.0 / steps
    for nodes in (31, 61):
        depths = tuple(np.linspace(0, 1.2, nodes)[:-1].tolist())
        model = xlsm.Model(
            xlsm.UniformGrid(1.2, nodes),
            surface=xlsm.ObservedSurface("AvgSurfT"),
            stepping=xlsm.SDIRK2(),
            initial=xlsm.ProfileInitial(depths),
        )
        names = [spec.name for spec in model.initial.parameters]
        known = dict(zip(names, (wave(z, 0.0)[0] for z in depths), strict=True))
        known |= UNIFORM | {"deep_temperature": 290.0}
        given = {"AvgSurfT": wave(0, time)[0]}
        out = run(model, known, given, 86400 / steps, model.layout.node_depths)
        worst = 0.0
        for depth in np.linspace(0.01, 0.2, 20):
            flux = flux_through(model, known, depth, out)
            worst = max(worst, np.abs(flux - wave(depth, time)[1])[steps // 4 :].max())
        errors.append(worst)
    assert errors[1] < 2.0  # of 100 W m-2
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.3)


# ---------------------------------------------------------------------------- uncertain depths


def test_temperature_between_nodes_is_smooth():
    """Exact for parabolas on any grid, with a slope that does not jump at a node."""
    grid = xlsm.StretchedGrid(1.0, 12, 0.02)
    nodes = grid.node_depths

    @jax.jit
    def at(depths, values):
        first = nodes_near(grid, depths)
        window = jax.numpy.stack([values[first + k] for k in range(support(grid))])
        return between(grid, first, window, depths)

    with jax.enable_x64(True):
        depths = np.array([0.0, 0.011, *nodes[1:4], 0.33, 0.97, 1.0])
        parabola = 3 - 2 * nodes + 5 * nodes**2
        np.testing.assert_allclose(at(depths, parabola), 3 - 2 * depths + 5 * depths**2, rtol=1e-12)
        values = jax.numpy.sin(9 * nodes)
        np.testing.assert_allclose(at(nodes, values), values, rtol=1e-12)
        slope = jax.jit(jax.vmap(jax.grad(lambda z: at(z[None], values)[0])))
        left, right = (slope(nodes[1:-1] + shift) for shift in (-1e-9, 1e-9))
        np.testing.assert_allclose(left, right, atol=1e-5)


# ---------------------------------------------------------------------------- means


def smooth(time):
    """Weather without kinks, at any times (s)."""
    hour = time / 3600
    return {
        "SWdown": 350 + 300 * np.sin((hour - 9) * np.pi / 12),
        "LWdown": 320 + 20 * np.sin(hour / 3),
        "Tair": 288 + 6 * np.sin((hour - 11) * np.pi / 12),
    }


OBSERVED = ("SoilTemp", "LWup", "Qg", "Qturb")


@functools.partial(jax.jit, static_argnums=0)
def predict(problem, data):
    """Model counterpart of the observations, (time, channels)."""

    def keep(total, residuals):
        index, kept = total
        return index + 1, kept.at[index].set(jax.numpy.concatenate(residuals.values))

    times = len(data.forcing["Tair"])
    channels = sum(values.shape[1] for values in data.observations.values())
    return watch(problem, data, jax.numpy.zeros(1), keep, (0, jax.numpy.zeros((times, channels))))[
        1
    ]


def predictions(model, forcing, dt, mean):
    """What the instruments see of a run, all channels beside each other, (time, channels)."""
    free = ("albedo",)
    times = len(forcing["Tair"])
    specs = model.parameters
    names = [name for name in model.used(free) if name not in free]
    data = Data(
        forcing=forcing,
        start={},
        fixed={name: np.float64(specs[name].default) for name in names},
        observations={name: np.zeros((times, 1)) for name in OBSERVED},
        errors={name: np.float64(1.0) for name in OBSERVED},
        dt=np.float64(dt),
        depths=np.array([0.03]),
        lower=np.array([0.0]),
        upper=np.array([1.0]),
        log_scale=np.array([False]),
    )
    seen = tuple(Operator(mean=mean, depth=0.04 if n == "Qg" else None) for n in OBSERVED)
    with jax.enable_x64(True):
        return np.asarray(predict(Problem(model, free, OBSERVED, operators=seen), data))


def test_means_are_of_second_order():
    """Against the means of a fine run; values at the ends instead are of first order."""
    grid = xlsm.UniformGrid(0.5, 11)
    model = xlsm.Model(grid, stepping=xlsm.SDIRK2())
    hours, fine = 12, 225.0
    time = np.arange(int(hours * 3600 / fine) + 1) * fine
    small = predictions(model, smooth(time), fine, True)[1:]
    errors = {True: [], False: []}
    for step in (3600.0, 1800.0):
        exact = small.reshape(-1, int(step / fine), small.shape[1]).mean(axis=1)
        coarse = smooth(np.arange(int(hours * 3600 / step) + 1) * step)
        for mean in errors:
            wrong = predictions(model, coarse, step, mean)[1:] - exact
            # the start is no solution yet
            errors[mean].append(np.abs(wrong[-int(6 * 3600 / step) :]).max(axis=0))
    order = {mean: np.log2(one[0] / one[1]) for mean, one in errors.items()}
    assert (abs(order[True] - 2) < 0.4).all(), order[True]
    assert (abs(order[False] - 1) < 0.3).all(), order[False]
    assert (errors[True][1] < 0.15 * errors[False][1]).all()


@pytest.mark.slow
def test_means_under_forcing_that_is_means():
    """A step that begins under its own forcing: against fine steps under the same."""
    grid, parts, step = xlsm.UniformGrid(0.5, 11), 16, 3600.0
    surface = xlsm.SkinLayer()
    model = xlsm.Model(grid, surface=surface, stepping=xlsm.SDIRK2(forcing_is="mean"))
    forcing = smooth(np.arange(13) * step - step / 2)
    often = {n: np.concatenate([v[:1], np.repeat(v[1:], parts)]) for n, v in forcing.items()}
    small = predictions(model, often, step / parts, True)[1:]
    exact = small.reshape(-1, parts, small.shape[1]).mean(axis=1)[4:]
    mean, instant = (predictions(model, forcing, step, m)[5:] - exact for m in (True, False))
    assert (np.abs(mean).max(axis=0) < 0.25 * np.abs(instant).max(axis=0)).all()


# ---------------------------------------------------------------------------- derivatives

ERRORS = {"SoilTemp": 0.5, "Qg": 10.0, "Qh": 20.0, "Qle": 20.0, "LWup": 5.0}
FREE = ("albedo", "thermal_conductivity", "bowen_ratio")
NUISANCES = (
    ENERGY_CLOSURE,
    dataclasses.replace(OFFSET, name="sensor_depth_offset_2", bounds=(-0.03, 0.04)),
)
SEEN = (
    Operator(mean=True, offsets=("", "sensor_depth_offset_2")),
    Operator(mean=True, depth=0.033),
    Operator(mean=True, factor="energy_closure"),
    Operator(factor="energy_closure"),
    Operator(mean=True),
)
SMALL = xlsm.UniformGrid(0.4, 11)
MODELS = {
    "modal": xlsm.Model(SMALL),
    "forcing as means": xlsm.Model(
        xlsm.StretchedGrid(0.4, 9, 0.02),
        surface=xlsm.SkinLayer(),
        stepping=xlsm.BackwardEuler(forcing_is="mean"),
    ),
    "freezing": xlsm.Model(SMALL, soil=xlsm.FreezingSoil()),
}


@pytest.mark.parametrize(
    ("name", "in_vmap"),
    [
        ("modal", False),
        *(pytest.param(name, True, marks=pytest.mark.slow) for name in MODELS),
    ],
)
def test_derivatives_by_every_route(name, in_vmap, x64):
    model, steps = MODELS[name], 8
    forcing = {n: f[6:] for n, f in weather(6 + steps).items()}
    data = numbers(model, FREE, forcing, depths=[0.02, 0.07], errors=ERRORS)
    specs = [*(model.parameters[n] for n in FREE), *NUISANCES]
    data = data._replace(
        lower=np.array([spec.bounds[0] for spec in specs]),
        upper=np.array([spec.bounds[1] for spec in specs]),
        log_scale=np.array([spec.scale == "log" for spec in specs]),
    )
    free = (*FREE, *(spec.name for spec in NUISANCES))
    agree(model, free, data, in_vmap=in_vmap, operators=SEEN)
