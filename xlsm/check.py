"""Everything the model would say about a Dataset, at once, as a table."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xlsm import models
from xlsm.axes import check_depths_in_column, depths, time_step, time_text
from xlsm.errors import LSMError
from xlsm.inputs import resolve
from xlsm.model.model import Model
from xlsm.pipeline.blocks import implausible
from xlsm.pipeline.lengths import spans
from xlsm.units import check_plausible, in_canonical_units, units_of
from xlsm.validate import called_otherwise, check_core_dims, find_variable
from xlsm.variables import OBSERVABLES, VARIABLES

__all__ = ["check"]

_BLANK: dict[str, Any] = {
    "variable": "",
    "role": "",
    "found": False,
    "units": "",
    "conversion": "",
    "range": "",
    "missing": np.nan,
    "longest_gap": None,
    "problem": "",
}


def check(ds: xr.Dataset, *, model: str | Model | None = None) -> pd.DataFrame:
    """Tell what is there, what is missing, and what would be refused: a table, never an exception.

    Parameters
    ----------
    ds : xarray.Dataset
        Forcing and observations, any shape; nothing lazy is computed.
    model : str or Model, optional
        The model it is meant for; it says which forcing is needed and how deep the column is.

    Returns
    -------
    pandas.DataFrame
        One row for ``time`` and ``depth``, each forcing and each observable: ``role`` ("axis",
        "forcing", "observation"), ``found``, ``units`` as labelled, ``conversion`` that will be
        made, ``range`` in canonical units ("lazy" if not computed), fraction ``missing``,
        ``longest_gap`` (consecutive missing times, the longest of all stations and depths) and
        ``problem``, empty where there is none. Forcing that begins late or ends early at a
        station has no gap there: the ``range`` of ``time`` says how many records are shorter.

    Raises
    ------
    ModelError
        If the model does not exist. Nothing in ``ds`` raises.

    Examples
    --------
    >>> ds = xr.Dataset({"Tair": ("time", [20.0, np.nan, 22.0], {"units": "degC"})})
    >>> table = check(ds).set_index("variable")
    >>> print(*table.loc["Tair", ["conversion", "range", "longest_gap"]], sep=", ")
    degC to K, 293.15 to 295.15, 1
    >>> print(table.loc["SWdown", "problem"])
    SWdown is not in the Dataset ...
    """
    model = models.get(model)
    trouble = ""
    try:
        model = resolve(model, ds)
    except LSMError as error:
        trouble = str(error)
    rows = [_time_row(ds, model), _depth_row(ds, model)]
    if trouble and not rows[0].get("problem"):
        rows[0]["problem"] = trouble
    read = dict.fromkeys(name.partition("@")[0] for name in model.forcing)
    rows += [_variable_row(ds, name, "forcing") for name in read if name in VARIABLES]
    rows += [_variable_row(ds, name, "observation") for name in OBSERVABLES]
    return pd.DataFrame([{**_BLANK, **row} for row in rows]).astype({"longest_gap": "Int64"})


def _time_row(ds: xr.Dataset, model: Model) -> dict[str, Any]:
    row: dict[str, Any] = {"variable": "time", "role": "axis", "found": "time" in ds.coords}
    if row["found"] and ds["time"].size:
        times = np.atleast_1d(ds["time"].values)
        row["range"] = (
            f"{time_text(times.flat[0])} to {time_text(times.flat[-1])}, {times.size} times"
        )
    try:
        step = time_step(ds)
        row["range"] += f", step {step:g} s{_shorter_records(ds, model)}"
    except LSMError as error:
        row["problem"] = str(error)
    return row


def _shorter_records(ds: xr.Dataset, model: Model) -> str:
    """Say how many stations have forcing for a part of the time; of data in memory."""
    needed = [name for name in model.forcing if name not in model.tolerated]
    forcing = [ds[name] for name in needed if name in ds and "time" in ds[name].dims]
    if not forcing or any(series.chunks is not None for series in forcing):
        return ""
    absent = [
        series.isnull().any([dim for dim in series.dims if str(dim).startswith("depth")])
        for series in forcing
    ]
    together = functools.reduce(operator.or_, absent).transpose(..., "time")
    first, count = spans(together.values)
    part = (count > 0) & (count < together.sizes["time"])
    if not part.any():
        return ""
    if count.ndim == 0:
        begin, end = (time_text(ds["time"].values[i]) for i in (first, first + count - 1))
        return f"; forcing from {begin} to {end}"
    times = f"{count[part].min()} to {count[part].max()} times"
    return f"; forcing at {part.sum()} of {part.size} stations for a part of it, {times}"


def _depth_row(ds: xr.Dataset, model: Model) -> dict[str, Any]:
    row: dict[str, Any] = {"variable": "depth", "role": "axis", "found": "depth" in ds.coords}
    if row["found"]:
        row["units"] = units_of(ds["depth"], "")
    if "SoilTemp" not in ds.variables:
        return row  # nothing else has depths
    try:
        metres = depths(ds["SoilTemp"], "SoilTemp")
        row["range"] = f"{metres.min():g} to {metres.max():g}" if metres.size else ""
        row["conversion"] = _conversion(row["units"], "m")
        check_depths_in_column(metres, model.layout.depth, model.layout.top)
    except LSMError as error:
        row["problem"] = str(error)
    return row


def _variable_row(ds: xr.Dataset, name: str, role: str) -> dict[str, Any]:
    row: dict[str, Any] = {"variable": name, "role": role, "found": name in ds.variables}
    if not row["found"] and role == "observation":  # none of them is needed
        others = called_otherwise(ds, name)
        if others:
            row["problem"] = (
                f"{name} is not in the Dataset, but {others[0]!r} may be it: then "
                f"ds.rename({{{others[0]!r}: {name!r}}}), for it is not read under its own name."
            )
        return row
    problems = []
    try:
        da = find_variable(ds, name)
        row["units"] = units_of(da, "")
        try:
            check_core_dims(da, name)
        except LSMError as error:
            problems.append(str(error))  # the values are worth looking at all the same
        values = in_canonical_units(da, name)
        row["conversion"] = _conversion(row["units"], VARIABLES[name].units)
        row |= _statistics(values, whole=role == "observation")
        if role == "forcing" and row.get("longest_gap", row.get("missing", 0)) > 0:
            problems.append(
                "Forcing has gaps, and a station with gaps in its forcing is not simulated: "
                "select times without, ds.sel(time=slice(...)), or fill them, "
                f"ds[{name!r}].interpolate_na('time')."
            )
        problems += _outside(values, name)
        check_plausible(values, name)
    except LSMError as error:
        problems.append(str(error))
    row["problem"] = " ".join(problems)
    return row


def _outside(da: xr.DataArray, name: str) -> list[str]:
    """Say how many values in memory cannot be, and where the first of them is."""
    if da.chunks is not None:
        return []
    lower, upper = VARIABLES[name].plausible
    bad = implausible(da.values, (lower, upper))
    if not bad.any():
        return []
    place = dict(zip(map(str, da.dims), np.argwhere(bad)[0].tolist(), strict=True))
    return [
        f"{int(bad.sum())} of {da.size} values are outside {lower:g} to {upper:g} "
        f"{VARIABLES[name].units}, the first, {da.values[bad][0]:g}, at {place}. A station with "
        f"such a value is flagged and not estimated; are they fill values? "
        f"ds[{name!r}].where(ds[{name!r}] > ...) makes them missing."
    ]


def _conversion(found: str, expected: str) -> str:
    """Say which conversion is made; a missing label is taken as canonical."""
    if not found:
        return f"none, taken as {expected}"
    return "" if found == expected else f"{found} to {expected}"


def _statistics(da: xr.DataArray, *, whole: bool) -> dict[str, Any]:
    """Range, missing fraction, longest gap of values in memory, of the record or of the whole."""
    if da.chunks is not None:
        return {"range": "lazy"}
    present = np.isfinite(da.values)
    if da.size == 0:
        return {"range": "empty"}
    found = da.values[present]
    statistics: dict[str, Any] = {
        "range": f"{found.min():g} to {found.max():g}" if found.size else "all missing",
        "missing": 1 - found.size / da.size,
    }
    if "time" in da.dims:
        along = np.moveaxis(present, da.get_axis_num("time"), -1)
        index = np.arange(along.shape[-1])
        if not whole:
            first, count = (numbers[..., None] for numbers in spans(~along))
            along = along | (count > 0) & ((index < first) | (index >= first + count))
        last_present = np.maximum.accumulate(np.where(along, index, -1), axis=-1)
        statistics["longest_gap"] = int((index - last_present).max())
    return statistics
