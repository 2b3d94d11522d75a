"""Units: convert what can be converted, refuse what cannot be what it claims.

Units are parsed by pint; only spellings that pint does not know are prepared for it here.
"""

from __future__ import annotations

import functools
import re
import tokenize
from typing import Any

import numpy as np
import pint
import xarray as xr

from xlsm.errors import UnitsError
from xlsm.variables import VARIABLES

__all__ = ["check_plausible", "convert", "in_canonical_units", "likely_units", "units_of"]

# udunits writes powers as m-2, pint wants m**-2; the digits of 1e-3 are no power
_POWER = re.compile(r"(?<=[A-Za-z])(?<![0-9][eE])(?=[-+]?[0-9])")
_CELSIUS = re.compile(r"\bdeg(?:ree)?s?[ _]?C(?:elsius)?\b|\bcelsius\b|^\s*C\s*$", re.IGNORECASE)
# everything pint is known to raise for text that is no unit
_NOT_A_UNIT = (
    pint.PintError,
    tokenize.TokenError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    SyntaxError,
    TypeError,
    ValueError,
)
# mistakes people make, by canonical units: tried in this order to explain implausible values
_MISTAKEN_FOR = {
    "K": ("degC", "degF"),
    "Pa": ("hPa", "kPa"),
    "1": ("percent",),
    "kg kg-1": ("g kg-1",),
    "kg m-2 s-1": ("mm/hour", "mm/day"),
    "m s-1": ("km/hour",),
    "m": ("cm", "mm"),
    "J m-3 K-1": ("MJ m-3 K-1",),
}


@functools.cache
def _registry() -> pint.UnitRegistry[Any]:
    """Make pint's registry at first need; it is ours alone, the application's stays as it is."""
    registry: pint.UnitRegistry[Any] = pint.UnitRegistry(
        preprocessors=[
            lambda text: "1" if text.strip() == "-" else text,
            lambda text: _CELSIUS.sub("degC", text),
            lambda text: _POWER.sub("**", text),
        ]
    )
    for definition in (
        "@alias kelvin = Kelvin",
        "@alias watt = Watt",
        "mb = 100 pascal",  # pint reads millibarn
        "fraction = []",
        "unitless = []",
    ):
        registry.define(definition)
    return registry


def convert(data: Any, found: str, expected: str, *, name: str) -> Any:
    """Convert numbers from one unit to another.

    Temperatures are converted as points on the scale, not as differences. A depth of water per
    time converts to a mass flux (1 mm of water is 1 kg m-2).

    Parameters
    ----------
    data : number or array of float
        Never changed; a dask array stays lazy.
    found, expected : str
        Units, in the spelling of udunits or of pint.
    name : str
        What the numbers are, for the error.

    Returns
    -------
    number or array of float
        As ``data``.

    Raises
    ------
    UnitsError
        If ``found`` is no unit, or not one that converts to ``expected``.

    Examples
    --------
    >>> round(convert(20.0, "degC", "K", name="Tair"), 2)
    293.15
    >>> round(convert(86.4, "mm/day", "kg m-2 s-1", name="Rainf"), 6)
    0.001
    """
    registry = _registry()
    target = registry.Unit(expected)
    try:
        source = registry.Unit(found)
    except _NOT_A_UNIT as error:
        raise UnitsError(
            f"{name}: units {found!r} are not understood; expected {expected!r} or something "
            f"that converts to it. Set ds[{name!r}].attrs['units']."
        ) from error
    if expected == "kg m-2 s-1" and source.is_compatible_with("m / s"):
        source = source * registry.Unit("kg m-2 mm-1")
    if source == target:
        return data
    try:
        return registry.Quantity(data, source).to(target).magnitude
    except pint.DimensionalityError as error:
        raise UnitsError(
            f"{name}: units {found!r} cannot be converted to {expected!r}. "
            f"Correct ds[{name!r}].attrs['units'] if the label is wrong."
        ) from error


def units_of(da: xr.DataArray, default: str) -> str:
    """Units a DataArray claims; ``default`` where it has none or a blank.

    Examples
    --------
    >>> units_of(xr.DataArray(1.0), "K")
    'K'
    """
    return str(da.attrs.get("units", "")).strip() or default


def as_float(da: xr.DataArray, name: str) -> xr.DataArray:
    """Cast numbers to float64, lazily; refuse what is not a real number.

    Examples
    --------
    >>> as_float(xr.DataArray([1, 2]), "Tair").dtype
    dtype('float64')
    """
    if da.dtype.kind not in "iuf":
        raise UnitsError(f"{name} must hold real numbers, but its dtype is {da.dtype}.")
    return da.astype("float64", copy=False)


def in_canonical_units(da: xr.DataArray, name: str) -> xr.DataArray:
    """Convert a variable to float64 in the canonical units of its name.

    Parameters
    ----------
    da : xarray.DataArray
        Any shape. Its ``units`` attribute is believed; without one the canonical units are
        assumed (`check_plausible` then tells whether that can be).
    name : str
        A key of `xlsm.variables.VARIABLES`.

    Returns
    -------
    xarray.DataArray
        Same shape, lazy if ``da`` is, ``units`` set; ``da`` itself is unchanged.

    Raises
    ------
    UnitsError
        If the units cannot be converted or the values are no real numbers.

    Examples
    --------
    >>> tair = xr.DataArray([20, 25], dims="time", attrs={"units": "degC"})
    >>> in_canonical_units(tair, "Tair").values
    array([293.15, 298.15])
    """
    expected = VARIABLES[name].units
    numbers = as_float(da, name)
    converted = numbers.copy(
        data=convert(numbers.data, units_of(da, expected), expected, name=name)
    )
    return converted.assign_attrs(units=expected)


def likely_units(value: float, units: str, limits: tuple[float, float]) -> str | None:
    """Units in which a value outside its limits would be inside, or None.

    Examples
    --------
    >>> likely_units(20.0, "K", (180.0, 340.0))
    'degC'
    """
    for candidate in _MISTAKEN_FOR.get(units, ()):
        if limits[0] <= convert(value, candidate, units, name="value") <= limits[1]:
            return candidate
    return None


def check_plausible(da: xr.DataArray, name: str) -> None:
    """Refuse values that as a whole cannot be what they claim.

    The median of all finite values is held against the plausible range, so that one bad sensor
    among many does not stop a batch. Lazy data are not looked at.

    Parameters
    ----------
    da : xarray.DataArray
        In canonical units, any shape.
    name : str
        A key of `xlsm.variables.VARIABLES`.

    Raises
    ------
    UnitsError
        If the median is outside the plausible range.

    Examples
    --------
    >>> check_plausible(xr.DataArray([18.0, 20.0, 22.0], dims="time"), "Tair")
    Traceback (most recent call last):
    ...
    xlsm.errors.UnitsError: Tair cannot be in K: its median is 20 (values from 18 to 22), ...
    """
    if da.chunks is not None:
        return
    values = da.values[np.isfinite(da.values)]
    if values.size == 0:
        return
    variable = VARIABLES[name]
    lower, upper = variable.plausible
    median = float(np.median(values))
    if lower <= median <= upper:
        return
    likely = likely_units(median, variable.units, variable.plausible)
    if likely is not None:
        cause = (
            f"It looks like {likely}: set ds[{name!r}].attrs['units'] = {likely!r} "
            "and it is converted."
        )
    elif lower <= -median <= upper:
        cause = f"The sign looks reversed: {variable.long_name}."
    else:
        cause = f"Check ds[{name!r}] and its units attribute."
    raise UnitsError(
        f"{name} cannot be in {variable.units}: its median is {median:.6g} (values from "
        f"{values.min():.6g} to {values.max():.6g}), plausible is {lower:g} to {upper:g}. {cause}"
    )
