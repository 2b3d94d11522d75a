"""The verb that sets models side by side: each fitted, then scored on times it has not seen."""

from __future__ import annotations

import contextlib
import datetime as dt
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm import models as presets
from xlsm._version import __version__
from xlsm.arguments import did_you_mean
from xlsm.axes import time_text
from xlsm.channels import Channel, channels, scored_outputs
from xlsm.comparison import Comparison
from xlsm.errors import DimensionError, LSMError, LSMWarning, ModelError, ParameterError
from xlsm.estimate import estimate
from xlsm.free import Parameter, refuse_series, values_of, wanted_of
from xlsm.holdout import split
from xlsm.inputs import read_forcing, read_start, resolve
from xlsm.model.model import Model
from xlsm.notices import unnoticed
from xlsm.scores import described, score_fit, score_parts, stacked
from xlsm.simulate import simulate
from xlsm.validate import in_one_piece, observed_errors

__all__ = ["compare"]

Free = str | Iterable[str] | Mapping[str, Parameter]


def compare(
    ds: xr.Dataset,
    models: Mapping[str, Model | str],
    *,
    free: Free | Mapping[str, Free],
    observed: str | Iterable[str] | Mapping[str, float] | None = None,
    fixed: Mapping[str, Any] | xr.Dataset | None = None,
    holdout: str | float | dt.timedelta | np.timedelta64 | slice = "7D",
    **options: Any,
) -> Comparison:
    """Fit several models and score each on a stretch of the record it has not seen.

    Each model is fitted to the observations before the held-out stretch. Then it runs with its
    estimates, in one go, from the first time to the end of that stretch, where it starts from
    its own state, and is scored before and in it against everything observed that it predicts,
    whether fitted or not.

    Parameters
    ----------
    ds : Dataset
        Forcing and observations, as for ``ds.lsm.estimate``.
    models : mapping of str to Model or str
        The models, or their registered names, under names of your choice.
    free : str, iterable of str, mapping of str to Parameter, or mapping of those by model
        What to estimate. By model: ``{"bare": ["albedo"], "skin": ["albedo", ...]}``, every
        model has its own. Else of the names given each model takes those it has, and a name that
        none of them has is an error.
    observed : str, iterable of str, or mapping of str to float, optional
        Observations to fit, with their standard errors; by default all that each of the models
        can predict, so that all are fitted to the same. It is an error if one cannot.
    fixed : mapping of str to number or DataArray, mapping of those by model, or Dataset, optional
        Known parameters; the same rule as for `free`, but that a model may be left out.
    holdout : str, timedelta, float or slice, optional
        What is held out: the end of the record as a duration (``"7D"``) or a share of its times
        (0.25), or a slice of times, ``slice("2017-06-15", "2017-06-21")``. What comes after
        such a slice is not used at all.
    **options
        ``method``, ``starts``, ``seed``, ``max_steps`` and ``tolerance`` of ``ds.lsm.estimate``.

    Returns
    -------
    Comparison
        A named tuple. ``estimates`` is a dict: for each model what ``ds.lsm.estimate`` gave. It
        is ready for ``ds.lsm.simulate`` and ``ds.lsm.plot.fit``. ``scores`` is a Dataset with
        ``rmse``, ``bias``, ``r2``, ``kge`` and ``samples`` (model, part, observable, ...), see
        `xlsm.scores.score`, ``part`` being "fitted" or "held out" and ``observable`` with a
        label for each depth, "SoilTemp 0.05 m"; NaN where a model does not predict one, which
        ``predicted`` (model, observable) says, and tables show as a dash. And by
        (model, ...): ``status``, ``cost``, ``observations``, ``bic``, ``reduced_chi_square``
        and ``at_bound``, the names of the parameters that ended at a bound;
        ``free_parameters`` (model). A station that could not be fitted is NaN.

    Raises
    ------
    LSMError
        As from ``ds.lsm.estimate``; its message begins with the name of the model. Models that
        lack a variable or a parameter are found before the first is fitted.
    TimeAxisError
        If the held-out stretch is empty, or leaves fewer than two times before it.

    Warns
    -----
    LSMWarning
        If the models rest on different data, so that their numbers cannot be compared: one is
        told the temperature at a depth that others predict, or lacks forcing at times.

    Notes
    -----
    With known standard errors -2 ln(likelihood) is twice the cost and a constant, whence
    ``bic = 2 cost + k ln(n)`` (Schwarz 1978, Ann. Stat. 6, 461-464) of k free parameters,
    those at a bound among them, and n observations; the lowest is best. It takes the standard
    errors at their word and as independent. Where the reduced chi-square is far above one, the
    models' own errors dominate, and the held-out scores are the better judge.

    Examples
    --------
    >>> import xlsm
    >>> ds = xlsm.tutorial.open_dataset("huang2025")
    >>> scores, estimates = compare(
    ...     ds, {"paper": "huang2025", "grey": "default"}, free=["albedo"], holdout="1D"
    ... )
    >>> scores.rmse.sel(part="held out").to_pandas().idxmin()["SoilTemp 0.05 m"]
    'paper'
    >>> dict(scores.rmse.sizes)
    {'model': 2, 'part': 2, 'observable': 2}
    """
    _check(ds, models)
    ds = in_one_piece(ds, stacklevel=3)
    first, end = split(ds, holdout)
    fit, whole = ds.isel(time=slice(first)), ds.isel(time=slice(end))
    plans = _plans(whole, fit, models, free, fixed)
    if observed is None:
        observed = _common(fit, plans)
    fitted = set(observed_errors(observed, fit))
    series = [c for c in channels(whole) if any(p.predicts(c) for p in plans.values())]
    labels = [channel.label for channel in series]
    held = np.arange(end) >= first

    estimates, rows = {}, []
    for name, plan in plans.items():
        with _naming(name), unnoticed():  # the scores tell
            est = estimate(
                fit, plan.free, observed=observed, fixed=plan.fixed, model=plan.model, **options
            )
            sim = simulate(whole, est, outputs=plan.outputs)
        estimates[name] = est
        predicted = [channel for channel in series if plan.predicts(channel)]
        seen = [c.values.isel(time=slice(first)) for c in predicted if c.name in fitted]
        count = sum((values.notnull().sum("time") for values in seen), xr.DataArray(0))
        parts = score_parts(sim, predicted, labels, held, est["cost"])
        estimated = [str(parameter) for parameter in est["parameter"].values]
        rows.append(parts.merge(score_fit(est, estimated, count), compat="override"))
    scores = stacked(rows, "model")
    _warn_if_uneven(scores)
    times = [time_text(time) for time in ds["time"].values[[0, first - 1, first, end - 1]]]
    scores = described(scores.transpose("model", "part", "observable", ...), series)
    scores = scores.assign_coords(model=("model", np.array(list(plans), dtype=object)))
    return Comparison(
        scores.assign_attrs(
            source=f"xlsm {__version__}",
            fitted=f"{times[0]} to {times[1]}",
            held_out=f"{times[2]} to {times[3]}",
        ),
        estimates,
    )


def _check(ds: xr.Dataset, models: Any) -> None:
    """Refuse what names no models, and dimensions that the scores have themselves."""
    if not isinstance(models, Mapping) or not models:
        raise ModelError(
            f'models must map names to models, {{"bare": Model()}}; got {models!s:.80}'
        )
    for dim in {"model", "part", "observable"} & set(ds.dims):
        raise DimensionError(
            f"A dimension cannot be called {dim!r}: the scores have one of that name. Rename it, "
            f"e.g. ds.rename({{{dim!r}: 'case'}})."
        )


class _Plan(NamedTuple):
    """What is to be done with one model."""

    model: Model
    free: dict[str, Parameter]
    fixed: Mapping[str, Any] | xr.Dataset | None
    outputs: tuple[str, ...]

    def predicts(self, channel: Channel) -> bool:
        """Whether the model predicts a series of observations."""
        return channel.predicted(self.model, self.outputs)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let errors begin with the name of the model."""
    try:
        yield
    except LSMError as error:
        raise type(error)(f"model {name!r}: {error}") from error


def _plans(
    whole: xr.Dataset, fit: xr.Dataset, models: Mapping[str, Model | str], free: Any, fixed: Any
) -> dict[str, _Plan]:
    """Look at every model before the first is fitted."""
    resolved = {}
    for name, model in models.items():
        with _naming(name):
            # a grid as deep as the whole record asks for; the sensors must be there from the start
            resolved[name] = resolve(presets.get(model), whole)
            resolve(resolved[name], fit)
    free_of = _by_model(free, resolved, "free")
    fixed_of = _by_model(fixed, resolved, "fixed")
    plans = {}
    for name, model in resolved.items():
        with _naming(name):
            wanted = wanted_of(free_of[name])
            refuse_series(wanted, "compare")
            _, values = values_of(wanted, fixed_of[name], model)
            read_forcing(whole, model)
            read_start(whole, model)
        scored = scored_outputs(model, {*wanted, *values}, whole)
        plans[name] = _Plan(model, wanted, fixed_of[name], scored)
    return plans


def _by_model(given: Any, models: Mapping[str, Model], what: str) -> dict[str, Any]:
    """Give each model its own free or fixed parameters; of those for all, the ones it has."""
    if isinstance(given, xr.Dataset) or given is None:
        return dict.fromkeys(models, given)
    names = [given] if isinstance(given, str) else list(given)
    if isinstance(given, Mapping) and set(names) & set(models):
        others = [name for name in names if name not in models]
        missing = [name for name in models if name not in names] if what == "free" else []
        if others or missing:
            raise ParameterError(
                f"{what} is given by model, but "
                + (f"{others[0]!r} is none of them" if others else f"not for {missing[0]!r}")
                + f"; models are {', '.join(models)}"
            )
        return {name: given.get(name) for name in models}
    known = {n: spec.symbol for model in models.values() for n, spec in model.parameters.items()}
    for name in names:
        if name not in known:
            hint = did_you_mean(str(name), known, {symbol: n for n, symbol in known.items()})
            raise ParameterError(
                f"{what}: {name!r} is no parameter of any of the models {', '.join(models)}.{hint} "
                f"Parameters are {', '.join(known)}."
            )
    if isinstance(given, Mapping):
        return {m: {n: given[n] for n in names if n in models[m].parameters} for m in models}
    return {m: [n for n in names if n in models[m].parameters] for m in models}


def _common(ds: xr.Dataset, plans: Mapping[str, _Plan]) -> list[str]:
    """Name the observations that all models predict."""
    found = list(observed_errors(None, ds))
    common = [name for name in found if all(name in plan.outputs for plan in plans.values())]
    if not common:
        each = "; ".join(f"{name!r}: {', '.join(p.outputs)}" for name, p in plans.items())
        raise ParameterError(
            f"There is no observation that all models predict, of {', '.join(found)}. What they "
            f"predict of it: {each}"
        )
    return common


def _warn_if_uneven(scores: xr.Dataset) -> None:
    """Warn of models fitted to, or scored on, different data; lazy numbers are not looked at."""
    for name, what in (("observations", "cost and bic"), ("samples", "rmse, bias and r2")):
        count = scores[name]
        if count.chunks is not None:
            continue
        there = count.where(count > 0)  # no score is plain to see
        uneven = there.max("model") != there.min("model")
        if (uneven & there.notnull().any("model")).any():
            warnings.warn(
                f"{what} of these models cannot be compared: they rest on different data, see "
                f"scores[{name!r}]",
                LSMWarning,
                stacklevel=3,
            )
