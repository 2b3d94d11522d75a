"""What the sky radiates: humidity, emissivity and clouds, formulas on plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "all_sky_emissivity",
    "clear_sky_emissivity",
    "cloud_fraction",
    "specific_humidity",
    "vapour_pressure",
]

Array = np.ndarray[Any, np.dtype[Any]]

#: Molar mass of water over that of dry air.
_WATER_TO_AIR = 0.62198
#: Clear-sky radiation (W m-2) below which the sun says nothing of clouds: 5 degrees of elevation.
_LOW_SUN = 50.0
#: A cloud fraction is that of this many seconds, and is carried this far.
_WINDOW, _REACH = 3 * 3600.0, 24 * 3600.0
_JITTER = 1e-3  # of a step, which is measured from times


def vapour_pressure(specific_humidity: Any, pressure: Any) -> Any:
    """Vapour pressure of moist air, ``e = q p / (0.622 + 0.378 q)``.

    Parameters
    ----------
    specific_humidity : number, array or DataArray
        kg kg-1.
    pressure : number, array or DataArray
        Pa.

    Returns
    -------
    number, array or DataArray
        Pa. Exact for ideal gases; all of the air is vapour at q = 1.

    Examples
    --------
    >>> round(vapour_pressure(0.01, 101325.0), 1)
    1619.2
    """
    return specific_humidity * pressure / (_WATER_TO_AIR + (1 - _WATER_TO_AIR) * specific_humidity)


def specific_humidity(vapour_pressure: Any, pressure: Any) -> Any:
    """Specific humidity of moist air, ``q = 0.622 e / (p - 0.378 e)``.

    Parameters
    ----------
    vapour_pressure, pressure : number, array or DataArray
        Pa.

    Returns
    -------
    number, array or DataArray
        kg kg-1, the inverse of `vapour_pressure`.

    Examples
    --------
    >>> round(specific_humidity(1619.2, 101325.0), 5)
    0.01
    """
    return _WATER_TO_AIR * vapour_pressure / (pressure - (1 - _WATER_TO_AIR) * vapour_pressure)


def clear_sky_emissivity(vapour_pressure: Any, temperature: Any) -> Any:
    """Emissivity of a clear sky, ``1.24 (e / T)^(1/7)`` with e in hPa, at most 1.

    Brutsaert (1975, Water Resour. Res. 11, 742-744), from the radiation of a standard profile of
    temperature and vapour over the surface.

    Parameters
    ----------
    vapour_pressure : number, array or DataArray
        Of the air near the surface, Pa.
    temperature : number, array or DataArray
        Of the air near the surface, K.

    Returns
    -------
    number, array or DataArray
        1.

    Examples
    --------
    >>> float(clear_sky_emissivity(1000.0, 288.15).round(3))
    0.767
    """
    return np.minimum(1.24 * (vapour_pressure / 100.0 / temperature) ** (1 / 7), 1.0)


def all_sky_emissivity(clear: Any, clouds: Any) -> Any:
    """Emissivity of a sky with clouds, ``c + (1 - c) clear``: a cloud is a black body.

    Crawford & Duchon (1999, J. Appl. Meteorol. 38, 474-480).

    Parameters
    ----------
    clear : number, array or DataArray
        Emissivity of the clear sky.
    clouds : number, array or DataArray
        Fraction of the sky they cover, 0 to 1.

    Returns
    -------
    number, array or DataArray
        1.

    Examples
    --------
    >>> all_sky_emissivity(0.75, 0.5)
    0.875
    """
    return clouds + (1 - clouds) * clear


def cloud_fraction(shortwave: Array, clear: Array, *, step: float) -> Array:
    """Cloud fraction as the share of the clear-sky shortwave radiation that is missing.

    ``1 - SWdown / clear``, 0 to 1 (Crawford & Duchon 1999), where both are means over about three
    hours around: the sun passes behind single clouds, longwave radiation comes from all of the
    sky. Times with less than 50 W m-2 of clear-sky radiation (the sun up to 5 degrees) are left
    out. Through the night and through gaps it is interpolated linearly in time between the last
    value and the next; neither may be further away than 24 hours, and one alone is kept.

    Parameters
    ----------
    shortwave : array, shape (..., time)
        W m-2, NaN where missing.
    clear : array, shape (..., time)
        What it would be under a clear sky, W m-2.
    step : float
        Seconds.

    Returns
    -------
    array, shape (..., time)
        1; NaN where there is no value within 24 hours.

    Examples
    --------
    >>> cloud_fraction(np.array([250.0, 0.0, 500.0]), np.array([500.0, 0.0, 500.0]), step=4e4)
    array([0.5 , 0.25, 0.  ])
    """
    usable = np.isfinite(shortwave) & (clear > _LOW_SUN)
    half = int(_WINDOW / 2 / step + _JITTER)
    observed = _running_sum(np.where(usable, shortwave, 0.0), half)
    possible = _running_sum(np.where(usable, clear, 0.0), half)
    share = observed / np.where(usable, possible, 1.0)
    return _carry(np.where(usable, np.clip(1 - share, 0.0, 1.0), np.nan), _REACH / step + _JITTER)


def _running_sum(values: Array, half: int) -> Array:
    """Sum along time of `half` values before, the value itself, and `half` after."""
    total = np.cumsum(values, axis=-1)
    total = np.concatenate([np.zeros_like(total[..., :1]), total], axis=-1)
    n = values.shape[-1]
    i = np.arange(n)
    summed: Array = total[..., np.minimum(i + half + 1, n)] - total[..., np.maximum(i - half, 0)]
    return summed


def _carry(values: Array, reach: float) -> Array:
    """Fill NaN along time from the neighbours at most `reach` steps away, linearly."""
    n = values.shape[-1]
    i = np.arange(n)
    known = np.isfinite(values)
    before = np.maximum.accumulate(np.where(known, i, -1), axis=-1)
    after = np.minimum.accumulate(np.where(known, i, n)[..., ::-1], axis=-1)[..., ::-1]
    near_before = (before >= 0) & (i - before <= reach)
    near_after = (after < n) & (after - i <= reach)
    earlier = np.take_along_axis(values, np.maximum(before, 0), axis=-1)
    later = np.take_along_axis(values, np.minimum(after, n - 1), axis=-1)
    weight = (i - before) / np.maximum(after - before, 1)
    between = earlier + weight * (later - earlier)
    alone = np.where(near_before, earlier, np.where(near_after, later, np.nan))
    filled: Array = np.where(near_before & near_after, between, alone)
    return filled
