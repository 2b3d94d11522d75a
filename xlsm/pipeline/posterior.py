"""From a block of NumPy arrays through the sampler and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from xlsm.inference.problem import per_station
from xlsm.inference.sampling import sample
from xlsm.pipeline.inversion import Settings, estimate_together, lanes_of
from xlsm.pipeline.lengths import by_length
from xlsm.pipeline.numbers import plan_of, read_numbers

__all__ = ["SampleSettings", "sample_block"]

#: Stations sampled at a time. All chains of a group go in step, so that each draw takes as long
#: as its longest trajectory.
GROUP = {"cpu": 8}
ACCELERATOR_GROUP = 1024


@dataclasses.dataclass(frozen=True)
class SampleSettings:
    """What a block needs to know beside its numbers; hashable and picklable."""

    estimation: Settings
    draws: int
    warmup: int
    chains: int
    seed: int


def sample_block(
    *arrays: Any, settings: SampleSettings, size: int
) -> tuple[np.ndarray[Any, Any], ...]:
    """Estimate and sample one block of stations, NumPy in and out.

    Returns
    -------
    tuple of array
        The fields of `xlsm.inference.sampling.Draws`, shapes (batch..., chain, draw), for the
        values (batch..., chain, draw, P), and the status of the estimation, shape (batch...).
    """

    def some(arrays: Sequence[Any], size: int) -> tuple[np.ndarray[Any, Any], ...]:
        return _sample(arrays, settings=settings, size=size)

    return by_length(some, arrays, plan_of(settings.estimation.layout), size, lanes_of)


def _sample(
    arrays: Sequence[Any], *, settings: SampleSettings, size: int
) -> tuple[np.ndarray[Any, Any], ...]:
    """Estimate and sample the stations of a block whose records begin together."""
    estimation = settings.estimation
    values, _, _, status, *_ = estimate_together(arrays, settings=estimation, size=size)
    shape, count = status.shape, status.size
    problem = estimation.layout.problem
    parameters = len(problem.free)
    values = values.reshape(count, parameters).T
    data = read_numbers(arrays, estimation.layout, size).data
    # always as many at a time, so that how the stations are cut into blocks changes nothing
    group = GROUP.get(jax.default_backend(), ACCELERATOR_GROUP) if size > 1 else 1
    parts = []
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(settings.seed), settings.chains)
        for first in range(0, count, group):
            # the last group is filled up with stations that are done already
            station = np.minimum(np.arange(first, first + group), count - 1)

            def pick(numbers: Any, station: Any = station) -> Any:
                return numbers[..., station]

            drawn = sample(
                problem,
                per_station(data, pick),
                values[..., station],
                keys,
                draws=settings.draws,
                warmup=settings.warmup,
            )
            parts.append([np.asarray(field) for field in drawn])
    fields = [np.concatenate(part)[:count] for part in zip(*parts, strict=True)]
    unsolved = np.isnan(values).any(axis=0)
    for field in fields:
        field[unsolved] = np.nan if field.dtype.kind == "f" else 0
    return *(field.reshape(shape + field.shape[1:]) for field in fields), status
