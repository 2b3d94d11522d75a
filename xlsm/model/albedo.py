"""Shortwave radiation that the surface reflects."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Piece

__all__ = ["Albedo", "ConstantAlbedo", "GivenAlbedo", "ObservedAlbedo", "SolarAlbedo"]

Values = Mapping[str, jax.Array]

ALBEDO = ParameterSpec(
    "albedo", "alpha", "1", 0.2, (0.0, 1.0), "linear", "broadband shortwave albedo"
)
ALBEDO_DEPENDENCE = ParameterSpec(
    "albedo_sun_dependence",
    "d",
    "1",
    0.4,
    (0.0, 2.0),
    "linear",
    "growth of the albedo towards a low sun, 0.4 for crops, grass and desert, 0.1 for others",
)


class Albedo(Piece, abc.ABC):
    """What share of the shortwave radiation is reflected."""

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The albedo."""
        return (ALBEDO,)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("SWdown",)

    @abc.abstractmethod
    def reflected(self, forcing: Values, parameters: Values) -> jax.Array:
        """Shortwave radiation leaving the surface (W m-2), shape (...)."""


@dataclasses.dataclass(frozen=True)
class ConstantAlbedo(Albedo):
    """The same share always, ``SWup = albedo SWdown``."""

    def reflected(self, forcing: Values, parameters: Values) -> jax.Array:
        """Shortwave radiation leaving the surface (W m-2), shape (...)."""
        return parameters["albedo"] * forcing["SWdown"]


@dataclasses.dataclass(frozen=True)
class ObservedAlbedo(Albedo):
    """What was seen to be reflected: SWup where it is there, else ``albedo SWdown``."""

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("SWdown", "SWup")

    @property
    def tolerated(self) -> tuple[str, ...]:
        """SWup may be missing at times, at night for one."""
        return ("SWup",)

    def reflected(self, forcing: Values, parameters: Values) -> jax.Array:
        """Shortwave radiation leaving the surface (W m-2), shape (...)."""
        missing = jnp.isnan(forcing["SWup"])
        # the inner where keeps NaN out of the derivatives
        observed = jnp.where(missing, 0.0, forcing["SWup"])
        return jnp.where(missing, parameters["albedo"] * forcing["SWdown"], observed)


@dataclasses.dataclass(frozen=True)
class GivenAlbedo(Albedo):
    """A series of albedos in the Dataset, ``Albedo``: by season, by satellite, by snow."""

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """None: all is given."""
        return ()

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("SWdown", "Albedo")

    def reflected(self, forcing: Values, parameters: Values) -> jax.Array:
        """Shortwave radiation leaving the surface (W m-2), shape (...)."""
        return forcing["Albedo"] * forcing["SWdown"]


@dataclasses.dataclass(frozen=True)
class SolarAlbedo(Albedo):
    """An albedo that grows as the sun sinks.

    ``albedo (1 + d) / (1 + 2 d mu)`` with mu the sine of the sun's elevation [1]_, so that
    ``albedo`` is the value at 30 degrees; never more than one. The elevation follows from time,
    latitude and longitude unless the Dataset has it as SolarElevation.

    References
    ----------
    .. [1] Briegleb et al. (1986), J. Clim. Appl. Meteorol. 25, 214-226.
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The albedo at 30 degrees, and how it depends on the sun."""
        return (ALBEDO, ALBEDO_DEPENDENCE)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("SWdown", "SolarElevation")

    def reflected(self, forcing: Values, parameters: Values) -> jax.Array:
        """Shortwave radiation leaving the surface (W m-2), shape (...)."""
        height = jnp.maximum(jnp.sin(jnp.deg2rad(forcing["SolarElevation"])), 0.0)
        dependence = parameters["albedo_sun_dependence"]
        albedo = parameters["albedo"] * (1 + dependence) / (1 + 2 * dependence * height)
        return jnp.minimum(albedo, 1.0) * forcing["SWdown"]
