"""Worker processes: on this machine, or of a cluster that runs already."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import dask
from distributed import Client, LocalCluster

from xlsm.errors import LSMError

__all__ = ["client_of", "local_client"]

#: Seconds a scheduler has to answer.
ANSWER = 15


@contextlib.contextmanager
def local_client(workers: int) -> Iterator[Client]:
    """Start worker processes of one thread each, and stop them at the end.

    Parameters
    ----------
    workers : int
        How many processes.

    Yields
    ------
    distributed.Client
        Connected to them, and the default as long as it lives.
    """
    settings = {
        # JAX and fork deadlock
        "distributed.worker.multiprocessing-method": "spawn",
        # set before a worker starts: otherwise XLA uses all cores from each of the processes
        "distributed.nanny.pre-spawn-environ.NPROC": "1",
        "distributed.scheduler.worker-saturation": 1.0,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        # to start workers, distributed sets these in this process too
        names = {"PYTHONHASHSEED", *dask.config.get("distributed.nanny.pre-spawn-environ")}
        stack.callback(_restore, {name: os.environ.get(name) for name in names})
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0"
        )
        stack.enter_context(cluster)
        yield stack.enter_context(Client(cluster))


@contextlib.contextmanager
def client_of(address: str) -> Iterator[Client]:
    """Connect to a scheduler that runs already; its workers stay when the work is done.

    Parameters
    ----------
    address : str
        Such as ``tcp://10.0.0.1:8786``. It is trusted: Dask runs code.

    Yields
    ------
    distributed.Client
        The default as long as it lives.

    Raises
    ------
    LSMError
        If nobody answers there, or there is no worker.
    """
    try:
        client = Client(address, timeout=ANSWER)
    except (OSError, ValueError) as error:
        raise LSMError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.nthreads():
            raise LSMError(f"the Dask scheduler at {address} has no workers: start some")
        yield client


def _restore(before: dict[str, str | None]) -> None:
    """Set environment variables as they were."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
