"""Radiation at the surface, and the surface temperature that balances the energy."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from xlsm.model.parameters import ParameterSpec

__all__ = ["STEFAN_BOLTZMANN", "BareSurface", "GreyBody", "PaperRadiation"]

#: Stefan-Boltzmann constant (W m-2 K-4), CODATA 2018.
STEFAN_BOLTZMANN = 5.670374419e-8

ALBEDO = ParameterSpec(
    "albedo", "alpha", "1", 0.2, (0.0, 1.0), "linear", "broadband shortwave albedo"
)
EMISSIVITY = ParameterSpec(
    "emissivity", "epsilon", "1", 0.95, (0.5, 1.0), "linear", "longwave emissivity"
)

#: Newton steps to the surface temperature, which converge quadratically: enough from 100 K away.
NEWTON_STEPS = 8


@dataclasses.dataclass(frozen=True)
class BareSurface(abc.ABC):
    """A surface without heat capacity of its own: the top soil node is the surface.

    Subclasses say what leaves the surface as radiation (`upwelling`).
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Albedo and emissivity."""
        return (ALBEDO, EMISSIVITY)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return ("SWdown", "LWdown")

    @abc.abstractmethod
    def upwelling(
        self,
        surface_temperature: jax.Array,
        forcing: Mapping[str, jax.Array],
        parameters: Mapping[str, jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        """Shortwave and longwave radiation leaving the surface (W m-2), shapes (...)."""

    def solve(
        self,
        net_flux: Callable[[jax.Array], jax.Array],
        offset: jax.Array,
        slope: jax.Array,
        guess: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Find the surface temperature at which column and energy balance agree.

        The column answers a flux q into the soil with a top-node temperature
        ``offset + slope * q``; the energy balance gives ``q = net_flux(Ts)``. For a bare
        surface both temperatures are the same. The root is found by Newton's method; the
        balance falls with temperature and is concave in it, so that from any start the first
        step already lands above the root and the following ones close in from there.

        Parameters
        ----------
        net_flux : callable
            Net flux into the soil (W m-2) as a function of surface temperature (K).
        offset, slope : array, shape (...)
            The column's answer (K, K m2 W-1).
        guess : array, shape (...)
            Where to start (K).

        Returns
        -------
        surface_temperature : array, shape (...)
            Ts (K).
        flux : array, shape (...)
            Flux into the soil (W m-2), ``(Ts - offset) / slope`` where the slope is not zero.
        """

        def excess(temperature: jax.Array) -> jax.Array:
            return temperature - offset - slope * net_flux(temperature)

        # derivatives of the root by the implicit function theorem, to any order
        temperature = jax.lax.custom_root(excess, guess, _newton, _divide)
        return temperature, net_flux(temperature)


def _newton(function: Callable[[jax.Array], jax.Array], temperature: jax.Array) -> jax.Array:
    for _ in range(NEWTON_STEPS):
        value, derivative = jax.jvp(function, (temperature,), (jnp.ones_like(temperature),))
        temperature = temperature - value / derivative
    return temperature


def _divide(linear: Callable[[jax.Array], jax.Array], value: jax.Array) -> jax.Array:
    return value / linear(jnp.ones_like(value))


@dataclasses.dataclass(frozen=True)
class GreyBody(BareSurface):
    """Grey body: emits with its emissivity and reflects the rest of the longwave.

    ``LWup = eps sigma Ts^4 + (1 - eps) LWdown``, ``SWup = albedo SWdown``.
    """

    def upwelling(
        self,
        surface_temperature: jax.Array,
        forcing: Mapping[str, jax.Array],
        parameters: Mapping[str, jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        """Shortwave and longwave radiation leaving the surface (W m-2), shapes (...)."""
        emissivity = parameters["emissivity"]
        emitted = emissivity * STEFAN_BOLTZMANN * surface_temperature**4
        reflected = (1 - emissivity) * forcing["LWdown"]
        return parameters["albedo"] * forcing["SWdown"], emitted + reflected


@dataclasses.dataclass(frozen=True)
class PaperRadiation(BareSurface):
    """Radiation to the letter of Huang et al. (2025): all LWdown is absorbed.

    ``LWup = eps sigma Ts^4``, so that ``LWnet = LWdown - eps sigma Ts^4`` [1]_.

    References
    ----------
    .. [1] Huang, Heaney & van Reeuwijk (2025), arXiv 2505.02979.
    """

    def upwelling(
        self,
        surface_temperature: jax.Array,
        forcing: Mapping[str, jax.Array],
        parameters: Mapping[str, jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        """Shortwave and longwave radiation leaving the surface (W m-2), shapes (...)."""
        emitted = parameters["emissivity"] * STEFAN_BOLTZMANN * surface_temperature**4
        return parameters["albedo"] * forcing["SWdown"], emitted
