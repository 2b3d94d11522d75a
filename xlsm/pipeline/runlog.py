"""What happened in a run, line by line, as JSON beside its store."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from datetime import UTC, datetime
from typing import Any

from xlsm.pipeline.beside import Beside

__all__ = ["RunLog"]

#: Seconds between two lines that say how far it is, and between two writes of the log.
EVERY = 15.0


class RunLog:
    """The log of a run, which goes on with that of the runs before it.

    Parameters
    ----------
    place : Beside or None
        Where it lies; None keeps no log.
    """

    def __init__(self, place: Beside | None) -> None:
        self._place = place
        self._lines = b"" if place is None else place.read()
        self._written = self._told = time.monotonic()
        self._who = {"host": socket.gethostname(), "pid": os.getpid()}

    def tell(self, event: str, **facts: Any) -> None:
        """Add a line, and write it at once."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **self._who, **facts})
        self._lines += line.encode() + b"\n"
        if event != "progress":
            self._write()

    def progress(self, **facts: Any) -> None:
        """Add a line now and then."""
        if time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            self.tell("progress", **facts)
            self._write()

    def _write(self) -> None:
        if self._place is not None:
            with contextlib.suppress(Exception):  # a run does not end because its log cannot grow
                self._place.write(self._lines)
