"""Where the nodes lie: exact ends, even growth, second order, and grids that the data decide."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cases import run, weather
from twins import FREE, truth, twin

import xlsm
from benchmarks.case import STEFAN_BOLTZMANN
from xlsm.errors import LSMWarning, MissingVariableError, ModelError
from xlsm.inputs import warn_if_shallow
from xlsm.model.data_grid import DAY, YEAR, damping_depth
from xlsm.model.piece import Facts

LAND = {"thermal_conductivity": 0.8, "heat_capacity": 2.2e6}


# ---------------------------------------------------------------------------- nodes

STRETCHED = [
    xlsm.StretchedGrid(),
    xlsm.StretchedGrid(depth=2.0, nodes=31, first=0.001),
    xlsm.StretchedGrid(depth=0.5, nodes=3, first=1e-6),
    xlsm.StretchedGrid(depth=10.0, nodes=2001, first=1e-3, top=0.07),
    xlsm.StretchedGrid(depth=0.3, nodes=7, first=0.05),
]


@pytest.mark.parametrize("grid", STRETCHED, ids=repr)
def test_a_stretched_grid_grows_evenly_from_its_first_distance_to_its_depth(grid):
    nodes = grid.node_depths
    assert nodes.shape == (grid.nodes,)
    assert nodes[0] == grid.top
    assert nodes[-1] == pytest.approx(grid.depth, rel=1e-15)
    distances = np.diff(nodes)
    assert distances[0] == pytest.approx(grid.first, rel=1e-12)
    np.testing.assert_allclose(distances[1:] / distances[:-1], grid.growth, rtol=1e-9)
    assert grid.growth >= 1


@pytest.mark.parametrize("grid", [*STRETCHED, xlsm.UniformGrid(0.6, 13, top=0.05)], ids=repr)
def test_every_node_owns_the_soil_half_way_to_its_neighbours(grid):
    nodes, owned = grid.node_depths, grid.thicknesses
    assert np.sum(owned) == pytest.approx(grid.depth - grid.top, rel=1e-12)
    np.testing.assert_allclose(owned[1:-1], (nodes[2:] - nodes[:-2]) / 2, rtol=1e-9)
    np.testing.assert_allclose(owned[[0, -1]], np.diff(nodes)[[0, -1]] / 2, rtol=1e-9)


def test_growth_of_one_is_the_uniform_grid():
    depths = np.linspace(0, 0.4, 9)
    grids = (xlsm.UniformGrid(0.4, 9), xlsm.StretchedGrid(0.4, 9, first=0.05))
    a, b = (
        run(xlsm.Model(grid, solver="tridiagonal"), LAND, weather(25), depths=depths)
        for grid in grids
    )
    assert np.ptp(a["SoilTemp"][:, 1]) > 1
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=1e-9, err_msg=name)


# ---------------------------------------------------------------------------- convergence

MEAN, AMPLITUDE, STEPS = 290.0, 8.0, 24
OMEGA = 2 * np.pi / DAY
DAMPING = damping_depth(LAND["thermal_conductivity"] / LAND["heat_capacity"], DAY)


def daily_wave(grid, depths):
    """Run a column whose surface should follow a daily sine; give the error (time, depth).

    The truth is discrete in time as backward Euler is, and continuous in depth. LWdown is what
    the balance needs for the sine and its ground flux.
    """
    dt = DAY / STEPS
    decay = np.sqrt(
        (1 - np.exp(-1j * OMEGA * dt)) / dt * LAND["heat_capacity"] / LAND["thermal_conductivity"]
    )
    time = np.arange(2 * STEPS + 1) * dt
    swing = AMPLITUDE * np.exp(1j * OMEGA * time)

    def truth(depth):
        return MEAN + (swing[:, None] * np.exp(-decay * np.asarray(depth))).imag

    surface, flux = truth([0.0])[:, 0], (LAND["thermal_conductivity"] * decay * swing).imag
    forcing = {"SWdown": 0 * time, "Tair": 288 + 0 * time}
    missing = flux + 25.0 * (surface - forcing["Tair"])
    forcing["LWdown"] = missing / 0.95 + STEFAN_BOLTZMANN * surface**4
    model = xlsm.Model(grid, initial=xlsm.ObservedInitial(depths=(0.0,)))
    given = {"emissivity": 0.95, "combined_transfer_coefficient": 25.0, "deep_temperature": MEAN}
    start = {"profile": truth(grid.node_depths)[0], "share": np.zeros(grid.nodes)}
    out = run(model, LAND | given, forcing, dt, depths, start)
    return out["SoilTemp"] - truth(depths)


def test_a_stretched_grid_converges_with_second_order():
    reach, stretch = 16 * DAMPING, 3.0  # the last distance is about e^3 times the first
    counts = np.array([20, 40, 80, 160])

    def grid(count):
        growth = np.exp(stretch / count)
        first = reach * (growth - 1) / (growth**count - 1)
        return xlsm.StretchedGrid(reach, count + 1, first)

    depths = grid(counts[0]).node_depths[:4]  # nodes of all of them
    errors = np.array([np.abs(daily_wave(grid(n), depths))[STEPS:].max(axis=0) for n in counts])
    slopes = [np.polyfit(np.log(1 / counts), np.log(error), 1)[0] for error in errors.T]
    assert np.all(np.abs(np.array(slopes) - 2) < 0.2), slopes


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": 0.1}, "at most the even one, 0.05 m for 11 nodes; got 0.1"),
        ({"first": 0.0}, "must be positive"),
        ({"first": float("nan")}, "must be positive"),
        ({"top": 0.5}, "between the surface and its depth, 0.5 m; got 0.5"),
        ({"top": -0.1}, "between the surface"),
        ({"nodes": 2, "first": 0.1}, "at least 3 nodes"),
        ({"depth": float("inf")}, "must be positive"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ModelError, match=re.escape(message)):
        xlsm.StretchedGrid(**{"depth": 0.5, "nodes": 11, "first": 0.01} | settings)


@pytest.mark.parametrize(
    ("grid", "settings"),
    [
        (xlsm.AutoGrid, {"depth": 3.0}),
        (xlsm.AutoGrid, {"nodes": 9}),
        (xlsm.SensorGrid, {"top": 0.1}),
    ],
)
def test_what_the_data_decide_cannot_be_given(grid, settings):
    with pytest.raises(ModelError, match=f"{next(iter(settings))} from the data.*leave it out"):
        grid(**settings)


def test_a_stretched_grid_has_no_cosines():
    with pytest.raises(ModelError, match='solver="tridiagonal"'):
        xlsm.Model(xlsm.StretchedGrid(), solver="modal")


# ---------------------------------------------------------------------------- from the data


def damped(days):
    """Damping depth (m) of a wave in a soil of which nothing is known, 5e-7 m2 s-1."""
    return np.sqrt(2 * 5e-7 / (2 * np.pi / (86400.0 * days)))


@pytest.mark.parametrize(
    ("days", "slowest"), [(0.5, 1), (1, 1), (14, 14), (365.25, 365.25), (2000, 365.25)]
)
def test_auto_is_three_damping_depths_of_the_record(days, slowest):
    grid = xlsm.AutoGrid().resolved(Facts(1800.0, days * DAY, {}))
    assert grid.depth == pytest.approx(3 * damped(slowest), rel=1e-12)
    assert type(grid) is xlsm.StretchedGrid
    assert np.diff(grid.node_depths)[0] == pytest.approx(0.01, rel=1e-12)
    assert 1.08 < grid.growth <= 1.1 + 1e-12  # no more nodes than are needed, no fewer


def test_auto_ends_well_below_the_deepest_sensor():
    facts = Facts(1800.0, DAY, {"SoilTemp": (0.05, 0.9)})
    assert xlsm.AutoGrid().resolved(facts).depth == pytest.approx(1.35)
    dead = facts._replace(depths={"SoilTemp": ()})
    assert xlsm.AutoGrid().resolved(dead).depth == 3 * damped(1)
    assert xlsm.AutoGrid().resolved(facts._replace(duration=YEAR)).depth == 3 * damped(365.25)


@pytest.mark.parametrize("first", [0.001, 0.03, 0.1, 0.15])
def test_auto_takes_any_first_distance_there_is_room_for(first):
    grid = xlsm.AutoGrid(first=first).resolved(Facts(1800.0, DAY, {}))
    assert np.diff(grid.node_depths)[0] == pytest.approx(first, rel=1e-12)


def test_auto_refuses_a_first_distance_or_a_top_that_leave_no_column():
    for grid in (xlsm.AutoGrid(first=0.5), xlsm.AutoGrid(top=2.0)):
        with pytest.raises(ModelError, match=r"first distance|the top of the column"):
            grid.resolved(Facts(1800.0, DAY, {}))
    with pytest.raises(ModelError, match="first distance"):
        xlsm.AutoGrid(first=0.0)


@pytest.fixture(scope="module")
def two_days():
    return twin(hours=49, noise=1.0)


def test_auto_is_resolved_in_simulate_and_estimate(two_days):
    model = xlsm.Model(grid="auto")
    assert model == xlsm.Model(grid=xlsm.AutoGrid())
    assert xlsm.Model.from_json(model.to_json()) == model
    sim = two_days.lsm.simulate(model=model)
    resolved = xlsm.Model.from_json(sim.attrs["model"])
    assert type(resolved.grid) is xlsm.StretchedGrid
    assert resolved.grid.depth == pytest.approx(3 * damped(2), rel=1e-12)

    rest = {name: value for name, value in truth().items() if name not in FREE[:2]}
    est = two_days.lsm.estimate(FREE[:2], model=model, fixed=rest)
    assert est.status == 0
    assert est.attrs["model"] == sim.attrs["model"]
    # another record, as long as it may be, does not move the grid of an estimate
    day = two_days.isel(time=slice(25))
    again = day.lsm.simulate(est)
    assert again.attrs["model"] == sim.attrs["model"]
    fit = two_days.lsm.simulate(est)
    xr.testing.assert_identical(again.SoilTemp, fit.SoilTemp.isel(time=slice(25)))
    residual = ((fit.SoilTemp - two_days.SoilTemp) ** 2).mean() ** 0.5
    assert float(residual) == pytest.approx(float(est.residual_std_SoilTemp), rel=1e-9)


def test_a_sensor_grid_lies_between_the_sensors():
    depths = {"SoilTemp": (0.05, 0.1, 0.5)}
    grid = xlsm.SensorGrid(nodes=10).resolved(Facts(1800.0, DAY, depths))
    assert (grid.top, grid.depth, grid.nodes) == (0.05, 0.5, 10)
    for sensors in ((), (0.05,)):
        with pytest.raises(ModelError, match="two depths at least"):
            xlsm.SensorGrid().resolved(Facts(1800.0, DAY, {"SoilTemp": sensors}))


# ---------------------------------------------------------------------------- too shallow

#: A record's length in days, the soil, and the depth its column should have at least.
RECORDS = {
    "two days": (2, {}, 2 * damped(2)),
    "two weeks": (14, {}, 2 * damped(14)),
    "years": (800, {}, 2 * damped(365.25)),
    "stone": (14, {"thermal_conductivity": 4.0, "heat_capacity": 2e6}, 4 * damped(14)),
    "thermometers": (14, {"thermal_diffusivity": 2e-6}, 4 * damped(14)),
}


def record(days):
    return xr.Dataset(coords={"time": pd.date_range("2012-05-01", periods=days * 4 + 1, freq="6h")})


def warned(depth, days, values=None, **pieces):
    """The warning about a column of that depth, or None."""
    values = {name: xr.DataArray(value) for name, value in (values or {}).items()}
    model = xlsm.Model(xlsm.UniformGrid(depth, top=pieces.pop("top", 0.0)), **pieces)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_shallow(model, record(days), values)
    assert all(issubclass(one.category, LSMWarning) for one in caught)
    return str(caught[0].message) if caught else None


@pytest.mark.parametrize("name", RECORDS)
def test_a_column_that_the_slowest_wave_reaches_through_is_warned_of(name):
    days, values, needed = RECORDS[name]
    assert warned(needed * 1.0001, days, values) is None
    text = warned(needed * 0.9999, days, values)
    assert f"({days} days)" in text
    # following the advice ends the warnings
    advised = float(re.search(r"ends at ([0-9.]+) m or below", text)[1])
    assert needed <= advised <= needed + 0.1
    assert warned(advised, days, values) is None
    deep_enough = 3 * damped(min(days, 365.25)) >= needed
    assert ('grid="auto"' in text) == deep_enough


def test_what_has_no_soil_below_it_is_not_warned_of():
    assert warned(0.1, 14) is not None
    assert warned(0.1, 14, bottom=xlsm.ZeroFlux()) is not None
    assert warned(0.1, 14, bottom=xlsm.AnnualTemperature()) is None
    assert warned(0.1, 14, bottom=xlsm.ObservedBottom(0.1)) is None


def test_only_the_column_itself_counts():
    needed = 2 * damped(14)
    follows = {"top": 0.3, "surface": xlsm.ObservedSurface(depth=0.3)}
    text = warned(needed, 14, **follows)
    assert 'grid="auto"' not in text  # which begins at the surface
    assert warned(needed + 0.3 * 1.0001, 14, **follows) is None


def test_a_record_of_less_than_a_day_and_unknown_soils_are_not_warned_of():
    hours = xr.Dataset(coords={"time": pd.date_range("2012-05-01", periods=24, freq="h")})
    shallow = xlsm.Model(xlsm.UniformGrid(0.05))
    warn_if_shallow(shallow, hours, {})  # a warning would be an error
    lazy = {"thermal_diffusivity": xr.DataArray([5e-7, 1e-6], dims="station").chunk()}
    warn_if_shallow(shallow, record(14), lazy)
    warn_if_shallow(shallow, record(14), {"thermal_diffusivity": xr.DataArray(np.nan)})


def test_the_warning_points_at_the_call(two_days):
    model = xlsm.Model(xlsm.UniformGrid(0.15, 6))
    incomplete = two_days.drop_vars("Tair")  # which is found out after the warning
    for call in (
        lambda: incomplete.lsm.simulate(model=model),
        lambda: incomplete.lsm.estimate(FREE[:1], model=model),
    ):
        with (
            pytest.warns(LSMWarning, match="the column ends at 0.15 m") as caught,
            pytest.raises(MissingVariableError),
        ):
            call()
        assert [one.filename for one in caught] == [__file__]
