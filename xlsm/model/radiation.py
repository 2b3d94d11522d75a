"""Longwave radiation that leaves the surface."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping

import jax

from xlsm.model.constants import STEFAN_BOLTZMANN
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Piece

__all__ = ["GreyBody", "PaperRadiation", "Radiation"]

Values = Mapping[str, jax.Array]

EMISSIVITY = ParameterSpec(
    "emissivity", "epsilon", "1", 0.95, (0.5, 1.0), "linear", "longwave emissivity"
)


class Radiation(Piece, abc.ABC):
    """Longwave radiation of a surface."""

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The emissivity."""
        return (EMISSIVITY,)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("LWdown",)

    @abc.abstractmethod
    def upwelling(
        self, surface_temperature: jax.Array, forcing: Values, parameters: Values
    ) -> jax.Array:
        """Longwave radiation leaving the surface (W m-2), shape (...)."""


@dataclasses.dataclass(frozen=True)
class GreyBody(Radiation):
    """Grey body: emits with its emissivity and reflects the rest.

    ``LWup = eps sigma Ts^4 + (1 - eps) LWdown``.
    """

    def upwelling(
        self, surface_temperature: jax.Array, forcing: Values, parameters: Values
    ) -> jax.Array:
        """Longwave radiation leaving the surface (W m-2), shape (...)."""
        emissivity = parameters["emissivity"]
        emitted = emissivity * STEFAN_BOLTZMANN * surface_temperature**4
        return emitted + (1 - emissivity) * forcing["LWdown"]


@dataclasses.dataclass(frozen=True)
class PaperRadiation(Radiation):
    """Radiation to the letter of Huang et al. (2025): all LWdown is absorbed.

    ``LWup = eps sigma Ts^4``, so that ``LWnet = LWdown - eps sigma Ts^4`` [1]_.

    References
    ----------
    .. [1] Huang, Heaney & van Reeuwijk (2025), arXiv 2505.02979.
    """

    def upwelling(
        self, surface_temperature: jax.Array, forcing: Values, parameters: Values
    ) -> jax.Array:
        """Longwave radiation leaving the surface (W m-2), shape (...)."""
        return parameters["emissivity"] * STEFAN_BOLTZMANN * surface_temperature**4
