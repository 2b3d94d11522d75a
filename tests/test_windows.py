"""A window is its stretch of the record, estimated for itself, whatever lies beside it."""

import re

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from twins import assert_identical_numbers, forcing

import xlsm
from xlsm import Status
from xlsm.arguments import parameter_values
from xlsm.errors import DimensionError, LSMWarning, ParameterError, TimeAxisError
from xlsm.inputs import resolve, warn_if_shallow
from xlsm.simulate import complete, run
from xlsm.windows import cut, windows_of

#: Everything that depends on absolute time, on the start of a window, and on its length.
# some stations are meant to end at a bound, or to have no valid run
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

MODEL = xlsm.Model(
    grid="auto",
    surface=xlsm.BareSurface(albedo=xlsm.SolarAlbedo()),
    bottom=xlsm.AnnualTemperature(),
    initial=xlsm.SpunUp(days=0.1, repeats=1, initial=xlsm.ObservedInitial()),
)
FREE = ["albedo", "combined_transfer_coefficient"]
OBSERVED = {"SoilTemp": 0.5, "LWup": 5.0}
STATIONS, HOURS, LENGTH, EVERY = 2, 77, 24, 12
#: Two windows are cut off at the end.
STARTS = [0, 12, 24, 36, 48]
OPTIONS = {"observed": OBSERVED, "model": MODEL, "window": "1D", "step": "12h"}


@pytest.fixture(scope="module")
def ds():
    """Days of weather with observations of a model that knows no windows, and a little noise."""
    ds = forcing(STATIONS, HOURS).assign_coords(
        latitude=("station", [40.0, 60.0]), longitude=("station", [-5.0, 10.0])
    )
    plain = xlsm.Model(xlsm.UniformGrid(0.352, 23), surface=MODEL.surface, bottom=MODEL.bottom)
    sim = ds.lsm.simulate(
        {"albedo": 0.25}, model=plain, depth=(0.02, 0.08, 0.2), outputs=list(OBSERVED)
    )
    random = np.random.default_rng(3)
    for name, error in OBSERVED.items():
        ds[name] = sim[name] + 0.2 * error * random.standard_normal(sim[name].shape)
    return ds


@pytest.fixture(scope="module")
def est(ds):
    return ds.lsm.estimate(FREE, holdout="6h", **OPTIONS)


@pytest.fixture
def no_compute():
    """A scheduler that raises when anything computes."""

    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=scheduler):
        yield


def at(ds, start):
    return ds.isel(time=slice(start, start + LENGTH))


# ---------------------------------------------------------------------------- what a window is


def test_windows_are_separate_calls_on_slices(ds, est):
    """Estimates, error bars and scores: the sun, the year, the first profile and days of each."""
    assert dict(est.status.sizes) == {"station": STATIONS, "window": len(STARTS)}
    for i, start in enumerate(STARTS):
        # as many lanes as with windows: one program for both, and the same bits
        copies = at(ds, start).expand_dims(copy=len(STARTS))
        one = copies.lsm.estimate(FREE, observed=OBSERVED, model=MODEL, holdout="6h")
        same = {name for name in est.attrs if name != "summary"}
        assert {n: one.attrs[n] for n in same} == {n: est.attrs[n] for n in same}
        own = est.isel(window=i)
        for name in one.data_vars:
            alone = one[name].isel(copy=-1) if "copy" in one[name].dims else one[name]
            np.testing.assert_allclose(own[name], alone, rtol=1e-9, atol=1e-12, err_msg=name)
    assert est.status.isin([Status.converged, Status.at_bound]).all()
    # and they differ
    assert (est.combined_transfer_coefficient.std("window") > 1).all()


def test_coordinates_say_when_each_begins_and_ends(ds, est):
    times = ds.time.values
    np.testing.assert_array_equal(est.window, times[STARTS])
    np.testing.assert_array_equal(est.window_end, times[np.add(STARTS, LENGTH - 1)])
    assert est.window_end.dims == ("window",)
    first = ds.sel(time=slice(est.window[1].item(), est.window_end[1].item()))
    xr.testing.assert_identical(first, at(ds, STARTS[1]))
    assert "time" not in est.coords


def test_each_starts_from_its_own_first_profile(ds, est):
    """What is observed when a window starts is its state then, and in others an observation."""
    windows = windows_of(ds, OPTIONS["window"], OPTIONS["step"])
    model = xlsm.Model.from_json(est.attrs["model"])
    values = complete(parameter_values(est, model), model)
    other = ds.copy(deep=True)
    other["SoilTemp"][{"time": STARTS[2]}] += 3.0
    one, two = (
        run(record, model, values, tuple(OBSERVED), ds.depth.values, windows).SoilTemp
        for record in (ds, other)
    )
    moved = (two - one).isel(time=0)
    assert (moved.isel(window=2) > 0.2).all()  # what the spin-up leaves of it
    assert (moved.isel(window=[0, 1, 3, 4]) == 0).all()


def test_the_column_is_as_deep_as_a_window_asks_for(ds, est):
    model = xlsm.Model.from_json(est.attrs["model"])
    assert model.grid == resolve(MODEL, at(ds, 0)).grid
    year = xr.Dataset(coords={"time": pd.date_range("2012", periods=8784, freq="h")})
    week = windows_of(year, "7D", None)
    auto = xlsm.Model(grid="auto")
    assert resolve(auto, year, week).grid.depth < resolve(auto, year).grid.depth / 3


def test_a_shallow_column_is_warned_of_by_the_length_of_the_windows():
    record = xr.Dataset(coords={"time": pd.date_range("2012", periods=1000, freq="h")})
    shallow = xlsm.Model(grid=xlsm.UniformGrid(0.52, 14))
    known = {"thermal_diffusivity": xr.DataArray(5e-7)}
    with pytest.warns(LSMWarning, match=r"as long as the windows \(7 days\) reaches deeper"):
        warn_if_shallow(shallow, record, known, windows_of(record, "7D", None))
    warn_if_shallow(shallow, record, known, windows_of(record, "3D", None))
    with pytest.warns(LSMWarning, match=r"as long as the record \(42 days\) reaches deeper"):
        warn_if_shallow(shallow, record, known)


def test_a_bad_window_is_flagged_and_spoils_no_other(ds, est):
    gaps = ds.copy(deep=True)
    gaps["Tair"][{"station": 0, "time": 15}] = np.nan  # in the first two
    gaps["SoilTemp"][{"station": 1, "time": STARTS[3]}] = np.nan
    found = gaps.lsm.estimate(FREE, holdout="6h", **OPTIONS)
    expected = est.status.copy(deep=True)
    expected[0, :2] = Status.forcing_gap
    expected[1, 3] = Status.no_initial_profile
    np.testing.assert_array_equal(found.status, expected)
    assert found.albedo[0, :2].isnull().all()
    assert (found.samples[0, :2] == 0).all()
    # the other windows that hold the missing profile have lost an observation
    same = {0: [2, 3, 4], 1: [0, 1, 4]}
    for station, windows in same.items():
        assert_identical_numbers(
            *(e.isel(station=station, window=windows) for e in (found, est)),
        )


# ---------------------------------------------------------------------------- with the rest


def test_dask_stays_lazy_and_gives_the_same_bits(ds, est, no_compute):
    lazy = ds.chunk(station=-1).lsm.estimate(FREE, holdout="6h", **OPTIONS)
    assert lazy.albedo.chunksizes == {"station": (STATIONS,), "window": (len(STARTS),)}
    assert lazy.rmse.chunks is not None
    # no more tasks for more windows
    tasks = [
        len(ds.chunk(station=1).lsm.estimate(FREE, **{**OPTIONS, "step": step}).__dask_graph__())
        for step in ("1h", "1D")
    ]
    assert tasks[0] == tasks[1]
    with dask.config.set(scheduler="synchronous"):
        assert_identical_numbers(lazy.compute(), est)


def test_parameters_of_windows_run_over_the_whole_record(ds, est):
    sim = ds.lsm.simulate(est, outputs="LWup")
    assert dict(sim.LWup.sizes) == {"station": STATIONS, "window": len(STARTS), "time": HOURS}
    one = est.isel(window=[2] * len(STARTS)).drop_vars(["window", "window_end"])
    alone = ds.lsm.simulate(one, outputs="LWup").LWup.isel(window=0)
    np.testing.assert_array_equal(sim.LWup.isel(window=2), alone)


def test_windows_of_an_earlier_estimate_are_matched_by_their_start(ds, est):
    earlier = xr.full_like(est.albedo, 0.95).assign_coords(
        window_end=est.window_end - np.timedelta64(6, "h")
    )
    options = {"fixed": {"emissivity": earlier}, "holdout": "6h"}
    found = ds.lsm.estimate(FREE, **options, **OPTIONS)
    xr.testing.assert_equal(found.window_end, est.window_end)
    np.testing.assert_array_equal(found.albedo, est.albedo)
    words = "The dimension 'window' has other labels or another order"
    with pytest.raises(DimensionError, match=words):
        ds.isel(time=slice(1, None)).lsm.estimate(FREE, **options, **OPTIONS)


def test_windows_and_scores_survive_a_store(est, tmp_path):
    est.lsm.to_zarr(tmp_path / "est.zarr")
    read = xr.open_zarr(tmp_path / "est.zarr").load()
    assert_identical_numbers(read, est)
    for name in ("window", "window_end", "part", "observable", "units"):
        np.testing.assert_array_equal(read[name].astype(est[name].dtype), est[name])
    assert read.attrs == est.attrs


def test_windows_of_other_calendars_and_of_durations():
    times = xr.date_range("2001-02-25", periods=30, calendar="noleap", use_cftime=True)
    ds = xr.Dataset({"Tair": ("time", np.arange(30.0))}, {"time": times})
    week = windows_of(ds, "7D", None)
    assert (week.starts, week.length) == ((0, 7, 14, 21), 7)
    series = cut(ds.Tair, week)
    assert series.window_end[0] == times[6]
    np.testing.assert_array_equal(series[-1], np.arange(21.0, 28.0))
    lead = xr.Dataset(coords={"time": pd.timedelta_range("0h", periods=30, freq="h")})
    assert len(windows_of(lead, np.timedelta64(10, "h"), pd.Timedelta("5h")).starts) == 5


# ---------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"window": "2h"}, TimeAxisError, "window='2h' is shorter than 3 time steps of 3600 s"),
        ({"window": "-1D"}, TimeAxisError, "window='-1D' is shorter than 3 time steps"),
        (
            {"window": "30D"},
            TimeAxisError,
            "window='30D' is longer than the record, which has 77 times, every 3600 s from "
            "2012-05-01T00:00:00 to 2012-05-04T04:00:00; the window takes 720",
        ),
        (
            {"window": "200min"},
            TimeAxisError,
            "window='200min' is no multiple of the time step, 3600 s: it has 3.33 of them. Take "
            "10800 s, '10800s'.",
        ),
        ({"window": 7}, ParameterError, "window must be a duration such as '7D', '36h' or a time"),
        ({"window": "week"}, ParameterError, "got 'week'"),
        (
            {"window": "1D", "step": "30min"},
            TimeAxisError,
            "step='30min' is shorter than 1 time step of 3600 s",
        ),
        (
            {"window": "1D", "step": "90min"},
            TimeAxisError,
            "step='90min' is no multiple of the time step",
        ),
        ({"window": "1D", "step": 0.5}, ParameterError, "step must be a duration"),
        ({"step": "1D"}, ParameterError, "step='1D' is the distance between windows, but there"),
        (
            {"window": "1D", "holdout": slice("2012-05-03", None)},
            ParameterError,
            "is a slice of the record, most of whose windows have no part in it",
        ),
        (
            {"window": "1D", "holdout": "2D"},
            TimeAxisError,
            "holdout='2D' holds out 24 of the 24 times",
        ),
    ],
)
def test_senseless_windows_are_refused(ds, options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        ds.lsm.estimate(FREE, observed=OBSERVED, model=MODEL, **options)


@pytest.mark.parametrize("name", ["window", "window_end"])
def test_the_name_is_taken(ds, name):
    words = f"The Dataset has a {name!r} already, and window= makes one. Rename it, ds.rename("
    with pytest.raises(DimensionError, match=re.escape(words)):
        ds.rename(station=name).lsm.estimate(FREE, **OPTIONS)
    with pytest.raises(DimensionError, match=re.escape(words)):
        ds.assign_coords({name: 3}).lsm.estimate(FREE, **OPTIONS)


# ---------------------------------------------------------------------------- a year


@pytest.mark.slow
def test_a_year_of_a_real_tower_in_weeks():
    """Half-hours of Bondville, 52 weeks, three parameters: one missing sun spoils one week."""
    try:
        ds = xlsm.tutorial.open_dataset("US-Bondville_1998")
    except xlsm.errors.DataNotFoundError as error:
        pytest.skip(str(error))
    free = ["combined_transfer_coefficient", "thermal_conductivity", "heat_capacity"]
    model = xlsm.Model(grid="auto", initial=xlsm.ObservedInitial())
    est = ds.lsm.estimate(
        free, observed={"SoilTemp": 1.0, "Qg": 20.0}, model=model, window="7D", holdout="1D"
    )
    assert est.sizes["window"] == 52
    assert (est.status == Status.forcing_gap).sum() == 1
    assert est.status.isin([Status.converged, Status.at_bound, Status.forcing_gap]).all()
    # what is near the surface is told better than by a line of the sun, in most weeks
    held = est.sel(part="held out", observable="SoilTemp 0.02 m")
    assert (held.rmse < held.rmse_line).mean() > 0.75


# Other verbs look at each window in its own stretch, without what was held out of it.


@pytest.fixture(scope="module")
def stated(ds):
    return ds.lsm.estimate(FREE, holdout="6h", error_bars="stated", **OPTIONS)


def same_errors(looked, est):
    """Where nothing is held at a bound, which only the estimate knows."""
    inside = est.status == Status.converged
    assert inside.any()
    for name in FREE:
        ratio = looked["std"].sel(parameter=name) / est[f"{name}_std"]
        np.testing.assert_allclose(ratio.where(inside, 1.0), 1.0, rtol=1e-6)


def test_identifiability_has_the_error_bars_of_the_estimate(ds, stated):
    looked = ds.lsm.identifiability(stated)
    same_errors(looked, stated)
    np.testing.assert_array_equal(looked.window_end, stated.window_end)
    worth = ds.lsm.data_worth(stated)
    assert worth["std"].sizes["window"] == len(STARTS)
    assert (worth["std"] <= worth.std_now * (1 + 1e-9)).all()


@pytest.mark.slow
def test_so_it_has_for_some_of_them_and_for_one(ds, stated):
    some = stated.isel(window=[0, 1, 3])  # not at equal distances
    same_errors(ds.lsm.identifiability(some), some)
    one = stated.isel(window=3)
    same_errors(ds.lsm.identifiability(one), one)


def test_a_profile_is_of_the_window(ds):
    stated = ds.lsm.estimate(FREE, error_bars="stated", **OPTIONS)
    profile = ds.lsm.profile(stated, "albedo", points=9, reach=2.0)
    assert (profile.rise.min("point") < 0.2).all()
    half = (profile.upper - profile.lower).sel(level=68) / 2  # NaN where it meets a bound
    assert half.notnull().sum() > half.size / 2
    ratio = half / stated.albedo_std
    np.testing.assert_allclose(ratio.where(half.notnull(), 1.0), 1.0, rtol=0.1)


def test_another_record_is_refused(ds, stated):
    with pytest.raises(TimeAxisError, match="does not hold: use the Dataset it was made from"):
        ds.isel(time=slice(30, None)).lsm.identifiability(stated)
