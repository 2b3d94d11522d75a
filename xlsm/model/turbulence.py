"""Exchange of sensible and latent heat with the air, as one combined coefficient."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, ClassVar

import jax

from xlsm.errors import ParameterError
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Piece

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["ConstantExchange", "Turbulence", "WindExchange"]

Values = Mapping[str, jax.Array]

COMBINED_TRANSFER_COEFFICIENT = ParameterSpec(
    "combined_transfer_coefficient",
    "H",
    "W m-2 K-1",
    20.0,
    (0.1, 1000.0),
    "log",
    "combined transfer coefficient of sensible and latent heat, h (1 + 1/beta)",
)
HEAT_TRANSFER_COEFFICIENT = ParameterSpec(
    "heat_transfer_coefficient",
    "h",
    "W m-2 K-1",
    10.0,
    (0.05, 1000.0),
    "log",
    "transfer coefficient of sensible heat",
)
BOWEN_RATIO = ParameterSpec(
    "bowen_ratio",
    "beta",
    "1",
    1.0,
    (0.01, 100.0),
    "log",
    "effective Bowen ratio, sensible over latent heat flux",
)
CALM_TRANSFER_COEFFICIENT = ParameterSpec(
    "calm_transfer_coefficient",
    "H_0",
    "W m-2 K-1",
    5.0,
    (0.01, 500.0),
    "log",
    "combined transfer coefficient of sensible and latent heat in still air",
)
WIND_TRANSFER_COEFFICIENT = ParameterSpec(
    "wind_transfer_coefficient",
    "H_u",
    "J m-3 K-1",
    5.0,
    (0.01, 500.0),
    "log",
    "growth of the combined transfer coefficient with wind speed",
)


class Turbulence(Piece, abc.ABC):
    """Sensible and latent heat given to the air."""

    #: Whether the fluxes are linear in the surface temperature.
    linear: ClassVar[bool] = False

    @abc.abstractmethod
    def separates(self, names: Collection[str]) -> bool:
        """Whether sensible and latent heat are known one by one, given the parameters in use."""

    @abc.abstractmethod
    def fluxes(
        self,
        surface_temperature: jax.Array,
        net_radiation: jax.Array,
        forcing: Values,
        parameters: Values,
    ) -> dict[str, jax.Array]:
        """Compute the turbulent fluxes, positive upward.

        Parameters
        ----------
        surface_temperature : array, shape (...)
            Ts (K).
        net_radiation : array, shape (...)
            Net radiation at that temperature, positive downward (W m-2).
        forcing, parameters : mapping of str to array, shape (...)
            Of this time.

        Returns
        -------
        dict of str to array, shape (...)
            ``Qturb`` (W m-2), and ``Qh`` and ``Qle`` where they are known one by one.
        """


class CombinedExchange(Turbulence):
    """Heat proportional to the difference of surface and air temperature, ``H (Ts - Tair)``.

    The temperature sees only the combined coefficient H; the Bowen ratio beta splits the flux,
    ``Qh = beta / (1 + beta)`` of it, and can be left out where the split is not asked for.
    """

    linear: ClassVar[bool] = True

    @abc.abstractmethod
    def coefficient(self, forcing: Values, parameters: Values) -> jax.Array:
        """Give the combined transfer coefficient H (W m-2 K-1), shape (...)."""

    def separates(self, names: Collection[str]) -> bool:
        """Whether there is a Bowen ratio."""
        return "bowen_ratio" in names

    def fluxes(
        self,
        surface_temperature: jax.Array,
        net_radiation: jax.Array,
        forcing: Values,
        parameters: Values,
    ) -> dict[str, jax.Array]:
        """Turbulent fluxes, positive upward (W m-2), shapes (...)."""
        coefficient = self.coefficient(forcing, parameters)
        flux = coefficient * (surface_temperature - forcing["Tair"])
        if "bowen_ratio" not in parameters:
            return {"Qturb": flux}
        beta = parameters["bowen_ratio"]
        return {"Qturb": flux, "Qh": flux * beta / (1 + beta), "Qle": flux / (1 + beta)}


@dataclasses.dataclass(frozen=True)
class ConstantExchange(CombinedExchange):
    """A combined transfer coefficient that is always the same.

    ``Qh + Qle = H (Ts - Tair)`` with ``H = h (1 + 1 / beta)`` [1]_.

    References
    ----------
    .. [1] Huang, Heaney & van Reeuwijk (2025), arXiv 2505.02979.

    Examples
    --------
    >>> [p.symbol for p in ConstantExchange().parameters]
    ['H', 'h', 'beta']
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """H, or h, and beta."""
        return (COMBINED_TRANSFER_COEFFICIENT, HEAT_TRANSFER_COEFFICIENT, BOWEN_RATIO)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Tair",)

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Choose between H, H with beta, and h with beta.

        Raises
        ------
        ParameterError
            When H and h are both given, or h without beta.
        """
        beta = ("bowen_ratio",) if "bowen_ratio" in given else ()
        if "heat_transfer_coefficient" not in given:
            return ("combined_transfer_coefficient", *beta)
        if "combined_transfer_coefficient" in given:
            raise ParameterError(
                "combined_transfer_coefficient (H) and heat_transfer_coefficient (h) are both "
                "given, but H = h (1 + 1/bowen_ratio): give H, or H and bowen_ratio, or h and "
                "bowen_ratio"
            )
        if not beta:
            raise ParameterError(
                "heat_transfer_coefficient (h) alone does not fix the turbulent flux: give "
                "bowen_ratio with it, or give combined_transfer_coefficient (H) instead"
            )
        return ("heat_transfer_coefficient", "bowen_ratio")

    def coefficient(self, forcing: Values, parameters: Values) -> jax.Array:
        """Give the combined transfer coefficient H (W m-2 K-1), shape (...)."""
        if "heat_transfer_coefficient" in parameters:
            sensible = parameters["heat_transfer_coefficient"]
            return sensible * (1 + 1 / parameters["bowen_ratio"])
        return parameters["combined_transfer_coefficient"]


@dataclasses.dataclass(frozen=True)
class WindExchange(CombinedExchange):
    """A combined transfer coefficient that grows with the wind, ``H = H_0 + H_u Wind``.

    The linear wind function of Dalton's law, usual for evaporation pans and for forced
    convection over plates [1]_ [2]_; H_0 stands for free convection.

    References
    ----------
    .. [1] Penman, H. L. (1948), Proc. R. Soc. Lond. A 193, 120-145.
    .. [2] McAdams, W. H. (1954), Heat Transmission, 3rd ed., McGraw-Hill, p. 249.

    Examples
    --------
    >>> WindExchange().forcing
    ('Tair', 'Wind')
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Both coefficients, and the Bowen ratio."""
        return (CALM_TRANSFER_COEFFICIENT, WIND_TRANSFER_COEFFICIENT, BOWEN_RATIO)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Tair", "Wind")

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Both coefficients, and the Bowen ratio where it is given."""
        names = ("calm_transfer_coefficient", "wind_transfer_coefficient")
        return (*names, "bowen_ratio") if "bowen_ratio" in given else names

    def coefficient(self, forcing: Values, parameters: Values) -> jax.Array:
        """Give the combined transfer coefficient H (W m-2 K-1), shape (...)."""
        grown = parameters["wind_transfer_coefficient"] * forcing["Wind"]
        return parameters["calm_transfer_coefficient"] + grown
