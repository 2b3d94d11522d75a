"""From a block of NumPy arrays through the kernel of the estimation and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from xlsm.inference.invert import Status, invert
from xlsm.inference.objective import Data, Problem
from xlsm.pipeline.blocks import Block, from_batch, implausible, outside_is_nan, unpack
from xlsm.pipeline.impossible import impossible
from xlsm.variables import plausible

__all__ = ["Settings", "estimate_block", "read_block"]

#: Spread of the random starts around the first guess, in unbounded parameters: for a parameter
#: amid its bounds about a sixth of their range, to either side.
START_SPREAD = 0.7
#: Stations Gauss-Newton works on at a time: what fits a core's cache, or fills a GPU.
LANES = {"cpu": 32}
ACCELERATOR_LANES = 4096


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a block needs to know beside its numbers; hashable and picklable."""

    problem: Problem
    fixed: tuple[str, ...]
    errors: tuple[float, ...]
    dt: float
    depths: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]
    log_scale: tuple[bool, ...]
    method: str
    starts: int
    seed: int
    max_steps: int
    tolerance: float


def estimate_block(*arrays: Any, settings: Settings, size: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Estimate one block of stations, NumPy in and out."""
    problem = settings.problem
    block, data = read_block(arrays, settings, size)
    bad = block.bad
    # the first start is the guess itself; the others lie about it, alike for every station so
    # that results do not depend on how the stations are cut into blocks
    count = len(problem.free)
    random = np.random.default_rng(settings.seed).standard_normal((settings.starts - 1, count))
    offsets = np.concatenate([np.zeros((1, count)), START_SPREAD * random])
    lanes = LANES.get(jax.default_backend(), ACCELERATOR_LANES)
    with jax.enable_x64(True):
        result = invert(
            problem,
            data,
            np.stack(block.rest[-count:]),
            offsets,
            np.float64(settings.tolerance),
            np.int64(settings.max_steps),
            method=settings.method,
            # the width decides the last bits: one for single stations, one for all batches
            lanes=1 if size * settings.starts == 1 else lanes,
        )
    known = {**data.fixed, **dict(zip(problem.free, np.asarray(result.values), strict=True))}
    bad |= impossible(problem.model, block.forcing, known, bad.size)
    refused = {
        name: np.where(bad, np.nan, getattr(result, name))
        for name in ("values", "std", "covariance", "cost", "residual_std")
    }
    status = np.where(bad, np.int8(Status.implausible_values), result.status)
    result = result._replace(status=status, **refused)
    return tuple(from_batch(values, block.shape) for values in result)


def read_block(arrays: Sequence[Any], settings: Settings, size: int) -> tuple[Block, Data]:
    """Sort the arrays of a block, and mark the stations with a value that cannot be."""
    problem = settings.problem
    channels = [2 if name == "SoilTemp" else 1 for name in problem.observed]
    rest = [*channels, *[0] * (len(settings.fixed) + len(problem.free))]
    block = unpack(arrays, problem.model, rest, size)
    for name, values in zip(problem.observed, block.rest, strict=False):
        wrong = implausible(values, plausible(name)).any(axis=tuple(range(values.ndim - 1)))
        block = block._replace(bad=block.bad | wrong)
    for series in block.forcing.values():
        series[..., block.bad] = np.nan  # which ends such a station at once
    return block, _data(settings, block)


def _data(settings: Settings, block: Block) -> Data:
    """Numbers of a block by name; they stay NumPy's, which costs no compilation."""
    problem, known = settings.problem, settings.problem.model.parameters
    series = iter(block.rest)
    numbers: dict[str, Any] = {
        "forcing": block.forcing,
        "start": block.start,
        "observations": {
            name: values if values.ndim == 3 else values[:, None]
            for name, values in zip(problem.observed, series, strict=False)
        },
        "fixed": {
            name: outside_is_nan(values, known[name])
            for name, values in zip(settings.fixed, series, strict=False)
        },
        "errors": dict(zip(problem.observed, map(np.float64, settings.errors), strict=True)),
        "dt": np.float64(settings.dt),
        "depths": np.array(settings.depths, dtype=float),
        "lower": np.array([lower for lower, _ in settings.bounds]),
        "upper": np.array([upper for _, upper in settings.bounds]),
        "log_scale": np.array(settings.log_scale),
    }
    return Data(**numbers)
