"""The observations of a Dataset as single series, each of which can be scored."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr

from xlsm.axes import depths
from xlsm.model.model import Model
from xlsm.validate import read_variable
from xlsm.variables import OBSERVABLES, plausible

__all__ = ["Channel", "channels", "scored_outputs"]


class Channel(NamedTuple):
    """One series of observations.

    Parameters
    ----------
    name : str
        Name of the variable.
    level : int or None
        Which of its depths.
    depth : float
        That depth (m); NaN where it has none.
    values : DataArray
        (..., time), canonical units, NaN where missing or a value that cannot be.
    """

    name: str
    level: int | None
    depth: float
    values: xr.DataArray

    @property
    def label(self) -> str:
        """Name and depth."""
        return self.name if self.level is None else f"{self.name} {self.depth:g} m"

    def predicted(self, model: Model, outputs: Iterable[str]) -> bool:
        """Whether a model with these outputs predicts it, and is not told what it is."""
        told = {self.name, f"{self.name}@{self.depth!r}"}
        return self.name in outputs and not told & set(model.forcing)


def channels(ds: xr.Dataset) -> list[Channel]:
    """Take every observation of a Dataset apart into single series.

    Raises
    ------
    LSMError
        For units, values or dimensions that cannot be; see `xlsm.validate.read_variable`.

    Examples
    --------
    >>> import xlsm
    >>> [c.label for c in channels(xlsm.tutorial.open_dataset("huang2025"))]
    ['SoilTemp 0 m', 'SoilTemp 0.05 m']
    """
    found = []
    for name in OBSERVABLES:
        if name not in ds.variables:
            continue
        values = read_variable(ds, name)
        lower, upper = plausible(name)
        values = values.where((values >= lower) & (values <= upper))
        if name != "SoilTemp":
            # a depth left from a selection says nothing of it
            found.append(Channel(name, None, np.nan, values.drop_vars("depth", errors="ignore")))
            continue
        metres = depths(ds[name], name)
        profile = values if "depth" in values.dims else values.expand_dims("depth", -1)
        for level, depth in enumerate(metres.tolist()):
            found.append(Channel(name, level, depth, profile.isel(depth=level, drop=True)))
    return found


def scored_outputs(model: Model, known: Collection[str], ds: xr.Dataset) -> tuple[str, ...]:
    """Name what a model with these parameters simulates and the Dataset has, but is not told."""
    outputs = model.outputs(known)
    return tuple(n for n in outputs if n in OBSERVABLES and n in ds and n not in model.forcing)
