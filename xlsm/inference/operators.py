"""How an instrument sees what the model simulates: where, over what time, through what faults."""

from __future__ import annotations

import dataclasses

from xlsm.model.parameters import ParameterSpec

__all__ = ["ENERGY_CLOSURE", "OFFSET", "Operator"]

#: Part of the turbulent flux that eddy covariance measures; one and the same for Qh and Qle.
ENERGY_CLOSURE = ParameterSpec(
    "energy_closure",
    "f",
    "1",
    1.0,
    (0.1, 2.0),
    "log",
    "share of the turbulent fluxes that the eddy covariance sees",
)
#: Of one thermometer; its number is added to the name.
OFFSET = ParameterSpec(
    "sensor_depth_offset",
    "dz",
    "m",
    0.0,
    (-1.0, 1.0),
    "linear",
    "depth of a thermometer, less the one that is stated",
)


@dataclasses.dataclass(frozen=True)
class Operator:
    """How an observable is seen.

    Parameters
    ----------
    depth : float, optional
        Depth (m) at which a plate measures ``Qg``; by default the surface.
    mean : bool
        Whether it is the mean over the step that ends at its time, rather than the value then.
        The first time ends no step: there an observation must be NaN.
    factor : str
        Name of the parameter that it is multiplied by; by default none.
    offsets : tuple of str
        Of each depth the name of the parameter that is added to it, or ``""``; none at all where
        all depths are as stated.
    """

    depth: float | None = None
    mean: bool = False
    factor: str = ""
    offsets: tuple[str, ...] = ()

    @property
    def nuisances(self) -> tuple[str, ...]:
        """Names of the parameters it has that the model does not know."""
        return tuple(name for name in (self.factor, *self.offsets) if name)
