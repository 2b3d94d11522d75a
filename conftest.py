"""For all tests, those in docstrings among them: what XLA compiled is let go in time."""

import gc
import itertools
from pathlib import Path

import jax

#: Memory maps of a process from which compiled programs are dropped. Each of them takes several,
#: Linux allows 65,530, and XLA aborts the process beyond.
MANY = 30_000
MAPS = Path("/proc/self/maps")
#: To count them takes a while: every so many tests is often enough.
OFTEN = 10
_tests = itertools.count()


def pytest_runtest_setup(item):
    """Look before a test; where maps cannot be counted there is no such limit."""
    due = next(_tests) % OFTEN == 0 and MAPS.exists()
    if due and MAPS.read_bytes().count(b"\n") > MANY:
        jax.clear_caches()
        gc.collect()
