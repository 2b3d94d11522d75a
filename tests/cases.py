"""What the tests of the physics share: the paper's case, and the model run on plain numbers."""

import os
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
import quick
import xarray as xr

import xlsm
from benchmarks import case
from xlsm.model import column

#: Parameters of the paper's synthetic case by name.
TRUTH = dict(zip(case.FREE, case.TRUTH.tolist(), strict=True))
#: The three ways to advance a step, the iterative one with a tolerance that makes it exact.
SOLVERS = ("modal", "tridiagonal", xlsm.Jacobi(tolerance=1e-11))
SOLVER_NAMES = ("modal", "tridiagonal", "jacobi")
WEATHER = ("SWdown", "LWdown", "Tair")


def paper_dataset():
    """Forcing of the paper's case."""
    time = pd.date_range("2024-06-01", periods=case.TIMES, freq="1h")
    series = dict(zip(WEATHER, case.forcing(), strict=True))
    return xr.Dataset({k: ("time", v) for k, v in series.items()}, {"time": time})


def published(name):
    """A file of the paper's, or a skip that says what is missing."""
    if "XLSM_DATA" not in os.environ:
        pytest.skip("XLSM_DATA does not name a folder with the paper's files")
    path = Path(os.environ["XLSM_DATA"]) / "huang2025" / name
    if not path.exists():
        pytest.skip(f"the paper's {name} is not in the folder XLSM_DATA names")
    return path


def weather(times, step=3600.0):
    """Days of changing weather, one station, as plain arrays."""
    hour = np.arange(times) * step / 3600
    return {
        "SWdown": 700 * np.maximum(np.sin((hour - 6) * np.pi / 12), 0.0),
        "LWdown": 320 + 20 * np.sin(hour / 7),
        "Tair": 288 + 6 * np.sin((hour - 9) * np.pi / 12),
    }


@partial(quick.jit, static_argnums=0)
def _run(model, parameters, forcing, start, dt, depths):
    return column.run(model, parameters, forcing, start, dt, depths)


def run(model, parameters, forcing, dt=3600.0, depths=(0.0,), start=None):
    """Outputs of the model as NumPy arrays; missing parameters take their defaults.

    Parameters that are arrays have a batch shape; everything else is broadcast to it.
    """
    names = model.used(parameters)
    values = {n: np.asarray(parameters.get(n, model.parameters[n].default)) for n in names}
    series = {n: np.asarray(f, float) for n, f in forcing.items()}
    batch = np.broadcast_shapes(
        *(v.shape for v in values.values()),
        *(f.shape[2 if n in model.profiles else 1 :] for n, f in series.items()),
    )
    tail = (1,) * len(batch)

    def series_of(name, values):
        core = values.shape[: 2 if name in model.profiles else 1]
        own = values if values.ndim > len(core) else values.reshape(*core, *tail)
        return np.broadcast_to(own, (*core, *batch))

    with jax.enable_x64(True):
        out = _run(
            model,
            {n: np.broadcast_to(v, batch).astype(float) for n, v in values.items()},
            {n: series_of(n, f) for n, f in series.items()},
            {} if start is None else start,
            np.float64(dt),
            np.asarray(depths, float),
        )
        return {name: np.asarray(values) for name, values in out.items()}
