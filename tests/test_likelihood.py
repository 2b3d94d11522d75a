"""Robust likelihoods and priors: their formulas, and what they do to an estimate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from twins import ERRORS, FREE, truth, twin

import xlsm
from xlsm.errors import ParameterError

# some stations are meant to end at a bound, or to have no valid run
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

TWO = FREE[:2]
LAWS = [xlsm.Gaussian(), xlsm.Huber(), xlsm.Huber(0.5), xlsm.StudentT(), xlsm.StudentT(1.0)]


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_weight_and_curvature_are_the_derivatives_of_the_loss(law):
    with jax.enable_x64(True):
        r = jnp.array([-7.0, -1.2, -0.3, 0.4, 0.9, 3.0])
        slope = jax.vmap(jax.grad(law.loss))(r)
        np.testing.assert_allclose(law.weight(r) * r, slope, rtol=1e-12)
        second = jax.vmap(jax.grad(jax.grad(law.loss)))(r)
        np.testing.assert_allclose(law.curvature(r), second, rtol=1e-10, atol=1e-14)
        assert float(law.loss(jnp.array(0.0))) == 0
        assert np.isfinite(law.weight(jnp.array(0.0)))


def test_student_with_many_degrees_is_normal():
    with jax.enable_x64(True):
        r = jnp.linspace(-3, 3, 7)
        np.testing.assert_allclose(xlsm.StudentT(1e8).loss(r), xlsm.Gaussian().loss(r), atol=1e-6)


@pytest.fixture(scope="module")
def spoiled():
    """One station whose radiometer now and then gives rubbish that is not absurd."""
    ds = twin(1, hours=72, noise=1.0).isel(station=0)
    wrong = np.random.default_rng(3).random(ds.LWup.shape) < 0.1
    return ds.assign(LWup=(ds.LWup - 60.0 * wrong).assign_attrs(ds.LWup.attrs))


def error_of(est):
    return abs(float((est.albedo - truth(1)["albedo"][0]) / est.albedo_std))


def test_robust_likelihoods_resist_outliers(spoiled):
    known = {name: value.isel(station=0) for name, value in truth(1).items() if name not in TWO}
    run = {"observed": {"LWup": 5.0}, "fixed": known}
    square = spoiled.lsm.estimate(TWO, error_bars="stated", **run)
    assert error_of(square) > 4
    for likelihood, share in (("huber", 0.5), ({"LWup": xlsm.StudentT(4.0)}, 0.4)):
        robust = spoiled.lsm.estimate(TWO, likelihood=likelihood, **run)
        assert int(robust.status) == 0
        bias = abs(float(robust.albedo - truth(1)["albedo"][0]))
        assert bias < share * abs(float(square.albedo - truth(1)["albedo"][0]))
        assert error_of(robust) < 3


def test_gaussian_by_name_changes_nothing(spoiled):
    run = {"observed": {"LWup": 5.0}}
    plain = spoiled.lsm.estimate(TWO, **run)
    named = spoiled.lsm.estimate(TWO, likelihood="gaussian", **run)
    np.testing.assert_allclose(named.albedo, plain.albedo, rtol=1e-9)


@pytest.mark.parametrize(
    ("likelihood", "message"),
    [
        ("cauchy", "unknown likelihood 'cauchy' of LWup: expected one of gaussian, huber"),
        ({"Qh": "huber"}, "given for 'Qh', which is not among the observations: LWup"),
    ],
)
def test_unknown_likelihoods_are_refused(spoiled, likelihood, message):
    with pytest.raises(ParameterError, match=message):
        spoiled.lsm.estimate(TWO, observed="LWup", likelihood=likelihood)
    with pytest.raises(ParameterError, match="degrees of StudentT must be positive, got 0"):
        xlsm.StudentT(0)


# ---------------------------------------------------------------------------- priors


@pytest.fixture(scope="module")
def poor():
    """Two stations with a handful of observations."""
    ds = twin(2, hours=24, noise=0.5)
    few = ds.time.dt.hour.isin([1, 5, 9, 13, 17, 21])
    return ds.assign({name: ds[name].where(few) for name in ERRORS})


def test_a_prior_is_one_more_observation(poor):
    mean = xr.DataArray([0.23, 0.16], dims="station")  # near: the problem is not quite linear
    free = {TWO[0]: xlsm.Parameter(prior=xlsm.Normal(mean, 0.02)), TWO[1]: xlsm.Parameter()}
    known = {name: value for name, value in truth(2).items() if name not in TWO}
    run = {"observed": ERRORS, "error_bars": "stated", "fixed": known}
    plain = poor.lsm.estimate(TWO, **run)
    told = poor.lsm.estimate(free, **run)
    # of a linear problem: information adds up, means are weighted by it
    covariance = plain.covariance.values
    precision = np.linalg.inv(covariance)
    precision[:, 0, 0] += 0.02**-2
    expected = np.linalg.inv(precision)
    shift = expected[:, :, 0] * ((mean.values - plain.albedo.values) / 0.02**2)[:, None]
    for i, name in enumerate(TWO):
        np.testing.assert_allclose(
            told[f"{name}_std"], np.sqrt(expected[:, i, i]), rtol=0.05, err_msg=name
        )
        moved = (told[name] - plain[name]).values
        np.testing.assert_allclose(moved, shift[:, i], rtol=0.1, atol=0.02 * abs(shift).max())
    assert (told.albedo_std < 0.02).all()


def test_priors_of_a_logarithm_and_by_station(poor):
    sharp = xr.DataArray([14.0, 25.0], dims="station", coords={"station": poor.station})
    free = {
        TWO[0]: xlsm.Parameter(),
        TWO[1]: xlsm.Parameter(prior=xlsm.LogNormal(sharp, 1.0001)),
    }
    est = poor.lsm.estimate(free, observed=ERRORS, error_bars="stated")
    np.testing.assert_allclose(est[TWO[1]], sharp, rtol=1e-3)
    np.testing.assert_allclose(est[f"{TWO[1]}_std"] / est[TWO[1]], 1e-4, rtol=0.05)
    lazy = poor.chunk(station=1).lsm.estimate(free, observed=ERRORS, error_bars="stated").compute()
    np.testing.assert_allclose(lazy.albedo, est.albedo, rtol=1e-9)


def test_a_uniform_prior_is_bounds():
    assert xlsm.Parameter(prior=xlsm.Uniform(0.1, 0.3)).bounds == (0.1, 0.3)
    with pytest.raises(ParameterError, match="say the same: leave one out"):
        xlsm.Parameter(prior=xlsm.Uniform(0.1, 0.3), bounds=(0.1, 0.4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: xlsm.Parameter(prior=0.2), "prior must be an xlsm.Normal"),
        (lambda: xlsm.Normal(0.2, 0.0), "std of Normal must be positive; got 0.0"),
        (lambda: xlsm.Normal("low", 0.1), "mean of Normal must be a number"),
        (lambda: xlsm.LogNormal(-1.0, 2.0), "median of LogNormal must be positive"),
        (lambda: xlsm.LogNormal(1.0, 1.0), "must be above one"),
    ],
)
def test_what_is_no_prior_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_a_prior_outside_its_bounds_is_refused(poor):
    free = {"albedo": xlsm.Parameter(bounds=(0.1, 0.3), prior=xlsm.Normal(0.4, 0.05))}
    with pytest.raises(ParameterError, match=r"must be inside the bounds, 0.1 to 0.3: widen"):
        poor.lsm.estimate(free)


# ---------------------------------------------------------------------------- standard errors


def test_a_standard_error_for_each_depth(poor):
    """A sensor that is not trusted at all counts as one that is not there."""
    errors = xr.DataArray([0.1, 1e6], dims="depth")
    est = poor.lsm.estimate(TWO, observed={"SoilTemp": errors}, error_bars="stated")
    gone = poor.assign(SoilTemp=poor.SoilTemp.where(poor.depth < 0.05))
    alone = gone.lsm.estimate(TWO, observed={"SoilTemp": 0.1}, error_bars="stated")
    for name in TWO:
        np.testing.assert_allclose(est[name], alone[name], rtol=1e-6)
        np.testing.assert_allclose(est[f"{name}_std"], alone[f"{name}_std"], rtol=1e-6)
    assert est.attrs["observed"] == "SoilTemp=varies"
    np.testing.assert_array_equal(est.standard_error_SoilTemp, errors)
    poor.isel(station=0).lsm.plot.fit(est.isel(station=0))


def test_standard_errors_that_cannot_be(poor):
    def run(error):
        poor.lsm.estimate(TWO, observed={"SoilTemp": error})

    with pytest.raises(ParameterError, match="must be positive everywhere, in K; the least of"):
        run(xr.DataArray([0.1, 0.0], dims="depth"))
    with pytest.raises(ParameterError, match="given at 3 depths, but SoilTemp is observed at 2"):
        run(xr.DataArray([0.1, 0.1, 0.1], dims="depth"))
    with pytest.raises(ParameterError, match="must not vary in time"):
        run(xr.full_like(poor.SoilTemp, 0.1))
