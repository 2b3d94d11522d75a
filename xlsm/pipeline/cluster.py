"""Worker processes: on this machine, or of a cluster that runs already."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import dask
from distributed import Client, LocalCluster

from xlsm.errors import LSMError, LSMWarning
from xlsm.pipeline.gpus import GPUNanny, gpus

__all__ = ["client_of", "local_client"]

log = logging.getLogger(__name__)

#: Seconds a scheduler has to answer.
ANSWER = 15
#: What computes, and has to be the same everywhere.
SAME = ("xlsm", "jax", "jaxlib")


@contextlib.contextmanager
def local_client(workers: int) -> Iterator[Client]:
    """Start worker processes of one thread each, and stop them at the end.

    Where JAX computes on GPUs, each process has one of them for itself: two would fight for its
    memory.

    Parameters
    ----------
    workers : int
        How many processes; where there are GPUs, at most as many as these.

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
        # a task that has met so many deaths of workers is computed again, where nobody else is
        "distributed.scheduler.allowed-failures": 3,
        # a worker that dies is started again by its nanny; the cluster would dismiss both, for
        # good, if that took longer than this
        "distributed.deploy.lost-worker-timeout": "1 day",
    }
    options: dict[str, Any] = {}
    if devices := gpus()[:workers]:
        log.info("%d workers, of a GPU each", len(devices))
        workers, options = len(devices), {"worker_class": GPUNanny, "gpus": devices}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        # to start workers, distributed sets these in this process too
        names = {"PYTHONHASHSEED", *dask.config.get("distributed.nanny.pre-spawn-environ")}
        stack.callback(_restore, {name: os.environ.get(name) for name in names})
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            **options,
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
        If nobody answers there, there is no worker, or the scheduler or a worker lacks xlsm or
        has another version of it or of JAX.

    Warns
    -----
    LSMWarning
        If they run another Python.
    """
    try:
        client = Client(address, timeout=ANSWER)
    except (OSError, ValueError) as error:
        raise LSMError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.nthreads():
            raise LSMError(f"the Dask scheduler at {address} has no workers: start some")
        versions: Any = client.get_versions(packages=SAME)
        _check_versions(versions)
        yield client


def _check_versions(found: Mapping[str, Any]) -> None:
    """Look whether all would compute what this process would; the scheduler reads the tasks, too.

    Workers that come later are not seen here. One without xlsm fails at its first task.
    """
    ours = found["client"]
    needed = " ".join(f"{name}=={ours['packages'][name]}" for name in SAME)
    others = {"the scheduler": found["scheduler"]}
    others |= {f"the worker {address}": told for address, told in found["workers"].items()}
    for name in SAME:
        here = ours["packages"][name]
        wrong = {who: told["packages"].get(name) for who, told in others.items()}
        wrong = {who: version for who, version in wrong.items() if version != here}
        if wrong:
            raise LSMError(
                f"{name} is {here} here, but {_listed(wrong)}: start them from an environment made "
                f"with `pip install {needed}`"
            )
    python = {who: _minor(told) for who, told in others.items() if _minor(told) != _minor(ours)}
    if python:
        warnings.warn(
            f"Python is {_minor(ours)} here, but {_listed(python)}, where tasks may be unreadable",
            LSMWarning,
            stacklevel=4,
        )


def _minor(told: Mapping[str, Any]) -> str:
    return ".".join(told["host"]["python"].split(".")[:2])


def _listed(versions: Mapping[str, str | None]) -> str:
    """Name at most three of those with another version."""
    some = [f"{version or 'missing'} at {who}" for who, version in list(versions.items())[:3]]
    more = f", and at {len(versions) - 3} more" if len(versions) > 3 else ""
    return ", ".join(some) + more


def _restore(before: dict[str, str | None]) -> None:
    """Set environment variables as they were."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
