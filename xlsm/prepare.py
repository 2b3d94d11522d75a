"""From what a caller of an inverse verb gives to the arrays and settings its kernel takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.errors import ParameterError
from xlsm.free import Parameter, bounds_of, guess_of, values_of, wanted_of
from xlsm.guesses import with_classical_guesses
from xlsm.holdout import withheld, without
from xlsm.inference.likelihood import LIKELIHOODS, Likelihood
from xlsm.inference.problem import Problem
from xlsm.inputs import read_forcing, read_start, resolve, warn_if_shallow
from xlsm.model.model import Model
from xlsm.model.parameters import ParameterSpec
from xlsm.nuisance import operators_of
from xlsm.observation import Observation, observations_of
from xlsm.observing import refuse_undetermined, standard_errors
from xlsm.pipeline.impossible import refuse_impossible
from xlsm.pipeline.numbers import Layout
from xlsm.priors import check_middle, prior_inputs
from xlsm.series import Pieces, at_times, varies
from xlsm.simulate import model_of
from xlsm.validate import (
    check_batch_dims,
    check_depths_in_column,
    depths,
    read_variable,
    time_step,
)
from xlsm.varying import cut_in_pieces, first_width, free_values, memories
from xlsm.windows import Windows, cut

__all__ = ["Likelihoods", "Prepared", "prepare"]

Likelihoods = str | Likelihood | Mapping[str, str | Likelihood] | None


class Prepared(NamedTuple):
    """An inverse problem, ready to be cut into blocks.

    Parameters
    ----------
    layout : Layout
        What the arrays are.
    inputs : list of DataArray
        In the order `Layout` says.
    core_dims : list of tuple of str
        Core dimensions of each.
    specs : list of ParameterSpec
        Of the free parameters.
    fixed, guesses : dict of str to DataArray
        Values of the fixed and first guesses of the free parameters.
    errors : dict of str to float or DataArray
        Standard errors as they are used.
    observations : dict of str to Observation
        How each observable is compared.
    pieces : dict of str to Pieces
        Of the free parameters that vary in time.
    fitted : dict of str to DataArray
        The observations.
    """

    layout: Layout
    inputs: list[xr.DataArray]
    core_dims: list[tuple[str, ...]]
    specs: list[ParameterSpec]
    fixed: dict[str, xr.DataArray]
    guesses: dict[str, xr.DataArray]
    errors: dict[str, float | xr.DataArray]
    observations: dict[str, Observation]
    pieces: dict[str, Pieces]
    fitted: dict[str, xr.DataArray]


def prepare(
    ds: xr.Dataset,
    free: str | Iterable[str] | Mapping[str, Parameter],
    *,
    observed: str | Iterable[str] | Mapping[str, Any] | None,
    fixed: Mapping[str, Any] | xr.Dataset | None,
    model: str | Model | None,
    likelihood: Likelihoods = None,
    windows: Windows | None = None,
    held: np.ndarray[Any, Any] | None = None,
    holdout: Any = None,
    around: Mapping[str, Any] | None = None,
    stacklevel: int = 5,
) -> Prepared:
    """Read and check everything; see `xlsm.accessor.LSMAccessor.estimate`.

    Parameters
    ----------
    ds, free, observed, fixed, model, likelihood, holdout
        As in `estimate`.
    windows : Windows, optional
        Into which the record is cut.
    held : bool array, shape (time,), optional
        Times whose observations are held out, see `xlsm.holdout.held_out`.
    around : mapping of str to number or DataArray, optional
        First guesses of parameters that the observations bring with them.
    stacklevel : int, optional
        Frames up to the caller a warning should point at.

    Returns
    -------
    Prepared
    """
    model = resolve(model_of(fixed, model), ds, windows)
    wanted = with_classical_guesses(wanted_of(free), without(ds, held, windows), model)
    guesses, values = values_of(wanted, fixed, model)
    given = tuple(name for name, value in values.items() if varies(value))
    pieces = cut_in_pieces(ds, wanted, windows)
    model = model.suited([*given, *pieces])
    # windows of an earlier estimate may begin where these do, and end elsewhere
    guesses = [value.drop_vars("window_end", errors="ignore") for value in guesses]
    values = {n: value.drop_vars("window_end", errors="ignore") for n, value in values.items()}
    errors = standard_errors(observed, ds, model, {*values, *wanted})
    known = values | dict(zip(wanted, guesses, strict=True))
    warn_if_shallow(model, ds, known, windows, stacklevel)
    if not model.surface.balanced and "Qg" not in errors:
        refuse_undetermined(wanted, fixed)
    forcing, forcing_dims = read_forcing(ds, model, windows)
    start, start_dims = read_start(ds, model, windows)
    observations = {name: cut(read_variable(ds, name), windows) for name in errors}
    metres, followed = np.zeros(0), np.zeros(0, bool)
    if "SoilTemp" in observations:
        observations["SoilTemp"], metres, followed = _soil_temperatures(
            ds, model, observations["SoilTemp"]
        )
    compared = observations_of(observed, errors, ds)
    operators, nuisances = operators_of(compared, model, metres, followed, around or {})
    forgotten = memories(pieces, model, metres, operators, time_step(ds))
    specs = [model.parameters[name] for name in wanted]
    bounds = {spec.name: bounds_of(wanted[spec.name], spec) for spec in specs}
    for spec, treatment in nuisances:
        bounds[spec.name] = bounds_of(treatment, spec)
        check_middle(spec.name, treatment.prior, bounds[spec.name])
    wanted |= {spec.name: treatment for spec, treatment in nuisances}
    specs += [spec for spec, _ in nuisances]
    guesses += [xr.DataArray(guess_of(treatment, spec)) for spec, treatment in nuisances]
    places, means, stds = prior_inputs(treatment.prior for treatment in wanted.values())
    bars = [_by_channel(errors[name], name, metres) for name in errors]
    used = [cut(at_times(v, ds), windows) if name in given else v for name, v in values.items()]
    numbers = [*bars, *used, *guesses, *means, *stds]
    free, counts, series = free_values(wanted, pieces, forgotten)
    check_batch_dims([*forcing, *start, *observations.values(), *numbers], model.parameters)
    observations = withheld(observations, held, holdout, len(free))
    refuse_impossible(model, forcing, forcing_dims, dict(zip(values, used, strict=True)))
    observed_dims = [("time", "depth") if name == "SoilTemp" else ("time",) for name in errors]
    each = [(spec, count) for spec, count in zip(specs, counts, strict=True)]
    layout = Layout(
        problem=Problem(
            model,
            free,
            tuple(errors),
            _likelihoods(likelihood, errors),
            operators,
            series,
            given,
        ),
        fixed=tuple(values),
        dt=time_step(ds),
        depths=tuple(map(float, metres)),
        bounds=tuple(bounds[spec.name] for spec, count in each for _ in range(count)),
        log_scale=tuple(spec.scale == "log" for spec, count in each for _ in range(count)),
        counts=counts,
        priors=places,
        walk=tuple(first_width(wanted[one.name], model.parameters[one.name]) for one in series),
    )
    return Prepared(
        layout=layout,
        inputs=[*forcing, *start, *observations.values(), *numbers],
        core_dims=[
            *forcing_dims,
            *start_dims,
            *observed_dims,
            *(("depth",) if name == "SoilTemp" else () for name in errors),
            *(("time",) if name in given else () for name in values),
            *[()] * (len(numbers) - len(bars) - len(values)),
        ],
        specs=specs,
        fixed=values,
        guesses=dict(zip(wanted, guesses, strict=True)),
        errors=errors,
        observations=compared,
        pieces=pieces,
        fitted=observations,
    )


def _soil_temperatures(
    ds: xr.Dataset, model: Model, observed: xr.DataArray
) -> tuple[xr.DataArray, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Give the temperatures that are left to observe, their depths (m), and which are not left."""
    metres = depths(ds["SoilTemp"], "SoilTemp")
    check_depths_in_column(metres, model.layout.depth, model.layout.top)
    if "depth" not in observed.dims:
        observed = observed.expand_dims("depth", -1)
    followed = np.array([f"SoilTemp@{z!r}" in model.forcing for z in metres.tolist()])
    if followed.all():
        raise ParameterError(
            f"The model follows SoilTemp at all its depths, {metres} m, and none is left to "
            "observe: one more is needed between them"
        )
    if followed.any():  # what the model is told is no observation
        observed = observed.where(xr.DataArray(~followed, dims="depth"))
    return observed, metres, followed


def _by_channel(
    error: float | xr.DataArray, name: str, metres: np.ndarray[Any, Any]
) -> xr.DataArray:
    """Give a standard error the dimensions of its observable."""
    array = xr.DataArray(error).drop_vars("depth", errors="ignore")
    if name != "SoilTemp":
        return array
    if "depth" in array.dims:
        if array.sizes["depth"] != metres.size:
            raise ParameterError(
                f"The standard error of SoilTemp is given at {array.sizes['depth']} depths, but "
                f"SoilTemp is observed at {metres.size}: give one for each, or a number"
            )
        return array
    return array.expand_dims(depth=metres.size, axis=-1)


def _likelihoods(given: Likelihoods, observed: Iterable[str]) -> tuple[Likelihood, ...]:
    """One likelihood for each observable; none where all errors are normal."""
    if given is None:
        return ()
    names = list(observed)
    each = dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)
    for name, law in each.items():
        if name not in names:
            raise ParameterError(
                f"likelihood is given for {name!r}, which is not among the observations: "
                f"{', '.join(names)}"
            )
        if law not in LIKELIHOODS and not isinstance(law, Likelihood):
            raise ParameterError(
                f"unknown likelihood {law!r} of {name}: expected one of "
                f"{', '.join(LIKELIHOODS)}, or xlsm.Huber(...), xlsm.StudentT(...)"
            )
    laws = [each.get(name, "gaussian") for name in names]
    return tuple(LIKELIHOODS[law] if isinstance(law, str) else law for law in laws)
