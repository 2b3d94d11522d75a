"""Results as tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from rich import box
from rich.markup import escape
from rich.table import Table

from xlsm.axes import time_text
from xlsm.inference.invert import Status

__all__ = [
    "check_table",
    "estimate_table",
    "flagged",
    "new_table",
    "number",
    "plus_minus",
    "residual_lines",
    "score_table",
    "status_counts",
    "units_of",
]

#: Up to so many stations are shown one by one.
FEW = 4


def new_table(title: str, left: tuple[str, ...] = (), right: tuple[str, ...] = ()) -> Table:
    """Give an empty table in the house style, its text columns and then its columns of numbers."""
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,  # or long names do not fit beside the numbers into 80 columns
    )
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def number(value: float) -> str:
    """Write a number with four digits, a missing one as a dash.

    Examples
    --------
    >>> number(0.17234), number(2213400.0), number(float("nan"))
    ('0.1723', '2.213e6', '-')
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "inf"
    return f"{value:.3e}".replace("e+0", "e") if abs(value) >= 1e5 else f"{value:.4g}"


def plus_minus(value: float, std: float) -> str:
    """Write a value with its standard error, with the digits that the error allows.

    Examples
    --------
    >>> plus_minus(0.17234, 0.0041), plus_minus(2.2134e6, 13e3), plus_minus(293.1, math.inf)
    ('0.1723 ± 0.0041', '(2.213 ± 0.013)e6', '293.1 ± inf')
    """
    if not math.isfinite(value):
        return "-"
    if not math.isfinite(std) or std <= 0:  # held at a bound: no error bar
        return f"{number(value)} ± inf" if std == math.inf else number(value)
    exponent = math.floor(math.log10(max(abs(value), std)))
    power = exponent if not -3 <= exponent < 5 else 0
    digits = max(0, 1 - math.floor(math.log10(std / 10.0**power)))
    numbers = f"{value / 10.0**power:.{digits}f} ± {std / 10.0**power:.{digits}f}"
    return f"({numbers})e{power}" if power else numbers


def estimate_table(est: xr.Dataset) -> Table:
    """Show estimates: of few stations each, of many their spread.

    Parameters
    ----------
    est : Dataset
        As ``ds.lsm.estimate`` gives it, any batch dimensions.
    """
    return _each(est) if est["status"].size <= FEW else _spread(est)


def _each(est: xr.Dataset) -> Table:
    table = new_table("Estimates", ("parameter",), ("estimate ± std",))
    table.add_column("units")
    for name, one in _stations(est):
        if name:  # a heading, which leaves the width to the parameters
            word = _word(one)
            table.add_row(f"[bold]{escape(name)}[/]" + f" ({word})" * (word != "converged"))
        for parameter in map(str, one["parameter"].values):
            value = plus_minus(float(one[parameter]), float(one[f"{parameter}_std"]))
            table.add_row(parameter, value, units_of(one[parameter]))
        table.add_section()
    return table


def _spread(est: xr.Dataset) -> Table:
    many = est["status"].size
    table = new_table(
        f"Estimates of {many:,} {_kind(est)}, and their median standard error",
        ("parameter",),
        ("5 %", "median", "95 %", "std"),
    )
    table.add_column("units")
    for name in map(str, est["parameter"].values):
        found = [number(float(value)) for value in est[name].quantile([0.05, 0.5, 0.95])]
        std = f"{float(est[f'{name}_std'].median()):.2g}"
        table.add_row(name, *found, std, units_of(est[name]))
    return table


def units_of(variable: xr.DataArray) -> str:
    """Give the units of a column of numbers, nothing for 1."""
    units = str(variable.attrs.get("units", ""))
    return "" if units == "1" else units


def _word(one: xr.Dataset) -> str:
    return Status(int(one["status"])).name


def _stations(est: xr.Dataset, chosen: Iterable[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Give name and estimate of stations, counted through all batch dimensions."""
    dims, shape = est["status"].dims, est["status"].shape
    for flat in range(est["status"].size) if chosen is None else chosen:
        index = dict(zip(dims, map(int, np.unravel_index(flat, shape)), strict=True))
        one = est.isel(index)
        yield ", ".join(_name(one, dim, i) for dim, i in index.items()), one


def _name(one: xr.Dataset, dim: Hashable, index: int) -> str:
    """Name a place along a dimension; a number alone would not say of what, as on a grid."""
    if dim not in one.coords:
        return f"{dim} {index}"
    label = one[dim]
    if label.dtype.kind == "f":
        return f"{dim} {float(label):.8g}"
    return time_text(label.values) if label.dtype.kind == "M" else str(label.values)


def residual_lines(est: xr.Dataset) -> list[str]:
    """Say how well each observable is fitted, beside the error it was stated to have.

    Examples
    --------
    >>> est = xr.Dataset({"residual_std_LWup": ((), 5.3, {"units": "W m-2"})})
    >>> residual_lines(est.assign_attrs(observed="LWup=5"))
    ['LWup: RMS residual 5.3 W m-2, stated error 5']
    """
    lines = []
    for part in est.attrs["observed"].split(", "):
        name, _, error = part.partition("=")
        residual = est[f"residual_std_{name}"]
        many = f", median of {residual.size} {_kind(est)}" if residual.size > 1 else ""
        value = f"{float(residual.median()):.3g} {residual.units}{many}"
        lines.append(f"{name}: RMS residual {value}, stated error {error}")
    return lines


def _kind(est: xr.Dataset) -> str:
    """Say what is counted."""
    return "windows" if "window" in est["status"].dims else "stations"


def score_table(est: xr.Dataset) -> Table:
    """Show how an estimate fares on what it was fitted to and on what was held out.

    Parameters
    ----------
    est : Dataset
        As ``ds.lsm.estimate(..., holdout=...)`` gives it, any batch dimensions.
    """
    many = est["status"].size
    table = new_table(
        "Scores" + (f", medians of {many:,} {_kind(est)}" if many > 1 else ""),
        ("observable",),
        ("RMSE fitted", "held out", "of a line", "KGE held out"),
    )
    table.add_column("units")
    middle = est[["rmse", "rmse_line", "kge"]].median(est["status"].dims)
    for label, units in zip(est["observable"].values, est["units"].values, strict=True):
        fitted, held = (middle.sel(observable=label, part=part) for part in ("fitted", "held out"))
        shown = (fitted["rmse"], held["rmse"], held["rmse_line"], held["kge"])
        table.add_row(str(label), *(f"{float(value):.3g}" for value in shown), str(units))
    return table


def status_counts(est: xr.Dataset) -> dict[str, int]:
    """Count the stations by what became of them, the most common first."""
    codes, counts = np.unique(est["status"].values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {Status(int(codes[i])).name: int(counts[i]) for i in order}


def flagged(est: xr.Dataset, most: int) -> list[tuple[str, str]]:
    """Name the stations that did not converge, up to `most` of them, and say why."""
    (where,) = np.nonzero(est["status"].values.ravel() != Status.converged)
    return [(name, _word(one)) for name, one in _stations(est[["status"]], where[:most])]


def check_table(found: pd.DataFrame) -> Table:
    """Show what ``ds.lsm.check`` found.

    Parameters
    ----------
    found : DataFrame
        As ``ds.lsm.check`` gives it; rows of what is absent and not needed are left out.
    """
    table = new_table("", ("variable", "role", "units", "range"), ("missing", "gap"))
    table.add_column("")
    for row in found.to_dict("records"):
        if row["found"] or row["problem"]:
            missing = "" if pd.isna(row["missing"]) else f"{row['missing']:.1%}"
            gap = "" if pd.isna(row["longest_gap"]) else str(row["longest_gap"])
            mark = "[red]x[/]" if row["problem"] else "[green]ok[/]"
            units = row["conversion"] or row["units"]
            table.add_row(row["variable"], row["role"], units, row["range"], missing, gap, mark)
    return table
