"""The problems every contender is given: the paper's synthetic case, and an ensemble around it.

Plain NumPy, so that the peers owe nothing to xlsm. The case is that of Huang, Heaney and
van Reeuwijk (arXiv 2505.02979): 100 hourly steps from midnight on a column of 1 m, the land's
temperature observed at the surface and at 0.05 m, no noise.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Order of the parameters in every array of this folder.
FREE = (
    "albedo",
    "combined_transfer_coefficient",
    "thermal_conductivity",
    "heat_capacity",
    "deep_temperature",
)
#: h = 15 W m-2 K-1 and a Bowen ratio of 1.5 make H = h (1 + 1/beta) = 25 W m-2 K-1.
TRUTH: Array = np.array([0.2, 25.0, 0.8, 2.2e6, 293.0])
EMISSIVITY = 0.95
STEFAN_BOLTZMANN = 5.670374419e-8  # W m-2 K-4, CODATA 2018

TIMES = 101
STEP = 3600.0  # s
NODES = 101
DEPTH = 1.0  # m
OBSERVED_DEPTHS: Array = np.array([0.0, 0.05])  # m
SUNRISE, SUNSET = 7.0, 21.0  # h


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Stations that differ in weather, in truth and in where the search for it starts.

    Parameters
    ----------
    forcing : ndarray, shape (stations, 3, times)
        SWdown and LWdown (W m-2) and Tair (K) of each station.
    truth, start : ndarray, shape (stations, 5)
        Parameters in the order of `FREE`.
    """

    forcing: Array
    truth: Array
    start: Array


def forcing() -> Array:
    """Weather of the paper's case.

    Returns
    -------
    ndarray, shape (3, times)
        SWdown and LWdown (W m-2) and Tair (K), hourly from midnight.
    """
    hour = np.arange(TIMES) % 24.0
    angle = (2 * hour - SUNRISE - SUNSET) / (SUNSET - SUNRISE) * np.pi / 2
    shortwave = 800.0 * np.cos(np.clip(angle, -np.pi / 2, np.pi / 2))
    return np.stack([shortwave, np.full(TIMES, 100.0), np.full(TIMES, 296.0)])


def ensemble(stations: int, seed: int = 0) -> Ensemble:
    """Draw stations around the paper's case.

    Starts span the range of the paper's own 50 published ones, whatever the station's truth.

    Parameters
    ----------
    stations : int
        How many.
    seed : int
        Of the NumPy generator.
    """
    random = np.random.default_rng(seed)

    def uniform(lower: list[float], upper: list[float]) -> Array:
        return random.uniform(lower, upper, (stations, len(lower)))

    truth = uniform([0.1, 15.0, 0.5, 1.6e6, 289.0], [0.35, 40.0, 1.5, 2.8e6, 298.0])
    start = uniform([0.06, 8.0, 0.47, 2.0e6, 290.0], [0.47, 40.0, 0.8, 2.5e6, 303.0])
    brightness, longwave, warmth = uniform([0.7, 100.0, -6.0], [1.1, 300.0, 6.0]).T
    weather = np.broadcast_to(forcing(), (stations, 3, TIMES)).copy()
    weather[:, 0] *= brightness[:, None]
    weather[:, 1] = longwave[:, None]
    weather[:, 2] += warmth[:, None]
    return Ensemble(forcing=weather, truth=truth, start=start)
