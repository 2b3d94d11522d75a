"""Synthetic stations whose parameters are known, for tests: forcing, truth, observations."""

import numpy as np
import pandas as pd
import xarray as xr

import xlsm  # noqa: F401  (registers ds.lsm)
from xlsm.variables import VARIABLES

#: The parameters the tests estimate, in this order.
FREE = (
    "albedo",
    "combined_transfer_coefficient",
    "thermal_conductivity",
    "heat_capacity",
    "deep_temperature",
)
#: What is observed in most tests, with its standard errors.
ERRORS = {"SoilTemp": 0.1, "LWup": 5.0}


def forcing(stations=None, hours=48, step="1h"):
    """Days of sun, sky and air, a little different at every station; 1-D without stations."""
    time = pd.date_range("2012-05-01", periods=hours, freq=step, name="time")
    hour = xr.DataArray(np.arange(hours) * pd.Timedelta(step) / pd.Timedelta("1h"), dims="time")
    place = xr.DataArray(0.0)
    if stations is not None:
        place = xr.DataArray(np.linspace(0.0, 1.0, stations), dims="station")
    sun = np.maximum(np.sin((hour - 6) * np.pi / 12), 0.0)
    wave = np.sin((hour - 9) * np.pi / 12)
    ds = xr.Dataset(
        {
            "SWdown": (700 + 200 * place) * sun * (0.8 + 0.2 * np.cos(hour / 7)),
            "LWdown": 330 + 20 * wave - 15 * place,
            "Tair": 290 + (5 + 2 * place) * wave + np.cos(hour / 5),
        }
    ).assign_coords(time=time)
    for name in ds:
        ds[name].attrs["units"] = VARIABLES[name].units
    if stations is not None:
        ds = ds.transpose("station", "time").assign_coords(
            station=[f"site{i:04d}" for i in range(stations)]
        )
    return ds


def truth(stations=None, seed=0):
    """Parameters amid their bounds, a number or one for each station."""
    shape = () if stations is None else (stations,)
    dims = () if stations is None else ("station",)
    random = np.random.default_rng(seed)

    def between(lower, upper):
        return xr.DataArray(random.uniform(lower, upper, shape), dims=dims)

    return {
        "albedo": between(0.1, 0.3),
        "combined_transfer_coefficient": between(12, 30),
        "thermal_conductivity": between(0.6, 1.6),
        "heat_capacity": between(1.5e6, 2.8e6),
        "deep_temperature": between(288, 293),
    }


def twin(stations=None, hours=48, noise=0.0, seed=0, depth=(0.02, 0.1), outputs=tuple(ERRORS)):
    """Forcing with simulated observations of known parameters.

    ``noise`` is in units of the standard errors (`ERRORS`, else the usual ones).
    """
    ds = forcing(stations, hours)
    values = truth(stations, seed)
    if {"Qh", "Qle"} & set(outputs):
        values["bowen_ratio"] = xr.full_like(values["albedo"], 0.7)
    sim = ds.lsm.simulate(values, depth=depth, outputs=outputs)
    random = np.random.default_rng(seed + 1)
    for name in outputs:
        error = ERRORS.get(name, VARIABLES[name].error)
        ds[name] = sim[name] + noise * error * random.standard_normal(sim[name].shape)
        ds[name].attrs = dict(sim[name].attrs)
    return ds


def assert_identical_numbers(a, b):
    """The same variables with the same bits, NaN in the same places."""
    assert set(a.data_vars) == set(b.data_vars)
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=name)
