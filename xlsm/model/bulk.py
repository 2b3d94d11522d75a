"""Exchange of sensible and latent heat with the air, each by its own formula."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import jax

from xlsm.errors import ModelError
from xlsm.model.aerodynamics import ConstantTransfer, Transfer
from xlsm.model.latent import BowenRatio, Conditions, Latent
from xlsm.model.parameters import ParameterSpec
from xlsm.model.turbulence import Turbulence

__all__ = ["SeparateExchange"]

Values = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class SeparateExchange(Turbulence):
    """Sensible and latent heat, each by a piece of its own.

    ``Qh = h (Ts - Tair)`` with the coefficient h of `sensible`; Qle is that of `latent`, which
    knows h: vapour takes the same way through the air.

    Parameters
    ----------
    sensible : Transfer
        `ConstantTransfer`, `WindTransfer` or `BulkTransfer`.
    latent : Latent
        `BowenRatio`, `SurfaceResistance`, `MoistureAvailability`, `PriestleyTaylor`,
        `GivenLatent` or `NoLatent`.

    Raises
    ------
    ModelError
        If one of them is something else.

    Examples
    --------
    >>> from xlsm.model.aerodynamics import BulkTransfer
    >>> from xlsm.model.latent import SurfaceResistance
    >>> bulk = BulkTransfer(wind_height=10.0, temperature_height=2.0)
    >>> exchange = SeparateExchange(sensible=bulk, latent=SurfaceResistance())
    >>> [p.name for p in exchange.parameters]
    ['roughness_length', 'log_roughness_ratio', 'surface_resistance']
    >>> exchange.forcing
    ('Tair', 'Wind', 'PSurf', 'Qair')
    """

    sensible: Transfer = dataclasses.field(default_factory=ConstantTransfer)
    latent: Latent = dataclasses.field(default_factory=BowenRatio)

    def __post_init__(self) -> None:
        """Refuse pieces of the wrong kind."""
        for name, kind in (("sensible", Transfer), ("latent", Latent)):
            if not isinstance(getattr(self, name), kind):
                known = ", ".join(f"{piece.__name__}()" for piece in kind.__subclasses__())
                raise ModelError(
                    f"SeparateExchange: {name} must be one of {known}; got {getattr(self, name)!r}"
                )

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Those of both pieces."""
        return (*self.sensible.parameters, *self.latent.parameters)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time."""
        return tuple(dict.fromkeys(("Tair", *self.sensible.forcing, *self.latent.forcing)))

    def separates(self, names: Collection[str]) -> bool:
        """Sensible and latent heat are always known one by one."""
        return True

    def fluxes(
        self,
        surface_temperature: jax.Array,
        net_radiation: jax.Array,
        forcing: Values,
        parameters: Values,
    ) -> dict[str, jax.Array]:
        """Turbulent fluxes, positive upward (W m-2), shapes (...)."""
        coefficient = self.sensible.coefficient(surface_temperature, forcing, parameters)
        sensible = coefficient * (surface_temperature - forcing["Tair"])
        surface = Conditions(surface_temperature, net_radiation, coefficient)
        latent = self.latent.flux(surface, forcing, parameters)
        return {"Qturb": sensible + latent, "Qh": sensible, "Qle": latent}
