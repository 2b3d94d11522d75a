"""A block of stations through the kernel that says what their data can tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from xlsm.inference.fisher import sensitivity
from xlsm.model.parameters import to_unbounded
from xlsm.pipeline.blocks import from_batch
from xlsm.pipeline.inversion import lanes_of
from xlsm.pipeline.lengths import by_length
from xlsm.pipeline.numbers import Layout, plan_of, read_numbers

__all__ = ["Settings", "sensitivity_block"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a block needs to know beside its numbers; hashable and picklable.

    Parameters
    ----------
    layout : Layout
        What the arrays are; the first guesses are where to look.
    observed : tuple of bool
        For each channel whether it is observed, or might be.
    """

    layout: Layout
    observed: tuple[bool, ...]


def sensitivity_block(
    *arrays: Any, settings: Settings, size: int
) -> tuple[np.ndarray[Any, Any], ...]:
    """Look at the sensitivities of one block of stations, NumPy in and out."""

    def some(arrays: Sequence[Any], size: int) -> tuple[np.ndarray[Any, Any], ...]:
        return _look(arrays, settings=settings, size=size)

    return by_length(some, arrays, plan_of(settings.layout), size, lanes_of)


def _look(
    arrays: Sequence[Any], *, settings: Settings, size: int
) -> tuple[np.ndarray[Any, Any], ...]:
    """Look at the stations of a block whose records begin together."""
    layout = settings.layout
    data, values, block, bad = read_numbers(arrays, layout, size)
    bounds = (data.lower[:, None], data.upper[:, None], data.log_scale[:, None])
    with jax.enable_x64(True):
        result = sensitivity(
            layout.problem,
            data,
            to_unbounded(values, *bounds),  # type: ignore[arg-type]
            observed=settings.observed,
            lanes=lanes_of(size),
        )
    outputs = []
    for numbers in result:
        array = np.asarray(numbers)
        # what is no number has no place in a flag
        array = np.where(bad, np.nan, array) if array.dtype.kind == "f" else array & ~bad
        outputs.append(from_batch(array, block.shape))
    return tuple(outputs)
