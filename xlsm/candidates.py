"""What might be observed beside what is: further thermometers, other variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm.errors import ParameterError
from xlsm.model.model import Model
from xlsm.notices import unnoticed
from xlsm.simulate import simulate
from xlsm.validate import depths, find_variable
from xlsm.variables import VARIABLES

__all__ = ["Candidates", "count_channels", "with_candidates"]

#: Depths (m) at which a further thermometer is thought of.
USUAL_DEPTHS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
#: Depths this near (m) are one.
SAME = 1e-6

Candidates = Iterable[str] | Mapping[str, Any] | None


def with_candidates(
    ds: xr.Dataset,
    values: Mapping[str, xr.DataArray],
    model: Model,
    errors: Mapping[str, Any],
    candidates: Candidates,
    known: set[str],
) -> tuple[xr.Dataset, dict[str, Any], list[str | None]]:
    """Add what might be observed to what is.

    Returns
    -------
    ds : Dataset
        With simulated observations at the candidates; only that they are there matters.
    errors : dict
        Standard errors of all.
    labels : list of str or None
        Of each channel, in their order; None for those that are observed.
    """
    wanted, metres = _wanted_candidates(ds, model, errors, candidates, known)
    if not wanted:
        return ds, dict(errors), [None] * count_channels(ds, errors)
    with unnoticed():  # it only fills the places of observations
        sim = simulate(ds, values, model=model, depth=metres or None, outputs=list(wanted))
    further = [f"SoilTemp at {z:g} m" for z in metres]
    all_errors = dict(errors)
    labels: list[str | None] = []
    for name in errors:
        labels += [None] * count_channels(ds, [name])
        if name == "SoilTemp" and metres:
            labels += further
            ds, all_errors[name] = _more_depths(ds, sim, errors[name], wanted[name])
    for name in wanted:
        if name in errors:
            continue
        all_errors[name] = wanted[name]
        labels.extend(further if name == "SoilTemp" else [name])
        if name == "SoilTemp":  # what else has depths of its own is of no interest here
            ds = ds.drop_vars("SoilTemp", errors="ignore").drop_dims("depth", errors="ignore")
        ds = ds.assign({name: sim[name]})
    return ds, all_errors, labels


def count_channels(ds: xr.Dataset, observed: Iterable[str]) -> int:
    """How many channels some observables have."""
    return sum(
        depths(find_variable(ds, name), name).size if name == "SoilTemp" else 1 for name in observed
    )


def _more_depths(
    ds: xr.Dataset, sim: xr.Dataset, error: Any, further: float
) -> tuple[xr.Dataset, xr.DataArray]:
    """Put simulated temperatures at further depths behind the observed ones."""
    observed = find_variable(ds, "SoilTemp")
    at = depths(observed, "SoilTemp")
    if "depth" not in observed.dims:
        observed = observed.expand_dims("depth", -1)
    plain = observed.drop_vars("depth", errors="ignore")
    more = sim.SoilTemp.drop_vars("depth")
    both = xr.concat(
        [plain, more], dim="depth", join="override", coords="minimal", compat="override"
    )
    if both.chunks is not None:  # a column is one piece
        both = both.chunk(depth=-1)
    places = np.concatenate([at, sim["depth"].values])
    both = both.assign_coords(depth=("depth", places, {"units": "m", "positive": "down"}))
    now = xr.DataArray(error).drop_vars("depth", errors="ignore")
    if "depth" not in now.dims:
        now = now.expand_dims(depth=at.size, axis=-1)
    then = xr.DataArray(np.full(sim.sizes["depth"], further), dims="depth")
    errors = xr.concat(xr.broadcast(now, then, exclude=["depth"]), dim="depth")
    kept = ds.drop_vars("SoilTemp")
    if "depth" in kept.dims:  # what else has these depths is of no interest here
        kept = kept.drop_dims("depth")
    attrs = {**observed.attrs, "units": observed.attrs.get("units", "K")}
    return kept.assign(SoilTemp=both.assign_attrs(attrs)), errors


def _wanted_candidates(
    ds: xr.Dataset,
    model: Model,
    errors: Mapping[str, Any],
    candidates: Candidates,
    known: set[str],
) -> tuple[dict[str, float], list[float]]:
    """Choose what might be observed, its standard errors, and the depths of thermometers."""
    possible = model.outputs(known)
    if candidates is None:
        usual = [name for name in possible if name != "Qturb" or "Qh" not in possible]
        candidates = [n for n in usual if n not in errors or n == "SoilTemp"]
    given = dict(candidates) if isinstance(candidates, Mapping) else dict.fromkeys(candidates)
    wanted: dict[str, float] = {}
    metres: list[float] = []
    for name, what in given.items():
        usual_error = VARIABLES[name].error if name in VARIABLES else None
        if name not in possible or usual_error is None:
            raise ParameterError(
                f"{name} is no candidate: the model predicts {', '.join(possible)}"
            )
        if name != "SoilTemp":
            if name not in errors:
                wanted[name] = usual_error if what is None else float(what)
            continue
        grid = model.layout
        inside = [z for z in USUAL_DEPTHS if grid.top <= z <= grid.depth]
        there = depths(find_variable(ds, name), name) if name in errors else np.zeros(0)
        asked = inside if what is None else [float(z) for z in np.ravel(what)]
        metres = [z for z in asked if all(abs(z - known) > SAME for known in there)]
        now = errors.get(name)
        if metres:  # as good as the thermometers there are
            wanted[name] = float(now) if isinstance(now, float | int) else usual_error
    return wanted, metres
