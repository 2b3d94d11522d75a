"""The result of a comparison of models, and how it shows itself."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

import pandas as pd
import xarray as xr

from xlsm.inference.invert import Status

__all__ = ["Comparison"]

#: Parts of the record, and the attribute that says from when to when.
PARTS = {"fitted": "fitted", "held out": "held_out"}
#: What stands in a table where a model does not predict an observable, and what it means.
DASH = "–"
NOTE = f"{DASH} not predicted by this model: it has no such output, or is told its values"


class Comparison(NamedTuple):
    """What `xlsm.compare` gives; in a notebook it shows itself as tables.

    Parameters
    ----------
    scores : Dataset
        Scores of all models, side by side.
    estimates : dict of str to Dataset
        For each model what ``ds.lsm.estimate`` gave, ready for ``ds.lsm.simulate``.
    """

    scores: xr.Dataset
    estimates: dict[str, xr.Dataset]

    def __repr__(self) -> str:
        parts = [_title(self.scores)]
        if not _small(self.scores):
            return "\n\n".join([*parts, repr(self.scores)])
        parts += [f"{caption}\n{table.to_string()}" for caption, table in _tables(self.scores)]
        return "\n\n".join([*parts, *_notes(self.scores)])

    def _repr_html_(self) -> str:
        title = f"<div>{escape(_title(self.scores))}</div>"
        if not _small(self.scores):
            return title + self.scores._repr_html_()
        tables = (f"<div>{escape(c)}</div>{t.to_html()}" for c, t in _tables(self.scores))
        notes = (f"<div>{escape(note)}</div>" for note in _notes(self.scores))
        return f"<div>{title}{''.join(tables)}{''.join(notes)}</div>"


def _title(scores: xr.Dataset) -> str:
    times = "\n".join(f"{name}: {scores.attrs[key]}" for name, key in PARTS.items())
    return f"Comparison of {scores.sizes['model']} models\n{times}"


def _small(scores: xr.Dataset) -> bool:
    """Whether tables can show it: one station, and nothing left to compute."""
    return scores["status"].dims == ("model",) and not scores.chunks


def _notes(scores: xr.Dataset) -> list[str]:
    """Footnotes that the tables need."""
    return [] if scores["predicted"].all() else [NOTE]


def _tables(scores: xr.Dataset) -> Iterator[tuple[str, pd.DataFrame]]:
    """Captions and tables of one station."""
    yield (
        "Fits",
        pd.DataFrame(
            {
                "status": [Status(code).name for code in scores["status"].values],
                "free": scores["free_parameters"].values,
                "observations": scores["observations"].values,
                "cost": scores["cost"].values.round(1),
                "reduced chi2": scores["reduced_chi_square"].values.round(2),
                "BIC": scores["bic"].values.round(1),
                "at bound": scores["at_bound"].values,
            },
            index=scores["model"].values,
        ),
    )
    units = scores["units"].values
    named = [f"{n} ({u})" for n, u in zip(scores["observable"].values, units, strict=True)]
    predicted = scores["predicted"].transpose("observable", "model").values
    for part in PARTS:
        errors = scores["rmse"].sel(part=part).transpose("observable", "model").values
        # digits enough for kelvins as for watts per square metre
        table = pd.DataFrame(errors, named, scores["model"].values).map("{:.3f}".format)
        yield f"RMSE, {part}", table.where(predicted, DASH)
