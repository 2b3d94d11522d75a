"""JAX deadlocks in a process that was forked from one that had loaded it: an error instead."""

from __future__ import annotations

import os

from xlsm.errors import LSMError

__all__ = ["refuse_fork"]

_forked = False


def _mark() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark)


def refuse_fork() -> None:
    """Refuse to compute in a forked process.

    Raises
    ------
    LSMError
        If this process was forked after xlsm, and with it JAX, had been imported.
    """
    if _forked:
        raise LSMError(
            "this process was forked from one that had loaded JAX, and would wait for ever: start "
            "processes with multiprocessing.get_context('spawn'), on a Dask cluster with the "
            "setting distributed.worker.multiprocessing-method: spawn"
        )
