"""A store that is made first, whole but empty, with the plan of what it will hold."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from xlsm.pipeline.blueprint import (
    MESSAGE,
    Blueprint,
    attributes_of_ledger,
    join,
    template_of,
)
from xlsm.pipeline.places import Place
from xlsm.pipeline.plan import ATTRIBUTE, check_same, read_plan
from xlsm.pipeline.write import FILL

__all__ = ["BEGUN", "prepared"]

#: Attribute of a store whose template is not finished.
BEGUN = "xlsm_begun"


def prepared(blueprint: Blueprint, plan: str, place: Place, overwrite: bool) -> None:
    """See that the store is there, and meant for this; make it if it is not or was not finished.

    Raises
    ------
    LSMError
        If it was begun for something else, unless that may be overwritten.
    FileExistsError
        If there is something that is no run.
    """
    there = _attributes(place)
    if there is not None and (known := read_plan(there)) is not None:
        if known == plan:
            return
        if not overwrite:
            check_same(known, plan, place.name)
    elif there is not None and BEGUN not in there and not overwrite:
        raise FileExistsError(
            f"{place.name} exists already, is no run that can be resumed, and is left as it is: "
            "write to another name, remove it, or replace it (overwrite=True, --overwrite)"
        )
    _make(blueprint, plan, place)


def _attributes(place: Place) -> dict[str, Any] | None:
    """Read the attributes of the root group; None where nothing is."""
    try:
        return dict(zarr.open_group(place.store(), mode="r").attrs)
    except FileNotFoundError:
        if place.occupied():
            raise FileExistsError(
                f"{place.name} exists already, is no Zarr store, and is left as it is: write to "
                "another name, or remove it"
            ) from None
        return None


def _make(blueprint: Blueprint, plan: str, place: Place) -> None:
    """Write the template: the plan last, for what has none holds nothing."""
    store = place.store(read_only=False)
    # nobody else has the lease
    root = zarr.open_group(store, mode="w", zarr_format=3, attributes={BEGUN: True})
    for path, ds in blueprint.groups.items():
        empty = template_of(ds, blueprint.chunks)
        empty.assign_attrs({} if path else {BEGUN: True}).to_zarr(
            store,
            group=path or None,
            mode="a",
            compute=False,
            consolidated=False,
            safe_chunks=False,
            encoding=_encoding(ds, blueprint),
        )
    _make_ledgers(root, blueprint)
    attributes = {name: v for name, v in zarr.open_group(store).attrs.items() if name != BEGUN}
    root.attrs.put({**attributes, ATTRIBUTE: plan})
    place.commit((), "template")


def _make_ledgers(root: zarr.Group, blueprint: Blueprint) -> None:
    """Make what no result brings: the messages, and, where it has none, the ledger."""
    home = blueprint.ledger.rpartition("/")[0]
    common: dict[str, Any] = {
        "shape": tuple(blueprint.sizes.values()),
        "chunks": tuple(blueprint.chunks.values()),  # they are small, and read whole
        "dimension_names": blueprint.dims,
    }
    with warnings.catch_warnings():
        # strings of variable length have no final specification yet; the names of stations, too
        warnings.filterwarnings("ignore", message="The data type")
        root.create_array(
            join(home, MESSAGE),
            dtype="str",
            fill_value="",
            attributes={"long_name": "what was raised where the computation failed"},
            **common,
        )
    if not blueprint.own:
        root.create_array(
            blueprint.ledger,
            dtype="int8",
            fill_value=FILL["i"],
            compressors=(ZstdCodec(level=1), Crc32cCodec()),
            attributes=attributes_of_ledger(),
            **common,
        )


def _encoding(ds: xr.Dataset, blueprint: Blueprint) -> dict[Any, dict[str, Any]]:
    """Chunks that are regions, fill values that are no results, and a sum that tells damage."""
    encoding: dict[Any, dict[str, Any]] = {}
    for name, variable in ds.data_vars.items():
        if variable.dtype.kind not in "iufb":
            continue

        def shape(sizes: dict[str, int], variable: xr.DataArray = variable) -> tuple[int, ...]:
            return tuple(sizes.get(str(dim), variable.sizes[dim]) for dim in variable.dims)

        encoding[name] = {
            "fill_value": FILL.get(variable.dtype.kind, np.nan),
            "chunks": shape(blueprint.chunks),
            "compressors": (ZstdCodec(level=1), Crc32cCodec()),
        }
        if blueprint.inner != blueprint.chunks and set(variable.dims) & set(blueprint.chunks):
            encoding[name] |= {
                "chunks": shape(blueprint.inner),
                "shards": shape(blueprint.chunks),
            }
    return encoding
