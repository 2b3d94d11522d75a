"""Stations on the union of their times: each over its own record, as if it had come alone."""

import warnings

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from twins import ERRORS, FREE, assert_identical_numbers, truth, twin

import xlsm
from xlsm import Observation, Parameter, Status
from xlsm.errors import FlaggedWarning
from xlsm.inference.invert import invert
from xlsm.notices import unnoticed
from xlsm.pipeline import lengths

FORCING = ("SWdown", "LWdown", "Tair")
TIMES, STATIONS = 96, 8
TWO = FREE[:2]
KNOWN = {name: value for name, value in truth(STATIONS).items() if name not in TWO}
OPTIONS = {"observed": ERRORS, "fixed": KNOWN}
#: Where the records of some stations begin and end; 0 and 7 are there all the time.
SPANS = {1: (20, 96), 2: (0, 60), 3: (10, 90), 5: (70, 96), 6: (30, 44)}
DEAD = 4


def padded(ds, spans, names=FORCING):
    """The Dataset without forcing before and after the records of some stations."""
    index = np.arange(ds.sizes["time"])
    there = np.ones((ds.sizes["station"], index.size), bool)
    for i, (first, end) in spans.items():
        there[i] = (index >= first) & (index < end)
    there = xr.DataArray(there, dims=("station", "time"))
    return ds.assign({name: ds[name].where(there) for name in names})


def alone(ds, i, spans=SPANS):
    """One of the stations over its own record; twice, for the width decides the last bits."""
    pair = ds.isel(station=[i, i], time=slice(*spans.get(i, (None, None))))
    return pair.assign_coords(station=["one", "other"])


def known(i, fixed=KNOWN):
    return {
        name: value.isel(station=i).drop_vars("station", errors="ignore")
        for name, value in fixed.items()
    }


def assert_near(est, other, names=TWO):
    """Equal to 1e-10 standard errors, and these to 1e-8 of themselves."""
    for name in names:
        width = abs(other[f"{name}_std"].fillna(other[name]))  # at a bound there is no error bar
        assert abs(est[name] - other[name]) <= 1e-10 * width, name
        np.testing.assert_allclose(est[f"{name}_std"], other[f"{name}_std"], rtol=1e-8)
    assert est.status == other.status


def estimate(ds, free=TWO, **options):
    with unnoticed():
        return ds.lsm.estimate(free, **(OPTIONS | options))


@pytest.fixture(scope="module")
def clean():
    """Observations of each station, simulated over its own record; all the time for the rest."""
    ds = twin(STATIONS, hours=TIMES)
    sim = padded(ds, SPANS).lsm.simulate(truth(STATIONS), depth=ds.depth, outputs=tuple(ERRORS))
    noise = np.random.default_rng(1).standard_normal
    return ds.assign(
        {
            name: sim[name].fillna(ds[name]) + error * noise(ds[name].shape)
            for name, error in ERRORS.items()
        }
    )


@pytest.fixture(scope="module")
def union(clean):
    return padded(clean, {**SPANS, DEAD: (0, 0)})


@pytest.fixture(scope="module")
def est(union):
    return estimate(union)


# ---------------------------------------------------------------------------- lengths


def test_a_length_is_less_than_twice_the_record():
    count = np.arange(2, 1001)
    length = np.array([lengths._lengths(np.array([n]), 1000, 2, 1)[0] for n in count])
    assert (length >= count).all()
    assert (length < 2 * count).all()
    assert len(set(length)) == 10


@pytest.mark.parametrize("together", [1, 32])
@pytest.mark.parametrize("seed", range(5))
def test_lengths_that_are_put_together_stay_cheap(together, seed):
    """Few are compiled; but for groups that are not full it is less than twice what is there."""
    random = np.random.default_rng(seed)
    count = np.round(random.uniform(1 / 16, 1, 1024) ** (1 + seed) * 4000).astype(int).clip(2)
    length = lengths._lengths(count, 4000, 2, together)
    used, stations = np.unique(length, return_counts=True)
    assert (length >= count).all()
    assert used.size <= 5
    computed = (-(-stations // together) * together * used).sum()
    assert computed < 2 * count.sum() + (together - 1) * 2 * 4000


def test_a_short_record_is_not_worth_a_length_of_its_own():
    count = np.array([1000] * 99 + [3])
    np.testing.assert_array_equal(lengths._lengths(count, 1000, 2, 1), np.full(100, 1000))


# ---------------------------------------------------------------------------- estimates


def test_each_is_as_if_it_had_come_alone(clean, union, est):
    status = np.where(np.arange(STATIONS) == DEAD, Status.forcing_gap, Status.converged)
    np.testing.assert_array_equal(est.status, status)
    assert est.albedo[[DEAD]].isnull().all()
    for i in SPANS:
        assert_near(est.isel(station=i), estimate(alone(clean, i), fixed=known(i)).isel(station=0))


@pytest.mark.bits
def test_neighbours_do_not_change(clean, est):
    kept = [i for i in range(STATIONS) if i not in {*SPANS, DEAD}]
    assert_identical_numbers(est.isel(station=kept), estimate(clean).isel(station=kept))


@pytest.mark.slow  # compiled quickly, records of other lengths do not agree in the last digit
@pytest.mark.bits
def test_to_the_last_bit_at_the_same_width(clean, est):
    gone = ["covariance", *KNOWN]  # the latter have the stations of the caller
    for i in SPANS:
        other = estimate(alone(clean, i), fixed=known(i)).isel(station=0)
        assert_identical_numbers(est.isel(station=i).drop_vars(gone), other.drop_vars(gone))
        np.testing.assert_array_equal(est.covariance[i], other.covariance)


def test_many_lengths_make_no_difference(union, est, monkeypatch):
    """As in a large block, where stations of one length fill a group."""
    monkeypatch.setattr(lengths, "ENOUGH", 0.0)
    monkeypatch.setattr(lengths, "MORE", 1.0)
    monkeypatch.setattr("xlsm.pipeline.inversion.lanes_of", lambda size, count=1: 1)
    compiled = invert._cache_size()
    apart = estimate(union)
    assert invert._cache_size() - compiled >= 3
    np.testing.assert_array_equal(apart.status, est.status)
    for i in (0, 7, *SPANS):
        assert_near(apart.isel(station=i), est.isel(station=i))


def test_where_nothing_is_missing_nothing_is_compiled_anew(clean, monkeypatch):
    before = estimate(clean)
    compiled = invert._cache_size()
    cut = []
    monkeypatch.setattr(lengths, "_cut_out", lambda *a: cut.append(a))
    assert_identical_numbers(estimate(clean), before)
    assert invert._cache_size() == compiled
    assert not cut


def test_one_station_begins_late_and_ends_early(clean):
    one = padded(clean, {3: SPANS[3]}).isel(station=3)
    expected = clean.isel(station=3, time=slice(*SPANS[3]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FlaggedWarning)
        found = one.lsm.estimate(TWO, observed=ERRORS, fixed=known(3))
    assert found.albedo.shape == ()
    assert_near(found, estimate(expected, fixed=known(3)))


def test_forcing_that_begins_and_ends_one_by_one(clean):
    """The record is where all of it is there; a gap within it stays one."""
    ds = padded(clean, {i: SPANS[i] for i in (2, 5, 6)})
    ds = padded(ds, {1: (20, 96)}, ["Tair"])
    ds = padded(ds, {1: (0, 80)}, ["SWdown"])
    ds = padded(ds, {1: (5, 90), 3: (10, 90)}, ["LWdown"])
    ds["Tair"][3, 40] = np.nan
    found = estimate(ds)
    assert_near(
        found.isel(station=1),
        estimate(alone(clean, 1, {1: (20, 80)}), fixed=known(1)).isel(station=0),
    )
    assert found.status[3] == Status.forcing_gap
    assert (found.status.drop_isel(station=3) == Status.converged).all()


@pytest.mark.parametrize("end", [0, 1])
def test_fewer_than_two_times_are_a_gap(clean, end):
    found = estimate(padded(clean, SPANS | {2: (50, 50 + end)}))
    assert found.status[2] == Status.forcing_gap
    assert (found.status.drop_isel(station=2) == Status.converged).all()


def test_what_cannot_be_is_no_end_of_a_record(clean):
    ds = clean.copy(deep=True)
    ds["Tair"][1, :20] = -9999.0
    ds["Tair"][2, 60:] = np.inf
    found = estimate(ds)
    assert found.status[1] == Status.implausible_values
    assert found.status[2] == Status.forcing_gap


def test_observations_outside_of_the_record_are_not_looked_at(union, est):
    odd = union.copy(deep=True)
    odd["LWup"][1, :20] = -9999.0
    odd["SoilTemp"][2, 60:] = np.inf
    assert_identical_numbers(estimate(odd), est)


@pytest.mark.parametrize("i", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_means_over_the_step_have_none_at_the_first_time_of_a_record(clean, union, i):
    observed = {"SoilTemp": 0.1, "LWup": Observation(5.0, mean=True)}
    found = estimate(union, observed=observed)
    other = estimate(alone(clean, i), observed=observed, fixed=known(i))
    assert_near(found.isel(station=i), other.isel(station=0))


def test_lazy_blocks_of_any_size(union, est):
    def must_not_compute(dsk, keys, **kwargs):
        raise RuntimeError("computed while building a graph")

    with dask.config.set(scheduler=must_not_compute):
        lazy = estimate(union.chunk(station=3))
    lazy = lazy.compute()
    np.testing.assert_array_equal(lazy.status, est.status)
    for i in (0, *SPANS):
        assert_near(lazy.isel(station=i), est.isel(station=i))


def test_two_batch_dimensions(clean, union):
    emissivity = xr.DataArray([0.93, 0.95, 0.97], dims="member")
    fixed = KNOWN | {"emissivity": emissivity}
    found = estimate(union, fixed=fixed)
    assert set(found.albedo.dims) == {"station", "member"}
    one = estimate(alone(clean, 5), fixed=known(5) | {"emissivity": 0.97})
    assert_near(found.isel(station=5, member=2), one.isel(station=0))


def test_a_station_that_raises_is_alone(union, est, monkeypatch):
    kernel = xlsm.pipeline.inversion.invert

    def poisoned(problem, data, *rest, **options):
        if (data.forcing["Tair"] == 301.234567).any():
            raise RuntimeError("no such air")
        return kernel(problem, data, *rest, **options)

    monkeypatch.setattr(xlsm.pipeline.inversion, "invert", poisoned)
    bad = union.copy(deep=True)
    bad["Tair"][5, 80] = 301.234567
    found = estimate(bad)
    assert found.status[5] == Status.raised
    for i in (0, 1, 2, 3, 6):
        assert_near(found.isel(station=i), est.isel(station=i))


# ---------------------------------------------------------------------------- other verbs


def test_simulations_are_nan_outside_of_a_record(clean, union):
    with unnoticed():
        sim = union.lsm.simulate(KNOWN)
    for i in (0, *SPANS):
        expected = alone(clean, i).lsm.simulate(known(i)).isel(station=0)
        for name in expected:
            own = sim[name].isel(station=i).dropna("time", how="all")
            np.testing.assert_array_equal(own.time, expected.time)
            np.testing.assert_allclose(own, expected[name], rtol=0, atol=1e-9, err_msg=name)
    assert sim.AvgSurfT[DEAD].isnull().all()


def test_a_gap_within_a_record_ends_its_simulation(union):
    gap = union.copy(deep=True)
    gap["Tair"][1, 50] = np.nan
    with pytest.warns(FlaggedWarning, match="at 2 of 8 stations .* from 2012-05-01T00"):
        sim = gap.lsm.simulate(KNOWN)
    there = sim.AvgSurfT.notnull()
    np.testing.assert_array_equal(np.flatnonzero(there[1]), np.arange(20, 50))
    with pytest.warns(FlaggedWarning, match="^the result is NaN from 2012-05-03T02:00:00 on"):
        gap.isel(station=1).lsm.simulate(known(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FlaggedWarning)
        gap.drop_isel(station=[1, DEAD]).lsm.simulate()


@pytest.mark.parametrize("i", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_parameters_given_in_time_are_those_of_the_time(clean, union, i):
    wave = 0.2 + 0.05 * np.sin(np.arange(TIMES))
    albedo = xr.DataArray(wave, dims="time", coords={"time": clean.time})
    with unnoticed():
        sim = union.lsm.simulate(KNOWN | {"albedo": albedo})
    found = estimate(union, TWO[1:], fixed=KNOWN | {"albedo": albedo})
    own = slice(*SPANS[i])
    fixed = known(i) | {"albedo": albedo[own]}
    expected = alone(clean, i).lsm.simulate(fixed).isel(station=0)
    np.testing.assert_allclose(sim.SWup[i, own], expected.SWup, rtol=1e-12)
    np.testing.assert_allclose(sim.SoilTemp[i, own], expected.SoilTemp, rtol=1e-12)
    other = estimate(alone(clean, i), TWO[1:], fixed=fixed).isel(station=0)
    assert_near(found.isel(station=i), other, TWO[1:])


@pytest.mark.parametrize("looked_at", [(0, 1), pytest.param((5,), marks=pytest.mark.slow)])
def test_identifiability_looks_at_the_record(clean, union, est, looked_at):
    found = union.lsm.identifiability(est)
    for i in looked_at:
        point = {name: est[name].isel(station=i).item() for name in (*TWO, *KNOWN)}
        other = alone(clean, i).lsm.identifiability(point, free=TWO, observed=ERRORS)
        np.testing.assert_allclose(found["std"][i], other["std"][0], rtol=1e-8)
        np.testing.assert_allclose(found.singular_value[i], other.singular_value[0], rtol=1e-8)
    assert found["std"][DEAD].isnull().all()


@pytest.mark.slow
def test_draws_are_those_of_the_record(clean, union):
    fixed = {name: value.isel(station=[0, 1]) for name, value in KNOWN.items()}
    options = {"observed": ERRORS, "draws": 5, "warmup": 5, "chains": 1}
    drawn = union.isel(station=[0, 1]).lsm.sample(TWO, fixed=fixed, **options)
    other = alone(clean, 1).lsm.sample(TWO, fixed=known(1), **options)
    for name in TWO:
        ours, theirs = (one[f"posterior/{name}"] for one in (drawn, other))
        np.testing.assert_allclose(ours.isel(station=1), theirs.isel(station=0), rtol=1e-6)


@pytest.mark.slow
def test_windows_are_of_what_is_there_in_them(clean, union):
    found = estimate(union, window="1D")
    assert found.albedo.sizes["window"] == 4
    gap = found.status == Status.forcing_gap
    expected = np.zeros((STATIONS, 4), bool)
    expected[DEAD] = True
    expected[2, 3] = expected[5, :2] = expected[6, [0, 2, 3]] = True
    np.testing.assert_array_equal(gap.transpose("station", "window"), expected)
    for i, w, own in ((1, 0, (20, 24)), (1, 1, (24, 48)), (2, 2, (48, 60)), (5, 2, (70, 72))):
        other = estimate(alone(clean, i, {i: own}), fixed=known(i)).isel(station=0)
        if other.status <= Status.at_bound:
            assert_near(found.isel(station=i, window=w), other)
        assert found.status.isel(station=i, window=w) == other.status


def test_what_is_held_out_is_scored_where_there_is_a_record(clean, union):
    found = estimate(union, holdout="1D")
    samples = found.samples.sel(part="held out", observable="LWup")
    np.testing.assert_array_equal(samples, [24, 24, 0, 18, 0, 24, 0, 24])
    i, own = 3, alone(clean, 3)
    late = own.assign({name: own[name].where(own.time < clean.time[72]) for name in ERRORS})
    assert_near(found.isel(station=i), estimate(late, fixed=known(i)).isel(station=0))
    assert found.rmse.sel(part="held out", observable="LWup").notnull().values[[0, 1, 3]].all()


# ---------------------------------------------------------------------------- first state

START = xlsm.Model(initial=xlsm.ObservedInitial())


@pytest.mark.parametrize("chunk", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_each_starts_from_the_profile_of_its_own_first_time(clean, union, chunk):
    ds = union if chunk is None else union.chunk(station=chunk)
    found = estimate(ds, model=START)
    with unnoticed():
        sim = ds.lsm.simulate(KNOWN, model=START, outputs="SoilTemp").compute()
    assert found.status[DEAD] == Status.forcing_gap
    for i in (0, 1) if chunk is None else (0, 1, 2, 5):
        own = slice(*SPANS.get(i, (None, None)))
        other = estimate(alone(clean, i), fixed=known(i), model=START).isel(station=0)
        assert_near(found.compute().isel(station=i), other)
        expected = alone(clean, i).lsm.simulate(known(i), model=START, outputs="SoilTemp")
        np.testing.assert_allclose(sim.SoilTemp[i, own], expected.SoilTemp[0], rtol=1e-12)
        first = clean.SoilTemp[i, own][0]
        np.testing.assert_allclose(sim.SoilTemp[i, own][0], first, atol=0.2)


def test_a_profile_that_is_missing_at_the_own_first_time_is_told(clean, union):
    ds = union.copy(deep=True)
    ds["SoilTemp"][1, 20] = np.nan
    ds["SoilTemp"][3, 0] = np.nan  # nobody's first time
    found = estimate(ds, model=START)
    assert found.status[1] == Status.no_initial_profile
    assert found.status[3] == Status.converged


@pytest.mark.slow
def test_a_column_is_spun_up_by_the_first_days_of_the_record(clean, union):
    model = xlsm.Model(initial=xlsm.SpunUp(days=1, repeats=2))
    found = estimate(union, model=model)
    for i in (1, 5):
        other = estimate(alone(clean, i), fixed=known(i), model=model).isel(station=0)
        assert_near(found.isel(station=i), other)
    assert found.status[6] == Status.forcing_gap  # it has 14 hours


# ---------------------------------------------------------------------------- in time


@pytest.mark.slow
def test_values_in_time_bear_a_record_that_ends_early_but_not_one_that_begins_late(clean):
    """The pieces are those of the axis; those after the end are seen by nothing, and say so."""
    ds = padded(clean, {1: (20, 96), 2: (0, 60)}).isel(station=[0, 1, 2, 7])
    fixed = {name: value.isel(station=[0, 1, 2, 7]) for name, value in KNOWN.items()}
    free = {"albedo": Parameter(every="1D"), TWO[1]: Parameter()}
    found = estimate(ds, free, fixed=fixed)
    assert found.status[1] == Status.forcing_gap
    assert found.status[2] == Status.not_identifiable
    assert (found.status.drop_isel(station=[1, 2]) == Status.converged).all()
    one = estimate(alone(clean, 2, {2: (0, 60)}), free, fixed=known(2))
    one, own = one.isel(station=0), found.isel(station=2)
    assert (own.albedo_std[3:] == np.inf).all()
    assert one.albedo.sizes["every_1D"] == 3
    away = abs(own.albedo[:3].values - one.albedo.values) / one.albedo_std.values
    assert away.max() < 1e-7
    np.testing.assert_allclose(own.albedo_std[:3], one.albedo_std, rtol=1e-6)
    with pytest.warns(FlaggedWarning, match="with every= a record that begins late is one"):
        ds.lsm.estimate(free, observed=ERRORS, fixed=fixed)


# ---------------------------------------------------------------------------- what is said


def test_nothing_is_said_of_a_record_that_begins_late_or_ends_early(union):
    fine = union.drop_isel(station=DEAD)
    fixed = {name: value.drop_isel(station=DEAD) for name, value in KNOWN.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error", FlaggedWarning)
        fine.lsm.simulate(fixed)
        fine.lsm.estimate(TWO, observed=ERRORS, fixed=fixed)


def test_check_tells_of_shorter_records_and_finds_no_gap_in_them(union):
    table = union.drop_isel(station=DEAD).lsm.check().set_index("variable")
    assert (table["problem"] == "").all()
    told = "; forcing at 5 of 7 stations for a part of it, 14 to 80 times"
    assert table.loc["time", "range"].endswith(f"96 times, step 3600 s{told}")
    assert table.loc["Tair", "longest_gap"] == 0
    one = union.isel(station=3).lsm.check().set_index("variable")
    told = "; forcing from 2012-05-01T10:00:00 to 2012-05-04T17:00:00"
    assert one.loc["time", "range"].endswith(told)
    gap = union.isel(station=3).copy(deep=True)
    gap["Tair"][40:43] = np.nan
    found = gap.lsm.check().set_index("variable")
    assert "gaps" in found.loc["Tair", "problem"]
    assert found.loc["Tair", "longest_gap"] == 3
    dead = union.isel(station=[DEAD]).lsm.check().set_index("variable")
    assert "gaps" in dead.loc["Tair", "problem"]


def test_stations_opened_together_lie_on_the_union_of_their_times(clean):
    """As `xr.concat` aligns them."""
    ones = [clean.isel(station=[i], time=slice(*SPANS[i])) for i in (1, 2)]
    ds = xr.concat(ones, "station", join="outer")
    assert ds.sizes["time"] == TIMES
    fixed = {name: value.isel(station=[1, 2]) for name, value in KNOWN.items()}
    found = ds.lsm.estimate(TWO, observed=ERRORS, fixed=fixed)
    assert (found.status == Status.converged).all()
    assert pd.Index(found.station.values).tolist() == ["site0001", "site0002"]
