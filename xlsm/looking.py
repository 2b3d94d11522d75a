"""What the data can tell about parameters: read, looked at, and labelled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.candidates import Candidates, count_channels, with_candidates
from xlsm.errors import ParameterError
from xlsm.free import Parameter, refuse_series, wanted_of
from xlsm.holdout import as_written, held_out
from xlsm.inputs import resolve
from xlsm.model.model import Model
from xlsm.nuisance import EDDY, is_nuisance
from xlsm.observation import Observation, from_text, observations_of
from xlsm.observing import standard_errors
from xlsm.pipeline.appraisal import Settings, sensitivity_block
from xlsm.pipeline.blocks import apply_blocks
from xlsm.prepare import prepare
from xlsm.series import varies
from xlsm.simulate import complete, model_of
from xlsm.validate import depths, find_variable, parameter_values
from xlsm.variables import VARIABLES
from xlsm.windows import windows_of_estimate

__all__ = ["Found", "Observed", "diagonal", "look", "observed_by"]

Observed = str | Iterable[str] | Mapping[str, Any] | None


class Found(NamedTuple):
    """What the kernel said, with names."""

    model: Model
    observed: str
    units: list[str]
    has_size: xr.DataArray
    values: xr.DataArray
    std: xr.DataArray
    correlation: xr.DataArray
    resolution: xr.DataArray
    singular: xr.DataArray
    directions: xr.DataArray
    structural: xr.DataArray
    worth: xr.DataArray


def look(
    ds: xr.Dataset,
    parameters: Mapping[str, Any] | xr.Dataset,
    free: Any,
    observed: Observed,
    model: str | Model | None,
    candidates: Candidates,
) -> Found:
    """Read everything, look at the sensitivities, and put names on them."""
    windows, holdout = None, None
    if isinstance(parameters, xr.Dataset):  # what an estimate has not seen tells it nothing
        ds, windows = windows_of_estimate(ds, parameters)
        holdout = as_written(parameters.attrs.get("holdout"))
    held = held_out(ds, holdout, windows)
    model = resolve(model_of(parameters, model), ds, windows)
    around = {str(n): given for n, given in parameters.items() if is_nuisance(str(n))}
    if not isinstance(parameters, xr.Dataset):
        parameters = {n: given for n, given in parameters.items() if n not in around}
    values = parameter_values(parameters, model)
    treatments = _free(free, parameters, values)
    refuse_series(treatments, "identifiability")
    for name in treatments:
        if name in values and varies(values[name]):
            raise ParameterError(
                f"identifiability looks at parameters that are constant in time, and {name} is "
                "not: leave it out of free=, and it is held at its values"
            )
    missing = [name for name in treatments if name not in values]
    if missing:
        raise ParameterError(
            f"{', '.join(missing)}: free, but without a value to look at. Give one in parameters"
        )
    wanted = {
        name: dataclasses.replace(treatment, initial=values[name])
        for name, treatment in treatments.items()
    }
    fixed = {name: value for name, value in values.items() if name not in wanted}
    known = set(complete(values, model)) | set(values)
    if observed is None and isinstance(parameters, xr.Dataset) and "observed" in parameters.attrs:
        observed = observed_by(parameters)
    errors = standard_errors(observed, ds, model, known)
    anywhere = {n: v.median("window") if "window" in v.dims else v for n, v in values.items()}
    planned, all_errors, labels = with_candidates(ds, anywhere, model, errors, candidates, known)
    compared = observations_of(observed, errors, ds)
    channels = _channels(compared, all_errors, ds, planned)
    ready = prepare(
        planned,
        wanted,
        observed=channels,
        fixed=fixed,
        model=model,
        windows=windows,
        held=held,
        holdout=holdout,
        around=around,
        stacklevel=6,
    )
    layout = ready.layout
    there = [label is None for label in labels]
    count = len(ready.specs)
    names = [label for label in labels if label is not None]
    results = apply_blocks(
        sensitivity_block,
        ready.inputs,
        core_dims=ready.core_dims,
        output_dims=[
            ("parameter",),
            ("combination",),
            ("combination", "parameter"),
            ("combination",),
            ("parameter", "parameter_"),
            ("parameter", "parameter_"),
            ("candidate", "parameter"),
        ],
        output_dtypes=[np.float64, np.float64, np.float64, bool, *[np.float64] * 3],
        output_sizes={
            "parameter": count,
            "parameter_": count,
            "combination": count,
            "candidate": len(names),
        },
        settings=Settings(layout, tuple(there)),
    )
    # strings of variable length, which Zarr has a specification for
    axes = {
        "parameter": np.array(layout.problem.free, dtype=object),
        "parameter_": np.array(layout.problem.free, dtype=object),
        "candidate": np.array(names, dtype=object),
    }
    labelled = [
        array.assign_coords({dim: (dim, axes[dim]) for dim in array.dims if dim in axes})
        for array in results
    ]
    here, singular, directions, structural, resolution, covariance, worth = labelled
    natural: xr.DataArray = diagonal(covariance) ** 0.5
    log = xr.DataArray([spec.scale == "log" for spec in ready.specs], dims="parameter")
    to_units = xr.where(log, here, 1.0)
    both = natural * natural.rename(parameter="parameter_")
    return Found(
        model=model,
        observed=_said(errors, ds, compared),
        units=[spec.units for spec in ready.specs],
        # what is zero where all is as stated has no size to compare an error with
        has_size=xr.DataArray([spec.default != 0 for spec in ready.specs], dims="parameter"),
        values=here,
        std=(natural * to_units).transpose(*here.dims),
        correlation=(covariance / both).transpose(*covariance.dims),
        resolution=resolution,
        singular=singular,
        directions=directions,
        structural=structural,
        worth=(worth * to_units).transpose(*worth.dims),
    )


def _free(
    free: Any, parameters: Mapping[str, Any] | xr.Dataset, values: Mapping[str, Any]
) -> dict[str, Parameter]:
    """Take those asked for; else those an estimate was made of; else all that are given."""
    if free is not None:
        return wanted_of(free)
    if isinstance(parameters, xr.Dataset) and "parameter" in parameters.coords:
        names = [str(name) for name in parameters["parameter"].values]
        return wanted_of([name for name in names if not is_nuisance(name)])
    return wanted_of(list(values))


def observed_by(est: xr.Dataset) -> dict[str, Observation]:
    """Read what an estimate was fitted to."""
    found: dict[str, Observation] = {}
    told = from_text(est.attrs.get("observations", ""))
    for part in est.attrs["observed"].split(", "):
        name, _, error = part.partition("=")
        own = f"standard_error_{name}"
        options = {"mean": False, **told.get(name, {})}
        found[name] = Observation(est[own] if own in est else float(error), **options)
    return found


def _channels(
    compared: Mapping[str, Observation],
    errors: Mapping[str, Any],
    ds: xr.Dataset,
    planned: xr.Dataset,
) -> dict[str, Observation]:
    """Say how all that is or might be observed is compared."""
    closure = next((one.closure for one in compared.values() if one.closure), None)
    channels = {}
    for name, error in errors.items():
        one = compared.get(name, Observation(closure=closure if name in EDDY else None))
        metres: Any = one.depth_error
        if name == "SoilTemp" and name in compared and metres:
            # further thermometers are where they are planned to be
            now, then = count_channels(ds, [name]), count_channels(planned, [name])
            each = metres if isinstance(metres, tuple) else (metres,) * now
            metres = (*each, *[0.0] * (then - now))
        channels[name] = dataclasses.replace(one, error=error, depth_error=metres)
    return channels


def _said(errors: Mapping[str, Any], ds: xr.Dataset, compared: Mapping[str, Observation]) -> str:
    """Say what is observed, for an attribute and for the words."""
    parts = []
    for name, error in errors.items():
        units = VARIABLES[name].units
        if name == "SoilTemp":
            name = f"SoilTemp at {_places(find_variable(ds, name))} m"
        elif compared[name].depth is not None:
            name = f"{name} at {compared[name].depth:g} m"
        size = f"{error:g} {units}" if isinstance(error, float | int) else "errors as given"
        parts.append(f"{name} ({size})")
    return ", ".join(parts)


def _places(soil: xr.DataArray) -> str:
    """List the depths at which there is anything, as far as that is known."""
    metres = depths(soil, "SoilTemp")
    if soil.chunks is None and "depth" in soil.dims:
        there = soil.notnull().any([dim for dim in soil.dims if dim != "depth"]).values
        metres = metres[there] if there.any() else metres
    return ", ".join(f"{z:g}" for z in metres)


def diagonal(matrix: xr.DataArray) -> xr.DataArray:
    """Take the diagonal of (..., parameter, parameter_), lazy where it is."""
    same = matrix["parameter"] == matrix["parameter_"]
    return matrix.where(same, 0.0).sum("parameter_", skipna=False)
