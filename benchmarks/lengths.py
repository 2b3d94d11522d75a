"""What stations of unequal length cost on the union of their times: run as a program."""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks import case, ours
from xlsm.errors import LSMWarning

OPTIONS: dict[str, Any] = {
    "observed": {"SoilTemp": 0.1},
    "fixed": {"emissivity": case.EMISSIVITY},
    "model": ours.MODEL,
}
SIMULATION: dict[str, Any] = {
    "depth": case.OBSERVED_DEPTHS,
    "outputs": "SoilTemp",
    "model": ours.MODEL,
}
#: The shortest record is this part of the longest.
SHORTEST = 1 / 16


def networks(stations: int, times: int) -> tuple[xr.Dataset, xr.Dataset, float]:
    """Stations that are all there all the time, the same with records of their own, and the share.

    The lengths of the records are uniform from a sixteenth of the axis to all of it, and so are
    their places on it.
    """
    random = np.random.default_rng(0)
    some = case.ensemble(stations)
    hour = np.arange(times) % 24
    weather = {n: some.forcing[:, i, hour] for i, n in enumerate(ours.NAMES)}
    # days differ, or a long record would tell no more than a short one
    days = 1 + 0.1 * random.standard_normal((stations, -(-times // 24))).repeat(24, axis=1)
    weather["SWdown"] = weather["SWdown"] * days[:, :times].clip(0.5, 1.5)
    axis = {"time": pd.date_range("2024-06-01", periods=times, freq="h", name="time")}
    ds = xr.Dataset({n: (("station", "time"), values) for n, values in weather.items()}, axis)
    truth = {n: xr.DataArray(some.truth[:, i], dims="station") for i, n in enumerate(case.FREE)}
    noise = 0.1 * random.standard_normal((stations, times, case.OBSERVED_DEPTHS.size))

    def observed(ds: xr.Dataset) -> xr.Dataset:
        sim = ds.lsm.simulate(truth | OPTIONS["fixed"], **SIMULATION)
        return ds.assign(SoilTemp=sim.SoilTemp + noise)

    length = np.round(random.uniform(SHORTEST, 1, stations) * times).astype(int)
    first = np.round(random.uniform(size=stations) * (times - length)).astype(int)
    index = np.arange(times)
    there = (index >= first[:, None]) & (index < (first + length)[:, None])
    uneven = observed(ds.where(xr.DataArray(there, dims=("station", "time"))))
    whole = observed(ds)
    return whole, uneven, float(length.mean() / times)


def main(stations: int, times: int, rounds: int) -> None:
    """Print seconds of both networks, in turns, and their ratio by the times they have."""
    warnings.simplefilter("ignore", LSMWarning)
    whole, uneven, share = networks(stations, times)

    def estimate(ds: xr.Dataset) -> Any:
        return ds.lsm.estimate(list(case.FREE), **OPTIONS)

    def simulate(ds: xr.Dataset) -> Any:
        return ds.lsm.simulate(**SIMULATION)

    told: dict[str, float] = {"stations": stations, "times": times, "share": share}
    for name, verb in {"estimate": estimate, "simulate": simulate}.items():
        seconds: dict[str, list[float]] = {"whole": [], "uneven": []}
        for turn in range(rounds + 1):  # the first compiles
            for which, ds in {"whole": whole, "uneven": uneven}.items():
                begin = time.perf_counter()
                result = verb(ds)
                elapsed = time.perf_counter() - begin
                if turn:
                    seconds[which].append(elapsed)
                elif name == "estimate":
                    told[f"{which}_cold_s"] = elapsed
                    told[f"{which}_iterations"] = float(result.iterations.mean())
                    if not bool((result.status == 0).all()):
                        raise SystemExit(f"not every station converged: {result.status.values}")
        pairs = zip(seconds["uneven"], seconds["whole"], strict=True)
        ratios = [one / (share * other) for one, other in pairs]
        told |= {f"{name}_{which}_s": statistics.median(s) for which, s in seconds.items()}
        told[f"{name}_ratio"] = statistics.median(ratios)
        told |= {f"{name}_least": min(ratios), f"{name}_most": max(ratios)}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
