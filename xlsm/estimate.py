"""The inverse verb: forcing and observations in, parameters with error bars out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm._version import __version__
from xlsm.errors import DoubtfulWarning, ModelError, ParameterError
from xlsm.free import Parameter, check_whole, is_real, wanted_of
from xlsm.holdout import held_out
from xlsm.inference.invert import ERROR_BARS, METHODS, Status
from xlsm.judge import judged
from xlsm.model.model import Model
from xlsm.notices import estimate_notice, notify
from xlsm.observation import as_text
from xlsm.observing import refuse_too_few, refuse_unseen
from xlsm.pipeline.blocks import apply_blocks
from xlsm.pipeline.inversion import Settings, estimate_block
from xlsm.prepare import Likelihoods, Prepared, prepare
from xlsm.validate import in_one_piece
from xlsm.variables import VARIABLES
from xlsm.verdict import doubts, with_verdict
from xlsm.windows import windows_of

__all__ = ["LIMITS", "STATUS", "VARIES", "estimate", "fixed_parameters", "origin"]

#: Dimensions of what the kernel gives: the free values, and those of parameters in time.
VALUE, SERIES = "_value", "_series"
#: What the attribute ``observed`` says of a standard error that is a variable of its own.
VARIES = "varies"

#: What is told of the residuals of each observable: name, units (or its own), meaning.
DIAGNOSTICS = (
    ("residual_std", None, "root mean square residual of {}"),
    ("chi_square", "1", "mean square residual of {} over the square of its standard error"),
    ("autocorrelation", "1", "correlation of a residual of {} with the one observed before it"),
    ("daily_share", "1", "part of the variance of residuals of {} that follows the hour of day"),
)
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
    observed: str | Iterable[str] | Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | xr.Dataset | None = None,
    model: str | Model | None = None,
    likelihood: Likelihoods = None,
    method: str = "auto",
    error_bars: str = "adjusted",
    starts: int = 1,
    seed: int = 0,
    max_steps: int | None = None,
    tolerance: float | None = None,
    window: Any = None,
    step: Any = None,
    holdout: Any = None,
) -> xr.Dataset:
    """Estimate parameters; see `xlsm.accessor.LSMAccessor.estimate`."""
    method, max_steps, tolerance = _method(method, starts, seed, max_steps, tolerance)
    if error_bars not in ERROR_BARS:
        raise ModelError(
            f"unknown error_bars {error_bars!r}: expected one of {', '.join(ERROR_BARS)}"
        )
    ds = in_one_piece(ds)
    windows = windows_of(ds, window, step)
    held = held_out(ds, holdout, windows)
    wanted = wanted_of(free)
    ready = prepare(
        ds,
        wanted,
        observed=observed,
        fixed=fixed,
        model=model,
        likelihood=likelihood,
        windows=windows,
        held=held,
        holdout=holdout,
    )
    model = ready.layout.problem.model
    refuse_unseen(wanted, ready.errors, ready.fixed, model)
    refuse_too_few(ready.fitted, ready.layout)
    settings = Settings(
        layout=ready.layout,
        method=method,
        error_bars=error_bars,
        starts=starts,
        seed=seed,
        max_steps=max_steps,
        tolerance=tolerance,
    )
    constants = [spec.name for spec in ready.specs if spec.name not in ready.pieces]
    results = apply_blocks(
        estimate_block,
        ready.inputs,
        core_dims=ready.core_dims,
        output_dims=[
            (VALUE,),
            (VALUE,),
            ("parameter", "parameter_"),
            (),
            (),
            (),
            *[("observable",)] * 4,
            (VALUE,),
            (SERIES,),
            (),
        ],
        output_dtypes=[
            *[np.float64] * 3,
            np.int8,
            np.float64,
            np.int32,
            *[np.float64] * 6,
            np.int16,
        ],
        output_sizes={
            VALUE: len(ready.layout.problem.free),
            "parameter": len(constants),
            "parameter_": len(constants),
            "observable": len(ready.errors),
            SERIES: len(ready.pieces),
        },
        settings=settings,
        blanks={3: Status.raised},
    )
    est = judged(_label(results, settings, ready), ds, model, holdout, held, windows)
    notify(estimate_notice(est))
    notify(doubts(est, list(ready.errors), ready.specs), DoubtfulWarning)
    return est


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


def _label(
    results: tuple[xr.DataArray, ...],
    settings: Settings,
    ready: Prepared,
) -> xr.Dataset:
    """Names, units and meanings for the numbers."""
    values, std, covariance, status, cost, iterations, *by_observable, spread, walk, flags = results
    variables: dict[str, xr.DataArray] = {}
    for spec in ready.specs:
        described = {"units": spec.units, "long_name": spec.meaning}
        variables[spec.name] = own_values(values, spec.name, ready).assign_attrs(
            described, ancillary_variables=f"{spec.name}_std status"
        )
        variables[f"{spec.name}_std"] = own_values(std, spec.name, ready).assign_attrs(
            units=spec.units, long_name=f"standard error of the {spec.meaning}"
        )
    variables |= fixed_parameters(ready)
    problem = ready.layout.problem
    for i, one in enumerate(problem.series):
        if one.estimated:
            variables[f"{one.name}_smooth"] = walk.isel({SERIES: i}).assign_attrs(
                _about_walk(ready, one.name)
            )
    # Zarr has a specification for strings of variable length only
    constants = [spec.name for spec in ready.specs if spec.name not in ready.pieces]
    names = np.array(constants, dtype=object)
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
    for i, name in enumerate(problem.observed):
        for (variable, units, meaning), numbers in zip(DIAGNOSTICS, by_observable, strict=True):
            variables[f"{variable}_{name}"] = numbers.isel(observable=i).assign_attrs(
                units=units or VARIABLES[name].units, long_name=meaning.format(name)
            )
        error = ready.errors[name]
        if isinstance(error, xr.DataArray):
            variables[f"standard_error_{name}"] = error.assign_attrs(
                units=VARIABLES[name].units, long_name=f"stated standard error of {name}"
            )
    variables["flags"] = flags
    if settings.starts > 1:
        # it has no place for values in time
        first = [problem.owners.index(name) for name in constants]
        variables["convergence_spread"] = (
            spread.isel({VALUE: first})
            .rename({VALUE: "parameter"})
            .assign_attrs(
                long_name="standard deviation over the starts that converged",
                comment="says how many minima there are, not how uncertain a parameter is",
            )
        )
    result = xr.Dataset(variables).assign_attrs(
        origin(ready), method=settings.method, error_bars=settings.error_bars
    )
    return with_verdict(result, problem.observed, ready.specs)


def own_values(values: xr.DataArray, name: str, ready: Prepared) -> xr.DataArray:
    """Take those of one parameter, along its dimension of time if it has one."""
    owners = ready.layout.problem.owners
    first = owners.index(name)
    pieces = ready.pieces.get(name)
    if pieces is None:
        return values.isel({VALUE: first})
    kind = "the values at these times, linear between them" if pieces.linear else "start of pieces"
    label = xr.Variable(pieces.dim, pieces.labels, {"long_name": f"time of a value: {kind}"})
    own = values.isel({VALUE: slice(first, first + owners.count(name))})
    return own.rename({VALUE: pieces.dim}).assign_coords({pieces.dim: label})


def _about_walk(ready: Prepared, name: str) -> dict[str, str]:
    """Describe the estimated strength of a random walk."""
    spec = next(spec for spec in ready.specs if spec.name == name)
    log = spec.scale == "log"
    return {
        "long_name": "standard deviation of the change from one value to the next of the "
        + ("logarithm of the " if log else "")
        + spec.meaning,
        "units": "1" if log else spec.units,
    }


def fixed_parameters(ready: Prepared) -> dict[str, xr.DataArray]:
    """Give the parameters that are not estimated, as a result holds them."""
    known = ready.layout.problem.model.parameters
    variables = {}
    for name, value in ready.fixed.items():
        own = value if value.chunks is not None else value.copy(deep=True)
        variables[name] = own.assign_attrs(
            units=known[name].units, long_name=known[name].meaning, comment="fixed, not estimated"
        )
    return variables


def origin(ready: Prepared) -> dict[str, str]:
    """Say where a result comes from: the attributes of its Dataset."""
    told = as_text(ready.observations)
    return {
        **({"observations": told} if told else {}),
        "Conventions": "CF-1.11",
        "source": f"xlsm {__version__}",
        "model": ready.layout.problem.model.to_json(),
        "observed": ", ".join(
            f"{name}={VARIES if isinstance(error, xr.DataArray) else format(error, 'g')}"
            for name, error in ready.errors.items()
        ),
    }
