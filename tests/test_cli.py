"""The command line: what it writes, what it says, how it ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console
from typer.testing import CliRunner, Result

import xlsm
from xlsm import store, tables
from xlsm.cli import app
from xlsm.demo import make_room
from xlsm.notices import unnoticed
from xlsm.pipeline.cluster import local_client

TRUTH = {"albedo": 0.2, "combined_transfer_coefficient": 25.0}
FIXED = "thermal_conductivity=0.8,heat_capacity=2.2e6,deep_temperature=293,emissivity=0.95"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


def said(result: Result) -> str:
    """All output, with the line breaks of the terminal taken out."""
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return xlsm.tutorial.network(stations=6, days=2, dead=2)


@pytest.fixture
def stations(network: xr.Dataset, tmp_path: Path) -> Path:
    """A NetCDF file of six stations; the third one has no observations."""
    path = tmp_path / "stations.nc"
    network.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_names_the_commands_and_no_argument_is_help() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        output = run(*arguments).output
        assert all(name in output for name in ("demo", "check", "simulate", "estimate"))


def test_the_commands_import_little_before_they_run() -> None:
    code = "import sys, xlsm.cli; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"distributed", "matplotlib", "pooch", "xlsm.demo"} & set(modules)


class TestCheck:
    def test_all_is_well(self) -> None:
        result = run("check", "huang2025", "--model", "huang2025")
        assert result.exit_code == 0, result.output
        assert "No problem found" in result.output
        assert "101 times, step 3600 s" in result.output
        assert "Qle" not in result.output  # absent, and not needed

    def test_problems_are_told_and_counted_in_the_exit_code(self, here: Path) -> None:
        ds = xlsm.tutorial.open_dataset("huang2025").drop_vars("LWdown")
        ds["Tair"] = ds.Tair.assign_attrs(units="degC")
        ds.to_netcdf("odd.nc", engine="h5netcdf")
        result = run("check", "odd.nc")
        assert result.exit_code == 1
        assert "LWdown: LWdown is not in the Dataset" in said(result)
        assert "Tair: " in said(result)

    def test_gaps_in_forcing_name_the_option_that_helps(self, here: Path) -> None:
        ds = xlsm.tutorial.open_dataset("huang2025")
        ds["Tair"][3] = np.nan
        ds.to_netcdf("gap.nc", engine="h5netcdf")
        assert "--time FROM/TO" in said(run("check", "gap.nc"))
        assert run("check", "gap.nc", "--time", "2012-05-02/").exit_code == 0

    def test_what_is_called_otherwise_is_renamed(self, here: Path) -> None:
        ds = xlsm.tutorial.open_dataset("huang2025")
        ds["RadT"] = ds.Tair
        ds.rename(time="hour").to_netcdf("other.nc", engine="h5netcdf")
        found = said(run("check", "other.nc", "--rename", "hour=time"))
        assert "AvgSurfT: AvgSurfT is not in the Dataset, but 'RadT' may be it" in found
        assert "Here, variables are renamed with --rename OLD=NEW." in found
        both = ("--rename", "hour=time", "--rename", "RadT = AvgSurfT")
        assert run("check", "other.nc", *both).exit_code == 0
        for wrong, message in {
            "RadT": "expected OLD=NEW, got 'RadT'",
            "LST=AvgSurfT": "--rename LST=AvgSurfT: there is no LST; the data hold",
            "RadT=Tair": "--rename RadT=Tair: Tair is there already",
        }.items():
            result = run("check", "other.nc", "--rename", wrong)
            assert result.exit_code != 0
            assert message in said(result)

    def test_a_grid_is_made_for_the_record(self) -> None:
        assert run("check", "huang2025", "--grid", "auto").exit_code == 0
        assert "--grid: expected auto, got 'fine'" in said(run("check", "twin", "--grid", "fine"))


class TestEstimate:
    def test_one_site_in_process(self, here: Path) -> None:
        result = run(
            *("estimate", "huang2025", "out.zarr", "--free", ",".join(TRUTH)),
            *("--observed", "SoilTemp=0.1", "--fixed", FIXED, "--model", "huang2025"),
            *("--time", "2012-05-01/2012-05-02", "--workers", "2"),
        )
        assert result.exit_code == 0, result.output
        est = xr.load_dataset("out.zarr", engine="zarr")
        for name, value in TRUTH.items():
            assert float(est[name]) == pytest.approx(value, rel=1e-6)
        assert "1 converged" in result.output
        assert "25.000 ±" in said(result) or "25.00 ±" in said(result)

    def test_stations_in_process_with_one_flagged(self, here: Path, stations: Path) -> None:
        result = run(
            *("estimate", stations, "out.zarr", "--free", "albedo", "--observed", "LWup"),
            *("--chunk", "station=4"),
        )
        assert result.exit_code == 3, result.output
        assert "Estimates of 6 stations" in result.output
        assert "5 converged, 1 no_observations" in result.output
        assert "S002: no_observations" in result.output
        (warning,) = result.stderr.splitlines()
        assert warning.startswith("Warning: 1 of 6 stations have no estimate: 1 no_observations (")
        est = xr.load_dataset("out.zarr", engine="zarr")
        assert est.status.values.tolist() == [0, 0, 4, 0, 0, 0]
        assert est.attrs["observed"] == "LWup=5"

    @pytest.mark.slow
    def test_windows_and_what_is_held_out(self, here: Path) -> None:
        result = run(
            *("estimate", "huang2025", "out.zarr", "--free", ",".join(TRUTH)),
            *("--observed", "SoilTemp=0.1", "--fixed", FIXED, "--model", "huang2025"),
            *("--window", "1D", "--step", "12h", "--holdout", "0.25"),
        )
        assert result.exit_code == 0, result.output
        assert "Estimates of 7 windows" in result.output
        assert "Scores, medians of 7 windows" in result.output
        assert "SoilTemp 0.05 m" in result.output
        est = xr.load_dataset("out.zarr", engine="zarr")
        assert est.sizes["window"] == 7
        assert est.samples.sel(part="held out", observable="SoilTemp 0.05 m").values.tolist() == (
            [6] * 7
        )

    @pytest.mark.parametrize(
        ("option", "value", "words"),
        [
            ("--window", "2h", "window='2h' is shorter than 3 time steps"),
            ("--step", "1D", "give window= as well"),
            ("--holdout", "soon", "holdout must be a duration"),
            ("--holdout", "1.5", "got 1.5"),
        ],
    )
    def test_senseless_windows_and_holdouts_are_refused(
        self, here: Path, option: str, value: str, words: str
    ) -> None:
        result = run("estimate", "huang2025", "out.zarr", "--free", "albedo", option, value)
        assert result.exit_code == 1
        assert words in said(result)

    @pytest.mark.slow
    @pytest.mark.bits
    def test_workers_give_what_one_process_gives(
        self, here: Path, stations: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        common = ("--free", "albedo", "--observed", "LWup")
        threads = {name: os.environ.get(name) for name in ("NPROC", "OMP_NUM_THREADS")}
        with monkeypatch.context() as patch:
            patch.setattr(store, "SMALL", 0)  # the workers read the file
            many = run("estimate", stations, "many.zarr", *common, "--workers", "2")
        assert many.exit_code == 3, many.output
        assert "6/6 1 flagged" in said(many)
        assert {name: os.environ.get(name) for name in threads} == threads
        one = run("estimate", stations, "one.zarr", *common, "--chunk", "station=3")
        assert one.exit_code == 3, one.output
        many, one = (xr.load_dataset(n, engine="zarr") for n in ("many.zarr", "one.zarr"))
        # a file is another input than what was read of it
        assert many.attrs.pop("xlsm_plan") != one.attrs.pop("xlsm_plan")
        xr.testing.assert_identical(many, one)

    @pytest.mark.slow
    @pytest.mark.bits
    def test_workers_of_another_scheduler(self, here: Path, stations: Path) -> None:
        common = ("--free", "albedo", "--observed", "LWup", "--chunk", "station=3")
        result = run("estimate", stations, "x.zarr", *common, "--scheduler", "tcp://127.0.0.1:9")
        assert result.exit_code == 1
        assert "no Dask scheduler answers at tcp://127.0.0.1:9" in said(result)
        with local_client(1) as client:
            address = client.scheduler.address
            result = run(
                "estimate", stations, "a.zarr", *common, "--scheduler", address, "--resume"
            )
            assert result.exit_code == 3, result.output
            assert client.nthreads()  # they stay
        assert run("estimate", stations, "b.zarr", *common).exit_code == 3
        one, other = (xr.load_dataset(n, engine="zarr") for n in ("a.zarr", "b.zarr"))
        assert one.attrs.pop("xlsm_plan") == other.attrs.pop("xlsm_plan")
        xr.testing.assert_identical(one, other)

    def test_a_run_goes_on_and_is_looked_after(self, here: Path, stations: Path) -> None:
        common = ("--free", "albedo", "--observed", "LWup", "--chunk", "station=2")
        # in this process: workers compile for one core each, and may differ in the last bits
        command = ("estimate", stations, "out.zarr", *common, "--resume", "--workers", "0")
        assert run(*command).exit_code == 3
        plain = run("estimate", stations, "plain.zarr", *common)
        assert plain.exit_code == 3
        one, other = (xr.load_dataset(n, engine="zarr") for n in ("out.zarr", "plain.zarr"))
        assert one.attrs.pop("xlsm_plan") == other.attrs.pop("xlsm_plan")
        xr.testing.assert_identical(one, other)
        result = run("status", "out.zarr")
        assert "6 of 6 stations are done (5 converged, 1 no_observations)" in said(result)
        assert "out.zarr: whole" in said(run("verify", "out.zarr"))
        (here / "out.zarr" / "albedo" / "c" / "1").write_bytes(b"half")
        result = run("verify", "out.zarr")
        assert result.exit_code == 1
        assert "albedo, stations 2 to 3: cannot be read" in said(result)
        assert run("verify", "out.zarr", "--forget").exit_code == 0
        assert "2 are missing: the same command goes on" in said(run("status", "out.zarr"))
        assert run(*command).exit_code == 3
        assert "out.zarr: whole" in said(run("verify", "out.zarr"))
        result = run(
            "estimate", stations, "out.zarr", "--free", "emissivity", *common[2:], *command[-3:]
        )
        assert result.exit_code == 1
        assert "cannot be resumed for this one: variable" in said(result)
        assert run("status", "none.zarr").exit_code == 1

    def test_the_input_is_never_the_output(self, here: Path, stations: Path) -> None:
        xr.open_dataset(stations).drop_encoding().to_zarr("in.zarr", consolidated=False)
        before = sorted(here.rglob("*"))
        for more in ((), ("--overwrite",), ("--overwrite", "--resume")):
            result = run("estimate", "in.zarr", "in.zarr/", "--free", "albedo", *more)
            assert result.exit_code == 1
            assert "is the input: write to another name" in said(result)
        assert sorted(here.rglob("*")) == before

    def test_what_is_there_is_replaced_only_when_told(self, here: Path, stations: Path) -> None:
        command = ("estimate", stations, "out.zarr", "--free", "albedo", "--observed", "LWup")
        (here / "out.zarr").mkdir()
        (here / "out.zarr" / "thesis.tex").touch()
        result = run(*command)
        assert result.exit_code == 1
        assert "out.zarr exists: choose another name, or replace it with --overwrite" in said(
            result
        )
        result = run(*command, "--overwrite")
        assert result.exit_code == 1
        assert "is no Zarr store" in said(result)
        assert (here / "out.zarr" / "thesis.tex").exists()
        xr.Dataset({"old": 1}).to_zarr("old.zarr", consolidated=False)
        command = ("estimate", stations, "old.zarr", "--free", "albedo", "--observed", "LWup")
        assert run(*command, "--overwrite").exit_code == 3
        assert "old" not in xr.load_dataset("old.zarr", engine="zarr")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--free", "albeda"], "Error: 'albeda' is no parameter"),
            (["--free", "albedo", "--fixed", "albedo=0.2"], "free and fixed at once"),
            (["--free", "albedo", "--observed", "Lwup=5"], "Did you mean 'LWup'"),
            (["--free", "albedo", "--method", "newton"], "unknown method 'newton'"),
            (["--free", "albedo", "--model", "huang"], "unknown model 'huang'"),
            (["--free", "albedo", "--chunk", "site=3"], "'site' is no dimension of stations"),
            (["--free", "albedo", "--chunk", "station=0"], "station=0: must be at least 1"),
            (["--free", "albedo", "--time", "2020/2021"], "the data run from 2024-06-01"),
            (["--free", "albedo", "--time", "soon/later"], "expected FROM/TO"),
        ],
    )
    def test_faults_are_told_plainly(
        self, here: Path, stations: Path, arguments: list[str], message: str
    ) -> None:
        result = run("estimate", stations, "out.zarr", *arguments)
        assert result.exit_code == 1
        assert message in said(result)
        assert "Traceback" not in result.output
        assert not (here / "out.zarr").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--free", "albedo", "--fixed", "emissivity"], "expected NAME=NUMBER"),
            (["--free", "albedo", "--fixed", "emissivity=high"], "'high' is no number"),
            (["--free", "albedo", "--chunk", "station=2.5"], "'2.5' is no whole number"),
            (["--free", "albedo", "--observed", "LWup=much"], "'much' is no number"),
            ([], "Missing option '--free'"),
        ],
    )
    def test_misread_options_are_usage_errors(self, arguments: list[str], message: str) -> None:
        result = run("estimate", "twin", "out.zarr", *arguments)
        assert result.exit_code == 2
        assert message in said(result)

    def test_what_is_not_there_or_not_data(self, here: Path) -> None:
        result = run("estimate", "twinn", "out.zarr", "--free", "albedo")
        assert result.exit_code == 1
        assert "there is no file or store twinn" in said(result)
        assert "Did you mean 'twin'?" in said(result)
        Path("notes.nc").write_text("not NetCDF")
        result = run("estimate", "notes.nc", "out.zarr", "--free", "albedo")
        assert result.exit_code == 1
        assert "notes.nc cannot be read as a NetCDF file" in said(result)


class TestSimulate:
    def test_with_parameters_of_the_command_line(self, here: Path) -> None:
        result = run(
            *("simulate", "huang2025", "sim.zarr", "--set", "albedo=0.3"),
            *("--depth", "0,0.05", "--outputs", "SoilTemp,LWup"),
        )
        assert result.exit_code == 0, result.output
        assert "Wrote LWup, SoilTemp" in said(result) or "Wrote SoilTemp, LWup" in said(result)
        sim = xr.load_dataset("sim.zarr", engine="zarr")
        ds = xlsm.tutorial.open_dataset("huang2025")
        expected = ds.lsm.simulate({"albedo": 0.3}, depth=[0, 0.05])
        np.testing.assert_array_equal(sim.SoilTemp, expected.SoilTemp)
        assert set(sim.data_vars) == {"SoilTemp", "LWup"}

    def test_gaps_and_the_grid_of_the_record(self, here: Path) -> None:
        ds = xlsm.tutorial.open_dataset("huang2025")
        ds["Tair"][3] = np.nan
        ds.rename(Tair="TA").to_netcdf("gap.nc", engine="h5netcdf")
        options = ("--grid", "auto", "--rename", "TA=Tair", "--outputs", "SoilTemp")
        result = run("simulate", "gap.nc", "sim.zarr", *options)
        assert result.exit_code == 0, result.output
        (warning,) = result.stderr.splitlines()  # one line, and no line of code
        assert warning.startswith("Warning: the result is NaN from 2012-05-01T03:00:00 on, where")
        model = xlsm.Model.from_json(xr.open_zarr("sim.zarr").attrs["model"])
        assert model.grid.nodes == 24

    def test_with_estimates(self, here: Path, network: xr.Dataset, stations: Path) -> None:
        with unnoticed():  # one is dead
            est = network.lsm.estimate("albedo", observed="LWup")
        est.lsm.to_zarr("est.zarr")
        result = run("simulate", stations, "sim.zarr", "--parameters", "est.zarr")
        assert result.exit_code == 0, result.output
        sim = xr.load_dataset("sim.zarr", engine="zarr")
        # the stored stations are chunked and computed in blocks, so the last bits may differ
        np.testing.assert_allclose(sim.LWup, network.lsm.simulate(est).LWup, rtol=1e-12)

    def test_faults(self, here: Path) -> None:
        both = run("simulate", "twin", "s.zarr", "--set", "albedo=0.2", "--parameters", "e.zarr")
        assert both.exit_code == 2
        assert "not both" in both.output
        grid = run("simulate", "twin", "s.zarr", "--parameters", "e.zarr", "--grid", "auto")
        assert grid.exit_code == 2
        assert "the estimates bring their model" in said(grid)
        result = run("simulate", "huang2025", "s.zarr", "--depth", "0,deep")
        assert result.exit_code == 2
        result = run("simulate", "huang2025", "s.zarr", "--set", "albedo=2")
        assert result.exit_code == 1
        assert "albedo = 2 is outside its bounds" in said(result)


def test_numbers_are_written_as_their_errors_allow() -> None:
    assert tables.plus_minus(float("nan"), 1.0) == "-"
    assert tables.plus_minus(0.25, float("nan")) == "0.25"
    assert tables.plus_minus(0.0, 0.002) == "0.0000 ± 0.0020"
    assert tables.plus_minus(12.0, 340.0) == "12 ± 340"


def test_places_of_a_grid_are_named_with_their_dimensions() -> None:
    place = {"lat": [47.1, 47.1 + 0.1], "lon": [8.0]}
    est = xr.Dataset({"status": (("lat", "lon"), [[0], [xlsm.Status.forcing_gap]])}, place)
    assert tables.flagged(est, 5) == [("lat 47.2, lon 8", "forcing_gap")]
    named = est.isel(lon=0).assign_coords(lat=["S0", "S1"])
    assert tables.flagged(named, 5) == [("S1", "forcing_gap")]


def test_the_estimates_of_many_fit_into_a_terminal() -> None:
    longest = "combined_transfer_coefficient"
    numbers = ("station", [1.234e6] * 6, {"units": "W m-2 K-1"})
    est = xr.Dataset({longest: numbers, f"{longest}_std": numbers, "status": ("station", [0] * 6)})
    console = Console(file=io.StringIO(), width=80)
    console.print(tables.estimate_table(est.assign_coords(parameter=[longest])))
    assert longest in console.file.getvalue()


@pytest.mark.parametrize("forced", ["", "1"])
def test_the_bar_of_a_pipe_is_one_line(forced: str) -> None:
    code = """
import numpy as np
from rich.console import Console
from xlsm.progress import station_bar

with station_bar(Console()) as watch:
    watch(np.zeros(0, "i1"), earlier=True, total=4)
    for _ in range(4):
        watch(np.zeros(1, "i1"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FORCE_COLOR": forced},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("stations") == 1
    assert "4/4 0 flagged" in done.stdout


def test_the_demo_replaces_only_what_is_its_own(here: Path) -> None:
    (here / "xlsm-demo").mkdir()
    (here / "xlsm-demo" / "thesis.tex").touch()
    result = run("demo")
    assert result.exit_code == 1
    assert "did not write (thesis.tex)" in said(result)
    result = run("demo", "--out", "xlsm-demo/thesis.tex")
    assert "is a file" in said(result)
    (here / "xlsm-demo" / "thesis.tex").unlink()
    (here / "xlsm-demo" / "stations.zarr").mkdir()  # of an earlier demo
    make_room(here / "xlsm-demo")
    assert list((here / "xlsm-demo").iterdir()) == []


@pytest.mark.slow
def test_the_demo_of_the_installed_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "xlsm", "demo", "--stations", "8"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "8/8 1 flagged" in done.stdout
    assert "Flagged: station S004, no_observations" in done.stdout
    folder = tmp_path / "xlsm-demo"
    assert {path.name for path in folder.iterdir()} == {
        "stations.zarr",
        "estimates.zarr",
        "estimates.zarr.log.jsonl",
        "fit.png",
    }
    assert (folder / "fit.png").read_bytes().startswith(b"\x89PNG")
    est = xr.load_dataset(folder / "estimates.zarr", engine="zarr")
    truth = xlsm.tutorial.truth(xlsm.tutorial.network(8, dead=4))
    for name in map(str, est.parameter.values):
        errors = ((est[name] - truth[name]) / est[f"{name}_std"]).values
        assert np.isnan(errors[4])
        assert np.nanmax(abs(errors)) < 4
    assert json.loads(est.attrs["model"]) == json.loads(truth.attrs["model"])
