"""Hypothesis strategies: odd but legal Datasets and models, and ways to spoil a good one."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import strategies as st
from twins import forcing

from xlsm import BareSurface, Model, PaperRadiation, UniformGrid, ZeroFlux

#: Few shapes and few models, because each pair is compiled anew.
SHAPES = [(1, 1), (2, 1), (2, 3), (9, 1), (9, 3)]
MODELS = [
    Model(grid=UniformGrid(depth=1.0, nodes=11)),
    Model(
        grid=UniformGrid(depth=0.5, nodes=3),
        bottom=ZeroFlux(),
        surface=BareSurface(PaperRadiation()),
    ),
    Model(grid=UniformGrid(depth=2.0, nodes=11), solver="tridiagonal"),
]


@dataclasses.dataclass
class Case:
    """A model, a Dataset it can be run on, and parameters in canonical units."""

    model: Model
    ds: xr.Dataset
    parameters: dict[str, Any]
    step: float

    @property
    def ratio(self):
        """The number r = lambda dt / (C dz^2) that decides how stiff a step is."""
        dz = self.model.grid.spacing
        diffusivity = self.parameters["thermal_conductivity"] / self.parameters["heat_capacity"]
        return diffusivity * self.step / dz**2


def between(lower, upper):
    return st.floats(lower, upper, allow_nan=False, width=64)


@st.composite
def parameters(draw, model):
    """Any values inside the physical bounds, the bounds included."""
    values = {
        name: draw(between(*model.parameters[name].bounds))
        for name in (
            "albedo",
            "emissivity",
            "combined_transfer_coefficient",
            "thermal_conductivity",
            "heat_capacity",
        )
    }
    name = "deep_temperature" if model.bottom.fixed else "initial_temperature"
    values[name] = draw(between(250.0, 320.0))
    return values


@st.composite
def weather(draw, times, stations):
    """Days, nights, or no change at all."""
    ds = forcing(stations, times)
    kind = draw(st.sampled_from(["days", "night", "constant", "dark and cold"]))
    if kind == "night":
        ds["SWdown"] = 0 * ds.SWdown
    elif kind == "constant":
        for name in ds.data_vars:
            ds[name] = xr.full_like(ds[name], float(ds[name].mean()))
    elif kind == "dark and cold":
        ds = ds.assign(SWdown=0 * ds.SWdown, LWdown=0 * ds.LWdown + 80, Tair=0 * ds.Tair + 215)
    return ds


@st.composite
def legal_cases(draw):
    """Something odd that must give a right answer all the same."""
    times, stations = draw(st.sampled_from(SHAPES))
    model = draw(st.sampled_from(MODELS))
    ds = draw(weather(times, stations))
    seconds = draw(st.sampled_from([1, 60, 1800, 3600, 86400, 30 * 86400]))
    start = pd.Timestamp("1980-02-28")
    ds = ds.assign_coords(time=pd.date_range(start, periods=times, freq=f"{seconds}s"))

    dtype = draw(st.sampled_from(["float64", "float32", ">f8", "int16", "int64"]))
    ds = ds.round().astype(dtype) if dtype != "float64" else ds
    if draw(st.booleans()) and dtype.startswith("f"):
        ds["Tair"] = (ds.Tair - 273.15).assign_attrs(units="degC")
    else:
        ds["Tair"].attrs["units"] = "K"
    for dim in draw(st.sets(st.sampled_from(["member", "x"]))):
        name = draw(st.sampled_from(["SWdown", "LWdown", "Tair"]))
        ds[name] = ds[name].expand_dims({dim: 1}, axis=-1)
    if draw(st.booleans()):
        ds = ds.assign_coords(latitude=("station", np.zeros(stations)), site="here")
        ds = ds.assign(spectrum=(("station", "band"), np.full((stations, 2), np.nan)), Rainf=-1.0)
    if draw(st.booleans()):
        ds = ds.transpose(*draw(st.permutations(list(ds.dims))))
    return Case(model, ds, draw(parameters(model)), float(seconds if times > 1 else 1))


# ---------------------------------------------------------------------------- spoiling


#: Ways to make a Dataset illegal; each must be refused.
REFUSED = {
    "dropped": lambda ds, name: ds.drop_vars(name),
    "shuffled": lambda ds, name: ds.isel(time=[1, 0, *range(2, ds.sizes["time"])]),
    "duplicated": lambda ds, name: ds.isel(time=[0, 0, *range(1, ds.sizes["time"])]),
    "irregular": lambda ds, name: ds.isel(time=[0, 1, 3, 4]),
    "no times": lambda ds, name: ds.isel(time=[]),
    "no time": lambda ds, name: ds.drop_vars("time"),
    "no dimension": lambda ds, name: ds.assign({name: ds[name].isel(time=0, drop=True)}),
    "renamed": lambda ds, name: ds.rename(time="t"),
    "wrong units": lambda ds, name: ds.assign({name: ds[name].assign_attrs(units="kg")}),
    "nonsense units": lambda ds, name: ds.assign({name: ds[name].assign_attrs(units="?!")}),
    "wrong values": lambda ds, name: ds.assign({name: ds[name] * 100 + 1e5}),
    "text": lambda ds, name: ds.assign({name: ds[name].astype(str)}),
    "complex": lambda ds, name: ds.assign({name: ds[name] + 0j}),
    "over depth": lambda ds, name: ds.assign({name: ds[name].expand_dims(depth=[0.1])}),
}
#: Values that are no weather.
BROKEN = [np.nan, np.inf, -np.inf, 1e300]
