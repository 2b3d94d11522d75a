"""The surface: what it takes up and gives off, and the temperature that balances both."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from xlsm.errors import ModelError
from xlsm.model.albedo import Albedo, ConstantAlbedo
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Piece
from xlsm.model.radiation import GreyBody, Radiation
from xlsm.model.roots import bracketed, newton

__all__ = ["BareSurface", "EnergyBalance", "SkinLayer", "Surface"]

Values = Mapping[str, jax.Array]
#: Net flux into the soil (W m-2) as a function of surface temperature (K).
NetFlux = Callable[[jax.Array], jax.Array]

SKIN_CONDUCTIVITY = ParameterSpec(
    "skin_conductivity",
    "Lambda_sk",
    "W m-2 K-1",
    15.0,
    (0.5, 2000.0),
    "log",
    "conductance between skin and soil surface",
)


class Surface(Piece, abc.ABC):
    """The upper end of the column.

    The column answers a flux q into the soil with a top-node temperature ``offset + slope q``;
    the surface finds the flux.
    """

    #: Whether fluxes above the surface are known, and balanced.
    balanced: ClassVar[bool] = True

    @abc.abstractmethod
    def solve(
        self,
        net_flux: NetFlux,
        offset: jax.Array,
        slope: jax.Array,
        guess: jax.Array,
        forcing: Values,
        parameters: Values,
        *,
        linear: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """Find the surface temperature and the flux into the soil.

        Parameters
        ----------
        net_flux : callable
            Net flux into the soil (W m-2) as a function of surface temperature (K).
        offset, slope : array, shape (...)
            The column's answer (K, K m2 W-1).
        guess : array, shape (...)
            Where to start (K).
        forcing, parameters : mapping of str to array, shape (...)
            As everywhere.
        linear : bool
            Whether the turbulent flux is linear in the temperature, which makes the balance
            concave.

        Returns
        -------
        surface_temperature : array, shape (...)
            Ts (K).
        flux : array, shape (...)
            Flux into the soil (W m-2).
        """


@dataclasses.dataclass(frozen=True)
class EnergyBalance(Surface):
    """A surface without heat capacity whose temperature balances its fluxes.

    ``Qg = SWdown - SWup + LWdown - LWup - Qh - Qle`` plus the sources.

    Parameters
    ----------
    radiation : Radiation
        Longwave radiation.
    albedo : Albedo
        Shortwave radiation.
    sources : tuple of str
        Variables that add heat to the surface (W m-2, positive into it), such as
        ``("Qanth",)``, the anthropogenic heat.
    """

    radiation: Radiation = dataclasses.field(default_factory=GreyBody)
    albedo: Albedo = dataclasses.field(default_factory=ConstantAlbedo)
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what are no names: a single one is taken apart into letters."""
        given: Any = self.sources
        if isinstance(given, str) or not all(isinstance(name, str) for name in given):
            raise ModelError(f'sources must be a tuple of names, such as ("Qanth",), got {given!r}')
        object.__setattr__(self, "sources", tuple(given))

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Those of albedo and radiation."""
        return (*self.albedo.parameters, *self.radiation.parameters)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return (*self.albedo.forcing, *self.radiation.forcing, *self.sources)

    @property
    def tolerated(self) -> tuple[str, ...]:
        """Those of the forcing that may be missing at times."""
        return self.albedo.tolerated

    def resistance(self, parameters: Values) -> jax.Array | float:
        """Resistance between surface and top node (K m2 W-1), shape (...)."""
        return 0.0

    def solve(
        self,
        net_flux: NetFlux,
        offset: jax.Array,
        slope: jax.Array,
        guess: jax.Array,
        forcing: Values,
        parameters: Values,
        *,
        linear: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """Find the surface temperature at which column and energy balance agree.

        ``Ts = offset + (slope + resistance) net_flux(Ts)``. Where the turbulent flux is linear
        in Ts the balance falls with temperature and is concave in it, so that Newton's method
        lands above the root at the first step from anywhere and closes in from there; else the
        root is bracketed. Derivatives follow from the implicit function theorem, to any order.
        """
        slope = slope + self.resistance(parameters)

        def excess(temperature: jax.Array) -> jax.Array:
            return temperature - offset - slope * net_flux(temperature)

        def divide(linearised: Callable[[jax.Array], jax.Array], value: jax.Array) -> jax.Array:
            return value / linearised(jnp.ones_like(value))

        find = newton if linear else bracketed
        temperature = jax.lax.custom_root(excess, guess, find, divide)
        return temperature, net_flux(temperature)


@dataclasses.dataclass(frozen=True)
class BareSurface(EnergyBalance):
    """The top soil node is the surface.

    Examples
    --------
    >>> [p.name for p in BareSurface().parameters]
    ['albedo', 'emissivity']
    """


@dataclasses.dataclass(frozen=True)
class SkinLayer(EnergyBalance):
    """A skin without heat capacity above the soil: vegetation, litter, gravel.

    The skin has its own temperature Ts, balances the energy, and passes
    ``Qg = Lambda_sk (Ts - T_0)`` on to the soil, as in the land-surface scheme of ECMWF
    [1]_ [2]_. AvgSurfT is the temperature of the skin; with a large ``skin_conductivity`` it is
    that of the soil surface.

    References
    ----------
    .. [1] Viterbo & Beljaars (1995), J. Climate 8, 2716-2748 (TESSEL).
    .. [2] Balsamo et al. (2009), J. Hydrometeorol. 10, 623-643 (HTESSEL).

    Examples
    --------
    >>> [p.name for p in SkinLayer().parameters]
    ['albedo', 'emissivity', 'skin_conductivity']
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Those of albedo and radiation, and the skin conductivity."""
        return (*super().parameters, SKIN_CONDUCTIVITY)

    def resistance(self, parameters: Values) -> jax.Array:
        """Resistance between surface and top node (K m2 W-1), shape (...)."""
        return 1 / parameters["skin_conductivity"]
