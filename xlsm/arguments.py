"""Parameters a caller gives: known by name, free of contradiction, inside their bounds."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xlsm.errors import ParameterError
from xlsm.units import convert, likely_units, units_of

if TYPE_CHECKING:
    from xlsm.model.model import Model
    from xlsm.model.parameters import ParameterSpec

__all__ = ["did_you_mean", "parameter_values"]

# what the literature and other models call the parameters; case matters for H and h
_ALIASES = {
    "H": "combined_transfer_coefficient",
    "h": "heat_transfer_coefficient",
    "C": "heat_capacity",
    "Cv": "heat_capacity",
    "alpha": "albedo",
    "beta": "bowen_ratio",
    "bowen": "bowen_ratio",
    "conductivity": "thermal_conductivity",
    "eps": "emissivity",
    "epsilon": "emissivity",
    "emiss": "emissivity",
    "k": "thermal_conductivity",
    "kappa": "thermal_diffusivity",
    "diffusivity": "thermal_diffusivity",
    "lam": "thermal_conductivity",
    "lambda": "thermal_conductivity",
    "lambda_": "thermal_conductivity",
    "T_deep": "deep_temperature",
    "Tdeep": "deep_temperature",
    "T_init": "initial_temperature",
    "T0": "initial_temperature",
}


def parameter_values(
    given: Mapping[str, Any] | xr.Dataset | None, model: Model
) -> dict[str, xr.DataArray]:
    """Check parameters a caller gives and put them into canonical units.

    Parameters
    ----------
    given : mapping of str to number or DataArray, or Dataset, or None
        Numbers are in canonical units; a DataArray may carry other ``units``, any batch
        dimensions, and one of time, see `xlsm.series.at_times`. Of a Dataset, e.g. an estimate,
        the data variables named as parameters are taken and the others left.
    model : Model
        Whose parameters they are.

    Returns
    -------
    dict of str to xarray.DataArray
        Those given and no others; float64, canonical units, lazy where the input is. NaN passes.

    Raises
    ------
    ParameterError
        If a name is unknown, names contradict each other, or a value is no number, outside its
        bounds or varies with depth.
    UnitsError
        If the units of a DataArray cannot be converted.

    Examples
    --------
    >>> import xlsm
    >>> model = xlsm.models.get(None)
    >>> float(parameter_values({"albedo": 0.2}, model)["albedo"])
    0.2
    >>> parameter_values({"lambda": 0.8}, model)
    Traceback (most recent call last):
    ...
    xlsm.errors.ParameterError: 'lambda' is no parameter ... Did you mean 'thermal_conductivity'?...
    """
    if given is None:
        return {}
    items: dict[str, Any] = {str(name): value for name, value in given.items()}
    if isinstance(given, xr.Dataset):
        items = {name: value for name, value in items.items() if name in model.parameters}
        if not items:
            raise ParameterError(
                f"The Dataset of parameters has none: it holds {list(map(str, given))}, "
                f"parameters are {', '.join(model.parameters)}."
            )
    for name in items:
        if name not in model.parameters:
            raise ParameterError(_unknown_parameter(name, model))
    model.used(items)  # raises ParameterError where the names contradict each other
    return {
        name: _parameter_value(value, model.parameters[name]).rename(name)
        for name, value in items.items()
    }


def _unknown_parameter(name: str, model: Model) -> str:
    """Say that a name is no parameter, and which it may have been meant to be."""
    symbols = {spec.symbol: known for known, spec in model.parameters.items()}
    hint = did_you_mean(name, model.parameters, {**_ALIASES, **symbols})
    return (
        f"{name!r} is no parameter of the model.{hint} "
        f"Parameters are {', '.join(model.parameters)}."
    )


def did_you_mean(name: str, known: Iterable[str], aliases: Mapping[str, str]) -> str:
    """Suggest known names for a wrong one: by alias if there is one, else by spelling.

    Examples
    --------
    >>> did_you_mean("Albeda", ["albedo", "emissivity"], {})
    " Did you mean 'albedo'?"
    >>> did_you_mean("xyz", ["albedo"], {})
    ''
    """
    lower = {k.lower(): k for k in known}
    folded = {a.lower(): k for a, k in aliases.items()}
    alias = aliases.get(name) or folded.get(name.lower())  # exact first: H is not h
    if alias in lower.values():
        names = [alias]
    else:
        near = difflib.get_close_matches(name.lower(), lower, n=2, cutoff=0.5)
        names = [lower[n] for n in near]
    return f" Did you mean {' or '.join(map(repr, names))}?" if names else ""


def _parameter_value(value: Any, spec: ParameterSpec) -> xr.DataArray:
    """Check one value and convert it to a float64 DataArray in canonical units."""
    da = value if isinstance(value, xr.DataArray) else _scalar(value, spec.name)
    if da.dtype.kind not in "iuf":
        raise ParameterError(f"{spec.name} must be a number, got dtype {da.dtype}.")
    if "depth" in da.dims:
        raise ParameterError(
            f"{spec.name} varies with 'depth', but the soil is uniform over depth; average it, "
            f"{spec.name}.mean('depth'), or select one."
        )
    numbers = da.astype("float64", copy=False)
    data = convert(numbers.data, units_of(da, spec.units), spec.units, name=spec.name)
    converted = numbers.copy(data=data).assign_attrs(units=spec.units)
    _check_bounds(converted, spec)
    return converted


def _scalar(value: Any, name: str) -> xr.DataArray:
    """Wrap a plain number; an array without dimension names is refused."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ParameterError(f"{name} must be a number or a DataArray, got {value!r}.")
    if array.ndim:
        raise ParameterError(
            f"{name} is an array of shape {array.shape} without dimension names; "
            f"give xr.DataArray({name}, dims='station') or whatever the dimension is."
        )
    return xr.DataArray(array)


def _check_bounds(da: xr.DataArray, spec: ParameterSpec) -> None:
    """Refuse values outside the physical bounds; NaN passes, lazy values are not looked at."""
    if da.chunks is not None:
        return
    lower, upper = spec.bounds
    outside = da.values[(da.values < lower) | (da.values > upper)]
    if outside.size == 0:
        return
    worst = float(outside.flat[0])
    what = f"{worst:g}"
    if da.size > 1:
        what += f" (and {outside.size - 1} more of {da.size} values)" if outside.size > 1 else ""
    likely = likely_units(worst, spec.units, spec.bounds)
    units = "" if spec.units == "1" else f" {spec.units}"
    hint = f" If it is in {likely}, convert it." if likely else ""
    raise ParameterError(
        f"{spec.name} = {what} is outside its bounds, {lower:g} to {upper:g}{units}. It is the "
        f"{spec.meaning}.{hint}"
    )
