"""The sun stands where an ephemeris says, and a Dataset's place is found or asked for."""

from __future__ import annotations

import re

import dask
import numpy as np
import pandas as pd
import pvlib
import pytest
import xarray as xr

from xlsm.errors import DimensionError, MissingVariableError, TimeAxisError, UnitsError
from xlsm.position import read_position
from xlsm.solar import clear_sky_shortwave, read_clear_sky, read_elevation, solar_elevation


def refuses(error, *words):
    """Expect an error whose message holds all the words, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(word) for word in words))


def must_not_compute(dsk, keys, **kwargs):
    raise AssertionError("something was computed")


def times(start="2024-03-01", periods=48, freq="1h"):
    return xr.DataArray(pd.date_range(start, periods=periods, freq=freq), dims="time", name="time")


def place(latitude=40.0, longitude=-88.3, **options):
    """Times and a position, nothing else."""
    return xr.Dataset(
        coords={"time": times(**options), "latitude": latitude, "longitude": longitude}
    )


def stations(count=7):
    """As many places, all over the earth."""
    return place(
        ("station", np.linspace(-90, 90, count)), ("station", np.linspace(-180, 180, count))
    ).assign_coords(station=[f"S{i}" for i in range(count)])


# ---------------------------------------------------------------------------- the formula


@pytest.mark.parametrize("latitude", [-90, -66.5, -30, 0, 23.4, 45, 60, 80, 90])
def test_elevation_is_that_of_an_ephemeris(latitude):
    # the NREL algorithm is right to 0.0003 degree
    random = np.random.default_rng(abs(int(latitude)))
    century = pd.date_range("1950-01-01", "2051-01-01", periods=2001)
    instants = century + pd.to_timedelta(random.uniform(0, 86400, century.size), unit="s")
    longitude = random.uniform(-180, 360)
    exact = pvlib.solarposition.spa_python(instants.tz_localize("UTC"), latitude, longitude)
    ours = solar_elevation(xr.DataArray(instants, dims="time"), latitude, longitude)
    assert np.ptp(exact["elevation"]) > 40
    np.testing.assert_allclose(ours, exact["elevation"], atol=0.02)


def test_at_the_pole_the_elevation_is_the_declination():
    # the equinoxes and solstices of 2024 (UTC), from the almanac
    instants = np.array(
        ["2024-03-20T03:06", "2024-06-20T20:51", "2024-09-22T12:44", "2024-12-21T09:21"],
        "datetime64[ns]",
    )
    ours = solar_elevation(xr.DataArray(instants, dims="time"), 90.0, 0.0)
    np.testing.assert_allclose(ours, [0.0, 23.44, 0.0, -23.44], atol=0.01)


def test_longitude_is_time():
    # 15 degrees further east the sun is where it will be an hour later, but for its declination
    time = times()
    here, there = solar_elevation(time, 40.0, 0.0), solar_elevation(time, 40.0, 15.0)
    np.testing.assert_allclose(there[:-1], here[1:], atol=0.03)
    np.testing.assert_allclose(solar_elevation(time, 40.0, 345.0), solar_elevation(time, 40.0, -15))


def test_real_calendars_of_cftime_are_the_same_times():
    time = times("1999-12-30T23:59:30", periods=400, freq="31h")
    dated = time.to_index()
    for calendar in ("standard", "proleptic_gregorian"):
        index = xr.date_range(
            "1999-12-30T23:59:30", periods=400, freq="31h", calendar=calendar, use_cftime=True
        )
        assert str(index[-1]) == str(dated[-1])
        ours = solar_elevation(xr.DataArray(index, dims="time"), 40.0, -88.3)
        np.testing.assert_allclose(ours, solar_elevation(time, 40.0, -88.3), atol=1e-6)


@pytest.mark.parametrize("calendar", ["noleap", "all_leap", "360_day"])
def test_other_calendars_go_through_the_seasons(calendar):
    index = xr.date_range(
        "2001-01-01T00:00", "2004-01-01T00:00", freq="1h", calendar=calendar, use_cftime=True
    )
    elevation = solar_elevation(xr.DataArray(index, dims="time"), 50.0, 0.0)
    year = elevation.sizes["time"] // 3
    by_day = elevation.values[: year * 3].reshape(3, -1, 24)
    # the sun is highest at noon or the hour nearest to it, on every day of every year
    assert set(by_day.argmax(axis=-1).ravel()) <= {12}
    # and in the first days of summer, by 90 - 50 + 23.44 degrees, less for the hour being off
    assert by_day.max() == pytest.approx(63.44, abs=0.1)
    summer = by_day.max(axis=-1).argmax(axis=-1) / by_day.shape[1]
    np.testing.assert_allclose(summer, 172 / 365.25, atol=0.01)


def test_what_is_missing_stays_missing():
    time = times().where(np.arange(48) != 3)
    latitude = xr.DataArray([10.0, np.nan], dims="station")
    missing = solar_elevation(time, latitude, 0.0).isnull()
    assert missing.isel(station=1).all()
    assert missing.isel(station=0).values.nonzero()[0].tolist() == [3]


def test_clear_sky_is_haurwitz():
    elevation = np.linspace(-90, 90, 721)
    published = pvlib.clearsky.haurwitz(pd.Series(90 - elevation)).ghi
    np.testing.assert_allclose(clear_sky_shortwave(elevation), published, atol=1e-12)
    assert clear_sky_shortwave(90.0) == pytest.approx(1098 * np.exp(-0.059))


def test_clear_sky_of_named_elevations_has_its_own_name():
    flux = clear_sky_shortwave(solar_elevation(times(), 40.0, 0.0))
    assert flux.attrs["standard_name"].endswith("assuming_clear_sky")
    assert flux.attrs["units"] == "W m-2"


# ---------------------------------------------------------------------------- Datasets


def test_elevation_of_a_dataset_is_that_of_its_times_or_of_half_a_step_before():
    ds = place(freq="30min")
    at_end = read_elevation(ds)
    np.testing.assert_array_equal(at_end, solar_elevation(ds.time, 40.0, -88.3))
    before = ds.time - np.timedelta64(15, "m")
    middle = read_elevation(ds, middle=True)
    np.testing.assert_allclose(middle, solar_elevation(before, 40.0, -88.3), atol=1e-9)
    assert middle.indexes["time"].equals(ds.indexes["time"])
    assert at_end.attrs == middle.attrs
    assert at_end.attrs["standard_name"] == "solar_elevation_angle"
    assert at_end.attrs["units"] == "degree"


def test_a_mean_over_a_day_is_the_mean_of_its_half_hours():
    day = read_clear_sky(place(start="2024-06-02", periods=3, freq="1D"))
    parts = read_clear_sky(place(start="2024-06-01T00:30", periods=144, freq="30min"))
    np.testing.assert_allclose(day, parts.values.reshape(3, 48).mean(axis=1), rtol=1e-9)
    # the integral of 1098 sin exp(-0.059 / sin) over a long June day, numerically, finely
    fine = xr.DataArray(pd.date_range("2024-06-01", "2024-06-02", freq="10s"), dims="time")
    exact = clear_sky_shortwave(solar_elevation(fine, 40.0, -88.3)).mean()
    assert float(day[0]) == pytest.approx(float(exact), rel=1e-3)


def test_stations_and_grids_are_batches():
    ds = stations()
    elevation = read_elevation(ds)
    assert elevation.dims == ("station", "time")
    one = solar_elevation(ds.time, float(ds.latitude[2]), float(ds.longitude[2]))
    np.testing.assert_array_equal(elevation.sel(station="S2"), one)
    grid = xr.Dataset(coords={"time": times(), "lat": [0.0, 40.0], "lon": [-88.3, 0.0, 90.0]})
    over = read_elevation(grid)
    assert dict(over.sizes) == {"lat": 2, "lon": 3, "time": 48}
    np.testing.assert_array_equal(
        over.sel(lat=40.0, lon=-88.3), solar_elevation(times(), 40.0, -88.3)
    )


@pytest.mark.parametrize("read", [read_elevation, read_clear_sky])
def test_chunked_datasets_stay_lazy(read):
    ds = stations()
    forced = ds.assign(Tair=(("station", "time"), np.full((7, 48), 290.0)))
    grid = xr.Dataset(
        {"Tair": (("lat", "time"), np.full((4, 48), 290.0))},
        {"time": times(), "lat": [0.0, 10.0, 20.0, 40.0], "lon": 7.0},
    )
    known = forced.chunk(station=3).assign_coords(latitude=ds.latitude, longitude=ds.longitude)
    for eager, chunked in (
        (forced, forced.chunk(station=3)),  # chunks the coordinates too
        (forced, known),
        (grid, grid.chunk(lat=2)),  # the coordinate is an index, always in memory
    ):
        with dask.config.set(scheduler=must_not_compute):
            lazy = read(chunked)
        assert lazy.chunksizes == chunked.Tair.chunksizes
        xr.testing.assert_allclose(lazy.compute(scheduler="sync"), read(eager), rtol=1e-12)


def test_inputs_are_unchanged():
    ds = stations()
    before = ds.copy(deep=True)
    read_elevation(ds, middle=True)
    read_clear_sky(ds)
    xr.testing.assert_identical(ds, before)


# ---------------------------------------------------------------------------- position


@pytest.mark.parametrize(
    ("names", "attributes"),
    [
        (("latitude", "longitude"), ({}, {})),
        (("lat", "lon"), ({}, {})),
        (("XLAT", "XLONG"), ({"units": "degree_north"}, {"units": "degree_east"})),
        (("nav_lat", "nav_lon"), ({"units": "degrees"}, {"units": "°"})),
        (("phi", "lam"), ({"standard_name": "latitude"}, {"standard_name": "longitude"})),
        (("y", "x"), ({"units": "degrees_north"}, {"units": "degreesE"})),
    ],
)
def test_a_position_is_found(names, attributes):
    ds = xr.Dataset(
        {n: ((), v, a) for n, v, a in zip(names, (40, -88.5), attributes, strict=True)},
        {"time": times()},
    )
    assert [float(found) for found in read_position(ds)] == [40.0, -88.5]


def test_a_missing_position_is_asked_for():
    with refuses(
        MissingVariableError,
        "There is no latitude",
        "standard_name latitude, units degrees_north",
        "ds.assign_coords(latitude=40.0)",
        "ds.assign_coords(latitude=('station', [...]))",
    ):
        read_elevation(xr.Dataset(coords={"time": times()}))
    with refuses(MissingVariableError, "There is no longitude", "east"):
        read_clear_sky(place().drop_vars("longitude"))


def test_two_candidates_are_too_many():
    attributes = {"standard_name": "latitude"}
    ds = xr.Dataset({"here": ((), 40.0, attributes), "there": ((), 41.0, attributes)})
    with refuses(MissingVariableError, "'here' or 'there'", "ds.rename({'here': 'latitude'})"):
        read_position(ds)


def test_a_position_that_moves_is_refused():
    ds = place().assign_coords(latitude=("time", np.full(48, 40.0)))
    with refuses(DimensionError, "dimension 'time'", ".isel(time=0, drop=True)"):
        read_elevation(ds)


@pytest.mark.parametrize(
    ("latitude", "longitude", "words"),
    [
        (-122.0, 37.0, ["latitude 'latitude' goes from -122", "possible is -90 to 90", "swapped"]),
        (4.4e6, 40.0, ["possible is -90 to 90", "projected"]),
        (40.0, 400.0, ["longitude 'longitude' goes from 400 to 400", "-180 to 360"]),
        (("x", [1.0], {"units": "radian"}), 0.0, ["'radian', expected degrees_north", "Convert"]),
        ((("x"), [1.0], {"units": "degrees_east"}), 0.0, ["'degrees_east', expected"]),
        ("40N", 0.0, ["latitude must hold real numbers"]),
    ],
)
def test_an_impossible_position_is_refused(latitude, longitude, words):
    with refuses(UnitsError, *words):
        read_position(place(latitude, longitude))


def test_times_that_are_no_dates_are_refused():
    with refuses(TimeAxisError, "timedelta64", "xr.decode_cf(ds)", "UTC"):
        read_elevation(place().assign_coords(time=pd.to_timedelta(np.arange(48), unit="h")))
    with refuses(TimeAxisError, "There is no coordinate 'time'"):
        read_elevation(place().drop_vars("time"))
    with refuses(TimeAxisError, "float64"):
        solar_elevation(xr.DataArray([0.0, 1.0], dims="time"), 0.0, 0.0)
