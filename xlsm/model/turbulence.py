"""Exchange of sensible and latent heat with the air."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax

from xlsm.errors import ParameterError
from xlsm.model.parameters import ParameterSpec

__all__ = ["ConstantExchange"]

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


@dataclasses.dataclass(frozen=True)
class ConstantExchange:
    """Turbulent heat proportional to the difference of surface and air temperature.

    ``Qh + Qle = H (Ts - Tair)`` with ``Qh = beta / (1 + beta)`` of it and
    ``H = h (1 + 1 / beta)`` [1]_. The temperature sees only the combined coefficient H; the
    Bowen ratio beta splits the flux and can be left out where the split is not asked for.

    References
    ----------
    .. [1] Huang, Heaney & van Reeuwijk (2025), arXiv 2505.02979.
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """H, or h, and beta."""
        return (COMBINED_TRANSFER_COEFFICIENT, HEAT_TRANSFER_COEFFICIENT, BOWEN_RATIO)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("Tair",)

    def used(self, given: frozenset[str]) -> tuple[str, ...]:
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

    def flux(
        self,
        surface_temperature: jax.Array,
        forcing: Mapping[str, jax.Array],
        parameters: Mapping[str, jax.Array],
    ) -> jax.Array:
        """Sensible plus latent heat flux, positive upward (W m-2), shape (...)."""
        if "heat_transfer_coefficient" in parameters:
            sensible = parameters["heat_transfer_coefficient"]
            coefficient = sensible * (1 + 1 / parameters["bowen_ratio"])
        else:
            coefficient = parameters["combined_transfer_coefficient"]
        return coefficient * (surface_temperature - forcing["Tair"])

    def split(
        self, flux: jax.Array, parameters: Mapping[str, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """Sensible and latent part of `flux` (W m-2); needs ``bowen_ratio``."""
        beta = parameters["bowen_ratio"]
        return flux * beta / (1 + beta), flux / (1 + beta)
