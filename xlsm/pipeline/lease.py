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

import fsspec
from fsspec.implementations.local import LocalFileSystem

from xlsm.errors import LSMError

__all__ = ["Lease", "lease"]

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

    def text(self) -> bytes:
        """Say who holds it, since when, and when that was last true."""
        holder = {
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self.since,
            "renewed": time.time(),
        }
        return json.dumps(holder).encode()


@contextlib.contextmanager
def lease(store: str, options: Mapping[str, Any] | None = None) -> Iterator[Lease]:
    """Hold the lease of a store.

    It is a small file beside the store, ``STORE.lease``, made by a create that fails if it is
    there, on a disk as on S3. A lease that nobody has renewed for 90 s is taken over; clocks of
    machines that share a store should not be minutes apart.

    Parameters
    ----------
    store : str
        Path or URL.
    options : mapping, optional
        Options of the fsspec file system.

    Yields
    ------
    Lease

    Raises
    ------
    LSMError
        If somebody else holds it: who, and since when.
    """
    files, path = fsspec.core.url_to_fs(store, **(options or {}))
    path = path.rstrip("/") + ".lease"
    ours = Lease()
    _take(files, path, ours, store)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(RENEWAL):
            with contextlib.suppress(OSError):  # the next renewal may be luckier
                if _holder(files, path).get("token") != ours.token:
                    ours.lost = True
                    return
                _put(files, path, ours)

    keeper = threading.Thread(target=renew, daemon=True)
    keeper.start()
    try:
        yield ours
    finally:
        stop.set()
        keeper.join()
        with contextlib.suppress(OSError):
            if _holder(files, path).get("token") == ours.token:
                files.rm_file(path)


def _take(files: Any, path: str, ours: Lease, store: str) -> None:
    """Create the lease, or take over a stale one."""
    if _create(files, path, ours):
        return
    theirs = _holder(files, path)
    if not theirs:  # gone this moment, or broken
        time.sleep(SETTLE)
        if _create(files, path, ours):
            return
        theirs = _holder(files, path)
    if theirs and not _stale(theirs):
        raise LSMError(_busy(theirs, store))
    with contextlib.suppress(FileNotFoundError):
        files.rm_file(path)
    _create(files, path, ours)
    # another driver may have found it stale, too, and be as quick
    time.sleep(SETTLE)
    theirs = _holder(files, path)
    if theirs.get("token") != ours.token:
        raise LSMError(_busy(theirs, store))


def _stale(theirs: Mapping[str, Any]) -> bool:
    """Whether nobody keeps it alive; of a process of this machine that is known at once."""
    if theirs.get("host") == socket.gethostname() and isinstance(pid := theirs.get("pid"), int):
        try:
            os.kill(pid, 0)  # signal 0 only asks
        except ProcessLookupError:
            return True
        except OSError:  # there, and somebody else's
            pass
    return time.time() - float(theirs.get("renewed", 0.0)) >= STALE


def _busy(theirs: Mapping[str, Any], store: str) -> str:
    who = f"process {theirs.get('pid', '?')} on {theirs.get('host', '?')}"
    return (
        f"{store} is being written by {who}, since {theirs.get('since', '?')}: wait for it, or "
        f"stop it; {STALE:.0f} s after it died the run can be resumed"
    )


def _create(files: Any, path: str, ours: Lease) -> bool:
    """Create the file, unless it is there."""
    if isinstance(files, LocalFileSystem):
        # fsspec looks first and creates then, which two can do at once; and nobody may ever read
        # a lease without a holder
        os.makedirs(os.path.dirname(path), exist_ok=True)
        own = _written(path, ours)
        try:
            os.link(own, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(own)
        return True
    try:
        files.pipe_file(path, ours.text(), mode="create")
    except FileExistsError:
        return False
    except OSError as error:  # S3 calls it a failed precondition
        if "PreconditionFailed" in str(error) or "pre-conditions" in str(error):
            return False
        raise
    return True


def _written(path: str, ours: Lease) -> str:
    """Write a file of our own beside the lease."""
    own = f"{path}.{ours.token}"
    with open(own, "wb") as file:
        file.write(ours.text())
    return own


def _put(files: Any, path: str, ours: Lease) -> None:
    """Replace the lease at once."""
    if isinstance(files, LocalFileSystem):
        os.replace(_written(path, ours), path)
    else:
        files.pipe_file(path, ours.text())


def _holder(files: Any, path: str) -> dict[str, Any]:
    """Read who has it; nothing where nobody has, or it is being written this moment."""
    with contextlib.suppress(AttributeError):
        files.invalidate_cache()
    try:
        found = json.loads(files.cat_file(path))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
