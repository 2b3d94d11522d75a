"""The state of the column at the first time."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from xlsm.errors import ModelError
from xlsm.model.bottom import sensor
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Facts, Piece

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Initial", "ObservedInitial", "ProfileInitial", "UniformInitial"]

Values = Mapping[str, jax.Array]
Array = np.ndarray[Any, np.dtype[np.float64]]

INITIAL_TEMPERATURE = ParameterSpec(
    "initial_temperature",
    "T_0",
    "K",
    288.15,
    (220.0, 340.0),
    "linear",
    "temperature of the whole column at the first time",
)


class Initial(Piece, abc.ABC):
    """Temperatures at the first time."""

    @property
    def spin_up(self) -> tuple[int, int]:
        """How many steps at the start of the record are repeated, and how often."""
        return 0, 0

    @property
    def observed(self) -> tuple[float, ...]:
        """Depths (m) of the soil temperatures looked at at the first time."""
        return ()

    def digest(self, model: Model, observed: Array) -> dict[str, Array]:
        """Make what `profile` wants of soil temperatures (depths, n) at the first time."""
        return {}

    @abc.abstractmethod
    def profile(
        self, model: Model, bottom: jax.Array, start: Values, parameters: Values
    ) -> jax.Array:
        """Temperature of every node at the first time (K).

        Parameters
        ----------
        model : Model
            Whose initial state it is.
        bottom : array, shape (...)
            Temperature of the bottom node (K), where it is given.
        start : mapping of str to array
            What was observed at the first time.
        parameters : mapping of str to array, shape (...)
            By name.

        Returns
        -------
        array, shape (nodes, ...)
        """


@dataclasses.dataclass(frozen=True)
class UniformInitial(Initial):
    """The column starts at one temperature, by default that of its bottom.

    Without ``initial_temperature`` the column starts at the temperature of its bottom, or, over
    an insulated one, at the default initial temperature.
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The initial temperature, used only where it is given."""
        return (INITIAL_TEMPERATURE,)

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Name the parameter where the caller set it, or where nothing else can start it."""
        needed = "initial_temperature" in given or not model.bottom.fixed
        return ("initial_temperature",) if needed else ()

    def profile(
        self, model: Model, bottom: jax.Array, start: Values, parameters: Values
    ) -> jax.Array:
        """Temperature of every node at the first time (K), shape (nodes, ...)."""
        temperature = parameters.get("initial_temperature", bottom)
        return jnp.broadcast_to(temperature, (model.layout.nodes, *jnp.shape(temperature)))


@dataclasses.dataclass(frozen=True)
class ObservedInitial(Initial):
    """The column starts at the soil temperatures observed at the first time.

    Linear between the sensors, constant above the shallowest, and from the deepest linear to
    the temperature of the bottom, or constant over an insulated one. A sensor that is missing
    at a station is left out there.

    Parameters
    ----------
    depths : tuple of float
        Depths of the sensors (m); filled in from the data.
    """

    depths: tuple[float, ...] = ()

    @property
    def observed(self) -> tuple[float, ...]:
        """Depths (m) of the soil temperatures looked at at the first time."""
        return self.depths

    def resolved(self, facts: Facts) -> ObservedInitial:
        """Take all sensors there are.

        Raises
        ------
        ModelError
            If there are none, or none at one of the depths.
        """
        there = facts.depths.get("SoilTemp", ())
        if not there:
            raise ModelError(
                "initial=ObservedInitial starts from an observed SoilTemp, but the Dataset has "
                "none; use initial=UniformInitial() or SpunUp()"
            )
        wanted = sorted(self.depths) or there
        found = (sensor(facts, depth, 0, "initial=ObservedInitial") for depth in wanted)
        return ObservedInitial(tuple(found))

    def digest(self, model: Model, observed: Array) -> dict[str, Array]:
        """Interpolate to the nodes; give the share of the bottom's temperature apart."""
        nodes, count = model.layout.node_depths, observed.shape[-1]
        profile = np.full((nodes.size, count), np.nan)
        share = np.zeros((nodes.size, count))
        sensors = np.asarray(self.depths)
        for i in range(count):
            there = np.isfinite(observed[:, i])
            if not there.any():
                continue
            known = sensors[there]
            if model.bottom.fixed and known[-1] < nodes[-1]:
                share[:, i] = np.clip((nodes - known[-1]) / (nodes[-1] - known[-1]), 0.0, 1.0)
            profile[:, i] = np.interp(nodes, known, observed[there, i]) * (1 - share[:, i])
        return {"profile": profile, "share": share}

    def profile(
        self, model: Model, bottom: jax.Array, start: Values, parameters: Values
    ) -> jax.Array:
        """Temperature of every node at the first time (K), shape (nodes, ...)."""
        return start["profile"] + start["share"] * bottom


@dataclasses.dataclass(frozen=True)
class ProfileInitial(Initial):
    """The column starts at temperatures given, or estimated, at a few depths.

    Linear between the depths, constant above the first; below the last linear to the
    temperature of the bottom, or constant over an insulated one. A few numbers are all that the
    first days of data can tell of a profile.

    Parameters
    ----------
    depths : tuple of float
        Depths (m), shallowest first; each has a parameter ``initial_temperature_<number>``.

    Examples
    --------
    >>> [p.name for p in ProfileInitial(depths=(0.0, 0.3)).parameters]
    ['initial_temperature_1', 'initial_temperature_2']
    """

    depths: tuple[float, ...] = (0.0, 0.1, 0.4)

    def __post_init__(self) -> None:
        """Refuse depths that are none."""
        depths = np.asarray(self.depths, dtype=float)
        grown = depths.ndim == 1 and np.all(np.diff([-1e-12, *depths, np.inf]) > 0)
        if not (depths.size and grown):
            raise ModelError(
                "the depths of ProfileInitial (m) must not be negative, and grow; got "
                f"{self.depths}"
            )
        object.__setattr__(self, "depths", tuple(depths.tolist()))

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """A temperature for each depth."""
        return tuple(
            dataclasses.replace(
                INITIAL_TEMPERATURE,
                name=f"initial_temperature_{i}",
                symbol=f"T_0{i}",
                meaning=f"temperature at {depth:g} m at the first time",
            )
            for i, depth in enumerate(self.depths, start=1)
        )

    def check(self, model: Model) -> None:
        """Refuse depths below the column."""
        if not model.layout.undecided and self.depths[-1] >= model.layout.depth:
            raise ModelError(
                f"initial=ProfileInitial has a depth of {self.depths[-1]:g} m, but the column "
                f"ends at {model.layout.depth:g} m"
            )

    def profile(
        self, model: Model, bottom: jax.Array, start: Values, parameters: Values
    ) -> jax.Array:
        """Temperature of every node at the first time (K), shape (nodes, ...)."""
        names = [spec.name for spec in self.parameters]
        end = bottom if model.bottom.fixed else parameters[names[-1]]
        knots = jnp.stack([*(parameters[name] for name in names), end])
        grid = model.layout
        hats = np.stack(
            [
                np.interp(grid.node_depths, (*self.depths, grid.depth), hat)
                for hat in np.eye(len(names) + 1)
            ],
            axis=1,
        )
        return jnp.tensordot(jnp.asarray(hats), knots, axes=1)
