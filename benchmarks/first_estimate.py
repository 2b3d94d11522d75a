"""A cold process up to its first estimate, and its peak memory: run as a program of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

BEGIN = time.perf_counter()


def main(stations: int) -> None:
    """Print the seconds from the start of the imports to the estimates, and the peak memory."""
    from benchmarks import case, ours

    ds = ours.dataset(case.ensemble(stations))
    if stations == 1:
        ds = ds.isel(station=0)
    estimate = ds.lsm.estimate(
        case.FREE,
        observed={"SoilTemp": 0.1},
        fixed={"emissivity": case.EMISSIVITY},
        model=ours.MODEL,
    )
    if not bool((estimate.status == 0).all()):
        raise SystemExit("not every station converged")
    # of this program alone: the usual figure counts what the parent had before the fork, too
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    print(json.dumps({"seconds": time.perf_counter() - BEGIN, "peak_mib": peak}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
