"""What a store holds: how far a run has come, and whether what it wrote is whole."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import fsspec
import numpy as np
import zarr

from xlsm.errors import DataNotFoundError, LSMError
from xlsm.pipeline.durable import LEDGER
from xlsm.pipeline.write import FILL

__all__ = ["Damage", "forget", "progress", "verify"]


class Damage(NamedTuple):
    """A chunk that cannot be read.

    Parameters
    ----------
    variable : str
        Whose chunk it is.
    region : tuple of slice
        Where it lies in ``status``.
    what : str
        In words.
    """

    variable: str
    region: tuple[slice, ...]
    what: str


def _open(store: str, options: Mapping[str, Any] | None, mode: str) -> zarr.Group:
    try:
        given = dict(options) if options else None
        group = zarr.open_group(store, mode=mode, storage_options=given)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise DataNotFoundError(f"there is no Zarr store {store}") from error
    if LEDGER not in group:
        raise LSMError(
            f"{store} has no variable {LEDGER!r}: it is no result of xlsm, or its template is not "
            "finished; run again with --resume"
        )
    return group


def progress(store: str, options: Mapping[str, Any] | None = None) -> dict[int, int]:
    """Count the stations by their status, ``-1`` for those that are not computed yet.

    Parameters
    ----------
    store : str
        Path or URL; a run may be writing it.
    options : mapping, optional
        Options of the fsspec file system.

    Returns
    -------
    dict of int to int

    Raises
    ------
    DataNotFoundError, LSMError
        If it is no store, or no result.
    """
    statuses = np.asarray(_array(_open(store, options, "r"), LEDGER)[...]).ravel()
    return dict(sorted(Counter(statuses.tolist()).items()))


def verify(store: str, options: Mapping[str, Any] | None = None) -> list[Damage]:
    """Read every chunk of every region that is done.

    Parameters
    ----------
    store, options
        As of `progress`.

    Returns
    -------
    list of Damage
        Chunks that are cut short, changed by as little as a bit, or not there.

    Raises
    ------
    DataNotFoundError, LSMError
        If it is no store, or no result.
    """
    group = _open(store, options, "r")
    files, root = fsspec.core.url_to_fs(store, **(options or {}))
    ledger = _array(group, LEDGER)
    dims = _dims(ledger)
    found = []
    for region in _chunks(ledger):
        try:
            done = (np.asarray(ledger[region]) != FILL["i"]).any()
        except Exception as error:  # whatever a codec makes of broken bytes
            found.append(Damage(LEDGER, region, _said(error)))
            continue
        if not done:
            continue
        for name, array in group.arrays():
            own = dict(zip(dims, region, strict=True))
            if not set(_dims(array)) & set(dims) or name in dims:
                continue
            places = tuple(own.get(dim, slice(None)) for dim in _dims(array))
            index = [
                (place.start or 0) // size for place, size in zip(places, array.chunks, strict=True)
            ]
            key = array.metadata.encode_chunk_key(tuple(index))
            if not files.exists(f"{root.rstrip('/')}/{name}/{key}"):
                found.append(Damage(name, region, "is not there"))
                continue
            try:
                array[places]
            except Exception as error:
                found.append(Damage(name, region, _said(error)))
    return found


def forget(store: str, damaged: list[Damage], options: Mapping[str, Any] | None = None) -> None:
    """Make damaged regions not computed, so that a run that is resumed computes them again."""
    ledger = _array(_open(store, options, "r+"), LEDGER)
    for region in {tuple((s.start, s.stop) for s in one.region) for one in damaged}:
        ledger[tuple(slice(*ends) for ends in region)] = FILL["i"]


def _said(error: Exception) -> str:
    return f"cannot be read: {str(error) or type(error).__name__}"


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    found = group[name]
    if not isinstance(found, zarr.Array):
        raise LSMError(f"{name} is no array")
    return found


def _dims(array: zarr.Array[Any]) -> tuple[str, ...]:
    return tuple(map(str, getattr(array.metadata, "dimension_names", None) or ()))


def _chunks(array: zarr.Array[Any]) -> Iterator[tuple[slice, ...]]:
    """Give the chunks of an array as slices."""
    ranges = [
        [slice(first, min(first + step, size)) for first in range(0, size, step)]
        for size, step in zip(array.shape, array.chunks, strict=True)
    ]
    return itertools.product(*ranges)
