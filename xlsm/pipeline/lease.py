"""One driver at a time: a lease beside a store, taken by an atomic create and kept alive."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from xlsm.errors import LSMError
from xlsm.pipeline.beside import Beside

__all__ = ["STALE", "Lease", "busy", "is_stale", "lease"]

#: Seconds after which a lease that was not renewed is stale, and between two renewals.
STALE, RENEWAL = 90.0, 15.0
#: Seconds after taking over a stale lease until it is looked at whether it is ours.
SETTLE = 1.0


class Lease:
    """A lease that is held; `lost` once somebody else has it."""

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self.since = datetime.now(UTC).isoformat(timespec="seconds")
        self.lost = False

    def holder(self) -> dict[str, Any]:
        """Say who holds it, since when, and when that was last true."""
        return {
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self.since,
            "renewed": time.time(),
        }

    def text(self) -> bytes:
        """Say it as JSON."""
        return json.dumps(self.holder()).encode()


@contextlib.contextmanager
def lease(place: Beside, store: str) -> Iterator[Lease]:
    """Hold the lease of a store.

    It is a small object beside the store, made by a create that fails if it is there, on a disk as
    in a bucket. A lease that nobody has renewed for 90 s is taken over; clocks of machines that
    share a store should not be minutes apart.

    Parameters
    ----------
    place : Beside
        Where it lies.
    store : str
        What the store is called in messages.

    Yields
    ------
    Lease

    Raises
    ------
    LSMError
        If somebody else holds it: who, and since when.
    """
    ours = Lease()
    _take(place, ours, store)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(RENEWAL):
            # the next renewal may be luckier; obstore and Icechunk have errors of their own
            with contextlib.suppress(Exception):
                if _holder(place).get("token") != ours.token:
                    ours.lost = True
                    return
                place.write(ours.text())

    keeper = threading.Thread(target=renew, daemon=True)
    keeper.start()
    try:
        yield ours
    finally:
        stop.set()
        keeper.join()
        with contextlib.suppress(Exception):  # it becomes stale by itself
            if _holder(place).get("token") == ours.token:
                place.remove()


def _take(place: Beside, ours: Lease, store: str) -> None:
    """Create the lease, or take over a stale one."""
    if place.create(ours.text()):
        return
    theirs = _holder(place)
    if theirs.get("token") == ours.token:  # only the answer was lost, and the client tried again
        return
    if not theirs:  # gone this moment, or broken
        time.sleep(SETTLE)
        if place.create(ours.text()):
            return
        theirs = _holder(place)
    if theirs and not is_stale(theirs):
        raise LSMError(busy(theirs, store))
    place.remove()
    place.create(ours.text())
    # another driver may have found it stale, too, and be as quick
    time.sleep(SETTLE)
    theirs = _holder(place)
    if theirs.get("token") != ours.token:
        raise LSMError(busy(theirs, store))


def is_stale(theirs: Mapping[str, Any]) -> bool:
    """Whether nobody keeps it alive; of a process of this machine that is known at once."""
    if theirs.get("host") == socket.gethostname() and isinstance(pid := theirs.get("pid"), int):
        try:
            os.kill(pid, 0)  # signal 0 only asks
        except ProcessLookupError:
            return True
        except OSError:  # there, and somebody else's
            pass
    return time.time() - float(theirs.get("renewed", 0.0)) >= STALE


def busy(theirs: Mapping[str, Any], store: str) -> str:
    """Say who writes a store, since when, and what to do."""
    who = f"process {theirs.get('pid', '?')} on {theirs.get('host', '?')}"
    return (
        f"{store} is being written by {who}, since {theirs.get('since', '?')}: wait for it, or "
        f"stop it; {STALE:.0f} s after it died the run can be resumed"
    )


def _holder(place: Beside) -> dict[str, Any]:
    """Read who has it; nothing where nobody has, or it is being written this moment."""
    try:
        found = json.loads(place.read())
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
