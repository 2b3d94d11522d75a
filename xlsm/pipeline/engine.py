"""Tasks on threads, or on the workers of a Dask client: a few in flight, never a graph of all."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import cloudpickle
import dask

from xlsm.errors import LSMError
from xlsm.pipeline.task import Outcome, Task, perform

__all__ = ["Killed", "perform_all", "workers_in_use"]

log = logging.getLogger(__name__)

#: Seconds between two looks whether there are workers.
PATIENCE = 30.0
#: Tasks in flight for each thread of a worker: one that is computed, one that waits.
AHEAD = 2
#: Times a task that raised is tried again on a cluster: a store may have failed for a moment. How
#: many deaths of workers a task survives is up to the scheduler, by its allowed-failures.
RETRIES = 3

Result = Outcome | Exception


class Killed(Exception):
    """A task whose worker died, again and again."""


def workers_in_use() -> str:
    """Say what computes, in a word or two."""
    client = _client()
    if client is None:
        return f"{_threads()} threads"
    return f"{sum(client.nthreads().values())} worker threads at {client.scheduler.address}"


def perform_all(tasks: Iterator[Task]) -> Iterator[tuple[Task, Result]]:
    """Perform tasks and give each with its outcome, or with what it raised.

    Parameters
    ----------
    tasks : iterator of Task
        Taken as there is room for them.

    Yields
    ------
    tuple of Task, Outcome or Exception
        As they end; `Killed` where workers died of it.

    Raises
    ------
    LSMError
        If the scheduler is lost.
    """
    client = _client()
    if client is not None:
        return _on_cluster(client, tasks)
    width = _threads()
    return _on_threads(tasks, width) if width > 1 else ((task, _tried(task)) for task in tasks)


def _threads() -> int:
    """As many as Dask would take."""
    if dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded"):
        return 1
    return int(dask.config.get("num_workers", None) or os.cpu_count() or 1)


def _tried(task: Task) -> Result:
    try:
        return perform(task)
    except Exception as error:
        return error


def _on_threads(tasks: Iterator[Task], width: int) -> Iterator[tuple[Task, Result]]:
    with ThreadPoolExecutor(width) as pool:
        running: dict[Future[Result], Task] = {}
        try:
            while True:
                for task in itertools.islice(tasks, width - len(running)):
                    running[pool.submit(_tried, task)] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:  # what runs ends; what waits is not begun
            pool.shutdown(wait=True, cancel_futures=True)


def _client() -> Any:
    """Give the Dask client in use, if there is one."""
    try:
        from distributed import default_client

        return default_client()
    except (ImportError, ValueError):
        return None


def perform_pickled(task: bytes) -> Outcome:
    """Do it on a worker, to which only bytes were sent: nothing of Dask looks into them."""
    return perform(pickle.loads(task))


def _on_cluster(client: Any, tasks: Iterator[Task]) -> Iterator[tuple[Task, Result]]:
    from distributed import as_completed

    address = client.scheduler.address
    running: dict[Any, Task] = {}

    def submit() -> list[Any]:
        """Fill up: workers may have come, or gone."""
        room = AHEAD * max(1, sum(client.nthreads().values())) - len(running)
        new = []
        for task in itertools.islice(tasks, max(0, room)):
            future = client.submit(
                perform_pickled,
                cloudpickle.dumps(task),
                key=f"xlsm-{client.id}-{id(tasks)}-{next(numbers)}",
                pure=False,
                retries=RETRIES,
            )
            running[future] = task
            new.append(future)
        return new

    numbers = itertools.count()
    try:
        with _telling_of_absence(client, address):
            queue = as_completed(submit())
            for future in queue:
                yield running.pop(future), _result(client, future)
                future.release()  # nobody keeps what is written
                queue.update(submit())
    except LSMError:
        raise
    except (OSError, RuntimeError) as error:  # distributed's of a connection that is gone
        raise LSMError(_lost(address)) from error
    finally:
        with contextlib.suppress(Exception):
            client.cancel(list(running), force=True)


@contextlib.contextmanager
def _telling_of_absence(client: Any, address: str) -> Iterator[None]:
    """Say so where all workers have gone: the run waits for one, and none may ever come."""
    stop = threading.Event()

    def look() -> None:
        told = False
        while not stop.wait(PATIENCE):
            with contextlib.suppress(Exception):  # of a scheduler that is lost others tell
                absent = not client.nthreads()
                if absent and not told:
                    log.warning(
                        "no worker is left at %s: the run goes on as soon as one comes. Start one, "
                        "or end the run; what was written stays, and it can be resumed",
                        address,
                    )
                told = absent

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()


def _result(client: Any, future: Any) -> Result:
    from distributed import KilledWorker

    if future.cancelled() or client.status != "running":
        raise LSMError(_lost(client.scheduler.address if client.scheduler else "?"))
    error = future.exception()
    if isinstance(error, KilledWorker):
        return Killed(str(error))
    if isinstance(error, Exception):
        return error
    outcome: Outcome = future.result()
    return outcome


def _lost(address: str) -> str:
    return (
        f"the Dask scheduler at {address} is gone. What was written stays: start a scheduler and "
        "workers, and the same call goes on where it was"
    )
