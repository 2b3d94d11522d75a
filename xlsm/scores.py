"""How well simulations meet observations, and what a fit cost in parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.axes import depths
from xlsm.model.model import Model
from xlsm.validate import read_variable
from xlsm.variables import OBSERVABLES, plausible

__all__ = ["MEANINGS", "Channel", "channels", "score", "score_fit", "score_parts", "stacked"]

#: Units (none: those of the observable) and meaning of everything in the scores.
MEANINGS = {
    "rmse": ("", "root mean square of simulated minus observed"),
    "bias": ("", "mean of simulated minus observed"),
    "r2": ("1", "coefficient of determination, 1 - sum of squares over that about the mean"),
    "samples": ("1", "number of times that are scored"),
    "predicted": ("", "whether the model predicts it, and is not told it"),
    "free_parameters": ("1", "number of parameters that were estimated"),
    "observations": ("1", "number of observations that were fitted"),
    "reduced_chi_square": ("1", "2 cost / (observations - free_parameters)"),
    "bic": ("1", "Bayesian information criterion, 2 cost + free_parameters ln(observations)"),
    "at_bound": ("", "parameters that ended at a bound"),
}


def score(simulated: xr.DataArray, observed: xr.DataArray) -> xr.Dataset:
    """Score a series against observations, at the times when both are there.

    Parameters
    ----------
    simulated, observed : DataArray
        (..., time), in the same units; NaN is missing.

    Returns
    -------
    Dataset
        (...): ``rmse``, root mean square of simulated minus observed; ``bias``, its mean; ``r2``,
        one minus the sum of its squares over that of the observations about their mean, the
        coefficient of determination that hydrology calls Nash-Sutcliffe efficiency (1 is
        perfect, 0 no better than the observed mean; NaN where the observations do not vary);
        ``samples``, the number of times. Lazy if the input is.

    Examples
    --------
    >>> observed = xr.DataArray([1.0, 2.0, 3.0, np.nan], dims="time")
    >>> result = score(observed + 0.5, observed)
    >>> result.rmse.item(), result.bias.item(), result.r2.item(), result.samples.item()
    (0.5, 0.5, 0.625, 3)
    """
    difference = simulated - observed
    there = difference.notnull()
    spread = observed.where(there)
    about_mean = ((spread - spread.mean("time")) ** 2).sum("time")
    unexplained = (difference**2).sum("time") / about_mean.where(about_mean > 0)
    return xr.Dataset(
        {
            "rmse": np.sqrt((difference**2).mean("time")),
            "bias": difference.mean("time"),
            "r2": 1 - unexplained,
            "samples": there.sum("time"),
        }
    )


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


def score_parts(
    sim: xr.Dataset, predicted: Sequence[Channel], labels: Sequence[str], first: int
) -> xr.Dataset:
    """Score a simulation before and from the first held-out time on.

    Parameters
    ----------
    sim : Dataset
        As ``ds.lsm.simulate`` gives it, with the depths of the Dataset.
    predicted : sequence of Channel
        What it is scored against.
    labels : sequence of str
        Labels of the result, those of other channels among them, which are NaN.
    first : int
        Index of the first held-out time.

    Returns
    -------
    Dataset
        As `score`, (observable, part, ...), and ``predicted`` (observable).
    """
    rows = []
    for channel in predicted:
        series = sim[channel.name]
        if channel.level is not None:
            series = series.isel(depth=channel.level, drop=True)
        parts = [
            score(series.isel(time=part), channel.values.isel(time=part))
            for part in (slice(first), slice(first, None))
        ]
        rows.append(stacked(parts, "part"))
    found = stacked(rows, "observable").assign(predicted=("observable", [True] * len(rows)))
    found = found.assign_coords(
        part=("part", np.array(["fitted", "held out"], dtype=object)),
        observable=("observable", np.array([c.label for c in predicted], dtype=object)),
    )
    wanted = np.array(labels, dtype=object)
    return found.reindex(observable=wanted, fill_value={"samples": 0, "predicted": False})


def stacked(rows: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    """Put Datasets of the same stations side by side along a new dimension."""
    return xr.concat(rows, dim, data_vars="all", coords="minimal", compat="override", join="exact")


def score_fit(est: xr.Dataset, names: Sequence[str], observations: xr.DataArray) -> xr.Dataset:
    """Say how well a model could be fitted, for what it cost in parameters.

    Parameters
    ----------
    est : Dataset
        As ``ds.lsm.estimate`` gives it.
    names : sequence of str
        Its free parameters.
    observations : DataArray
        (...), how many observations it was fitted to.

    Returns
    -------
    Dataset
        (...), see `xlsm.compare`.
    """
    cost, count = est["cost"], len(names)
    freedom = observations - count
    held = xr.Dataset({n: est[n].notnull() & est[f"{n}_std"].isnull() for n in names})
    return xr.Dataset(
        {
            "status": est["status"],
            "free_parameters": count,
            "observations": observations,
            "cost": cost,
            "reduced_chi_square": 2 * cost / freedom.where(freedom > 0),
            "bic": 2 * cost + count * np.log(observations.where(observations > 0)),
            "at_bound": xr.apply_ufunc(
                _listed,
                held.to_dataarray("parameter", name="at_bound"),
                input_core_dims=[["parameter"]],
                kwargs={"names": tuple(names)},
                vectorize=True,
                dask="parallelized",
                dask_gufunc_kwargs={"allow_rechunk": True},
                output_dtypes=[object],
            ),
        }
    )


def _listed(which: Any, names: tuple[str, ...]) -> str:
    return ", ".join(name for name, there in zip(names, which, strict=True) if there)
