"""The inverse verb: forcing and observations in, parameters with error bars out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm._version import __version__
from xlsm.errors import ModelError, ParameterError
from xlsm.free import Parameter, bounds_of, check_whole, is_real, values_of, wanted_of
from xlsm.guesses import with_classical_guesses
from xlsm.inference.invert import METHODS, Status
from xlsm.inference.objective import Problem
from xlsm.inputs import read_forcing, read_start, resolve, warn_if_shallow
from xlsm.model.model import Model
from xlsm.model.parameters import ParameterSpec
from xlsm.observing import refuse_undetermined, standard_errors
from xlsm.pipeline.blocks import apply_blocks
from xlsm.pipeline.impossible import refuse_impossible
from xlsm.pipeline.inversion import Settings, estimate_block
from xlsm.simulate import model_of
from xlsm.validate import (
    check_batch_dims,
    check_depths_in_column,
    depths,
    read_variable,
    time_step,
)
from xlsm.variables import VARIABLES

__all__ = ["STATUS", "Task", "estimate", "fixed_parameters", "origin", "prepare"]

#: Steps and distance to the minimum (standard errors) at which a station is done.
LIMITS = {"gauss_newton": (100, 1e-8), "adam": (5000, 1e-2), "lbfgs": (500, 1e-2)}
#: Attributes of the variable ``status``.
STATUS = {
    "long_name": "what became of the estimation",
    "standard_name": "status_flag",
    "flag_values": np.array([s.value for s in Status], np.int8),
    "flag_meanings": " ".join(s.name for s in Status),
}


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
    task = prepare(ds, free, observed, fixed, model, method, starts, seed, max_steps, tolerance)
    count = len(task.specs)
    results = apply_blocks(
        estimate_block,
        task.inputs,
        core_dims=task.core_dims,
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
            "parameter": count,
            "parameter_": count,
            "observable": len(task.settings.errors),
        },
        settings=task.settings,
    )
    return _label(results, task)


class Task(NamedTuple):
    """An estimation made ready: checked arrays, and what to do with them.

    Parameters
    ----------
    inputs : list of DataArray
        Forcing, first profile, observations, fixed parameters and first guesses.
    core_dims : list of tuple of str
        Core dimensions of each.
    settings : Settings
        All but the arrays.
    fixed : dict of str to DataArray
        The parameters that are not estimated.
    specs : list of ParameterSpec
        Those that are.
    """

    inputs: list[xr.DataArray]
    core_dims: list[tuple[str, ...]]
    settings: Settings
    fixed: dict[str, xr.DataArray]
    specs: list[ParameterSpec]


def prepare(
    ds: xr.Dataset,
    free: str | Iterable[str] | Mapping[str, Parameter],
    observed: str | Iterable[str] | Mapping[str, float] | None,
    fixed: Mapping[str, Any] | xr.Dataset | None,
    model: str | Model | None,
    method: str = "auto",
    starts: int = 1,
    seed: int = 0,
    max_steps: int | None = None,
    tolerance: float | None = None,
) -> Task:
    """Read and check everything an estimation needs, and compute nothing."""
    model = resolve(model_of(fixed, model), ds)
    wanted = with_classical_guesses(wanted_of(free), ds, model)
    guesses, values = values_of(wanted, fixed, model)
    errors = standard_errors(observed, ds, model, {*values, *wanted})
    method, max_steps, tolerance = _method(method, starts, seed, max_steps, tolerance)

    warn_if_shallow(model, ds, values | dict(zip(wanted, guesses, strict=True)))
    if not model.surface.balanced and "Qg" not in errors:
        refuse_undetermined(wanted, fixed)
    forcing, forcing_dims = read_forcing(ds, model)
    start, start_dims = read_start(ds, model)
    observations = {name: read_variable(ds, name) for name in errors}
    metres = np.zeros(0)
    if "SoilTemp" in observations:
        metres = depths(ds["SoilTemp"], "SoilTemp")
        check_depths_in_column(metres, model.layout.depth, model.layout.top)
        if "depth" not in observations["SoilTemp"].dims:
            observations["SoilTemp"] = observations["SoilTemp"].expand_dims("depth", -1)
        followed = np.array([f"SoilTemp@{z!r}" in model.forcing for z in metres.tolist()])
        if followed.all():
            raise ParameterError(
                f"The model follows SoilTemp at all its depths, {metres} m, and none is left to "
                "observe: one more is needed between them"
            )
        if followed.any():  # what the model is told is no observation
            kept = xr.DataArray(~followed, dims="depth")
            observations["SoilTemp"] = observations["SoilTemp"].where(kept)
    check_batch_dims(
        [*forcing, *start, *observations.values(), *values.values(), *guesses], model.parameters
    )
    refuse_impossible(model, forcing, forcing_dims, values)
    specs = [model.parameters[name] for name in wanted]
    settings = Settings(
        problem=Problem(model, tuple(wanted), tuple(errors)),
        fixed=tuple(values),
        errors=tuple(errors.values()),
        dt=time_step(ds),
        depths=tuple(map(float, metres)),
        bounds=tuple(bounds_of(wanted[spec.name], spec) for spec in specs),
        log_scale=tuple(spec.scale == "log" for spec in specs),
        method=method,
        starts=starts,
        seed=seed,
        max_steps=max_steps,
        tolerance=tolerance,
    )
    series = [("time", "depth") if name == "SoilTemp" else ("time",) for name in errors]
    return Task(
        inputs=[*forcing, *start, *observations.values(), *values.values(), *guesses],
        core_dims=[
            *forcing_dims,
            *start_dims,
            *series,
            *[()] * (len(values) + len(guesses)),
        ],
        settings=settings,
        fixed=values,
        specs=specs,
    )


def _method(
    method: str, starts: int, seed: int, max_steps: int | None, tolerance: float | None
) -> tuple[str, int, float]:
    """Check the options of the optimiser and fill in what was left open."""
    if method == "auto":  # forward-mode Jacobians: right for the few parameters there can be
        method = "gauss_newton"
    if method not in METHODS:
        raise ModelError(f"unknown method {method!r}: expected one of auto, {', '.join(METHODS)}")
    usual_steps, usual_tolerance = LIMITS[method]
    max_steps = usual_steps if max_steps is None else max_steps
    tolerance = usual_tolerance if tolerance is None else tolerance
    check_whole("starts", starts, least=1)
    check_whole("max_steps", max_steps, least=1)
    check_whole("seed", seed, least=0)
    if not (is_real(tolerance) and tolerance > 0):
        raise ParameterError(f"tolerance must be positive, got {tolerance!r}")
    return method, int(max_steps), float(tolerance)


def _label(results: tuple[xr.DataArray, ...], task: Task) -> xr.Dataset:
    """Names, units and meanings for the numbers."""
    values, std, covariance, status, cost, iterations, residual = results
    settings = task.settings
    variables: dict[str, xr.DataArray] = {}
    for i, spec in enumerate(task.specs):
        described = {"units": spec.units, "long_name": spec.meaning}
        variables[spec.name] = values.isel(parameter=i).assign_attrs(
            described, ancillary_variables=f"{spec.name}_std status"
        )
        variables[f"{spec.name}_std"] = std.isel(parameter=i).assign_attrs(
            units=spec.units, long_name=f"standard error of the {spec.meaning}"
        )
    variables |= fixed_parameters(task)
    # Zarr has a specification for strings of variable length only
    names = np.array(settings.problem.free, dtype=object)
    variables["covariance"] = covariance.assign_attrs(
        long_name="covariance of the estimated parameters",
        comment="in the product of the units of the two parameters",
    ).assign_coords(parameter=("parameter", names), parameter_=("parameter_", names))
    variables["status"] = status.assign_attrs(STATUS)
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
    return xr.Dataset(variables).assign_attrs(origin(settings), method=settings.method)


def fixed_parameters(task: Task) -> dict[str, xr.DataArray]:
    """Give the parameters that are not estimated, as a result holds them."""
    known = task.settings.problem.model.parameters
    variables = {}
    for name, value in task.fixed.items():
        own = value if value.chunks is not None else value.copy(deep=True)
        variables[name] = own.assign_attrs(
            units=known[name].units, long_name=known[name].meaning, comment="fixed, not estimated"
        )
    return variables


def origin(settings: Settings) -> dict[str, str]:
    """Where a result comes from: the attributes of its Dataset."""
    observed = zip(settings.problem.observed, settings.errors, strict=True)
    return {
        "Conventions": "CF-1.11",
        "source": f"xlsm {__version__}",
        "model": settings.problem.model.to_json(),
        "observed": ", ".join(f"{name}={error:g}" for name, error in observed),
    }
