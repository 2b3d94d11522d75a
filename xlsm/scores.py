"""How well simulations meet observations, and what a fit cost in parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.channels import Channel
from xlsm.measures import MEASURES, line, measures
from xlsm.pipeline.blocks import apply_blocks
from xlsm.variables import VARIABLES

__all__ = ["described", "score", "score_fit", "score_parts", "stacked"]

Array = np.ndarray[Any, np.dtype[Any]]

#: Units (none: those of the observable) and meaning of everything in the scores.
MEANINGS = {
    "rmse": ("", "root mean square of simulated minus observed"),
    "bias": ("", "mean of simulated minus observed"),
    "r2": ("1", "coefficient of determination, 1 - sum of squares over that about the mean"),
    "kge": ("1", "Kling-Gupta efficiency"),
    "samples": ("1", "number of times that are scored"),
    "rmse_line": ("", "rmse of a straight line of SWdown, fitted to the fitted part"),
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
        ``kge``, the Kling-Gupta efficiency [1]_; ``samples``, the number of times. Lazy if the
        input is.

    Notes
    -----
    ``kge = 1 - sqrt((r - 1)^2 + (alpha - 1)^2 + (beta - 1)^2)`` with r the correlation, alpha the
    ratio of the standard deviations and beta that of the means, simulated over observed; 1 is
    perfect. NaN where one of them has no value. The ratio of means hardly tells anything of
    temperatures in kelvins, and too much of a flux with a mean near zero: look at ``bias`` too.

    References
    ----------
    .. [1] Gupta, H. V., Kling, H., Yilmaz, K. K. and Martinez, G. F. (2009), Decomposition of
       the mean squared error and NSE performance criteria, J. Hydrol. 377, 80-91.

    Examples
    --------
    >>> observed = xr.DataArray([1.0, 2.0, 3.0, np.nan], dims="time")
    >>> result = score(observed + 0.5, observed)
    >>> result.rmse.item(), result.bias.item(), result.r2.item(), result.samples.item()
    (0.5, 0.5, 0.625, 3)
    >>> result.kge.item()
    0.75
    """
    scored = apply_blocks(
        _scores,
        [simulated, observed],
        core_dims=[("time",)] * 2,
        output_dims=[()] * len(MEASURES),
        output_dtypes=list(MEASURES.values()),
        output_sizes={},
        settings=None,
    )
    return xr.Dataset(dict(zip(MEASURES, scored, strict=True)))


def score_parts(
    sim: xr.Dataset,
    predicted: Sequence[Channel],
    labels: Sequence[str],
    held: Array,
    cost: xr.DataArray,
    sun: xr.DataArray | None = None,
) -> xr.Dataset:
    """Score a simulation at the times that were fitted, and at those held out.

    Parameters
    ----------
    sim : Dataset
        As ``ds.lsm.simulate`` gives it, with the depths of the channels.
    predicted : sequence of Channel
        What it is scored against.
    labels : sequence of str
        Labels of the result, those of other channels among them, which are NaN.
    held : bool array, shape (time,)
        The times that are held out.
    cost : DataArray
        (...), of the estimate; where it is NaN there is none, and nothing is scored.
    sun : DataArray, optional
        (..., time): SWdown, for the bar to beat.

    Returns
    -------
    Dataset
        As `score`, (..., part, observable), and ``predicted`` (observable); with `sun` also
        ``rmse_line``, the rmse, at the times that are scored, of a straight line of SWdown that
        was fitted to the fitted ones.
    """
    series = []
    for channel in predicted:
        one = sim[channel.name]
        if channel.level is not None:
            one = one.isel(depth=channel.level, drop=True)
        series.append(one)
    seen = [channel.values for channel in predicted]
    inputs = [cost, *series, *seen, *([] if sun is None else [sun])]
    kinds = MEASURES if sun is None else {**MEASURES, "rmse_line": np.float64}
    arrays = apply_blocks(
        _parts,
        inputs,
        core_dims=[(), *[("time",)] * (len(inputs) - 1)],
        output_dims=[("part", "observable")] * len(kinds),
        output_dtypes=list(kinds.values()),
        output_sizes={"part": 2, "observable": len(predicted)},
        settings=_Parts(len(predicted), held),
    )
    found = xr.Dataset(dict(zip(kinds, arrays, strict=True))).assign_coords(
        part=("part", np.array(["fitted", "held out"], dtype=object)),
        observable=("observable", np.array([c.label for c in predicted], dtype=object)),
    )
    found = found.assign(predicted=("observable", np.ones(len(predicted), bool)))
    if list(labels) == list(found["observable"].values):
        return found
    wanted = np.array(labels, dtype=object)
    return found.reindex(observable=wanted, fill_value={"samples": 0, "predicted": False})


class _Parts(NamedTuple):
    channels: int
    held: Array


def _scores(simulated: Array, observed: Array, **_: Any) -> tuple[Array, ...]:
    """Score one block of stations."""
    return measures(simulated, observed)


def _parts(cost: Array, *arrays: Array, settings: _Parts, size: int) -> tuple[Array, ...]:
    """Score one block of stations, all series and both parts: (..., part, observable) each."""
    count, held = settings
    shape = np.broadcast_shapes(cost.shape, *(array.shape[:-1] for array in arrays))
    simulated, observed, sun = arrays[:count], arrays[count : 2 * count], arrays[2 * count :]
    rows = []
    for part in (~held, held):
        cells = []
        for one, other in zip(simulated, observed, strict=True):
            # what is not scored is not fitted by a line either: both rest on the same times
            there = np.isfinite(one) & np.isfinite(cost)[..., None]
            seen = np.where(there, other, np.nan)
            found = measures(one[..., part], seen[..., part])
            for of in sun:
                found += measures(line(seen, of, ~held)[..., part], seen[..., part])[:1]
            cells.append([np.broadcast_to(number, shape) for number in found])
        rows.append([np.stack(numbers, axis=-1) for numbers in zip(*cells, strict=True)])
    return tuple(np.stack(parts, axis=-2) for parts in zip(*rows, strict=True))


def described(scores: xr.Dataset, series: Sequence[Channel]) -> xr.Dataset:
    """Add units and meanings to scores.

    Parameters
    ----------
    scores : Dataset
        With a dimension ``observable``.
    series : sequence of Channel
        The channels it stands for.

    Returns
    -------
    Dataset
        With a coordinate ``units`` (observable), those of rmse and bias.
    """
    units = np.array([VARIABLES[channel.name].units for channel in series], dtype=object)
    scores = scores.assign_coords(units=("observable", units))
    for name in scores.data_vars:
        unit, meaning = MEANINGS.get(str(name), ("", ""))
        if meaning:
            scores[name].attrs = {"long_name": meaning} | ({"units": unit} if unit else {})
    return scores


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
