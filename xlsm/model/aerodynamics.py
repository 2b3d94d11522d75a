"""How well the air near the surface conducts sensible heat."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from xlsm.errors import ModelError
from xlsm.model.constants import DRY_AIR_HEAT_CAPACITY, GRAVITY
from xlsm.model.humidity import air_density
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Piece
from xlsm.model.stability import Layer, MoninObukhov, Stability
from xlsm.model.turbulence import HEAT_TRANSFER_COEFFICIENT

__all__ = ["BulkTransfer", "ConstantTransfer", "Transfer", "WindTransfer", "density"]

Values = Mapping[str, jax.Array]

CALM_HEAT_TRANSFER_COEFFICIENT = ParameterSpec(
    "calm_heat_transfer_coefficient",
    "h_0",
    "W m-2 K-1",
    3.0,
    (0.01, 500.0),
    "log",
    "transfer coefficient of sensible heat in still air",
)
WIND_HEAT_TRANSFER_COEFFICIENT = ParameterSpec(
    "wind_heat_transfer_coefficient",
    "h_u",
    "J m-3 K-1",
    3.0,
    (0.01, 500.0),
    "log",
    "growth of the transfer coefficient of sensible heat with wind speed",
)
LOG_ROUGHNESS_RATIO = ParameterSpec(
    "log_roughness_ratio",
    "kB^-1",
    "1",
    2.0,
    (0.0, 30.0),
    "linear",
    "logarithm of the roughness length for momentum over that for heat",
)


class Transfer(Piece, abc.ABC):
    """Transfer coefficient of sensible heat, ``Qh = h (Ts - Tair)``.

    As a conductance for anything the air carries it is ``g_a = h / (rho c_p)`` (m s-1).
    """

    @abc.abstractmethod
    def coefficient(
        self, surface_temperature: jax.Array, forcing: Values, parameters: Values
    ) -> jax.Array:
        """Transfer coefficient h (W m-2 K-1), shape (...).

        Parameters
        ----------
        surface_temperature : array, shape (...)
            Ts (K).
        forcing, parameters : mapping of str to array, shape (...)
            Of this time.
        """


@dataclasses.dataclass(frozen=True)
class ConstantTransfer(Transfer):
    """A transfer coefficient that is always the same.

    Examples
    --------
    >>> [p.symbol for p in ConstantTransfer().parameters]
    ['h']
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The coefficient itself."""
        return (HEAT_TRANSFER_COEFFICIENT,)

    def coefficient(
        self, surface_temperature: jax.Array, forcing: Values, parameters: Values
    ) -> jax.Array:
        """Transfer coefficient h (W m-2 K-1), shape (...)."""
        return parameters["heat_transfer_coefficient"]


@dataclasses.dataclass(frozen=True)
class WindTransfer(Transfer):
    """A transfer coefficient that grows with the wind, ``h = h_0 + h_u Wind``.

    The linear wind function of forced convection over plates [1]_; h_0 stands for free
    convection.

    References
    ----------
    .. [1] McAdams, W. H. (1954), Heat Transmission, 3rd ed., McGraw-Hill, p. 249.

    Examples
    --------
    >>> [p.symbol for p in WindTransfer().parameters], WindTransfer().forcing
    (['h_0', 'h_u'], ('Wind',))
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Both coefficients."""
        return (CALM_HEAT_TRANSFER_COEFFICIENT, WIND_HEAT_TRANSFER_COEFFICIENT)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Wind",)

    def coefficient(
        self, surface_temperature: jax.Array, forcing: Values, parameters: Values
    ) -> jax.Array:
        """Transfer coefficient h (W m-2 K-1), shape (...)."""
        grown = parameters["wind_heat_transfer_coefficient"] * forcing["Wind"]
        return parameters["calm_heat_transfer_coefficient"] + grown


@dataclasses.dataclass(frozen=True)
class BulkTransfer(Transfer):
    """Transfer over a rough surface, from the heights of the sensors.

    ``h = rho c_p C_H U`` [1]_, with ``U^2 = Wind^2 + gustiness^2`` and C_H from roughness
    lengths and stability. Two parameters: the roughness length for momentum, z_0m, and the
    logarithm of its ratio to that for heat, ``kB^-1 = ln(z_0m / z_0h)``. The flux depends on
    little more than the product of ``ln(z_u / z_0m)`` and ``ln(z_t / z_0m) + kB^-1``, so that
    only one of the two can be estimated from it. kB^-1 is the one to fix: about 2 over many
    kinds of vegetation [2]_ whatever their roughness, so that z_0h follows z_0m when that is
    estimated; up to 10 over sparse plants [3]_, 20 and more over buildings [4]_.

    The density is that of the air at PSurf and Tair (with Qair, where another piece of the model
    reads that), and the stratification that of temperature alone.

    Parameters
    ----------
    wind_height, temperature_height : float
        Heights of the sensors above the ground (m).
    displacement : float
        Height above the ground where the profiles seem to begin (m): about two thirds of the
        height of a dense vegetation, else 0.
    stability : Stability
        `Neutral`, `Louis` or `MoninObukhov`.
    gustiness : float
        Wind (m s-1) that is never missing, because the air moves even where it goes nowhere:
        keeps fluxes and their derivatives finite in calm air. By default what a cup anemometer
        needs to start.

    Raises
    ------
    ModelError
        If a height, or the gustiness, is not positive, or a sensor not above the displacement
        height.

    References
    ----------
    .. [1] Garratt, J. R. (1992), The Atmospheric Boundary Layer, Cambridge, chapters 3 and 4.
    .. [2] Garratt & Hicks (1973), Q. J. R. Meteorol. Soc. 99, 680-687.
    .. [3] Verhoef, de Bruin & van den Hurk (1997), J. Appl. Meteorol. 36, 560-572.
    .. [4] Voogt & Grimmond (2000), J. Appl. Meteorol. 39, 1679-1699.

    Examples
    --------
    >>> transfer = BulkTransfer(wind_height=10.0, temperature_height=2.0)
    >>> [p.name for p in transfer.parameters], transfer.forcing
    (['roughness_length', 'log_roughness_ratio'], ('Wind', 'PSurf'))
    """

    wind_height: float
    temperature_height: float
    displacement: float = 0.0
    stability: Stability = dataclasses.field(default_factory=MoninObukhov)
    gustiness: float = 0.5

    def __post_init__(self) -> None:
        """Refuse heights at which nothing can be measured."""
        for name in ("wind_height", "temperature_height", "gustiness"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                units = "m s-1" if name == "gustiness" else "m"
                raise ModelError(f"BulkTransfer: {name} must be positive ({units}), got {value}")
        if not 0 <= self.displacement < self._lower_sensor:
            raise ModelError(
                f"BulkTransfer: the displacement height must lie between the ground and the lower "
                f"sensor, at {self._lower_sensor:g} m; got {self.displacement} m. Heights of "
                "sensors are above the ground"
            )
        if not isinstance(self.stability, Stability):
            raise ModelError(
                f"BulkTransfer: stability must be Neutral(), Louis() or MoninObukhov(), got "
                f"{self.stability!r}"
            )

    @property
    def _lower_sensor(self) -> float:
        return min(self.wind_height, self.temperature_height)

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Roughness length, and its ratio to that for heat."""
        highest = (self._lower_sensor - self.displacement) / 2
        above = f" above the displacement height of {self.displacement:g} m"
        roughness = ParameterSpec(
            "roughness_length",
            "z_0m",
            "m",
            min(0.03, highest / 2),
            (min(1e-5, highest / 1000), highest),
            "log",
            "roughness length for momentum, at most half the height of the lower sensor"
            + (above if self.displacement else ""),
        )
        return (roughness, LOG_ROUGHNESS_RATIO)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Wind", "PSurf")

    def coefficient(
        self, surface_temperature: jax.Array, forcing: Values, parameters: Values
    ) -> jax.Array:
        """Transfer coefficient h (W m-2 K-1), shape (...)."""
        roughness = parameters["roughness_length"]
        layer = Layer(
            self.wind_height - self.displacement,
            self.temperature_height - self.displacement,
            roughness,
            roughness * jnp.exp(-parameters["log_roughness_ratio"]),
        )
        square = forcing["Wind"] ** 2 + self.gustiness**2
        air = forcing["Tair"]
        richardson = GRAVITY * layer.wind_height * (air - surface_temperature) / (air * square)
        speed = self.stability.transfer(richardson, layer) * jnp.sqrt(square)
        return DRY_AIR_HEAT_CAPACITY * density(forcing) * speed


def density(forcing: Values) -> jax.Array:
    """Density of the air (kg m-3) at Tair, PSurf, and Qair where it is there, shape (...)."""
    return air_density(forcing["Tair"], forcing["PSurf"], forcing.get("Qair", 0.0))
