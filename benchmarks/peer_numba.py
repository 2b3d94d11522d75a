"""What a careful user would write today: a numba forward model inside SciPy's least squares.

Backward Euler on the uniform column; the column is eliminated from the bottom, where nothing is
non-linear, so that the surface balance becomes one scalar quartic, which Newton solves. The soil
is constant in time, so the elimination is factorised once a run, and what remains in a step is one
multiply-add a node each way.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from benchmarks import case

Array = NDArray[np.float64]

#: Step of the difference quotients, relative: the root of the double's resolution.
_RELATIVE_STEP = 1.5e-8
#: How far each parameter typically moves: what makes the five comparable.
_SCALE: Array = np.array([0.1, 10.0, 0.5, 1e6, 5.0])
_EMISSION = case.EMISSIVITY * case.STEFAN_BOLTZMANN


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def forward(parameters, forcing, dt, nodes, depths):
    """Soil temperature at given depths by the scheme of the paper, solved exactly.

    Parameters
    ----------
    parameters : ndarray, shape (5,)
        In the order of `benchmarks.case.FREE`, SI units.
    forcing : ndarray, shape (3, times)
        SWdown and LWdown (W m-2) and Tair (K).
    dt : float
        Time step (s).
    nodes : int
        Nodes over `benchmarks.case.DEPTH`.
    depths : ndarray, shape (depths,)
        Where to read the temperature (m), linearly between nodes.

    Returns
    -------
    ndarray, shape (depths, times)
        K; the first time is the initial state.
    """
    albedo, exchange, conductivity, capacity, deep = parameters
    times = forcing.shape[1]
    last = nodes - 1
    dx = case.DEPTH / last
    r = conductivity * dt / (capacity * dx * dx)
    to_surface = 2.0 * r * dx / conductivity

    # T_i = slope_i T_{i-1} + offset_i, from the bottom up; slope_i and gain_i never change
    slope = np.zeros(nodes)
    gain = np.zeros(nodes)
    for i in range(last - 1, 0, -1):
        gain[i] = 1.0 / (1.0 + 2.0 * r - r * slope[i + 1])
        slope[i] = r * gain[i]
    linear = 1.0 + 2.0 * r * (1.0 - slope[1]) + to_surface * exchange
    quartic = to_surface * _EMISSION

    place = depths / dx
    node = np.minimum(place.astype(np.int64), last - 1)
    weight = place - node
    state = np.full(nodes, deep)
    offset = np.empty(nodes)
    offset[last] = deep
    out = np.empty((depths.size, times))
    out[:, 0] = deep
    for t in range(1, times):
        for i in range(1, last):
            offset[i] = gain[i] * state[i]
        carry = deep
        for i in range(last - 1, 0, -1):
            carry = offset[i] + slope[i] * carry
            offset[i] = carry
        known = (
            state[0]
            + 2.0 * r * carry
            + to_surface
            * ((1.0 - albedo) * forcing[0, t] + forcing[1, t] + exchange * forcing[2, t])
        )
        surface = state[0]
        for _ in range(50):
            cube = surface * surface * surface
            change = ((linear + quartic * cube) * surface - known) / (linear + 4.0 * quartic * cube)
            surface -= change
            # Newton squares its error (and the curvature is small): what is left is round-off
            if abs(change) < 1e-5:
                break
        state[0] = surface
        for i in range(1, last):
            surface = offset[i] + slope[i] * surface
            state[i] = surface
        for k in range(depths.size):
            j = node[k]
            out[k, t] = state[j] + weight[k] * (state[j + 1] - state[j])
    return out


@numba.njit(cache=True, nogil=True)
def forward_many(parameters, forcing, dt, nodes, depths):
    """`forward` for many stations, without returning to Python between them.

    Parameters and forcing have a leading axis of stations; so has the result.
    """
    out = np.empty((parameters.shape[0], depths.size, forcing.shape[2]))
    for station in range(parameters.shape[0]):
        out[station] = forward(parameters[station], forcing[station], dt, nodes, depths)
    return out


@numba.njit(cache=True, nogil=True)
def jacobian(parameters, forcing, dt, nodes, depths):
    """Differentiate `forward` by forward differences.

    Returns
    -------
    ndarray, shape (depths * times, 5)
        In K per unit of each parameter.
    """
    base = forward(parameters, forcing, dt, nodes, depths).ravel()
    out = np.empty((base.size, parameters.size))
    for k in range(parameters.size):
        moved = parameters.copy()
        moved[k] += _RELATIVE_STEP * parameters[k]
        change = forward(moved, forcing, dt, nodes, depths).ravel() - base
        out[:, k] = change / (moved[k] - parameters[k])
    return out


def invert(observed, start, forcing, dt, nodes, depths, tolerance=1e-8) -> Array:
    """Find the parameters that explain the observed temperatures.

    Levenberg-Marquardt as in MINPACK: of SciPy's methods the fastest here, and never one to fail
    on these problems. Its Jacobian is taken in numba too, which saves the way back to Python for
    each of its columns.

    Parameters
    ----------
    observed : ndarray, shape (depths, times)
        K, all given, of equal weight.
    start : ndarray, shape (5,)
        First guess.
    forcing, dt, nodes, depths
        As in `forward`.
    tolerance : float
        Of cost and parameters, relative, as SciPy's ``ftol`` and ``xtol``.

    Returns
    -------
    ndarray, shape (5,)
    """
    rest = (forcing, dt, nodes, depths)

    def residuals(parameters: Array) -> Any:
        return (forward(parameters, *rest) - observed).ravel()

    def derivatives(parameters: Array) -> Any:
        return jacobian(parameters, *rest)

    fit = least_squares(
        residuals,
        start,
        jac=derivatives,
        method="lm",
        x_scale=_SCALE,
        xtol=tolerance,
        ftol=tolerance,
        gtol=1e-15,  # off: only the two above decide
    )
    return np.asarray(fit.x)
