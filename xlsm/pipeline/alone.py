"""A task in a process of its own, for what ends whoever computes it.

A region that kills its worker (it takes too much memory, a library crashes) is cut into shares,
each of them computed where nobody else is: smaller shares need less memory, and a station that
still kills is found, and flagged.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import cloudpickle
import numpy as np

from xlsm.pipeline.regions import stations
from xlsm.pipeline.task import Outcome, Task, give_up, perform

__all__ = ["answer", "halves", "in_shares", "runs"]

#: Deaths of one region after which what is left of it is given up.
DEATHS = 40


def in_shares(
    task: Task, shares: Iterable[tuple[int, int]], writer: Callable[[], bytes]
) -> Iterator[Outcome | Exception]:
    """Perform a task in smaller and smaller shares.

    Parameters
    ----------
    task : Task
        A region whose worker died.
    shares : iterable of (int, int)
        Where to begin, as ranges of its stations, flat.
    writer : callable
        Gives what to write with, asked for each share: shares lie in the same chunks, and each must
        see what those before it have written.

    Yields
    ------
    Outcome or Exception
        Of each share; a station that kills even alone is flagged, with a message.
    """
    queue, deaths = deque(shares), 0
    while queue:
        first, end = queue.popleft()
        part = task._replace(share=(first, end), writer=writer())
        died = _died(part) if deaths < DEATHS else "the process of its neighbours died, too"
        if not isinstance(died, str):
            yield died
            continue
        deaths += 1
        if end - first > 1 and deaths < DEATHS:
            middle = (first + end) // 2
            queue.extendleft([(middle, end), (first, middle)])
            continue
        yield give_up(part, died)


def halves(task: Task) -> list[tuple[int, int]]:
    """Cut a region in two."""
    count = stations(task.region)
    return [(0, count // 2), (count // 2, count)] if count > 1 else [(0, 1)]


def runs(left: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """Give the ranges in which something is left to do.

    Examples
    --------
    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], left, [False]]).astype(int)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _died(task: Task) -> Outcome | Exception | str:
    """Perform a task in another process; a text says that it died, and how."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", "from xlsm.pipeline.alone import answer; answer()"],
        input=cloudpickle.dumps(task),
        stdout=subprocess.PIPE,
        env=environment,
        check=False,
    )
    if done.returncode == 0:
        outcome: Outcome | Exception = pickle.loads(done.stdout)  # of our own child
        return outcome
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return f"the process that computed it died ({how}): out of memory?"


def answer() -> None:
    """Perform the task that is told on the standard input, and tell its outcome on the output."""
    output = os.dup(1)
    os.dup2(2, 1)  # whatever prints meanwhile is no answer
    result: Outcome | Exception
    try:
        result = perform(pickle.loads(sys.stdin.buffer.read()))
    except Exception as error:
        result = error
    with os.fdopen(output, "wb") as file:
        file.write(cloudpickle.dumps(result))
