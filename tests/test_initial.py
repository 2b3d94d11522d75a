"""States at the first time: observed, given as a profile, spun up, of one station or many."""

import dask
import numpy as np
import pytest
from cases import run, weather
from twins import assert_identical_numbers, forcing

import xlsm
from xlsm.errors import FlaggedWarning, ModelError

GRID = xlsm.UniformGrid(0.5, 26)
SENSORS = np.array([0.05, 0.11, 0.3])
DEEP = {"deep_temperature": 284.0}


def observed(first, hours=4):
    """Forcing of stations that have soil temperatures at the first time, shape (station, depth)."""
    ds = forcing(len(first), hours)
    soil = np.full((*ds.Tair.shape, SENSORS.size), 300.0)  # later ones must not be looked at
    soil[:, 0] = first
    return ds.assign(SoilTemp=(("station", "time", "depth"), soil)).assign_coords(depth=SENSORS)


def first_profile(ds, **pieces):
    """Temperatures of all nodes at the first time, shape (station, node)."""
    model = xlsm.Model(**{"grid": GRID, "initial": xlsm.ObservedInitial()} | pieces)
    given = {name: value for name, value in DEEP.items() if name in model.parameters}
    sim = ds.lsm.simulate(given, model=model, depth=GRID.node_depths, outputs="SoilTemp")
    return sim.SoilTemp[:, 0].values


FIRST = np.array([[292.0, 289.0, 286.0], [283.0, 285.0, 288.0], [292.0, np.nan, 286.0]])
MISSING = np.array([[290.0, 287.0, np.nan], [np.nan, np.nan, 286.0], [np.nan, np.nan, np.nan]])


def test_between_the_sensors_the_first_profile_is_linear():
    profile = first_profile(observed(FIRST))
    nodes = GRID.node_depths
    knots = (*SENSORS, 0.5)
    np.testing.assert_allclose(profile[0], np.interp(nodes, knots, [292, 289, 286, 284]))
    np.testing.assert_allclose(profile[1], np.interp(nodes, knots, [283, 285, 288, 284]))
    # a sensor that is missing at a station is left out there, and there alone
    without = np.interp(nodes, (0.05, 0.3, 0.5), [292, 286, 284])
    np.testing.assert_allclose(profile[2], without)
    assert np.abs(profile[2] - profile[0]).max() > 1


def test_below_the_last_sensor_it_leads_to_the_bottom():
    profile = first_profile(observed(MISSING))
    nodes = GRID.node_depths
    np.testing.assert_allclose(profile[0], np.interp(nodes, (0.05, 0.11, 0.5), [290, 287, 284]))
    np.testing.assert_allclose(profile[1], np.interp(nodes, (0.3, 0.5), [286, 284]))
    assert np.isnan(profile[2]).all()  # nothing is known, and nothing made up
    insulated = first_profile(observed(MISSING), bottom=xlsm.ZeroFlux())
    np.testing.assert_allclose(insulated[0], np.interp(nodes, (0.05, 0.11), [290, 287]), rtol=1e-12)
    np.testing.assert_allclose(insulated[1], 286.0, rtol=1e-12)


def test_chosen_sensors_are_found_whatever_their_order():
    ds = observed(FIRST)
    chosen = first_profile(ds, initial=xlsm.ObservedInitial((0.3, 0.05)))
    np.testing.assert_allclose(chosen, np.stack([first_profile(ds)[2], *chosen[1:]]))
    np.testing.assert_allclose(
        chosen[0], np.interp(GRID.node_depths, (0.05, 0.3, 0.5), [292, 286, 284])
    )
    # a depth at which there is none is not the nearest one
    for initial in (
        xlsm.ObservedInitial((0.2,)),
        xlsm.SpunUp(0.1, initial=xlsm.ObservedInitial((0.2,))),
    ):
        with pytest.raises(
            ModelError, match=r"at 0.2 m, but the Dataset has it at 0.05, 0.11, 0.3"
        ):
            first_profile(ds, initial=initial)
    with pytest.raises(ModelError, match=r"the Dataset has none; use initial=UniformInitial"):
        first_profile(forcing(2, 4))


OBSERVED = xlsm.Model(GRID, initial=xlsm.ObservedInitial())
NODES = [0.06, 0.12, 0.3]  # sensors at nodes, so that a run gives back what it started from


@pytest.fixture(scope="module")
def stations():
    """Stations that start on the profile of their sensors, and are observed by them."""
    first = 290 + np.random.default_rng(0).uniform(-4, 4, (5, 3))
    ds = observed(first, 24).assign_coords(depth=NODES)
    sim = ds.lsm.simulate(DEEP, model=OBSERVED, outputs="SoilTemp")
    np.testing.assert_allclose(sim.SoilTemp[:, 0], first, rtol=1e-12)
    return ds.assign(SoilTemp=sim.SoilTemp)


def estimated(ds):
    free = ["albedo", "combined_transfer_coefficient"]
    return ds.lsm.estimate(free, observed={"SoilTemp": 0.1}, fixed=DEEP, model=OBSERVED)


@pytest.fixture(scope="module")
def results(stations):
    return estimated(stations), stations.lsm.simulate(DEEP, model=OBSERVED)


def test_a_station_without_a_first_profile_is_flagged_and_spoils_no_neighbour(stations, results):
    np.testing.assert_allclose(results[0].albedo, 0.2, rtol=1e-6)
    soil = stations.SoilTemp.copy()
    soil[1, 0] = np.nan
    soil[3, 0, 0] = np.nan
    patchy = stations.assign(SoilTemp=soil)
    with pytest.warns(FlaggedWarning, match="1 of 5 stations .* 1 no_initial_profile"):
        est = estimated(patchy)
    sim = patchy.lsm.simulate(DEEP, model=OBSERVED)
    np.testing.assert_array_equal(est.status != 0, np.arange(5) == 1)
    assert est.status[1] == xlsm.Status.no_initial_profile
    assert np.isnan(sim.SoilTemp[1]).all()
    untouched = [0, 2, 4]
    for a, b in zip((est, sim), results, strict=True):
        assert_identical_numbers(a.isel(station=untouched), b.isel(station=untouched))
    # one sensor less is another start, and no gap
    assert np.isfinite(sim.SoilTemp[3]).all()
    assert abs(float(est.albedo[3]) - 0.2) > 1e-3


def must_not_compute(dsk, keys, **kwargs):
    raise RuntimeError("computed while building a graph")


def test_lazy_stations_start_on_their_own_profiles(stations, results):
    whole, cut = stations.chunk(station=5), stations.chunk(station=2)
    with dask.config.set(scheduler=must_not_compute):
        est, sim = estimated(whole), cut.lsm.simulate(DEEP, model=OBSERVED)
        assert est.albedo.chunks == ((5,),)
        assert sim.SoilTemp.chunksizes["station"] == (2, 2, 1)
    assert_identical_numbers(est.compute(), results[0])
    for name in sim:
        np.testing.assert_allclose(sim[name], results[1][name], rtol=1e-12, atol=1e-10)


# ---------------------------------------------------------------------------- given


def test_a_given_profile_is_linear_between_its_depths():
    initial = xlsm.ProfileInitial((0.02, 0.1, 0.34))
    names = [spec.name for spec in initial.parameters]
    assert names == [f"initial_temperature_{i}" for i in (1, 2, 3)]
    temperatures = [292.0, 287.0, 289.0]
    given = dict(zip(names, temperatures, strict=True))
    nodes = GRID.node_depths
    model = xlsm.Model(GRID, initial=initial)
    out = run(model, given | DEEP, weather(2), depths=nodes)
    expected = np.interp(nodes, (0.02, 0.1, 0.34, 0.5), [*temperatures, 284.0])
    np.testing.assert_allclose(out["SoilTemp"][0], expected, rtol=1e-13)
    insulated = xlsm.Model(GRID, initial=initial, bottom=xlsm.ZeroFlux())
    out = run(insulated, given, weather(2), depths=nodes)
    expected = np.interp(nodes, (0.02, 0.1, 0.34), temperatures)
    np.testing.assert_allclose(out["SoilTemp"][0], expected, rtol=1e-13)


def test_one_temperature_is_that_of_all_nodes_but_a_given_bottom():
    nodes = GRID.node_depths
    given = DEEP | {"initial_temperature": np.array([290.0, 280.0])}
    first = run(xlsm.Model(GRID), given, weather(2), depths=nodes)["SoilTemp"][0]
    for profile, temperature in zip(first.T, (290.0, 280.0), strict=True):
        np.testing.assert_allclose(profile, np.where(nodes < 0.5, temperature, 284.0), rtol=1e-12)


@pytest.mark.parametrize("depths", [(), (0.1, 0.1), (0.2, 0.1), (-0.1,), (0.1, np.nan), 0.3])
def test_depths_that_are_none_are_refused(depths):
    with pytest.raises(ModelError, match="must not be negative, and grow"):
        xlsm.ProfileInitial(depths)


def test_a_list_of_depths_will_do():
    assert xlsm.ProfileInitial([0, 0.1]) == xlsm.ProfileInitial((0.0, 0.1))
    with pytest.raises(ModelError, match=r"a depth of 0.5 m, but the column ends at 0.5 m"):
        xlsm.Model(GRID, initial=xlsm.ProfileInitial((0.1, 0.5)))


# ---------------------------------------------------------------------------- spun up

LAND = DEEP | {"thermal_conductivity": 0.9, "initial_temperature": 295.0}


@pytest.mark.parametrize(
    "pieces", [{}, {"solver": "tridiagonal", "surface": xlsm.SkinLayer()}], ids=["bare", "skin"]
)
def test_spinning_up_is_repeating_the_first_days(pieces):
    steps, repeats, nodes = 6, 3, GRID.node_depths
    series = weather(20)
    spun_up = xlsm.SpunUp(0.25, repeats, steps=steps)
    out = run(xlsm.Model(GRID, initial=spun_up, **pieces), LAND, series, depths=nodes)
    # by hand: the first six hours over and over, then the record
    again = {n: np.concatenate([*[v[: steps + 1][1:]] * repeats, v[1:]]) for n, v in series.items()}
    joined = {n: np.concatenate([v[:1], again[n]]) for n, v in series.items()}
    long = run(xlsm.Model(GRID, **pieces), LAND, joined, depths=nodes)
    for name in out:
        end = long[name][repeats * steps :]
        np.testing.assert_allclose(out[name][1:], end[1:], rtol=0, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(out["SoilTemp"][0], long["SoilTemp"][repeats * steps], atol=1e-9)
    assert np.abs(out["SoilTemp"][0] - 295.0).max() > 1


def test_the_first_fluxes_after_a_spin_up_are_those_of_the_first_time():
    series = weather(20)
    series["Tair"] = series["Tair"] + np.linspace(0, 8, 20)  # the end of a repetition is another
    spun_up = xlsm.SpunUp(0.25, 2, steps=6)
    model = xlsm.Model(GRID, surface=xlsm.SkinLayer(), initial=spun_up)
    out = run(model, LAND | {"skin_conductivity": 10.0}, series)
    turbulent = 20.0 * (out["AvgSurfT"] - series["Tair"])
    np.testing.assert_allclose(out["Qturb"], turbulent, rtol=0, atol=1e-9)
    through = 10.0 * (out["AvgSurfT"] - out["SoilTemp"][:, 0])
    np.testing.assert_allclose(out["Qg"], through, rtol=0, atol=1e-9)


def test_a_spin_up_takes_its_steps_from_the_data():
    ds = forcing(2, 49)
    model = xlsm.Model(GRID, initial=xlsm.SpunUp(days=1.5, repeats=1))
    sim = ds.lsm.simulate(DEEP, model=model)
    resolved = xlsm.Model.from_json(sim.attrs["model"])
    assert resolved.initial.spin_up == (36, 1)
    with pytest.raises(ModelError, match=r"first 2.1 days, but the record has 2 days"):
        ds.lsm.simulate(DEEP, model=xlsm.Model(GRID, initial=xlsm.SpunUp(days=2.1)))
    with pytest.raises(ModelError, match="but the record has 0 days"):
        ds.isel(time=[0]).lsm.simulate(DEEP, model=xlsm.Model(GRID, initial=xlsm.SpunUp()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"days": 0.0}, "days > 0"),
        ({"repeats": 0}, "a whole number of repeats"),
        ({"repeats": 1.5}, "a whole number of repeats"),
        ({"initial": xlsm.SpunUp()}, "starts from another Initial"),
        ({"initial": xlsm.UniformGrid()}, "starts from another Initial"),
    ],
)
def test_a_spin_up_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        xlsm.SpunUp(**settings)


@pytest.mark.parametrize(
    "initial",
    [
        xlsm.ObservedInitial((0.05, 0.3)),
        xlsm.ProfileInitial((0.0, 0.2)),
        xlsm.SpunUp(2.0, 3, xlsm.SpunUp().initial, 48),
        xlsm.SpunUp(initial=xlsm.ObservedInitial((0.05,))),
        xlsm.SpunUp(initial=xlsm.ProfileInitial([0.0, 0.2])),
    ],
    ids=repr,
)
def test_nested_pieces_are_written_as_text(initial):
    model = xlsm.Model("auto", surface=xlsm.SkinLayer(sources=["Qanth"]), initial=initial)
    again = xlsm.Model.from_json(model.to_json())
    assert again == model
    assert hash(again) == hash(model)
    assert again.initial.parameters == initial.parameters
