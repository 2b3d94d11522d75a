"""What every piece of a model has: parameters, forcing, and a name that a text can give."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import numpy as np

from xlsm.errors import ModelError
from xlsm.model.parameters import ParameterSpec

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["Facts", "Piece", "from_text", "to_text"]

T = TypeVar("T")
Array = np.ndarray[Any, np.dtype[Any]]

#: Every piece by name: reading a text never builds anything else.
_PIECES: dict[str, type[Piece]] = {}


class Facts(NamedTuple):
    """What a piece may want to know of the data before it can be run.

    Parameters
    ----------
    step : float
        Time step (s).
    duration : float
        From the first time to the last (s).
    depths : mapping of str to tuple of float
        Depths (m) at which a variable is there, shallowest first.
    """

    step: float
    duration: float
    depths: Mapping[str, tuple[float, ...]]


class Piece:
    """A part of a model: a frozen dataclass that holds settings only, never arrays.

    Subclasses declare their parameters and the forcing they read beside the physics that uses
    them. Defining one makes it known to `from_text`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _PIECES[_name(cls)] = cls

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Parameters that may be given."""
        return ()

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables read at each time; ``"SoilTemp@0.5"`` is one depth (m) of a profile."""
        return ()

    @property
    def tolerated(self) -> tuple[str, ...]:
        """Those of the forcing that may be missing at times."""
        return ()

    def used(self, given: frozenset[str], model: Model) -> tuple[str, ...]:
        """Name the parameters in use where the caller has named those in `given`."""
        return tuple(spec.name for spec in self.parameters)

    def resolved(self, facts: Facts) -> Self:
        """Give the piece with what the data decide filled in."""
        return self

    def check(self, model: Model) -> None:
        """Raise ModelError where the piece does not fit the others."""

    def impossible(
        self, forcing: Mapping[str, Array], parameters: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Find stations whose parameters cannot be, given their forcing.

        Parameters
        ----------
        forcing : mapping of str to array, shapes (time, n) or (time, depth, n)
            At least what the piece reads; NaN is missing.
        parameters : mapping of str to array, shape (n,)
            Those that are known.

        Returns
        -------
        dict of str to bool array, shape (n,)
            Which stations, by what is wrong with them and what to do; empty where nothing is.
        """
        return {}


def _name(piece: type[Piece]) -> str:
    """Short for our own pieces; those of others must not take their place."""
    own = piece.__module__.startswith("xlsm.")
    return piece.__name__ if own else f"{piece.__module__}.{piece.__qualname__}"


def to_text(pieces: Mapping[str, Any]) -> str:
    """Write pieces and settings as JSON."""
    return json.dumps(pieces, default=_describe)


def _describe(piece: Any) -> Any:
    if isinstance(piece, np.generic):
        return piece.item()
    settings = {field.name: getattr(piece, field.name) for field in dataclasses.fields(piece)}
    return {"piece": _name(type(piece)), **settings}


def from_text(text: str, whole: Callable[..., T]) -> T:
    """Build what `to_text` wrote, and give it by name to what it is a whole of.

    Raises
    ------
    ModelError
        For a piece or a setting this version does not know.
    """
    try:
        return whole(**{name: _build(value) for name, value in json.loads(text).items()})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"cannot rebuild the model {text!r}: {error!r}; it may come from another version "
            "of xlsm: pass model= explicitly"
        ) from error


def _build(value: Any) -> Any:
    if isinstance(value, list):  # JSON has no tuples, pieces have no lists
        return tuple(map(_build, value))
    if not isinstance(value, dict):
        return value
    settings = {name: _build(setting) for name, setting in value.items()}
    return _PIECES[settings.pop("piece")](**settings)
