"""What a profile and a posterior sample cost beside the estimate they start from."""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks import case, ours
from xlsm.errors import LSMWarning

OPTIONS = {"observed": {"SoilTemp": 0.1}, "model": ours.MODEL}
FIXED = {"emissivity": case.EMISSIVITY}


def _median(function: Callable[[], Any], rounds: int) -> float:
    function()  # compile
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main(stations: int, draws: int, rounds: int) -> None:
    """Print seconds a station, warm, of an estimate, a profile of 21 points, and a sample."""
    warnings.simplefilter("ignore", LSMWarning)
    ds = ours.dataset(case.ensemble(stations))

    def estimate() -> Any:
        return ds.lsm.estimate(case.FREE, fixed=FIXED, **OPTIONS)

    est = estimate()
    told = {
        "stations": stations,
        "draws": draws,
        "estimate_s": _median(estimate, rounds),
        "profile_s": _median(lambda: ds.lsm.profile(est, "heat_capacity"), rounds),
        "sample_s": _median(
            lambda: ds.lsm.sample(case.FREE, fixed=FIXED, draws=draws, **OPTIONS), rounds
        ),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
