"""What is held out has no part in a fit, and is what the fit is judged by."""

import re

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from twins import assert_identical_numbers, truth, twin

import xlsm
from xlsm import Parameter
from xlsm.errors import DimensionError, LSMError, ParameterError, TimeAxisError
from xlsm.guesses import with_classical_guesses
from xlsm.holdout import held_out, without
from xlsm.judge import judged
from xlsm.measures import line, measures
from xlsm.windows import windows_of

MODEL = xlsm.Model(grid=xlsm.UniformGrid(depth=0.5, nodes=11))
FREE = ["albedo", "combined_transfer_coefficient"]
OBSERVED = {"SoilTemp": 0.1, "LWup": 5.0}
HOURS, FITTED = 72, 48
OPTIONS = {
    "observed": OBSERVED,
    "model": MODEL,
    "fixed": {name: value for name, value in truth(2).items() if name not in FREE},
}
MEASURED = ("rmse", "bias", "r2", "kge", "samples", "rmse_line")


@pytest.fixture(scope="module")
def ds():
    """Three days of two stations; turbulence is observed but not fitted; a few gaps."""
    ds = twin(2, hours=HOURS, noise=1.0, depth=(0.02, 0.1), outputs=("SoilTemp", "LWup", "Qturb"))
    random = np.random.default_rng(9)
    for name in ("SoilTemp", "LWup", "Qturb"):
        ds[name] = ds[name].where(random.random(ds[name].shape) > 0.1)
    return ds


@pytest.fixture(scope="module")
def est(ds):
    return ds.lsm.estimate(FREE, holdout="1D", **OPTIONS)


# ---------------------------------------------------------------------------- what is held out


def test_what_is_held_out_has_no_part_in_the_fit(ds, est):
    """Other values, values that cannot be, none at all: not a bit changes."""
    fits = {}
    for what, value in {"moved": ds + 7, "filled": 0 * ds - 9999, "gone": ds * np.nan}.items():
        other = ds.copy()
        for name in OBSERVED:
            other[name] = ds[name].where(ds.time < ds.time[FITTED], value[name])
        holdout = None if what == "gone" else "1D"
        fits[what] = other.lsm.estimate(FREE, holdout=holdout, **OPTIONS)
    unscored = est.drop_vars(MEASURED)
    for found in fits.values():
        assert_identical_numbers(found.drop_vars(MEASURED, errors="ignore"), unscored)
    shift = (fits["moved"].bias - est.bias).sel(observable="LWup")
    np.testing.assert_allclose(shift.sel(part="held out"), -7, rtol=1e-9)
    assert (shift.sel(part="fitted") == 0).all()


def test_what_is_held_out_has_no_part_in_the_first_guess(ds):
    held = held_out(ds, "1D", None)
    other = ds.copy()
    other["SoilTemp"] = ds.SoilTemp.where(ds.time < ds.time[FITTED], 250.0)
    wanted = {"thermal_diffusivity": Parameter()}
    one, two, whole = (
        with_classical_guesses(wanted, record, MODEL)["thermal_diffusivity"].initial
        for record in (without(ds, held, None), without(other, held, None), ds)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != whole).all()
    # times held out of one window may be fitted in another
    windows = windows_of(ds, "1D", "12h")
    end = held_out(ds, "6h", windows)
    kept = without(ds.fillna(0.0), end, windows).LWup.notnull().isel(station=0)
    hours = kept.values[:60].reshape(5, 12)
    np.testing.assert_array_equal(hours[:, :6], True)
    np.testing.assert_array_equal(hours[1:, 6:], False)


@pytest.mark.parametrize(
    ("holdout", "hours"),
    [
        ("50h", range(22, 72)),
        (1 / 3, range(48, 72)),
        (pd.Timedelta("1D"), range(48, 72)),
        (slice("2012-05-02T12:00", "2012-05-02T14:00"), range(36, 39)),
        ("every 2nd day", range(24, 48)),
        (" every 3rd day", range(48, 72)),
    ],
)
def test_ways_to_say_what_is_held_out(ds, holdout, hours):
    assert np.flatnonzero(held_out(ds, holdout, None)).tolist() == list(hours)


def test_days_count_from_the_first_time():
    lead = xr.Dataset(coords={"time": pd.timedelta_range("6h", periods=200, freq="30min")})
    held = np.flatnonzero(held_out(lead, "every 2nd day", None))
    assert held.tolist() == [*range(48, 96), *range(144, 192)]


# ---------------------------------------------------------------------------- the scores


def by_hand(simulated, seen, sun, part, fitted):
    """Score a series with NumPy's own functions."""
    slope, intercept = np.polyfit(
        sun[fitted & np.isfinite(seen)], seen[fitted & ~np.isnan(seen)], 1
    )
    there = part & np.isfinite(seen)
    model, truth = simulated[there], seen[there]
    r = np.corrcoef(model, truth)[0, 1]
    return {
        "rmse": np.sqrt(np.mean((model - truth) ** 2)),
        "bias": np.mean(model - truth),
        "r2": 1 - np.sum((model - truth) ** 2) / np.sum((truth - truth.mean()) ** 2),
        "kge": 1
        - np.linalg.norm(
            [r - 1, np.std(model) / np.std(truth) - 1, np.mean(model) / np.mean(truth) - 1]
        ),
        "samples": there.sum(),
        "rmse_line": np.sqrt(np.mean((intercept + slope * sun[there] - truth) ** 2)),
    }


def test_the_scores_are_those_one_would_compute(ds, est):
    """Of the estimates, run over the whole record, in both parts."""
    labels = {"SoilTemp 0.02 m": 0, "SoilTemp 0.1 m": 1, "LWup": None, "Qturb": None}
    assert est.rmse.dims == ("station", "part", "observable")
    assert list(est.observable.values) == list(labels)
    assert list(est["units"].values) == ["K", "K", "W m-2", "W m-2"]
    sim = ds.lsm.simulate(est, outputs=["SoilTemp", "LWup", "Qturb"])
    late = np.arange(HOURS) >= FITTED
    for label, level in labels.items():
        name = label.split(" ")[0]
        at = {"station": 1} | ({} if level is None else {"depth": level})
        for part, times in {"fitted": ~late, "held out": late}.items():
            expected = by_hand(
                sim[name].isel(at).values,
                ds[name].isel(at).values,
                ds.SWdown[1].values,
                times,
                ~late,
            )
            found = est.isel(station=1).sel(part=part, observable=label)
            for measure, value in expected.items():
                np.testing.assert_allclose(found[measure], value, rtol=1e-9, err_msg=measure)
    # the true model beats the line; what it misses is the noise
    assert (est.rmse < est.rmse_line).sel(observable=list(labels)[:3]).all()
    assert (est.rmse.sel(observable="LWup") < 7).all()


def test_efficiencies_of_what_is_perfect_and_of_what_is_constant():
    seen = np.array([[285.0, 286.5, np.nan, 291.0], [290.1] * 4])
    rmse, bias, r2, kge, samples = measures(seen, seen)
    np.testing.assert_array_equal(rmse, 0)
    np.testing.assert_array_equal(bias, 0)
    np.testing.assert_array_equal(r2, [1, np.nan])
    np.testing.assert_allclose(kge, [1, np.nan], rtol=1e-15)
    np.testing.assert_array_equal(samples, [3, 4])
    # one of the three parts at a time
    wave = 10 + np.sin(np.arange(400) * np.pi / 200)
    for simulated, off in ((wave + 2, 0.2), (10 + 1.3 * (wave - 10), 0.3), (20 - wave, 2.0)):
        np.testing.assert_allclose(measures(simulated, wave)[3], 1 - off, rtol=1e-12)
    none = measures(wave, wave * np.nan)
    assert none[4] == 0
    assert np.isnan(none[:4]).all()


def test_a_line_of_a_sun_that_does_not_vary_is_the_mean():
    seen = np.array([1.0, 2.0, 6.0, 9.0])
    fitted = np.array([True, True, True, False])
    np.testing.assert_array_equal(line(seen, np.zeros(4), fitted), 3.0)
    assert np.isnan(line(seen, np.zeros(4), ~np.ones(4, bool))).all()


def test_dask_stays_lazy_and_gives_the_same_bits(ds, est):
    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=scheduler):
        lazy = ds.chunk(station=-1).lsm.estimate(FREE, holdout="1D", **OPTIONS)
        assert all(lazy[name].chunks is not None for name in MEASURED)
    assert_identical_numbers(lazy.compute(scheduler="synchronous"), est)


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")
def test_a_station_without_an_estimate_has_no_scores(ds, est):
    bad = ds.copy(deep=True)
    bad["Tair"][{"station": 0, "time": 30}] = np.nan
    found = bad.lsm.estimate(FREE, holdout="1D", **OPTIONS)
    assert (found.samples[0] == 0).all()
    assert all(found[name][0].isnull().all() for name in MEASURED if name != "samples")
    assert_identical_numbers(found.isel(station=1), est.isel(station=1))


def test_sensors_that_the_column_does_not_reach_are_not_scored(ds, est):
    deep = ds.SoilTemp.isel(depth=[1]).assign_coords(depth=[0.9])
    profile = xr.concat([ds.SoilTemp, deep], "depth").isel(depth=[2, 1, 0])
    record = ds.drop_dims("depth").assign(SoilTemp=profile)
    model = xlsm.Model.from_json(est.attrs["model"])
    found = judged(
        est.drop_dims(["part", "observable"]),
        record,
        model,
        "1D",
        held_out(ds, "1D", None),
        None,
    )
    assert list(found.observable.values) == ["SoilTemp 0.1 m", "SoilTemp 0.02 m", "LWup", "Qturb"]
    assert_identical_numbers(found.sel(observable=est.observable), est)


def test_without_the_sun_there_is_no_line(ds, est):
    """A model that follows a temperature needs none."""
    model = xlsm.Model(grid=MODEL.grid, surface=xlsm.ObservedSurface("AvgSurfT"))
    followed = ds[["SoilTemp"]].assign(AvgSurfT=ds.SoilTemp.isel(depth=0).fillna(290.0))
    held = held_out(ds, "1D", None)
    plain = est.drop_dims(["part", "observable"])
    found = judged(plain, followed, model, "1D", held, None)
    assert list(found.observable.values) == ["SoilTemp 0.02 m", "SoilTemp 0.1 m"]
    assert found.rmse.notnull().all()
    assert found.rmse_line.isnull().all()


def test_a_scored_estimate_is_still_parameters_and_survives_a_store(ds, est, tmp_path):
    assert est.attrs["holdout"] == "1D"
    est.lsm.to_zarr(tmp_path / "est.zarr")
    read = xr.open_zarr(tmp_path / "est.zarr").load()
    assert_identical_numbers(read, est)
    outputs = ["SoilTemp", "LWup", "Qturb"]
    assert_identical_numbers(
        ds.lsm.simulate(read, outputs=outputs), ds.lsm.simulate(est, outputs=outputs)
    )
    for name in ("part", "observable", "units"):
        assert read[name].values.tolist() == est[name].values.tolist()
    table = read.isel(station=0).sel(part="held out")[["rmse", "rmse_line"]].to_pandas()
    assert table.loc["LWup", "rmse"] < table.loc["LWup", "rmse_line"]


def test_a_scored_estimate_can_be_drawn(ds, est):
    fig = ds.isel(station=0).lsm.plot.fit(est.isel(station=0), observed="LWup")
    assert fig.axes[0].get_title("left") == "Upwelling longwave radiation"


# ---------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("holdout", "error", "words"),
    [
        (3, ParameterError, "holdout must be a duration such as '7D'"),
        ("soon", ParameterError, "got 'soon'"),
        ("30D", TimeAxisError, "holds out 72 of the 72 times"),
        ("71h", TimeAxisError, "with 1 before them to fit"),
        ("1s", TimeAxisError, "holds out 0 of the 72 times"),
        (slice("2013", None), TimeAxisError, "holds out 0 of the 72 times"),
        ("every day", ParameterError, "write 'every 5th day', with a number of at least 2"),
        ("every 1st day", ParameterError, "'every 1st day' is not understood"),
        ("every 5th day", TimeAxisError, "holds out nothing of 3 days"),
    ],
)
def test_senseless_holdouts_are_refused(ds, holdout, error, words):
    with pytest.raises(error, match=re.escape(words)):
        ds.lsm.estimate(FREE, holdout=holdout, **OPTIONS)


def test_too_coarse_a_step_for_days_is_refused():
    days = xr.Dataset(coords={"time": pd.date_range("2012", periods=9, freq="1D")})
    with pytest.raises(TimeAxisError, match="fewer than two times before the first"):
        held_out(days, "every 2nd day", None)


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")
def test_too_little_to_fit_or_to_judge_by_is_refused(ds):
    early, late = (
        ds[list(OBSERVED)].where(when) for when in (ds.time < ds.time[20], ds.time > ds.time[60])
    )
    with pytest.raises(TimeAxisError, match="at which nothing is observed of SoilTemp, LWup"):
        ds.assign(early).lsm.estimate(FREE, holdout="1D", **OPTIONS)
    words = "leaves 0 of .* observations, too few for 2 free parameters: hold out less"
    with pytest.raises(LSMError, match=words):
        ds.assign(late).lsm.estimate(FREE, holdout="1D", **OPTIONS)
    # a record without observations is flagged, with or without
    found = ds.assign(ds[list(OBSERVED)] * np.nan).lsm.estimate(FREE, holdout="1D", **OPTIONS)
    assert (found.status == xlsm.Status.no_observations).all()


def test_the_name_of_a_dimension_is_taken(ds):
    with pytest.raises(DimensionError, match="cannot be called 'part'"):
        ds.rename(station="part").lsm.estimate(FREE, holdout="1D", **OPTIONS)
