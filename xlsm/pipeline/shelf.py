"""A folder of files that processes share, of which none trusts what it finds there.

Each file holds a checksum and an entry. A process copies those that are right into a folder of its
own, and hands on, each in one step, what is added there. It holds a lock on its folder for as long
as it lives, so that the next one knows what was left behind by a process that was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import shutil
import stat
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Shelf", "hand_on", "open_shelf", "take_down"]

#: Bytes of entries that are kept; every process reads them at its start.
LIMIT = 128 * 2**20
#: Seconds after which what nobody finished writing is swept.
STALE = 3600.0
#: In the folder of a process until it has shown that it gets on with what it was given.
FIRST = "first"

log = logging.getLogger(__name__)


class Shelf(NamedTuple):
    """What a process has of a shared folder.

    Parameters
    ----------
    shared, own : Path
        The folder of all processes, and that of this one.
    known : set of str
        Names that are in both.
    held : int
        The file whose lock says that this process lives.
    process : int
        The process.
    """

    shared: Path
    own: Path
    known: set[str]
    held: int
    process: int


def open_shelf(shared: Path) -> Shelf:
    """Make a folder of this process, with all that is good in the shared one.

    Parameters
    ----------
    shared : Path
        Is made where it is not there; nobody but the user may be able to write to it.

    Returns
    -------
    Shelf

    Raises
    ------
    OSError
        If others can write there, or this process cannot.
    """
    running = shared / "running"
    running.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in (shared, running):
        _check_ours(place)
    _sweep(shared)
    own = running / uuid.uuid4().hex
    # before the folder, so that whoever finds it finds it locked
    held = _locked(own.with_suffix(".lock"), os.O_CREAT)
    own.mkdir(mode=0o700)
    known = set(_take_over(shared, own))
    (own / FIRST).touch()
    return Shelf(shared, own, known, held, os.getpid())


def hand_on(shelf: Shelf) -> None:
    """Put what was added to where other processes look; what was there before is trusted from now.

    Parameters
    ----------
    shelf : Shelf

    Raises
    ------
    OSError
        If it cannot be written.
    """
    (shelf.own / FIRST).unlink(missing_ok=True)
    for path, _ in _entries(shelf.own):
        if path.name in shelf.known:
            continue
        payload = path.read_bytes()
        if not _whole(payload):  # another thread is writing it: it is found the next time
            continue
        temporary = shelf.shared / f".{uuid.uuid4().hex}"
        try:
            temporary.write_bytes(_digest(path.name, payload) + payload)
            temporary.replace(shelf.shared / path.name)
        finally:
            temporary.unlink(missing_ok=True)  # there only if that failed
        shelf.known.add(path.name)


def take_down(shelf: Shelf) -> None:
    """Hand on the last of it, and leave nothing.

    Parameters
    ----------
    shelf : Shelf
    """
    if os.getpid() != shelf.process:  # forked from the one whose folder it is
        return
    with contextlib.suppress(OSError):
        hand_on(shelf)
    shutil.rmtree(shelf.own, ignore_errors=True)
    shelf.own.with_suffix(".lock").unlink(missing_ok=True)
    os.close(shelf.held)


def _check_ours(folder: Path) -> None:
    found = folder.stat()
    if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        raise PermissionError(f"others can write to {folder}, and with it code that is run here")


def _entries(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """List the files that are there; while it is read, other processes may replace some."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and path.name != FIRST:
                found.append((path, status))
    return found


def _digest(name: str, payload: bytes) -> bytes:
    """Of the name, too: a good program under the name of another is none."""
    return hashlib.sha256(name.encode() + b"\0" + payload).digest()


def _take_over(shared: Path, own: Path) -> Iterator[str]:
    """Copy the entries that are good, the newest first, and remove all others."""
    room = LIMIT
    for path, status in sorted(_entries(shared), key=lambda found: -found[1].st_mtime):
        if path.name.startswith("."):  # somebody is writing it
            continue
        with contextlib.suppress(FileNotFoundError):
            # what is too large is not even read
            content = path.read_bytes() if status.st_size <= room else b""
            payload = content[32:]
            if content[:32] == _digest(path.name, payload):
                (own / path.name).write_bytes(payload)
                room -= len(content)
                yield path.name
                continue
            log.info("%s is damaged, or more than there is room for, and removed", path)
            path.unlink()


def _whole(entry: bytes) -> bool:
    """Tell whether JAX has written all of an entry, which it has compressed."""
    try:
        if entry.startswith(b"\x28\xb5\x2f\xfd"):
            _zstd().decompress(entry)
        else:
            zlib.decompress(entry)
    except Exception:  # each library has its own
        return False
    return True


def _zstd() -> Any:
    """Give what JAX has compressed with: since Python 3.14 that is part of it."""
    try:
        from compression import zstd
    except ImportError:
        import zstandard

        return zstandard.ZstdDecompressor()
    return zstd


def _sweep(shared: Path) -> None:
    """Clear up after processes that were killed, and doubt what they had used.

    One that died in its first block may have died of an entry, whose checksum was right, but which
    was no good when it was made.
    """
    running = shared / "running"
    for own in [path for path in running.iterdir() if path.is_dir()]:
        lock = own.with_suffix(".lock")
        with contextlib.suppress(OSError):  # it lives
            held = _locked(lock)
            if (own / FIRST).exists():
                log.warning("a process died in its first block: its programs are compiled again")
                for path, _ in _entries(own):
                    (shared / path.name).unlink(missing_ok=True)
            shutil.rmtree(own, ignore_errors=True)
            lock.unlink(missing_ok=True)
            os.close(held)
    for path in itertools.chain(shared.glob(".*"), running.glob("*.lock")):
        with contextlib.suppress(OSError):
            alone = path.suffix != ".lock" or not path.with_suffix("").exists()
            if alone and time.time() - path.stat().st_mtime > STALE:
                path.unlink()


def _locked(path: Path, flags: int = 0) -> int:
    """Open a file that is locked for as long as this process lives, however it ends."""
    held = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: of others nothing is swept
        if not flags & os.O_CREAT:
            os.close(held)
            raise BlockingIOError from None
    except OSError:
        os.close(held)
        raise
    return held
