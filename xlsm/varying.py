"""From parameters that are to vary in time to the values a kernel estimates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm.errors import ParameterError
from xlsm.free import Parameter, bounds_of
from xlsm.inference.operators import Operator
from xlsm.inference.series import Series
from xlsm.inference.strength import START
from xlsm.model.data_grid import DAY, USUAL_DIFFUSIVITY
from xlsm.model.model import Model
from xlsm.model.parameters import ParameterSpec
from xlsm.series import Pieces, pieces_of
from xlsm.windows import Windows

__all__ = ["cut_in_pieces", "first_width", "free_values", "memories"]

#: Time (s) for which a value is remembered at least: more takes fewer steps, each of them dearer.
SHORTEST = 8 * DAY


def cut_in_pieces(
    ds: xr.Dataset, wanted: Mapping[str, Parameter], windows: Windows | None
) -> dict[str, Pieces]:
    """Cut the record into the pieces of each parameter that varies."""
    found = {}
    for name, treatment in wanted.items():
        if treatment.every is None:
            continue
        if windows is not None:
            raise ParameterError(
                "window= estimates every stretch of the record for itself, "
                f"every={treatment.every!r} of {name} all of them together: leave out one of them"
            )
        linear = treatment.interpolation == "linear"
        found[name] = pieces_of(ds, treatment.every, linear=linear, name=name)
    return found


def free_values(
    wanted: Mapping[str, Parameter], pieces: Mapping[str, Pieces], memories: Mapping[str, float]
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[Series, ...]]:
    """Name all free values, count those of each parameter, and say which are a series."""
    free: list[str] = []
    counts, series = [], []
    for name, treatment in wanted.items():
        if name not in pieces:
            counts.append(1)
            free.append(name)
            continue
        knots = pieces[name].knots
        counts.append(len(knots))
        series.append(
            Series(
                name=name,
                first=len(free),
                knots=knots,
                linear=pieces[name].linear,
                memory=memories[name],
                smooth=treatment.smooth is not None,
                estimated=treatment.smooth == "estimated",
            )
        )
        free += [f"{name}[{k}]" for k in range(len(knots))]
    return tuple(free), tuple(counts), tuple(series)


def memories(
    pieces: Mapping[str, Pieces],
    model: Model,
    metres: np.ndarray[Any, Any],
    operators: Iterable[Operator],
    dt: float,
) -> dict[str, float]:
    """Say after how many time steps what a parameter was is not seen any more.

    A wave takes z^2 / kappa to the deepest sensor; what changes at the bottom must come from
    there.
    """
    depths = [*metres.tolist(), *(one.depth for one in operators if one.depth is not None)]
    at_bottom = {spec.name for spec in model.bottom.parameters}
    found = {}
    for name in pieces:
        way = model.layout.depth if name in at_bottom else max(depths, default=0.0)
        found[name] = max(SHORTEST, 2 * way**2 / USUAL_DIFFUSIVITY) / dt
    return found


def first_width(treatment: Parameter, spec: ParameterSpec) -> float:
    """Give the standard deviation of a change from one value to the next, or its first guess."""
    if treatment.smooth is None:
        return math.inf
    if treatment.smooth != "estimated":
        return float(treatment.smooth)
    lower, upper = bounds_of(treatment, spec)
    return START * (math.log(upper / lower) if spec.scale == "log" else upper - lower)
