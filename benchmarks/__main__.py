"""Time xlsm beside its peers on one core: ``python -m benchmarks [--smoke]``.

Every figure is a median over rounds in which xlsm and the peer take turns, so that a machine
whose speed drifts slows both; the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

# one core, said before JAX starts its threads
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")

import numpy as np

from benchmarks import case, peer_numba
from benchmarks.ours import Contender

LANES = 32


def main() -> None:
    """Run all benchmarks and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run at all?")
    smoke = parser.parse_args().smoke
    rounds, stations, torch_steps = (2, 40, 3) if smoke else (7, 1024, case.TIMES - 1)

    rows = [*_against_numba(rounds, stations), *_against_torch(rounds, torch_steps), *_cold(smoke)]
    print(_machine(), end="\n\n")
    print("| benchmark | xlsm | peer | peer / xlsm |")
    print("|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\n| beside an inversion, of {stations} stations | xlsm | in Jacobians |")
    print("|---|---|---|")
    for row in _judgement(rounds, stations):
        print("| " + " | ".join(row) + " |")
    print("\n| more than a point and its error bars | |\n|---|---|")
    for row in [*_posterior(smoke), *_year(smoke), *_lengths(smoke)]:
        print("| " + " | ".join(row) + " |")


def _against_numba(rounds: int, stations: int) -> list[tuple[str, ...]]:
    depths, step, nodes = case.OBSERVED_DEPTHS, case.STEP, case.NODES
    fifty = case.ensemble(50)
    paper = case.Ensemble(
        forcing=np.broadcast_to(case.forcing(), fifty.forcing.shape).copy(),
        truth=np.broadcast_to(case.TRUTH, fifty.truth.shape).copy(),
        start=fifty.start,
    )
    some = case.ensemble(LANES)
    ours = Contender(some, LANES)

    def each(function: Callable[..., Any], ensemble: case.Ensemble) -> Callable[[], Any]:
        def run() -> Any:
            return [
                function(*values, step, nodes, depths)
                for values in zip(ensemble.truth, ensemble.forcing, strict=True)
            ]

        return run

    def many() -> Any:
        return peer_numba.forward_many(some.truth, some.forcing, step, nodes, depths)

    rows = [
        _row("forward, 100 steps", "us", LANES, rounds, ours.forward, many),
        _row(
            "Jacobian of 5 parameters",
            "us",
            LANES,
            rounds,
            ours.jacobian,
            each(peer_numba.jacobian, some),
        ),
    ]
    for name, ensemble in {
        "inversion, the paper's case from 50 starts": paper,
        f"inversion of {stations} stations": case.ensemble(stations),
    }.items():
        contender = Contender(ensemble, LANES)
        observed = each(peer_numba.forward, ensemble)()

        def peer(
            ensemble: case.Ensemble = ensemble, observed: list[Any] = observed
        ) -> np.ndarray[Any, Any]:
            return np.array(
                [
                    peer_numba.invert(obs, start, forcing, step, nodes, depths)
                    for obs, start, forcing in zip(
                        observed, ensemble.start, ensemble.forcing, strict=True
                    )
                ]
            )

        rows.append(_row(name, "ms", len(ensemble.truth), rounds, contender.inversion, peer))
        for who, result in {"xlsm": contender.inversion(), "numba": peer()}.items():
            worst = np.abs(result / ensemble.truth - 1).max()
            print(f"{name}: {who} finds the truth to {worst:.1e}", file=sys.stderr)
    return rows


def _against_torch(rounds: int, steps: int) -> list[tuple[str, ...]]:
    name = "value and gradient, 100 steps"
    ours = Contender(case.ensemble(LANES), LANES)
    ours.value_and_gradient()  # compile and warm up
    mine = _times(ours.value_and_gradient, rounds)
    text = _figure(statistics.median(mine) / LANES, "us")
    if importlib.util.find_spec("torch") is None:
        return [(name, text, "PyTorch is not installed", "")]
    from benchmarks import peer_torch

    seconds = peer_torch.seconds_for_value_and_gradient(steps) * (case.TIMES - 1) / steps
    ratio = seconds / (statistics.median(mine) / LANES)
    shown = f"{seconds:.2f} s" + ("" if steps == case.TIMES - 1 else f" (from {steps} steps)")
    return [(name, text, shown, f"{ratio:.2g}")]


def _judgement(rounds: int, stations: int) -> list[tuple[str, ...]]:
    """Say what it costs to judge an estimate, in evaluations of the Jacobian of the same batch."""
    ours = Contender(case.ensemble(stations), LANES)
    rows = []
    for name, function in {
        "error bars that look at the residuals": ours.appraisal,
        "identifiability": ours.sensitivities,
    }.items():
        function(), ours.jacobian_in_groups()  # compile and warm up
        pairs = [
            (_times(function, 1)[0], _times(ours.jacobian_in_groups, 1)[0]) for _ in range(rounds)
        ]
        ratios = sorted(mine / jacobian for mine, jacobian in pairs)
        cost = _figure(statistics.median(mine for mine, _ in pairs) / stations, "us")
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        rows.append((name, cost, spread))
    return rows


def _told(program: str, *arguments: int, **environment: str) -> dict[str, float]:
    """Run a benchmark that is a program of its own, and read what it tells."""
    command = [sys.executable, "-m", f"benchmarks.{program}", *map(str, arguments)]
    given = os.environ | environment
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=given)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _posterior(smoke: bool) -> list[tuple[str, ...]]:
    if importlib.util.find_spec("blackjax") is None:
        return [("profile and sample", "blackjax is not installed")]
    told = _told("posterior", *((2, 10, 1) if smoke else (16, 1000, 3)))
    count, draws = told["stations"], told["draws"]
    estimate, profile = told["estimate_s"] / count, told["profile_s"] / count
    return [
        (
            f"profile of 21 points, a station of {count}",
            f"{_figure(profile, 'ms')}, {profile / estimate:.2g} estimates",
        ),
        (
            f"NUTS, 4 chains of {draws} draws and 500 before them, a station of {count}",
            f"{told['sample_s'] / count:.2g} s",
        ),
    ]


def _year(smoke: bool) -> list[tuple[str, ...]]:
    told = _told("year", *((4, 20, 2) if smoke else (64, 365, 8)))
    what = f"{told['days']:.0f} days at 30 minutes, {told['values']:.0f} values a station"
    ratio = told["gradient_s"] / told["cost_s"]
    return [
        (
            f"gradient backward, {told['stations']:.0f} stations, {what}",
            f"{told['gradient_s']:.2g} s, {ratio:.2g} runs, "
            f"the process peaks at {told['gradient_peak_mib']:.0f} MiB",
        ),
        (
            f"fit with error bars, {told['fitted']:.0f} of them",
            f"{told['fit_s'] / told['fitted']:.2g} s a station, {told['iterations']:.0f} steps, "
            f"peak {told['peak_mib']:.0f} MiB",
        ),
    ]


def _lengths(smoke: bool) -> list[tuple[str, ...]]:
    told = _told("lengths", *((6, 384, 1) if smoke else (256, 960, 7)))
    longest = told["times"]
    what = f"{told['stations']:.0f} records of {longest / 16:.0f} to {longest:.0f} times"
    return [
        (
            f"{verb} {what}, over what as many times of whole records cost",
            f"{told[f'{name}_ratio']:.2f} ({told[f'{name}_least']:.2f} to "
            f"{told[f'{name}_most']:.2f})",
        )
        for verb, name in (("estimates of", "estimate"), ("simulations of", "simulate"))
    ]


def _cold(smoke: bool) -> list[tuple[str, ...]]:
    rows = []
    for stations in (1,) if smoke else (1, 1024):
        runs = [_told("first_estimate", stations) for _ in range(1 if smoke else 3)]
        seconds = statistics.median(run["seconds"] for run in runs)
        peak = statistics.median(run["peak_mib"] for run in runs)
        name = "cold process to the first estimate" if stations == 1 else "the same, 1024 stations"
        rows.append((name, f"{seconds:.1f} s, peak {peak:.0f} MiB", "", ""))
    return [*rows, _warm(smoke)]


def _warm(smoke: bool) -> tuple[str, ...]:
    """Start with what another process has compiled, and without, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {"XLSM_COMPILATION_CACHE": folder}
        _told("first_estimate", 1, **kept)
        pairs = [
            (_told("first_estimate", 1, **kept), _told("first_estimate", 1))
            for _ in range(1 if smoke else 5)
        ]
    ours, others = (
        [statistics.median(run[what] for run in runs) for what in ("seconds", "peak_mib")]
        for runs in zip(*pairs, strict=True)
    )
    text, without = (f"{s:.1f} s, peak {peak:.0f} MiB" for s, peak in (ours, others))
    name = "cold process to the first estimate, compiled by another"
    return (name, text, f"{without} (compiled here)", f"{others[0] / ours[0]:.2f}")


def _row(
    name: str,
    unit: str,
    stations: int,
    rounds: int,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
) -> tuple[str, ...]:
    """Let both take turns and give the row of the table, per station."""
    ours(), peer()  # compile and warm up
    pairs = [(_times(ours, 1)[0], _times(peer, 1)[0]) for _ in range(rounds)]
    mine, others = zip(*pairs, strict=True)
    ratios = sorted(other / mine for mine, other in pairs)
    return (
        name,
        _figure(statistics.median(mine) / stations, unit),
        _figure(statistics.median(others) / stations, unit) + " (numba, SciPy)",
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
    )


def _times(function: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of each call; a call shorter than 20 ms is repeated and the best taken."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        elapsed = time.perf_counter() - begin
        for _ in range(int(min(20, 0.02 / elapsed))):
            begin = time.perf_counter()
            function()
            elapsed = min(elapsed, time.perf_counter() - begin)
        times.append(elapsed)
    return times


def _figure(seconds: float, unit: str) -> str:
    return f"{seconds * {'us': 1e6, 'ms': 1e3}[unit]:.3g} {unit}"


def _machine() -> str:
    """Processor, Python and the versions that matter."""
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    packages = ["xlsm", "jax", "jaxlib", "numpy", "xarray", "numba", "scipy"]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    if importlib.util.find_spec("torch") is not None:
        versions += f", torch {importlib.metadata.version('torch')}"
    return f"One core of {processor}, Python {platform.python_version()}, {versions}."


if __name__ == "__main__":
    main()
