"""For all tests, those in docstrings among them: compile quickly, and let go in time."""

import contextlib
import gc
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest

#: Memory maps of a process from which compiled programs are dropped. Each of them takes several,
#: Linux allows 65,530, and XLA aborts the process beyond.
MANY = 30_000
MAPS = Path("/proc/self/maps")
#: To count them takes a while: every so many tests is often enough.
OFTEN = 10
_tests = itertools.count()

#: Bytes of compiled programs that are kept from run to run.
KEPT = 1_000_000_000

#: XLA's older code generator: it compiles in 60 % of the time, and with few of LLVM's optimisations
#: (JAX's own switch, below) in 30 %. What it makes is the same arithmetic, and runs longer.
OLDER = "--xla_cpu_use_fusion_emitters=false"
#: Prints where JAX computes. A flag that XLA does not know, or not any more, aborts a process.
PROBE = "import jax; jax.jit(lambda x: x)(0.0).block_until_ready(); print(jax.default_backend())"

#: Whether this selection is compiled quickly, and whether JAX now does without most optimisations.
QUICK, FEW = pytest.StashKey[bool](), pytest.StashKey[bool]()


def pytest_configure(config):
    """Let all selections but that of the last bits compile quickly.

    Most of their time is compiling. What is asserted there holds for any correct compiler, and most
    of what is compiled runs once. Where running takes the time, the marker ``optimised`` lets LLVM
    do its work. Comparisons of the last bits, which rest on what LLVM makes of a loop, are marked
    ``bits``: `pytest -m bits` runs what users run, and so do demo, notebooks and benchmarks of
    `.ci/run`.
    """
    config.stash[QUICK] = False
    # what JAX traces are many small objects that stay: to look through them all, time and again,
    # takes a tenth of the time of the tests
    gc.set_threshold(100_000, 20, 20)
    if config.getoption("markexpr") not in ("not slow", "slow"):
        return
    # before the first compilation here, and before xdist starts its workers, which inherit it
    flags = os.environ.get("XLA_FLAGS", "")
    if OLDER not in flags:
        environment = os.environ | {"XLA_FLAGS": f"{flags} {OLDER}".strip()}
        probe = [sys.executable, "-c", PROBE]
        found = subprocess.run(probe, env=environment, capture_output=True, text=True)
        if found.returncode == 0:
            if found.stdout.strip() != "cpu":  # an accelerator has a compiler of its own
                return
            os.environ["XLA_FLAGS"] = environment["XLA_FLAGS"]
    config.stash[QUICK] = True
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # for the processes that tests start
    _keep_compiled(config)
    _take_few_optimisations(config, True)


def _keep_compiled(config):
    """Let tests have what others have compiled, at the same time or in an earlier run."""
    if getattr(config, "cache", None) is None:  # pytest -p no:cacheprovider
        return
    folder = config.cache.mkdir("jax")
    if not hasattr(config, "workerinput"):  # not in the processes of xdist, which share it
        sizes = [path.stat().st_size for path in folder.iterdir()]
        if sum(sizes) > KEPT:
            shutil.rmtree(folder)
            folder.mkdir()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _take_few_optimisations(config, few):
    """Nothing is taken over from what was compiled otherwise: the last bits would differ."""
    config.stash[FEW] = few
    jax.clear_caches()
    with contextlib.suppress(AttributeError):  # a version of JAX that has no such switch
        jax.config.update("jax_disable_most_optimizations", few)


def pytest_collection_modifyitems(config, items):
    """Leave to `pytest -m bits` what is right only as compiled for users."""
    if config.stash[QUICK]:
        useless = [item for item in items if _is(item, "bits") and _is(item, "slow")]
        config.hook.pytest_deselected(items=useless)
        items[:] = [item for item in items if item not in useless]


def _is(item, marker):
    return item.get_closest_marker(marker) is not None


def pytest_report_header(config):
    """Say how JAX compiles."""
    how = "quickly" if config.stash[QUICK] else "as for users"
    return f"jax: compiles {how}, XLA_FLAGS={os.environ.get('XLA_FLAGS', '')!r}"


def pytest_runtest_setup(item):
    """Look before a test how it is to be compiled, and whether there is room."""
    few = item.config.stash.get(FEW, False)
    if few != (item.config.stash[QUICK] and not _is(item, "optimised")):
        _take_few_optimisations(item.config, not few)
    # where maps cannot be counted there is no such limit
    due = next(_tests) % OFTEN == 0 and MAPS.exists()
    if due and MAPS.read_bytes().count(b"\n") > MANY:
        jax.clear_caches()
        gc.collect()
