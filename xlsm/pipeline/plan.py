"""What a store is meant to hold: written into it first, compared before a run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xlsm._version import __version__
from xlsm.errors import LSMError

__all__ = ["ATTRIBUTE", "check_same", "plan_of", "read_plan"]

#: Attribute of the store that has the plan.
ATTRIBUTE = "xlsm_plan"


def plan_of(ds: xr.Dataset, chunks: Mapping[str, int]) -> str:
    """Write down what decides a result: sizes, chunks, model, parameters, input, version.

    Parameters
    ----------
    ds : Dataset
        Lazy or not.
    chunks : mapping of str to int
        Size of a region along each batch dimension.

    Returns
    -------
    str
        JSON with sorted names. Of the data it has digests only, and of where they come from
        nothing.
    """
    plan = {
        "xlsm": __version__,
        "sizes": {str(dim): size for dim, size in ds.sizes.items()},
        "chunks": dict(chunks),
        "variables": {
            str(name): [*map(str, variable.dims), str(variable.dtype)]
            for name, variable in ds.data_vars.items()
        },
        "attributes": {str(name): str(value) for name, value in ds.attrs.items()},
        "data": {str(name): _digest(variable) for name, variable in ds.variables.items()},
    }
    return json.dumps(plan, sort_keys=True)


def _digest(variable: xr.Variable) -> str:
    """Identify numbers: by the graph they will come from, or by themselves."""
    if variable.chunks is not None:
        # Dask's name for it: a digest of all that goes into it, alike in every process
        identity = str(variable.data.name).encode()
    else:
        values = np.asarray(variable.values)
        identity = repr(values.tolist()).encode() if values.dtype == object else values.tobytes()
    return hashlib.sha256(identity).hexdigest()[:16]


def read_plan(attributes: Mapping[str, Any]) -> str | None:
    """Take the plan from the attributes of a store; None if there is none."""
    plan = attributes.get(ATTRIBUTE)
    return plan if isinstance(plan, str) else None


def check_same(there: str, wanted: str, store: str) -> None:
    """Refuse to go on with a store that is meant for something else.

    Raises
    ------
    LSMError
        Says what differs.
    """
    if there == wanted:
        return
    try:
        old, new = json.loads(there), json.loads(wanted)
        told = _differences(old, new)
    except (json.JSONDecodeError, AttributeError, TypeError):
        told = ["the plan in it cannot be read"]
    raise LSMError(
        f"{store} was begun for another result, and cannot be resumed for this one: "
        f"{'; '.join(told)}. Give the same input and options, or write to another store"
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say what differs between two plans, in words; of data that follow from it, nothing."""
    told = []
    for part, what in (
        ("xlsm", "version of xlsm"),
        ("sizes", "size of"),
        ("chunks", "chunk size along"),
        ("attributes", "attribute"),
        ("variables", "variable"),
    ):
        one, other = old.get(part), new.get(part)
        if one == other:
            continue
        if not isinstance(one, Mapping) or not isinstance(other, Mapping):
            told.append(f"{what}: {one} in the store, {other} now")
            continue
        told += [
            f"{what} {name}: {one.get(name)} in the store, {other.get(name)} now"
            for name in sorted({*one, *other})
            if one.get(name) != other.get(name)
        ]
    if not told:
        one, other = old.get("data", {}), new.get("data", {})
        names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
        told.append(f"the input, or an option, that {', '.join(names[:5])} come from")
    return told
