"""Waves in a record: harmonics of a period by least squares, and how soil damps and delays them.

Plain NumPy. A wave is one complex number for each harmonic m of the angular frequency omega,
A_m with T(t) = Re(sum of A_m exp(i m omega t)). Conducted down a uniform half-space by dz it
becomes A_m exp(-(1 + i) x sqrt(m)), where x = dz sqrt(omega / (2 kappa)) is dz in damping depths
(Carslaw & Jaeger 1959, Conduction of Heat in Solids, section 2.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "best_distance",
    "conducted",
    "decrement_and_lag",
    "distances",
    "fit_harmonics",
    "four_sample_ratios",
]

Array = np.ndarray[Any, np.dtype[Any]]

#: Least eigenvalue of the mean normal matrix, which is about 1/3 for a whole record: below it the
#: times present leave a combination of the harmonics undetermined.
LEAST_EIGENVALUE = 1e-3
#: Distances tried, in damping depths: from what no thermometer resolves to where no wave is left.
DISTANCES = np.geomspace(1e-3, 10.0, 256)
#: Start times of the four samples; a quarter of the period later they are the same four.
STARTS = np.arange(24) / 24 * np.pi / 2


def fit_harmonics(series: Array, present: Array, angle: Array, harmonics: int) -> Array:
    """Fit mean, linear trend and harmonics to series with gaps, by least squares.

    Parameters
    ----------
    series : array, shape (..., series, time)
        What is not present may be anything, NaN too.
    present : bool array, shape (..., time)
        Which times to use; the same for all series of one fit.
    angle : array, shape (time,)
        2 pi t / period.
    harmonics : int
        How many harmonics; the last must be resolved, ``harmonics < steps a period / 2``.

    Returns
    -------
    complex array, shape (..., series, harmonics)
        A_m, in units of the series; NaN where the times present cannot determine them.

    Examples
    --------
    >>> angle = 2 * np.pi * np.arange(48) / 24
    >>> series = 280 + 3 * np.cos(angle - 1) + 0.1 * np.arange(48)
    >>> wave = fit_harmonics(series[None], np.arange(48) % 7 > 0, angle, 2)
    >>> np.abs(wave).round(9), np.angle(wave[0, 0]).round(9)
    (array([[3., 0.]]), np.float64(-1.0))
    """
    waves = np.exp(1j * np.arange(1, harmonics + 1)[:, None] * angle)
    trend = np.linspace(-1, 1, angle.size)
    basis = np.concatenate([np.ones((1, angle.size)), trend[None], waves.real, waves.imag])
    count = np.maximum(present.sum(-1), 1)[..., None, None]
    # column by column: no array larger than the data themselves
    normal = np.stack([(present * column) @ basis.T for column in basis], axis=-2) / count
    right = np.where(present[..., None, :], series, 0.0) @ basis.T / count
    known = np.linalg.eigvalsh(normal)[..., :1, None] > LEAST_EIGENVALUE
    normal = np.where(known, normal, np.eye(len(basis)))
    fitted = np.swapaxes(np.linalg.solve(normal, np.swapaxes(right, -1, -2)), -1, -2)[..., 2:]
    amplitudes = fitted[..., :harmonics] - 1j * fitted[..., harmonics:]
    return np.where(known, amplitudes, np.nan)


def conducted(wave: Array, distance: Array) -> Array:
    """Conduct a wave downwards.

    Parameters
    ----------
    wave : complex array, shape (..., harmonics)
        Harmonics where it comes from.
    distance : array, shape (...)
        How far, in damping depths of the first harmonic.

    Returns
    -------
    complex array, shape (..., harmonics)
        Harmonics where it arrives.

    Examples
    --------
    >>> arrived = conducted(np.array([1.0 + 0j]), np.array(1.0))
    >>> np.log(abs(arrived)).round(9), np.angle(arrived).round(9)
    (array([-1.]), array([-1.]))
    """
    roots = np.sqrt(np.arange(1, wave.shape[-1] + 1))
    return np.asarray(wave * np.exp(-(1 + 1j) * distance[..., None] * roots))


def distances(upper: Array, lower: Array, estimators: Sequence[str]) -> Array:
    """Find how far apart two waves are, by the estimators of `xlsm.diffusivity`.

    Parameters
    ----------
    upper, lower : complex array, shape (..., layer, harmonics)
        The wave above and below each layer.
    estimators : sequence of str
        Their names.

    Returns
    -------
    array, shape (..., estimator, layer)
        Thickness of the layer in damping depths of the first harmonic, positive; NaN where an
        estimator finds none.

    Examples
    --------
    >>> upper = np.array([[5.0 + 2j, 1.0 - 1j]])
    >>> lower = conducted(upper, np.array([0.7]))
    >>> distances(upper, lower, ["amplitude", "arctangent"]).round(12).tolist()
    [[0.7], [0.7]]
    """
    decrement, lag = decrement_and_lag(lower[..., 0] / upper[..., 0])
    found = {"amplitude": decrement, "phase": lag}
    if {"arctangent", "logarithmic"} & set(estimators):
        four = decrement_and_lag(four_sample_ratios(upper, lower), decrement[..., None])
        found["logarithmic"], found["arctangent"] = (np.median(x, axis=-1) for x in four)
    if "harmonic" in estimators:
        conducted_at_all = (decrement > 0) & (lag > 0)
        found["harmonic"] = np.where(conducted_at_all, best_distance(upper, lower), np.nan)
    stacked = np.stack([found[name] for name in estimators], axis=-2)
    return np.where(stacked > 0, stacked, np.nan)


def decrement_and_lag(ratio: Array, near: Array | None = None) -> tuple[Array, Array]:
    """Logarithm of the damping, and delay as an angle, of a wave that changed by a factor.

    Parameters
    ----------
    ratio : complex array
        The wave below over the one above.
    near : array, optional
        A delay is known but for whole turns; the one nearest to this is given. By default the
        logarithm of the damping, to which a conducted wave's delay is equal.

    Returns
    -------
    decrement, lag : array
        As ``ratio``.

    Examples
    --------
    >>> [float(x.round(9)) for x in decrement_and_lag(np.exp(np.array(-4 - 4j)))]
    [4.0, 4.0]
    """
    decrement = -np.log(np.abs(ratio))
    near = decrement if near is None else near
    turns = np.round((near + np.angle(ratio)) / (2 * np.pi))
    return decrement, 2 * np.pi * turns - np.angle(ratio)


def four_sample_ratios(upper: Array, lower: Array) -> Array:
    """Compare two waves by four samples, a quarter of the period apart.

    With T1 to T4 the samples, (T1 - T3) - i (T2 - T4) is twice the first harmonic: the mean and
    all even harmonics cancel, odd ones from the third on do not.

    Parameters
    ----------
    upper, lower : complex array, shape (..., harmonics)
        Harmonics of the two.

    Returns
    -------
    complex array, shape (..., starts)
        The number of the lower one over that of the upper one, for first samples all over a
        quarter of the period. Its modulus is that of the logarithmic method, its argument that of
        the arctangent method.

    Examples
    --------
    >>> upper = np.array([5.0 + 2j, 1.0 + 0j])
    >>> four_sample_ratios(upper, conducted(upper, np.array(0.5)))[0].round(6)
    np.complex128(0.532281-0.290786j)
    """
    orders = np.arange(1, upper.shape[-1] + 1)
    times = STARTS + np.pi / 2 * np.arange(4)[:, None, None]  # (sample, 1, start)
    first, second, third, fourth = np.exp(1j * orders[:, None] * times)
    along, across = first - third, second - fourth
    number = [(wave @ along).real - 1j * (wave @ across).real for wave in (upper, lower)]
    return np.asarray(number[1] / number[0])


def best_distance(upper: Array, lower: Array) -> Array:
    """Find the distance over which one wave, conducted, comes nearest to another.

    Least squares over all harmonics: a search through `DISTANCES`, then bisection of the
    derivative around the best of them.

    Parameters
    ----------
    upper, lower : complex array, shape (..., harmonics)
        The wave above and the one to predict.

    Returns
    -------
    array, shape (...)
        Distance in damping depths of the first harmonic; NaN where the best is at an end of the
        range: the wave is not damped at all, or nothing of it arrives.

    Examples
    --------
    >>> upper = np.array([5.0 + 2j, 1.0 - 1j])
    >>> best_distance(upper, conducted(upper, np.array(0.7))).round(12)
    np.float64(0.7)
    """
    least = np.full(upper.shape[:-1], np.inf)
    best = np.zeros(upper.shape[:-1], int)
    for i, distance in enumerate(DISTANCES):
        error = np.sum(np.abs(lower - conducted(upper, np.asarray(distance))) ** 2, axis=-1)
        best = np.where(error < least, i, best)
        least = np.fmin(error, least)
    inside = (best > 0) & (best < DISTANCES.size - 1)
    near, far = DISTANCES[np.maximum(best - 1, 0)], DISTANCES[best + inside]
    roots = np.sqrt(np.arange(1, upper.shape[-1] + 1))
    for _ in range(50):  # 7 % halved 50 times: round-off
        middle = (near + far) / 2
        arrived = conducted(upper, middle)
        slope = np.sum(((lower - arrived).conj() * (1 + 1j) * roots * arrived).real, axis=-1)
        near, far = np.where(slope > 0, near, middle), np.where(slope > 0, middle, far)
    return np.asarray(np.where(inside, (near + far) / 2, np.nan))
