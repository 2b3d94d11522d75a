"""From a block of NumPy arrays through the kernel of the estimation and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from xlsm.inference.invert import Status, invert
from xlsm.inference.problem import FEW
from xlsm.pipeline.blocks import from_batch
from xlsm.pipeline.flags import flags_of
from xlsm.pipeline.impossible import impossible
from xlsm.pipeline.lengths import by_length
from xlsm.pipeline.numbers import Layout, plan_of, read_numbers

__all__ = ["Settings", "estimate_block", "estimate_together", "lanes_of"]

#: Spread of the random starts around the first guess, in unbounded parameters: for a parameter
#: amid its bounds about a sixth of their range, to either side.
START_SPREAD = 0.7
#: Stations Gauss-Newton works on at a time: what fits a core's cache, or fills a GPU.
LANES = {"cpu": 32}
ACCELERATOR_LANES = 4096
#: Numbers that the matrices of all these stations may hold.
MATRICES = 2**23


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a block needs to know beside its numbers; hashable and picklable."""

    layout: Layout
    method: str
    error_bars: str
    starts: int
    seed: int
    max_steps: int
    tolerance: float


def lanes_of(items: int, count: int = 1) -> int:
    """How many stations a kernel should work on at a time, of so many free values each.

    The width decides the last bits: it is one for a single station, and one for all batches,
    unless there are so many values that to work on stations which are not there would be dear.
    """
    if items == 1:
        return 1
    most: int = LANES.get(jax.default_backend(), ACCELERATOR_LANES)
    return most if count <= FEW else max(1, min(most, items, MATRICES // count**2))


def estimate_block(*arrays: Any, settings: Settings, size: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Estimate one block of stations, NumPy in and out."""

    def some(arrays: Sequence[Any], size: int) -> tuple[np.ndarray[Any, Any], ...]:
        return estimate_together(arrays, settings=settings, size=size)

    return by_length(some, arrays, plan_of(settings.layout), size, lanes_of)


def estimate_together(
    arrays: Sequence[Any], *, settings: Settings, size: int
) -> tuple[np.ndarray[Any, Any], ...]:
    """Estimate the stations of a block whose records begin together."""
    layout, problem = settings.layout, settings.layout.problem
    data, guess, block, bad = read_numbers(arrays, layout, size)
    # the first start is the guess itself; the others lie about it, alike for every station so
    # that results do not depend on how the stations are cut into blocks
    count = len(layout.counts)
    random = np.random.default_rng(settings.seed).standard_normal((settings.starts - 1, count))
    offsets = np.concatenate([np.zeros((1, count)), START_SPREAD * random])
    offsets = np.repeat(offsets, layout.counts, axis=1)  # a series starts as a constant
    with jax.enable_x64(True):
        result = invert(
            problem,
            data,
            guess,
            offsets,
            np.float64(settings.tolerance),
            np.int64(settings.max_steps),
            method=settings.method,
            error_bars=settings.error_bars,
            lanes=lanes_of(size * settings.starts, count=len(problem.free)),
        )
    known: dict[str, Any] = {n: v for n, v in data.fixed.items() if n not in problem.given}
    bad |= impossible(problem.model, block.forcing, known, bad.size)
    constant = [i for i, name in enumerate(problem.owners) if name not in problem.varying]
    known |= {problem.free[i]: np.asarray(result.values[i]) for i in constant}
    ended = impossible(problem.model, block.forcing, known, bad.size) & ~bad
    refused = {
        name: np.where(bad | ended, np.nan, getattr(result, name))
        for name in result._fields
        if name not in ("status", "iterations", "near")
    }
    status = np.where(bad, np.int8(Status.implausible_values), result.status)
    status = np.where(ended, np.int8(Status.impossible_estimate), status)
    result = result._replace(status=status, **refused)
    flags = flags_of(result, status, layout.log_scale, layout.bounds)
    # of hundreds of values it would be hundreds of times as large as all the rest
    result = result._replace(covariance=result.covariance[np.ix_(constant, constant)])
    outputs = [getattr(result, name) for name in result._fields if name != "near"]
    return tuple(from_batch(values, block.shape) for values in (*outputs, flags))
