"""From a block of NumPy arrays to the numbers of an inverse problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsm.inference.problem import Data, Prior, Problem
from xlsm.pipeline.blocks import Block, implausible, leading_core, outside_is_nan, unpack
from xlsm.pipeline.lengths import After, Plan
from xlsm.variables import plausible

__all__ = ["Layout", "Numbers", "core_ndims", "plan_of", "read_numbers"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the arrays of a block are; hashable and picklable.

    They come in this order: forcing, profile to start on, observations, standard errors, fixed
    parameters, first guesses, means of the priors, standard deviations of the priors.

    Parameters
    ----------
    problem : Problem
        What is estimated.
    fixed : tuple of str
        Names of the fixed parameters.
    dt : float
        Time step (s).
    depths : tuple of float
        Depths of the soil temperatures (m).
    bounds : tuple of (float, float)
        Of each free value.
    log_scale : tuple of bool
        Which of them are transformed on a logarithmic scale.
    counts : tuple of int
        How many of these each free parameter has.
    priors : tuple of (int, bool)
        Which free parameters have a prior, and whether it is of their logarithm.
    walk : tuple of float
        For each series as `xlsm.inference.problem.Data.walk` has it.
    """

    problem: Problem
    fixed: tuple[str, ...]
    dt: float
    depths: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]
    log_scale: tuple[bool, ...]
    counts: tuple[int, ...]
    priors: tuple[tuple[int, bool], ...] = ()
    walk: tuple[float, ...] = ()


class Numbers(NamedTuple):
    """A block, ready for a kernel; n is the padded number of stations.

    Parameters
    ----------
    data : Data
        Batch axis of size n last.
    guess : array, shape (P, n)
        First guesses in physical units.
    block : Block
        As it was unpacked.
    bad : bool array, shape (n,)
        Stations with values that cannot be; their forcing is NaN.
    """

    data: Data
    guess: Array
    block: Block
    bad: Array


def read_numbers(arrays: Sequence[Array], layout: Layout, size: int) -> Numbers:
    """Sort the arrays of a block.

    Parameters
    ----------
    arrays : sequence of array, shapes (batch..., core...)
        As `Layout` says.
    layout : Layout
        What they are.
    size : int
        Number of stations to pad to.

    Returns
    -------
    Numbers
        They stay NumPy's, which costs no compilation.
    """
    problem, known = layout.problem, layout.problem.model.parameters
    count = len(layout.counts)
    block = unpack(arrays, problem.model, _rest(layout), size)
    series = iter(block.rest)
    observed = {name: next(series) for name in problem.observed}
    errors = {name: next(series) for name in problem.observed}
    fixed = {name: outside_is_nan(next(series), known[name]) for name in layout.fixed}
    guess = _each_value(layout, np.stack([next(series) for _ in range(count)]))
    bad = block.bad
    for name, values in observed.items():
        bad |= implausible(values, plausible(name)).any(axis=tuple(range(values.ndim - 1)))
    for i, name in enumerate(problem.observed):
        if problem.operator(i).mean:
            observed[name][0] = np.nan  # no step ends at the first time
    for values in block.forcing.values():
        values[..., bad] = np.nan  # which ends such a station at once
    numbers: dict[str, Any] = {
        "forcing": block.forcing,
        "start": block.start,
        "observations": {n: v if v.ndim == 3 else v[:, None] for n, v in observed.items()},
        "fixed": fixed,
        "errors": {
            name: np.where(values > 0, values, np.nan).reshape(-1, size)
            for name, values in errors.items()
        },
        "dt": np.float64(layout.dt),
        "depths": np.array(layout.depths, dtype=float),
        "lower": np.array([lower for lower, _ in layout.bounds]),
        "upper": np.array([upper for _, upper in layout.bounds]),
        "log_scale": np.array(layout.log_scale),
        "prior": _prior(layout, list(series), size),
    }
    if layout.walk:
        numbers["walk"] = np.repeat(np.array(layout.walk)[:, None], size, axis=1)
    return Numbers(Data(**numbers), guess, block, bad)


def _rest(layout: Layout) -> list[int]:
    """Count the core axes of all arrays but forcing and profile."""
    problem = layout.problem
    soil = [name == "SoilTemp" for name in problem.observed]
    rest = [*(1 + s for s in soil), *soil, *(int(n in problem.given) for n in layout.fixed)]
    return rest + [0] * (len(layout.counts) + 2 * len(layout.priors))


def core_ndims(layout: Layout) -> list[int]:
    """Count the core axes of each array of a block."""
    return [*leading_core(layout.problem.model), *_rest(layout)]


def plan_of(layout: Layout) -> Plan:
    """Say how the arrays of a block are cut to each station's record."""
    problem, core = layout.problem, core_ndims(layout)
    seen = len(problem.observed)
    given: list[After] = ["same" if name in problem.given else None for name in layout.fixed]
    after: list[After] = ["same"] * len(leading_core(problem.model))
    after += ["missing"] * seen
    after += [None] * seen
    after += [*given, *[None] * (len(core) - len(after) - len(given))]
    # the values of a series belong to pieces of the axis, the same for all stations
    return Plan(problem.model, core, after, tied=bool(problem.series))


def _each_value(layout: Layout, values: Array) -> Array:
    """Give all values of a parameter what was given for the parameter; first axis."""
    return np.repeat(values, layout.counts, axis=0)


def _prior(layout: Layout, given: list[Array], size: int) -> Prior | None:
    """Put the priors there are among the parameters that have none."""
    if not layout.priors:
        return None
    count = len(layout.counts)
    mean, std = np.zeros((count, size)), np.full((count, size), np.inf)
    of_logarithm = np.zeros(count, bool)
    half = len(layout.priors)
    for (index, log), middle, width in zip(layout.priors, given[:half], given[half:], strict=True):
        mean[index], std[index], of_logarithm[index] = middle, width, log
    each = (_each_value(layout, values) for values in (mean, std, of_logarithm))
    return Prior(*each)  # type: ignore[arg-type]
