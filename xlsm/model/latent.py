"""Heat that leaves the surface as water vapour."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.model.aerodynamics import density
from xlsm.model.constants import DRY_AIR_HEAT_CAPACITY
from xlsm.model.humidity import (
    latent_heat_of_vaporisation,
    psychrometric_constant,
    saturation_slope,
    saturation_specific_humidity,
)
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Piece
from xlsm.model.turbulence import BOWEN_RATIO

__all__ = [
    "BowenRatio",
    "Conditions",
    "GivenLatent",
    "Latent",
    "MoistureAvailability",
    "NoLatent",
    "PriestleyTaylor",
    "SurfaceResistance",
]

Values = Mapping[str, jax.Array]

SURFACE_RESISTANCE = ParameterSpec(
    "surface_resistance",
    "r_s",
    "s m-1",
    100.0,
    (0.1, 1.0e5),
    "log",
    "resistance of the surface to evaporation",
)
MOISTURE_AVAILABILITY = ParameterSpec(
    "moisture_availability",
    "m",
    "1",
    0.3,
    (0.0, 1.0),
    "linear",
    "evaporation relative to that of a wet surface of the same temperature",
)
PRIESTLEY_TAYLOR_COEFFICIENT = ParameterSpec(
    "priestley_taylor_coefficient",
    "alpha",
    "1",
    1.26,
    (0.0, 1.5),
    "linear",
    "evaporation relative to that in balance with saturated air",
)


class Conditions(NamedTuple):
    """What the latent heat flux may depend on at the surface, shapes (...).

    Parameters
    ----------
    temperature : array
        Ts (K).
    net_radiation : array
        At that temperature, positive downward (W m-2).
    coefficient : array
        Transfer coefficient of sensible heat h (W m-2 K-1).
    """

    temperature: jax.Array
    net_radiation: jax.Array
    coefficient: jax.Array


class Latent(Piece, abc.ABC):
    """Latent heat flux."""

    @abc.abstractmethod
    def flux(self, surface: Conditions, forcing: Values, parameters: Values) -> jax.Array:
        """Latent heat flux, positive upward (W m-2), shape (...).

        Parameters
        ----------
        surface : Conditions
            At the surface.
        forcing, parameters : mapping of str to array, shape (...)
            Of this time.
        """


@dataclasses.dataclass(frozen=True)
class NoLatent(Latent):
    """A dry surface: ``Qle = 0``.

    Examples
    --------
    >>> NoLatent().parameters, NoLatent().forcing
    ((), ())
    """

    def flux(self, surface: Conditions, forcing: Values, parameters: Values) -> jax.Array:
        """Latent heat flux, positive upward (W m-2), shape (...)."""
        return jnp.zeros_like(surface.temperature)


@dataclasses.dataclass(frozen=True)
class GivenLatent(Latent):
    """The latent heat flux of the Dataset, as forcing: Qle is then no observation.

    Examples
    --------
    >>> GivenLatent().forcing
    ('Qle',)
    """

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Qle",)

    def flux(self, surface: Conditions, forcing: Values, parameters: Values) -> jax.Array:
        """Latent heat flux, positive upward (W m-2), shape (...)."""
        return forcing["Qle"]


@dataclasses.dataclass(frozen=True)
class BowenRatio(Latent):
    """Latent heat in proportion to sensible heat, ``Qle = Qh / beta`` [1]_.

    References
    ----------
    .. [1] Bowen, I. S. (1926), Phys. Rev. 27, 779-787.

    Examples
    --------
    >>> [p.symbol for p in BowenRatio().parameters]
    ['beta']
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The Bowen ratio."""
        return (BOWEN_RATIO,)

    def flux(self, surface: Conditions, forcing: Values, parameters: Values) -> jax.Array:
        """Latent heat flux, positive upward (W m-2), shape (...)."""
        sensible = surface.coefficient * (surface.temperature - forcing["Tair"])
        return sensible / parameters["bowen_ratio"]


@dataclasses.dataclass(frozen=True)
class SurfaceResistance(Latent):
    """A resistance of the surface in series with that of the air.

    ``Qle = rho L (q_sat(Ts) - Qair) / (r_a + r_s)`` with ``r_a = rho c_p / h`` [1]_. Dew, where
    q_sat(Ts) is less than Qair, has no surface to get through: r_s is 0 then, and the flux is
    continuous.

    References
    ----------
    .. [1] Monteith, J. L. (1965), Symp. Soc. Exp. Biol. 19, 205-234.

    Examples
    --------
    >>> SurfaceResistance().forcing
    ('Tair', 'Qair', 'PSurf')
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The resistance."""
        return (SURFACE_RESISTANCE,)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Tair", "Qair", "PSurf")

    def flux(self, surface: Conditions, forcing: Values, parameters: Values) -> jax.Array:
        """Latent heat flux, positive upward (W m-2), shape (...)."""
        wet = _wet_flux(surface, forcing)
        # r_s / r_a: no division by a coefficient that may be nearly nothing
        conductance = surface.coefficient / (DRY_AIR_HEAT_CAPACITY * density(forcing))
        ratio = parameters["surface_resistance"] * conductance
        return wet / (1 + jnp.where(wet > 0, ratio, 0.0))


@dataclasses.dataclass(frozen=True)
class MoistureAvailability(Latent):
    """A share of what a wet surface of the same temperature would evaporate.

    ``Qle = m L / c_p h (q_sat(Ts) - Qair)``, the beta method [1]_. Dew, where q_sat(Ts) is less
    than Qair, forms in full: m is 1 then, and the flux is continuous [2]_.

    References
    ----------
    .. [1] Manabe, S. (1969), Mon. Weather Rev. 97, 739-774.
    .. [2] Mahfouf & Noilhan (1991), J. Appl. Meteorol. 30, 1354-1365.

    Examples
    --------
    >>> [p.symbol for p in MoistureAvailability().parameters]
    ['m']
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The share."""
        return (MOISTURE_AVAILABILITY,)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Tair", "Qair", "PSurf")

    def flux(self, surface: Conditions, forcing: Values, parameters: Values) -> jax.Array:
        """Latent heat flux, positive upward (W m-2), shape (...)."""
        wet = _wet_flux(surface, forcing)
        return wet * jnp.where(wet > 0, parameters["moisture_availability"], 1.0)


@dataclasses.dataclass(frozen=True)
class PriestleyTaylor(Latent):
    """Evaporation driven by radiation, ``Qle = alpha Delta / (Delta + gamma) max(Rnet, 0)``.

    Delta and gamma are those of the air. The original has net radiation less the flux into the
    soil [1]_, where both are measured. Here that flux is what the surface temperature decides,
    ``Rnet - Qg = Qh + Qle``, and the formula would be a Bowen ratio,
    ``Qle = Qh a / (1 - a)`` with ``a = alpha Delta / (Delta + gamma)``: without a solution at
    a = 1, which alpha = 1.26 meets near 31 degrees C, and of the wrong sign beyond. So the flux
    into the soil is left out, and alpha comes out smaller than with it, by the share that goes
    into the soil. At night, when the two would nearly cancel, there is no evaporation.

    References
    ----------
    .. [1] Priestley & Taylor (1972), Mon. Weather Rev. 100, 81-92.

    Examples
    --------
    >>> PriestleyTaylor().forcing
    ('Tair', 'PSurf')
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The coefficient."""
        return (PRIESTLEY_TAYLOR_COEFFICIENT,)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Tair", "PSurf")

    def flux(self, surface: Conditions, forcing: Values, parameters: Values) -> jax.Array:
        """Latent heat flux, positive upward (W m-2), shape (...)."""
        slope = saturation_slope(forcing["Tair"])
        gamma = psychrometric_constant(forcing["Tair"], forcing["PSurf"])
        share = parameters["priestley_taylor_coefficient"] * slope / (slope + gamma)
        return share * jnp.maximum(surface.net_radiation, 0.0)


def _wet_flux(surface: Conditions, forcing: Values) -> jax.Array:
    """Latent heat flux of a wet surface, ``L / c_p h (q_sat(Ts) - Qair)`` (W m-2), shape (...).

    Vapour and heat go the same way through the air; the latent heat is that at Tair.
    """
    saturated = saturation_specific_humidity(surface.temperature, forcing["PSurf"])
    latent_heat = latent_heat_of_vaporisation(forcing["Tair"])
    return latent_heat / DRY_AIR_HEAT_CAPACITY * surface.coefficient * (saturated - forcing["Qair"])
