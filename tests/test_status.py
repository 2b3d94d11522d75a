"""What is observed, and what becomes of a station that cannot be solved: told, and contained."""

import numpy as np
import pytest
import xarray as xr
from twins import ERRORS, FREE, assert_identical_numbers, truth, twin

from xlsm import Flag, LogNormal, Parameter
from xlsm.errors import LSMError, MissingVariableError, ParameterError
from xlsm.inference.invert import Status
from xlsm.pipeline import inversion

# what is said of such stations has tests of its own, tests/test_notices.py
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

STATIONS = 8
KNOWN = {name: value[:2] for name, value in truth(STATIONS).items() if name in FREE[2:]}
PLACES = (0, 4, STATIONS - 1)


def emissivity():
    return {"emissivity": xr.DataArray(np.full(STATIONS, 0.95), dims="station")}


@pytest.fixture(scope="module")
def noisy():
    return twin(STATIONS, noise=1.0)


@pytest.fixture(scope="module")
def fitted(noisy):
    return noisy.lsm.estimate(FREE, observed=ERRORS, fixed=emissivity())


def numbers(est):
    """Names of the variables an unsolved station has no numbers for."""
    fixed = {"emissivity", "status", "iterations", "flags"}
    return [name for name in est.data_vars if name not in fixed]


# Each takes a copy of the data and the fixed parameters, and spoils one station in place.
def no_observations(ds, fixed, i):
    for name in ERRORS:
        ds[name][i] = np.nan


def too_few_observations(ds, fixed, i):
    no_observations(ds, fixed, i)
    ds["LWup"][i, 10:14] = 400.0


def forcing_gap(ds, fixed, i):
    ds["Tair"][i, 20] = np.nan


def forcing_gap_after_the_first_time(ds, fixed, i):
    ds["SWdown"][i, 1] = np.nan


def forcing_gap_infinite(ds, fixed, i):
    ds["LWdown"][i, 20] = -np.inf


def forcing_gap_without_observations(ds, fixed, i):
    """The gap is told first: it is what has to be mended."""
    no_observations(ds, fixed, i)
    forcing_gap(ds, fixed, i)


def missing_parameter(ds, fixed, i):
    fixed["emissivity"][i] = np.nan


def non_finite_cost(ds, fixed, i):
    ds["SoilTemp"][i, 5, 0] = np.inf


def implausible_forcing(ds, fixed, i):
    ds["Tair"][i, 20] = 1e200


def implausible_observation(ds, fixed, i):
    ds["SoilTemp"][i, 5, 1] = -9999.0


SPOILT = {
    no_observations: Status.no_observations,
    too_few_observations: Status.too_few_observations,
    forcing_gap: Status.forcing_gap,
    forcing_gap_after_the_first_time: Status.forcing_gap,
    forcing_gap_infinite: Status.forcing_gap,
    forcing_gap_without_observations: Status.forcing_gap,
    missing_parameter: Status.missing_parameter,
    non_finite_cost: Status.non_finite_cost,
    implausible_forcing: Status.implausible_values,
    implausible_observation: Status.implausible_values,
}


@pytest.mark.bits
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("spoil", "status"), SPOILT.items(), ids=[s.__name__ for s in SPOILT])
def test_bad_station_is_flagged_and_alone(noisy, fitted, spoil, status, place):
    ds, fixed = noisy.copy(deep=True), emissivity()
    spoil(ds, fixed, place)
    est = ds.lsm.estimate(FREE, observed=ERRORS, fixed=fixed)
    assert est.status[place] == status
    for name in numbers(est):
        assert est[name].isel(station=place).isnull().all(), name
    others = np.arange(STATIONS) != place
    assert_identical_numbers(est.isel(station=others), fitted.isel(station=others))


@pytest.mark.bits
def test_neighbours_do_not_change_when_a_station_leaves(noisy, fitted):
    without = noisy.isel(station=slice(1, None))
    fixed = {"emissivity": emissivity()["emissivity"][1:]}
    est = without.lsm.estimate(FREE, observed=ERRORS, fixed=fixed)
    stayed = fitted.isel(station=slice(1, None))
    spread = [f"residual_std_{name}" for name in ERRORS]
    assert_identical_numbers(est.drop_vars(spread), stayed.drop_vars(spread))
    for name in spread:  # summed over time in an order that the width of the batch decides
        np.testing.assert_allclose(est[name], stayed[name], rtol=1e-12)


@pytest.mark.parametrize("starts", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_all_stations_bad(noisy, starts):
    ds = noisy.copy(deep=True)
    ds["Tair"][:] = np.nan
    est = ds.lsm.estimate(FREE, observed=ERRORS, fixed=emissivity(), starts=starts)
    assert (est.status == Status.forcing_gap).all()


def test_who_is_near_when_the_limit_is_reached_counts(noisy, fitted):
    """Within a tenth of a standard error of the minimum, with a flag that says so."""
    slow = fitted.iterations == fitted.iterations.max()
    assert 0 < slow.sum() < STATIONS
    est = noisy.lsm.estimate(
        FREE, observed=ERRORS, fixed=emissivity(), max_steps=int(fitted.iterations.max()) - 1
    )
    assert (est.status == Status.converged).all()
    flagged = (est.flags & Flag.not_quite_converged) > 0
    np.testing.assert_array_equal(flagged, slow)
    for name in FREE:
        away = abs(est[name] - fitted[name]) / fitted[f"{name}_std"]
        assert 0 < away[slow].max() < 0.1, name
    done = ~slow.values
    assert_identical_numbers(est.isel(station=done), fitted.isel(station=done))


def test_who_is_far_when_the_limit_is_reached_has_no_estimate(noisy):
    one = noisy.lsm.estimate(FREE, observed=ERRORS, fixed=emissivity(), max_steps=1)
    assert (one.status == Status.limit_reached).all()
    assert (one.iterations == 1).all()
    assert (one.flags == 0).all()
    for name in numbers(one):
        assert one[name].isnull().all(), name


def test_station_at_a_bound_leaves_the_others_alone(noisy, fitted):
    """The bound is the caller's and every station's; only one of them runs into it."""
    true = truth(STATIONS)
    i = int(np.argmax(true["albedo"].values))
    limit = float((fitted.albedo[i] + fitted.albedo.drop_isel(station=i).max()) / 2)
    free = {name: Parameter() for name in FREE} | {"albedo": Parameter(bounds=(0.0, limit))}
    ends = noisy.lsm.estimate(free, observed=ERRORS, fixed=emissivity())
    np.testing.assert_array_equal(
        ends.status, np.where(np.arange(STATIONS) == i, Status.at_bound, Status.converged)
    )
    assert np.isnan(ends.albedo_std[i])
    assert np.isfinite(ends.thermal_conductivity_std).all()


def test_flags_are_told_by_their_attributes(fitted):
    meanings = fitted.status.attrs["flag_meanings"].split()
    values = fitted.status.attrs["flag_values"]
    assert dict(zip(meanings, values, strict=True)) == {s.name: s.value for s in Status}
    assert values.dtype == fitted.status.dtype == np.int8


# ---------------------------------------------------------------------------- observables


def test_many_observables_at_once():
    names = ["SoilTemp", "LWup", "AvgSurfT", "Qg", "SWup", "Qturb"]
    ds = twin(2, hours=24, outputs=names)
    est = ds.lsm.estimate([*FREE, "emissivity"])  # all that there are
    assert est.attrs["observed"].split("=")[0] == "SoilTemp"
    assert {f"residual_std_{name}" for name in names} < set(est.data_vars)
    for name, value in truth(2).items():
        np.testing.assert_allclose(est[name], value, rtol=1e-7, err_msg=name)
    np.testing.assert_allclose(est.emissivity, 0.95, rtol=1e-7)


def test_parts_of_the_turbulent_flux_give_the_bowen_ratio():
    ds = twin(2, hours=24, outputs=["LWup", "Qh", "Qle"])
    free = ["albedo", "heat_transfer_coefficient", "bowen_ratio"]
    fixed = {name: truth(2)[name] for name in FREE[2:]}
    est = ds.lsm.estimate(free, fixed=fixed)
    assert (est.status == Status.converged).all()
    np.testing.assert_allclose(est.bowen_ratio, 0.7, rtol=1e-7)
    true = truth(2)["combined_transfer_coefficient"]
    np.testing.assert_allclose(est.heat_transfer_coefficient, true / (1 + 1 / 0.7), rtol=1e-7)
    # without a Bowen ratio they are refused where asked for, else left out
    with pytest.raises(ParameterError, match=r"Qh and Qle cannot be predicted .*ds\[\"Qturb\"\]"):
        ds.lsm.estimate("albedo", observed=["LWup", "Qh", "Qle"])
    with pytest.raises(ParameterError, match="Qh and Qle are the only observations"):
        ds.drop_vars("LWup").lsm.estimate("albedo")
    left = ds.lsm.estimate(["albedo"], fixed=fixed)
    assert "residual_std_Qh" not in left
    assert "residual_std_LWup" in left


def test_observed_in_all_its_forms(noisy):
    ds = noisy.isel(station=slice(2))
    free, stated = FREE[:2], {"fixed": KNOWN, "error_bars": "stated"}
    text = ds.lsm.estimate(free, observed="SoilTemp", **stated)
    assert (text.status == Status.converged).all()
    for same in (["SoilTemp"], {"SoilTemp": 0.2}):
        assert_identical_numbers(text, ds.lsm.estimate(free, observed=same, **stated))
    assert text.attrs["observed"] == "SoilTemp=0.2"
    half = ds.lsm.estimate(free, observed={"SoilTemp": 0.1}, **stated)
    for name in free:
        np.testing.assert_allclose(half[name], text[name], rtol=1e-7)
        np.testing.assert_allclose(half[f"{name}_std"], text[f"{name}_std"] / 2, rtol=1e-6)
    np.testing.assert_allclose(half.cost, 4 * text.cost, rtol=1e-7)
    # the usual errors of all there are
    default = ds.lsm.estimate(free, fixed=KNOWN)
    assert default.attrs["observed"] == "SoilTemp=0.2, LWup=5"
    usual = {"SoilTemp": 0.2, "LWup": 5.0}
    assert_identical_numbers(default, ds.lsm.estimate(free, observed=usual, fixed=KNOWN))
    with pytest.raises(MissingVariableError, match="Qg is not in the Dataset"):
        ds.lsm.estimate(free, observed=["SoilTemp", "Qg"])
    with pytest.raises(LSMError, match="standard error of LWup"):
        ds.lsm.estimate(free, observed={"LWup": -1})


def test_one_depth_may_be_a_scalar_coordinate(noisy):
    ds = noisy.isel(station=slice(2))
    scalar = ds.isel(depth=1)
    assert scalar.SoilTemp.dims == ("station", "time")
    options = {"observed": {"SoilTemp": 0.1}, "fixed": KNOWN}
    one = scalar.lsm.estimate(FREE[:2], **options)
    assert_identical_numbers(one, ds.isel(depth=[1]).lsm.estimate(FREE[:2], **options))
    other = ds.isel(depth=0).lsm.estimate(FREE[:2], **options)
    assert (other.albedo != one.albedo).all()


def test_more_parameters_than_observations_are_refused(noisy):
    """Of one station; among others it is flagged. A prior is worth an observation."""
    one = noisy.isel(station=0)
    few = one.assign(LWup=one.LWup.where(one.time < one.time[3]))
    options = {"observed": {"LWup": 5.0}, "fixed": {"emissivity": 0.95}}
    with pytest.raises(ParameterError, match="5 values are to be estimated from 3 observations"):
        few.lsm.estimate(FREE, **options)
    known = {
        name: Parameter(prior=LogNormal(float(truth()[name]), 1.2)) if i < 2 else Parameter()
        for i, name in enumerate(FREE)
    }
    est = few.lsm.estimate(known, **options)
    assert est.status <= Status.not_identifiable
    both = noisy.isel(station=[0, 1]).copy()
    both["LWup"] = both.LWup.where((both.time < both.time[3]) | (both.station != both.station[0]))
    flagged = both.lsm.estimate(FREE, **options)
    assert flagged.status[0] == Status.too_few_observations
    assert flagged.status[1] <= Status.not_identifiable


@pytest.mark.parametrize("places", [(0,), (4,), (STATIONS - 1,), (1, 2, 6)])
def test_stations_that_raise_are_flagged_and_alone(noisy, fitted, places, monkeypatch, caplog):
    """The block is cut in halves, at the shape that is compiled, down to who is to blame."""
    kernel, poison = inversion.invert, 301.234567

    def poisoned(problem, data, *rest, **options):
        if (data.forcing["Tair"] == poison).any():
            raise RuntimeError("no such air")
        return kernel(problem, data, *rest, **options)

    monkeypatch.setattr(inversion, "invert", poisoned)
    ds = noisy.copy(deep=True)
    ds["Tair"][list(places), 5] = poison
    compiled = kernel._cache_size()
    est = ds.lsm.estimate(FREE, observed=ERRORS, fixed=emissivity())
    assert kernel._cache_size() == compiled
    assert (est.status[list(places)] == Status.raised).all()
    for name in numbers(est):
        assert est[name][list(places)].isnull().all(), name
    others = [i for i in range(STATIONS) if i not in places]
    assert_identical_numbers(est.isel(station=others), fitted.isel(station=others))
    assert caplog.text.count("a station raised RuntimeError and is flagged") == len(places)
    assert "no such air" in caplog.text
