"""The verb that traces how the cost rises along one parameter while the others make way."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm._version import __version__
from xlsm.errors import ParameterError
from xlsm.estimate import estimate
from xlsm.free import Parameter, refuse_series, wanted_of
from xlsm.inference.invert import Status
from xlsm.looking import observed_by
from xlsm.model.parameters import ParameterSpec
from xlsm.notices import unnoticed
from xlsm.nuisance import is_nuisance
from xlsm.prepare import Likelihoods
from xlsm.simulate import model_of
from xlsm.validate import in_one_piece
from xlsm.windows import windows_of_estimate

__all__ = ["profile"]

Array = np.ndarray[Any, np.dtype[Any]]

#: Twice the rise of the cost at the ends of a 68 and a 95 % interval: quantiles of chi-square
#: with one degree of freedom.
RISE = {68: 0.988946, 95: 3.841459}
#: How many points, the nearest to the minimum, tell how curved it is.
NEAREST = 4


def profile(
    ds: xr.Dataset,
    est: xr.Dataset,
    parameter: str,
    *,
    free: Iterable[str] | Mapping[str, Parameter] | None = None,
    observed: str | Iterable[str] | Mapping[str, Any] | None = None,
    likelihood: Likelihoods = None,
    points: int = 21,
    reach: float = 4.0,
) -> xr.Dataset:
    """Trace the profile of the cost; see `xlsm.accessor.LSMAccessor.profile`."""
    if "parameter" not in est.coords or "model" not in est.attrs:
        raise ParameterError("profile needs what ds.lsm.estimate gave, with its attributes")
    # those of the instruments come with the observations, and make way like the others
    names = [str(name) for name in est["parameter"].values if not is_nuisance(str(name))]
    if parameter not in names:
        raise ParameterError(
            f"{parameter!r} was not estimated: the estimate has {', '.join(names)}"
        )
    if "holdout" in est.attrs:
        raise ParameterError(
            f"the estimate left observations out, holdout={est.attrs['holdout']!r}, and a profile "
            "would fit them. Estimate again without holdout, with those observations NaN"
        )
    if points < 5 or reach <= 0:
        raise ParameterError(
            f"a profile needs 5 points or more and a positive reach; got points={points}, "
            f"reach={reach}"
        )
    treatments = wanted_of(names if free is None else free)
    refuse_series(treatments, "profile")
    others = {
        name: dataclasses.replace(treatment, initial=est[name])
        for name, treatment in treatments.items()
        if name != parameter
    }
    if not others:
        raise ParameterError(
            f"{parameter} was estimated alone, and no other parameter makes way: its error bar "
            "says it all"
        )
    ds, windows = windows_of_estimate(ds, est)
    ds = in_one_piece(ds)
    model = model_of(est, None)
    spec = model.parameters[parameter]
    bounds = treatments[parameter].bounds or spec.bounds
    grid = _grid(est, spec, bounds, points, reach)
    known = [name for name in model.parameters if name in est and name not in names]
    with unnoticed():  # far from the minimum much is wrong, and nobody wonders
        traced = estimate(
            ds,
            others,
            observed=observed_by(est) if observed is None else observed,
            fixed={**{name: est[name] for name in known}, parameter: grid},
            model=model,
            likelihood=likelihood,
            error_bars="stated",
            window=windows,
        )
    found = xr.apply_ufunc(
        _interval,
        grid,
        traced["cost"],
        est[parameter],
        est[f"{parameter}_std"],
        est["cost"],
        input_core_dims=[["point"], ["point"], [], [], []],
        output_core_dims=[["point"], ["level"], ["level"]],
        kwargs={"log": spec.scale == "log", "stated": est.attrs["error_bars"] == "stated"},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[float] * 3,
        dask_gufunc_kwargs={"output_sizes": {"level": len(RISE)}},
    )
    rise, lower, upper = found
    described = {"units": spec.units, "long_name": spec.meaning}
    return xr.Dataset(
        {
            parameter: grid.assign_attrs(described),
            "rise": rise.assign_attrs(
                long_name="twice the rise of the cost above its minimum", units="1"
            ),
            "lower": lower.assign_attrs(
                described,
                long_name=f"lower end of the interval of the {spec.meaning}",
                comment="NaN where the profile does not rise enough before it ends",
            ),
            "upper": upper.assign_attrs(
                described,
                long_name=f"upper end of the interval of the {spec.meaning}",
                comment="NaN where the profile does not rise enough before it ends",
            ),
            **{name: traced[name] for name in others},
            "status": traced["status"],
        },
        coords={"level": ("level", list(RISE), {"units": "percent"})},
        attrs={"source": f"xlsm {__version__}", "parameter": parameter},
    )


def _grid(
    est: xr.Dataset, spec: ParameterSpec, bounds: tuple[float, float], points: int, reach: float
) -> xr.DataArray:
    """Values along the parameter, on its own scale; between the bounds where no error is known."""
    value, std = est[spec.name], est[f"{spec.name}_std"]
    log = spec.scale == "log"
    low, high = (float(np.log(b)) if log else float(b) for b in bounds)
    centre = xr.apply_ufunc(np.log, value, dask="allowed") if log else value
    width = std / value if log else std
    known = (width > 0) & (width < (high - low))
    first = xr.where(known, (centre - reach * width).clip(min=low), low)
    last = xr.where(known, (centre + reach * width).clip(max=high), high)
    share = xr.DataArray(np.linspace(0, 1, points), dims="point")
    # a hair inside: a value on a bound is no value between them
    natural = first + (last - first) * (1e-6 + (1 - 2e-6) * share)
    grid: xr.DataArray = xr.apply_ufunc(np.exp, natural, dask="allowed") if log else natural
    return grid.where(est["status"] <= Status.not_identifiable).drop_attrs()


def _interval(
    grid: Array, cost: Array, value: float, std: float, least: float, *, log: bool, stated: bool
) -> tuple[Array, Array, Array]:
    """Rise of the cost, and where it crosses the levels, of one station."""
    scale = np.log if log else np.asarray
    x, centre = scale(grid), scale(value)
    least = np.nanmin([least, *cost]) if np.isfinite(cost).any() else np.nan
    rise = 2 * (cost - least)
    width = std / value if log else std
    if not stated and np.isfinite(width) and width > 0:
        # errors that are larger or correlated flatten the profile as they widen the error bar
        away = (x - centre) / width
        there = np.flatnonzero(np.isfinite(rise) & (abs(away) > 1e-3))
        near = there[np.argsort(abs(away[there]))[:NEAREST]]
        curved = np.sum(rise[near] * away[near] ** 2)
        if curved > 0:
            rise = rise * np.sum(away[near] ** 4) / curved
    ends = np.full((2, len(RISE)), np.nan)
    best = int(np.nanargmin(rise)) if np.isfinite(rise).any() else 0
    for i, level in enumerate(RISE.values()):
        for side, step in ((0, -1), (1, 1)):
            ends[side, i] = _crossing(x, rise, best, step, level)
    back = np.exp if log else np.asarray
    return rise, back(ends[0]), back(ends[1])


def _crossing(x: Array, rise: Array, start: int, step: int, level: float) -> float:
    """Where a rise, nearly a parabola, first crosses a level on one side of its minimum."""
    root = np.sqrt(np.maximum(rise, 0.0))
    for i in range(start, -1 if step < 0 else len(x), step):
        inner = i - step
        if rise[i] >= level and 0 <= inner < len(x) and i != start:
            share = (np.sqrt(level) - root[inner]) / (root[i] - root[inner])
            return float(x[inner] + share * (x[i] - x[inner]))
    return float("nan")
