"""The classical estimators find the diffusivity of known waves, and NaN where there is none.

A wave in a uniform half-space is known in closed form; the package's own model, run under daily
weather, is the second source of temperatures.
"""

import datetime as dt
import os
from itertools import pairwise
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import minimize_scalar

import xlsm
from xlsm.diffusivity import ESTIMATORS, diffusivity
from xlsm.errors import (
    DimensionError,
    LSMWarning,
    MissingVariableError,
    ParameterError,
    TimeAxisError,
    UnitsError,
)
from xlsm.harmonics import best_distance, conducted

DAY = 2 * np.pi / 86400
DEPTHS = (0.05, 0.1, 0.2)
KAPPA = 5e-7
TREND = 1e-5  # K s-1: nearly a degree a day
DATA = Path(os.environ.get("XLSM_DATA", "nowhere"))


def wave(
    kappa=KAPPA,
    amplitudes=(8.0,),
    *,
    depth=DEPTHS,
    days=5.0,
    step="30min",
    trend=0.0,
    omega=DAY,
    damped=1.0,
    late=1.0,
):
    """Temperatures of a half-space under a periodic surface, its harmonics given: exact."""
    count = round(days * pd.Timedelta("1D") / pd.Timedelta(step))
    times = pd.date_range("2024-06-01", periods=count, freq=step)
    seconds = xr.DataArray(np.arange(count) * pd.Timedelta(step).total_seconds(), dims="time")
    z = xr.DataArray(list(depth), dims="depth")
    total = 290.0 + trend * seconds - 5 * z
    for m, amplitude in enumerate(amplitudes, 1):
        x = z * np.sqrt(m * omega / (2 * kappa))
        turning = np.cos(m * (omega * seconds - 2.5) - late * x)
        total = total + amplitude * np.exp(-damped * x) * turning
    total = total.transpose(..., "time", "depth").assign_attrs(units="K")
    return xr.Dataset({"SoilTemp": total}, {"time": times, "depth": list(depth)})


def assert_found(result, kappa=KAPPA, rtol=1e-9, estimators=ESTIMATORS):
    found = result.diffusivity.sel(estimator=list(estimators))
    xr.testing.assert_allclose(found / kappa, xr.ones_like(found), rtol=rtol, atol=0)


# ---------------------------------------------------------------------------- exact waves


def test_the_one_to_trust_is_marked():
    result = diffusivity(wave())
    assert result.estimator[result.recommended].values.tolist() == ["harmonic"]
    assert "Trust the harmonic estimator" in result.attrs["comment"]
    assert "Horton, Wierenga & Nielsen (1983)" in result.attrs["comment"]
    assert not diffusivity(wave(), estimators=["phase", "amplitude"]).recommended.any()


def test_all_estimators_find_an_exact_wave():
    kappa = xr.DataArray(np.geomspace(1e-7, 2e-6, 12), dims="station")
    result = diffusivity(wave(kappa))
    assert_found(result, kappa)
    assert dict(result.diffusivity.sizes) == {"station": 12, "estimator": 5, "layer": 2}
    assert list(result.estimator.values) == list(ESTIMATORS)
    np.testing.assert_array_equal(result.upper, DEPTHS[:-1])
    np.testing.assert_array_equal(result.lower, DEPTHS[1:])
    # what goes with it
    x = (result.lower - result.upper) * np.sqrt(DAY / (2 * kappa))
    top = 8 * np.exp(-result.upper * np.sqrt(DAY / (2 * kappa)))
    for name, expected in {"lag": x / DAY, "amplitude_ratio": np.exp(-x), "amplitude": top}.items():
        np.testing.assert_allclose(result[name].transpose(*expected.dims), expected, rtol=1e-9)
    assert (result.rmse < 1e-9).all()


def test_every_other_shape_of_the_day_suits_some():
    """The four samples cancel even harmonics; the third spoils them, and them alone."""
    assert_found(diffusivity(wave(amplitudes=(8, 3))))
    result = diffusivity(wave(amplitudes=(8, 3, 1, 1)))
    assert_found(result, estimators=("amplitude", "phase", "harmonic"))
    spoilt = abs(result.diffusivity.sel(estimator=["arctangent", "logarithmic"]) / KAPPA - 1)
    assert (spoilt > 1e-5).all()
    assert (spoilt < 0.1).all()


def test_four_samples_are_those_of_the_literature():
    """The printed formulas, on temperatures as a thermometer reads them, at all first times."""
    amplitudes = (8.0, 3.0, 1.5, 0.5)
    # 24 first times a quarter day: a reading every quarter of an hour
    day = wave(amplitudes=amplitudes, days=1, step="15min").SoilTemp.isel(depth=[0, 1]).values
    (t1, s1), (t2, s2), (t3, s3), (t4, s4) = (day[i * 24 :][:24].T for i in range(4))
    dz = 0.05
    numerator = (t1 - t3) * (s2 - s4) - (t2 - t4) * (s1 - s3)
    denominator = (t1 - t3) * (s1 - s3) + (t2 - t4) * (s2 - s4)
    arctangent = DAY * dz**2 / (2 * np.median(np.arctan(numerator / denominator)) ** 2)
    ratio = ((t1 - t3) ** 2 + (t2 - t4) ** 2) / ((s1 - s3) ** 2 + (s2 - s4) ** 2)
    logarithmic = (0.0121 * dz / np.median(np.log(ratio))) ** 2  # s-1/2, rounded in print

    found = diffusivity(wave(amplitudes=amplitudes)).diffusivity.isel(layer=0)
    assert abs(arctangent / KAPPA - 1) > 1e-4  # or the third harmonic would not be tested
    np.testing.assert_allclose(found.sel(estimator="arctangent"), arctangent, rtol=1e-9)
    np.testing.assert_allclose(found.sel(estimator="logarithmic"), logarithmic, rtol=0.01)
    exact = logarithmic * 2 * DAY / 0.0121**2
    np.testing.assert_allclose(found.sel(estimator="logarithmic"), exact, rtol=1e-9)


def test_one_or_two_harmonics_make_the_four_samples_the_plain_ones():
    shape = wave(amplitudes=(8, 3, 2, 1))
    found = diffusivity(shape, harmonics=2).diffusivity
    for plain, four in (("amplitude", "logarithmic"), ("phase", "arctangent")):
        np.testing.assert_allclose(
            found.sel(estimator=plain), found.sel(estimator=four), rtol=1e-12
        )


def test_a_trend_does_not_matter():
    assert_found(diffusivity(wave(amplitudes=(8, 3), trend=TREND, days=3.3)), rtol=1e-8)


def test_a_thick_layer_delays_by_more_than_half_a_day():
    damping_depth = np.sqrt(2 * KAPPA / DAY)
    result = diffusivity(wave(depth=(0.05, 0.05 + 4.5 * damping_depth)))
    np.testing.assert_allclose(result.lag, 4.5 / DAY, rtol=1e-6)
    assert_found(result, rtol=1e-6)


def test_a_year_of_days():
    year = 2 * np.pi / (365.25 * 86400)
    ds = wave(depth=(1.0, 2.0, 4.0), days=3 * 366, step="1D", omega=year, amplitudes=(10, 2))
    for period in ("365.25D", dt.timedelta(365.25), np.timedelta64(36525 * 864, "s")):
        assert_found(diffusivity(ds, period=period))


def test_units_order_and_kind_of_input_do_not_matter():
    ds = wave()
    result = diffusivity(ds)
    other = ds.isel(depth=[2, 0, 1]).transpose("depth", "time")
    other["SoilTemp"] = (other.SoilTemp - 273.15).assign_attrs(units="degC")
    other = other.assign_coords(depth=("depth", other.depth.values * 100, {"units": "cm"}))
    before = other.copy(deep=True)
    xr.testing.assert_allclose(diffusivity(other), result, rtol=1e-9)
    xr.testing.assert_identical(other, before)
    xr.testing.assert_identical(diffusivity(ds.SoilTemp.rename("anything")), result)


def test_what_is_asked_for_in_the_order_asked():
    every = diffusivity(wave(amplitudes=(8, 3, 2))).diffusivity
    for names in (["harmonic", "phase"], ["logarithmic"], ["arctangent", "amplitude"]):
        some = diffusivity(wave(amplitudes=(8, 3, 2)), estimators=iter([*names, *names]))
        xr.testing.assert_identical(some.diffusivity, every.sel(estimator=names))
    alone = diffusivity(wave(), estimators="phase")
    assert list(alone.estimator.values) == ["phase"]
    assert {name: alone[name].attrs["units"] for name in alone} == {
        "diffusivity": "m2 s-1",
        "rmse": "K",
        "amplitude": "K",
        "amplitude_ratio": "1",
        "lag": "s",
    }


def test_rmse_is_that_of_the_predicted_series():
    """A wave damped half as much as it is late: amplitude tells of half the delay, phase of all."""
    x1, x2 = np.array([0.05, 0.1]) * np.sqrt(DAY / (2 * KAPPA))
    result = diffusivity(wave(depth=(0.05, 0.1), damped=0.5)).isel(layer=0)
    angle = 2 * np.pi * np.arange(1000) / 1000
    below = 8 * np.exp(-x2 / 2) * np.cos(angle - x2)
    predicted = {
        "amplitude": 8 * np.exp(-x2 / 2) * np.cos(angle - (x1 + x2) / 2),
        "phase": 8 * np.exp(-x1 / 2 - (x2 - x1)) * np.cos(angle - x2),
    }
    for name, series in predicted.items():
        rmse = np.sqrt(np.mean((series - below) ** 2))
        assert float(result.rmse.sel(estimator=name)) == pytest.approx(rmse, rel=1e-9)


# ---------------------------------------------------------------------------- noise and gaps


def test_gaps_cost_nothing_where_there_is_no_noise():
    ds = wave(amplitudes=(8, 3), trend=TREND)
    gone = np.random.default_rng(0).random(ds.SoilTemp.shape) < 0.4
    gone[100:130, 0] = True
    ds["SoilTemp"] = ds.SoilTemp.where(~gone)
    assert_found(diffusivity(ds), rtol=1e-8)
    filled = ds.fillna(-9999.0)
    filled["SoilTemp"][3, 1] = np.inf
    filled["SoilTemp"][4, 1] = 1e30
    assert_found(diffusivity(filled), rtol=1e-8)


def test_the_same_hours_missing_every_day_cost_harmonics():
    ds = wave(amplitudes=(8, 3), trend=TREND)
    for hours, harmonics in {18: 4, 12: 2}.items():
        part = ds.where(ds.time.dt.hour < hours)
        assert_found(diffusivity(part, harmonics=harmonics), rtol=1e-7)
        assert diffusivity(part, harmonics=2 * harmonics).diffusivity.isnull().all()


def test_noise_spreads_the_results_as_it_must():
    """Error propagation: each amplitude is known to sigma sqrt(2 / times present)."""
    random, sigma, members = np.random.default_rng(0), 0.1, 400
    ds = wave(depth=(0.05, 0.15), days=10)
    noise = sigma * random.standard_normal((members, *ds.SoilTemp.shape))
    noisy = ds.SoilTemp + xr.DataArray(noise, dims=("member", *ds.SoilTemp.dims))
    result = diffusivity(noisy.where(random.random(noisy.shape) > 0.1))
    present = 0.81 * ds.sizes["time"]  # at both depths
    upper = float(result.amplitude.mean())
    x = 0.1 * np.sqrt(DAY / (2 * KAPPA))
    spread = sigma * np.sqrt(2 / present * (upper**-2 + (upper * np.exp(-x)) ** -2))
    for name in ("amplitude", "phase"):
        error = result.diffusivity.sel(estimator=name) / KAPPA - 1
        assert abs(float(error.std()) / (2 * spread / x) - 1) < 0.15, name
        assert abs(float(error.mean())) < 0.01
    # the whole of the wave says more than its amplitude or its phase
    spreads = result.diffusivity.std("member").isel(layer=0)
    assert spreads.idxmin("estimator") == "harmonic"
    assert float(spreads.min()) < 0.8 * float(spreads.sel(estimator="amplitude"))


def test_harmonic_predicts_best():
    random = np.random.default_rng(1)
    ds = wave(xr.DataArray(np.geomspace(2e-7, 1e-6, 30), dims="station"), (8, 3, 2, 1))
    noisy = ds.SoilTemp + random.standard_normal(ds.SoilTemp.shape)
    result = diffusivity(noisy)
    assert result.diffusivity.notnull().all()
    assert (result.rmse.sel(estimator="harmonic") <= result.rmse.min("estimator")).all()
    assert (result.rmse > 1e-3).all()


@pytest.mark.parametrize("harmonics", [1, 4, 7])
def test_best_distance_is_the_best(harmonics):
    random = np.random.default_rng(2)
    shape = (40, harmonics)
    upper, noise = (random.normal(size=shape) + 1j * random.normal(size=shape) for _ in range(2))
    true = random.uniform(0.1, 3, 40)
    lower = conducted(upper, true) + 0.05 * noise
    found = best_distance(upper, lower)
    tried = np.linspace(0.01, 9, 900)
    for one, other, distance in zip(upper, lower, found, strict=True):

        def misfit(x, one=one, other=other):
            return np.sum(abs(other - conducted(one, np.asarray(x))) ** 2, axis=-1)

        near = tried[np.argmin(misfit(tried))]
        around, fine = (near - 0.01, near + 0.01), {"xatol": 1e-9}
        best = minimize_scalar(misfit, bounds=around, method="bounded", options=fine).x
        assert distance == pytest.approx(best, rel=1e-6)


# ---------------------------------------------------------------------------- what cannot be


def not_found(result):
    """Names of the estimators that found nothing, the same in every layer."""
    missing = result.diffusivity.isnull()
    assert (missing.all("layer") == missing.any("layer")).all()
    assert (result.rmse.isnull() == missing).all()
    return [name for name in ESTIMATORS if missing.sel(estimator=name).all()]


def test_a_wave_that_grows_with_depth_is_not_damped():
    result = diffusivity(wave(damped=-0.2))
    assert not_found(result) == ["amplitude", "logarithmic", "harmonic"]
    assert (result.amplitude_ratio > 1).all()
    assert_found(result, estimators=["phase", "arctangent"])


def test_a_wave_that_arrives_early_is_not_conducted():
    result = diffusivity(wave(late=-1))
    assert not_found(result) == ["phase", "arctangent", "harmonic"]
    assert (result.lag < 0).all()
    assert_found(result, estimators=["amplitude", "logarithmic"])


def test_a_bad_station_is_nan_and_its_neighbours_are_well():
    good = wave(days=3).SoilTemp
    stations = {
        "good": good,
        "dead": good * np.nan,
        "stuck": xr.full_like(good, 290.125),
        "lower stuck": good.where(good.depth < 0.2, 287.3),
        "fill values": xr.full_like(good, -9999),
        "few": good.where(good.time < good.time[9]),
        "turns": good.where((good.time.dt.minute == 0) == (good.depth < 0.1)),
        "nights": good.where(good.time.dt.hour < 6),
        "also good": wave(1e-6, days=3).SoilTemp,
    }
    names = xr.DataArray(list(stations), dims="station", name="station")
    result = diffusivity(xr.concat(stations.values(), dim=names))
    for name in ("good", "also good"):
        alone = diffusivity(stations[name])
        xr.testing.assert_allclose(result.sel(station=name, drop=True), alone, rtol=1e-12)
        assert alone.diffusivity.notnull().all()
    for name in set(stations) - {"good", "also good", "lower stuck", "turns"}:
        assert result.diffusivity.sel(station=name).isnull().all(), name
    # a layer is lost, not the station
    for name, left in {"lower stuck": [5, 0], "turns": [0, 5]}.items():
        found = result.diffusivity.sel(station=name).notnull().sum("estimator")
        assert found.values.tolist() == left, name


# ---------------------------------------------------------------------------- the model


def simulated(minutes, spacing):
    """Four days of the model's soil, long after its start, under the same day over and over."""
    times = pd.date_range("2024-06-01", periods=24 * 1440 // minutes + 1, freq=f"{minutes}min")
    hour = np.arange(times.size) * minutes / 60
    warm = np.sin((hour - 9) * np.pi / 12)
    ds = xr.Dataset(
        {
            "SWdown": ("time", 700 * np.maximum(np.sin((hour - 6) * np.pi / 12), 0)),
            "LWdown": ("time", 330 + 20 * warm),
            "Tair": ("time", 288 + 6 * warm),
        },
        {"time": times},
    )
    soil = {"thermal_conductivity": 1.0, "heat_capacity": 1.0 / KAPPA, "deep_temperature": 293.0}
    model = xlsm.Model(grid=xlsm.UniformGrid(depth=1.2, nodes=round(1.2 / spacing) + 1))
    sim = ds.lsm.simulate(soil, model=model, depth=[0.04, 0.08, 0.16], outputs="SoilTemp")
    return sim.isel(time=slice(-4 * 1440 // minutes, None))


@pytest.mark.parametrize(("minutes", "spacing"), [(60, 0.02), (30, 0.01)])
def test_the_model_conducts_as_its_scheme_says(minutes, spacing):
    """Backward Euler on a grid damps and delays a wave by a known amount, not quite the soil's."""
    found = diffusivity(simulated(minutes, spacing)).diffusivity
    step = minutes * 60
    rate = (1 - np.exp(-1j * DAY * step)) / step
    wavenumber = 2 / spacing * np.arcsinh(spacing / 2 * np.sqrt(rate / KAPPA))
    for name, part in {"amplitude": wavenumber.real, "phase": wavenumber.imag}.items():
        np.testing.assert_allclose(found.sel(estimator=name), DAY / (2 * part**2), rtol=1e-3)


def test_the_model_comes_nearer_to_its_soil_with_resolution():
    errors = [
        diffusivity(simulated(minutes, spacing)).diffusivity / KAPPA - 1
        for minutes, spacing in ((60, 0.02), (30, 0.01), (15, 0.005))
    ]
    for coarse, fine in pairwise(errors):
        assert (abs(fine) < 0.6 * abs(coarse)).all()
    assert (abs(errors[-1]) < 0.04).all()
    assert (abs(errors[-1].sel(estimator="harmonic")) < 0.002).all()


def test_a_first_guess_for_a_network():
    """Changing weather, noise of 0.1 K and gaps of a day: right within a tenth, mostly."""
    ds = xlsm.tutorial.open_dataset("twin")
    true = ds.true_thermal_conductivity / ds.true_heat_capacity
    result = diffusivity(ds, estimators="harmonic").diffusivity
    assert (abs(result / true - 1).median("station") < 0.1).all()
    assert (abs(result / true - 1) < 0.3).all()


# ---------------------------------------------------------------------------- batches, dask


@pytest.fixture(scope="module")
def ensemble():
    """Soils by station, noise by member, dead sensors here and there."""
    kappa = xr.DataArray(
        np.geomspace(2e-7, 1e-6, 5), dims="station", coords={"station": list("abcde")}
    )
    ds = wave(kappa, (8, 3), days=3)
    noise = np.random.default_rng(3).standard_normal((4, *ds.SoilTemp.shape))
    temperature = ds.SoilTemp + 0.1 * xr.DataArray(noise, dims=("member", *ds.SoilTemp.dims))
    temperature[{"member": 2, "station": 3, "time": slice(20, None), "depth": 0}] = np.nan
    temperature[{"member": 1, "station": 1}] = np.nan
    return ds.assign(SoilTemp=temperature)


def test_batch_dimensions_are_free(ensemble):
    result = diffusivity(ensemble)
    assert dict(result.lag.sizes) == {"member": 4, "station": 5, "layer": 2}
    assert result.diffusivity.isnull().sum() == 15  # five of one layer, ten of two
    turned = diffusivity(ensemble.transpose("depth", "station", "time", "member"))
    xr.testing.assert_allclose(turned.transpose(*result.dims), result.transpose(*result.dims))
    for member, station in [(0, 0), (2, 3), (1, 1), (3, 4)]:
        alone = diffusivity(ensemble.isel(member=member, station=station))
        together = result.isel(member=member, station=station)
        xr.testing.assert_allclose(alone, together, rtol=1e-10)


def test_other_coordinates_do_not_harm(ensemble):
    extra = ensemble.assign_coords(
        latitude=("station", np.arange(5.0)),
        hour=("time", ensemble.time.dt.hour.values),
        label=("depth", ["a", "b", "c"]),
        layer=3,
        upper=1.0,
    ).assign(Rainf=("time", np.zeros(ensemble.time.size)))
    result = diffusivity(extra)
    assert set(result.coords) == {
        *("station", "latitude", "estimator", "recommended", "upper", "lower")
    }
    xr.testing.assert_identical(result.drop_vars("latitude"), diffusivity(ensemble))


def test_dask_in_lazy_out(ensemble):
    def must_not_compute(dsk, keys, **kwargs):
        raise RuntimeError("computed while building a graph")

    eager = diffusivity(ensemble)
    with dask.config.set(scheduler=must_not_compute):
        lazy = diffusivity(ensemble.chunk(station=2, member=3))
        assert all(variable.chunks is not None for variable in lazy.values())
    assert lazy.diffusivity.chunksizes["station"] == (2, 2, 1)
    for scheduler in ("sync", "threads"):
        computed = lazy.compute(scheduler=scheduler)
        xr.testing.assert_allclose(computed, eager, rtol=1e-12)
    assert lazy.lag.attrs == eager.lag.attrs
    assert all(variable.chunks is None for variable in eager.values())


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize("chunks", [{"time": 9}, {"depth": 1}])
def test_chunks_of_time_and_depth_are_put_together(chunks):
    with pytest.warns(LSMWarning, match="SoilTemp is chunked along time or depth") as told:
        lazy = diffusivity(wave().chunk(chunks))
    assert len(told) == 1
    assert told[0].filename == __file__
    xr.testing.assert_identical(lazy.compute(), diffusivity(wave()))


def with_depths(*depth):
    return wave().assign_coords(depth=list(depth))


def with_units(units):
    ds = wave()
    ds["SoilTemp"].attrs["units"] = units
    return ds


REFUSED = {
    "no soil temperature": (
        lambda: wave().rename(SoilTemp="TS"),
        {},
        (MissingVariableError, r"ds\.rename\(\{'TS': 'SoilTemp'\}\)"),
    ),
    "wrong units": (lambda: with_units("kg"), {}, (UnitsError, "cannot be converted to 'K'")),
    "no depth": (
        lambda: wave().isel(depth=0, drop=True),
        {},
        (DimensionError, "no coordinate 'depth'.*ds.assign_coords"),
    ),
    "no depth, another name": (
        lambda: wave().rename(depth="soil_depth"),
        {},
        (DimensionError, r"ds\.rename\(\{'soil_depth': 'depth'\}\)"),
    ),
    "one depth": (
        lambda: wave().isel(depth=[1]),
        {},
        (DimensionError, "one depth only, 0.1 m, but .* two.*xr.concat"),
    ),
    "one scalar depth": (
        lambda: wave().isel(depth=1),
        {},
        (DimensionError, "one depth only, 0.1 m"),
    ),
    "depths gone": (lambda: wave().isel(depth=[]), {}, (DimensionError, "no depth left")),
    "a depth twice": (lambda: with_depths(0.1, 0.2, 0.1), {}, (DimensionError, "duplicates")),
    "depth above ground": (lambda: with_depths(-0.1, 0, 1), {}, (DimensionError, "downwards")),
    "name taken": (
        lambda: wave().expand_dims("layer"),
        {},
        (DimensionError, "cannot be called 'layer'"),
    ),
    "gaps in time": (
        lambda: wave().isel(time=[0, 1, 3]),
        {},
        (TimeAxisError, "not regular.*resample"),
    ),
    "short": (
        lambda: wave(days=0.75),
        {},
        (TimeAxisError, "36 times of 1800 s are 64800 s, the period is 86400 s.*'64800s' at most"),
    ),
    "long period": (wave, {"period": "365D"}, (TimeAxisError, "shorter than the period")),
    "twice a day": (
        lambda: wave(step="12h"),
        {"harmonics": 1},
        (TimeAxisError, "43200 s does not resolve a wave of 86400 s"),
    ),
    "fine harmonics": (
        lambda: wave(step="3h"),
        {},
        (ParameterError, "harmonics=4 of .* use harmonics=3"),
    ),
    "no harmonics": (wave, {"harmonics": 0}, (ParameterError, "at least 1, got 0")),
    "half a harmonic": (wave, {"harmonics": 1.5}, (ParameterError, "whole number.* got 1.5")),
    "list of harmonics": (wave, {"harmonics": [1, 2]}, (ParameterError, "whole number.* got")),
    "true harmonics": (wave, {"harmonics": True}, (ParameterError, "whole number.* got True")),
    "unknown estimator": (
        wave,
        {"estimators": ["phases"]},
        (ParameterError, "'phases' is no estimator. Did you mean 'phase'.*arctangent, log"),
    ),
    "short estimator": (wave, {"estimators": "log"}, (ParameterError, "mean 'logarithmic'")),
    "no estimator": (wave, {"estimators": []}, (ParameterError, "No estimator asked for")),
    **{
        f"period {period!r}": (
            wave,
            {"period": period},
            (ParameterError, "must be a duration, '1D' or.*got"),
        )
        for period in ("a day", "", "0D", "-1D", 86400, 1.0, None, ["1D"], "1M")
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_cure(case):
    make, options, (error, message) = REFUSED[case]
    with pytest.raises(error, match=message):
        diffusivity(make(), **options)


def test_the_cures_cure():
    assert_found(diffusivity(wave(step="3h"), harmonics=np.int64(3)))
    assert diffusivity(wave(days=0.75), period="64800s").lag.notnull().all()
    one, other = (wave().SoilTemp.isel(depth=i, drop=True) for i in (0, 1))
    together = xr.concat([one, other], dim="depth").assign_coords(depth=[0.05, 0.1])
    assert_found(diffusivity(together))


# ---------------------------------------------------------------------------- real soils


def observed(name, start, end):
    path = DATA / f"{name}.nc"
    if not path.exists():
        pytest.skip(f"{path.name} is not in XLSM_DATA")
    with xr.open_dataset(path) as ds:
        return ds.SoilTemp.sel(time=slice(start, end)).load()


@pytest.mark.parametrize(
    ("name", "start", "end", "deepest"),
    [
        ("US-ARM-SGP_2017-06", "2017-06-05", "2017-06-24", 0.5),
        # at 0.64 m a day's wave is 0.08 K, the size of the probes' own errors
        ("US-Bondville_1998", "1998-09-01", "1998-09-30", 0.32),
    ],
)
def test_real_soils_are_soils(name, start, end, deepest):
    result = diffusivity(observed(name, start, end).sel(depth=slice(deepest)))
    assert (result.diffusivity > 1e-7).all()
    assert (result.diffusivity < 2e-6).all()
    # most of the wave below is told by the one above, and the best predicts the best
    below = result.amplitude * result.amplitude_ratio / np.sqrt(2)
    best = result.rmse.sel(estimator="harmonic")
    assert (best < 0.15 * below).all()
    assert (best <= result.rmse).all()


def test_three_profiles_at_once():
    profiles = observed("US-ARM-SGP_2017-06", "2017-06-05", "2017-06-24")
    with xr.open_dataset(DATA / "US-ARM-SGP_2017-06.nc") as ds:
        several = ds.SoilTemp_profiles.sel(time=profiles.time).load()
    result = diffusivity(several)
    assert result.profile.values.tolist() == ["west", "south", "east"]
    assert result.diffusivity.notnull().all()
    # the mean of the profiles has a diffusivity amid theirs
    found = diffusivity(profiles).diffusivity.sel(estimator="amplitude")
    each = result.diffusivity.sel(estimator="amplitude")
    assert (found > each.min("profile")).all()
    assert (found < each.max("profile")).all()
