"""Data made in process: an imagined network of stations, and the synthetic case of the paper.

Twin experiments: the observations come from the model itself, run with parameters that are
known and kept beside them as ``true_<parameter>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xlsm import models
from xlsm.model.constants import STEFAN_BOLTZMANN
from xlsm.model.model import Model
from xlsm.simulate import simulate
from xlsm.variables import attributes

__all__ = ["huang2025", "network", "truth"]

Array = np.ndarray[Any, np.dtype[np.float64]]

#: Standard errors of the noise on a network's observations: K and W m-2.
NOISE = {"SoilTemp": 0.1, "LWup": 5.0}
DEPTHS = (0.05, 0.10, 0.20)  # m
STEP = pd.Timedelta("30min")
#: Ranges the stations' parameters are drawn from; all have an emissivity of 0.95.
RANGES = {
    "albedo": (0.10, 0.35),
    "combined_transfer_coefficient": (12.0, 40.0),
    "thermal_conductivity": (0.4, 1.8),
    "heat_capacity": (1.4e6, 3.0e6),
    "deep_temperature": (286.0, 296.0),
}
SOLAR_CONSTANT = 1361.0  # W m-2


def network(
    stations: int = 24, days: int = 7, *, seed: int = 0, dead: int | None = None
) -> xr.Dataset:
    """Imagine a network of stations: weather, observations with noise and gaps, and the truth.

    The model is the default one. A station is the same whatever the number of stations.

    Parameters
    ----------
    stations, days : int, optional
        How many stations, and how many days of half-hourly data from 1 June 2024 on.
    seed : int, optional
        Of the random numbers.
    dead : int, optional
        Index of a station whose logger recorded no observation; by default none is dead.

    Returns
    -------
    Dataset
        Forcing ``SWdown``, ``LWdown`` and ``Tair`` (station, time); observations ``SoilTemp``
        (station, time, depth) at 0.05, 0.10 and 0.20 m with noise of 0.1 K, and ``LWup``
        (station, time) with noise of 5 W m-2, NaN where missing; the truth as
        ``true_<parameter>``, (station) or scalar. ``station`` holds names, ``latitude`` and
        ``longitude`` (station) degrees.

    Examples
    --------
    >>> ds = network(stations=2, days=1)
    >>> dict(ds.SoilTemp.sizes)
    {'station': 2, 'time': 49, 'depth': 3}
    >>> float(ds.true_emissivity)
    0.95
    """
    times = pd.date_range("2024-06-01", periods=days * 48 + 1, freq=STEP)
    # a generator for each station, so that one does not change with the number of others
    draws = [_station(times, np.random.default_rng([seed, i])) for i in range(stations)]
    columns = {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
    names = np.array([f"S{i:03d}" for i in range(stations)], dtype=object)
    true = {name: xr.DataArray(columns[name], dims="station") for name in RANGES}
    ds = xr.Dataset(
        {
            name: (("station", "time"), columns[name], attributes(name))
            for name in ("SWdown", "LWdown", "Tair")
        },
        coords={
            "station": ("station", names, {"long_name": "name of the station"}),
            "time": ("time", times, {"standard_name": "time", "long_name": "end of the interval"}),
            "latitude": ("station", columns["latitude"], _degrees("latitude", "north")),
            "longitude": ("station", columns["longitude"], _degrees("longitude", "east")),
        },
        attrs={"title": f"Synthetic network of {stations} stations"},
    )
    ds = _with_truth(ds, {**true, "emissivity": xr.DataArray(0.95)}, models.default())
    sim = simulate(ds, truth(ds), depth=DEPTHS, outputs=["SoilTemp", "LWup"])
    missing = columns["missing"]
    if dead is not None:
        missing[dead] = True
    for name, sensors in {"SoilTemp": slice(0, 3), "LWup": slice(3, 4)}.items():
        clean = sim[name].transpose("station", "time", ...)
        hidden = missing[..., sensors].reshape(clean.shape)
        noise = NOISE[name] * columns["noise"][..., sensors].reshape(clean.shape)
        ds[name] = (clean + noise).where(~hidden).assign_attrs(attributes(name))
    return ds


def _station(times: pd.DatetimeIndex, random: np.random.Generator) -> dict[str, Any]:
    """Draw place, truth, weather, noise and gaps of one station."""
    draw: dict[str, Any] = {name: random.uniform(*limits) for name, limits in RANGES.items()}
    draw["latitude"], draw["longitude"] = random.uniform(36, 58), random.uniform(-8, 28)
    day = (times - times[0]) / pd.Timedelta("1D")
    knots = np.arange(int(day[-1]) + 2)
    # clear days and overcast ones, passing smoothly into each other, with clouds in between
    cloud = np.interp(day, knots, random.beta(0.6, 0.9, knots.size))
    cloud = np.clip(cloud + 0.1 * random.standard_normal(times.size), 0, 1)
    solar_day = day + draw["longitude"] / 360
    sun = _cosine_of_zenith(draw["latitude"], times.day_of_year.to_numpy(), solar_day)
    clear = 0.75 * SOLAR_CONSTANT * np.maximum(sun, 0) ** 1.15
    draw["SWdown"] = clear * (1 - 0.75 * cloud**3.4)  # Kasten and Czeplak (1980)
    weather = np.interp(day, knots, 2.0 * random.standard_normal(knots.size))
    mean = draw["deep_temperature"] + random.uniform(0, 4) + weather
    daily = random.uniform(4, 8) * (1 - 0.5 * cloud)
    # warmest three hours after noon
    draw["Tair"] = np.asarray(mean + daily * np.cos(2 * np.pi * (solar_day - 15 / 24)))
    draw["LWdown"] = (0.76 + 0.2 * cloud) * STEFAN_BOLTZMANN * draw["Tair"] ** 4
    draw["missing"] = _gaps(times.size, random)
    draw["noise"] = random.standard_normal((times.size, len(DEPTHS) + 1))
    return draw


def _cosine_of_zenith(latitude: float, day_of_year: Array, solar_day: Any) -> Array:
    """Cosine of the sun's zenith angle (time,); the declination after Cooper (1969)."""
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day_of_year) / 365)
    hour_angle = 2 * np.pi * (np.asarray(solar_day) - 0.5)
    phi = np.radians(latitude)
    return np.asarray(
        np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    )


def _gaps(times: int, random: np.random.Generator) -> Any:
    """Say what is missing, (time, sensor): single values, and outages of hours to a day."""
    missing = random.random((times, len(DEPTHS) + 1)) < 0.01
    for sensor in range(missing.shape[1]):
        start, length = random.integers(times), random.integers(4, 48)
        missing[start : start + length, sensor] = True
    return missing


def _degrees(axis: str, direction: str) -> dict[str, str]:
    return {"standard_name": axis, "long_name": axis, "units": f"degrees_{direction}"}


def huang2025() -> xr.Dataset:
    """Make the synthetic case of Huang, Heaney & van Reeuwijk (2025), arXiv 2505.02979.

    A clear day four times over, hourly, on a column that starts at one temperature; soil
    temperature without noise, from the preset ``huang2025``.

    Returns
    -------
    Dataset
        ``SWdown``, ``LWdown`` and ``Tair`` (time,); ``SoilTemp`` (time, depth) at 0 and 0.05 m;
        the truth as ``true_<parameter>``, scalar. The paper's h of 15 W m-2 K-1 and beta of 1.5
        make a combined transfer coefficient of h (1 + 1/beta) = 25 W m-2 K-1.

    Examples
    --------
    >>> float(huang2025().true_combined_transfer_coefficient)
    25.0
    """
    hour = np.arange(101) % 24
    sunrise, sunset = 7, 21
    angle = (2 * hour - sunrise - sunset) / (sunset - sunrise) * np.pi / 2
    # exactly zero by night, where the cosine of pi/2 is 5e-17
    shortwave = np.where(abs(angle) < np.pi / 2, 800 * np.cos(angle), 0)
    times = pd.date_range("2012-05-01", periods=hour.size, freq="h")
    ds = xr.Dataset(
        {
            "SWdown": ("time", shortwave, attributes("SWdown")),
            "LWdown": ("time", np.full(hour.size, 100.0), attributes("LWdown")),
            "Tair": ("time", np.full(hour.size, 296.0), attributes("Tair")),
        },
        coords={"time": ("time", times, {"standard_name": "time"})},
        attrs={
            "title": "Synthetic case of Huang, Heaney & van Reeuwijk (2025)",
            "references": "https://arxiv.org/abs/2505.02979",
        },
    )
    values = {
        "albedo": 0.2,
        "emissivity": 0.95,
        "combined_transfer_coefficient": 25.0,
        "bowen_ratio": 1.5,
        "thermal_conductivity": 0.8,
        "heat_capacity": 2.2e6,
        "deep_temperature": 293.0,
    }
    true = {name: xr.DataArray(value) for name, value in values.items()}
    ds = _with_truth(ds, true, models.huang2025())
    sim = simulate(ds, truth(ds), depth=[0.0, 0.05], outputs="SoilTemp")
    ds["SoilTemp"] = sim["SoilTemp"].assign_attrs(attributes("SoilTemp"))
    return ds


def _with_truth(ds: xr.Dataset, true: Mapping[str, xr.DataArray], model: Model) -> xr.Dataset:
    """Add the truth, and the model it belongs to."""
    variables = {
        f"true_{name}": value.assign_attrs(
            units=model.parameters[name].units,
            long_name=f"true {model.parameters[name].meaning}",
        )
        for name, value in true.items()
    }
    return ds.assign(variables).assign_attrs(model=model.to_json())


def truth(ds: xr.Dataset) -> xr.Dataset:
    """Give the true parameters of a Dataset made in process, ready for ``ds.lsm.simulate``.

    Parameters
    ----------
    ds : Dataset
        With variables ``true_<parameter>``.

    Returns
    -------
    Dataset
        The same without the prefix; ``attrs["model"]`` is the model they belong to.

    Examples
    --------
    >>> ds = huang2025()
    >>> sim = ds.lsm.simulate(truth(ds))
    >>> bool((sim.SoilTemp == ds.SoilTemp).all())
    True
    """
    found = {}
    for name, value in ds.data_vars.items():
        if str(name).startswith("true_"):
            meaning = value.attrs["long_name"].removeprefix("true ")
            found[str(name).removeprefix("true_")] = value.assign_attrs(long_name=meaning)
    return xr.Dataset(found, attrs={"model": ds.attrs["model"]})
