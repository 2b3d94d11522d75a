"""Data made in process are what they say, and real data are found or explained."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
import xarray as xr

from xlsm import tutorial
from xlsm.errors import DataNotFoundError, LSMError

NAME = "US-WestPhoenix_2012"
REAL = os.environ.get("XLSM_DATA")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing on this machine: no folder, an empty cache, no mirror; the cache is given."""
    monkeypatch.delenv("XLSM_DATA", raising=False)
    monkeypatch.delenv("XLSM_DATA_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cache = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache)
    return cache


@pytest.fixture
def mirror(
    no_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """A web server that holds a file, and a record that fits it; its address and folder."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    path = folder / f"{NAME}.nc"
    xr.Dataset({"Tair": ("time", [290.0, 291.0])}).to_netcdf(path, engine="h5netcdf")
    record = tutorial.Record(hashlib.sha256(path.read_bytes()).hexdigest(), "a tower", "CC0")
    monkeypatch.setitem(tutorial.RECORDS, NAME, record)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_papers_case_is_the_published_one() -> None:
    ds = tutorial.open_dataset("huang2025")
    assert ds.SoilTemp.dims == ("time", "depth")
    assert ds.sizes["time"] == 101
    assert float(ds.SWdown.max()) == 800.0
    if REAL is None:
        pytest.skip("XLSM_DATA is not set: no published figures to compare with")
    for depth, name in {0.0: "0.00", 0.05: "0.05"}.items():
        published = np.loadtxt(Path(REAL) / "huang2025" / f"target_{name}m.txt").ravel()
        np.testing.assert_allclose(ds.SoilTemp.sel(depth=depth), published, atol=0.012)


def test_a_network_is_the_model_with_noise_and_gaps() -> None:
    ds = tutorial.network(stations=16, days=3)
    assert ds.lsm.check().problem.eq("").all()
    sim = ds.lsm.simulate(tutorial.truth(ds), outputs=["SoilTemp", "LWup"])
    for name, error in {"SoilTemp": 0.1, "LWup": 5.0}.items():
        noise = ds[name] - sim[name]
        assert 0.03 < float(noise.isnull().mean()) < 0.2
        assert float(noise.std()) == pytest.approx(error, rel=0.05)
        assert abs(float(noise.mean())) < 0.1 * error
    for name in ("SWdown", "LWdown", "Tair"):
        assert not ds[name].isnull().any()
    # clear and cloudy, warm and cool
    assert float(ds.SWdown.mean("time").std()) > 10
    assert float(ds.Tair.mean("time").std()) > 1


def test_a_station_does_not_depend_on_the_others() -> None:
    few, many = tutorial.network(2, 1), tutorial.network(5, 1, dead=3)
    xr.testing.assert_allclose(few, many.isel(station=slice(0, 2)), rtol=1e-12)
    assert many.SoilTemp.isel(station=3).isnull().all()
    assert many.LWup.isel(station=3).isnull().all()
    assert not many.LWup.isel(station=4).isnull().all()
    assert not tutorial.network(2, 1, seed=1).Tair.equals(few.Tair)


def test_the_truth_is_a_set_of_parameters_with_its_model() -> None:
    ds = tutorial.open_dataset("huang2025")
    before = ds.copy(deep=True)
    truth = tutorial.truth(ds)
    xr.testing.assert_identical(ds, before)
    assert set(truth) == {str(n).removeprefix("true_") for n in ds if str(n).startswith("true_")}
    assert truth.albedo.attrs["long_name"] == "broadband shortwave albedo"
    np.testing.assert_array_equal(ds.lsm.simulate(truth).SoilTemp, ds.SoilTemp)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(DataNotFoundError, match="Did you mean 'US-WestPhoenix_2012'"):
        tutorial.open_dataset("US-WestPhoenix_2013")
    with pytest.raises(LSMError, match="There are twin, huang2025, US-WestPhoenix_2012"):
        tutorial.open_dataset("xyz")


@pytest.mark.skipif(REAL is None, reason="XLSM_DATA is not set: no real data")
@pytest.mark.parametrize("name", list(tutorial.RECORDS))
def test_the_prepared_files_are_those_of_the_records(name: str) -> None:
    ds = tutorial.open_dataset(name)  # a wrong checksum would warn, and warnings are errors
    assert {"SWdown", "LWdown", "Tair", "SoilTemp"} <= set(ds)


def test_a_file_of_ones_own_is_taken_with_a_warning(
    no_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xr.Dataset({"Tair": ("time", [290.0])}).to_netcdf(tmp_path / f"{NAME}.nc", engine="h5netcdf")
    monkeypatch.setenv("XLSM_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match="is not the file xlsm was tested with"):
        assert float(tutorial.open_dataset(NAME).Tair[0]) == 290.0


def test_without_the_file_the_error_says_where_to_get_it(no_data: Path) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        tutorial.open_dataset(NAME)
    message = str(caught.value)
    for said in (
        f"{NAME}.nc is neither in XLSM_DATA (not set) nor in {no_data}",
        "github.com/RuiyueH/SEB-model at commit b4385b96",
        "https://doi.org/10.5281/zenodo.5517550",
        "CC-BY-4.0",
        "set XLSM_DATA to that folder",
        "XLSM_DATA_URL",
    ):
        assert said in message


def test_a_mirror_serves_it_once(
    mirror: tuple[str, Path], no_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = mirror
    monkeypatch.setenv("XLSM_DATA_URL", f"{address}/")
    assert float(tutorial.open_dataset(NAME).Tair[1]) == 291.0
    assert (no_data / f"{NAME}.nc").is_file()
    (folder / f"{NAME}.nc").unlink()
    assert float(tutorial.open_dataset(NAME).Tair[1]) == 291.0  # from the cache
    monkeypatch.delenv("XLSM_DATA_URL")
    assert float(tutorial.open_dataset(NAME).Tair[1]) == 291.0


def test_a_file_that_was_changed_is_refused(
    mirror: tuple[str, Path], no_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = mirror
    monkeypatch.setenv("XLSM_DATA_URL", address)
    with (folder / f"{NAME}.nc").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataNotFoundError, match=r"(?s)hash.*does not match.*Licence: CC0"):
        tutorial.open_dataset(NAME)
    assert not (no_data / f"{NAME}.nc").exists()


def test_a_damaged_file_in_the_cache_is_fetched_again(
    mirror: tuple[str, Path], no_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_data.mkdir()
    (no_data / f"{NAME}.nc").write_bytes(b"half a download")
    with pytest.raises(DataNotFoundError, match="no public address"):
        tutorial.open_dataset(NAME)
    monkeypatch.setenv("XLSM_DATA_URL", mirror[0])
    assert tutorial.open_dataset(NAME).sizes["time"] == 2


def test_a_mirror_out_of_reach_is_explained(
    mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLSM_DATA_URL", f"{mirror[0]}/elsewhere")
    with pytest.raises(DataNotFoundError, match=r"(?s)404.*Made from: a tower"):
        tutorial.open_dataset(NAME)
    # nothing listens on port 1
    monkeypatch.setenv("XLSM_DATA_URL", "http://127.0.0.1:1")
    with pytest.raises(DataNotFoundError, match=r"(?s)127.0.0.1:1/.* failed.*set XLSM_DATA"):
        tutorial.open_dataset(NAME)
