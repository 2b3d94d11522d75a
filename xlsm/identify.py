"""The verbs that ask what the data can tell, before or after anything is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm._version import __version__
from xlsm.candidates import Candidates
from xlsm.errors import ParameterError
from xlsm.free import Parameter
from xlsm.looking import Found, Observed, diagonal, look
from xlsm.model.model import Model
from xlsm.validate import in_one_piece
from xlsm.words import identifiability_in_words, worth_in_words

__all__ = ["data_worth", "identifiability"]

#: Factor that a standard error shrinks by which was infinite, in the mean over parameters.
MUCH = 1e6


def identifiability(
    ds: xr.Dataset,
    parameters: Mapping[str, Any] | xr.Dataset,
    *,
    free: str | Iterable[str] | Mapping[str, Parameter] | None = None,
    observed: Observed = None,
    model: str | Model | None = None,
) -> xr.Dataset:
    """Say which parameters can be told; see `xlsm.accessor.LSMAccessor.identifiability`."""
    found = look(in_one_piece(ds), parameters, free, observed, model, None)
    result = xr.Dataset(
        {
            "value": found.values.assign_attrs(long_name="where the sensitivities were looked at"),
            "std": found.std.assign_attrs(
                long_name="standard error the data and priors can give",
                comment="infinite where they say nothing; in the units of each parameter",
            ),
            "relative_std": (found.std / abs(found.values).where(found.has_size)).assign_attrs(
                long_name="standard error over the value", units="1"
            ),
            "identifiability": diagonal(found.resolution).assign_attrs(
                long_name="share of an estimate that comes from the data, not the bounds",
                units="1",
            ),
            "correlation": found.correlation.assign_attrs(
                long_name="correlation of the errors of two parameters", units="1"
            ),
            "resolution": found.resolution.assign_attrs(
                long_name="answer of an estimate to a change of the truth", units="1"
            ),
            "singular_value": found.singular.assign_attrs(
                long_name="singular value of the whitened Jacobian", units="1"
            ),
            "direction": found.directions.assign_attrs(
                long_name="combination of parameters, each in widths of its bounds",
                units="1",
            ),
            "structural": found.structural.assign_attrs(
                long_name="whether a combination changes nothing that is observed, at all"
            ),
            "resolved": (found.singular > 1)
            .sum("combination")
            .assign_attrs(long_name="combinations the data know better than the bounds", units="1"),
        }
    )
    result = result.assign_coords(units=("parameter", found.units)).assign_attrs(
        source=f"xlsm {__version__}",
        model=found.model.to_json(),
        observed=found.observed,
    )
    best = _best(found) if found.worth.sizes["candidate"] else None
    return identifiability_in_words(result, best)


def data_worth(
    ds: xr.Dataset,
    parameters: Mapping[str, Any] | xr.Dataset,
    *,
    candidates: Candidates = None,
    free: str | Iterable[str] | Mapping[str, Parameter] | None = None,
    observed: Observed = None,
    model: str | Model | None = None,
) -> xr.Dataset:
    """Say what a further sensor would bring; see `xlsm.accessor.LSMAccessor.data_worth`."""
    found = look(in_one_piece(ds), parameters, free, observed, model, candidates)
    if found.worth.sizes["candidate"] == 0:
        raise ParameterError(
            "There is no candidate left: everything the model predicts is observed already. Name "
            'other depths, candidates={"SoilTemp": [0.0, 0.3]}'
        )
    factor = _factor(found)
    gain = _gain(factor)
    result = xr.Dataset(
        {
            "std": found.worth.assign_attrs(
                long_name="standard error with this sensor too",
                comment="in the units of each parameter",
            ),
            "std_now": found.std.assign_attrs(long_name="standard error without it"),
            "factor": factor.assign_attrs(
                long_name="by how much the standard error shrinks", units="1"
            ),
            "gain": gain.assign_attrs(
                long_name="mean logarithm of the factor over the parameters", units="1"
            ),
        }
    )
    if gain.chunks is None:  # the best first, over all stations
        others = [dim for dim in gain.dims if dim != "candidate"]
        result = result.isel(candidate=np.argsort(-gain.mean(others).values, kind="stable"))
    result = result.assign_coords(units=("parameter", found.units))
    return worth_in_words(
        result.assign_attrs(
            source=f"xlsm {__version__}", model=found.model.to_json(), observed=found.observed
        )
    )


def _factor(found: Found) -> xr.DataArray:
    """Say how much smaller each sensor makes each error bar: infinitely if none sees it yet."""
    known = found.worth.where(np.isfinite(found.worth), found.std)
    # NaN is infinity over infinity: nobody sees it, now or then
    factor: xr.DataArray = (found.std / known).where(known != found.std, 1.0)
    return factor.transpose(*found.worth.dims)


def _gain(factor: xr.DataArray) -> xr.DataArray:
    """Mean logarithm; what becomes known at last counts as much, but not for everything."""
    gain: xr.DataArray = xr.apply_ufunc(np.log, factor.clip(max=MUCH), dask="allowed")
    return gain.mean("parameter")


def _best(found: Found) -> xr.DataArray:
    """Give the standard errors with the one sensor that brings the most, of one station."""
    if found.worth.chunks is not None or found.worth.ndim > 2:
        return found.worth.isel(candidate=0)
    return found.worth.isel(candidate=int(np.argmax(_gain(_factor(found)).values)))
