"""Estimates find the truth, their error bars are right, and bad calls are refused."""

import re

import numpy as np
import pytest
import xarray as xr
from twins import ERRORS, FREE, assert_identical_numbers, truth, twin

from xlsm import Model, Parameter, Uniform, UniformGrid
from xlsm.errors import DimensionError, LSMError, ModelError, ParameterError
from xlsm.inference.invert import Status

STATIONS = 8


@pytest.fixture(scope="module")
def clean():
    return twin(STATIONS)


@pytest.fixture(scope="module")
def noisy():
    """With noise of the stated size and a tenth of the observations missing."""
    ds = twin(STATIONS, noise=1.0)
    random = np.random.default_rng(3)
    for name in ERRORS:
        ds[name] = ds[name].where(random.random(ds[name].shape) > 0.1)
    return ds


@pytest.fixture(scope="module")
def fitted(noisy):
    return noisy.lsm.estimate(FREE, observed=ERRORS)


def whitened(ds, sim):
    """Residuals over their standard errors, NaN where missing, in one (..., n) array."""
    parts = [((sim[n] - ds[n]) / ERRORS[n]).transpose(..., "time") for n in ERRORS]
    flat = [p.stack(n=("depth", "time")) if "depth" in p.dims else p for p in parts]
    return np.concatenate([p.values for p in flat], axis=-1)


def distance(a, b):
    """Largest difference of two estimates in standard errors of the second."""
    return max(float(abs((a[n] - b[n]) / b[f"{n}_std"]).max()) for n in FREE)


# ---------------------------------------------------------------------------- the numbers


def test_recovers_the_truth(clean):
    est = clean.lsm.estimate(FREE, observed=ERRORS)
    assert (est.status == Status.converged).all()
    for name, value in truth(STATIONS).items():
        np.testing.assert_allclose(est[name].values, value.values, rtol=1e-8, err_msg=name)
    assert (est.cost < 1e-12).all()
    assert (est.iterations > 1).all()


@pytest.mark.slow  # in the default tests the gradients agree; here the searches that use them
@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_every_method_finds_the_same_minimum(noisy, fitted, method):
    # three parameters: what is compared is the optimiser, and it compiles faster
    free = FREE[:3]
    fixed = {name: fitted[name] for name in FREE[3:]}
    some = noisy.isel(station=slice(3))
    fixed = {name: value.isel(station=slice(3)) for name, value in fixed.items()}
    best = some.lsm.estimate(free, observed=ERRORS, fixed=fixed)
    est = some.lsm.estimate(free, observed=ERRORS, fixed=fixed, method=method)
    assert (est.status == Status.converged).all()
    assert est.attrs["method"] == method
    for name in free:
        np.testing.assert_array_less(abs(est[name] - best[name]), 0.02 * best[f"{name}_std"])
        np.testing.assert_allclose(est[f"{name}_std"], best[f"{name}_std"], rtol=0.02)
    assert (est.cost >= best.cost * (1 - 1e-12)).all()


def test_cost_and_residuals_are_those_of_a_simulation(noisy, fitted):
    sim = noisy.lsm.simulate(fitted, outputs=ERRORS)
    cost = 0.5 * np.nansum(whitened(noisy, sim) ** 2, axis=-1)
    np.testing.assert_allclose(fitted.cost, cost, rtol=1e-10)
    for name in ERRORS:
        over = set(noisy[name].dims) - {"station"}
        rms = np.sqrt(((sim[name] - noisy[name]) ** 2).mean(over))
        np.testing.assert_allclose(fitted[f"residual_std_{name}"], rms, rtol=1e-10)


def test_standard_errors_agree_with_finite_differences(noisy, fitted):
    ds = noisy.isel(station=2)
    at = ds.lsm.estimate(FREE, observed=ERRORS, error_bars="stated")
    np.testing.assert_allclose(at.albedo, fitted.albedo[2], rtol=1e-9)
    steps = {name: 1e-4 * float(at[f"{name}_std"]) for name in FREE}
    shift = np.concatenate([np.eye(5), -np.eye(5)])
    values = {
        name: float(at[name]) + steps[name] * xr.DataArray(shift[:, i], dims="member")
        for i, name in enumerate(FREE)
    }
    runs = whitened(ds, ds.lsm.simulate(values, outputs=ERRORS).transpose("member", ...))
    jacobian = (runs[:5] - runs[5:]).T / (2 * np.array([steps[n] for n in FREE]))
    jacobian = jacobian[np.isfinite(jacobian).all(axis=1)]
    covariance = np.linalg.inv(jacobian.T @ jacobian)
    std = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose([float(at[f"{n}_std"]) for n in FREE], std, rtol=1e-5)
    np.testing.assert_allclose(
        at.covariance / np.outer(std, std), covariance / np.outer(std, std), atol=1e-5
    )


def test_error_bars_cover_the_truth():
    """Noise of the stated size gives z-scores of mean 0, spread 1, and a chi-square cost."""
    n = 100
    ds = twin(n, noise=1.0, seed=11)
    # in blocks of a size that is compiled already
    est = ds.chunk(station=STATIONS).lsm.estimate(FREE, observed=ERRORS).compute()
    assert (est.status == Status.converged).all()
    true = truth(n, seed=11)
    off = np.stack([(est[name] - true[name]).values for name in FREE], axis=-1)
    z = off / np.stack([est[f"{name}_std"].values for name in FREE], axis=-1)
    assert (abs(z.mean(axis=0)) < 3 / np.sqrt(n)).all()
    assert (abs(z.std(axis=0) - 1) < 3 / np.sqrt(2 * n)).all()
    inside = (abs(z) < 1).sum(axis=0)
    assert (abs(inside - 0.683 * n) < 3 * np.sqrt(n * 0.683 * 0.317)).all()
    # the correlations count as well: the distance in the whole covariance is chi-square
    squared = np.einsum("ni,nij,nj->n", off, np.linalg.inv(est.covariance.values), off)
    assert abs(squared.mean() - 5) < 3 * np.sqrt(2 * 5 / n)
    degrees = sum(ds[name].isel(station=0).size for name in ERRORS) - 5
    assert abs(2 * est.cost.mean() - degrees) < 3 * np.sqrt(2 * degrees / n)


def test_starts_are_reproducible(noisy, fitted):
    four, again, other = (
        noisy.lsm.estimate(FREE, observed=ERRORS, starts=4, seed=seed) for seed in (1, 1, 2)
    )
    assert_identical_numbers(four, again)
    assert any((four[name] != other[name]).any() for name in (*FREE, "iterations"))
    for est in (four, other):
        assert (est.status == Status.converged).all()
        assert distance(est, fitted) < 1e-6
        assert (est.cost <= fitted.cost * (1 + 1e-12)).all()


# ---------------------------------------------------------------------------- free parameters


def test_initial_is_where_it_starts(clean):
    true = truth(STATIONS)
    usual = clean.lsm.estimate(FREE, observed=ERRORS)
    told = {name: Parameter(initial=true[name]) for name in FREE}
    est = clean.lsm.estimate(told, observed=ERRORS)
    assert (est.iterations < usual.iterations).all()
    assert (est.iterations <= 1).all()
    assert (est.status == Status.converged).all()


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")
def test_bounds_are_kept(clean):
    """Truth outside the caller's bounds: the parameter is held there and has no error bar."""
    free = {name: Parameter() for name in FREE} | {"albedo": Parameter(bounds=(0.32, 0.5))}
    est = clean.lsm.estimate(free, observed=ERRORS)
    assert (est.status == Status.at_bound).all()
    assert ((est.albedo >= 0.32) & (est.albedo < 0.3201)).all()
    assert est.albedo_std.isnull().all()
    assert est.covariance.sel(parameter="albedo").isnull().all()
    assert est.covariance.sel(parameter_="albedo").isnull().all()
    for name in FREE[1:]:
        assert np.isfinite(est[name]).all(), name
        assert np.isfinite(est[f"{name}_std"]).all(), name
    # bounds that hold the truth change nothing but the path to it
    free["albedo"] = Parameter(bounds=(0.05, 0.35), initial=0.2)
    np.testing.assert_allclose(
        clean.lsm.estimate(free, observed=ERRORS).albedo, truth(STATIONS)["albedo"], rtol=1e-8
    )


def test_what_temperature_cannot_tell_apart_has_infinite_errors(clean):
    """Temperature sees H = h (1 + 1/beta) only; the others are as well known as ever."""
    free = {n: Parameter() for n in ("albedo", "heat_transfer_coefficient", *FREE[2:])}
    free["bowen_ratio"] = Parameter(prior=Uniform(0.01, 100.0))  # which is to insist
    est = clean.lsm.estimate(free, observed=ERRORS)
    assert (est.status == Status.not_identifiable).all()
    for name in ("heat_transfer_coefficient", "bowen_ratio"):
        assert np.isinf(est[f"{name}_std"]).all()
        assert est.covariance.sel(parameter=name).isnull().all()
    combined = est.heat_transfer_coefficient * (1 + 1 / est.bowen_ratio)
    true = truth(STATIONS)
    np.testing.assert_allclose(combined, true["combined_transfer_coefficient"], rtol=1e-7)
    usual = clean.lsm.estimate(FREE, observed=ERRORS)
    for name in ("albedo", "thermal_conductivity"):
        np.testing.assert_allclose(est[f"{name}_std"], usual[f"{name}_std"], rtol=1e-4)


@pytest.mark.parametrize(
    ("free", "options", "error", "words"),
    [
        (["albedo"], {"fixed": {"albedo": 0.2}}, ParameterError, "albedo: free and fixed at once"),
        ([], {}, ParameterError, "nothing to estimate"),
        ({"albedo": 0.2}, {}, ParameterError, "free['albedo'] must be an xlsm.Parameter, got 0.2"),
        (["albdo"], {}, ParameterError, "Did you mean 'albedo'?"),
        (["albedo"], {"fixed": {"albdo": 0.2}}, ParameterError, "Did you mean 'albedo'?"),
        (["albedo"], {"fixed": {"emissivity": 2.0}}, ParameterError, "outside its bounds, 0.5"),
        (["albedo"], {"method": "newton"}, ModelError, "unknown method 'newton'"),
        (["albedo"], {"starts": 0}, ParameterError, "starts must be a whole number of at least 1"),
        (["albedo"], {"starts": 1.5}, ParameterError, "got 1.5"),
        (["albedo"], {"starts": True}, ParameterError, "got True"),
        (["albedo"], {"max_steps": 0}, ParameterError, "max_steps must be a whole number"),
        (["albedo"], {"tolerance": 0}, ParameterError, "tolerance must be positive, got 0"),
        (["albedo"], {"tolerance": np.nan}, ParameterError, "tolerance must be positive"),
        (["albedo"], {"observed": "Tair"}, LSMError, "Tair is input of the model"),
        (["heat_transfer_coefficient"], {}, ParameterError, "give bowen_ratio with it"),
        (
            {"albedo": Parameter(bounds=(0.4, 0.1))},
            {},
            ParameterError,
            "albedo: bounds=(0.4, 0.1) must be ordered",
        ),
        (
            {"albedo": Parameter(bounds=(0.1, 1.5))},
            {},
            ParameterError,
            "inside the physical bounds, 0 to 1",
        ),
        ({"albedo": Parameter(bounds=(np.nan, 0.5))}, {}, ParameterError, "must be ordered"),
        (
            {"albedo": Parameter(bounds=(0.1, 0.2), initial=0.3)},
            {},
            ParameterError,
            "initial=0.3 is outside bounds=(0.1, 0.2)",
        ),
        (
            {"albedo": Parameter(initial=1.5)},
            {},
            ParameterError,
            "albedo = 1.5 is outside its bounds",
        ),
    ],
)
def test_bad_calls_are_refused(clean, free, options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        clean.lsm.estimate(free, **options)


@pytest.mark.parametrize(
    ("treatment", "words"),
    [
        ({"initial": "dark"}, "initial must be a number"),
        ({"initial": np.array([0.1, 0.2])}, "a DataArray where it differs"),
        ({"bounds": ("a", "b")}, "bounds must be two numbers"),
        ({"bounds": (0.1,)}, "bounds must be two numbers"),
        ({"bounds": 5}, "bounds must be two numbers"),
    ],
)
def test_senseless_treatments_are_refused(treatment, words):
    with pytest.raises(ParameterError, match=words):
        Parameter(**treatment)


def test_initial_dataarray_outside_bounds_is_refused(clean):
    guess = xr.DataArray(np.full(STATIONS, 0.5), dims="station")
    free = {"albedo": Parameter(bounds=(0.1, 0.2), initial=guess)}
    with pytest.raises(ParameterError, match=r"initial.*outside"):
        clean.lsm.estimate(free)


def test_depths_below_the_column_are_refused(clean):
    with pytest.raises(DimensionError, match="below the bottom"):
        clean.assign_coords(depth=[0.02, 1.5]).lsm.estimate("albedo")


# ---------------------------------------------------------------------------- models and fixed


def test_an_earlier_estimate_can_be_fixed():
    """Its values and its model are taken; what is free now is estimated anew."""
    model = Model(grid=UniformGrid(depth=1.2, nodes=25))
    ds = twin(2, hours=24, noise=0.5)
    known = {name: truth(2)[name] for name in FREE[2:]}
    first = ds.lsm.estimate(FREE[:2], observed=ERRORS, fixed=known, model=model)
    assert (first.status == Status.converged).all()
    second = ds.lsm.estimate("albedo", observed=ERRORS, fixed=first)
    assert second.attrs["model"] == model.to_json() != Model().to_json()
    others = {name: first[name] for name in (*FREE[1:], "emissivity")}
    explicit = ds.lsm.estimate("albedo", observed=ERRORS, fixed=others, model=model)
    assert_identical_numbers(second, explicit)
    np.testing.assert_array_equal(second.combined_transfer_coefficient, first[FREE[1]])
    # all else being where it was best, albedo is as well
    np.testing.assert_allclose(second.albedo, first.albedo, rtol=1e-7)
    assert (second.albedo_std < first.albedo_std).all()
