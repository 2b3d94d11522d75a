"""Water vapour in air: saturation, latent heat, density.

Saturation is that over water, at all temperatures. Everything follows from a latent heat that is
linear in temperature and a vapour that is an ideal gas, so that the formulas fit each other
exactly [1]_.

References
----------
.. [1] Ambaum, M. H. P. (2020), Q. J. R. Meteorol. Soc. 146, 4252-4258.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xlsm.model.constants import (
    DRY_AIR_GAS_CONSTANT,
    DRY_AIR_HEAT_CAPACITY,
    LATENT_HEAT_DECREASE,
    TRIPLE_POINT_LATENT_HEAT,
    TRIPLE_POINT_PRESSURE,
    TRIPLE_POINT_TEMPERATURE,
    VAPOUR_GAS_CONSTANT,
)

__all__ = [
    "air_density",
    "latent_heat_of_vaporisation",
    "psychrometric_constant",
    "saturation_slope",
    "saturation_specific_humidity",
    "saturation_vapour_pressure",
]

#: Molar mass of water over that of dry air.
WATER_TO_AIR = DRY_AIR_GAS_CONSTANT / VAPOUR_GAS_CONSTANT
#: Temperatures (K) between which water is taken to follow the formulas. The search for a surface
#: temperature may look beyond, where they would overflow or turn back.
COLDEST, HOTTEST = 150.0, 500.0


def latent_heat_of_vaporisation(temperature: jax.Array) -> jax.Array:
    """Latent heat of vaporisation of water.

    Parameters
    ----------
    temperature : array, shape (...)
        K; taken as 150 K below, 500 K above.

    Returns
    -------
    array, shape (...)
        J kg-1. Within 0.4 % of the tables of water up to 40 degrees C, 0.6 % at 60.

    Examples
    --------
    >>> print(f"{latent_heat_of_vaporisation(293.15):.4g}")
    2.457e+06
    """
    above = jnp.clip(temperature, COLDEST, HOTTEST) - TRIPLE_POINT_TEMPERATURE
    return TRIPLE_POINT_LATENT_HEAT - LATENT_HEAT_DECREASE * above


def saturation_vapour_pressure(temperature: jax.Array) -> jax.Array:
    """Vapour pressure of air in balance with water.

    ``e_s = e_0 (T_0 / T)^(c / R_v) exp(L_0 / (R_v T_0) - L(T) / (R_v T))``, with the triple point
    0 and ``c = -dL/dT``: the integral of Clausius and Clapeyron's equation [1]_.

    Parameters
    ----------
    temperature : array, shape (...)
        K; taken as 150 K below, 500 K above.

    Returns
    -------
    array, shape (...)
        Pa. Within 0.1 % of the international formulation of water between -20 and 80 degrees C
        (0.25 % between -40 and 100).

    References
    ----------
    .. [1] Ambaum, M. H. P. (2020), Q. J. R. Meteorol. Soc. 146, 4252-4258.

    Examples
    --------
    >>> print(f"{saturation_vapour_pressure(293.15):.0f}")
    2339
    """
    kelvin = jnp.clip(temperature, COLDEST, HOTTEST)
    power = LATENT_HEAT_DECREASE / VAPOUR_GAS_CONSTANT
    there = TRIPLE_POINT_LATENT_HEAT / (VAPOUR_GAS_CONSTANT * TRIPLE_POINT_TEMPERATURE)
    here = latent_heat_of_vaporisation(kelvin) / (VAPOUR_GAS_CONSTANT * kelvin)
    relative = (TRIPLE_POINT_TEMPERATURE / kelvin) ** power * jnp.exp(there - here)
    return TRIPLE_POINT_PRESSURE * relative


def saturation_slope(temperature: jax.Array) -> jax.Array:
    """Differentiate the saturation vapour pressure, ``Delta = L e_s / (R_v T^2)``.

    Parameters
    ----------
    temperature : array, shape (...)
        K, between 150 and 500.

    Returns
    -------
    array, shape (...)
        Pa K-1. Exactly the derivative of `saturation_vapour_pressure`.

    Examples
    --------
    >>> print(f"{saturation_slope(293.15):.1f}")
    144.9
    """
    pressure = saturation_vapour_pressure(temperature)
    latent_heat = latent_heat_of_vaporisation(temperature)
    return latent_heat * pressure / (VAPOUR_GAS_CONSTANT * temperature**2)


def saturation_specific_humidity(temperature: jax.Array, pressure: jax.Array) -> jax.Array:
    """Specific humidity of air in balance with water, ``0.622 e_s / (p - 0.378 e_s)``.

    Parameters
    ----------
    temperature : array, shape (...)
        K.
    pressure : array, shape (...)
        Of the air, Pa.

    Returns
    -------
    array, shape (...)
        kg kg-1; 1, nothing but vapour, where water boils.

    Examples
    --------
    >>> print(f"{saturation_specific_humidity(293.15, 101325.0):.5f}")
    0.01448
    """
    vapour = jnp.minimum(saturation_vapour_pressure(temperature), pressure)
    return WATER_TO_AIR * vapour / (pressure - (1 - WATER_TO_AIR) * vapour)


def psychrometric_constant(temperature: jax.Array, pressure: jax.Array) -> jax.Array:
    """Psychrometric constant, ``gamma = c_p p / (0.622 L)``.

    Parameters
    ----------
    temperature : array, shape (...)
        K.
    pressure : array, shape (...)
        Of the air, Pa.

    Returns
    -------
    array, shape (...)
        Pa K-1.

    Examples
    --------
    >>> print(f"{psychrometric_constant(293.15, 101325.0):.1f}")
    66.6
    """
    latent_heat = latent_heat_of_vaporisation(temperature)
    return DRY_AIR_HEAT_CAPACITY * pressure / (WATER_TO_AIR * latent_heat)


def air_density(
    temperature: jax.Array, pressure: jax.Array, specific_humidity: jax.Array | float = 0.0
) -> jax.Array:
    """Density of moist air, an ideal gas.

    Parameters
    ----------
    temperature : array, shape (...)
        K.
    pressure : array, shape (...)
        Pa.
    specific_humidity : array, shape (...), optional
        kg kg-1; dry air by default.

    Returns
    -------
    array, shape (...)
        kg m-3.

    Examples
    --------
    >>> print(f"{air_density(288.15, 101325.0):.3f}")
    1.225
    """
    virtual = temperature * (1 + (1 / WATER_TO_AIR - 1) * specific_humidity)
    return pressure / (DRY_AIR_GAS_CONSTANT * virtual)
