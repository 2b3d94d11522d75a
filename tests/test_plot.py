"""Figures show what they claim to: every variable, depth and station, with its unit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import xlsm
from xlsm.errors import DimensionError, MissingVariableError, ParameterError
from xlsm.inference.invert import Status

# two of the stations have no estimate
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

FREE = ["albedo", "combined_transfer_coefficient"]
DEAD, GAP = 1, 2


@pytest.fixture(scope="module")
def network() -> xr.Dataset:
    """Four stations: the second observed nothing, the third lacks a value of its forcing."""
    ds = xlsm.tutorial.network(stations=4, days=1, dead=DEAD)
    ds["Tair"][GAP, 10] = np.nan
    return ds


@pytest.fixture(scope="module")
def estimates(network: xr.Dataset) -> xr.Dataset:
    observed = {"SoilTemp": 0.1, "LWup": 5.0}
    return network.lsm.estimate(FREE, observed=observed, fixed=xlsm.tutorial.truth(network))


@pytest.fixture(autouse=True)
def figures_are_drawn() -> Iterator[None]:
    """Draw every figure, so that a layout that does not fit warns, which is an error."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def legend(fig: Figure) -> list[str]:
    return [entry.get_text() for entry in fig.legends[0].get_texts()]


class TestFit:
    def test_each_variable_and_depth_has_a_pair_of_panels(self, network, estimates) -> None:
        fig = network.isel(station=0).lsm.plot.fit(estimates.isel(station=0))
        assert [ax.get_title("left") for ax in fig.axes[::2]] == [
            "Soil temperature at 0.05 m",
            "Soil temperature at 0.1 m",
            "Soil temperature at 0.2 m",
            "Upwelling longwave radiation",
        ]
        assert [ax.get_ylabel() for ax in fig.axes[::2]] == ["SoilTemp [K]"] * 3 + ["LWup [W m-2]"]
        assert [ax.get_ylabel() for ax in fig.axes[-3::2]] == [
            "residual\n[K]",
            "residual\n[W m-2]",
        ]
        assert fig.get_suptitle() == "station = S000, status: converged"
        assert legend(fig) == ["observed", "model", "±1 standard error"]

    def test_residuals_are_observed_minus_model(self, network, estimates) -> None:
        ds, est = network.isel(station=0), estimates.isel(station=0)
        fig = ds.lsm.plot.fit(est, observed="LWup")
        upper, lower = fig.axes
        observed, model = (line.get_ydata() for line in upper.lines)
        expected = ds.lsm.simulate(est, outputs="LWup").LWup
        np.testing.assert_allclose(observed, ds.LWup)
        np.testing.assert_allclose(model, expected)
        residual = lower.lines[-1].get_ydata()
        np.testing.assert_allclose(residual, ds.LWup - expected)
        rms = float(est.residual_std_LWup)
        assert upper.get_title("right") == f"RMS {rms:.3g}, stated error 5 W m-2"

    def test_the_band_is_the_standard_error(self, network, estimates) -> None:
        ds, est = network.isel(station=0), estimates.isel(station=0)
        for observed, error in [(None, 0.1), (["SoilTemp"], 0.1), ({"SoilTemp": 0.4}, 0.4)]:
            band = ds.lsm.plot.fit(est, observed=observed).axes[1].patches[0]
            assert (band.get_y(), band.get_height()) == pytest.approx((-error, 2 * error))

    def test_what_was_not_fitted_is_shown_as_such(self, network, estimates) -> None:
        ds = network.isel(station=0)
        ds["Qturb"] = ds.lsm.simulate(outputs="Qturb").Qturb
        fig = ds.lsm.plot.fit(estimates.isel(station=0), observed=["Qturb"])
        assert fig.axes[0].get_title("left") == "Turbulent heat flux (not fitted)"

    @pytest.mark.parametrize("depths", [1, 6])
    def test_any_number_of_depths(self, network, estimates, depths: int) -> None:
        ds = network.isel(station=0)
        metres = np.array([0.02, 0.04, 0.08, 0.16, 0.32, 0.64])[:depths]
        sim = ds.lsm.simulate(xlsm.tutorial.truth(ds), depth=metres)
        ds = ds.drop_dims("depth").assign(SoilTemp=sim.SoilTemp)
        fig = ds.lsm.plot.fit(estimates.isel(station=0), observed="SoilTemp")
        assert len(fig.axes) == 2 * depths

    def test_a_depth_may_be_a_scalar_coordinate(self, network, estimates) -> None:
        ds = network.isel(station=0, depth=1)
        fig = ds.lsm.plot.fit(estimates.isel(station=0), observed="SoilTemp")
        assert fig.axes[0].get_title("left") == "Soil temperature at 0.1 m"

    @pytest.mark.parametrize(
        ("station", "words"), [(DEAD, "no observations"), (GAP, "forcing gap")]
    )
    def test_an_unsolved_station_says_why(self, network, estimates, station, words) -> None:
        fig = network.isel(station=station).lsm.plot.fit(estimates.isel(station=station))
        assert fig.get_suptitle() == f"station = S00{station}, status: not solved, {words}"
        assert legend(fig) == ["observed", "±1 standard error"]
        # the axis is that of the data, not matplotlib's of 1970
        start, end = fig.axes[0].get_xlim()
        assert end - start == pytest.approx(1)

    def test_lazy_input_and_dimensions_of_one(self, network, estimates) -> None:
        one = slice(0, 1)
        fig = network.chunk(station=1).isel(station=one).lsm.plot.fit(estimates.isel(station=one))
        assert len(fig.axes) == 8

    def test_times_need_not_be_dates(self, network, estimates) -> None:
        ds = network.isel(station=0)
        ds = ds.assign_coords(time=ds.time - ds.time[0])
        fig = ds.lsm.plot.fit(estimates.isel(station=0), observed="LWup")
        assert fig.axes[0].get_xlim() == pytest.approx((0, 1))
        assert fig.axes[1].get_xlabel().startswith("days since")

    def test_size(self, network, estimates) -> None:
        fig = network.isel(station=0).lsm.plot.fit(estimates.isel(station=0), figsize=(10, 7))
        assert tuple(fig.get_size_inches()) == (10, 7)

    def test_a_batch_is_refused(self, network, estimates) -> None:
        with pytest.raises(DimensionError, match=r"one station.*ds\.isel\(station=0\)"):
            network.lsm.plot.fit(estimates)
        with pytest.raises(DimensionError, match="the estimate has"):
            network.isel(station=0).lsm.plot.fit(estimates)

    def test_another_station_is_refused(self, network, estimates) -> None:
        with pytest.raises(DimensionError, match=r"the estimate of .*station='S003'"):
            network.isel(station=0).lsm.plot.fit(estimates.isel(station=3))

    def test_no_estimate_is_refused(self, network) -> None:
        ds = network.isel(station=0)
        with pytest.raises(ParameterError, match="no estimate"):
            ds.lsm.plot.fit(xlsm.tutorial.truth(ds))

    def test_what_is_not_there_is_refused(self, network, estimates) -> None:
        with pytest.raises(MissingVariableError, match="Qg is not in the Dataset"):
            network.isel(station=0).lsm.plot.fit(estimates.isel(station=0), observed="Qg")


class TestParameters:
    def test_a_panel_for_each_parameter(self, network, estimates) -> None:
        fig = estimates.lsm.plot.parameters()
        assert [ax.get_title("left") for ax in fig.axes] == FREE
        assert [ax.get_ylabel() for ax in fig.axes] == ["", "[W m-2 K-1]"]
        assert fig.axes[-1].get_xlabel() == "station"
        labels = [label.get_text() for label in fig.axes[-1].get_xticklabels()]
        assert labels == list(network.station.values)

    def test_values_and_error_bars(self, estimates) -> None:
        (ax,) = estimates.lsm.plot.parameters("albedo").axes
        (container,) = ax.containers
        line, _, (bars,) = container.lines
        solved = estimates.dropna("station", subset=["albedo"])
        np.testing.assert_allclose(line.get_xdata(), [0, 3])
        np.testing.assert_allclose(line.get_ydata(), solved.albedo)
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(np.ptp(ends, axis=1), 2 * solved.albedo_std)

    def test_stations_without_an_estimate_are_marked(self, estimates) -> None:
        fig = estimates.lsm.plot.parameters("albedo")
        marked = {
            line.get_label(): list(line.get_xdata())
            for line in fig.axes[0].lines
            if str(line.get_label()).startswith("not solved")
        }
        assert marked == {"not solved: no observations": [DEAD], "not solved: forcing gap": [GAP]}
        assert set(marked) < set(legend(fig))

    @pytest.mark.parametrize("status", [s for s in Status if s > Status.not_identifiable])
    def test_every_reason_has_its_mark(self, estimates, status) -> None:
        est = estimates.copy(deep=True)
        est["status"][0] = status
        words = status.name.replace("_", " ")
        assert f"not solved: {words}" in legend(est.lsm.plot.parameters("albedo"))

    def test_an_estimate_at_a_bound_is_marked(self, estimates) -> None:
        est = estimates.copy(deep=True)
        est["status"][0] = Status.at_bound
        assert "at bound, ±1 standard error" in legend(est.lsm.plot.parameters())

    def test_truth_stands_beside_the_estimates(self, network, estimates) -> None:
        truth = xlsm.tutorial.truth(network)
        fig = estimates.isel(station=[3, 0]).lsm.plot.parameters(truth=truth)
        line = next(line for line in fig.axes[0].lines if line.get_label() == "truth")
        np.testing.assert_allclose(line.get_ydata(), network.true_albedo[[3, 0]])
        fig = estimates.lsm.plot.parameters(truth={"albedo": 0.2})
        assert "truth" in legend(fig)

    def test_one_station(self, estimates) -> None:
        fig = estimates.isel(station=0).lsm.plot.parameters()
        assert len(fig.axes) == 2
        assert not list(fig.axes[0].get_xticks())

    def test_many_stations_keep_readable_labels(self, estimates) -> None:
        est = estimates.isel(station=np.zeros(300, int))
        ax = est.lsm.plot.parameters("albedo").axes[0]
        assert len(ax.get_xticks()) <= 40

    def test_further_batch_dimensions_stand_side_by_side(self, estimates) -> None:
        est = xr.concat([estimates, estimates], "member", data_vars="all").isel(station=[0, 3])
        est = est.transpose("station", "member", ...)
        line = est.lsm.plot.parameters("albedo").axes[0].containers[0].lines[0]
        np.testing.assert_allclose(line.get_xdata(), [-0.3, 0.3, 0.7, 1.3])

    def test_one_hopeless_error_bar_does_not_flatten_the_others(self, estimates) -> None:
        est = estimates.copy(deep=True)
        est["albedo_std"][0] = 1e3
        low, high = est.lsm.plot.parameters("albedo").axes[0].get_ylim()
        assert high - low < 1

    def test_nothing_solved(self, estimates) -> None:
        fig = estimates.isel(station=[DEAD, GAP]).lsm.plot.parameters()
        assert len(fig.axes) == 2

    def test_wrong_names_are_refused(self, network, estimates) -> None:
        with pytest.raises(ParameterError, match="Did you mean 'albedo'"):
            estimates.lsm.plot.parameters("albdo")
        with pytest.raises(ParameterError, match="no estimate"):
            network.lsm.plot.parameters()
        truth = {"albedo": xr.DataArray([0.1, 0.2], dims="x")}
        with pytest.raises(ParameterError, match="dimensions the estimate has not"):
            estimates.lsm.plot.parameters(truth=truth)


def test_matplotlib_is_imported_only_to_draw() -> None:
    code = "import sys, xlsm; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
