"""All routes to a derivative agree, for every solver, inside and outside vmap."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from cases import SOLVER_NAMES, SOLVERS, weather

import xlsm
from xlsm.inference.objective import cost, normal_equations
from xlsm.inference.problem import Data, Problem, parameters_of
from xlsm.model import column
from xlsm.model.parameters import to_physical, to_unbounded

pytestmark = pytest.mark.usefixtures("x64")
#: The iterative solver has the derivatives of a direct one; every day one test of it is enough.
EVERY_SOLVER = [
    pytest.param(solver, id=name, marks=[pytest.mark.slow] if name == "jacobi" else [])
    for solver, name in zip(SOLVERS, SOLVER_NAMES, strict=True)
]
every_solver = pytest.mark.parametrize("solver", EVERY_SOLVER)

FREE = (
    "albedo",
    "emissivity",
    "heat_transfer_coefficient",
    "bowen_ratio",
    "thermal_conductivity",
    "heat_capacity",
    "initial_temperature",
)
#: Standard errors of the observations; SoilTemp has two channels, a flux one.
ERRORS = {"SoilTemp": 0.1, "LWup": 5.0, "Qh": 20.0, "Qg": 10.0}
DEPTHS = np.array([0.0, 0.07])
#: Axis of the stations in each field of Data; none where all share the numbers.
STATIONS = Data(-1, -1, -1, -1, None, None, None, None, None, None)
COUNT, TIMES = 3, 7

physical_of, unbounded_of = jax.jit(to_physical), jax.jit(to_unbounded)
# one compilation for each problem and shape: that is where the time of these tests goes
misfit = quick.jit(cost, static_argnums=0)
forward = quick.jit(normal_equations, static_argnums=0)
reverse = quick.jit(
    jax.grad(lambda problem, data, x: jnp.sum(cost(problem, data, x)), argnums=2), static_argnums=0
)


def problem(solver, free=FREE, bottom=None):
    grid = xlsm.UniformGrid(depth=0.1, nodes=6)  # few nodes: unrolled loops compile slowly
    model = xlsm.Model(grid=grid, bottom=bottom or xlsm.FixedTemperature(), solver=solver)
    return Problem(model, free, tuple(ERRORS))


def data(free=FREE, dt=3600.0, dark=False, **fixed):
    """Numbers of COUNT unlike stations: a morning, with observations missing."""
    random = np.random.default_rng(0)
    specs = [xlsm.Model().parameters[name] for name in free]
    series = {
        n: f[6:, None] * random.uniform(0.9, 1.1, COUNT) for n, f in weather(6 + TIMES).items()
    }
    if dark:
        series["SWdown"][:] = 0.0
    observations = {name: random.uniform(-50, 50, (TIMES, 1, COUNT)) for name in ERRORS}
    observations["LWup"] += 400.0
    observations["SoilTemp"] = random.uniform(280, 300, (TIMES, 2, COUNT))
    observations["SoilTemp"][4, 0, 1] = np.nan
    observations["Qh"][:, :, 2] = np.nan
    values = {"deep_temperature": 287.0} | fixed
    return Data(
        forcing=series,
        start={},
        fixed={name: np.broadcast_to(value, COUNT).astype(float) for name, value in values.items()},
        observations=observations,
        errors={name: np.float64(error) for name, error in ERRORS.items()},
        dt=np.float64(dt),
        depths=DEPTHS,
        lower=np.array([spec.bounds[0] for spec in specs]),
        upper=np.array([spec.bounds[1] for spec in specs]),
        log_scale=np.array([spec.scale == "log" for spec in specs]),
    )


def points(free=FREE):
    return np.random.default_rng(1).uniform(-1, 1, (len(free), COUNT))


def differences(function, unbounded, step=1e-4):
    """Derivative along each parameter in turn, by central differences, shape (P, ...)."""
    slopes = []
    for i in range(len(unbounded)):
        shift = np.zeros_like(unbounded)
        shift[i] = step
        slopes.append((function(unbounded + shift) - function(unbounded - shift)) / (2 * step))
    return np.stack([np.asarray(slope) for slope in slopes])


def close(actual, expected, rtol):
    """Agreement relative to the largest component: the small ones carry its round-off."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert np.all(np.isfinite(actual))
    largest = np.abs(expected).max(axis=0)
    assert np.all(np.abs(actual - expected) <= rtol * largest), np.abs(actual - expected) / largest


def station(values, i):
    """One station of all of them, without the batch axis."""
    picked = [
        part if axis is None else jax.tree.map(lambda v: v[..., i], part)
        for axis, part in zip(STATIONS, values, strict=True)
    ]
    return Data(*picked)


def first_axis(values):
    """The same numbers with the stations on the first axis, and where that axis is."""
    moved = [
        part if axis is None else jax.tree.map(lambda v: np.moveaxis(v, -1, 0), part)
        for axis, part in zip(STATIONS, values, strict=True)
    ]
    return Data(*moved), Data(*(None if axis is None else 0 for axis in STATIONS))


@every_solver
def test_forward_reverse_and_differences_agree(solver):
    what, numbers, point = problem(solver), data(), points()
    gradient = reverse(what, numbers, point)
    normal = forward(what, numbers, point)
    close(normal.cost[None], misfit(what, numbers, point)[None], 1e-13)
    # the same derivative but for the order of its sums
    close(normal.gradient, gradient, 1e-10)
    # truncation, (1e-4)^2, and round-off, 1e-13 / 1e-4, of central differences
    close(differences(lambda x: misfit(what, numbers, x), point), gradient, 1e-6)

    # inside vmap, where the model sees one station and no batch axis
    one = jax.grad(functools.partial(cost, what), argnums=1)
    moved, axes = first_axis(numbers)
    close(quick.jit(jax.vmap(one, in_axes=(axes, 0)))(moved, point.T).T, gradient, 1e-10)


@every_solver
def test_normal_equations_are_those_of_the_plain_residuals(solver):
    what, numbers, point = problem(solver), data(), points()

    def residuals(unbounded, numbers):
        """What the objective adds up on the way, stored, from an ordinary run of the model."""
        parameters = parameters_of(what, numbers, unbounded)
        out = column.run(what.model, parameters, numbers.forcing, {}, numbers.dt, numbers.depths)
        parts = []
        for name, observed in numbers.observations.items():
            there = ~jnp.isnan(observed)
            difference = out[name].reshape(observed.shape) - jnp.nan_to_num(observed)
            parts.append((there * difference / ERRORS[name]).ravel())
        return jnp.concatenate(parts)

    def alone(numbers, unbounded):
        return residuals(unbounded, numbers), jax.jacfwd(residuals)(unbounded, numbers)

    inside = jax.vmap(alone, in_axes=(STATIONS, 1), out_axes=-1)
    residual, jacobian = quick.jit(inside)(numbers, point)
    assert jacobian.shape == (TIMES * 5, len(FREE), COUNT)
    normal = forward(what, numbers, point)
    np.testing.assert_allclose(normal.cost, jnp.sum(residual**2, axis=0) / 2, rtol=1e-12)
    close(normal.gradient, jnp.einsum("nps,ns->ps", jacobian, residual), 1e-10)
    matrix = jnp.einsum("nps,nqs->pqs", jacobian, jacobian)
    close(normal.matrix.reshape(-1, COUNT), matrix.reshape(-1, COUNT), 1e-10)


def test_a_single_station_needs_no_batch_axis():
    what, numbers, point = problem("modal"), data(), points()
    single = reverse(what, station(numbers, 1), point[:, 1])
    assert single.shape == (len(FREE),)
    close(single, reverse(what, numbers, point)[:, 1], 1e-10)


def test_second_derivatives():
    free = ("emissivity", "thermal_conductivity")  # both act through the surface's fourth power
    fixed = {"combined_transfer_coefficient": 15.0, "bowen_ratio": 1.0, "heat_capacity": 2e6}
    what, numbers = problem("modal", free), station(data(free, albedo=0.2, **fixed), 0)
    point = points(free)[:, 0]
    hessian = quick.jit(jax.hessian(functools.partial(cost, what, numbers)))(point)
    close(differences(lambda x: reverse(what, numbers, x), point), hessian, 1e-6)
    close(hessian, hessian.T, 1e-12)
    # it is not Gauss-Newton's J^T J: the second derivatives of the model are in it
    normal = forward(what, numbers, point)
    assert np.abs(hessian - normal.matrix).max() > 1e-3 * np.abs(hessian).max()


EXTREME = {
    "tiny r": ({"thermal_conductivity": 0.02, "heat_capacity": 6e6}, 120.0),
    "huge r": ({"thermal_conductivity": 8.0, "heat_capacity": 1e5}, 5400.0),
    "black": ({"emissivity": 1.0, "albedo": 0.0}, 3600.0),
    "dull": ({"emissivity": 0.5, "albedo": 1.0}, 3600.0),
    "still": ({"heat_transfer_coefficient": 0.05, "bowen_ratio": 100.0}, 3600.0),
    "stormy": ({"heat_transfer_coefficient": 1000.0, "bowen_ratio": 100.0}, 3600.0),
    "wet": ({"heat_transfer_coefficient": 10.0, "bowen_ratio": 0.01}, 3600.0),
}


#: Solver and bottom; every day one solver meets both.
ENDS = [
    pytest.param(
        solver,
        bottom,
        id=f"{name}-{end}",
        marks=[pytest.mark.slow] if name != "modal" and end == "flux" else [],
    )
    for solver, name in zip(SOLVERS, SOLVER_NAMES, strict=True)
    for bottom, end in ((xlsm.FixedTemperature(), "T"), (xlsm.ZeroFlux(), "flux"))
]


@pytest.mark.parametrize(("solver", "bottom"), ENDS)
def test_derivatives_are_finite_at_the_extremes(solver, bottom):
    what = problem(solver, bottom=bottom)
    specs = [what.model.parameters[name] for name in FREE]
    for name, (values, dt) in EXTREME.items():
        for dark in (False, True):
            numbers = data(dt=dt, dark=dark)
            guess = np.array([values.get(spec.name, spec.default) for spec in specs])[:, None]
            bounds = (numbers.lower[:, None], numbers.upper[:, None], numbers.log_scale[:, None])
            point = jnp.broadcast_to(to_unbounded(guess, *bounds), (len(FREE), COUNT))
            normal, gradient = forward(what, numbers, point), reverse(what, numbers, point)
            for part in (*normal, gradient):
                assert np.all(np.isfinite(part)), (name, dark)
            close(normal.gradient, gradient, 1e-8)


def test_extremes_span_the_decades_of_r():
    spacing = problem("modal").model.grid.spacing
    tiny, huge = (
        values["thermal_conductivity"] * dt / (values["heat_capacity"] * spacing**2)
        for values, dt in (EXTREME["tiny r"], EXTREME["huge r"])
    )
    assert tiny < 1.1e-3
    assert huge > 1e3


@pytest.mark.parametrize("spec", xlsm.Model().parameters.values(), ids=lambda spec: spec.name)
def test_bounds_are_kept_by_a_smooth_map(spec):
    bounds = (*spec.bounds, spec.scale == "log")
    line = jnp.linspace(-15, 15, 61)
    physical = physical_of(line, *bounds)
    assert np.all(np.diff(physical) > 0)
    assert np.all((physical > spec.bounds[0]) & (physical < spec.bounds[1]))
    # near a bound the distance to it has lost digits; in the middle nothing is lost
    np.testing.assert_allclose(unbounded_of(physical, *bounds), line, rtol=0, atol=1e-5)
    middle = np.abs(line) < 5
    back = unbounded_of(physical, *bounds)
    np.testing.assert_allclose(back[middle], line[middle], rtol=0, atol=1e-11)

    slope = jax.jit(jax.vmap(jax.grad(lambda x: physical_of(x, *bounds))))
    inverse = jax.jit(jax.vmap(jax.grad(lambda x: unbounded_of(x, *bounds))))
    np.testing.assert_allclose(slope(line[middle]) * inverse(physical[middle]), 1, rtol=1e-9)
    # on and beyond the bounds and far out on the line: a number, not NaN
    edges = jnp.array([spec.bounds[0], spec.default, spec.bounds[1]])
    far = jnp.array([-1e3, -40.0, 0.0, 40.0, 1e3])
    for values in (unbounded_of(edges, *bounds), inverse(edges), physical_of(far, *bounds)):
        assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(slope(far)))
