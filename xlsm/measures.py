"""How far numbers are from numbers: the scores, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["MEASURES", "line", "measures"]

Array = np.ndarray[Any, np.dtype[Any]]

#: What `measures` gives, in this order, with its type.
MEASURES: dict[str, type] = {
    "rmse": np.float64,
    "bias": np.float64,
    "r2": np.float64,
    "kge": np.float64,
    "samples": np.int64,
}


def measures(simulated: Array, observed: Array) -> tuple[Array, ...]:
    """Hold a simulated series against an observed one; see `xlsm.scores.score`.

    Parameters
    ----------
    simulated, observed : array, shape (..., time)
        NaN is missing.

    Returns
    -------
    tuple of array, shape (...)
        As `MEASURES` names them.

    Examples
    --------
    >>> rmse, bias, r2, kge, samples = measures(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    >>> rmse.item(), bias.item(), r2.item(), samples.item()
    (1.0, 1.0, -3.0, 2)
    """
    # contiguous, so that a station's sums have the same order whatever it lies beside
    difference = np.ascontiguousarray(simulated - observed)
    there = np.isfinite(difference)
    samples = there.sum(axis=-1)
    off = np.where(there, difference, 0.0)
    mean, about = _about_mean(simulated, there)
    observed_mean, observed_about = _about_mean(observed, there)
    with np.errstate(divide="ignore", invalid="ignore"):
        square, spread = (off**2).sum(-1), _spread(about, mean)
        observed_spread = _spread(observed_about, observed_mean)
        correlation = (about * observed_about).sum(-1) / np.sqrt(spread * observed_spread)
        ratio = np.sqrt(spread / observed_spread)
        means = mean / np.where(observed_mean == 0, np.nan, observed_mean)
        kge = 1 - np.sqrt((correlation - 1) ** 2 + (ratio - 1) ** 2 + (means - 1) ** 2)
        return (
            np.sqrt(square / samples),
            off.sum(-1) / samples,
            1 - square / observed_spread,
            kge,
            samples,
        )


def line(series: Array, of: Array, fitted: Array) -> Array:
    """Predict a series by a straight line of another one, fitted by least squares.

    Parameters
    ----------
    series, of : array, shape (..., time)
        What is predicted, and from what; NaN is missing.
    fitted : bool array, shape (time,)
        Times to fit.

    Returns
    -------
    array, shape (..., time)
        At all times; a constant where `of` does not vary, NaN where there is nothing to fit.

    Examples
    --------
    >>> fitted = np.array([True, True, True, False])
    >>> line(np.array([1.0, 3.0, 5.0, 0.0]), np.array([0.0, 1.0, 2.0, 3.0]), fitted).tolist()
    [1.0, 3.0, 5.0, 7.0]
    """
    there = np.ascontiguousarray(np.isfinite(series + of) & fitted)
    mean, about = _about_mean(series, there)
    of_mean, of_about = _about_mean(of, there)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (about * of_about).sum(-1) / _spread(of_about, of_mean)
    slope = np.where(np.isnan(slope), 0.0, slope)
    predicted: Array = mean[..., None] + slope[..., None] * (of - of_mean[..., None])
    return predicted


def _about_mean(series: Array, there: Array) -> tuple[Array, Array]:
    """Mean of a series at some times, NaN if there are none, and its distance from it there."""
    numbers = np.where(there, series, 0.0)
    count = there.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = numbers.sum(-1) / count
    return mean, np.where(there, numbers - mean[..., None], 0.0)


def _spread(about: Array, mean: Array) -> Array:
    """Sum of squares about the mean; NaN where the series is constant to round-off."""
    square = (about**2).sum(-1)
    round_off = about.shape[-1] * (8 * np.finfo(float).eps * mean) ** 2
    spread: Array = np.where(square > round_off, square, np.nan)
    return spread
