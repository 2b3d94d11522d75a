"""An estimate beside what it was fitted to, and beside what it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xlsm.arguments import parameter_values
from xlsm.channels import channels, scored_outputs
from xlsm.model.model import Model
from xlsm.notices import unnoticed
from xlsm.scores import described, score_parts
from xlsm.simulate import complete, run
from xlsm.validate import read_variable
from xlsm.windows import Windows, cut

__all__ = ["judged"]

Array = np.ndarray[Any, np.dtype[Any]]


def judged(
    est: xr.Dataset,
    ds: xr.Dataset,
    model: Model,
    holdout: Any,
    held: Array | None,
    windows: Windows | None,
) -> xr.Dataset:
    """Add the scores of an estimate to it, on what it was fitted to and on what was held out.

    Parameters
    ----------
    est : Dataset
        The estimate, as valid parameters.
    ds : Dataset
        The record.
    model : Model
        Resolved.
    holdout : str, timedelta, float, slice or None
        What the caller said, for the record.
    held : bool array, shape (time,), or None
        What it means; None adds nothing.
    windows : Windows or None
        What `held` is part of; else the record.

    Returns
    -------
    Dataset
        See `xlsm.accessor.LSMAccessor.estimate`.
    """
    if held is None:
        return est
    values = complete(parameter_values(est, model), model)
    outputs, grid = scored_outputs(model, values, ds), model.layout
    series = []
    for channel in channels(ds):
        inside = not (
            channel.depth < grid.top * (1 - 1e-9) or channel.depth > grid.depth * (1 + 1e-9)
        )
        if channel.predicted(model, outputs) and inside:
            series.append(channel._replace(values=cut(channel.values, windows)))
    metres = [channel.depth for channel in series if channel.level is not None]
    # levels of a simulation that has these depths and no others
    levels = iter(range(len(metres)))
    series = [c if c.level is None else c._replace(level=next(levels)) for c in series]
    names = tuple(dict.fromkeys(channel.name for channel in series))
    with unnoticed():  # what it lacks the estimate lacks too
        sim = run(ds, model, values, names, np.array(metres), windows)
    sun = cut(read_variable(ds, "SWdown"), windows) if "SWdown" in ds.variables else None
    labels = [channel.label for channel in series]
    scores = score_parts(sim, series, labels, held, est["cost"], sun).drop_vars("predicted")
    if sun is None:  # temperatures alone: no line, but the same variables for every site
        scores["rmse_line"] = xr.full_like(scores["rmse"], np.nan)
    scores = described(scores.transpose(..., "part", "observable"), series)
    merged = est.merge(scores, compat="override", join="exact")
    return merged.assign_attrs(holdout=str(holdout))
