"""A run that a test can kill: ``python durable_run.py STORE LOG [STATIONS] [OPTIONS] [cluster]``.

No model is compiled; each block takes a moment, writes down that it was computed, and its numbers
follow from the stations.
"""

import json
import os
import sys
import time

import dask.array as da
import numpy as np
import xarray as xr

import xlsm  # noqa: F401  (registers ds.lsm)

BLOCK, TIMES, PAUSE = 4, 50, 0.02


def block(stations, log):
    """Numbers of a block of stations, (station, time); the log grows by a line."""
    if os.environ.get("XLSM_TEST_POISON") == str(int(stations.flat[0]) // BLOCK):
        raise ValueError("this block cannot be computed")
    with open(log, "a") as lines:
        lines.write(f"{int(stations.flat[0]) // BLOCK} {os.getpid()}\n")
    if os.environ.get("XLSM_TEST_DEADLY") == str(int(stations.flat[0]) // BLOCK):
        os._exit(1)  # as the kernel ends who takes too much memory
    # looked up here: another function, or another constant in it, would be another plan
    time.sleep(float(os.environ.get("XLSM_TEST_PAUSE", PAUSE)))
    return np.sin(stations.reshape(-1, 1) * (1 + np.arange(TIMES)))


def lazy(count, log):
    stations = da.arange(count, chunks=BLOCK, dtype=float)
    numbers = stations.map_blocks(block, log, new_axis=1, chunks=(BLOCK, TIMES), dtype=float)
    # of the same block, so that a block is computed once
    status = numbers[:, 0].map_blocks(lambda x: (np.arange(len(x)) % 3).astype(np.int8), dtype="i1")
    return xr.Dataset(
        {
            "series": (("station", "time"), numbers, {"units": "K"}),
            "mean": ("station", numbers.mean(axis=1)),
            "status": ("station", status),
            "known": ((), 3.0),
        },
        {"station": [f"s{i}" for i in range(count)], "height": ("station", np.arange(count) * 1.0)},
        {"model": "none"},
    )


def main(store, log, count="80", options="{}", cluster=""):
    given = json.loads(options) or None
    ds = lazy(int(count), log)
    if not cluster:
        import dask

        with dask.config.set(scheduler="threads", num_workers=2):
            ds.lsm.to_zarr(store, resume=True, storage_options=given)
        return
    from xlsm.pipeline.cluster import local_client

    with local_client(2):
        ds.lsm.to_zarr(store, resume=True, storage_options=given)


if __name__ == "__main__":
    main(*sys.argv[1:])
