"""A run that a test can kill: ``python durable_run.py STORE LOG [STATIONS] [OPTIONS] [cluster]``.

No model is compiled; each block takes a moment, writes down that it was computed, and its numbers
follow from the stations. STORE may be ``obstore+s3://BUCKET/PREFIX``, too, or ``az``.
"""

import functools
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

import xlsm
from xlsm.pipeline.isolate import isolated

BLOCK, TIMES, PAUSE = 4, 50, 0.02


def numbers(arrays, *, size, log):
    """Numbers of some stations, (station, time); the log grows by a line."""
    stations = arrays[0]
    if not stations.size:  # Dask asks what the output will be like
        return blank((0,))
    if (stations == float(os.environ.get("XLSM_TEST_POISON", "nan"))).any():
        raise ValueError("this station cannot be computed")
    if os.environ.get("XLSM_TEST_FAULT") == str(int(stations[0]) // BLOCK):
        raise xlsm.errors.LSMError("this block cannot be computed")
    with open(log, "a") as lines:
        lines.write(f"{int(stations[0]) // BLOCK} {os.getpid()}\n")
    if (stations == float(os.environ.get("XLSM_TEST_DEADLY", "nan"))).any():
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel ends who takes too much memory
    if (stations == float(os.environ.get("XLSM_TEST_HUNGRY", "nan"))).any():
        much = np.ones(1_500_000_000, np.int8)
        time.sleep(2)
        del much
    if os.environ.get("XLSM_TEST_ROOM") == str(int(stations[0]) // BLOCK):
        # as of a full disk: no file of this process grows beyond some bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (99, resource.RLIM_INFINITY))
    # looked up here: another function, or another constant in it, would be another plan
    time.sleep(float(os.environ.get("XLSM_TEST_PAUSE", PAUSE)))
    return (np.sin(stations.reshape(-1, 1) * (1 + np.arange(TIMES))),)


def blank(shape):
    return (np.full((*shape, TIMES), np.nan),)


def block(stations, log):
    """Numbers of a block, one that raises cut down to the station that does it."""
    function = functools.partial(numbers, log=log)
    return isolated(function, [stations], [0], blank, size=BLOCK)[0]


def status_of(numbers):
    """Varied, so that a status which is another station's is seen; 12 is `raised`."""
    varied = np.arange(len(numbers)) % 3
    return np.where(np.isnan(numbers), 12, varied).astype(np.int8)


def lazy(count, log):
    stations = da.arange(count, chunks=BLOCK, dtype=float)
    numbers = stations.map_blocks(block, log, new_axis=1, chunks=(BLOCK, TIMES), dtype=float)
    # of the same block, so that a block is computed once
    status = numbers[:, 0].map_blocks(status_of, dtype="i1")
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


def opened(store, options):
    """What `to_zarr` is given: an obstore store for its URL, anything else as it is."""
    if not store.startswith("obstore+"):
        return {"store": store, "storage_options": options}
    import obstore.store

    if store.startswith("obstore+file://"):
        folder = Path(store.removeprefix("obstore+file://"))
        folder.mkdir(parents=True, exist_ok=True)
        return {"store": obstore.store.LocalStore(folder)}
    kind, _, rest = store.removeprefix("obstore+").partition("://")
    bucket, _, prefix = rest.partition("/")
    of_kind = {"s3": obstore.store.S3Store, "az": obstore.store.AzureStore}[kind]
    return {"store": of_kind(bucket, prefix=prefix, **options)}


def main(store, log, count="80", options="{}", cluster=""):
    target = opened(store, json.loads(options) or None)
    ds = lazy(int(count), log)
    if cluster.startswith("tcp://"):
        from xlsm.pipeline.cluster import client_of

        with client_of(cluster):
            ds.lsm.to_zarr(**target, resume=True)
        return
    if not cluster:
        import dask

        with dask.config.set(scheduler="threads", num_workers=2):
            ds.lsm.to_zarr(**target, resume=True)
        return
    if cluster == "small":
        from distributed import Client, LocalCluster

        few = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "900MB"}
        import dask

        # as xlsm's own workers, but for fewer deaths: no block waits where another one may kill,
        # and no worker is dismissed that is just being started again
        settings = {
            "distributed.scheduler.worker-saturation": 1.0,
            "distributed.scheduler.allowed-failures": 1,
            "distributed.deploy.lost-worker-timeout": "1 day",
        }
        with (
            dask.config.set(settings),
            LocalCluster(**few, dashboard_address=":0") as small,
            Client(small),
        ):
            ds.lsm.to_zarr(**target, resume=True)
        return
    from xlsm.pipeline.cluster import local_client

    with local_client(2):
        ds.lsm.to_zarr(**target, resume=True)


if __name__ == "__main__":
    # where tests run in the background of a shell script, SIGINT is ignored by all they start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(*sys.argv[1:])
