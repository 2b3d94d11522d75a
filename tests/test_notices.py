"""What a result lacks is said once, in one line, and nothing is said where nothing is amiss."""

import warnings

import numpy as np
import pytest
from twins import ERRORS, FREE, truth, twin

from xlsm import Parameter
from xlsm.errors import DoubtfulWarning, FlaggedWarning, LSMWarning
from xlsm.inference.invert import Status
from xlsm.notices import CURES, estimate_notice, unnoticed

STATIONS = 6
TWO = FREE[:2]
KNOWN = {name: value for name, value in truth(STATIONS).items() if name not in TWO}
#: The truth, 0.1 to 0.3, is out of reach.
BRIGHT = {TWO[0]: Parameter(bounds=(0.4, 0.6)), TWO[1]: Parameter()}


@pytest.fixture(scope="module")
def ds():
    return twin(STATIONS, hours=24)


@pytest.fixture(scope="module")
def spoilt(ds):
    ds = ds.copy(deep=True)
    for name in ERRORS:
        ds[name][0] = np.nan
    ds["Tair"][1, 5] = np.nan
    ds["SWdown"][3, 4] = -9999.0
    ds["LWdown"][3, 9] = np.nan
    return ds


def estimate(ds, free=TWO):
    return ds.lsm.estimate(free, observed=ERRORS, fixed=KNOWN)


def said(call, *arguments, **options):
    """What a call says is lacking, in one warning; what is doubtful is another matter."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*arguments, **options)
    (warning,) = (one for one in caught if one.category is not DoubtfulWarning)
    assert warning.category is FlaggedWarning
    text = str(warning.message)
    assert "\n" not in text
    return text


def test_nothing_is_said_of_what_is_well(ds):
    est = estimate(ds)  # warnings are errors
    ds.lsm.simulate(est)
    assert estimate_notice(est) == ""


def test_stations_without_an_estimate_are_counted_by_reason(spoilt):
    text = said(estimate, spoilt)
    assert text.startswith("3 of 6 stations have no estimate: 1 no_observations (")
    assert "1 forcing_gap (ds.lsm.check() finds the gaps" in text
    assert "1 implausible_values (" in text
    assert "bound:" not in text


def test_parameters_at_a_bound_are_named(ds, spoilt):
    assert said(estimate, ds, BRIGHT) == (
        "albedo at 6 of 6 stations ended at a bound: the model, or what is fixed or left at its "
        "default, does not fit the data there; change it, fix the parameter, or give it other "
        "xlsm.Parameter(bounds=...)"
    )
    text = said(estimate, spoilt, BRIGHT)
    assert "3 of 6 stations have no estimate" in text
    assert "; albedo at 3 of 6 stations ended at a bound" in text


def test_of_one_station_there_is_nothing_to_count(ds, spoilt):
    with unnoticed():
        lost, held = estimate(spoilt).isel(station=1), estimate(ds, BRIGHT).isel(station=1)
    assert estimate_notice(lost).startswith("there is no estimate: forcing_gap (")
    assert estimate_notice(held).startswith("albedo ended at a bound: ")


def test_it_points_at_the_line_of_the_caller(spoilt):
    with pytest.warns(FlaggedWarning) as caught:
        spoilt.lsm.estimate(TWO, observed=ERRORS, fixed=KNOWN)
    assert caught[0].filename == __file__
    with pytest.warns(FlaggedWarning) as caught:
        spoilt.lsm.simulate()
    assert caught[0].filename == __file__


def test_lazy_results_are_not_looked_at(spoilt):
    lazy = spoilt.chunk(station=3)
    estimate(lazy)
    lazy.lsm.simulate()


@pytest.mark.parametrize("status", [s for s in Status if s > Status.not_identifiable])
def test_every_reason_has_its_cure(status):
    assert CURES[status]
    assert "bounds=(0.42, 0.6)" in CURES[Status.impossible_estimate]


def test_gaps_in_forcing_tell_from_when_on_there_is_nothing(spoilt):
    assert said(spoilt.lsm.simulate) == (
        "at 2 of 6 stations the result is NaN from 2012-05-01T04:00:00 on, at the earliest, where "
        "SWdown, LWdown, Tair is missing or cannot be: ds.lsm.check() finds the gaps; fill them, "
        "ds['SWdown'].interpolate_na('time'), or select times without"
    )
    one = spoilt.isel(station=1)
    text = said(one.lsm.simulate)
    assert text.startswith("the result is NaN from 2012-05-01T05:00:00 on, where Tair is missing")
    with pytest.warns(FlaggedWarning):
        sim = one.lsm.simulate()
    gone = sim.SoilTemp.isnull().all("depth")
    assert not gone[:5].any()
    assert gone[5:].all()


def test_it_can_be_silenced_by_its_kind(spoilt):
    assert issubclass(FlaggedWarning, LSMWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlaggedWarning)
        estimate(spoilt)
