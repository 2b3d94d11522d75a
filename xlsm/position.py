"""Where on the earth a Dataset is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import xarray as xr

from xlsm.errors import DimensionError, MissingVariableError, UnitsError
from xlsm.units import as_float, units_of

__all__ = ["read_position"]

# names it goes by, letters that end its CF units, limits (degrees), an example for the error
_POSITION: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[float, float], float]] = {
    "latitude": (("latitude", "lat", "xlat", "nav_lat"), ("north", "n"), (-90.0, 90.0), 40.0),
    "longitude": (("longitude", "lon", "xlong", "nav_lon"), ("east", "e"), (-180.0, 360.0), -88.3),
}
_DEGREES = ("", "degree", "degrees", "deg", "°")


def read_position(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Latitude and longitude of a Dataset.

    Parameters
    ----------
    ds : Dataset
        They are known by name (``latitude``, ``lat``, ``XLAT``, ``nav_lat``, ...), else by
        ``standard_name``, else by their CF units (``degrees_north``, ``degrees_east``).

    Returns
    -------
    latitude, longitude : DataArray
        Batch dimensions only, degrees, float64; chunked where ``ds`` is, so that what is
        computed from them and the time is lazy.

    Raises
    ------
    MissingVariableError
        If one is not there, or there is more than one candidate; says what to add.
    DimensionError
        If one changes in time.
    UnitsError
        If one is not in degrees, or outside what is possible.

    Examples
    --------
    >>> read_position(xr.Dataset(coords={"lat": 40.0, "lon": -88.3}))[0].item()
    40.0
    """
    latitude, longitude = (_checked(_find(ds, name), name) for name in _POSITION)
    return _chunked_as(latitude, ds), _chunked_as(longitude, ds)


def _find(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Take the variable that is the latitude or the longitude."""
    names, directions, _, example = _POSITION[name]
    variables = {str(n): v for n, v in ds.variables.items()}
    lower = {n.lower(): n for n in variables}
    named = [lower[n] for n in names if n in lower][:1]
    standard = [n for n, v in variables.items() if v.attrs.get("standard_name") == name]
    in_units = [n for n, v in variables.items() if _has_units(v.attrs, name)]
    for found in (named, standard, in_units):
        if len(found) > 1:
            raise MissingVariableError(
                f"The {name} may be {' or '.join(map(repr, found))}. Say which: "
                f"ds.rename({{{found[0]!r}: {name!r}}})."
            )
        if found:
            return ds[found[0]]
    raise MissingVariableError(
        f"There is no {name}, which the position of the sun needs (looked for "
        f"{', '.join(map(repr, names))}, standard_name {name}, units degrees_{directions[0]}). "
        f"Add it in degrees {directions[0]}: ds.assign_coords({name}={example}), or one value a "
        f"station, ds.assign_coords({name}=('station', [...]))."
    )


def _has_units(attributes: Mapping[Any, Any], name: str) -> bool:
    """Tell whether units are one of CF's spellings: degrees_north, degree_N, degreesN, ..."""
    directions = "|".join(_POSITION[name][1])
    units = str(attributes.get("units", "")).strip()
    return re.fullmatch(f"degrees?_?({directions})", units, re.IGNORECASE) is not None


def _checked(da: xr.DataArray, name: str) -> xr.DataArray:
    """Refuse what cannot be a latitude or longitude in degrees that stays in its place."""
    _, directions, (lower, upper), _ = _POSITION[name]
    if "time" in da.dims:
        raise DimensionError(
            f"The {name} {da.name!r} has the dimension 'time', but a column stays in its place: "
            f"ds.assign_coords({da.name}=ds[{da.name!r}].isel(time=0, drop=True))."
        )
    if units_of(da, "").lower() not in _DEGREES and not _has_units(da.attrs, name):
        raise UnitsError(
            f"The {name} {da.name!r} is in {da.attrs['units']!r}, expected degrees_{directions[0]}."
            f" Convert it, or correct ds[{da.name!r}].attrs['units'] if the label is wrong."
        )
    degrees = as_float(da, str(da.name))
    if da.chunks is None and ((degrees < lower) | (degrees > upper)).any():
        raise UnitsError(
            f"The {name} {da.name!r} goes from {float(degrees.min()):g} to "
            f"{float(degrees.max()):g}, possible is {lower:g} to {upper:g} degrees. Are latitude "
            "and longitude swapped, or is this a projected coordinate in metres?"
        )
    return degrees


def _chunked_as(da: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Chunk a position as the variables of the Dataset are along its dimensions."""
    chunks: dict[Any, tuple[int, ...]] = {}
    for variable in ds.variables.values():
        for dim, sizes in variable.chunksizes.items():
            chunks.setdefault(dim, sizes)
    mine = {dim: chunks[dim] for dim in da.dims if dim in chunks}
    if not mine or da.chunks is not None:
        return da
    # the variable of an index (lat along lat) stays in memory unless it is copied into another
    return da.copy(data=da.variable.to_base_variable().chunk(mine).data)
