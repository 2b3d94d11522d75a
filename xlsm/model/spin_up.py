"""A first state that the first days of the record lead to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from xlsm.errors import ModelError
from xlsm.model.initial import Initial, UniformInitial
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Facts

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["SpunUp"]

Values = Mapping[str, jax.Array]
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclasses.dataclass(frozen=True)
class SpunUp(Initial):
    """The column starts where repeating the first days leads it.

    Parameters
    ----------
    days : float
        How much of the start of the record is repeated (days).
    repeats : int
        How often.
    initial : Initial
        Where the first repetition starts.
    steps : int
        The same in time steps; filled in from the data.
    """

    days: float = 3.0
    repeats: int = 5
    initial: Initial = dataclasses.field(default_factory=UniformInitial)
    steps: int = 0

    def __post_init__(self) -> None:
        """Refuse what repeats nothing."""
        if not (self.days > 0 and self.repeats >= 1 and self.repeats == int(self.repeats)):
            raise ModelError(
                f"SpunUp needs days > 0 and a whole number of repeats, got {self.days} and "
                f"{self.repeats}"
            )
        start: Any = self.initial
        if not isinstance(start, Initial) or isinstance(start, SpunUp):
            raise ModelError(
                f"SpunUp starts from another Initial, such as UniformInitial(), got {start!r}"
            )

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Those of where it starts."""
        return self.initial.parameters

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Those of where it starts."""
        return self.initial.used(given, model)

    @property
    def spin_up(self) -> tuple[int, int]:
        """How many steps at the start of the record are repeated, and how often."""
        return self.steps, self.repeats

    @property
    def observed(self) -> tuple[float, ...]:
        """Depths (m) of the soil temperatures looked at at the first time."""
        return self.initial.observed

    def digest(self, model: Model, observed: Array) -> dict[str, Array]:
        """Leave it to where it starts."""
        return self.initial.digest(model, observed)

    def resolved(self, facts: Facts) -> SpunUp:
        """Count the steps.

        Raises
        ------
        ModelError
            If the record is shorter.
        """
        steps = round(self.days * 86400 / facts.step)
        if not 1 <= steps <= round(facts.duration / facts.step):
            raise ModelError(
                f"initial=SpunUp repeats the first {self.days:g} days, but the record has "
                f"{facts.duration / 86400:g} days in steps of {facts.step:g} s"
            )
        return dataclasses.replace(self, steps=steps, initial=self.initial.resolved(facts))

    def check(self, model: Model) -> None:
        """Refuse what its start refuses."""
        self.initial.check(model)

    def profile(
        self, model: Model, bottom: jax.Array, start: Values, parameters: Values
    ) -> jax.Array:
        """Temperature of every node before the repetitions (K), shape (nodes, ...)."""
        return self.initial.profile(model, bottom, start, parameters)
