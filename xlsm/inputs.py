"""What a model reads of a Dataset: forcing, the state at the first time, facts that decide."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np
import xarray as xr

from xlsm.axes import depths, time_step, year_fraction
from xlsm.errors import LSMWarning, MissingVariableError
from xlsm.model.data_grid import DAY, USUAL_DIFFUSIVITY, YEAR, AutoGrid, damping_depth
from xlsm.model.model import Model
from xlsm.model.piece import Facts
from xlsm.solar import read_elevation
from xlsm.validate import find_variable, read_variable
from xlsm.variables import VARIABLES
from xlsm.windows import Windows, cut

__all__ = ["read_forcing", "read_start", "resolve", "warn_if_shallow"]

#: Dimension of the depths of a forcing, and of the first temperatures: their own, whatever other
#: variables have.
LEVEL, START = "_level", "_start"


def resolve(model: Model, ds: xr.Dataset, windows: Windows | None = None) -> Model:
    """Fill in what the data decide: the depth of ``grid="auto"``, the sensors that are followed.

    Parameters
    ----------
    model : Model
        As the caller gave it.
    ds : Dataset
        The record.
    windows : Windows, optional
        Stretches of it, if the model runs over these and not over the whole.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        If the data have not what a piece needs.

    Examples
    --------
    >>> import xlsm
    >>> ds = xlsm.tutorial.open_dataset("huang2025")
    >>> resolve(xlsm.Model(grid="auto"), ds).grid.nodes
    24
    """
    return model.resolved(facts(ds, windows))


def facts(ds: xr.Dataset, windows: Windows | None = None) -> Facts:
    """Collect what pieces may want to know of a Dataset, or of windows of it."""
    step = time_step(ds)
    times = windows.length if windows else ds.sizes["time"]
    known = {}
    for name in ("SoilTemp", "SoilMoist"):
        if name not in ds.variables:
            continue
        profile = _with_depth(ds, name)
        if "depth" not in profile.coords:
            continue  # whoever needs the depths will say so
        metres = depths(profile, name)
        there = np.ones(metres.size, bool)
        if profile.chunks is None and "depth" in profile.dims:
            # two variables that share a coordinate have NaN at each other's depths
            there = profile.notnull().any([dim for dim in profile.dims if dim != "depth"]).values
        known[name] = tuple(sorted(map(float, metres[there])))
    return Facts(step, step * (times - 1), known)


def _with_depth(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Take a profile, whatever its own depth dimension is called."""
    profile = find_variable(ds, name)
    own = [dim for dim in profile.dims if str(dim).startswith("depth") and dim != "depth"]
    if "depth" in profile.dims or len(own) != 1:
        return profile
    return profile.drop_vars("depth", errors="ignore").rename({own[0]: "depth"})


def read_forcing(
    ds: xr.Dataset, model: Model, windows: Windows | None = None
) -> tuple[list[xr.DataArray], list[tuple[str, ...]]]:
    """Read all forcing of a model, in canonical units, whole or cut into windows.

    Returns
    -------
    arrays : list of DataArray
        One for each name of ``model.forcing``.
    core_dims : list of tuple of str
        Core dimensions of each.

    Raises
    ------
    LSMError
        If something is missing, or not what it should be; says which piece needs it.
    """
    arrays = []
    for name in model.forcing:
        try:
            # cut after it is read: the height of the sun is that of the time, in every window
            arrays.append(cut(_read(ds, name, model), windows))
        except MissingVariableError as error:
            piece = next(piece for piece in model.pieces if name in piece.forcing)
            raise MissingVariableError(f"{error} ({type(piece).__name__} needs it.)") from error
    core = [tuple(d for d in ("time", LEVEL) if d in array.dims) for array in arrays]
    return arrays, core


def _read(ds: xr.Dataset, name: str, model: Model) -> xr.DataArray:
    variable, _, depth = name.partition("@")
    if depth:
        return _level(_profile(ds, variable), (float(depth),)).isel({LEVEL: 0}, drop=True)
    if variable == "YearFraction":  # counted on over the new year: steps interpolate
        return year_fraction(ds) + (ds["time"].dt.year - int(ds["time"].dt.year[0]))
    if variable == "SolarElevation" and variable not in ds.variables:
        # a mean of the interval that ends at a time belongs to the sun of its middle
        return read_elevation(ds, middle=model.stepping.forcing_is == "mean")
    if variable not in VARIABLES:
        raise MissingVariableError(
            f"{variable!r} is no variable xlsm knows; those are {', '.join(VARIABLES)}."
        )
    if "depth" in VARIABLES[variable].dims:
        return _level(_profile(ds, variable), model.soil.depths)
    return read_variable(ds, variable)


def _profile(ds: xr.Dataset, name: str) -> xr.DataArray:
    # alone: among others it would be aligned with their depths
    profile = read_variable(_with_depth(ds, name).to_dataset(name=name), name)
    return profile if "depth" in profile.dims else profile.expand_dims("depth", -1)


def _level(profile: xr.DataArray, wanted: tuple[float, ...]) -> xr.DataArray:
    """Depths of a profile on a dimension of its own, which no other variable shares."""
    metres = depths(profile, str(profile.name))
    places = [int(np.argmin(np.abs(metres - depth))) for depth in wanted]
    return profile.isel(depth=places).rename(depth=LEVEL).drop_vars(LEVEL)


def read_start(
    ds: xr.Dataset, model: Model, windows: Windows | None = None
) -> tuple[list[xr.DataArray], list[tuple[str, ...]]]:
    """Read what the initial state wants of the first time, of each window; as `read_forcing`.

    At all times: which is the first one is each station's own matter.
    """
    wanted = model.initial.observed
    if not wanted:
        return [], []
    profile = cut(_level(_profile(ds, "SoilTemp"), wanted), windows)
    return [profile.rename({LEVEL: START})], [("time", START)]


def warn_if_shallow(
    model: Model,
    ds: xr.Dataset,
    values: Mapping[str, xr.DataArray],
    windows: Windows | None = None,
    stacklevel: int = 4,
) -> None:
    """Warn of a column that the slowest wave of its record, or its windows, reaches through.

    Parameters
    ----------
    model : Model
        Resolved.
    ds : xarray.Dataset
        The record.
    values : mapping of str to DataArray
        Parameters in use, first guesses of the free ones among them.
    windows : Windows, optional
        As of `resolve`.
    stacklevel : int, optional
        Frames up to the caller the warning should point at.

    Warns
    -----
    LSMWarning
        If the column is shallower than twice the damping depth of the record, and its bottom
        stands for the soil below.
    """
    known = facts(ds, windows)
    if not model.bottom.deep or known.duration < DAY:
        return
    if "thermal_diffusivity" in values:
        diffusivity = values["thermal_diffusivity"]
    elif {"thermal_conductivity", "heat_capacity"} <= set(values):
        diffusivity = values["thermal_conductivity"] / values["heat_capacity"]
    else:
        diffusivity = xr.DataArray(USUAL_DIFFUSIVITY)
    if diffusivity.chunks is not None:
        return
    typical = float(diffusivity.median())  # NaN where there is none, and no warning
    grid = model.layout
    reach = grid.top + 2 * damping_depth(typical, min(known.duration, YEAR))
    if grid.depth < reach:
        enough = grid.top == 0 and AutoGrid().resolved(known).depth >= reach
        auto = ', or grid="auto"' if enough else ""
        warnings.warn(
            f"the column ends at {grid.depth:g} m, but a wave as long as the "
            f"{'windows' if windows else 'record'} ({known.duration / DAY:.0f} days) reaches "
            f"deeper: use a grid that ends at "
            f"{math.ceil(10 * reach) / 10:g} m or below (twice its damping depth){auto}",
            LSMWarning,
            stacklevel=stacklevel,
        )
