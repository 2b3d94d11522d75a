"""Files of one station each as one Dataset: what comes of them, and what is refused."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.base
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import xlsm
from xlsm import station_union, stations, store
from xlsm.cli import app
from xlsm.errors import (
    DataNotFoundError,
    DimensionError,
    LSMError,
    LSMWarning,
    MissingVariableError,
    TimeAxisError,
    UnitsError,
)
from xlsm.pipeline.cluster import local_client

Write = Callable[..., Path]


def must_not_compute(dsk: Any, keys: Any, **kwargs: Any) -> None:
    raise RuntimeError("computed")


def site(first: str = "2024-06-01", periods: int = 48, freq: str = "30min", **more: Any) -> Any:
    """Half-hourly weather of one station, with a thermometer at two depths."""
    time = pd.date_range(first, periods=periods, freq=freq)
    depth = more.pop("depth", [0.05, 0.1])
    number = np.arange(periods, dtype="f4")
    ds = xr.Dataset(
        {
            "Tair": ("time", 280 + number, {"units": "K"}),
            "SoilTemp": (("time", "depth"), 285 + np.add.outer(number, depth), {"units": "K"}),
        },
        {"time": time, "depth": ("depth", depth, {"units": "m"})},
    )
    return ds.assign_coords(more)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(**files: xr.Dataset) -> Path:
        folder = tmp_path / "sites"
        folder.mkdir(exist_ok=True)
        for name, ds in files.items():
            ds.to_netcdf(folder / f"{name}.nc", engine="h5netcdf")
        return folder

    return write


# ---------------------------------------------------------------------------- what comes of them


def test_times_and_depths_are_those_of_all(write: Write) -> None:
    early = site(latitude=50.0, station="early")
    late = site("2024-06-01T12:00", latitude=60.0, longitude=10.0, station="late", depth=[0.1, 0.2])
    folder = write(b=late, a=early.drop_vars("Tair"))
    (folder / "README.md").write_text("where they come from")
    ds = xlsm.open_stations(folder)
    assert dict(ds.sizes) == {"station": 2, "time": 72, "depth": 3}
    assert ds.station.values.tolist() == ["early", "late"]
    assert ds.depth.values.tolist() == [0.05, 0.1, 0.2]
    assert ds.depth.attrs["units"] == "m"
    assert ds.SoilTemp.dims == ("station", "time", "depth")
    assert ds.latitude.values.tolist() == [50.0, 60.0]
    np.testing.assert_array_equal(ds.longitude, [np.nan, 10.0])
    assert ds.Tair.dtype == np.float32
    assert ds.Tair.attrs == {"units": "K"}
    ds = ds.compute()
    for one in (early.drop_vars("Tair"), late):
        mine = ds.sel(station=one.station.item(), time=one.time, depth=one.depth)
        xr.testing.assert_equal(
            mine.SoilTemp.reset_coords(drop=True), one.SoilTemp.reset_coords(drop=True)
        )
    np.testing.assert_array_equal(ds.Tair.sel(station="late", time=late.time), late.Tair)
    assert ds.Tair.count("time").values.tolist() == [0, 48]
    assert ds.SoilTemp.count("time").values.tolist() == [[48, 48, 0], [0, 48, 48]]


def test_nothing_is_computed_and_it_travels(write: Write) -> None:
    folder = write(a=site(), b=site())
    with dask.config.set(scheduler=must_not_compute):
        ds = xlsm.open_stations(folder)
        assert all(v.chunks is not None for v in ds.data_vars.values())
        again = xlsm.open_stations(str(folder / "*.nc"))
        files = xlsm.open_stations([folder / "a.nc", folder / "b.nc"])
    # runs are resumed by the names Dask gives
    assert dask.base.tokenize(ds) == dask.base.tokenize(again)
    assert ds.station.values.tolist() == ["a", "b"]
    xr.testing.assert_identical(pickle.loads(pickle.dumps(ds)).compute(), files.compute())
    write(b=site(periods=47))
    changed = xlsm.open_stations(folder)
    assert changed.Tair.data.name != ds.Tair.data.name


@pytest.mark.slow
def test_worker_processes_read_the_files(write: Write) -> None:
    ds = xlsm.open_stations(write(a=site(), b=site("2024-06-02")))
    with local_client(1) as client:
        there = client.compute(ds, sync=True)
    xr.testing.assert_identical(there, ds.compute(scheduler="sync"))


def test_a_file_is_read_once_by_a_task(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(**{f"s{i}": site() for i in range(5)})
    monkeypatch.setattr(station_union, "BLOCK", 2)
    ds = xlsm.open_stations(folder)
    assert ds.chunksizes["station"] == (2, 2, 1)
    opened = []
    from xlsm import station_file

    true = station_file.open_file
    monkeypatch.setattr(station_file, "open_file", lambda path: opened.append(path) or true(path))
    ds.compute(scheduler="sync")
    assert len(opened) == 5
    monkeypatch.setattr(station_union, "BLOCK_BYTES", 48 * 3 * 8)
    assert xlsm.open_stations(folder).chunksizes["station"] == (1,) * 5


def test_names(write: Write) -> None:
    a = site().assign_attrs(site_code="AA-Bbb", title="A meadow", network="N")
    b = site().expand_dims(station=["CC-Ddd"])
    c = site().assign({"id": ((), "EE-Fff", {"cf_role": "timeseries_id"})}).assign_attrs(site="x")
    folder = write(a=a, b=b, c=c, d=site())
    ds = xlsm.open_stations(folder)
    assert ds.station.values.tolist() == ["AA-Bbb", "CC-Ddd", "EE-Fff", "d"]
    assert ds.attrs["network"] == "N"
    by_file = xlsm.open_stations(folder, label="file")
    assert by_file.station.values.tolist() == ["a", "b", "c", "d"]
    assert xlsm.open_stations(folder / "a.nc", label="title").station.item() == "A meadow"
    with pytest.raises(MissingVariableError, match=r"b\.nc has no scalar and no attribute 'title'"):
        xlsm.open_stations(folder, label="title")


def test_a_number_that_all_files_have_is_no_name(write: Write) -> None:
    one = site().expand_dims(station=[0], x=[1], y=[1])  # as some archives write them
    ds = xlsm.open_stations(write(a=one, b=one))
    assert ds.station.values.tolist() == ["a", "b"]
    assert ds.Tair.dims == ("station", "time")


def test_units_are_brought_together(write: Write) -> None:
    warm = site(elevation=xr.DataArray(1.0, attrs={"units": "km"}))
    warm["Tair"] = (warm.Tair - 273.15).assign_attrs(units="degC")
    warm = warm.assign_coords(depth=("depth", [5.0, 10.0], {"units": "cm"}))
    bare = site(elevation=xr.DataArray(20.0, attrs={"units": "m"}))
    bare["Tair"] = bare.Tair.drop_attrs()
    ds = xlsm.open_stations(write(a=site(), b=warm, c=bare))
    assert ds.Tair.attrs["units"] == "K"
    assert ds.depth.values.tolist() == [0.05, 0.1]
    np.testing.assert_allclose(ds.Tair, np.broadcast_to(site().Tair, (3, 48)), rtol=1e-6)
    assert ds.elevation.attrs["units"] == "km"
    np.testing.assert_allclose(ds.elevation, [np.nan, 1.0, 0.02])


def test_units_that_are_the_same_stay(write: Write) -> None:
    one = site()
    one["Tair"] = (one.Tair - 273.15).assign_attrs(units="degC")
    ds = xlsm.open_stations(write(a=one, b=one))
    assert ds.Tair.attrs["units"] == "degC"
    assert ds.Tair.dtype == np.float32


def test_a_single_depth_may_be_a_scalar(write: Write) -> None:
    ds = xlsm.open_stations(write(a=site(), b=site().isel(depth=1)))
    assert ds.SoilTemp.dims == ("station", "time", "depth")
    assert ds.SoilTemp.count("time").values.tolist() == [[48, 48], [0, 48]]


def test_gaps_in_the_times_of_a_file_are_nan(write: Write) -> None:
    ds = xlsm.open_stations(write(a=site(), b=site().isel(time=[0, 1, 2, 7, 8, 9, 3])))
    assert ds.Tair.count("time").values.tolist() == [48, 7]
    assert np.flatnonzero(ds.Tair[1].notnull()).tolist() == [0, 1, 2, 3, 7, 8, 9]


def test_zarr_stores_and_buckets(write: Write, tmp_path: Path) -> None:
    folder = write(a=site())
    site("2024-06-02").to_zarr(folder / "b.zarr")
    ds = xlsm.open_stations(folder)
    assert ds.Tair.count("time").values.tolist() == [48, 48]
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/test-stations", recursive=True)
    try:
        url = "memory://test-stations"
        there = xlsm.open_stations(url)
        xr.testing.assert_identical(there.compute(), ds.compute())
        assert xlsm.open_stations(f"{url}/*.nc").sizes["station"] == 1
        assert store.open_input(url).sizes["station"] == 2
    finally:
        memory.rm("/test-stations", recursive=True)


def test_names_are_changed_before_anything_else(write: Write) -> None:
    other = site().rename(Tair="TA", depth="z", time="hour")
    other["z"] = ("z", [5.0, 10.0], {"units": "cm"})
    folder = write(a=site(), b=other)
    renamed = {"TA": "Tair", "z": "depth", "hour": "time"}
    ds = xlsm.open_stations(folder, rename=renamed)
    assert ds.SoilTemp.count("time").values.tolist() == [[48, 48], [48, 48]]
    assert set(ds.data_vars) == {"Tair", "SoilTemp"}
    with pytest.raises(MissingVariableError, match="no file has zz, to be renamed"):
        xlsm.open_stations(folder, rename={**renamed, "zz": "z"})
    with pytest.raises(MissingVariableError, match=r"a\.nc: SoilTemp cannot become Tair"):
        xlsm.open_stations(folder, rename={"SoilTemp": "Tair", "hour": "time"})


def test_what_is_not_known_is_left_out_with_a_word(write: Write) -> None:
    a, b = site(), site()
    a["odd"] = ("time", np.arange(48), {"units": "furlong"})
    b["odd"] = ("time", np.arange(48), {"units": "K"})
    b["profiles"] = (("time", "side"), np.zeros((48, 2)))  # nothing that xlsm would read
    b["remark"] = ("time", np.full(48, "dry"))
    with pytest.warns(LSMWarning, match=r"b\.nc, where others differ: odd: units 'K' cannot"):
        ds = xlsm.open_stations(write(a=a, b=b))
    assert set(ds.data_vars) == {"Tair", "SoilTemp"}


def test_means_among_instants_are_told(write: Write) -> None:
    a, b = site(), site()
    b["SoilTemp"].attrs["cell_methods"] = "time: mean"
    with pytest.warns(LSMWarning, match=r"cell_methods of SoilTemp differ.*a\.nc.*b\.nc"):
        ds = xlsm.open_stations(write(a=a, b=b))
    assert "cell_methods" not in ds.SoilTemp.attrs


# ---------------------------------------------------------------------------- what is refused


def with_sides() -> Any:
    return site().expand_dims(side=2)


def no_depth() -> Any:
    return site().isel(depth=0, drop=True)


@pytest.mark.parametrize(
    ("other", "error", "words"),
    [
        (site(freq="1h"), TimeAxisError, r"time steps differ: 1800 s in .*a\.nc, 3600 s in .*z"),
        (site("2024-06-01T00:10"), TimeAxisError, r"z\.nc lie between those of .*a\.nc, 600 s"),
        (site().isel(time=[0, 1, 1]), TimeAxisError, r"z\.nc has the same time twice"),
        (site().isel(time=slice(0, 0)), TimeAxisError, r"z\.nc has no time"),
        (site().drop_vars("time"), TimeAxisError, r"z\.nc has no coordinate time"),
        (site().assign_coords(time=np.arange(48.0)), TimeAxisError, r"z\.nc: its times are float"),
        (site(station="a"), DimensionError, r"a\.nc and .*z\.nc are both of the station 'a'"),
        (with_sides(), DimensionError, r"z\.nc: Tair has the dimension 'side' of size 2"),
        (site().drop_vars("depth"), DimensionError, r"z\.nc: the dimension 'depth' of SoilTemp"),
        (no_depth(), DimensionError, r"SoilTemp has depth in .*a\.nc and no depth in .*z\.nc"),
        (
            site().assign(Tair=site().Tair.assign_attrs(units="m s-1")),
            UnitsError,
            r"z\.nc, where others differ: Tair: units 'm s-1' cannot be converted",
        ),
        (
            site().drop_vars("Tair").assign(Tair=280.0),
            DimensionError,
            r"Tair is a series in .*a\.nc and one number in .*z\.nc",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    write: Write, other: Any, error: type[LSMError], words: str
) -> None:
    folder = write(a=site(), z=other)
    with pytest.raises(error, match=words):
        xlsm.open_stations(folder)


def test_times_that_are_off_are_named(write: Write) -> None:
    odd = site().isel(time=slice(10))
    odd = odd.assign_coords(
        time=np.r_[odd.time.values[:9], odd.time.values[9] + np.timedelta64(600, "s")]
    )
    with pytest.raises(TimeAxisError, match=r"z\.nc: times are not regular, .* 2400 s where"):
        xlsm.open_stations(write(a=site(), z=odd))


def test_what_cannot_be_read_is_named(write: Write, tmp_path: Path) -> None:
    folder = write(a=site())
    (folder / "z.nc").write_text("not NetCDF")
    with pytest.raises(
        LSMError, match=r"(?s)z\.nc cannot be read.*\. Mend .*z\.nc or leave it out"
    ):
        xlsm.open_stations(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFoundError, match=r"empty holds no file that ends in \.nc"):
        xlsm.open_stations(tmp_path / "empty")
    with pytest.raises(DataNotFoundError, match=r"no file matches .*\*\.nc4"):
        xlsm.open_stations(f"{folder}/*.nc4")
    with pytest.raises(DataNotFoundError, match="there is no file or folder"):
        xlsm.open_stations(tmp_path / "none")
    with pytest.raises(DataNotFoundError, match="the list is empty"):
        xlsm.open_stations([])


def test_what_breaks_later_is_named_too(write: Write) -> None:
    folder = write(a=site(), b=site())
    ds = xlsm.open_stations(folder)
    write(b=site("2024-05-01"))
    with pytest.raises(LSMError, match=r"b\.nc cannot be read, or has changed: it begins earlier"):
        ds.Tair.compute()
    (folder / "b.nc").write_bytes((folder / "b.nc").read_bytes()[:2000])
    with pytest.raises(LSMError, match=r"b\.nc cannot be read"):
        ds.Tair.compute()


# ---------------------------------------------------------------------------- from the shell


def test_a_folder_is_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sites").mkdir()
    network = xlsm.tutorial.network(stations=3, days=2)
    for i in range(3):
        network.isel(station=i).to_netcdf(f"sites/{i}.nc", engine="h5netcdf")
    common = ("--free", "albedo", "--observed", "LWup")
    result = CliRunner().invoke(app, ["estimate", "sites", "out.zarr", *common])
    assert result.exit_code == 0, result.output
    network.to_zarr("network.zarr")
    result = CliRunner().invoke(app, ["estimate", "network.zarr", "other.zarr", *common])
    assert result.exit_code == 0, result.output
    one, other = (xr.load_dataset(n, engine="zarr") for n in ("out.zarr", "other.zarr"))
    assert one.station.values.tolist() == ["S000", "S001", "S002"]
    np.testing.assert_array_equal(one.albedo, other.albedo)
    result = CliRunner().invoke(app, ["check", "sites"], env={"COLUMNS": "200"})
    assert "97 times, step 1800 s" in result.output
    monkeypatch.setattr(store, "SMALL", 0)  # too large to be read at once
    blocks = [*common, "--chunk", "station=2", "--resume"]
    result = CliRunner().invoke(app, ["estimate", "sites/*.nc", "blocks.zarr", *blocks])
    assert result.exit_code == 0, result.output
    again = xr.load_dataset("blocks.zarr", engine="zarr")
    np.testing.assert_allclose(again.albedo, one.albedo, rtol=1e-12)


def test_a_folder_that_is_a_store_is_a_store(tmp_path: Path) -> None:
    site().to_zarr(tmp_path / "one")
    assert not stations.is_many(str(tmp_path / "one"))
    assert stations.is_many(str(tmp_path))
    assert not stations.is_many("huang2025")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.open_input("twin").sizes["station"] == 24
