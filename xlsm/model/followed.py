"""A top of the column that follows an observed temperature: thermometers only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import jax
import jax.numpy as jnp

from xlsm.errors import ModelError
from xlsm.model.bottom import sensor
from xlsm.model.piece import Facts
from xlsm.model.surface import NetFlux, Surface

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["ObservedSurface"]

Values = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class ObservedSurface(Surface):
    """The top node follows an observed temperature; nothing above it is known, or needed.

    Parameters
    ----------
    variable : {"SoilTemp", "AvgSurfT"}
        Which temperature: that of a buried sensor, or of the surface itself.
    depth : float, optional
        Depth of the sensor (m), which is that of the grid's first node; by default the
        shallowest one.

    Examples
    --------
    >>> ObservedSurface("AvgSurfT").forcing
    ('AvgSurfT',)
    """

    balanced: ClassVar[bool] = False

    variable: Literal["SoilTemp", "AvgSurfT"] = "SoilTemp"
    depth: float | None = None

    @property
    def forcing(self) -> tuple[str, ...]:
        """The temperature that is followed."""
        if self.variable == "AvgSurfT":
            return ("AvgSurfT",)
        return () if self.depth is None else (f"SoilTemp@{self.depth!r}",)

    def resolved(self, facts: Facts) -> ObservedSurface:
        """Take the shallowest sensor.

        Raises
        ------
        ModelError
            If there is none, or none at the depth.
        """
        if self.variable == "AvgSurfT":
            return self
        depth = sensor(facts, self.depth, 0, "surface=ObservedSurface")
        return dataclasses.replace(self, depth=depth)

    def check(self, model: Model) -> None:
        """Refuse a grid that does not begin where the temperature is known."""
        if self.variable not in ("SoilTemp", "AvgSurfT"):
            raise ModelError(
                f"surface=ObservedSurface follows SoilTemp or AvgSurfT, got {self.variable!r}"
            )
        top = model.layout.top
        begins = 0.0 if self.variable == "AvgSurfT" else self.depth
        if model.layout.undecided or begins is None:
            return
        if abs(top - begins) > 1e-9:
            cure = "" if self.variable == "AvgSurfT" else ", or SensorGrid()"
            raise ModelError(
                f"the top of the column follows {self.variable} at {begins:g} m, but the grid "
                f"begins at {top:g} m: use a grid with top={begins:g}{cure}"
            )

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
        """Take the temperature, and the flux that leads the column there."""
        temperature = jnp.broadcast_to(forcing[self.forcing[0]], offset.shape)
        # at the first time the column gives no answer; nor must its derivative
        answers = slope != 0
        flux = jnp.where(answers, (temperature - offset) / jnp.where(answers, slope, 1.0), 0.0)
        return temperature, flux
