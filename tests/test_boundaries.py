"""Columns whose ends follow what is known: deep sensors, the year's wave, thermometers only."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cases import run, weather
from derivatives import agree, numbers

import xlsm
from xlsm.errors import DimensionError, ModelError, ParameterError
from xlsm.inputs import read_forcing
from xlsm.model.layers import LayeredSoil

LAND = {"thermal_conductivity": 0.8, "heat_capacity": 2.2e6}


def test_a_part_of_a_column_between_known_temperatures_is_that_of_the_whole():
    whole = xlsm.UniformGrid(0.6, 31)
    series = weather(49)
    full = run(xlsm.Model(whole), LAND, series, depths=whole.node_depths)
    cut = slice(3, 21)  # 0.06 to 0.4 m
    nodes = whole.node_depths[cut]
    part = xlsm.UniformGrid(nodes[-1], nodes.size, top=nodes[0])
    known = {
        f"SoilTemp@{float(nodes[0])!r}": full["SoilTemp"][:, 3],
        f"SoilTemp@{float(nodes[-1])!r}": full["SoilTemp"][:, 20],
    }
    model = xlsm.Model(
        part,
        surface=xlsm.ObservedSurface(depth=float(nodes[0])),
        bottom=xlsm.ObservedBottom(float(nodes[-1])),
        initial=xlsm.ObservedInitial((0.1,)),
    )
    assert model.forcing == tuple(known)
    assert model.outputs(()) == ("SoilTemp", "Qg")
    start = {"profile": full["SoilTemp"][0, cut], "share": np.zeros(nodes.size)}
    out = run(model, LAND, known, depths=nodes, start=start)
    # the ends to the last bit, what lies between to round-off
    np.testing.assert_allclose(out["SoilTemp"], full["SoilTemp"][:, cut], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(out["AvgSurfT"], full["SoilTemp"][:, 3])
    np.testing.assert_array_equal(out["SoilTemp"][:, -1], full["SoilTemp"][:, 20])

    # the flux is the one that conduction needs, and closes the stored heat
    conductance = LAND["thermal_conductivity"] / whole.spacing
    owned = np.full(nodes.size, whole.spacing)
    owned[0] /= 2
    owned[-1] = 0.0  # given, and its heat is no part of the column's
    heat = LAND["heat_capacity"] * out["SoilTemp"] @ owned
    leaving = conductance * (out["SoilTemp"][:, -2] - out["SoilTemp"][:, -1])
    np.testing.assert_allclose(np.diff(heat), 3600 * (out["Qg"] - leaving)[1:], rtol=0, atol=1e-4)
    assert np.abs(np.diff(heat)).max() > 1e4
    # half a cell below the top, what the whole column conducts there
    stored = LAND["heat_capacity"] * owned[0] * np.diff(full["SoilTemp"][:, 3]) / 3600
    passing = conductance * (full["SoilTemp"][1:, 3] - full["SoilTemp"][1:, 4])
    np.testing.assert_allclose(out["Qg"][1:], stored + passing, rtol=0, atol=1e-8)


# ---------------------------------------------------------------------------- thermometers

DEPTHS = np.array([0.02, 0.05, 0.1, 0.2, 0.3])
DIFFUSIVITY = 4e-7
MEAN = 290.0


def waves(time, depths, diffusivity=DIFFUSIVITY):
    """Soil temperature of a half-space under a daily wave and its half, shape (time, depth)."""
    soil = np.full((time.size, len(depths)), MEAN)
    for amplitude, period, phase in ((8.0, 86400.0, 0.3), (3.0, 43200.0, 1.0)):
        omega = 2 * np.pi / period
        damping = np.sqrt(2 * diffusivity / omega)
        ratio = np.asarray(depths) / damping
        soil += amplitude * np.exp(-ratio) * np.sin(omega * time[:, None] - ratio + phase)
    return soil


HEAT = {"heat_capacity": 2e6}


@pytest.fixture(scope="module")
def sensors():
    """Three days of soil temperature at three stations of different soil, and no forcing."""
    time = pd.date_range("2012-05-01", periods=433, freq="10min")
    seconds = np.arange(time.size) * 600.0
    true = [2.5e-7, DIFFUSIVITY, 8e-7]
    soil = np.stack([waves(seconds, DEPTHS, value) for value in true])
    return xr.Dataset(
        {"SoilTemp": (("station", "time", "depth"), soil, {"units": "K"})},
        {"time": time, "depth": DEPTHS},
    ).assign(true=("station", true))


@pytest.fixture(scope="module")
def fit(sensors):
    return sensors.lsm.estimate(
        "thermal_diffusivity",
        observed={"SoilTemp": 0.1},
        fixed=HEAT,
        model="thermometers",
    )


def test_thermometers_find_the_diffusivity_of_a_half_space(sensors, fit):
    assert (fit.status == 0).all()
    np.testing.assert_allclose(fit.thermal_diffusivity, sensors.true, rtol=0.01)
    grid = xlsm.Model.from_json(fit.attrs["model"]).grid
    assert (grid.top, grid.depth) == pytest.approx((0.02, 0.3))


def test_what_is_followed_is_no_observation(sensors, fit):
    sim = sensors.lsm.simulate(fit)
    assert set(sim.data_vars) == {"SoilTemp", "Qg"}
    residual = sim.SoilTemp - sensors.SoilTemp
    np.testing.assert_allclose(residual.isel(depth=[0, -1]), 0, atol=1e-10)
    between = residual.isel(depth=slice(1, -1))
    cost = 0.5 * ((between / 0.1) ** 2).sum(("time", "depth"))
    np.testing.assert_allclose(fit.cost, cost, rtol=1e-9)
    spread = (between**2).mean(("time", "depth")) ** 0.5
    np.testing.assert_allclose(fit.residual_std_SoilTemp, spread, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")
def test_a_gap_in_what_is_followed_flags_its_station_alone(sensors, fit):
    soil = sensors.SoilTemp.copy()
    soil[0, 70, 0] = np.nan  # the top one at the first station
    soil[2, 20:40, 2] = np.nan  # one between at the last
    patchy = sensors.assign(SoilTemp=soil)
    again = patchy.lsm.estimate(
        "thermal_diffusivity", observed={"SoilTemp": 0.1}, fixed=HEAT, model="thermometers"
    )
    status = [xlsm.Status.forcing_gap, xlsm.Status.converged, xlsm.Status.converged]
    np.testing.assert_array_equal(again.status, status)
    for name in ("thermal_diffusivity", "thermal_diffusivity_std", "cost", "iterations"):
        assert again[name][1] == fit[name][1], name
    assert again.thermal_diffusivity[2] == pytest.approx(float(fit.thermal_diffusivity[2]), 0.01)
    assert again.thermal_diffusivity[2] != fit.thermal_diffusivity[2]
    # and without the ones between there is nothing to fit
    soil[1, :, 1:-1] = np.nan
    bare = patchy.assign(SoilTemp=soil).lsm.estimate(
        "thermal_diffusivity", observed={"SoilTemp": 0.1}, fixed=HEAT, model="thermometers"
    )
    assert bare.status[1] == xlsm.Status.no_observations


def test_conductivity_and_diffusivity_are_one_too_many(sensors):
    both = {"thermal_diffusivity": 5e-7, "thermal_conductivity": 1.0}
    with pytest.raises(ParameterError, match=r"both given.*heat_capacity: leave one out"):
        sensors.lsm.simulate(both, model="thermometers")
    with pytest.raises(ParameterError, match="both given"):
        sensors.lsm.estimate(
            "thermal_diffusivity", fixed={"thermal_conductivity": 1.0}, model="thermometers"
        )


def test_what_is_not_known_above_the_soil_is_no_output(sensors):
    with pytest.raises(ParameterError, match="'albedo' is no parameter"):
        sensors.lsm.simulate({"albedo": 0.2}, model="thermometers")
    with pytest.raises(xlsm.errors.MissingVariableError, match="it gives SoilTemp, Qg"):
        sensors.lsm.simulate(model="thermometers", outputs="LWup")
    with pytest.raises(ParameterError, match=r"cannot be predicted.*it gives SoilTemp, Qg"):
        sensors.assign(LWup=sensors.SoilTemp[..., 0].drop_vars("depth")).lsm.estimate(
            "thermal_diffusivity", observed="LWup", model="thermometers"
        )


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_derivatives_agree_between_thermometers_over_layers():
    time = np.arange(8) * 3600.0
    known = waves(time, [0.05, 0.3])
    model = xlsm.Model(
        xlsm.UniformGrid(0.3, 6, top=0.05),
        soil=LayeredSoil((0.12, np.inf)),
        surface=xlsm.ObservedSurface(depth=0.05),
        bottom=xlsm.ObservedBottom(0.3),
        initial=xlsm.ProfileInitial((0.1, 0.2)),
    )
    free = (
        "thermal_diffusivity_1",
        "thermal_diffusivity_2",
        "heat_capacity_1",
        "heat_capacity_2",
        "initial_temperature_1",
        "initial_temperature_2",
    )
    series = {"SoilTemp@0.05": known[:, 0], "SoilTemp@0.3": known[:, 1]}
    errors = {"SoilTemp": 0.1, "Qg": 10.0}
    agree(model, free, numbers(model, free, series, depths=[0.1, 0.2], errors=errors))


# ---------------------------------------------------------------------------- observed ends


def site(hours=30):
    """Forcing, soil temperatures at three depths in cm, and that of the surface."""
    time = pd.date_range("2012-05-01", periods=hours, freq="h")
    soil = waves(np.arange(hours) * 3600.0, [0.0, 0.05, 0.1, 0.4])
    return xr.Dataset(
        {
            **{name: ("time", values) for name, values in weather(hours).items()},
            "AvgSurfT": ("time", soil[:, 0]),
            "SoilTemp": (("time", "depth"), soil[:, :0:-1], {"units": "K"}),
        },
        {"time": time, "depth": ("depth", [40.0, 10.0, 5.0], {"units": "cm"})},
    )


def test_the_bottom_follows_the_deepest_sensor():
    ds = site()
    model = xlsm.Model(xlsm.UniformGrid(0.4, 21), bottom=xlsm.ObservedBottom())
    sim = ds.lsm.simulate(model=model)
    np.testing.assert_allclose(sim.depth, [0.4, 0.1, 0.05])
    np.testing.assert_array_equal(sim.SoilTemp[:, 0], ds.SoilTemp[:, 0])
    assert np.abs(sim.SoilTemp.values - ds.SoilTemp.values)[:, 1].max() > 0.1
    # the same in other words
    resolved = xlsm.Model.from_json(sim.attrs["model"])
    assert resolved.bottom == xlsm.ObservedBottom(0.4)
    named = xlsm.Model(xlsm.UniformGrid(0.4, 21), bottom=xlsm.ObservedBottom(0.4))
    xr.testing.assert_identical(ds.lsm.simulate(model=named), sim)


def test_the_top_follows_the_observed_surface():
    ds = site()
    model = xlsm.Model(
        xlsm.UniformGrid(0.4, 21),
        surface=xlsm.ObservedSurface("AvgSurfT"),
        bottom=xlsm.ObservedBottom(),
        initial=xlsm.ObservedInitial(),
    )
    assert set(model.forcing) == {"AvgSurfT"}
    ds = ds.drop_vars(["SWdown", "LWdown", "Tair"])
    sim = ds.lsm.simulate(model=model, depth=[0.0, 0.2])
    np.testing.assert_allclose(sim.SoilTemp[1:, 0], ds.AvgSurfT[1:], rtol=0, atol=1e-10)
    with pytest.raises(ParameterError, match="AvgSurfT cannot be observed by a model that is told"):
        ds.lsm.estimate("thermal_diffusivity", observed="AvgSurfT", model=model)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ({"bottom": xlsm.ObservedBottom()}, "grid=UniformGrid(depth=0.4)"),
        (
            {"bottom": xlsm.ObservedBottom(0.3), "grid": xlsm.SensorGrid()},
            "reads SoilTemp at 0.3 m, but the Dataset has it at",
        ),
        ({"surface": xlsm.ObservedSurface()}, "use a grid with top=0.05, or SensorGrid()"),
        (
            {"surface": xlsm.ObservedSurface(depth=0.07), "grid": xlsm.SensorGrid()},
            "reads SoilTemp at 0.07 m, but the Dataset has it at 0.05, 0.1, 0.4 m",
        ),
        (
            {"surface": xlsm.ObservedSurface(depth=0.1), "grid": xlsm.SensorGrid()},
            "follows SoilTemp at 0.1 m, but the grid begins at 0.05 m",
        ),
        (
            {"surface": xlsm.ObservedSurface("AvgSurfT"), "grid": xlsm.SensorGrid()},
            "follows AvgSurfT at 0 m, but the grid begins at 0.05 m: use a grid with top=0",
        ),
    ],
)
def test_a_grid_that_does_not_end_at_the_sensors_is_refused(pieces, message):
    with pytest.raises(ModelError) as error:
        site().lsm.simulate(model=xlsm.Model(**pieces))
    assert message in str(error.value)


def test_without_sensors_nothing_is_followed():
    ds = site().drop_vars("SoilTemp")
    for pieces in (
        {"bottom": xlsm.ObservedBottom()},
        {"surface": xlsm.ObservedSurface(), "grid": xlsm.UniformGrid(top=0.1)},
    ):
        with pytest.raises(ModelError, match=r"reads an observed SoilTemp, .* has none"):
            ds.lsm.simulate(model=xlsm.Model(**pieces))
    with pytest.raises(ModelError, match="SoilTemp or AvgSurfT, got 'LWup'"):
        xlsm.Model(surface=xlsm.ObservedSurface("LWup"))
    with pytest.raises(xlsm.errors.MissingVariableError, match="ObservedSurface needs it"):
        ds.drop_vars("AvgSurfT").lsm.simulate(
            model=xlsm.Model(surface=xlsm.ObservedSurface("AvgSurfT"))
        )


def test_sensors_may_be_named_before_the_grid_is_known():
    model = xlsm.Model(
        xlsm.SensorGrid(),
        surface=xlsm.ObservedSurface(depth=0.05),
        bottom=xlsm.ObservedBottom(0.4),
        initial=xlsm.ProfileInitial((0.1, 1.5)),
    )
    with pytest.raises(ModelError, match=r"a depth of 1.5 m, but the column ends at 0.4 m"):
        site().lsm.simulate(model=model)
    with pytest.raises(DimensionError, match=r"above the top of the soil column, 0.05 m"):
        site().lsm.simulate(model="thermometers", depth=0.01)


# ---------------------------------------------------------------------------- the year's wave

YEARLY = {
    "deep_temperature": 285.0,
    "deep_temperature_amplitude": 6.0,
    "deep_temperature_day": 250.0,
}


@pytest.fixture(scope="module")
def year():
    """Daily forcing of a year and a half that begins in autumn."""
    time = pd.date_range("2011-10-01", periods=550, freq="1D")
    warm = -np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 20) / 365.25)
    return xr.Dataset(
        {
            "SWdown": ("time", 170 + 110 * warm),
            "LWdown": ("time", 310 + 40 * warm),
            "Tair": ("time", 283 + 9 * warm),
        },
        {"time": time},
    )


def annual(**pieces):
    grid = xlsm.StretchedGrid(2.0, 15, first=0.05)
    return xlsm.Model(grid, bottom=xlsm.AnnualTemperature(), **pieces)


def test_the_bottom_follows_the_years_wave(year):
    sim = year.lsm.simulate(YEARLY, model=annual(), depth=[1.0, 2.0])
    day = (year.time - np.datetime64("2011-01-01")) / np.timedelta64(1, "D")
    # the calendar's years have not 365.25 days each: in the end half a day is between them
    phase = 2 * np.pi * (day - 250.0) / 365.25
    wave = 285.0 + 6.0 * np.cos(phase)
    np.testing.assert_allclose(sim.SoilTemp.sel(depth=2.0), wave, rtol=0, atol=0.08)
    warmest = sim.SoilTemp.sel(depth=2.0).idxmax("time")
    assert warmest.dt.dayofyear == 251  # the first day of the year is day 0
    assert float(sim.SoilTemp.sel(depth=2.0).max()) == pytest.approx(291.0, abs=1e-3)


def test_the_time_of_the_year_goes_on_over_the_new_year(year):
    """Steps interpolate the forcing between two times: a fall to zero would be a wave in a day."""
    model = annual()
    fraction = read_forcing(year, model)[0][model.forcing.index("YearFraction")]
    steps = 365.25 * np.diff(fraction)
    new_years = (91, 457)
    np.testing.assert_allclose(np.delete(steps, new_years), 1.0, rtol=1e-9)
    np.testing.assert_allclose(steps[list(new_years)], [1.25, 0.25])  # from day 364, and 365


@pytest.mark.slow
def test_the_years_wave_and_the_first_profile_are_found(year):
    model = annual(initial=xlsm.ProfileInitial((0.1, 1.0)))
    true = YEARLY | {
        "initial_temperature_1": 287.0,
        "initial_temperature_2": 291.5,
        "thermal_conductivity": 1.3,
    }
    free = tuple(true)
    sim = year.lsm.simulate(true, model=model, depth=[0.1, 0.5, 1.0, 1.5])
    est = year.assign(SoilTemp=sim.SoilTemp).lsm.estimate(free, model=model)
    assert est.status == 0
    for name, value in true.items():
        assert float(est[name]) == pytest.approx(value, rel=1e-6), name
    assert float(est.deep_temperature_day_std) < 2


# ---------------------------------------------------------------------------- the first time


def test_what_is_followed_is_there_at_the_first_time():
    """The first profile knows nothing of it, nor does the end of a spin-up."""
    ds = site()
    ds["AvgSurfT"] = ("time", 290 + 8 * np.sin(np.arange(ds.sizes["time"]) / 4 + 1))
    grid = xlsm.UniformGrid(0.4, 9)
    followed = {"surface": xlsm.ObservedSurface("AvgSurfT"), "bottom": xlsm.ObservedBottom()}
    for initial in (xlsm.ObservedInitial(), xlsm.SpunUp(0.5, 2, xlsm.ObservedInitial())):
        model = xlsm.Model(grid, initial=initial, **followed)
        sim = ds.lsm.simulate(model=model, depth=[0.0, grid.depth])
        np.testing.assert_allclose(sim.SoilTemp[:, 0], ds.AvgSurfT, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(sim.SoilTemp[:, -1], ds.SoilTemp[:, 0])
        assert float(sim.Qg[0]) != 0


def test_two_thermometers_leave_nothing_to_observe(sensors):
    two = sensors.isel(depth=[0, -1])
    with pytest.raises(ParameterError, match=r"follows SoilTemp at all its depths.*one more"):
        two.lsm.estimate("thermal_diffusivity", observed="SoilTemp", model="thermometers")


def test_numbers_of_numpy_are_written_as_any_others():
    grid = xlsm.UniformGrid(np.float64(0.5), np.int64(21))
    assert xlsm.Model.from_json(xlsm.Model(grid).to_json()) == xlsm.Model(grid)


@pytest.mark.parametrize("free", ["thermal_conductivity", "heat_capacity"])
def test_temperatures_alone_give_no_conductivity(sensors, free):
    with pytest.raises(ParameterError, match=rf"{free} cannot be known.*thermal_diffusivity, or"):
        sensors.lsm.estimate(free, observed="SoilTemp", model="thermometers")


def test_a_known_heat_capacity_makes_a_conductivity_of_the_diffusivity(sensors, fit):
    est = sensors.lsm.estimate(
        "thermal_conductivity", observed={"SoilTemp": 0.1}, fixed=HEAT, model="thermometers"
    )
    assert (est.status == 0).all()
    expected = HEAT["heat_capacity"] * fit.thermal_diffusivity
    np.testing.assert_allclose(est.thermal_conductivity, expected, rtol=1e-5)


def test_thermometers_look_at_no_flux_unless_asked(sensors):
    ds = sensors.assign(Qg=("time", np.zeros(sensors.sizes["time"])))
    est = ds.lsm.estimate("thermal_diffusivity", model="thermometers")
    assert "residual_std_Qg" not in est
