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
from xlsm.pipeline.blueprint import Blueprint, join

__all__ = ["ATTRIBUTE", "check_same", "ledger_in", "plan_of", "read_plan"]

#: Attribute of the store that has the plan.
ATTRIBUTE = "xlsm_plan"


def plan_of(blueprint: Blueprint) -> str:
    """Write down what decides a result: sizes, chunks, model, parameters, input, version.

    Parameters
    ----------
    blueprint : Blueprint
        What will be written.

    Returns
    -------
    str
        JSON with sorted names. Of the data it has digests only, and of where they come from
        nothing.
    """
    each = [(path, ds) for path, ds in blueprint.groups.items()]
    plan = {
        "xlsm": __version__,
        "ledger": blueprint.ledger,
        "sizes": {str(dim): size for _, ds in each for dim, size in ds.sizes.items()},
        "chunks": blueprint.chunks,
        "inner": blueprint.inner,
        "variables": {
            join(path, str(name)): [*map(str, variable.dims), str(variable.dtype)]
            for path, ds in each
            for name, variable in ds.data_vars.items()
        },
        "attributes": {
            join(path, str(name)): str(value)
            for path, ds in each
            for name, value in ds.attrs.items()
        },
        "data": {
            join(path, str(name)): _digest(variable)
            for path, ds in each
            for name, variable in ds.variables.items()
        },
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


def ledger_in(attributes: Mapping[str, Any], usual: str) -> str:
    """Say where the ledger of a store lies; stores of 0.1.0 do not say it."""
    try:
        plan = json.loads(read_plan(attributes) or "{}")
    except json.JSONDecodeError:
        return usual
    ledger = plan.get("ledger", usual) if isinstance(plan, dict) else usual
    return ledger if isinstance(ledger, str) else usual


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
        f"{'; '.join(told)}. Give the same input and options, write to another store, or replace "
        "this one (overwrite=True, --overwrite)"
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say what differs between two plans, in words; of data that follow from it, nothing."""
    told = []
    for part, what in (
        ("xlsm", "version of xlsm"),
        ("sizes", "size of"),
        ("chunks", "chunk size along"),
        ("inner", "chunk size within a region along"),
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
        if part == "chunks":
            break  # the others follow from it
    if not told:
        one, other = old.get("data", {}), new.get("data", {})
        names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
        known = ", ".join(names[:5])
        told.append(f"the input (another, or written anew), or an option, that {known} come from")
    return told
