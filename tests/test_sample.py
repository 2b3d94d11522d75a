"""Draws from the posterior: right where it is known, the same each time, one station at a time."""

import sys

import arviz
import numpy as np
import pytest
import xarray as xr
from cases import TRUTH, paper_dataset
from twins import assert_identical_numbers

import xlsm
from benchmarks import case
from xlsm.errors import DimensionError, LSMError, ParameterError

# chains run for longer than they compile
pytestmark = pytest.mark.optimised

PAPER = xlsm.models.huang2025()
FREE = list(case.FREE)
CONDUCTIVITY = "thermal_conductivity"


def observations(times=case.TIMES, noise=0.1):
    """The paper's case with noise on its temperatures at 0 and 0.05 m."""
    ds = paper_dataset().isel(time=slice(times))
    sim = ds.lsm.simulate(TRUTH, model=PAPER, depth=[0.0, 0.05], outputs="SoilTemp")
    random = np.random.default_rng(0)
    with xr.set_options(keep_attrs=True):
        return ds.assign(SoilTemp=sim.SoilTemp + noise * random.standard_normal(sim.SoilTemp.shape))


def draw(ds, **options):
    lengths = {"draws": 500, "warmup": 300}
    return ds.lsm.sample(FREE, observed={"SoilTemp": 0.1}, model=PAPER, **lengths | options)


def diagnosed(tree):
    """ArviZ's own summary of the draws; before version 1 it wants a format of its own."""
    convert = getattr(arviz, "from_datatree", lambda tree: tree)
    return arviz.summary(convert(tree), round_to="none")


@pytest.fixture(scope="module")
def two_depths():
    ds = observations()
    return ds, draw(ds)


def test_a_well_determined_posterior_is_the_one_of_laplace(two_depths):
    ds, tree = two_depths
    est = ds.lsm.estimate(FREE, observed={"SoilTemp": 0.1}, model=PAPER)
    posterior = tree["posterior"].to_dataset()
    assert not tree["sample_stats/diverging"].any()
    for name in FREE:
        # 2000 draws that are nearly independent: 0.1 is four standard errors of the mean
        off = (posterior[name].mean() - est[name]) / est[f"{name}_std"]
        assert abs(off) < 0.1
        assert posterior[name].std() / est[f"{name}_std"] == pytest.approx(1, abs=0.08)
    drawn = posterior.to_array("parameter").stack(sample=["chain", "draw"])
    std = np.sqrt(np.diag(est.covariance))
    np.testing.assert_allclose(
        np.corrcoef(drawn), est.covariance / np.outer(std, std), rtol=0, atol=0.1
    )


def test_arviz_reads_the_draws_and_finds_that_the_chains_agree(two_depths):
    summary = diagnosed(two_depths[1])
    assert list(summary.index) == FREE
    assert (summary.r_hat < 1.01).all()
    assert (summary.ess_bulk > 1000).all()


def test_draws_are_labelled(two_depths):
    _, tree = two_depths
    assert set(tree.children) == {"posterior", "sample_stats", "constant_data"}
    posterior = tree["posterior"].to_dataset()
    assert list(posterior) == FREE
    for array in [*posterior.values(), *tree["sample_stats"].to_dataset().values()]:
        assert array.dims == ("chain", "draw")
        assert array.shape == (4, 500)
        assert array.long_name
    assert posterior.heat_capacity.units == "J m-3 K-1"
    assert posterior.attrs["observed"] == "SoilTemp=0.1"
    assert tree["constant_data/emissivity"] == 0.95
    assert tree["constant_data/status"].flag_meanings.startswith("not_computed converged")


def test_draws_are_parameters_of_a_simulation(two_depths):
    ds, tree = two_depths
    few = tree["posterior"].to_dataset().isel(draw=slice(None, None, 100))
    sim = ds.lsm.simulate(xr.merge([few, tree["constant_data"].to_dataset()]))
    residual = (sim.SoilTemp - ds.SoilTemp).std(["time", "depth"])
    assert residual.dims == ("chain", "draw")
    np.testing.assert_allclose(residual, 0.1, rtol=0.1)


def test_a_seed_gives_the_same_bits_and_another_seed_others(two_depths):
    ds, tree = two_depths
    again, other = draw(ds), draw(ds, seed=1)
    for group in tree.children:
        assert_identical_numbers(tree[group].to_dataset(), again[group].to_dataset())
    assert not (tree["posterior/albedo"] == other["posterior/albedo"]).any()


@pytest.mark.slow
def test_one_depth_leaves_a_long_bent_valley(two_depths):
    """What Laplace's approximation cannot show: a tail towards soils that store little heat."""
    ds, tree = two_depths
    deeper = ds.assign(SoilTemp=ds.SoilTemp.where(ds.depth > 0))
    lone = draw(deeper)  # what is compiled already
    assert lone["sample_stats/diverging"].mean() < 2e-3
    assert (diagnosed(lone).r_hat < 1.02).all()
    width = {name: float(lone[f"posterior/{name}"].std()) for name in FREE}
    for name, least in zip(FREE, [3, 5, 20, 10, 1.1], strict=True):
        assert width[name] > least * float(tree[f"posterior/{name}"].std())
    # the estimate's ellipse is straight; the valley is not: its draws bend away from the line
    logs = np.log([lone[f"posterior/{n}"].values.ravel() for n in (CONDUCTIVITY, "heat_capacity")])
    curvature = np.polyfit(*logs, 2)[0]
    line, curve = (np.std(logs[1] - np.polyval(np.polyfit(*logs, k), logs[0])) for k in (1, 2))
    assert curvature < -0.05
    assert curve < 0.5 * line


@pytest.mark.slow
def test_what_leaves_no_trace_does_not_keep_the_rest_from_being_known():
    """Temperatures know h (1 + 1/beta) and nothing else of the two."""
    ds = observations(times=25)
    settings = {"observed": {"SoilTemp": 0.1}, "model": PAPER}
    known = {name: TRUTH[name] for name in FREE if name != "combined_transfer_coefficient"}
    both = ["heat_transfer_coefficient", "bowen_ratio"]
    tree = ds.lsm.sample(both, fixed=known, draws=500, **settings)
    est = ds.lsm.estimate("combined_transfer_coefficient", fixed=known, **settings)
    assert xlsm.Status(int(tree["constant_data/status"])) is xlsm.Status.not_identifiable
    h, beta = (tree[f"posterior/{name}"] for name in both)
    off = h * (1 + 1 / beta) - est.combined_transfer_coefficient
    std = float(est.combined_transfer_coefficient_std)
    assert abs(float(off.mean())) < 0.2 * std
    assert float(off.std()) == pytest.approx(std, rel=0.15)
    assert beta.std() > 10 * std


# ------------------------------------------------------------- one parameter, several stations


@pytest.fixture(scope="module")
def stations():
    """Three stations of a day, the second without its air temperature at one time."""
    ds = observations(times=25).expand_dims(station=["a", "b", "c"]).copy(deep=True)
    ds["SoilTemp"][2] += 0.2
    spoilt = ds.copy(deep=True)
    spoilt["Tair"][1, 10] = np.nan
    return ds, spoilt


def draw_one(ds, error, **options):
    known = {name: TRUTH[name] for name in FREE if name != CONDUCTIVITY}
    lengths = {"draws": 500, "warmup": 200}
    return ds.lsm.sample(
        CONDUCTIVITY, observed={"SoilTemp": error}, fixed=known, model=PAPER, **lengths | options
    )


@pytest.mark.slow
def test_without_information_draws_are_uniform_between_the_bounds(stations):
    # though the parameter is transformed on a logarithmic scale
    tree = draw_one(stations[0], error=1e6)
    drawn = tree[f"posterior/{CONDUCTIVITY}"].values.reshape(-1, 3)
    lower, upper = PAPER.parameters[CONDUCTIVITY].bounds
    shares = np.linspace(0.1, 0.9, 9)
    expected = lower + (upper - lower) * shares
    for station in drawn.T:
        found = np.quantile(station, shares)
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.07 * (upper - lower))


@pytest.mark.slow
def test_a_skewed_posterior_is_the_one_of_quadrature(stations):
    error = 4.0
    ds = stations[0].isel(station=[0, 1, 2])
    grid = xr.DataArray(np.linspace(0.02, 8, 2001), dims="grid")
    sim = ds.isel(station=0).lsm.simulate(
        {**TRUTH, CONDUCTIVITY: grid}, model=PAPER, outputs="SoilTemp"
    )
    misfit = (((sim.SoilTemp - ds.SoilTemp.isel(station=0)) / error) ** 2).sum(["time", "depth"])
    density = np.exp(-0.5 * (misfit - misfit.min())).values
    cumulative = np.cumsum(density) / density.sum()
    shares = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    exact = np.interp(shares, cumulative, grid.values)
    assert exact[4] - exact[2] > 1.3 * (exact[2] - exact[0])  # skewed it is
    drawn = draw_one(ds, error)[f"posterior/{CONDUCTIVITY}"].isel(station=0).values
    # where in the distribution the quantiles of the draws lie, within their sampling error
    found = np.interp(np.quantile(drawn, shares), grid.values, cumulative)
    np.testing.assert_allclose(found, shares, rtol=0, atol=0.05)


@pytest.mark.slow
def test_a_bad_station_is_nan_and_spoils_no_other(stations):
    good, spoilt = (draw_one(ds, error=0.5) for ds in stations)
    kept = {"station": ["a", "c"]}
    for group in good.children:
        one, other = good[group].to_dataset(), spoilt[group].to_dataset()
        assert_identical_numbers(one.sel(kept), other.sel(kept))
    status = spoilt["constant_data/status"].sel(station="b")
    assert xlsm.Status(int(status)) is xlsm.Status.forcing_gap
    for group in ("posterior", "sample_stats"):
        for name, array in spoilt[group].sel(station="b").data_vars.items():
            assert (array.isnull() if array.dtype.kind == "f" else array == 0).all(), name


@pytest.mark.slow
def test_dask_in_lazy_out_and_the_same_draws(stations):
    ds = stations[1]
    eager, lazy = draw_one(ds, error=0.5), draw_one(ds.chunk(station=2), error=0.5)
    for group in ("posterior", "sample_stats"):
        variables = lazy[group].to_dataset()
        assert all(array.chunks is not None for array in variables.values())
        assert_identical_numbers(eager[group].to_dataset(), variables.compute())


# ------------------------------------------------------------------------------- bad input


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "blackjax", None)
    monkeypatch.delitem(sys.modules, "xlsm.pipeline.posterior", raising=False)
    monkeypatch.delitem(sys.modules, "xlsm.inference.sampling", raising=False)
    with pytest.raises(LSMError, match=r'blackjax: pip install "xlsm\[bayes\]"'):
        paper_dataset().lsm.sample("albedo")


@pytest.mark.parametrize(
    ("option", "value"), [("draws", 0), ("warmup", 1.5), ("chains", True), ("seed", -1)]
)
def test_a_wrong_number_is_named(option, value):
    with pytest.raises(ParameterError, match=f"^{option} must be a whole number"):
        paper_dataset().lsm.sample("albedo", **{option: value})


def test_a_dimension_of_the_result_is_taken():
    ds = observations(times=5).expand_dims(draw=2)
    with pytest.raises(DimensionError, match="cannot be called 'draw'"):
        draw_one(ds, error=1.0)
