"""The inverse verb: forcing and observations in, parameters with error bars out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from xlsm._version import __version__
from xlsm.arguments import parameter_values
from xlsm.errors import ModelError, ParameterError
from xlsm.inference.invert import METHODS, Status, invert
from xlsm.inference.objective import Data, Problem
from xlsm.model.model import Model
from xlsm.model.parameters import ParameterSpec
from xlsm.pipeline.blocks import apply_blocks, from_batch, to_batch
from xlsm.simulate import complete, model_of
from xlsm.validate import (
    check_batch_dims,
    check_depths_in_column,
    depths,
    observed_errors,
    read_variable,
    time_step,
)
from xlsm.variables import VARIABLES

__all__ = ["Parameter", "estimate"]

#: Spread of the random starts around the first guess, in unbounded parameters: for a parameter
#: amid its bounds about a sixth of their range, to either side.
START_SPREAD = 0.7
#: Steps and distance to the minimum (standard errors) at which a station is done.
LIMITS = {"gauss_newton": (100, 1e-8), "adam": (5000, 1e-2), "lbfgs": (500, 1e-2)}
#: Stations Gauss-Newton works on at a time: what fits a core's cache, or fills a GPU.
LANES = {"cpu": 32}
ACCELERATOR_LANES = 4096


@dataclasses.dataclass(frozen=True)
class Parameter:
    """How to treat a free parameter.

    Parameters
    ----------
    bounds : tuple of float, optional
        Limits (lower, upper) in the parameter's units, inside its physical bounds, which are
        the default.
    initial : float or DataArray, optional
        First guess; by default the parameter's default value.

    Examples
    --------
    >>> Parameter(bounds=(0.1, 0.4))
    Parameter(bounds=(0.1, 0.4), initial=None)
    """

    bounds: tuple[float, float] | None = None
    initial: Any = None


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


def estimate(
    ds: xr.Dataset,
    free: str | Iterable[str] | Mapping[str, Parameter],
    *,
    observed: str | Iterable[str] | Mapping[str, float] | None = None,
    fixed: Mapping[str, Any] | xr.Dataset | None = None,
    model: str | Model | None = None,
    method: str = "auto",
    starts: int = 1,
    seed: int = 0,
    max_steps: int | None = None,
    tolerance: float | None = None,
) -> xr.Dataset:
    """Estimate parameters; see `xlsm.accessor.LSMAccessor.estimate`."""
    model = model_of(fixed, model)
    wanted = _wanted(free)
    guesses, values = _values(wanted, fixed, model)
    errors = _errors(observed, ds, {*values, *wanted})
    method, max_steps, tolerance = _method(method, starts, max_steps, tolerance)

    forcing = [read_variable(ds, name) for name in model.forcing]
    observations = {name: read_variable(ds, name) for name in errors}
    metres = np.zeros(0)
    if "SoilTemp" in observations:
        metres = depths(ds["SoilTemp"], "SoilTemp")
        check_depths_in_column(metres, model.grid.depth)
        if "depth" not in observations["SoilTemp"].dims:
            observations["SoilTemp"] = observations["SoilTemp"].expand_dims("depth", -1)
    check_batch_dims(
        [*forcing, *observations.values(), *values.values(), *guesses], model.parameters
    )
    specs = [model.parameters[name] for name in wanted]
    settings = Settings(
        problem=Problem(model, tuple(wanted), tuple(errors)),
        fixed=tuple(values),
        errors=tuple(errors.values()),
        dt=time_step(ds),
        depths=tuple(map(float, metres)),
        bounds=tuple(_bounds(wanted[spec.name], spec) for spec in specs),
        log_scale=tuple(spec.scale == "log" for spec in specs),
        method=method,
        starts=starts,
        seed=seed,
        max_steps=max_steps,
        tolerance=tolerance,
    )
    series = [("time", "depth") if name == "SoilTemp" else ("time",) for name in errors]
    results = apply_blocks(
        _block,
        [*forcing, *observations.values(), *values.values(), *guesses],
        core_dims=[("time",)] * len(forcing) + series + [()] * (len(values) + len(guesses)),
        output_dims=[
            ("parameter",),
            ("parameter",),
            ("parameter", "parameter_"),
            (),
            (),
            (),
            ("observable",),
        ],
        output_dtypes=[np.float64] * 3 + [np.int8, np.float64, np.int32, np.float64],
        output_sizes={
            "parameter": len(wanted),
            "parameter_": len(wanted),
            "observable": len(errors),
        },
        settings=settings,
    )
    return _label(results, settings, values, specs)


def _wanted(free: str | Iterable[str] | Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Names of the free parameters and how to treat them."""
    names = [free] if isinstance(free, str) else free
    wanted = dict(names) if isinstance(names, Mapping) else {n: Parameter() for n in names}
    if not wanted:
        raise ParameterError('there is nothing to estimate: name parameters, e.g. free=["albedo"]')
    for name, treatment in wanted.items():
        if not isinstance(treatment, Parameter):
            raise ParameterError(
                f"free[{name!r}] must be an xlsm.Parameter, got {treatment!r}; a known value "
                f"belongs into fixed={{{name!r}: ...}}"
            )
    return wanted


def _values(
    wanted: Mapping[str, Parameter], fixed: Mapping[str, Any] | xr.Dataset | None, model: Model
) -> tuple[list[xr.DataArray], dict[str, xr.DataArray]]:
    """First guesses of the free parameters, and values of all others."""
    known = model.parameters
    given = {str(name): value for name, value in (fixed or {}).items()}
    if isinstance(fixed, xr.Dataset):  # an estimate: what is free now is no longer fixed
        given = {name: v for name, v in given.items() if name in known and name not in wanted}
    both = [name for name in wanted if name in given]
    if both:
        raise ParameterError(f"{', '.join(both)}: free and fixed at once; leave out one of them")
    guesses = {
        name: _guess(treatment, known[name]) if name in known else 0.0
        for name, treatment in wanted.items()
    }
    checked = parameter_values({**given, **guesses}, model)
    unused = set(wanted) - set(model.used(checked))
    if unused:
        raise ParameterError(f"{', '.join(unused)} cannot be estimated: the model does not use it")
    return (
        [checked[name] for name in wanted],
        complete({name: checked[name] for name in given}, model, wanted),
    )


def _guess(treatment: Parameter, spec: ParameterSpec) -> Any:
    """Where to start: as told, at the default, or amid the caller's bounds."""
    lower, upper = _bounds(treatment, spec)
    if treatment.initial is None:
        if lower < spec.default < upper:
            return spec.default
        return math.sqrt(lower * upper) if spec.scale == "log" else (lower + upper) / 2
    if not isinstance(treatment.initial, xr.DataArray) and not lower <= treatment.initial <= upper:
        raise ParameterError(
            f"{spec.name}: initial={treatment.initial:g} is outside bounds=({lower:g}, {upper:g})"
        )
    return treatment.initial


def _bounds(treatment: Parameter, spec: ParameterSpec) -> tuple[float, float]:
    if treatment.bounds is None:
        return spec.bounds
    lower, upper = map(float, treatment.bounds)
    if not spec.bounds[0] <= lower < upper <= spec.bounds[1]:
        raise ParameterError(
            f"{spec.name}: bounds=({lower:g}, {upper:g}) must be ordered and inside the physical "
            f"bounds, {spec.bounds[0]:g} to {spec.bounds[1]:g} {spec.units}"
        )
    return lower, upper


def _errors(
    observed: str | Iterable[str] | Mapping[str, float] | None, ds: xr.Dataset, known: set[str]
) -> dict[str, float]:
    """Find the standard errors; Qh and Qle count only where the Bowen ratio is known."""
    errors = observed_errors(observed, ds)
    parts = [name for name in ("Qh", "Qle") if name in errors and "bowen_ratio" not in known]
    if parts and observed is not None:
        raise ParameterError(
            f"{' and '.join(parts)} cannot be predicted without bowen_ratio, which splits the "
            "turbulent flux: estimate it, fix it, or observe the sum, "
            'ds["Qturb"] = ds["Qh"] + ds["Qle"]'
        )
    errors = {name: error for name, error in errors.items() if name not in parts}
    if not errors:
        raise ParameterError(
            "Qh and Qle are the only observations and cannot be predicted without bowen_ratio: "
            "estimate it or fix it"
        )
    return errors


def _method(
    method: str, starts: int, max_steps: int | None, tolerance: float | None
) -> tuple[str, int, float]:
    """Check the options of the optimiser and fill in what was left open."""
    if method == "auto":  # forward-mode Jacobians: right for the few parameters there can be
        method = "gauss_newton"
    if method not in METHODS:
        raise ModelError(f"unknown method {method!r}: expected one of auto, {', '.join(METHODS)}")
    usual_steps, usual_tolerance = LIMITS[method]
    max_steps = usual_steps if max_steps is None else max_steps
    tolerance = usual_tolerance if tolerance is None else tolerance
    for name, value in {"starts": starts, "max_steps": max_steps}.items():
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ParameterError(f"{name} must be a whole number of at least 1, got {value!r}")
    if not tolerance > 0:
        raise ParameterError(f"tolerance must be positive, got {tolerance!r}")
    return method, int(max_steps), float(tolerance)


def _block(*arrays: Any, settings: Settings, size: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Estimate one block of stations, NumPy in and out."""
    problem = settings.problem
    channels = [2 if name == "SoilTemp" else 1 for name in problem.observed]
    rest = len(settings.fixed) + len(problem.free)
    core = [1] * len(problem.model.forcing) + channels + [0] * rest
    batch, shape = to_batch(arrays, core, size)
    # the first start is the guess itself; the others lie about it, alike for every station so
    # that results do not depend on how the stations are cut into blocks
    count = len(problem.free)
    random = np.random.default_rng(settings.seed).standard_normal((settings.starts - 1, count))
    offsets = np.concatenate([np.zeros((1, count)), START_SPREAD * random])
    lanes = LANES.get(jax.default_backend(), ACCELERATOR_LANES)
    with jax.enable_x64(True):
        series = iter([jnp.asarray(values) for values in batch])
        data = Data(
            forcing={name: next(series) for name in problem.model.forcing},
            observations={
                name: values if values.ndim == 3 else values[:, None]
                for name, values in zip(problem.observed, series, strict=False)
            },
            fixed={},
            errors=dict(zip(problem.observed, map(jnp.float64, settings.errors), strict=True)),
            dt=jnp.float64(settings.dt),
            depths=jnp.array(settings.depths, dtype=float),
            lower=jnp.array([lower for lower, _ in settings.bounds]),
            upper=jnp.array([upper for _, upper in settings.bounds]),
            log_scale=jnp.array(settings.log_scale),
        )
        data = data._replace(fixed={name: next(series) for name in settings.fixed})
        estimate = invert(
            problem,
            data,
            jnp.stack(list(series)),
            jnp.asarray(offsets),
            jnp.float64(settings.tolerance),
            jnp.int64(settings.max_steps),
            method=settings.method,
            # the width decides the last bits: one for single stations, one for all batches
            lanes=1 if size * settings.starts == 1 else lanes,
        )
        return tuple(from_batch(values, shape) for values in estimate)


def _label(
    results: tuple[xr.DataArray, ...],
    settings: Settings,
    fixed: Mapping[str, xr.DataArray],
    specs: list[ParameterSpec],
) -> xr.Dataset:
    """Names, units and meanings for the numbers."""
    values, std, covariance, status, cost, iterations, residual = results
    variables: dict[str, xr.DataArray] = {}
    for i, spec in enumerate(specs):
        described = {"units": spec.units, "long_name": spec.meaning}
        variables[spec.name] = values.isel(parameter=i).assign_attrs(
            described, ancillary_variables=f"{spec.name}_std status"
        )
        variables[f"{spec.name}_std"] = std.isel(parameter=i).assign_attrs(
            units=spec.units, long_name=f"standard error of the {spec.meaning}"
        )
    known = settings.problem.model.parameters
    for name, value in fixed.items():
        variables[name] = value.assign_attrs(
            units=known[name].units, long_name=known[name].meaning, comment="fixed, not estimated"
        )
    # Zarr has a specification for strings of variable length only
    names = np.array(settings.problem.free, dtype=object)
    variables["covariance"] = covariance.assign_attrs(
        long_name="covariance of the estimated parameters",
        comment="in the product of the units of the two parameters",
    ).assign_coords(parameter=("parameter", names), parameter_=("parameter_", names))
    variables["status"] = status.assign_attrs(
        long_name="what became of the estimation",
        standard_name="status_flag",
        flag_values=np.array([s.value for s in Status], np.int8),
        flag_meanings=" ".join(s.name for s in Status),
    )
    variables["cost"] = cost.assign_attrs(
        long_name="half the sum of squared residuals over their standard errors", units="1"
    )
    variables["iterations"] = iterations.assign_attrs(
        long_name="evaluations of the model after the first", units="1"
    )
    for i, name in enumerate(settings.problem.observed):
        variables[f"residual_std_{name}"] = residual.isel(observable=i).assign_attrs(
            units=VARIABLES[name].units, long_name=f"root mean square residual of {name}"
        )
    observed = zip(settings.problem.observed, settings.errors, strict=True)
    return xr.Dataset(variables).assign_attrs(
        Conventions="CF-1.11",
        source=f"xlsm {__version__}",
        model=settings.problem.model.to_json(),
        method=settings.method,
        observed=", ".join(f"{name}={error:g}" for name, error in observed),
    )
