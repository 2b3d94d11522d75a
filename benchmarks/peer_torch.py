"""The paper's method in PyTorch, from its description: gradients through unrolled Jacobi sweeps.

A step of backward Euler is solved by Jacobi iteration, each sweep a convolution of the column with
``[1, 0, 1]`` after padding it with the ghost node above and the deep temperature below, until no
temperature moves by more than 1e-4 K. Automatic differentiation records every sweep. This is an own
implementation of the method of arXiv 2505.02979, not the authors' code.

What the surface loses at its own temperature stands on the diagonal, the emission with the cube of
the last sweep, as published; taken wholly from the last sweep it would make the sweeps diverge.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import case

Array = NDArray[np.float64]

TOLERANCE = 1e-4  # K
_KERNEL = torch.tensor([[[1.0, 0.0, 1.0]]], dtype=torch.float64)


def forward(
    parameters: torch.Tensor, forcing: torch.Tensor, dt: float, nodes: int
) -> tuple[torch.Tensor, int]:
    """Soil temperature at every node and time.

    Parameters
    ----------
    parameters : tensor, shape (5,)
        In the order of `benchmarks.case.FREE`, SI units, float64.
    forcing : tensor, shape (3, times)
        SWdown and LWdown (W m-2) and Tair (K).
    dt : float
        Time step (s).
    nodes : int
        Nodes over `benchmarks.case.DEPTH`.

    Returns
    -------
    temperature : tensor, shape (nodes, times)
        K; the first time is the initial state.
    sweeps : int
        Jacobi sweeps made, all steps together.
    """
    albedo, exchange, conductivity, capacity, deep = parameters
    dx = case.DEPTH / (nodes - 1)
    r = conductivity * dt / (capacity * dx**2)
    emission = case.EMISSIVITY * case.STEFAN_BOLTZMANN
    end = deep.reshape(1)
    column = deep.expand(nodes - 1)  # without the last node, which is the deep temperature
    history = [torch.cat([column, end])]
    sweeps = 0
    for shortwave, longwave, air in forcing.T[1:]:
        previous = column
        gain = (1 - albedo) * shortwave + longwave + exchange * air
        while True:
            loss = exchange + emission * column[0] ** 3
            ghost = column[1] + 2 * dx / conductivity * gain
            padded = torch.cat([ghost.reshape(1), column, end])
            neighbours = torch.nn.functional.conv1d(padded[None, None], _KERNEL)[0, 0]
            at_surface = (2 * r * dx / conductivity * loss).reshape(1)
            diagonal = 1 + 2 * r + torch.nn.functional.pad(at_surface, (0, nodes - 2))
            updated = (previous + r * neighbours) / diagonal
            change = (updated - column).detach().abs().max().item()
            column = updated
            sweeps += 1
            if change < TOLERANCE:
                break
            if not math.isfinite(change):
                raise FloatingPointError("the Jacobi sweeps diverged")
        history.append(torch.cat([column, end]))
    return torch.stack(history, dim=1), sweeps


def value_and_gradient(
    parameters: Array, observed: Array, forcing: Array, dt: float, nodes: int, depths: Array
) -> tuple[float, Array]:
    """Mean squared misfit to observed temperatures, and its gradient by reverse mode.

    Parameters
    ----------
    parameters : ndarray, shape (5,)
        In the order of `benchmarks.case.FREE`.
    observed : ndarray, shape (depths, times)
        K.
    forcing : ndarray, shape (3, times)
        SWdown and LWdown (W m-2) and Tair (K).
    dt, nodes
        As in `forward`.
    depths : ndarray, shape (depths,)
        Where it is observed (m); each must be a node.

    Returns
    -------
    value : float
        In K2.
    gradient : ndarray, shape (5,)
        In K2 per unit of each parameter.
    """
    free = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)
    rows = np.rint(depths / case.DEPTH * (nodes - 1)).astype(int)
    temperature, _ = forward(free, torch.from_numpy(forcing), dt, nodes)
    value = torch.mean((temperature[rows] - torch.from_numpy(observed)) ** 2)
    value.backward()
    assert free.grad is not None
    return value.item(), free.grad.numpy()


def seconds_for_value_and_gradient(steps: int = case.TIMES - 1) -> float:
    """Time value and gradient of the paper's case at its truth, on one thread.

    Parameters
    ----------
    steps : int
        Time steps to run. The default is the paper's 100, so that nothing is extrapolated.

    Returns
    -------
    float
        Seconds for these steps, of the second of two runs.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        forcing = case.forcing()[:, : steps + 1]
        observed = np.full((case.OBSERVED_DEPTHS.size, steps + 1), case.TRUTH[4])
        elapsed = 0.0
        for _ in range(2):
            start = time.perf_counter()
            value_and_gradient(
                case.TRUTH, observed, forcing, case.STEP, case.NODES, case.OBSERVED_DEPTHS
            )
            elapsed = time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)
    return elapsed
