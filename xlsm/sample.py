"""The verb that samples: forcing and observations in, draws from the posterior out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm.errors import LSMError
from xlsm.estimate import LIMITS, STATUS, fixed_parameters, origin
from xlsm.free import Parameter, check_whole, refuse_series, wanted_of
from xlsm.inference.invert import Status
from xlsm.model.model import Model
from xlsm.pipeline.blocks import apply_blocks
from xlsm.pipeline.inversion import Settings
from xlsm.prepare import Likelihoods, Prepared, prepare
from xlsm.validate import check_batch_dims, in_one_piece

__all__ = ["sample"]

#: What is kept of each draw beside the parameters: name, type, long_name. The names are ArviZ's.
STATISTICS = (
    ("lp", np.float64, "log posterior density in the unbounded parameters, up to a constant"),
    ("energy", np.float64, "energy of the Hamiltonian trajectory"),
    ("acceptance_rate", np.float64, "mean acceptance probability of the trajectory"),
    ("diverging", np.bool_, "whether the trajectory diverged"),
    ("n_steps", np.int64, "gradients evaluated for the draw"),
)


def sample(
    ds: xr.Dataset,
    free: str | Iterable[str] | Mapping[str, Parameter],
    *,
    observed: str | Iterable[str] | Mapping[str, float] | None = None,
    fixed: Mapping[str, Any] | xr.Dataset | None = None,
    model: str | Model | None = None,
    likelihood: Likelihoods = None,
    draws: int = 1000,
    warmup: int = 500,
    chains: int = 4,
    seed: int = 0,
) -> xr.DataTree:
    """Sample the posterior; see `xlsm.accessor.LSMAccessor.sample`."""
    try:  # an extra: found missing when it is asked for, not when xlsm is imported
        from xlsm.pipeline.posterior import SampleSettings, sample_block
    except ImportError as error:
        raise LSMError(
            f'sampling needs {error.name or "blackjax"}: pip install "xlsm[bayes]"'
        ) from error
    for name, value in (("draws", draws), ("warmup", warmup), ("chains", chains)):
        check_whole(name, value, least=1)
    check_whole("seed", seed, least=0)
    refuse_series(wanted_of(free), "sample")
    ds = in_one_piece(ds)
    task = prepare(ds, free, observed=observed, fixed=fixed, model=model, likelihood=likelihood)
    check_batch_dims(task.inputs, ["chain", "draw"])
    each = ("chain", "draw")
    results = apply_blocks(
        sample_block,
        task.inputs,
        core_dims=task.core_dims,
        output_dims=[(*each, "parameter"), *[each] * len(STATISTICS), ()],
        output_dtypes=[np.float64, *(dtype for _, dtype, _ in STATISTICS), np.int8],
        output_sizes={"parameter": len(task.specs), "chain": int(chains), "draw": int(draws)},
        settings=SampleSettings(_estimation(task), int(draws), int(warmup), int(chains), int(seed)),
        blanks={1 + len(STATISTICS): Status.raised},
    )
    return _label(results, task, warmup)


def _estimation(task: Prepared) -> Settings:
    """How the point is found from which the chains begin."""
    max_steps, tolerance = LIMITS["gauss_newton"]
    return Settings(task.layout, "gauss_newton", "stated", 1, 0, max_steps, tolerance)


def _label(results: tuple[xr.DataArray, ...], task: Prepared, warmup: int) -> xr.DataTree:
    """Name the numbers and sort them into groups, with units and meanings."""
    values, *statistics, status = results
    about = {**origin(task), "inference_library": "blackjax", "tuning_steps": int(warmup)}

    def arranged(array: xr.DataArray) -> xr.DataArray:
        array = array.transpose("chain", "draw", ...)
        return array.assign_coords({dim: np.arange(array.sizes[dim]) for dim in ("chain", "draw")})

    posterior = {
        spec.name: arranged(values.isel(parameter=i)).assign_attrs(
            units=spec.units, long_name=spec.meaning
        )
        for i, spec in enumerate(task.specs)
    }
    sample_stats = {
        name: arranged(array).assign_attrs(long_name=meaning)
        for (name, _, meaning), array in zip(STATISTICS, statistics, strict=True)
    }
    constant = fixed_parameters(task) | {"status": status.assign_attrs(STATUS)}
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(posterior, attrs=about),
            "sample_stats": xr.Dataset(sample_stats, attrs=about),
            "constant_data": xr.Dataset(constant, attrs=about),
        }
    )
