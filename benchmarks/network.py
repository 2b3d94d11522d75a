"""Many small columns through two workers into a store, beside the kernel; a million planned.

``python -m benchmarks.network STATIONS BLOCK COLUMNS`` is a program of its own. It compares in one
run what a worker process does with a block of stations that lies in its memory, ready to be solved,
with the whole way from a Zarr store through Dask into another.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import jax
import numpy as np
import psutil
import xarray as xr

from xlsm import twin
from xlsm.free import wanted_of
from xlsm.inference.invert import invert
from xlsm.pipeline import durable
from xlsm.pipeline.blueprint import blueprint_of
from xlsm.pipeline.cluster import local_client
from xlsm.pipeline.inversion import lanes_of
from xlsm.pipeline.numbers import read_numbers
from xlsm.pipeline.places import place_of
from xlsm.pipeline.plan import plan_of
from xlsm.pipeline.regions import regions
from xlsm.pipeline.slicing import tasks_of
from xlsm.pipeline.template import prepared
from xlsm.prepare import prepare

FREE = list(twin.RANGES)
OPTIONS: dict[str, Any] = {
    "observed": {"SoilTemp": 0.1, "LWup": 5.0},
    "fixed": {"emissivity": 0.95},
}
WORKERS = 2
#: Stations that differ; a large network is made of copies of them.
DIFFERENT = 1024
VARIABLES = ["SWdown", "LWdown", "Tair", "SoilTemp", "LWup"]


def columns(stations: int) -> xr.Dataset:
    """Three days of hourly values at so many stations."""
    some = twin.network(min(stations, DIFFERENT), days=3)[VARIABLES].isel(time=slice(0, None, 2))
    some = some.drop_vars([n for n, c in some.coords.items() if "station" in c.dims])
    copies = np.arange(stations) % some.sizes["station"]
    return some.isel(station=copies)


def kernel(stations: int, rounds: int) -> float:
    """Seconds of solving a block that is ready in memory, a round."""
    ready = prepare(columns(stations), wanted_of(FREE), model=None, **OPTIONS)
    arrays = [
        array.transpose(..., *dims).values
        for array, dims in zip(ready.inputs, ready.core_dims, strict=True)
    ]
    data, guess, _, _ = read_numbers(arrays, ready.layout, stations)
    times = []
    with jax.enable_x64(True):
        for _ in range(1 + rounds):
            begin = time.perf_counter()
            result = invert(
                ready.layout.problem,
                data,
                guess,
                np.zeros((1, len(FREE))),
                np.float64(1e-8),
                np.int64(100),
                method="gauss_newton",
                error_bars="adjusted",
                lanes=lanes_of(stations),
            )
            jax.block_until_ready(result)
            times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])  # the first compiles


def _kernels(stations: int, rounds: int) -> float:
    """Stations a second of as many processes as there will be workers, side by side."""
    command = [sys.executable, "-m", "benchmarks.network", "kernel", str(stations), str(rounds)]
    environment = os.environ | {"NPROC": "1"}
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(WORKERS)
    ]
    seconds = [float(one.communicate()[0].splitlines()[-1]) for one in both]
    return sum(stations / each for each in seconds)


@contextlib.contextmanager
def _peaks() -> Iterator[dict[str, float]]:
    """Watch the memory of this process and of each of its children (MiB)."""
    peaks = {"driver": 0.0, "worker": 0.0}
    end = threading.Event()

    def look() -> None:
        me = psutil.Process()
        while not end.wait(0.1):
            peaks["driver"] = max(peaks["driver"], me.memory_info().rss / 2**20)
            for child in me.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    peaks["worker"] = max(peaks["worker"], child.memory_info().rss / 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        end.set()
        thread.join()


def run(folder: Path, stations: int, block: int) -> dict[str, float]:
    """Go the whole way: stations a second once every worker has compiled, peaks of memory."""
    # by another process: its memory is not that of a run
    command = [sys.executable, "-m", "benchmarks.network", "make", str(folder / "in.zarr")]
    subprocess.run([*command, str(stations), str(block)], check=True)
    moments: list[tuple[float, int]] = []

    def watch(status: np.ndarray[Any, Any], **_: Any) -> None:
        moments.append((time.perf_counter(), status.size))

    begin = time.perf_counter()
    with local_client(WORKERS), _peaks() as peaks:
        ds = xr.open_zarr(folder / "in.zarr", chunks={"station": block}, consolidated=False)
        lazy = ds.lsm.estimate(FREE, **OPTIONS)
        durable.to_zarr_durably(lazy, folder / "out.zarr", watch=watch)
    whole = time.perf_counter() - begin
    # the first blocks of each worker wait for the compiler, and the last ones for nobody
    warm = moments[1 + WORKERS :]
    rate = sum(count for _, count in warm[1:]) / (warm[-1][0] - warm[0][0])
    return {"rate": rate, "whole_s": whole, **{f"{who}_mib": mib for who, mib in peaks.items()}}


def plan(folder: Path, columns: int, block: int) -> dict[str, float]:
    """Everything before the first block is computed: seconds, and memory of the driver (MiB)."""
    few = twin.network(2, days=1)[VARIABLES].isel(station=0, drop=True)
    path = str(folder / f"wide-{block}.zarr")
    shapes = {n: (columns, *few[n].shape) for n in VARIABLES}
    wide = few.assign(
        {
            n: (("station", *few[n].dims), da.zeros(shape, chunks=shape), few[n].attrs)
            for n, shape in shapes.items()
        }
    ).drop_vars(["latitude", "longitude"], errors="ignore")
    encoding = {n: {"chunks": (block, *few[n].shape)} for n in VARIABLES}
    wide.drop_encoding().to_zarr(
        path, compute=False, consolidated=False, encoding=encoding, safe_chunks=False
    )
    before = psutil.Process().memory_info().rss
    begin = time.perf_counter()
    ds = xr.open_zarr(path, chunks={"station": block}, consolidated=False)
    blueprint = blueprint_of(ds.lsm.estimate(FREE, **OPTIONS), None)
    place = place_of(str(folder / f"planned-{block}.zarr"))
    prepared(blueprint, plan_of(blueprint), place, overwrite=False)
    next(tasks_of(blueprint, regions(blueprint.sizes, blueprint.chunks), b""))
    seconds = time.perf_counter() - begin
    grown = (psutil.Process().memory_info().rss - before) / 2**20
    return {"regions": -(-columns // block), "seconds": seconds, "grown_mib": grown}


def main(stations: int, block: int, wide: int) -> None:
    """Print what was measured as JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = [_kernels(min(block, stations), 3)]
        told: dict[str, Any] = {"stations": stations, "block": block}
        told |= run(folder, stations, block)
        bare.append(_kernels(min(block, stations), 3))  # before and after: machines drift
        told |= {"bare": statistics.mean(bare), "bare_before_after": bare, "columns": wide}
        told["plans"] = [plan(folder, wide, -(-wide // count)) for count in (1000, 10_000)]
    print(json.dumps(told))


def make(path: str, stations: int, block: int) -> None:
    """Write the input."""
    source = columns(stations).chunk(station=block)
    source.drop_encoding().to_zarr(path, consolidated=False)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], *map(int, sys.argv[3:]))
        sys.exit()
    if sys.argv[1] == "kernel":
        print(kernel(int(sys.argv[2]), int(sys.argv[3])))
    else:
        main(*map(int, sys.argv[1:]))
