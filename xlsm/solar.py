"""Where the sun stands, and what it gives a horizontal surface under a clear sky."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from xlsm.axes import time_step
from xlsm.errors import TimeAxisError
from xlsm.position import read_position

__all__ = ["clear_sky_shortwave", "read_clear_sky", "read_elevation", "solar_elevation"]

Array = np.ndarray[Any, np.dtype[Any]]

_J2000 = np.datetime64("2000-01-01T12:00")
_ONE_DAY = np.timedelta64(1, "D")
_DAY = 86400.0  # s
_ELEVATION = {
    "standard_name": "solar_elevation_angle",
    "long_name": "Solar elevation angle",
    "units": "degree",
}
_CLEAR_SKY = {
    "standard_name": "surface_downwelling_shortwave_flux_in_air_assuming_clear_sky",
    "long_name": "Downwelling shortwave radiation under a clear sky, positive down",
    "units": "W m-2",
}
#: The sun moves 7.5 degrees in this time (s): steps that are longer are averaged in parts.
_PART = 1800.0


def solar_elevation(
    time: xr.DataArray, latitude: xr.DataArray | float, longitude: xr.DataArray | float
) -> xr.DataArray:
    """Angle of the sun's centre above the horizon, without refraction.

    The low-precision formulae of the Astronomical Almanac as given by Michalsky (1988, Solar
    Energy 40, 227-235): right to 0.01 degree from 1950 to 2050.

    Parameters
    ----------
    time : DataArray
        Instants in UTC, datetime64 or cftime, any shape. A calendar that is not the real one
        (``noleap``, ``360_day``) goes through the seasons of one real year in one of its own.
    latitude, longitude : DataArray or float
        Degrees, north and east positive, of any shape without the dimensions of `time`.

    Returns
    -------
    DataArray
        (..., time), degrees, negative below the horizon; lazy if the position is, NaN where
        the position or the time is missing.

    Raises
    ------
    TimeAxisError
        If `time` holds no dates.

    Examples
    --------
    >>> noon = xr.DataArray(np.array(["2024-06-21T12:00"], "datetime64[ns]"), dims="time")
    >>> latitude = xr.DataArray([0.0, 23.44, 51.5], dims="station")
    >>> solar_elevation(noon, latitude, 0.0).values.round(1).ravel()
    array([66.6, 89.6, 61.9])
    """
    return _apply(_elevation, time, latitude, longitude).assign_attrs(_ELEVATION)


def clear_sky_shortwave(elevation: Any) -> Any:
    """Shortwave radiation on a horizontal surface under a clear sky.

    ``1098 sin(elevation) exp(-0.059 / sin(elevation))``, Haurwitz (1945, J. Meteorol. 2,
    154-166): needs the sun's elevation only, and was found the best of its kind by Reno, Hansen &
    Stein (2012, Sandia report SAND2012-2389). It is for clean air near sea level; high in the
    mountains there is up to about a tenth more.

    Parameters
    ----------
    elevation : number, array or DataArray
        Degrees.

    Returns
    -------
    number, array or DataArray
        As `elevation`, W m-2; 0 where the sun is down.

    Examples
    --------
    >>> clear_sky_shortwave(np.array([-10.0, 5.0, 30.0, 90.0])).round()
    array([   0.,   49.,  488., 1035.])
    """
    # at the floor the exponential is 2e-26, and further down nothing can overflow
    sine = np.maximum(np.sin(np.deg2rad(elevation)), 1e-3)
    flux = 1098.0 * sine * np.exp(-0.059 / sine)
    if isinstance(flux, xr.DataArray):
        flux.attrs = dict(_CLEAR_SKY)
    return flux


def read_elevation(ds: xr.Dataset, *, middle: bool = False) -> xr.DataArray:
    """Solar elevation at the times and places of a Dataset.

    Parameters
    ----------
    ds : Dataset
        With a coordinate ``time`` (UTC) and a position, see
        `xlsm.position.read_position`.
    middle : bool
        False: at the instants of ``time``, the ends of the steps. True: half a step earlier, in
        the middle of what an interval mean is the mean of.

    Returns
    -------
    DataArray
        (..., time), degrees; lazy where ``ds`` is chunked along a dimension of the position.

    Raises
    ------
    MissingVariableError, DimensionError, UnitsError, TimeAxisError
        See `xlsm.position.read_position` and `xlsm.axes.time_step`.

    Examples
    --------
    >>> time = np.array(["2024-03-20T12:00", "2024-03-20T18:00"], "datetime64[ns]")
    >>> ds = xr.Dataset(coords={"time": time, "latitude": 0.0, "longitude": 0.0})
    >>> read_elevation(ds).values.round()
    array([88.,  2.])
    >>> read_elevation(ds, middle=True).values.round()
    array([43., 47.])
    """
    latitude, longitude = read_position(ds)
    half_step = 0.5 * time_step(ds) / _DAY
    elevation = _apply(
        _elevation, ds["time"], latitude, longitude, shift=half_step if middle else 0.0
    )
    return elevation.assign_attrs(_ELEVATION)


def read_clear_sky(ds: xr.Dataset) -> xr.DataArray:
    """Clear-sky shortwave radiation at the place of a Dataset, averaged over each step.

    Parameters
    ----------
    ds : Dataset
        As for `read_elevation`; ``time`` is the end of each step. Steps longer than half an
        hour are averaged over parts of at most half an hour.

    Returns
    -------
    DataArray
        (..., time), W m-2, see `clear_sky_shortwave`; lazy as `read_elevation`.

    Raises
    ------
    MissingVariableError, DimensionError, UnitsError, TimeAxisError
        See `xlsm.position.read_position` and `xlsm.axes.time_step`.

    Examples
    --------
    >>> time = np.array(["2024-03-20T12:00", "2024-03-21T12:00"], "datetime64[ns]")
    >>> ds = xr.Dataset(coords={"time": time, "latitude": 0.0, "longitude": 0.0})
    >>> read_clear_sky(ds).values.round()
    array([320., 320.])
    """
    latitude, longitude = read_position(ds)
    step = time_step(ds)
    parts = max(1, math.ceil(step / _PART - 1e-3))
    shifts = tuple((i + 0.5) * step / parts / _DAY for i in range(parts))
    flux = _apply(_mean_clear_sky, ds["time"], latitude, longitude, shifts=shifts)
    return flux.assign_attrs(_CLEAR_SKY)


def _apply(
    function: Callable[..., Array],
    time: xr.DataArray,
    latitude: xr.DataArray | float,
    longitude: xr.DataArray | float,
    **settings: Any,
) -> xr.DataArray:
    """Apply a function of (days, hours, latitude, longitude) to times and places."""
    clock = [xr.DataArray(part, dims=time.dims, coords=time.coords) for part in _clock(time)]
    result: xr.DataArray = xr.apply_ufunc(
        function,
        *clock,
        latitude,
        longitude,
        input_core_dims=[time.dims, time.dims, (), ()],
        output_core_dims=[time.dims],
        kwargs=settings,
        dask="parallelized",
        output_dtypes=[np.float64],
        keep_attrs=False,
    )
    return result


def _clock(time: xr.DataArray) -> tuple[Array, Array]:
    """Days since noon of 1 January 2000, and the hour of the day, both with fractions."""
    times = np.asarray(time.values)
    if times.dtype.kind == "M":
        today = times - times.astype("datetime64[D]")
        return (times - _J2000) / _ONE_DAY, today / np.timedelta64(1, "h")
    try:
        parts = time.dt
        hours = parts.hour + parts.minute / 60 + (parts.second + parts.microsecond / 1e6) / 3600
        passed = (parts.dayofyear - 1 + hours / 24) / parts.days_in_year
        years = (parts.year.values - 1970).astype("datetime64[Y]")
        following = (parts.year.values - 1969).astype("datetime64[Y]")
    except (AttributeError, TypeError) as error:
        raise TimeAxisError(
            f"The position of the sun needs dates, but the times are {times.dtype}. Decode them, "
            "xr.decode_cf(ds), or set them (UTC): ds.assign_coords(time=pd.date_range(...))."
        ) from error
    start, end = ((y - _J2000) / _ONE_DAY for y in (years, following))
    return start + passed.values * (end - start), hours.values


def _elevation(
    days: Array, hours: Array, latitude: Any, longitude: Any, *, shift: float = 0.0
) -> Array:
    """Elevation (degrees) at (..., time) of `shift` days before the times, places (...)."""
    places = (..., *(np.newaxis,) * np.ndim(days))
    phi = np.deg2rad(latitude)[places]
    n = days - shift
    mean_longitude = 280.460 + 0.9856474 * n
    anomaly = np.deg2rad(357.528 + 0.9856003 * n)
    ecliptic = np.deg2rad(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.deg2rad(23.439 - 4e-7 * n)
    ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    sine_declination = np.sin(obliquity) * np.sin(ecliptic)
    # sidereal time in degrees is the sun's mean longitude minus 180 plus 15 an hour
    sidereal = mean_longitude - 180.0 + 15.0 * (hours - 24.0 * shift)
    hour_angle = np.deg2rad(sidereal + np.asarray(longitude)[places]) - ascension
    across = np.cos(phi) * np.sqrt(1 - sine_declination**2) * np.cos(hour_angle)
    sine = np.sin(phi) * sine_declination + across
    elevation: Array = np.rad2deg(np.arcsin(np.clip(sine, -1.0, 1.0)))
    return elevation


def _mean_clear_sky(
    days: Array, hours: Array, latitude: Any, longitude: Any, *, shifts: tuple[float, ...]
) -> Array:
    """Clear-sky radiation (W m-2), mean of the instants that are `shifts` days earlier."""
    total = sum(
        clear_sky_shortwave(_elevation(days, hours, latitude, longitude, shift=shift))
        for shift in shifts
    )
    mean: Array = np.asarray(total) / len(shifts)
    return mean
