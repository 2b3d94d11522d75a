"""How a time step is made of solutions of the implicit equations."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import jax

from xlsm.errors import ModelError
from xlsm.model.piece import Piece

__all__ = ["SDIRK2", "BackwardEuler", "Stepping"]

Values = Mapping[str, jax.Array]
#: One backward-Euler solution of the column: state at its start and forcing at its end give the
#: state at its end. The state is any tree of arrays in which the solution is linear but for the
#: surface.
Stage = Callable[[Any, Values], Any]


@dataclasses.dataclass(frozen=True)
class Stepping(Piece, abc.ABC):
    """A time step between two times of the forcing.

    Parameters
    ----------
    substeps : int
        How many steps are taken.
    forcing_is : {"instant", "mean"}
        What the forcing stands for: values at the instants of its times, linear between them;
        or means over the intervals that end there, the same all the interval long.
    """

    #: Stages start from sums of states, which only a soil that is linear in temperature allows.
    blends: ClassVar[bool] = False

    substeps: int = 1
    forcing_is: Literal["instant", "mean"] = "instant"

    def __post_init__(self) -> None:
        """Refuse what is no way to step."""
        if self.substeps != int(self.substeps) or self.substeps < 1:
            raise ModelError(f"substeps must be a whole number of at least 1, got {self.substeps}")
        if self.forcing_is not in ("instant", "mean"):
            raise ModelError(f"forcing_is must be 'instant' or 'mean', got {self.forcing_is!r}")

    @property
    @abc.abstractmethod
    def stage_length(self) -> float:
        """Length of a stage over that of the time step."""

    @abc.abstractmethod
    def substep(self, stage: Stage, state: Any, at: Callable[[Any], Values], begin: Any) -> Any:
        """Advance from `begin` to one substep later, in units of the time step."""

    def advance(self, stage: Stage, state: Any, before: Values, now: Values) -> Any:
        """State at the end of the time step.

        Parameters
        ----------
        stage : callable
            See `Stage`; each is `stage_length` time steps long.
        state : tree of arrays
            At the start.
        before, now : mapping of str to array
            Forcing at the start and at the end.
        """

        def at(fraction: Any) -> Values:
            if self.forcing_is == "mean" or (isinstance(fraction, float) and fraction == 1):
                return now  # at the end, to the last bit
            between: Values = jax.tree.map(lambda a, b: a + fraction * (b - a), before, now)
            return between

        if self.substeps == 1:
            return self.substep(stage, state, at, 0.0)

        def body(i: Any, state: Any) -> Any:
            return self.substep(stage, state, at, i / self.substeps)

        return jax.lax.fori_loop(0, self.substeps, body, state)


@dataclasses.dataclass(frozen=True)
class BackwardEuler(Stepping):
    """Implicit steps of first order under the forcing at their end; nothing oscillates, ever.

    Examples
    --------
    >>> BackwardEuler(substeps=4).stage_length
    0.25
    """

    @property
    def stage_length(self) -> float:
        """Length of a stage over that of the time step."""
        return 1 / self.substeps

    def substep(self, stage: Stage, state: Any, at: Callable[[Any], Values], begin: Any) -> Any:
        """One stage."""
        return stage(state, at(begin + 1 / self.substeps))


#: Diagonal of the scheme: the one value that makes it L-stable and of second order.
DIAGONAL = 1 - math.sqrt(0.5)


@dataclasses.dataclass(frozen=True)
class SDIRK2(Stepping):
    """Second order: two implicit stages a step, stiffly accurate and L-stable.

    ``T_1 = T + d dt f(T_1)``, ``T_2 = T + (1 - d) dt f(T_1) + d dt f(T_2)``,
    ``d = 1 - 1/sqrt(2)`` [1]_. For conduction alone it is, stage by stage, as accurate as
    TR-BDF2 [2]_: two implicit solutions with the same diagonal and the same stability function.
    Unlike that one it needs no rate of change at the start of a step, which a jump of the
    forcing or an initial state that is no solution would spoil, and so no damped start.

    References
    ----------
    .. [1] Alexander, R. (1977), SIAM J. Numer. Anal. 14, 1006-1021.
    .. [2] Bank et al. (1985), IEEE Trans. Electron Devices 32, 1992-2007.

    Examples
    --------
    >>> round(SDIRK2().stage_length, 4)
    0.2929
    """

    blends: ClassVar[bool] = True

    @property
    def stage_length(self) -> float:
        """Length of a stage over that of the time step."""
        return DIAGONAL / self.substeps

    def substep(self, stage: Stage, state: Any, at: Callable[[Any], Values], begin: Any) -> Any:
        """Two stages."""
        first = stage(state, at(begin + self.stage_length))
        # f(T_1) is the change over the first stage
        weight = (1 - DIAGONAL) / DIAGONAL
        start = jax.tree.map(lambda old, new: old + weight * (new - old), state, first)
        return stage(start, at(begin + 1 / self.substeps))
