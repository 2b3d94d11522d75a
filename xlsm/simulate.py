"""The forward verb: forcing and parameters in, soil temperatures and fluxes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from xlsm import models
from xlsm._version import __version__
from xlsm.arguments import did_you_mean
from xlsm.errors import DimensionError, MissingVariableError, ParameterError
from xlsm.inputs import read_forcing, read_start, resolve, warn_if_shallow
from xlsm.model.batch import run_batch
from xlsm.model.model import Model
from xlsm.notices import gap_notice, notify
from xlsm.pipeline.blocks import (
    apply_blocks,
    from_batch,
    leading_core,
    outside_is_nan,
    unpack,
)
from xlsm.pipeline.impossible import impossible, refuse_impossible
from xlsm.pipeline.lengths import After, Plan, by_length
from xlsm.series import at_times, varies
from xlsm.validate import (
    check_batch_dims,
    check_depths_in_column,
    depths,
    in_one_piece,
    parameter_values,
    time_step,
)
from xlsm.variables import OBSERVABLES, attributes
from xlsm.windows import Windows, cut

__all__ = ["complete", "model_of", "run", "simulate"]

#: Depths (m) simulated where neither the caller nor the Dataset names any.
USUAL_DEPTHS = (0.0, 0.05, 0.1, 0.2, 0.5)
#: Stations whose states fit into a core's cache together.
LANES = 64


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a block needs to know beside its numbers; hashable and picklable."""

    model: Model
    parameters: tuple[str, ...]
    series: frozenset[str]
    outputs: tuple[str, ...]
    depths: tuple[float, ...]
    dt: float


def simulate(
    ds: xr.Dataset,
    parameters: Mapping[str, Any] | xr.Dataset | None = None,
    *,
    model: str | Model | None = None,
    depth: Any = None,
    outputs: str | Iterable[str] | None = None,
) -> xr.Dataset:
    """Run the model; see `xlsm.accessor.LSMAccessor.simulate`."""
    ds = in_one_piece(ds)
    model = resolve(model_of(parameters, model), ds)
    values = complete(parameter_values(parameters, model), model)
    metres = _depths(ds, depth, model)
    names = _outputs(outputs, model, values)
    warn_if_shallow(model, ds, values)
    return run(ds, model, values, names, metres)


def run(
    ds: xr.Dataset,
    model: Model,
    values: Mapping[str, xr.DataArray],
    names: tuple[str, ...],
    metres: np.ndarray[Any, Any],
    windows: Windows | None = None,
) -> xr.Dataset:
    """Run a model over a record, or over windows of it.

    Parameters
    ----------
    ds : Dataset
        With the forcing.
    model : Model
        Resolved.
    values : mapping of str to DataArray
        All its parameters; those that vary in time as `xlsm.series.at_times` takes them.
    names : tuple of str
        What to give.
    metres : array, shape (depth,)
        Depths (m) of SoilTemp.
    windows : Windows, optional
        Each starts from its own initial state.

    Returns
    -------
    Dataset
        (..., time, ...), in windows (..., window, time, ...), where time has no labels.
    """
    series = frozenset(name for name, value in values.items() if varies(value))
    values = {
        name: cut(at_times(v, ds), windows) if name in series else v for name, v in values.items()
    }
    model = model.suited(series)
    settings = Settings(
        model, tuple(values), series, names, tuple(map(float, metres)), time_step(ds)
    )
    forcing, forcing_dims = read_forcing(ds, model, windows)
    start, start_dims = read_start(ds, model, windows)
    check_batch_dims([*forcing, *start, *values.values()], model.parameters)
    refuse_impossible(model, forcing, forcing_dims, values)
    output_dims = [("time", "depth") if name == "SoilTemp" else ("time",) for name in names]
    arrays = apply_blocks(
        _block,
        [*forcing, *start, *values.values()],
        core_dims=[
            *forcing_dims,
            *start_dims,
            *(("time",) if name in series else () for name in values),
        ],
        output_dims=output_dims,
        output_dtypes=[np.float64] * len(names),
        output_sizes={"depth": len(metres)} if "SoilTemp" in names else {},
        settings=settings,
    )
    if all(array.chunks is None for array in arrays):
        notify(gap_notice(model, forcing), stacklevel=5)
    result = xr.Dataset(
        {
            name: array.assign_attrs(attributes(name), cell_methods="time: point")
            for name, array in zip(names, arrays, strict=True)
        }
    )
    if "SoilTemp" in names:
        result = result.assign_coords(depth=("depth", metres, attributes("depth")))
    return result.assign_attrs(
        Conventions="CF-1.11", source=f"xlsm {__version__}", model=model.to_json()
    )


def model_of(parameters: object, model: str | Model | None) -> Model:
    """Take the model asked for; else the one an estimate was made with; else the default."""
    if model is None and isinstance(parameters, xr.Dataset) and "model" in parameters.attrs:
        return Model.from_json(parameters.attrs["model"])
    return models.get(model)


def complete(
    values: Mapping[str, xr.DataArray], model: Model, free: Iterable[str] = ()
) -> dict[str, xr.DataArray]:
    """All parameters of a run but the free ones, with defaults for those not given."""
    free = tuple(free)
    return {
        name: values[name] if name in values else xr.DataArray(model.parameters[name].default)
        for name in model.used({*values, *free})
        if name not in free
    }


def _depths(ds: xr.Dataset, depth: Any, model: Model) -> np.ndarray[Any, Any]:
    if depth is None and "SoilTemp" in ds.variables and "depth" in ds["SoilTemp"].coords:
        metres = depths(ds["SoilTemp"], "SoilTemp")
    elif depth is None:
        grid = model.layout
        metres = np.array([z for z in USUAL_DEPTHS if grid.top <= z <= grid.depth])
    else:
        units = depth.attrs if isinstance(depth, xr.DataArray) else {}
        values = np.atleast_1d(depth)
        if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iuf":
            raise DimensionError(
                f"depth must be a number or a list of numbers (m, positive down), got {depth!r}"
            )
        named = xr.DataArray(np.zeros(values.shape), dims="depth")
        metres = depths(named.assign_coords(depth=("depth", values, units)), "depth=")
    check_depths_in_column(metres, model.layout.depth, model.layout.top)
    return metres


def _outputs(
    outputs: str | Iterable[str] | None, model: Model, values: Iterable[str]
) -> tuple[str, ...]:
    """Names of the outputs asked for, in the order of the table by default."""
    known = model.outputs(tuple(values))
    if outputs is None:
        left_out = "Qturb" if "Qh" in known else None
        return tuple(name for name in known if name != left_out)
    names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    if not names:
        raise MissingVariableError(f"no output asked for: name some of {', '.join(known)}")
    for name in names:
        if name not in OBSERVABLES:
            raise MissingVariableError(
                f"{name!r} is no output of the model.{did_you_mean(name, OBSERVABLES, {})} "
                f"Outputs are {', '.join(known)}."
            )
        if name in ("Qh", "Qle") and "Qturb" in known and name not in known:
            raise ParameterError(
                f"{name} needs the parameter bowen_ratio, which splits the turbulent flux; give "
                "it, or ask for the sum, Qturb."
            )
        if name not in known:
            raise MissingVariableError(
                f"{name} is not simulated by a model whose surface is "
                f"{type(model.surface).__name__}: it gives {', '.join(known)}."
            )
    return names


def _block(*arrays: Any, settings: Settings, size: int) -> Any:
    """Simulate one block of stations, NumPy in and out."""

    def some(arrays: Sequence[Any], size: int) -> tuple[np.ndarray[Any, Any], ...]:
        return _simulate(arrays, settings, size)

    leading = leading_core(settings.model)
    varies_in_time = [name in settings.series for name in settings.parameters]
    after: list[After] = ["same"] * len(leading)
    after += ["same" if one else None for one in varies_in_time]
    plan = Plan(settings.model, [*leading, *map(int, varies_in_time)], after, in_time=True)
    blocks = by_length(some, arrays, plan, size, _lanes)
    return blocks if len(blocks) > 1 else blocks[0]


def _lanes(size: int) -> int:
    """Count the stations that go through time together."""
    return min(LANES, size)


def _simulate(
    arrays: Sequence[Any], settings: Settings, size: int
) -> tuple[np.ndarray[Any, Any], ...]:
    """Simulate the stations of a block whose records begin together."""
    model = settings.model
    lanes = _lanes(size)
    core = [int(name in settings.series) for name in settings.parameters]
    numbers = unpack(arrays, model, core, -(-size // lanes) * lanes)
    values = {
        name: outside_is_nan(given, model.parameters[name])
        for name, given in zip(settings.parameters, numbers.rest, strict=True)
    }
    constant = {name: given for name, given in values.items() if name not in settings.series}
    wrong = impossible(model, numbers.forcing, constant, numbers.bad.size)
    values = {name: np.where(wrong, np.nan, given) for name, given in values.items()}
    with jax.enable_x64(True):
        result = run_batch(
            model,
            settings.outputs,
            lanes,
            {name: values[name] for name in constant},
            numbers.forcing,
            numbers.start,
            np.float64(settings.dt),
            np.array(settings.depths),
            {name: values[name] for name in values if name in settings.series},
        )
        return tuple(from_batch(result[name], numbers.shape) for name in settings.outputs)
