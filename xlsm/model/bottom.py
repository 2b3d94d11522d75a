"""What happens at the lower end of the column."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp

from xlsm.errors import ModelError
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Facts, Piece

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["AnnualTemperature", "Bottom", "FixedTemperature", "ObservedBottom", "ZeroFlux"]

Values = Mapping[str, jax.Array]

DEEP_TEMPERATURE = ParameterSpec(
    "deep_temperature",
    "T_deep",
    "K",
    288.15,
    (220.0, 340.0),
    "linear",
    "constant temperature at the bottom of the column",
)
DEEP_AMPLITUDE = ParameterSpec(
    "deep_temperature_amplitude",
    "A_deep",
    "K",
    3.0,
    (0.0, 40.0),
    "linear",
    "amplitude of the annual wave at the bottom of the column",
)
DEEP_DAY = ParameterSpec(
    "deep_temperature_day",
    "t_deep",
    "day",
    230.0,
    (-200.0, 600.0),
    "linear",
    "day of the year of the highest temperature at the bottom of the column",
)


class Bottom(Piece, abc.ABC):
    """The lower end of the column."""

    #: The bottom node is given, not solved for.
    fixed: ClassVar[bool] = True
    #: Its temperature changes with time: the modal solver cannot be used.
    varying: ClassVar[bool] = False
    #: It stands for the soil below, and must lie where the waves from above have died away.
    deep: ClassVar[bool] = True

    @abc.abstractmethod
    def temperature(self, forcing: Values, parameters: Values) -> jax.Array:
        """Temperature of the bottom node (K), shape (...)."""


@dataclasses.dataclass(frozen=True)
class FixedTemperature(Bottom):
    """The bottom node stays at ``deep_temperature``."""

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The deep temperature."""
        return (DEEP_TEMPERATURE,)

    def temperature(self, forcing: Values, parameters: Values) -> jax.Array:
        """Temperature of the bottom node (K), shape (...)."""
        return parameters["deep_temperature"]


@dataclasses.dataclass(frozen=True)
class ZeroFlux(Bottom):
    """No heat leaves through the bottom; the bottom node is solved for like the others."""

    fixed: ClassVar[bool] = False

    def temperature(self, forcing: Values, parameters: Values) -> jax.Array:
        """Zero: the reference temperature of a column that has no fixed one."""
        return jnp.zeros_like(next(iter(parameters.values())))


@dataclasses.dataclass(frozen=True)
class ObservedBottom(Bottom):
    """The bottom node follows an observed soil temperature.

    Parameters
    ----------
    depth : float, optional
        Depth of the sensor (m), which is that of the grid's last node; by default the deepest
        one.
    """

    varying: ClassVar[bool] = True
    deep: ClassVar[bool] = False

    depth: float | None = None

    @property
    def forcing(self) -> tuple[str, ...]:
        """One depth of the observed soil temperature."""
        return () if self.depth is None else (f"SoilTemp@{self.depth!r}",)

    def resolved(self, facts: Facts) -> ObservedBottom:
        """Take the deepest sensor.

        Raises
        ------
        ModelError
            If there is none, or none at the depth.
        """
        return ObservedBottom(sensor(facts, self.depth, -1, "bottom=ObservedBottom"))

    def check(self, model: Model) -> None:
        """Refuse a grid that does not end at the sensor."""
        end = model.layout.depth
        if model.layout.undecided or self.depth is None:
            return
        if abs(end - self.depth) > 1e-9 * end:
            raise ModelError(
                f"the bottom follows the soil temperature at {self.depth:g} m, but the grid ends "
                f"at {end:g} m: use grid=UniformGrid(depth={self.depth:g}), or SensorGrid()"
            )

    def temperature(self, forcing: Values, parameters: Values) -> jax.Array:
        """Temperature of the bottom node (K), shape (...)."""
        return forcing[self.forcing[0]]


@dataclasses.dataclass(frozen=True)
class AnnualTemperature(Bottom):
    """The bottom node follows an annual wave.

    ``T = T_deep + A_deep cos(2 pi (year - t_deep / 365.25))`` with the time of the year as a
    fraction, and ``deep_temperature`` the annual mean.
    """

    varying: ClassVar[bool] = True
    deep: ClassVar[bool] = False

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Mean, amplitude, and day of the maximum."""
        return (DEEP_TEMPERATURE, DEEP_AMPLITUDE, DEEP_DAY)

    @property
    def forcing(self) -> tuple[str, ...]:
        """The time of the year, made from the time."""
        return ("YearFraction",)

    def temperature(self, forcing: Values, parameters: Values) -> jax.Array:
        """Temperature of the bottom node (K), shape (...)."""
        phase = forcing["YearFraction"] - parameters["deep_temperature_day"] / 365.25
        wave = parameters["deep_temperature_amplitude"] * jnp.cos(2 * jnp.pi * phase)
        return parameters["deep_temperature"] + wave


def sensor(facts: Facts, depth: float | None, default: int, who: str) -> float:
    """Find the depth of a soil temperature that somebody reads.

    Raises
    ------
    ModelError
        If there is none there.
    """
    there = facts.depths.get("SoilTemp", ())
    if not there:
        raise ModelError(f"{who} reads an observed SoilTemp, but the Dataset has none")
    if depth is None:
        return there[default]
    for known in there:
        if abs(known - depth) <= 1e-9:
            return known
    listed = ", ".join(f"{known:g}" for known in there)
    raise ModelError(f"{who} reads SoilTemp at {depth:g} m, but the Dataset has it at {listed} m")
