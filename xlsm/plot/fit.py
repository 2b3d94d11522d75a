"""The figure of one station's fit: observations, model, residuals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xlsm.errors import DimensionError, ParameterError
from xlsm.estimate import VARIES
from xlsm.inference.invert import Status
from xlsm.observation import from_text, in_words
from xlsm.simulate import model_of, simulate
from xlsm.validate import depths, observed_errors, read_variable
from xlsm.variables import VARIABLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["fit"]

CORE = {"time", "depth", "parameter", "parameter_", "part", "observable"}
#: From this many pairs of panels on they stand in two columns.
TWO_COLUMNS = 4


@dataclasses.dataclass(frozen=True)
class Series:
    """What a pair of panels shows: one variable at one depth, all arrays (time,)."""

    title: str
    name: str
    error: float
    observed: xr.DataArray
    fitted: xr.DataArray | None


def fit(
    ds: xr.Dataset,
    est: xr.Dataset,
    *,
    observed: str | Iterable[str] | Mapping[str, float] | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw a fit; see `xlsm.plot.accessor.PlotAccessor.fit`."""
    import matplotlib.pyplot as plt  # slow to import, and only needed here

    used = _errors_used(est)
    errors = _errors(observed, ds, used)
    ds = _one_station(ds[[*model_of(est, None).forcing, *errors]], "the Dataset", "ds")
    est = _one_station(est, "the estimate", "est")
    _check_same_station(ds, est)
    pairs = _series(ds, est, errors, used)

    columns = 1 if len(pairs) < TWO_COLUMNS else 2
    rows = math.ceil(len(pairs) / columns)
    fig = plt.figure(figsize=figsize or (8.0 if columns == 1 else 12.0, 0.8 + 3.0 * rows))
    fig.set_layout_engine("constrained")
    fig.suptitle(_title(ds, est), x=0.01, ha="left", fontsize="medium")
    grid = fig.add_gridspec(rows, columns)
    for i, series in enumerate(pairs):
        parts = grid[divmod(i, columns)].subgridspec(2, 1, height_ratios=(2.6, 1.4))
        upper = fig.add_subplot(parts[0])
        lower = fig.add_subplot(parts[1], sharex=upper)
        _draw(upper, lower, series)
    for column in range(columns):  # one at a time: all axes are the first of their own cell
        fig.align_ylabels([ax for i, ax in enumerate(fig.axes) if i // 2 % columns == column])
    handles, labels = upper.get_legend_handles_labels()
    band, band_label = lower.get_legend_handles_labels()
    fig.legend(
        handles + band,
        labels + band_label,
        loc="outside upper right",
        ncols=3,
        fontsize="small",
        frameon=False,
    )
    return fig


def _errors_used(est: xr.Dataset) -> dict[str, float | xr.DataArray]:
    """Read what an estimate was fitted to, and the standard errors: ``SoilTemp=0.1, LWup=5``."""
    if "observed" not in est.attrs:
        raise ParameterError(
            "This is no estimate (it has no attribute 'observed'): give what ds.lsm.estimate "
            "gave. A selection or arithmetic that drops attributes takes it away."
        )
    parts = [part.split("=") for part in est.attrs["observed"].split(", ")]
    return {
        name: est[f"standard_error_{name}"] if error == VARIES else float(error)
        for name, error in parts
    }


def _errors(
    observed: str | Iterable[str] | Mapping[str, Any] | None,
    ds: xr.Dataset,
    used: Mapping[str, float | xr.DataArray],
) -> dict[str, float | xr.DataArray]:
    """Choose what to draw, with the standard errors of the estimation where none are given."""
    errors = observed_errors(list(used) if observed is None else observed, ds)
    if isinstance(observed, Mapping):
        return errors
    return {name: used.get(name, error) for name, error in errors.items()}


def _one_station(ds: xr.Dataset, what: str, name: str) -> xr.Dataset:
    """Drop dimensions of size one, refuse others, and load what is left."""
    batch = [dim for dim in ds.dims if dim not in CORE]
    long = {str(dim): ds.sizes[dim] for dim in batch if ds.sizes[dim] != 1}
    if long:
        selection = ", ".join(f"{dim}=0" for dim in long)
        raise DimensionError(
            f"A fit is drawn for one station, and {what} has {long}. "
            f"Select one in both: ds.isel({selection}).lsm.plot.fit(est.isel({selection})); "
            f"{name} is the one that has more."
        )
    return ds.squeeze(batch).compute()


def _check_same_station(ds: xr.Dataset, est: xr.Dataset) -> None:
    """Refuse a Dataset and an estimate that say they are different stations."""
    shared = [name for name in est.coords if name in ds.coords and ds[name].ndim == 0]
    differ = [name for name in shared if not ds[name].variable.equals(est[name].variable)]
    if differ:
        mine, its = (
            ", ".join(f"{name}={source[name].item()!r}" for name in differ) for source in (ds, est)
        )
        raise DimensionError(
            f"The Dataset is of {mine}, and the estimate of {its}. Select the same one in both."
        )


def _series(
    ds: xr.Dataset,
    est: xr.Dataset,
    errors: Mapping[str, float | xr.DataArray],
    used: Iterable[str],
) -> list[Series]:
    """Cut observations and simulation into what each pair of panels shows."""
    observations = {name: read_variable(ds, name) for name in errors}
    metres = np.zeros(0)
    if "SoilTemp" in errors:
        metres = depths(ds["SoilTemp"], "SoilTemp")
        if "depth" not in observations["SoilTemp"].dims:
            observations["SoilTemp"] = observations["SoilTemp"].expand_dims("depth", -1)
    sim = None
    if _is_solved(est):
        at = metres if metres.size else None
        sim = simulate(ds, est, depth=at, outputs=list(errors))
    told = from_text(est.attrs.get("observations", ""))
    pairs = []
    for name, array in observations.items():
        simulated = None if sim is None else sim[name]
        title = VARIABLES[name].long_name.partition(",")[0]
        unseen = in_words(told.get(name, {})) if name in used else " (not fitted)"
        if name != "SoilTemp":
            error = _single(errors[name])
            pairs.append(Series(title + unseen, name, error, array, simulated))
            continue
        for i, depth in enumerate(metres):
            pairs.append(
                Series(
                    f"{title} at {depth:g} m{unseen}",
                    name,
                    _single(errors[name], i),
                    array.isel(depth=i),
                    None if simulated is None else simulated.isel(depth=i),
                )
            )
    return pairs


def _single(error: float | xr.DataArray, channel: int = 0) -> float:
    """Give the standard error of one station, at one depth if it differs between them."""
    values = np.ravel(error)
    return float(values[channel if values.size > 1 else 0])


def _is_solved(est: xr.Dataset) -> bool:
    return int(est["status"]) <= Status.not_identifiable and int(est["status"]) >= 0


def _title(ds: xr.Dataset, est: xr.Dataset) -> str:
    """Name the station, as far as it has one, and what became of its estimation."""
    where = [
        f"{name} = {ds[name].item()}"
        for name in ds.coords
        # latitude and longitude say less than they take room for
        if ds[name].ndim == 0 and ds[name].dtype.kind in "OUSTiu"
    ]
    status = Status(int(est["status"])).name.replace("_", " ")
    outcome = status if _is_solved(est) else f"not solved, {status}"
    return ", ".join([*where, f"status: {outcome}"])


def _draw(upper: Axes, lower: Axes, series: Series) -> None:
    """Draw observations and model above, residuals below."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    units = VARIABLES[series.name].units
    times, label = _times(series.observed["time"])
    upper.plot(times, series.observed, ".", color="0.45", markersize=3, label="observed")
    upper.set_title(series.title, loc="left", fontsize="medium")
    upper.set_ylabel(f"{series.name} [{units}]")
    upper.tick_params(labelbottom=False)
    lower.axhspan(
        -series.error, series.error, color="C0", alpha=0.25, linewidth=0, label="±1 standard error"
    )
    lower.axhline(0, color="C0", linewidth=0.8)
    lower.set_ylabel(f"residual\n[{units}]")
    spread = ""
    if series.fitted is not None:
        residual = series.observed - series.fitted
        upper.plot(times, series.fitted, color="C3", linewidth=1.2, label="model")
        lower.plot(times, residual, ".", color="0.45", markersize=3)
        if residual.notnull().any():
            spread = f"RMS {float(np.sqrt((residual**2).mean())):.3g}, "
    if not series.observed.notnull().any():
        upper.text(0.5, 0.5, "no observations", ha="center", transform=upper.transAxes)
        if series.fitted is None:
            upper.set_yticks([])
    stated = f"{spread}stated error {series.error:g} {units}"
    upper.set_title(stated, loc="right", fontsize="small")
    # all of the time, not only where there are observations
    lower.set_xlim(times[0], times[-1] if times.size > 1 else None)
    lower.set_xlabel(label)
    if times.dtype.kind == "M":
        locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]
        lower.xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        # the month with every day: the usual way names only the last
        formatter.formats[2] = formatter.zero_formats[2] = formatter.zero_formats[3] = "%d %b"
        formatter.offset_formats[1:] = ["%Y", "%Y", "%Y", "%d %b %Y", "%d %b %Y"]
        lower.xaxis.set_major_formatter(formatter)


def _times(time: xr.DataArray) -> tuple[np.ndarray[Any, Any], str]:
    """Give times matplotlib can draw: dates as they are, other kinds as days since the first."""
    if time.dtype.kind == "M":
        return time.values, "time"
    elapsed = time.values - time.values[0]
    days = elapsed / (np.timedelta64(1, "D") if time.dtype.kind == "m" else timedelta(days=1))
    return days.astype(float), f"days since {time.values[0]}"
