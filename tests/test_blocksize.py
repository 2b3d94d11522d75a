"""How many stations are computed at a time: by bytes, by workers, by the chunks of the store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xlsm import blocksize, store
from xlsm.blocksize import batch_dims, block_size
from xlsm.errors import LSMWarning


def network(stations: int, times: int, **chunks: Any) -> xr.Dataset:
    """Two variables nobody computes."""
    zeros = da.zeros((stations, times), chunks=chunks.get("chunks", (1, times)))
    variable = xr.Variable(("station", "time"), zeros)
    other = xr.Variable(("station", "time"), zeros)
    return xr.Dataset({"Tair": variable, "SWdown": other, "unread": other})


@pytest.mark.parametrize(
    ("stations", "times", "workers", "size"),
    [
        (1_000_000, 100, 8, 4096),  # small columns: the most there may be
        (1_000_000, 10_000, 8, 400),  # 64 MB of two variables
        (1_000_000, 1_000_000, 8, 64),  # long ones: the least
        (10_000, 100, 8, 313),  # four blocks a worker
        (300, 100, 8, 32),  # what a kernel works on
        (100, 100, 8, 13),  # few: a block a worker
        (100, 100, 1, 32),
        (3, 100, 8, 1),
        (1, 100, 1, 1),
    ],
)
def test_by_bytes_and_workers(stations: int, times: int, workers: int, size: int) -> None:
    assert block_size(network(stations, times), workers) == ("station", size, "")


def test_more_than_one_dimension_of_stations() -> None:
    grid = da.zeros((1000, 500, 100), chunks=(1, -1, -1))
    ds = xr.Dataset({"Tair": (("y", "x", "time"), grid)})
    assert batch_dims(ds) == {"y": 1000, "x": 500}
    assert block_size(ds, 2) == ("y", 8, "")  # rows of 500 columns
    assert block_size(ds.isel(x=0, y=0), 2) is None
    wide = xr.Dataset({"Tair": (("x", "member", "time"), da.zeros((9000, 5000, 10)))})
    assert block_size(wide, 2, stored=False) == ("x", 1, "")


def test_only_what_is_read_counts() -> None:
    profile = xr.Dataset({"SoilTemp": (("station", "time", "depth"), np.zeros((3, 4, 2)))})
    assert batch_dims(profile) == {"station": 3}  # a model of thermometers reads nothing else
    assert batch_dims(xr.Dataset({"unread": (("day", "time"), np.zeros((3, 4)))})) == {}


@pytest.mark.parametrize(
    ("chunk", "size"),
    [
        (1, 400),
        (100, 400),
        (150, 300),  # whole chunks
        (1000, 1000),  # more than usual, and less than what is too much
        (6250, 6250),
    ],
)
def test_whole_chunks_of_the_store(chunk: int, size: int) -> None:
    ds = network(1_000_000, 10_000, chunks=(chunk, 240))
    assert block_size(ds, 8) == ("station", size, "")
    assert block_size(ds, 8, stored=False) == ("station", 400, "")


def test_chunks_of_several_variables() -> None:
    ds = network(100_000, 10_000, chunks=(40, -1))
    ds["Tair"] = ds.Tair.variable.chunk({"station": 60})
    assert block_size(ds, 8) == ("station", 360, "")


def test_a_chunk_that_is_too_large_is_cut_and_its_cost_told() -> None:
    found = block_size(network(1_000_000, 10_000, chunks=(10_000, 240)), 8)
    assert found is not None
    assert found[:2] == ("station", 400)
    assert "more stations than a block of 400 and are read up to 25 times each" in found.cost
    assert "4e+03 GB in all for 160 GB" in found.cost
    assert ".chunk(station=400, time=-1).drop_encoding().to_zarr(COPY)" in found.cost
    # one that would leave workers idle, too
    found = block_size(network(2000, 10_000, chunks=(2000, 24)), 8)
    assert found is not None
    assert found[:2] == ("station", 63)
    # and where reading costs nothing, nothing is said
    found = block_size(network(2000, 50, chunks=(2000, 24)), 8)
    assert found is not None
    assert found == ("station", 63, "")


@pytest.mark.parametrize("engine", ["zarr", "netcdf"])
def test_files_that_are_chunked_along_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    time = pd.date_range("2024-06-01", periods=50, freq="h")
    numbers = np.arange(400 * 50.0).reshape(400, 50)
    ds = xr.Dataset(dict.fromkeys(("Tair", "SWdown"), (("site", "hour"), numbers)), {"hour": time})
    path = str(tmp_path / engine)
    if engine == "zarr":
        ds.chunk(site=200, hour=10).to_zarr(path)
    else:
        ds.to_netcdf(
            path,
            engine="h5netcdf",
            encoding={n: {"chunksizes": (200, 10)} for n in ("Tair", "SWdown")},
        )
    renamed = {"site": "station", "hour": "time"}
    monkeypatch.setattr(store, "SMALL", 0)
    blocks = store.chunk_stations(store.open_input(path, rename=renamed), {}, 2)
    assert blocks.chunksizes == {"station": (200, 200), "time": (50,)}  # each chunk once
    monkeypatch.setattr(blocksize, "MOST_BYTES", 1000)
    monkeypatch.setattr(blocksize, "WORTH_TELLING", 1000)
    with pytest.warns(LSMWarning, match=re.escape("are read up to 4 times each")) as told:
        blocks = store.chunk_stations(store.open_input(path, rename=renamed), {}, 2)
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    assert blocks.chunksizes["station"] == (50,) * 8
    np.testing.assert_array_equal(blocks.Tair, numbers)
    # who says how many wants so many
    blocks = store.chunk_stations(store.open_input(path, rename=renamed), {"station": 64}, 2)
    assert blocks.chunksizes["station"] == (64,) * 6 + (16,)


def test_a_block_is_read_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut into blocks must not come from one task that reads all of it."""
    ds = xr.Dataset({"Tair": (("station", "time"), np.zeros((400, 50)))})
    ds.to_zarr(tmp_path / "a.zarr")
    monkeypatch.setattr(store, "SMALL", 0)
    opened = store.open_input(str(tmp_path / "a.zarr"))
    for blocks in (store.chunk_stations(opened, {"station": 50}, 2), store.load_if_small(opened)):
        size = blocks.chunksizes["station"][0]
        assert size < 400
        graph = blocks.Tair.data.dask
        assert not any("rechunk" in str(key) for key in graph)


def test_the_cluster_is_not_asked() -> None:
    ds = network(10_000, 100)
    assert store.chunk_stations(ds, {}, store.CLUSTER).chunksizes["station"][0] == 79
