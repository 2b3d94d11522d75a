"""A comparison fits, holds out and scores as one would by hand, and the truth wins."""

import datetime as dt
import re
import sys

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from twins import assert_identical_numbers, forcing

from xlsm import Model, Parameter, SkinLayer, Status, UniformGrid, WindExchange, models
from xlsm.channels import channels
from xlsm.compare import compare
from xlsm.comparison import Comparison
from xlsm.errors import (
    DimensionError,
    LSMError,
    LSMWarning,
    MissingVariableError,
    ModelError,
    ParameterError,
    TimeAxisError,
)
from xlsm.holdout import split
from xlsm.inputs import resolve
from xlsm.scores import score, score_parts

GRID = UniformGrid(depth=0.6, nodes=13)
SKIN = Model(grid=GRID, surface=SkinLayer())
WINDY = Model(grid=GRID, surface=SkinLayer(), turbulence=WindExchange())
MODELS = {"skin": SKIN, "skin & wind": WINDY}
TRUTH = {
    "albedo": 0.2,
    "skin_conductivity": 9.0,
    "calm_transfer_coefficient": 2.0,
    "wind_transfer_coefficient": 6.0,
    "thermal_conductivity": 0.9,
    "heat_capacity": 2.2e6,
    "deep_temperature": 290.0,
}
#: The windy model has no combined coefficient, the other no wind coefficient.
FREE = [
    "albedo",
    "combined_transfer_coefficient",
    "wind_transfer_coefficient",
    "thermal_conductivity",
]
FIXED = {name: TRUTH[name] for name in TRUTH if name not in FREE}
OBSERVED = {"SoilTemp": 0.1, "LWup": 3.0}
NOISE = {**OBSERVED, "AvgSurfT": 0.5, "Qturb": 15.0}
NOISE_OF = {
    "SoilTemp 0.02 m": NOISE["SoilTemp"],
    "SoilTemp 0.1 m": NOISE["SoilTemp"],
    **{name: NOISE[name] for name in ("AvgSurfT", "LWup", "Qturb")},
}
LABELS = list(NOISE_OF)
ALIVE, DEAD, ALSO = 0, 1, 2
HOURS, FITTED = 72, 48


@pytest.fixture(scope="module")
def ds():
    """Three windy stations, the second without observations, and a day more than is used."""
    ds = forcing(3, hours=HOURS + 24)
    hour = np.arange(ds.sizes["time"])
    wind = 5 + 3 * np.sin((hour - 10) * np.pi / 12) + 1.5 * np.cos(hour / 5)
    ds["Wind"] = ("time", wind, {"units": "m s-1"})
    sim = ds.lsm.simulate(TRUTH, model=WINDY, depth=(0.02, 0.1), outputs=list(NOISE))
    random = np.random.default_rng(5)
    for name, error in NOISE.items():
        noisy = sim[name] + error * random.standard_normal(sim[name].shape)
        gaps = random.random(noisy.shape) < 0.05
        ds[name] = noisy.where(~gaps).where(ds.station != ds.station[DEAD])
        ds[name].attrs = sim[name].attrs
    places = {"latitude": ("station", [50.0, 51.0, 52.0]), "network": "N"}
    return ds.assign_coords({**places, "local": ds.time + np.timedelta64(1, "h")})


@pytest.fixture(scope="module")
def record(ds):
    return ds.isel(time=slice(HOURS))


def fits(ds, **options):
    call = {"free": FREE, "observed": OBSERVED, "fixed": FIXED, "holdout": "1D"} | options
    return compare(ds, MODELS, **call)


@pytest.fixture(scope="module")
def result(record):
    return fits(record)


@pytest.fixture
def no_compute():
    """A scheduler that raises when anything computes."""

    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=scheduler):
        yield


# ---------------------------------------------------------------------------- the verdict


def test_the_true_model_wins(result):
    scores = result.scores.isel(station=[ALIVE, ALSO])
    # the fluxes have too much noise for a day to tell
    held = scores.rmse.sel(part="held out", observable=LABELS[:3])
    assert (held.sel(model="skin & wind") < held.sel(model="skin")).all()
    assert (scores.bic.sel(model="skin & wind") < scores.bic.sel(model="skin") - 10).all()
    # what is left is the noise
    true = scores.sel(model="skin & wind")
    assert (abs(true.reduced_chi_square - 1) < 4 * np.sqrt(2 / true.observations)).all()
    noise = true.rmse / xr.DataArray(list(NOISE_OF.values()), {"observable": LABELS})
    assert (abs(noise - 1) < 4 / np.sqrt(2 * true.samples)).all()
    assert (true.r2.sel(part="held out", observable="SoilTemp 0.1 m") > 0.9).all()


def test_a_dead_station_is_nan_and_spoils_no_other(record, result):
    scores = result.scores
    assert (scores.status.isel(station=DEAD) == Status.no_observations).all()
    assert (scores.status.isel(station=[ALIVE, ALSO]) == Status.converged).all()
    dead = scores.isel(station=DEAD)
    for name in ("rmse", "bias", "r2", "cost", "bic", "reduced_chi_square"):
        assert dead[name].isnull().all(), name
        assert scores[name].isel(station=[ALIVE, ALSO]).notnull().all(), name
    assert (dead.samples == 0).all()
    assert (dead.observations == 0).all()
    assert (dead.at_bound == "").all()


# ---------------------------------------------------------------------------- the numbers


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")  # one station is dead
def test_it_is_what_one_would_do_by_hand(record, result):
    """Fit the times before, run through the whole record, and take plain NumPy means."""
    for name, model in MODELS.items():
        free = [n for n in FREE if n in model.parameters]
        known = {n: v for n, v in FIXED.items() if n in model.parameters}
        before = record.isel(time=slice(FITTED))
        est = before.lsm.estimate(free, observed=OBSERVED, fixed=known, model=model)
        assert_identical_numbers(result.estimates[name], est)
        sim = record.lsm.simulate(est)
        for label, depth in {"SoilTemp 0.1 m": 1, "AvgSurfT": None, "LWup": None}.items():
            variable = label.split(" ")[0]
            at = {"station": ALSO} | ({} if depth is None else {"depth": depth})
            model_says = sim[variable].isel(at).values
            seen = record[variable].isel(at).values
            for part, times in {"fitted": slice(FITTED), "held out": slice(FITTED, None)}.items():
                found = result.scores.isel(station=ALSO).sel(
                    model=name, part=part, observable=label
                )
                there = np.isfinite(seen[times])
                off = (model_says - seen)[times][there]
                spread = seen[times][there] - seen[times][there].mean()
                assert found.samples == there.sum()
                np.testing.assert_allclose(found.rmse, np.sqrt(np.mean(off**2)), rtol=1e-12)
                np.testing.assert_allclose(found.bias, np.mean(off), rtol=1e-9)
                r2 = 1 - np.sum(off**2) / np.sum(spread**2)
                np.testing.assert_allclose(found.r2, r2, rtol=1e-12)


def test_information_criterion_and_chi_square(record, result):
    before = record.isel(time=slice(FITTED), station=ALIVE)
    n = int(sum(before[name].notnull().sum() for name in OBSERVED))
    for name, k in {"skin": 3, "skin & wind": 3}.items():
        found = result.scores.sel(model=name).isel(station=ALIVE)
        cost = float(result.estimates[name].cost[ALIVE])
        assert found.free_parameters == k
        assert found.observations == n
        assert found.cost == cost
        np.testing.assert_allclose(found.bic, 2 * cost + k * np.log(n), rtol=1e-14)
        np.testing.assert_allclose(found.reduced_chi_square, 2 * cost / (n - k), rtol=1e-14)


def test_each_model_takes_the_parameters_it_has(result):
    skin, windy = result.estimates["skin"], result.estimates["skin & wind"]
    assert "combined_transfer_coefficient_std" in skin
    assert "wind_transfer_coefficient" not in skin
    assert "calm_transfer_coefficient" not in skin
    assert "wind_transfer_coefficient_std" in windy
    assert (windy.calm_transfer_coefficient == TRUTH["calm_transfer_coefficient"]).all()
    assert (skin.skin_conductivity == TRUTH["skin_conductivity"]).all()


def test_parameters_by_model_and_for_all_are_the_same(record, result):
    shared = ["albedo", "thermal_conductivity"]
    free = {
        "skin": {n: Parameter() for n in ("combined_transfer_coefficient", *shared)},
        "skin & wind": ["wind_transfer_coefficient", *shared],
    }
    known = {
        name: {n: v for n, v in FIXED.items() if n in model.parameters}
        for name, model in MODELS.items()
    }
    again = fits(
        record,
        free={name: [n for n in FREE if n in free[name]] for name in free},
        fixed=known,
    )
    assert_identical_numbers(again.scores, result.scores)
    treated = fits(record, free={n: Parameter() for n in FREE}, fixed=result.estimates["skin"])
    assert_identical_numbers(treated.estimates["skin"], result.estimates["skin"])


def test_parameters_at_a_bound_are_named(record):
    free = {n: Parameter() for n in FREE} | {"albedo": Parameter(bounds=(0.3, 0.5))}
    found = fits(record, free=free).scores.isel(station=[ALIVE, ALSO])
    true = found.sel(model="skin & wind")
    assert (true.status == Status.at_bound).all()
    assert (true.at_bound == "albedo").all()
    assert ((found.at_bound != "") == (found.status == Status.at_bound)).all()


def test_what_is_held_out_is_not_looked_at(record, result):
    other = record.copy()
    for name in OBSERVED:
        other[name] = record[name].where(record.time < record.time[FITTED], record[name] + 7)
    again = fits(other)
    for name in MODELS:
        assert_identical_numbers(again.estimates[name], result.estimates[name])
    moved = again.scores.bias - result.scores.bias
    observables = ["SoilTemp 0.1 m", "LWup"]
    alive = moved.isel(station=[ALIVE, ALSO]).sel(observable=observables)
    np.testing.assert_allclose(alive.sel(part="held out"), -7, rtol=1e-9)
    assert (alive.sel(part="fitted") == 0).all()


def test_what_comes_after_a_slice_is_not_used(ds, result):
    """The third day of four, which begins where the record without the fourth is split."""
    third = slice("2012-05-03", "2012-05-03")
    spoilt = ds.assign(LWup=ds.LWup.where(ds.time < ds.time[HOURS], 500.0))
    again = fits(spoilt, holdout=third)
    assert_identical_numbers(again.scores, result.scores)
    assert again.scores.attrs == result.scores.attrs


def test_fill_values_in_the_held_out_part_are_missing(record, result):
    spoilt = record.copy(deep=True)
    spoilt["LWup"][{"station": ALIVE, "time": -1}] = -9999.0
    gone = record.copy(deep=True)
    gone["LWup"][{"station": ALIVE, "time": -1}] = np.nan
    assert_identical_numbers(fits(spoilt).scores, fits(gone).scores)


def test_a_gap_of_one_model_alone_is_warned_of(record):
    """From the first missing wind on there is no simulation, and fewer times to score."""
    gap = record.assign(Wind=record.Wind.where(record.time < record.time[-12]))
    with pytest.warns(LSMWarning, match=r"rmse, bias and r2 .* see scores\['samples'\]"):
        scores = fits(gap).scores.isel(station=ALIVE)
    samples = scores.samples.sel(part="held out", observable="Qturb")
    assert samples.sel(model="skin & wind") == record.Qturb[ALIVE, FITTED:-12].notnull().sum()
    assert samples.sel(model="skin") == record.Qturb[ALIVE, FITTED:].notnull().sum()


def test_dask_stays_lazy(record, result, no_compute):
    lazy = fits(record.chunk(station=-1))
    repr(lazy)
    for name in ("rmse", "bic", "at_bound", "status"):
        assert lazy.scores[name].chunks is not None, name
    with dask.config.set(scheduler="synchronous"):
        assert_identical_numbers(lazy.scores.compute(), result.scores)


def test_score_of_constant_or_missing_observations():
    constant = xr.DataArray([3.0, 3.0, np.nan], dims="time")
    found = score(xr.DataArray([3.0, 5.0, 1.0], dims="time"), constant)
    assert found.rmse == np.sqrt(2.0)
    assert found.bias == 1.0
    assert np.isnan(found.r2)
    assert found.samples == 2
    nothing = score(constant, constant * np.nan)
    assert nothing.samples == 0
    assert all(np.isnan(nothing[name]) for name in ("rmse", "bias", "r2"))


def test_a_model_is_not_scored_on_what_it_is_told(record):
    model = resolve(models.thermometers(), record.isel(station=[ALIVE]))
    predicted = [c.label for c in channels(record) if c.predicted(model, model.outputs(()))]
    assert predicted == []  # the upper and the lower sensor are all there are
    deeper = record.SoilTemp.isel(depth=[1]).assign_coords(depth=[0.3])
    three = xr.Dataset({"SoilTemp": xr.concat([record.SoilTemp, deeper], "depth")})
    model = resolve(models.thermometers(), three)
    predicted = [c.label for c in channels(three) if c.predicted(model, model.outputs(()))]
    assert predicted == ["SoilTemp 0.1 m"]


def test_one_depth_selected_is_one_channel(record):
    found = channels(record.isel(depth=1))
    assert [c.label for c in found] == ["SoilTemp 0.1 m", "AvgSurfT", "LWup", "Qturb"]
    assert all("depth" not in c.values.coords for c in found)
    xr.testing.assert_equal(found[0].values, record.SoilTemp.isel(depth=1, drop=True))


# ---------------------------------------------------------------------------- what is held out


@pytest.mark.parametrize(
    "holdout",
    [
        "1D",
        "24h",
        dt.timedelta(days=1),
        np.timedelta64(24, "h"),
        pd.Timedelta("1D"),
        1 / 3,
        slice("2012-05-03", None),
        slice(pd.Timestamp("2012-05-03"), pd.Timestamp("2012-05-03T23:00")),
    ],
)
def test_ways_to_say_what_is_held_out(record, holdout):
    assert split(record, holdout) == (FITTED, HOURS)


def test_times_of_other_calendars_are_split():
    times = xr.date_range("2001-02-01", periods=30, calendar="noleap", use_cftime=True)
    ds = xr.Dataset(coords={"time": times})
    assert split(ds, "10D") == (20, 30)
    assert split(ds, slice("2001-02-11", "2001-02-15")) == (10, 15)
    lead = xr.Dataset(coords={"time": pd.timedelta_range("0h", periods=30, freq="h")})
    assert split(lead, "10h") == (20, 30)


@pytest.mark.parametrize(
    ("holdout", "error", "words"),
    [
        (3, ParameterError, "holdout must be a duration such as '7D'"),
        (True, ParameterError, "got True"),
        (1.0, ParameterError, "got 1.0"),
        (0.0, ParameterError, "a share of the record between 0 and 1"),
        (np.nan, ParameterError, "got nan"),
        ("soon", ParameterError, "got 'soon'"),
        (None, ParameterError, "got None"),
        (slice("2012-05-02", None, 2), ParameterError, "a slice of times"),
        (slice(3, 5), TimeAxisError, "is no slice of times"),
        ("30D", TimeAxisError, "holds out 72 of the 72 times"),
        ("71h", TimeAxisError, "with 1 before them to fit"),
        ("1s", TimeAxisError, "holds out 0 of the 72 times"),
        ("-1D", TimeAxisError, "holds out 0 of the 72 times"),
        (slice(None, "2012-05-02"), TimeAxisError, "with 0 before"),
        (slice("2013", None), TimeAxisError, "from 2012-05-01T00:00:00 to 2012-05-03T23:00:00"),
    ],
)
def test_senseless_holdouts_are_refused(record, holdout, error, words):
    with pytest.raises(error, match=re.escape(words)):
        split(record, holdout)


# ---------------------------------------------------------------------------- how it looks


def test_one_station_is_shown_in_tables(result):
    one = Comparison(result.scores.isel(station=ALIVE), result.estimates)
    text, html = repr(one), one._repr_html_()
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("Comparison of 2 models\nfitted: 2012-05-01T00:00:00 to 2012-05-02T23")
    held = one.scores.rmse.sel(part="held out", model="skin", observable="LWup").item()
    row = next(line for line in text.partition("RMSE, held out")[2].splitlines() if "LWup" in line)
    assert row.split() == [
        "LWup",
        "(W",
        "m-2)",
        f"{held:.3f}",
        f"{one.scores.rmse.sel(part='held out', model='skin & wind', observable='LWup'):.3f}",
    ]
    assert html.count("<table") == 3
    assert "skin &amp; wind" in html
    assert "skin & wind" not in html


def test_what_a_model_does_not_predict_is_a_dash_with_a_footnote(result):
    assert result.scores.predicted.all()
    scores = result.scores.isel(station=ALIVE).copy(deep=True)
    whole = Comparison(scores, result.estimates)
    assert "not predicted" not in repr(whole) + whole._repr_html_()
    at = {"model": "skin", "observable": "LWup"}
    scores["predicted"].loc[at] = False
    scores["rmse"].loc[at] = np.nan
    scores["rmse"].loc[{"model": "skin & wind", "observable": "Qturb"}] = np.nan
    part = Comparison(scores, result.estimates)
    held = repr(part).partition("RMSE, held out")[2]
    rows = {line.split()[0]: line.split() for line in held.splitlines() if "(" in line}
    assert rows["LWup"][-2:] == [
        "–",
        f"{scores.rmse.sel(part='held out').loc[{**at, 'model': 'skin & wind'}]:.3f}",
    ]
    assert rows["Qturb"][-1] == "nan"  # predicted, but there is no number
    assert repr(part).splitlines()[-1].startswith("– not predicted by this model")
    assert part._repr_html_().count("<td>–</td>") == 2
    assert "<div>– not predicted by this model" in part._repr_html_()


def test_only_what_is_not_predicted_is_marked(record):
    one = record.isel(station=ALIVE)
    predicted = [channel for channel in channels(one) if channel.name == "SoilTemp"]
    held = np.arange(HOURS) >= FITTED
    found = score_parts(one, predicted, LABELS, held, xr.DataArray(1.0))
    assert found.predicted.values.tolist() == [True, True, False, False, False]
    assert (found.rmse.isnull().all("part") == ~found.predicted).all()


def test_many_stations_are_shown_as_a_dataset(result):
    assert "<xarray.Dataset>" in repr(result)
    assert "xr-wrap" in result._repr_html_()
    scores, estimates = result
    assert set(estimates) == set(scores.model.values)
    table = scores.rmse.isel(station=ALIVE).sel(part="held out").to_pandas()
    assert list(table.columns)[:2] == ["SoilTemp 0.02 m", "SoilTemp 0.1 m"]
    assert table.loc["skin & wind", "LWup"] < table.loc["skin", "LWup"]
    assert list(scores.units.values) == ["K", "K", "K", "W m-2", "W m-2"]


# ---------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"models": [SKIN]}, ModelError, "models must map names to models"),
        ({"models": {}}, ModelError, "models must map names to models"),
        ({"models": {"a": "bear"}}, ModelError, "model 'a': unknown model 'bear'"),
        (
            {"free": ["albdo"]},
            ParameterError,
            "free: 'albdo' is no parameter of any of the models skin, skin & wind. Did you mean "
            "'albedo'?",
        ),
        ({"fixed": {"eps": 0.9}}, ParameterError, "fixed: 'eps' is no parameter of any"),
        ({"free": []}, ParameterError, "model 'skin': there is nothing to estimate"),
        ({"free": {"albedo": 0.2}}, ParameterError, "model 'skin': free['albedo'] must be"),
        (
            {"free": {"skin": ["albedo"]}},
            ParameterError,
            "free is given by model, but not for 'skin & wind'; models are skin, skin & wind",
        ),
        (
            {"free": {"skin": ["albedo"], "wind": ["albedo"]}},
            ParameterError,
            "free is given by model, but 'wind' is none of them",
        ),
        (
            {"free": {"skin": ["wind_transfer_coefficient"], "skin & wind": ["albedo"]}},
            ParameterError,
            "model 'skin': 'wind_transfer_coefficient' is no parameter of the model.",
        ),
        (
            {"fixed": {"skin": {"albedo": 0.2}}},
            ParameterError,
            "model 'skin': albedo: free and fixed at once",
        ),
        ({"fixed": {"bare": {}, "skin": {}}}, ParameterError, "but 'bare' is none of them"),
        ({"fixed": {"skin": 3}}, ParameterError, "model 'skin': fixed must map names to values"),
        ({"observed": "Qh"}, MissingVariableError, "Qh is not in the Dataset"),
        ({"observed": "Wind"}, LSMError, "Wind is input of the model"),
        ({"holdout": 3}, ParameterError, "holdout must be"),
    ],
)
def test_bad_calls_are_refused(record, options, error, words):
    call = {"models": MODELS, "free": FREE, "observed": OBSERVED, "holdout": "1D"} | options
    with pytest.raises(error, match=re.escape(words)):
        compare(record, **call)


def test_missing_forcing_names_the_model_before_anything_is_fitted(record, monkeypatch):
    # the package's `compare` is the function; its module has to be asked for
    module = sys.modules["xlsm.compare"]
    monkeypatch.setattr(module, "estimate", lambda *args, **options: pytest.fail("fitted"))
    words = r"model 'skin & wind': Wind is not in the Dataset .*WindExchange needs it"
    with pytest.raises(MissingVariableError, match=words):
        fits(record.drop_vars("Wind"))


def test_an_observation_that_one_model_cannot_predict_names_the_model(record):
    ds = record.assign(Qh=record.Qturb.assign_attrs(units="W m-2"))
    with pytest.raises(ParameterError, match="model 'skin': Qh cannot be predicted"):
        fits(ds, observed="Qh")
    only = ds[["SWdown", "LWdown", "Tair", "Wind", "Qh"]]
    free = {"skin": ["albedo", "bowen_ratio"], "skin & wind": ["albedo"]}
    with pytest.raises(ParameterError, match="no observation that all models predict, of Qh"):
        compare(only, MODELS, free=free, holdout="1D")


@pytest.mark.parametrize("dim", ["model", "part", "observable"])
def test_dimensions_of_the_scores_are_taken(record, dim):
    with pytest.raises(DimensionError, match=f"cannot be called '{dim}'"):
        fits(record.rename(station=dim))


def test_options_go_to_the_estimate(record):
    scores = fits(record, max_steps=1).scores.isel(station=ALIVE)
    assert (scores.status == Status.limit_reached).all()
    with pytest.raises(TypeError, match="patience"):
        fits(record, patience=3)
