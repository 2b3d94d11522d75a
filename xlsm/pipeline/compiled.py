"""Compiled programs kept for the processes to come, where somebody asks for it.

``XLSM_COMPILATION_CACHE=FOLDER`` in the environment asks. JAX can keep compiled programs itself,
but takes what it finds for good: of a flipped byte a process can die, at every start, and an entry
that was cut short is compiled again for ever. So JAX is pointed to a folder of this process alone.
Into that go the entries of FOLDER whose checksum is right; what JAX adds to it is handed on to
FOLDER, each entry in one step. What the folders hold is machine code: whoever can write there can
run code here, so they have to belong to whoever computes.

JAX has one such folder a process: it then holds all that the process compiles, not only xlsm's.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import platform
import sys
import threading
from pathlib import Path
from typing import Any

import jax
import jaxlib.version

from xlsm.pipeline.shelf import Shelf, hand_on, open_shelf, take_down

__all__ = ["VARIABLE", "keep_compiled"]

#: Names the folder.
VARIABLE = "XLSM_COMPILATION_CACHE"
#: What JAX sets, beside the folder: small programs count too, and nothing in a key is of a folder.
SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_persistent_cache_enable_xla_caches": "none",
}

log = logging.getLogger(__name__)

_cache: Shelf | None = None
_asked = False
_lock = threading.Lock()


def keep_compiled() -> None:
    """Use the cache, if one is asked for, and hand on what was compiled since the last call.

    To be called before each block. Whatever is wrong with the cache is logged, and the work goes on
    without it.
    """
    global _asked, _cache
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    with _lock:
        try:
            if not _asked:
                _asked = True
                _cache = _open(Path(folder).expanduser().absolute())
            elif _cache is not None:
                hand_on(_cache)
        except Exception as error:  # of any kind: it is not what anybody came for
            log.warning("%s=%s is not used from here on: %s", VARIABLE, folder, error)
            _cache = None


def _open(folder: Path) -> Shelf | None:
    """Take over what is good, and point JAX to it."""
    config: Any = jax.config
    if config.jax_compilation_cache_dir:
        log.info("JAX has a compilation cache of its own: %s is left alone", folder)
        return None
    cache = open_shelf(folder / _version())
    atexit.register(take_down, cache)
    for name, value in SETTINGS.items():
        config.update(name, value)
    config.update("jax_compilation_cache_dir", str(cache.own))
    return cache


def _version() -> str:
    """Name all that machine code depends on; where one of them differs it is another folder."""
    device = jax.devices()[0]
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        facts = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU ")
        processor = sorted({line for line in lines if line.startswith(facts)})
    except OSError:
        processor = [platform.node()]  # then of one machine
    threads = os.environ.get("NPROC") or (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    told = (
        jax.__version__,
        jaxlib.version.__version__,
        (sys.platform, platform.machine(), processor),
        (device.platform, device.device_kind),
        str(threads),  # XLA cuts loops by their number, and sums have other last bits
    )
    digest = hashlib.sha256(repr(told).encode()).hexdigest()[:16]
    return f"jax-{jax.__version__}-{device.platform}-{digest}"
