"""Profiles of the cost: error bars where it is a parabola, more where it is not."""

import numpy as np
import pytest
from twins import ERRORS, FREE, truth, twin

import xlsm
from xlsm.errors import ParameterError

# some stations are meant to end at a bound, or to have no valid run
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

THREE = FREE[:3]


@pytest.fixture(scope="module")
def ds():
    return twin(3, hours=48, noise=1.0)


@pytest.fixture(scope="module")
def known():
    return {name: value for name, value in truth(3).items() if name not in THREE}


@pytest.fixture(scope="module")
def est(ds, known):
    return ds.lsm.estimate(THREE, observed=ERRORS, fixed=known, error_bars="stated")


def test_a_parabola_has_the_error_bar_for_its_interval(ds, est):
    trace = ds.lsm.profile(est, "albedo", points=11)
    assert (trace.status == 0).all()
    width = (trace.upper - trace.lower).values / est.albedo_std.values[:, None]
    np.testing.assert_allclose(width, [[2 * 0.9945, 2 * 1.96]] * 3, rtol=0.02)
    np.testing.assert_allclose((trace.upper + trace.lower).sel(level=68) / 2, est.albedo, rtol=0.01)
    # the minimum is the estimate, and the others make way from their own
    middle = trace.isel(point=5)
    np.testing.assert_allclose(middle.rise, 0.0, atol=1e-6)
    np.testing.assert_allclose(middle[THREE[1]], est[THREE[1]], rtol=1e-5)


def test_widened_error_bars_widen_the_profile(ds, est, known):
    adjusted = ds.lsm.estimate(
        THREE, observed={name: e / 3 for name, e in ERRORS.items()}, fixed=known
    )
    trace = ds.lsm.profile(adjusted, "albedo", points=11)
    half = (trace.upper - trace.lower).sel(level=68) / 2
    np.testing.assert_allclose(half, adjusted.albedo_std, rtol=0.05)
    assert (adjusted.albedo_std > 0.8 * est.albedo_std).all()


def test_an_estimate_that_left_observations_out_has_no_profile(ds, known):
    """Its cost is that of fewer observations: nothing a profile of all of them rises above."""
    est = ds.lsm.estimate(THREE, observed=ERRORS, fixed=known, error_bars="stated", holdout="12h")
    with pytest.raises(ParameterError, match="holdout='12h'"):
        ds.lsm.profile(est, "albedo")


def test_a_profile_that_ends_at_a_bound_is_open(ds, known):
    free = {name: xlsm.Parameter() for name in THREE}
    free["albedo"] = xlsm.Parameter(bounds=(0.35, 0.6))  # the truth lies below
    est = ds.lsm.estimate(free, observed=ERRORS, fixed=known)
    assert (est.status == xlsm.Status.at_bound).all()
    trace = ds.lsm.profile(est, "albedo", free=free, points=11)
    assert trace.lower.isnull().all()
    assert (trace.upper > 0.35).all()
    assert (np.diff(trace.albedo, axis=-1) > 0).all()


@pytest.mark.slow
def test_lazy_profiles_are_the_same(ds, est):
    lazy = ds.chunk(station=2).lsm.profile(est.chunk(station=2), "albedo", points=11)
    assert lazy.rise.chunks is not None
    np.testing.assert_allclose(
        lazy.upper.compute(), ds.lsm.profile(est, "albedo", points=11).upper, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ds, est: ds.lsm.profile(ds, "albedo"), "profile needs what ds.lsm.estimate gave"),
        (lambda ds, est: ds.lsm.profile(est, "emissivity"), "'emissivity' was not estimated"),
        (lambda ds, est: ds.lsm.profile(est, "albedo", points=2), "5 points or more"),
        (lambda ds, est: ds.lsm.profile(est, "albedo", free=["albedo"]), "estimated alone"),
    ],
)
def test_what_has_no_profile(ds, est, call, message):
    with pytest.raises(ParameterError, match=message):
        call(ds, est)
