"""What is said of an estimate: flags, the summary, and one warning of what to doubt."""

import warnings

import numpy as np
import pytest
from twins import ERRORS, FREE, truth, twin

import xlsm
from xlsm.errors import DoubtfulWarning
from xlsm.pipeline.flags import Flag

THREE = FREE[:3]


@pytest.fixture(scope="module")
def known():
    return {name: value for name, value in truth(3).items() if name not in THREE}


def estimate(ds, known, **options):
    """An estimate, and the doubts that were raised."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DoubtfulWarning)
        est = ds.lsm.estimate(THREE, fixed=known, **options)
    return est, [str(w.message) for w in caught if w.category is DoubtfulWarning]


@pytest.fixture(scope="module")
def ds():
    return twin(3, hours=48, noise=1.0)


def test_a_good_fit_raises_no_flag(ds, known):
    est, doubts = estimate(ds, known, observed=ERRORS)
    assert (est.flags == 0).all()
    assert doubts == []
    assert est.attrs["summary"] == "3 stations: 3 converged"
    assert est.flags.attrs["flag_meanings"].split() == [flag.name for flag in Flag]
    np.testing.assert_array_equal(est.flags.attrs["flag_masks"], [1, 2, 4, 8, 16, 32])


def test_errors_that_are_understated_are_a_poor_fit(ds, known):
    est, doubts = estimate(ds, known, observed={name: e / 4 for name, e in ERRORS.items()})
    assert (est.flags & Flag.poor_fit).astype(bool).all()
    assert len(doubts) == 1
    assert "residuals of SoilTemp are 3.8 times the stated error at 3 of 3 stations" in doubts[0]
    assert "  poor_fit: 3" in est.attrs["summary"]
    # where the residuals are that large, error bars follow them and not what was stated
    usual, _ = estimate(ds, known, observed=ERRORS)
    ratio = est.albedo_std / usual.albedo_std
    np.testing.assert_allclose(ratio, 1.0, atol=0.25)


def test_what_a_night_leaves_open_is_said(ds, known):
    night = ds.isel(station=0)
    night = night.assign(SWdown=(0.0 * night.SWdown + 1.0).assign_attrs(units="W m-2"))
    true = {name: value[0] for name, value in truth(3).items()}
    sim = night.lsm.simulate(true, outputs=ERRORS, depth=[0.02, 0.1])
    one = {n: v[0] for n, v in known.items()}
    est, doubts = estimate(night.assign(sim[list(ERRORS)]), one, observed=ERRORS)
    assert int(est.flags) & Flag.poorly_determined
    assert doubts[0].startswith("poorly determined: albedo")
    assert "ds.lsm.identifiability(est) says why" in doubts[0]
    assert ", poorly determined" in est.attrs["summary"]


def test_structure_is_not_noise(ds, known):
    """A wave of the day that the model does not know is told from noise."""
    wave = np.sin(2 * np.pi * (ds.time.dt.hour - 9) / 12)  # half a day: nothing can follow it
    wrong = ds.assign(LWup=(ds.LWup + 25.0 * wave).assign_attrs(ds.LWup.attrs)).isel(station=0)
    one = {n: v[0] for n, v in known.items()}
    est, _ = estimate(wrong, one, observed={"LWup": 5.0})
    assert int(est.flags) & Flag.daily_pattern
    assert int(est.flags) & Flag.correlated_residuals
    assert float(est.daily_share_LWup) > 0.8
    assert "a function of the hour of the day" in est.attrs["summary"]
    assert "correlated by" in est.attrs["summary"]
    stated, _ = estimate(wrong, one, observed={"LWup": 5.0}, error_bars="stated")
    assert float(est.albedo_std) > 3 * float(stated.albedo_std)
    assert "the error bars do not know of it" in stated.attrs["summary"]


def test_the_spread_of_the_starts_has_its_own_name(ds, known):
    est, _ = estimate(ds, known, observed=ERRORS, starts=3)
    spread = est.convergence_spread.isel(parameter=0)
    assert (spread < 1e-6 * est.albedo_std).all()  # one minimum, found from everywhere
    alone, _ = estimate(ds, known, observed=ERRORS)
    assert "convergence_spread" not in alone


def test_a_lazy_estimate_has_flags_and_no_words(ds, known):
    est, doubts = estimate(ds.chunk(station=2), known, observed=ERRORS)
    assert doubts == []
    assert "summary" not in est.attrs
    assert (est.flags.compute() == 0).all()
    assert isinstance(xlsm.Flag(0), Flag)
