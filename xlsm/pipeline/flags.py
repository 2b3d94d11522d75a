"""What to keep in mind of an estimate, as bits of a number."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from xlsm.inference.invert import Estimate, Status

__all__ = ["CORRELATED", "DAILY", "POOR_FIT", "Flag", "flags_of", "poorly_known"]

Array = np.ndarray[Any, np.dtype[Any]]

#: Standard errors from which a parameter is poorly known: of its logarithm where it varies over
#: decades, else as a part of the width of its bounds.
POOR_LOGARITHM, POOR_PART = 0.3, 0.1
#: Mean square residual, over that of the stated error, from which a model does not fit.
POOR_FIT = 4.0
#: Autocorrelation of residuals from which they are no noise.
CORRELATED = 0.5
#: Part of the variance of residuals that follows the hour of the day, from which it is a pattern.
DAILY = 0.25


class Flag(enum.IntFlag):
    """What to keep in mind; a station may have several."""

    at_bound = 1
    poorly_determined = 2
    poor_fit = 4
    correlated_residuals = 8
    daily_pattern = 16
    not_quite_converged = 32


def poorly_known(value: Any, std: Any, *, log: bool, bounds: tuple[float, float]) -> Any:
    """Whether a parameter is poorly known; NaN, of one that is held at a bound, is not.

    Examples
    --------
    >>> bool(poorly_known(0.8, 0.35, log=True, bounds=(0.02, 8.0)))
    True
    """
    return std > (POOR_LOGARITHM * value if log else POOR_PART * (bounds[1] - bounds[0]))


def flags_of(
    result: Estimate, status: Array, log: tuple[bool, ...], bounds: tuple[tuple[float, float], ...]
) -> Array:
    """Flag the stations of a block.

    Parameters
    ----------
    result : Estimate
        NaN where there is no estimate.
    status : int8 array, shape (s,)
        What became of them.
    log : tuple of bool
        Which parameters vary over decades.
    bounds : tuple of (float, float)
        Of each of them.

    Returns
    -------
    int16 array, shape (s,)
        Sums of `Flag`; zero where there is no estimate.
    """
    values, std = np.asarray(result.values), np.asarray(result.std)
    poor = [
        poorly_known(*known, log=decades, bounds=limits)
        for *known, decades, limits in zip(values, std, log, bounds, strict=True)
    ]
    raised = {
        Flag.at_bound: status == Status.at_bound,
        Flag.poorly_determined: np.any(poor, axis=0),
        Flag.poor_fit: np.any(np.asarray(result.chi_square) > POOR_FIT, axis=0),
        Flag.correlated_residuals: np.any(np.asarray(result.autocorrelation) > CORRELATED, axis=0),
        Flag.daily_pattern: np.any(np.asarray(result.daily) > DAILY, axis=0),
        Flag.not_quite_converged: np.asarray(result.near) & (status <= Status.not_identifiable),
    }
    flags = np.zeros(status.shape, np.int16)
    for flag, there in raised.items():
        flags |= np.where(there, np.int16(flag), np.int16(0))
    return flags
