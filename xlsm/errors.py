"""Every error a user can meet is an :class:`LSMError`, and says what to do about it."""

from __future__ import annotations


class LSMError(ValueError):
    """Base of all errors raised by xlsm for input it cannot accept."""


class LSMWarning(UserWarning):
    """Something that gives a result, but not the one that was meant, perhaps."""


class FlaggedWarning(LSMWarning):
    """Part of a result is missing, or rests on a bound: which, why, and what to do."""


class DoubtfulWarning(LSMWarning):
    """There is reason to doubt an estimate: the data leave it open, or the model does not fit."""


class MissingVariableError(LSMError):
    """A variable the model or the observations need is not in the Dataset."""


class UnitsError(LSMError):
    """Units cannot be converted, or values cannot be what their units claim."""


class DimensionError(LSMError):
    """Dimensions, depths or chunks of the input do not fit."""


class TimeAxisError(LSMError):
    """The time coordinate is missing, unsorted, duplicated or irregular."""


class ParameterError(LSMError):
    """A parameter is unknown, contradictory, missing or outside its bounds."""


class ModelError(LSMError):
    """A model, a solver or a combination of pieces that does not exist."""


class DataNotFoundError(LSMError, FileNotFoundError):
    """A tutorial data set is neither on this machine nor reachable."""
