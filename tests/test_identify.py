"""What the data can tell: the paper's figures, exact null directions, and words."""

import numpy as np
import pytest
import xarray as xr
from twins import ERRORS, FREE, truth, twin

import xlsm
from xlsm.errors import ParameterError
from xlsm.words import combination_in_words

# some stations are meant to end at a bound, or to have no valid run
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

#: Truth of the paper's synthetic case.
PAPER = {
    "albedo": 0.2,
    "combined_transfer_coefficient": 25.0,
    "thermal_conductivity": 0.8,
    "heat_capacity": 2.2e6,
    "deep_temperature": 293.0,
}
SPLIT = {
    **{name: value for name, value in PAPER.items() if name != "combined_transfer_coefficient"},
    "heat_transfer_coefficient": 15.0,
    "bowen_ratio": 1.5,
}
RUN = {"observed": {"SoilTemp": 0.1}, "model": "huang2025"}


@pytest.fixture(scope="module")
def paper():
    return xlsm.tutorial.open_dataset("huang2025")


@pytest.fixture(scope="module")
def one_depth(paper):
    """The thermometer at 0.05 m alone."""
    return paper.isel(depth=[1]).lsm.identifiability(PAPER, **RUN)


def percent(found, name):
    return 100 * float(found.relative_std.sel(parameter=name))


def test_one_depth_cannot_tell_the_conductivity(one_depth):
    assert percent(one_depth, "thermal_conductivity") == pytest.approx(44, abs=0.7)
    assert percent(one_depth, "heat_capacity") == pytest.approx(22, abs=0.7)
    assert percent(one_depth, "combined_transfer_coefficient") == pytest.approx(2.7, abs=0.1)
    assert percent(one_depth, "albedo") == pytest.approx(2.75, abs=0.1)
    assert int(one_depth.resolved) == 5
    summary = one_depth.attrs["summary"]
    assert "thermal_conductivity: 0.8 W m-1 K-1, give or take 44 %" in summary
    assert "heat_capacity with thermal_conductivity +1.00" in summary
    assert "SoilTemp at 0 m too would bring" in summary
    assert "thermal_conductivity from 44 % to 1.1 %, heat_capacity from 22 % to 0.8 %" in summary


def test_two_depths_can(paper):
    found = paper.lsm.identifiability(PAPER, **RUN)
    expected = {
        "thermal_conductivity": 1.1,
        "heat_capacity": 0.8,
        "combined_transfer_coefficient": 0.3,
        "albedo": 0.5,
    }
    for name, value in expected.items():
        assert percent(found, name) == pytest.approx(value, abs=0.05), name
    assert "Strongly correlated" not in found.attrs["summary"]


def test_temperature_cannot_part_h_and_beta(paper):
    found = paper.lsm.identifiability(SPLIT, **RUN)
    # along (dlog h, dlog beta) ~ (1/(1+beta), 1) nothing changes: what is left is round-off
    assert found.structural.values.tolist() == [False] * 5 + [True]
    assert float(found.singular_value[-1]) < 1e-11 * float(found.singular_value[0])
    for name in ("heat_transfer_coefficient", "bowen_ratio"):
        assert np.isinf(found["std"].sel(parameter=name))
    usual = paper.lsm.identifiability(PAPER, **RUN)
    for name in ("albedo", "thermal_conductivity"):
        np.testing.assert_allclose(percent(found, name), percent(usual, name), rtol=1e-6)
    weakest = found.direction[-1].to_pandas()
    ratio = weakest["heat_transfer_coefficient"] / weakest["bowen_ratio"]
    widths = {name: np.ptp(np.log(PARAMETERS[name].bounds)) for name in weakest.index[-2:]}
    ratio *= widths["heat_transfer_coefficient"] / widths["bowen_ratio"]
    assert ratio == pytest.approx(1 / 2.5, rel=1e-6)
    words = "Not seen at all, whatever the noise: heat_transfer_coefficient and bowen_ratio"
    assert words in found.attrs["summary"]
    assert "bowen_ratio: 1.5, not determined" in found.attrs["summary"]


PARAMETERS = xlsm.models.huang2025().parameters


@pytest.mark.slow
def test_error_bars_are_those_of_an_estimate(tmp_path):
    """Laplace's covariance at the estimate, from another kernel."""
    ds = twin(3, hours=48, noise=1.0)
    est = ds.lsm.estimate(FREE, observed=ERRORS, error_bars="stated")
    found = ds.lsm.identifiability(est)
    for i, name in enumerate(FREE):
        np.testing.assert_allclose(
            found["std"].isel(parameter=i), est[f"{name}_std"], rtol=1e-6, err_msg=name
        )
    std = np.sqrt(np.diagonal(est.covariance, axis1=1, axis2=2))
    correlation = est.covariance / (std[:, :, None] * std[:, None])
    np.testing.assert_allclose(found.correlation, correlation, atol=1e-6)
    assert found.attrs["summary"].startswith("From SoilTemp at 0.02, 0.1 m (0.1 K), LWup (5 W m-2)")
    lazy = ds.chunk(station=2).lsm.identifiability(est)
    assert lazy["std"].chunks is not None
    lazy.lsm.to_zarr(tmp_path / "found.zarr")
    stored = xr.open_zarr(tmp_path / "found.zarr")
    assert stored.structural.dtype == bool
    np.testing.assert_array_equal(stored.parameter, list(FREE))
    assert "summary" not in lazy.attrs
    xr.testing.assert_allclose(lazy.compute()["std"], found["std"], rtol=1e-9)


def test_resolution_goes_from_bounds_to_data(paper):
    """Rodgers's matrix: its diagonal is a share, its trace the degrees of freedom."""
    sharp, blunt = (
        paper.lsm.identifiability(PAPER, observed={"SoilTemp": error}, model="huang2025")
        for error in (1e-3, 1e4)
    )
    np.testing.assert_allclose(sharp.identifiability, 1.0, atol=1e-4)
    assert (blunt.identifiability < 1e-2).all()
    assert int(blunt.resolved) == 0
    assert blunt.attrs["summary"].count("Below the noise") == 5
    squares = sharp.singular_value**2
    trace = float((squares / (1 + squares)).sum())
    assert float(sharp.identifiability.sum()) == pytest.approx(trace, rel=1e-9)


def test_a_prior_makes_known_what_the_data_do_not_say(paper):
    free = {name: xlsm.Parameter() for name in SPLIT}
    free["bowen_ratio"] = xlsm.Parameter(prior=xlsm.LogNormal(1.5, 1.2))
    found = paper.lsm.identifiability(SPLIT, free=free, **RUN)
    np.testing.assert_allclose(
        found.relative_std.sel(parameter="bowen_ratio"), np.log(1.2), rtol=1e-3
    )
    assert bool(found.structural[-1])  # the data see it no better


def test_a_batch_is_summed_up():
    ds = twin(3, hours=48)
    ds = ds.assign(SWdown=ds.SWdown.where(ds.station != "site0001"))
    found = ds.lsm.identifiability(truth(3), free=FREE, observed=ERRORS)
    assert found["std"].isel(station=1).isnull().all()
    assert found["std"].isel(station=[0, 2]).notnull().all()
    summary = found.attrs["summary"]
    assert "2 of 3 stations with a valid run" in summary
    assert "thermal_conductivity: give or take" in summary


def test_no_more_than_two_runs_of_the_tangents(paper, monkeypatch):
    """Sensitivities twice, of which the second along few directions."""
    from xlsm.inference import sensitivity

    sweeps = []

    def counted(*args, **kwargs):
        sweeps.append(1)
        return original(*args, **kwargs)

    original = sensitivity.sweep
    monkeypatch.setattr(sensitivity, "sweep", counted)
    subset = paper.isel(time=slice(31))  # a shape nobody has compiled
    subset.lsm.identifiability(PAPER, **RUN)
    assert len(sweeps) == 2


# ---------------------------------------------------------------------------- data worth


def test_worth_is_what_an_estimate_would_find(paper):
    """The second depth of the paper's case, before it is buried."""
    shallow = paper.isel(depth=[1])
    worth = shallow.lsm.data_worth(
        PAPER, candidates={"SoilTemp": [0.0, 0.05, 0.3], "LWup": 5.0}, **RUN
    )
    assert set(worth.candidate.values) == {"SoilTemp at 0 m", "SoilTemp at 0.3 m", "LWup"}
    assert worth.candidate.values[0] == "SoilTemp at 0 m"
    found = paper.lsm.identifiability(PAPER, **RUN)
    np.testing.assert_allclose(
        worth["std"].sel(candidate="SoilTemp at 0 m"), found["std"], rtol=1e-6
    )
    assert (np.diff(worth.gain) <= 0).all()
    assert (worth.factor >= 1 - 1e-9).all()
    assert worth.factor.dims == worth["std"].dims == ("candidate", "parameter")
    assert worth.attrs["summary"].splitlines()[1].startswith("  SoilTemp at 0 m: thermal_cond")


def test_a_flux_frees_the_bowen_ratio(paper):
    worth = paper.lsm.data_worth(SPLIT, candidates=["Qh", "LWup"], **RUN)
    factor = worth.factor.sel(parameter="bowen_ratio")
    assert np.isinf(factor.sel(candidate="Qh"))
    assert float(factor.sel(candidate="LWup")) == 1
    assert "bowen_ratio becomes known" in worth.attrs["summary"]


def test_thermometers_where_there_are_none():
    ds = twin(2, hours=48)[["SWdown", "LWdown", "Tair", "LWup"]]
    worth = ds.lsm.data_worth(truth(2), free=FREE, observed="LWup", candidates=["SoilTemp"])
    assert worth.sizes["candidate"] == 6
    assert worth["std"].notnull().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda ds: ds.lsm.identifiability({"albedo": 0.2}, free=["albedo", "emissivity"]),
            "emissivity: free, but without a value to look at",
        ),
        (
            lambda ds: ds.lsm.data_worth(PAPER, candidates=["Rainf"], **RUN),
            "Rainf is no candidate: the model predicts SoilTemp, AvgSurfT",
        ),
        (
            lambda ds: ds.lsm.data_worth(PAPER, candidates={"SoilTemp": [0.05]}, **RUN),
            "There is no candidate left",
        ),
    ],
)
def test_what_cannot_be_asked(paper, call, message):
    with pytest.raises(ParameterError, match=message):
        call(paper)


# ---------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("loadings", "words"),
    [
        ({"albedo": 1.0, "heat_capacity": 0.1}, "albedo alone"),
        (
            {"thermal_conductivity_2": 0.6, "heat_capacity_2": -0.8},
            "thermal_conductivity_2 up and heat_capacity_2 down (their product, the thermal "
            "inertia, stays)",
        ),
        (
            {"albedo": -0.5, "combined_transfer_coefficient": 0.7, "deep_temperature": 0.5},
            "combined_transfer_coefficient up, albedo down and deep_temperature up",
        ),
    ],
)
def test_combinations_have_names(loadings, words):
    assert combination_in_words(loadings, {}) == words
