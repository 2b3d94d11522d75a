"""A year in half-hours with daily values of two parameters: time and memory, run as a program."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

import xlsm
from benchmarks import case
from xlsm.free import wanted_of
from xlsm.inference.objective import cost
from xlsm.model.parameters import to_unbounded
from xlsm.pipeline.numbers import read_numbers
from xlsm.prepare import prepare

FREE = {
    "albedo": xlsm.Parameter(every="1D", smooth=0.01),
    "combined_transfer_coefficient": xlsm.Parameter(every="1D", smooth=0.05),
    "thermal_conductivity": xlsm.Parameter(),
    "heat_capacity": xlsm.Parameter(),
}
ERRORS = {"SoilTemp": 0.1, "AvgSurfT": 0.3}
PER_DAY = 48


def dataset(stations: int, days: int) -> xr.Dataset:
    """Stations whose albedo and exchange change from day to day, with observations and noise."""
    random = np.random.default_rng(0)
    time = pd.date_range("2012-01-01", periods=days * PER_DAY, freq="30min")
    hour = xr.DataArray(np.arange(time.size) / 2, dims="time")
    place = xr.DataArray(np.linspace(0, 1, stations), dims="station")
    season = np.cos(2 * np.pi * (hour / 24 - 195) / 365)
    sun = np.maximum(np.sin((hour - 6) * np.pi / 12) * (0.75 + 0.25 * season), 0.0)
    ds = xr.Dataset(
        {
            "SWdown": (700 + 200 * place) * sun,
            "LWdown": 310 + 30 * season - 15 * place,
            "Tair": 285 + 10 * season + 5 * np.sin((hour - 9) * np.pi / 12) + place,
        },
        {"time": time},
    ).transpose("station", "time")
    each = pd.date_range("2012-01-01", periods=days)
    steps = random.standard_normal((2, stations, days)).cumsum(axis=-1)
    truth = {
        "albedo": np.clip(0.25 + 0.01 * steps[0], 0.05, 0.6),
        "combined_transfer_coefficient": 20 * np.exp(0.03 * steps[1]),
    }
    series = {
        name: xr.DataArray(values, dims=("station", "every_1D"), coords={"every_1D": each})
        for name, values in truth.items()
    }
    sim = ds.lsm.simulate(series, depth=[0.02, 0.1], outputs=list(ERRORS), model=_model())
    noise = {n: e * random.standard_normal(sim[n].shape) for n, e in ERRORS.items()}
    return ds.assign({name: sim[name] + noise[name] for name in ERRORS})


def _model() -> xlsm.Model:
    return xlsm.Model(grid=xlsm.UniformGrid(depth=5.0, nodes=case.NODES))


def _peak() -> float:
    """Largest memory of this program so far (MiB)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def _median(function: Callable[[], Any], rounds: int) -> float:
    jax.block_until_ready(function())
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main(stations: int, days: int, fitted: int) -> None:
    """Print seconds of a run and of a gradient of all stations, and of a fit of some of them."""
    ds = dataset(stations, days)
    options = {"observed": ERRORS, "model": _model()}
    ready = prepare(ds, wanted_of(FREE), fixed=None, **options)
    arrays = [
        array.transpose(..., *dims).values
        for array, dims in zip(ready.inputs, ready.core_dims, strict=True)
    ]
    data, guess, _, _ = read_numbers(arrays, ready.layout, stations)
    told: dict[str, float] = {"stations": stations, "days": days}
    with jax.enable_x64(True):
        bounds = (data.lower[:, None], data.upper[:, None], data.log_scale[:, None])
        point = to_unbounded(guess, *bounds)  # type: ignore[arg-type]
        numbers = jax.tree.map(jax.numpy.asarray, data)
        misfit = partial(cost, ready.layout.problem)
        run = jax.jit(misfit)
        gradient = jax.jit(jax.value_and_grad(lambda d, x: misfit(d, x).sum(), argnums=1))
        told["cost_s"] = _median(lambda: run(numbers, point), 3)
        told["gradient_s"] = _median(lambda: gradient(numbers, point), 3)
        told["gradient_peak_mib"] = _peak()
    few = ds.isel(station=slice(fitted))
    seconds = []
    for _ in range(2):  # with compilation, and without
        begin = time.perf_counter()
        est = few.lsm.estimate(FREE, **options)
        seconds.append(time.perf_counter() - begin)
    if not bool((est.status == 0).all()):
        raise SystemExit("not every station converged")
    told |= {"fitted": fitted, "values": int(sum(est[n].isel(station=0).size for n in FREE))}
    told |= {"cold_fit_s": seconds[0], "fit_s": seconds[1], "peak_mib": _peak()}
    told["iterations"] = float(est.iterations.median())
    print(json.dumps(told))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
