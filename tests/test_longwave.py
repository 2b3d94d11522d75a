"""Longwave radiation: what was observed stays, the rest is estimated, flagged and about right."""

from __future__ import annotations

import os
import re

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xlsm import tutorial
from xlsm.errors import LSMWarning, MissingVariableError, TimeAxisError, UnitsError
from xlsm.longwave import fill_longwave
from xlsm.model.constants import STEFAN_BOLTZMANN
from xlsm.sky import (
    all_sky_emissivity,
    clear_sky_emissivity,
    cloud_fraction,
    specific_humidity,
    vapour_pressure,
)
from xlsm.solar import read_clear_sky

REAL = os.environ.get("XLSM_DATA")
OBSERVED, CLEAR, CLOUDS, MISSING = range(4)
HOUR = 3600.0


def refuses(error, *words):
    """Expect an error whose message holds all the words, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(word) for word in words))


def must_not_compute(dsk, keys, **kwargs):
    raise AssertionError("something was computed")


def weather(days=4, stations=3, step="30min"):
    """Stations under a sky with as many clouds as one likes, at different longitudes."""
    time = pd.date_range("2024-05-31", periods=days * pd.Timedelta("1D") // pd.Timedelta(step))
    time = pd.date_range("2024-05-31T00:30", periods=time.size, freq=step)
    station = np.arange(stations)
    ds = xr.Dataset(
        coords={
            "time": time,
            "station": [f"S{i}" for i in station],
            "latitude": ("station", 50.0 - 10 * station),
            "longitude": ("station", -90.0 + 60 * station),
        }
    )
    random = np.random.default_rng(0)
    shape = (stations, time.size)
    series = {
        "Tair": 290 + 5 * random.standard_normal(shape),
        "Qair": random.uniform(0.004, 0.01, shape),
        "PSurf": random.uniform(9e4, 1.02e5, shape),
        "LWdown": random.uniform(250, 420, shape),
    }
    ds = ds.assign({name: (("station", "time"), values) for name, values in series.items()})
    share = xr.DataArray(random.uniform(0.2, 1.0, shape), dims=("station", "time"))
    return ds.assign(SWdown=read_clear_sky(ds) * share)


def emissivity(ds):
    return ds.LWdown / (STEFAN_BOLTZMANN * ds.Tair**4)


# ---------------------------------------------------------------------------- formulas


def test_humidity_goes_back_and_forth():
    e, p = np.meshgrid(np.linspace(0, 7e3, 50), np.linspace(5e4, 1.1e5, 20))
    q = specific_humidity(e, p)
    np.testing.assert_allclose(vapour_pressure(q, p), e, rtol=1e-13, atol=1e-9)
    assert (np.diff(q, axis=1) > 0).all()


def test_humidity_is_that_of_a_mixture_of_ideal_gases():
    # densities of vapour and dry air at 300 K from their partial pressures
    e, p, gas = 2500.0, 9.8e4, 8.314462618 * 300
    vapour, dry = 0.018015 * e / gas, 0.0289647 * (p - e) / gas
    assert specific_humidity(e, p) == pytest.approx(vapour / (vapour + dry), rel=1e-4)
    # end points: no vapour, and nothing but vapour
    assert vapour_pressure(0.0, p) == 0
    assert vapour_pressure(1.0, p) == pytest.approx(p)


def test_brutsaerts_formula_at_a_usual_temperature():
    # Brutsaert (1982, Evaporation into the atmosphere): 0.553 e^(1/7) at 285 K, e in hPa
    e = np.array([1.0, 5.0, 10.0, 20.0])
    np.testing.assert_allclose(
        clear_sky_emissivity(100 * e, 285.0), 0.553 * e ** (1 / 7), rtol=3e-4
    )


def test_emissivity_of_a_clear_sky_is_between_none_and_one_and_grows_with_vapour():
    e = np.geomspace(1.0, 1e5, 200)
    for temperature in (230.0, 285.0, 320.0):
        eps = clear_sky_emissivity(e, temperature)
        assert ((eps > 0) & (eps <= 1)).all()
        assert (np.diff(eps)[eps[1:] < 1] > 0).all()
        assert eps[-1] == 1
    # the same vapour in warmer air is further away from saturation, the sky less of a black body
    assert clear_sky_emissivity(1e3, 300.0) < clear_sky_emissivity(1e3, 280.0)


def test_clouds_take_a_sky_from_clear_to_black():
    assert all_sky_emissivity(0.7, 0.0) == 0.7
    assert all_sky_emissivity(0.7, 1.0) == 1.0
    assert (np.diff(all_sky_emissivity(0.7, np.linspace(0, 1, 11))) > 0).all()


def test_cloud_fraction_is_what_the_sun_lacks():
    clear = np.full(12, 600.0)
    for share, expected in ((1.3, 0.0), (1.0, 0.0), (0.4, 0.6), (0.0, 1.0), (-0.1, 1.0)):
        found = cloud_fraction(share * clear, clear, step=HOUR)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_cloud_fraction_is_a_mean_over_three_hours():
    clear = np.array([100.0, 200.0, 400.0, 400.0, 200.0, 100.0])
    lost = np.array([0.0, 0.0, 200.0, 0.0, 0.0, 0.0])
    found = cloud_fraction(clear - lost, clear, step=HOUR)
    np.testing.assert_allclose(found, [0, 200 / 700, 200 / 1000, 200 / 1000, 0, 0], atol=1e-12)


def test_clouds_of_the_evening_become_those_of_the_morning():
    day, night = np.full(8, 500.0), np.zeros(11)
    clear = np.concatenate([day, night, day])
    shortwave = np.concatenate([day, night, 0.2 * day])
    found = cloud_fraction(shortwave, clear, step=HOUR)
    np.testing.assert_allclose(found[7:20], np.linspace(0.0, 0.8, 13), atol=1e-12)


def test_clouds_are_carried_for_a_day_and_no_further():
    clear = np.zeros(120)
    clear[60] = 500.0
    found = cloud_fraction(0.7 * clear, clear, step=HOUR)
    np.testing.assert_allclose(found[36:85], 0.3)
    assert np.isnan(np.delete(found, np.arange(36, 85))).all()
    assert np.isnan(cloud_fraction(clear[:30], clear[:30], step=HOUR)).all()


def test_steps_of_a_day_that_are_not_quite_a_day_are_carried():
    clear = np.array([300.0, 0.0, 300.0])
    found = cloud_fraction(0.5 * clear, clear, step=86400.001)
    np.testing.assert_allclose(found, 0.5)
    half_hours = np.full(9, 500.0)
    one_dark = np.where(np.arange(9) == 4, 0.0, half_hours)
    found = cloud_fraction(one_dark, half_hours, step=1800.001)
    np.testing.assert_allclose(found[3:6], 1 / 7)


def test_a_low_sun_says_nothing():
    clear = np.array([500.0, 500.0, 49.0, 49.0, 500.0, 500.0])
    shortwave = np.where(clear < 50, 0.0, clear)
    np.testing.assert_array_equal(cloud_fraction(shortwave, clear, step=HOUR), 0.0)
    brighter = np.where(clear < 50, 51.0, clear)
    assert cloud_fraction(shortwave, brighter, step=HOUR).max() > 0


def test_a_gap_in_the_shortwave_is_bridged():
    clear = np.full(20, 500.0)
    shortwave = np.where(np.isin(np.arange(20), [8, 9, 10, 11]), np.nan, 250.0)
    np.testing.assert_allclose(cloud_fraction(shortwave, clear, step=HOUR), 0.5)


# ---------------------------------------------------------------------------- filling


def test_observed_values_are_kept_bit_for_bit():
    ds = weather()
    gaps = ds.assign(LWdown=ds.LWdown.astype("float32").where(np.arange(ds.sizes["time"]) % 3 > 0))
    gaps.LWdown[0, 1] = np.inf
    before = gaps.copy(deep=True)
    filled = fill_longwave(gaps)
    xr.testing.assert_identical(gaps, before)
    kept = np.isfinite(gaps.LWdown)
    assert filled.LWdown.dtype == np.float64
    assert filled.LWdown.dims == filled.LWdown_estimated.dims == gaps.LWdown.dims
    np.testing.assert_array_equal(filled.LWdown.values[kept], gaps.LWdown.values[kept])
    assert (filled.LWdown_estimated.values == np.where(kept, OBSERVED, CLOUDS)).all()
    assert np.isfinite(filled.LWdown).all()
    assert set(filled.variables) == {*gaps.variables, "LWdown_estimated"}


def test_a_clear_sky_has_the_clear_emissivity_and_an_overcast_one_is_black():
    ds = weather().drop_vars("LWdown")
    plain = emissivity(fill_longwave(ds, clouds=False))
    expected = clear_sky_emissivity(vapour_pressure(ds.Qair, ds.PSurf), ds.Tair)
    np.testing.assert_allclose(plain, expected, rtol=1e-12)
    clear = ds.assign(SWdown=read_clear_sky(ds))
    np.testing.assert_allclose(emissivity(fill_longwave(clear)), expected, rtol=1e-12)
    dark = fill_longwave(ds.assign(SWdown=0 * ds.SWdown))
    np.testing.assert_allclose(emissivity(dark), 1.0, rtol=1e-12)
    some = emissivity(fill_longwave(ds))
    assert ((some > expected) & (some < 1)).all()


def test_attributes_say_what_was_done():
    ds = weather(stations=1)
    n = ds.sizes["time"]
    gaps = ds.assign(
        LWdown=ds.LWdown.where(np.arange(n) >= 10).assign_attrs(
            comment="CGR4", ancillary_variables="qc"
        ),
        Tair=ds.Tair.where(np.arange(n) >= 2),
    )
    filled = fill_longwave(gaps)
    attrs = filled.LWdown.attrs
    assert attrs["standard_name"] == "surface_downwelling_longwave_flux_in_air"
    assert attrs["units"] == "W m-2"
    assert attrs["ancillary_variables"] == "qc LWdown_estimated"
    assert attrs["comment"].startswith(f"CGR4 Of {n} values 0 are estimated")
    for said in (
        "Brutsaert 1975",
        "8 with a cloud fraction",
        "Crawford & Duchon 1999",
        "2 are missing",
    ):
        assert said in attrs["comment"]
    flags = filled.LWdown_estimated
    assert flags.dtype == flags.attrs["flag_values"].dtype == np.int8
    words = flags.attrs["flag_meanings"].split()
    assert dict(zip(flags.attrs["flag_values"].tolist(), words, strict=True)) == {
        OBSERVED: "observed",
        CLEAR: "clear_sky_formula",
        CLOUDS: "with_clouds",
        MISSING: "missing",
    }
    assert flags.values[0].tolist() == [MISSING] * 2 + [CLOUDS] * 8 + [OBSERVED] * (n - 10)
    # a second time there is nothing left to do, and what was estimated is not taken for observed
    xr.testing.assert_identical(fill_longwave(filled), filled)


def test_without_input_there_is_no_estimate():
    ds = weather(days=1, stations=1).drop_vars("LWdown")
    for name, values in {
        "Tair": [np.nan, -9999.0, 9.97e36],
        "Qair": [np.nan, 0.0, -1e-4, -9999.0],
        "PSurf": [np.nan, 0.0, -9999.0],
    }.items():
        bad = ds.copy(deep=True)
        bad[name][0, : len(values)] = values
        filled = fill_longwave(bad)
        n = len(values)
        assert (filled.LWdown_estimated[0, :n] == MISSING).all()
        assert filled.LWdown[0, :n].isnull().all()
        np.testing.assert_array_equal(filled.LWdown[0, n:], fill_longwave(ds).LWdown[0, n:])


def test_no_sun_for_days_or_no_place_leaves_the_clear_sky_formula():
    ds = weather(days=6, stations=2)
    broken = ds.assign_coords(latitude=("station", [50.0, np.nan])).drop_vars("LWdown")
    broken["SWdown"][0, 96:] = -9999.0
    filled, plain = fill_longwave(broken), fill_longwave(broken, clouds=False)
    assert (filled.LWdown_estimated[1] == CLEAR).all()
    assert set(filled.LWdown_estimated.values[0, :96]) == {CLOUDS}
    assert set(filled.LWdown_estimated.values[0, 96 + 48 :]) == {CLEAR}
    same = filled.LWdown_estimated.values == CLEAR
    np.testing.assert_array_equal(filled.LWdown.values[same], plain.LWdown.values[same])


def test_stations_are_alone_and_dimensions_are_free():
    ds = weather().drop_vars("LWdown")
    whole = fill_longwave(ds)
    for i in range(ds.sizes["station"]):
        alone = fill_longwave(ds.isel(station=i))
        xr.testing.assert_allclose(whole.LWdown.isel(station=i), alone.LWdown, rtol=1e-12)
    turned = fill_longwave(ds.transpose("time", "station"))
    assert turned.LWdown.dims == ("time", "station")
    np.testing.assert_allclose(turned.LWdown.T, whole.LWdown, rtol=1e-12)
    # one radiometer for all stations, and one barometer
    shared = weather().assign(
        LWdown=weather().LWdown.isel(station=0, drop=True).where(np.arange(192) > 5),
        PSurf=ds.PSurf.isel(station=0, drop=True),
    )
    filled = fill_longwave(shared)
    assert filled.LWdown.dims == ("station", "time")
    assert filled.LWdown[:, :6].std("station").min() > 0
    assert (filled.LWdown[:, 6:] == shared.LWdown[6:]).all()


def test_units_and_steps_change_nothing():
    ds = weather()
    celsius = ds.assign(
        Tair=(ds.Tair - 273.15).assign_attrs(units="degC"),
        Qair=(ds.Qair * 1e3).assign_attrs(units="g kg-1"),
        PSurf=(ds.PSurf / 100).assign_attrs(units="hPa"),
    ).drop_vars("LWdown")
    known = fill_longwave(ds.drop_vars("LWdown"))
    np.testing.assert_allclose(fill_longwave(celsius).LWdown, known.LWdown, rtol=1e-10)
    # constant weather under a constant share of clear-sky radiation, by half hours and by days
    found = []
    for step in ("30min", "3h", "1D"):
        constant = weather(days=5, step=step)
        constant = constant.assign(
            Tair=xr.full_like(constant.Tair, 290.0),
            Qair=xr.full_like(constant.Qair, 8e-3),
            PSurf=xr.full_like(constant.PSurf, 1e5),
            SWdown=0.6 * read_clear_sky(constant),
        ).drop_vars("LWdown")
        filled = fill_longwave(constant)
        assert (filled.LWdown_estimated == CLOUDS).all()
        found.append(filled.LWdown.values)
        assert np.ptp(found[-1]) < 1e-9
    np.testing.assert_allclose([f[0, 0] for f in found], found[0][0, 0], rtol=1e-12)


@pytest.mark.parametrize("clouds", [True, False])
@pytest.mark.parametrize("observed", [True, False])
def test_dask_is_lazy_and_equal(clouds, observed):
    ds = weather(stations=5)
    gaps = ds.assign(LWdown=ds.LWdown.where(np.arange(192) > 20))
    gaps = gaps if observed else gaps.drop_vars("LWdown")
    eager = fill_longwave(gaps, clouds=clouds)
    place = gaps.coords
    mixed = gaps.chunk(station=2).assign_coords(place)
    mixed["Tair"] = gaps.Tair.chunk(station=3).assign_coords(place)
    one = gaps.assign(Qair=gaps.Qair.chunk(station=1)).assign_coords(place)
    for lazy in (gaps.chunk(station=2), mixed, one):
        with dask.config.set(scheduler=must_not_compute):
            filled = fill_longwave(lazy, clouds=clouds)
        assert filled.LWdown.chunks is not None
        assert filled.LWdown.chunks == filled.LWdown_estimated.chunks
        assert "LWdown_estimated is 1" in filled.LWdown.attrs["comment"]
        computed = filled.compute(scheduler="sync")
        assert computed.LWdown_estimated.dtype == np.int8
        np.testing.assert_array_equal(computed.LWdown_estimated, eager.LWdown_estimated)
        np.testing.assert_allclose(computed.LWdown, eager.LWdown, rtol=1e-12)


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", ["Tair", "Qair", "PSurf"])
def test_missing_weather_is_named(name):
    with refuses(MissingVariableError, f"{name} is not in the Dataset", "add it"):
        fill_longwave(weather().drop_vars(name), clouds=False)


@pytest.mark.parametrize("name", ["SWdown", "latitude", "longitude"])
def test_what_only_clouds_need_has_a_way_out(name):
    ds = weather().drop_vars([name, "LWdown"])
    with refuses(MissingVariableError, name, "fill_longwave(ds, clouds=False)"):
        fill_longwave(ds)
    assert (fill_longwave(ds, clouds=False).LWdown_estimated == CLEAR).all()


def test_radiation_of_another_name_is_not_passed_over():
    ds = weather()
    for other in (
        ds.rename(LWdown="LW_IN"),
        ds.rename(LWdown="sky").assign(
            sky=lambda d: d.sky.assign_attrs(
                standard_name="surface_downwelling_longwave_flux_in_air"
            )
        ),
    ):
        name = "LW_IN" if "LW_IN" in other else "sky"
        with refuses(
            MissingVariableError,
            f"{name!r} looks like it",
            f"ds.rename({{{name!r}: 'LWdown'}})",
            f"ds.drop_vars({name!r})",
        ):
            fill_longwave(other)


def test_local_time_is_noticed():
    ds = weather(stations=1)
    local = ds.assign_coords(time=ds.time - np.timedelta64(6, "h"))
    with refuses(TimeAxisError, "while the sun is below the horizon", "UTC", "timedelta64(6, 'h')"):
        fill_longwave(local)
    fill_longwave(local, clouds=False)
    with refuses(TimeAxisError, "positive to the east"):
        fill_longwave(ds.assign_coords(longitude=-ds.longitude))
    # the sun that never sets says nothing about the clock, and is no reason to complain
    polar = ds.assign_coords(latitude=("station", [89.0]))
    fill_longwave(polar.assign(SWdown=read_clear_sky(polar)))


def test_other_faults_are_those_of_the_readers():
    ds = weather()
    with refuses(TimeAxisError, "not regular"):
        fill_longwave(ds.isel(time=[0, 1, 5]))
    with pytest.warns(LSMWarning, match=r"Tair and 4 more variables .* once\."):
        filled = fill_longwave(ds.chunk(time=48))
    assert len(filled.LWdown.chunksizes["time"]) == 1
    assert len(filled.Tair.chunksizes["time"]) > 1  # what is not filled stays as it is
    xr.testing.assert_allclose(filled.LWdown, fill_longwave(ds).LWdown)
    with refuses(UnitsError, "Tair cannot be in K", "degC"):
        fill_longwave(ds.assign(Tair=ds.Tair - 273.15))
    with refuses(UnitsError, "swapped"):
        fill_longwave(ds.assign_coords(latitude=ds.longitude - 100))


# ---------------------------------------------------------------------------- real towers


@pytest.mark.skipif(REAL is None, reason="XLSM_DATA is not set: no real data")
@pytest.mark.parametrize(
    ("name", "clear_limit", "cloudy_limit"),
    [("US-Bondville_1998", 46.0, 23.0), ("US-ARM-SGP_2017-06", 36.0, 18.0)],
)
def test_hidden_observations_are_found_again(name, clear_limit, cloudy_limit):
    ds = tutorial.open_dataset(name)
    scores = {}
    for clouds in (False, True):
        filled = fill_longwave(ds.drop_vars("LWdown"), clouds=clouds)
        known = filled.LWdown_estimated != MISSING
        assert known.mean() > 0.99
        error = (filled.LWdown - ds.LWdown).where(known)
        scores[clouds] = float(np.sqrt((error**2).mean())), float(error.mean())
        print(
            f"{name} clouds={clouds}: RMSE {scores[clouds][0]:.1f}, bias {scores[clouds][1]:+.1f}"
        )
    assert scores[False][0] < clear_limit
    assert scores[True][0] < cloudy_limit
    assert abs(scores[True][1]) < 15 < abs(scores[False][1])
    # better than to take the mean of what was observed
    assert scores[True][0] < float(ds.LWdown.std())
