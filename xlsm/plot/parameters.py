"""The figure of estimated parameters over the stations."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xlsm.arguments import did_you_mean
from xlsm.errors import ParameterError
from xlsm.inference.invert import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["parameters"]

#: As many labels of stations are readable side by side.
MOST_LABELS = 40
#: Marker and colour of estimates, by status.
SOLVED = {
    Status.converged: ("o", "C0"),
    Status.at_bound: ("v", "C1"),
    Status.not_identifiable: ("D", "C4"),
}
#: Marker, on the axis, of stations without an estimate.
UNSOLVED = {
    Status.not_computed: "|",
    Status.limit_reached: "*",
    Status.no_observations: "x",
    Status.too_few_observations: "1",
    Status.forcing_gap: "+",
    Status.missing_parameter: "2",
    Status.non_finite_cost: "3",
    Status.implausible_values: "4",
    Status.no_initial_profile: "P",
    Status.impossible_estimate: "X",
    Status.raised: "d",
}

Array = np.ndarray[Any, np.dtype[Any]]


def parameters(
    est: xr.Dataset,
    names: str | Iterable[str] | None = None,
    *,
    truth: Mapping[str, Any] | xr.Dataset | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw parameters; see `xlsm.plot.accessor.PlotAccessor.parameters`."""
    import matplotlib.pyplot as plt  # slow to import, and only needed here

    wanted = _names(est, names)
    est = est[[*wanted, *(f"{name}_std" for name in wanted), "status"]].compute()
    batch = est["status"].dims
    if batch:  # over each other, because they share the stations
        rows, columns = len(wanted), 1
        usual = (min(14.0, max(6.4, 2 + 0.22 * est["status"].size)), 1.1 + 1.6 * rows)
    else:  # single points, beside each other
        columns = min(4, len(wanted))
        rows = math.ceil(len(wanted) / columns)
        usual = (2.6 * columns, 0.5 + 2.4 * rows)
    fig, axes = plt.subplots(
        rows,
        columns,
        figsize=figsize or usual,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, name in zip(axes.flat, wanted, strict=False):
        _draw(ax, est, name, _truth(truth, name, est[name]))
    for ax in axes.flat[len(wanted) :]:
        ax.remove()
    _label_stations(axes[-1, 0], est["status"])
    # what is in any panel, once: a station is marked alike in all of them
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=max(1, int(fig.get_figwidth() / 2)),
        fontsize="small",
        frameon=False,
    )
    return fig


def _names(est: xr.Dataset, names: str | Iterable[str] | None) -> list[str]:
    """Check the names asked for; by default all that have a standard error."""
    estimated = [n for n in map(str, est.data_vars) if f"{n}_std" in est.data_vars]
    if not estimated or "status" not in est:
        raise ParameterError(
            "This Dataset is no estimate: it has no '<parameter>_std' and 'status'. Call "
            "est.lsm.plot.parameters() on what ds.lsm.estimate gave."
        )
    wanted = [names] if isinstance(names, str) else list(estimated if names is None else names)
    for name in wanted:
        if name not in estimated:
            raise ParameterError(
                f"{name!r} was not estimated.{did_you_mean(name, estimated, {})} "
                f"Estimated are {', '.join(estimated)}."
            )
    return wanted


def _truth(
    truth: Mapping[str, Any] | xr.Dataset | None, name: str, value: xr.DataArray
) -> xr.DataArray | None:
    """Give the truth of one parameter, in the shape of its estimate, if there is any."""
    if truth is None or name not in truth:
        return None
    true = truth[name] if isinstance(truth[name], xr.DataArray) else xr.DataArray(truth[name])
    foreign = set(true.dims) - set(value.dims)
    if foreign:
        raise ParameterError(
            f"The truth of {name} has dimensions the estimate has not: {sorted(map(str, foreign))}."
        )
    _, aligned = xr.align(value, true, join="left")
    return aligned.broadcast_like(value).transpose(*value.dims)


def _draw(ax: Axes, est: xr.Dataset, name: str, truth: xr.DataArray | None) -> None:
    """Draw one parameter: estimates by status, and the truth."""
    dims = est["status"].dims
    values = _table(est[name], dims)
    std = _table(est[f"{name}_std"], dims)
    status = _table(est["status"], dims)
    count, members = values.shape
    side_by_side = np.linspace(-0.3, 0.3, members) if members > 1 else np.zeros(1)
    x = np.arange(count)[:, None] + side_by_side
    if truth is not None:
        true = _table(truth, dims)
        ax.plot(x.ravel(), true.ravel(), "_", color="k", markersize=9, label="truth")
    for code in np.unique(status):
        here = status == code
        kind = Status(int(code))
        words = kind.name.replace("_", " ")
        if kind in SOLVED:
            marker, color = SOLVED[kind]
            ax.errorbar(
                x[here],
                values[here],
                np.nan_to_num(std[here]),  # at a bound there is none
                fmt=marker,
                color=color,
                markersize=4,
                linewidth=1,
                label=f"{words}, ±1 standard error",
            )
        else:
            ax.plot(
                x[here],
                np.zeros(here.sum()),
                UNSOLVED[kind],
                color="C3",
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                label=f"not solved: {words}",
            )
    limits = _limits(values, std, None if truth is None else true)
    if limits is not None:
        ax.set_ylim(limits)
    ax.set_xlim(-0.6, count - 0.4)
    units = est[name].attrs.get("units", "1")
    # plain numbers: an offset or a power of ten beside the axis is easily overlooked
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_title(name, loc="left", fontsize="small")
    ax.set_ylabel("" if units == "1" else f"[{units}]", fontsize="small")


def _table(values: xr.DataArray, dims: tuple[Hashable, ...]) -> Array:
    """Give values as (stations, all else), whatever the number of batch dimensions."""
    array = values.transpose(*dims).values
    return array.reshape(array.shape[0] if array.ndim else 1, -1)


def _limits(values: Array, std: Array, truth: Array | None) -> tuple[float, float] | None:
    """Limits that follow the values: one hopeless station must not flatten all others."""
    shown = values[np.isfinite(values)]
    if shown.size == 0:
        return None
    errors = np.nan_to_num(std)[np.isfinite(values)]
    spread = np.ptp(shown)
    if spread > 0:
        errors = np.minimum(errors, max(spread, np.quantile(errors, 0.5, method="lower")))
    ends = [shown - errors, shown + errors]
    if truth is not None:
        ends.append(truth[np.isfinite(truth)])
    low, high = np.concatenate(ends).min(), np.concatenate(ends).max()
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _label_stations(ax: Axes, status: xr.DataArray) -> None:
    """Write the stations' names below, every second, third, ... where there are many."""
    if not status.dims:
        ax.set_xticks([])
        return
    dim = status.dims[0]
    every = math.ceil(status.sizes[dim] / MOST_LABELS)
    labels = [str(label) for label in status[dim].values[::every]]
    long = max(map(len, labels)) * len(labels) > 60
    ax.set_xticks(
        range(0, status.sizes[dim], every), labels, rotation=90 if long else 0, fontsize="small"
    )
    ax.set_xlabel(str(dim))
