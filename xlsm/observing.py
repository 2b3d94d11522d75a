"""Which observations a model can be held against, and what they can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr

from xlsm.errors import ParameterError
from xlsm.free import Parameter
from xlsm.holdout import count_observations
from xlsm.model.bulk import SeparateExchange
from xlsm.model.model import Model
from xlsm.pipeline.numbers import Layout
from xlsm.validate import observed_errors

__all__ = ["refuse_too_few", "refuse_undetermined", "refuse_unseen", "standard_errors"]


def standard_errors(
    observed: str | Iterable[str] | Mapping[str, Any] | None,
    ds: xr.Dataset,
    model: Model,
    known: set[str],
) -> dict[str, float | xr.DataArray]:
    """Find the standard errors of the observations the model can predict."""
    errors = observed_errors(observed, ds)
    outputs = model.outputs(known)
    followed = [name for name in errors if name in model.forcing]
    if followed and observed is not None:
        raise ParameterError(
            f"{' and '.join(followed)} cannot be observed by a model that is told what it is: "
            "leave it out of observed="
        )
    errors = {name: error for name, error in errors.items() if name not in followed}
    if observed is None and not model.surface.balanced:
        errors.pop("Qg", None)  # of temperatures alone; a flux would rest on the heat capacity
    unknown = [name for name in errors if name not in outputs]
    parts = [name for name in unknown if "Qturb" in outputs]
    if parts and observed is not None:
        raise ParameterError(
            f"{' and '.join(parts)} cannot be predicted without bowen_ratio, which splits the "
            "turbulent flux: estimate it, fix it, or observe the sum, "
            'ds["Qturb"] = ds["Qh"] + ds["Qle"]'
        )
    if unknown and observed is not None:
        raise ParameterError(
            f"{' and '.join(unknown)} cannot be predicted by a model whose surface is "
            f"{type(model.surface).__name__}: it gives {', '.join(outputs)}"
        )
    errors = {name: error for name, error in errors.items() if name not in unknown}
    if errors:
        return errors
    if parts:
        raise ParameterError(
            "Qh and Qle are the only observations and cannot be predicted without bowen_ratio: "
            "estimate it or fix it"
        )
    there = ", ".join([*unknown, *followed])
    raise ParameterError(
        f"The model predicts none of the observations ({there}): with the surface "
        f"{type(model.surface).__name__} it gives {', '.join(outputs)}"
    )


def refuse_undetermined(
    wanted: Iterable[str], fixed: Mapping[str, Any] | xr.Dataset | None
) -> None:
    """Refuse to make a conductivity of temperatures alone and a heat capacity nobody gave."""
    for name in wanted:
        for one, other in (
            ("thermal_conductivity", "heat_capacity"),
            ("heat_capacity", "thermal_conductivity"),
        ):
            partner = name.replace(one, other)
            if name.startswith(one) and partner not in (fixed or {}):
                raise ParameterError(
                    f"{name} cannot be known from temperatures alone, only its ratio with "
                    f"{partner}: estimate {name.replace(one, 'thermal_diffusivity')}, or give "
                    f"{partner} in fixed=, or observe Qg"
                )


def refuse_unseen(
    wanted: Mapping[str, Parameter],
    observed: Iterable[str],
    fixed: Iterable[str],
    model: Model,
) -> None:
    """Refuse to estimate a Bowen ratio that nothing observed tells; a prior of it is to insist.

    Temperature, and what follows from it, sees a transfer coefficient times
    ``1 + 1/bowen_ratio``. Where the coefficient is fixed, or has a prior, that is enough.
    """
    if "bowen_ratio" not in wanted or {"Qh", "Qle"} & set(observed):
        return
    if isinstance(model.turbulence, SeparateExchange):
        partners = [spec.name for spec in model.turbulence.sensible.parameters]
    else:
        partners = ["heat_transfer_coefficient"]
    acts = any(name in wanted or name in fixed for name in partners)
    open_partners = [name for name in partners if name in wanted]
    treatments = [wanted[name] for name in ("bowen_ratio", *open_partners)]
    known = acts and not open_partners
    if known or any(one.prior for one in (treatments if acts else treatments[:1])):
        return
    what, cure = "only they depend on it", "leave it out"
    if acts:
        what = f"all else sees {' and '.join(open_partners)} only times (1 + 1/bowen_ratio)"
        cure = "fix one of these"
    raise ParameterError(
        f"bowen_ratio is to be estimated, but neither Qh nor Qle is observed, and {what}: observe "
        f"one of them, or {cure}. If you insist, give bowen_ratio a prior, free={{'bowen_ratio': "
        "xlsm.Parameter(prior=xlsm.LogNormal(1.0, 2.0))}; what the data can tell, "
        "ds.lsm.identifiability says"
    )


def refuse_too_few(observations: Mapping[str, xr.DataArray], layout: Layout) -> None:
    """Refuse more parameters than observations, of one station; among others it is flagged.

    Raises
    ------
    ParameterError
        If there are observations, but fewer than parameters that nothing else is known of.
    """
    if any(series.chunks is not None for series in observations.values()):
        return
    counts = count_observations(observations)
    known = sum(layout.counts[index] for index, _ in layout.priors)
    known += sum(len(one.knots) - 1 for one in layout.problem.series if one.smooth)
    needed = len(layout.problem.free) - known
    if counts.ndim == 0 and 0 < int(counts) < needed:
        names = ", ".join(dict.fromkeys(layout.problem.owners))
        raise ParameterError(
            f"{needed} values are to be estimated from {int(counts)} observations: free fewer "
            f"parameters, of {names}, observe for longer, or say what is known of them, "
            "xlsm.Parameter(prior=xlsm.Normal(...))"
        )
