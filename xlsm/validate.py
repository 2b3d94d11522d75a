"""From a Dataset to plain arrays that can be trusted, or an error that says what to do."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm.arguments import did_you_mean, parameter_values
from xlsm.axes import check_depths_in_column, depths, time_step
from xlsm.dims import check_batch_dims, check_core_dims, in_one_piece, put_together
from xlsm.errors import MissingVariableError, ParameterError
from xlsm.observation import Observation
from xlsm.units import check_plausible, convert, in_canonical_units, units_of
from xlsm.variables import OBSERVABLES, VARIABLES

__all__ = [
    "called_otherwise",
    "check_batch_dims",
    "check_core_dims",
    "check_depths_in_column",
    "check_plausible",
    "depths",
    "find_variable",
    "in_canonical_units",
    "in_one_piece",
    "observed_errors",
    "parameter_values",
    "read_variable",
    "time_step",
]


def read_variable(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Find a variable, convert its units, check its values and its dimensions.

    Parameters
    ----------
    ds : xarray.Dataset
        Unchanged.
    name : str
        A key of `xlsm.variables.VARIABLES`.

    Returns
    -------
    xarray.DataArray
        (..., time, ...), float64, canonical units, lazy if the input is; in one chunk along
        time and depth.

    Raises
    ------
    MissingVariableError, UnitsError, DimensionError
        See `find_variable`, `in_canonical_units`, `check_plausible`, `check_core_dims`.

    Examples
    --------
    >>> ds = xr.Dataset({"Tair": ("time", [20.0, 21.0], {"units": "degC"})})
    >>> read_variable(ds, "Tair").values
    array([293.15, 294.15])
    """
    da = find_variable(ds, name)
    check_core_dims(da, name)
    da = put_together(da)  # the verbs tell of it, once, see in_one_piece
    converted = in_canonical_units(da, name)
    check_plausible(converted, name)
    return converted


def find_variable(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Take a variable by its exact name.

    Parameters
    ----------
    ds : xarray.Dataset
        Where to look.
    name : str
        A key of `xlsm.variables.VARIABLES`.

    Returns
    -------
    xarray.DataArray
        As it is in ``ds``.

    Raises
    ------
    MissingVariableError
        If it is not there: names what was looked for, what is there, and near matches (by name,
        by what other conventions call it, by standard name) with the renaming that helps.

    Examples
    --------
    >>> find_variable(xr.Dataset({"TA": 293.0}), "Tair")
    Traceback (most recent call last):
    ...
    xlsm.errors.MissingVariableError: Tair is not in the Dataset ... ds.rename({'TA': 'Tair'})...
    """
    if name in ds.variables:
        return ds[name]
    variable = VARIABLES[name]
    known = f"standard_name {variable.standard_name}, " if variable.standard_name else ""
    there = [str(n) for n in ds.data_vars]
    listed = ", ".join(there[:30]) + (", ..." if len(there) > 30 else "")
    near = _near_matches(ds, name)
    if len(near) == 1:
        cure = f"If {near[0]!r} is it: ds.rename({{{near[0]!r}: {name!r}}})."
    elif near:
        cure = (
            f"Near matches are {', '.join(map(repr, near))}; if one of them is it, e.g. "
            f"ds.rename({{{near[0]!r}: {name!r}}})."
        )
    else:
        cure = f"Nothing there looks like it; add it, or ds.rename({{'your name': {name!r}}})."
    raise MissingVariableError(
        f"{name} is not in the Dataset (looked for {name!r}, {known}units {variable.units}). "
        f"There is: {listed or 'no data variable'}. {cure}"
    )


def called_otherwise(ds: xr.Dataset, name: str) -> list[str]:
    """Names in ``ds`` that are the variable ``name`` by standard name or in other conventions.

    Examples
    --------
    >>> called_otherwise(xr.Dataset({"RadT": 293.0, "Tair": 291.0}), "AvgSurfT")
    ['RadT']
    """
    variable = VARIABLES[name]
    stems = _stems(ds)
    same = [
        n
        for n in stems
        if variable.standard_name and ds[n].attrs.get("standard_name") == variable.standard_name
    ]
    # exact spelling: TS is FLUXNET's soil temperature, Ts may be anybody's surface
    return list(dict.fromkeys([*same, *(n for n, s in stems.items() if s in variable.aliases)]))


def _stems(ds: xr.Dataset) -> dict[str, str]:
    """Names that are none of our own, without what FLUXNET appends: _F, _1, _1_1_1."""
    there = [str(n) for n in ds.data_vars if n not in VARIABLES]
    return {n: re.sub(r"(_F|_\d+)+$", "", n) for n in there}


def _near_matches(ds: xr.Dataset, name: str) -> list[str]:
    """Names in ``ds`` that may be the variable ``name``, surest first; no other known name."""
    stems = _stems(ds)
    names = {alias.lower() for alias in (name, *VARIABLES[name].aliases)}
    alike = [n for n, stem in stems.items() if stem.lower() in names]
    lower = {n.lower(): n for n in stems}
    close = [lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.7)]
    return list(dict.fromkeys([*called_otherwise(ds, name), *alike, *close]))[:3]


def observed_errors(
    observed: str | Iterable[str] | Mapping[str, Any] | None, ds: xr.Dataset
) -> dict[str, float | xr.DataArray]:
    """Which variables are observations, and how far each can be trusted.

    Parameters
    ----------
    observed : str, iterable of str, mapping of str to float or Observation, or None
        Names take the default standard error of the table of variables; a mapping gives standard
        errors in canonical units, by themselves or in an `Observation`; None takes every
        observable found in ``ds`` (but not Qturb where both its parts are there: the same
        measurement would count twice).
    ds : xarray.Dataset
        Where they must be.

    Returns
    -------
    dict of str to float or DataArray
        Standard error of each, in canonical units.

    Raises
    ------
    MissingVariableError
        If a name is no observable or not in ``ds``, or none is left.
    ParameterError
        If a standard error is not a positive number.

    Examples
    --------
    >>> ds = xr.Dataset({"LWup": ("time", [400.0]), "SoilTemp": ("time", [290.0])})
    >>> observed_errors(None, ds)
    {'SoilTemp': 0.2, 'LWup': 5.0}
    >>> observed_errors({"SoilTemp": 0.1}, ds)
    {'SoilTemp': 0.1}
    """
    if observed is None:
        found = [name for name in OBSERVABLES if name in ds.variables]
        if {"Qh", "Qle", "Qturb"} <= set(found):
            found.remove("Qturb")
    elif isinstance(observed, str):
        found = [observed]
    else:
        found = [str(name) for name in observed]
    if not found:
        others = {other: name for name in OBSERVABLES for other in called_otherwise(ds, name)}
        cure = f" Rename what is one of them: ds.rename({others})." if others else ""
        raise MissingVariableError(
            f"There is nothing to fit: the Dataset holds {list(map(str, ds.data_vars))}, "
            f"observables are {', '.join(OBSERVABLES)}.{cure}"
        )
    errors = {}
    for name in found:
        if name not in OBSERVABLES:
            raise MissingVariableError(_unknown_observable(name, ds))
        find_variable(ds, name)
        given = observed[name] if isinstance(observed, Mapping) else Observation()
        if isinstance(given, Observation):
            given = VARIABLES[name].error if given.error is None else given.error
        errors[name] = _standard_error(name, given)
    return errors


def _unknown_observable(name: str, ds: xr.Dataset) -> str:
    """Say that a name is no observable, and which it may have been meant to be."""
    if name in VARIABLES:
        why = f"{name} is input of the model, not something it simulates."
    else:
        aliases = {alias: n for n in OBSERVABLES for alias in VARIABLES[n].aliases}
        why = f"{name!r} is no observable.{did_you_mean(name, OBSERVABLES, aliases)}"
        meant = [known for known in OBSERVABLES if name in called_otherwise(ds, known)]
        why += f" Then rename it: ds.rename({{{name!r}: {meant[0]!r}}})." if meant else ""
    return f"{why} Observables are {', '.join(OBSERVABLES)}."


def _standard_error(name: str, given: Any) -> float | xr.DataArray:
    units = VARIABLES[name].units
    if isinstance(given, xr.DataArray):
        own = convert(given.data, units_of(given, units), units, name=name)
        error = given.copy(data=own).astype(float)
        if "time" in error.dims:
            raise ParameterError(f"The standard error of {name} must not vary in time.")
        lazy = error.chunks is not None
        if not lazy and not bool(((error > 0) & np.isfinite(error)).all()):
            raise ParameterError(
                f"The standard error of {name} must be positive everywhere, in {units}; the "
                f"least of it is {float(error.min()):g}."
            )
        return error
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ParameterError(
            f"The standard error of {name} must be a positive number in {units}, got {given!r}."
        )
    return number
