"""What a store holds: how far a run has come, and whether what it wrote is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import zarr
from zarr.core.sync import sync

from xlsm.errors import DataNotFoundError, LSMError
from xlsm.pipeline.blueprint import LEDGER, MESSAGE, join
from xlsm.pipeline.places import FsspecPlace, Place, place_of
from xlsm.pipeline.plan import ledger_in
from xlsm.pipeline.regions import regions
from xlsm.pipeline.trust import refuse_objects
from xlsm.pipeline.write import FILL

__all__ = ["Damage", "forget", "planned_chunks", "progress", "verify"]

#: Regions that are read at a time: in a bucket most of the time is waiting.
READERS = 8


class Damage(NamedTuple):
    """A chunk that cannot be read.

    Parameters
    ----------
    variable : str
        Whose chunk it is.
    region : tuple of slice
        Where it lies in the ledger.
    what : str
        In words.
    """

    variable: str
    region: tuple[slice, ...]
    what: str


def progress(store: Any, options: Mapping[str, Any] | None = None) -> dict[int, int]:
    """Count the stations by their status, ``-1`` for those that are not computed yet.

    Parameters
    ----------
    store : str
        Path or URL, or what else `xlsm.pipeline.places.place_of` takes; a run may be writing it.
    options : mapping, optional
        Options of the file system.

    Returns
    -------
    dict of int to int

    Raises
    ------
    DataNotFoundError, LSMError
        If it is no store, or no result.
    """
    place = place_of(store, options)
    ledger, _ = _ledger(_group(place, place.store()), place)
    return dict(sorted(Counter(np.asarray(ledger[...]).ravel().tolist()).items()))


def planned_chunks(store: Any, options: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Give the size of a region along each batch dimension; nothing where no run was begun."""
    try:
        group = zarr.open_group(place_of(store, options).store(), mode="r")
    except FileNotFoundError:
        return {}
    ledger = group.get(ledger_in(dict(group.attrs), LEDGER))
    if not isinstance(ledger, zarr.Array):
        return {}
    return dict(zip(_dims(ledger), _outer(ledger), strict=True))


def verify(store: Any, options: Mapping[str, Any] | None = None) -> list[Damage]:
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
    place = place_of(store, options)
    group = _group(place, place.store())
    ledger, path = _ledger(group, place)
    dims = _dims(ledger)
    arrays = {
        name: array
        for name, array in group.members(max_depth=None)
        if isinstance(array, zarr.Array)
        and set(_dims(array)) & set(dims)
        and name.rpartition("/")[2] not in (*dims, MESSAGE)
    }

    def look(region: tuple[slice, ...]) -> list[Damage]:
        try:
            done = (np.asarray(ledger[region]) != FILL["i"]).any()
        except Exception as error:  # whatever a codec makes of broken bytes
            return [Damage(path, region, _said(error))]
        if not done:
            return []
        found = []
        own = dict(zip(dims, region, strict=True))
        for name, array in arrays.items():
            spot = tuple(own.get(dim, slice(None)) for dim in _dims(array))
            if not _there(array, spot):
                found.append(Damage(name, region, "is not there"))
                continue
            try:
                array[spot]
            except Exception as error:
                found.append(Damage(name, region, _said(error)))
        return found

    with ThreadPoolExecutor(READERS) as pool:
        return [damage for each in pool.map(look, _chunks(ledger)) for damage in each]


def forget(store: Any, damaged: list[Damage], options: Mapping[str, Any] | None = None) -> None:
    """Make damaged regions not computed, so that a run that is resumed computes them again."""
    place = place_of(store, options)
    group = _group(place, place.store(read_only=False), "r+")
    ledger, path = _ledger(group, place)
    messages = group.get(join(path.rpartition("/")[0], MESSAGE))
    for ends in {tuple((s.start, s.stop) for s in one.region) for one in damaged}:
        region = tuple(slice(*each) for each in ends)
        ledger[region] = FILL["i"]
        if isinstance(messages, zarr.Array):
            messages[region] = ""  # stations that need one will be given one
    if damaged:
        place.commit((), "forget damaged regions")


def _group(place: Place, store: Any, mode: Any = "r") -> zarr.Group:
    if isinstance(place, FsspecPlace):  # the others are Zarr 3, whose codecs run nothing
        refuse_objects(place.name, place.options)
    try:
        return zarr.open_group(store, mode=mode)
    except FileNotFoundError as error:
        raise DataNotFoundError(f"there is no Zarr store {place.name}") from error


def _ledger(group: zarr.Group, place: Place) -> tuple[zarr.Array[Any], str]:
    path = ledger_in(dict(group.attrs), LEDGER)
    found = group.get(path)
    if not isinstance(found, zarr.Array):
        raise LSMError(
            f"{place.name} has no variable {path!r}: it is no result of xlsm, or its template is "
            "not finished; run again with --resume"
        )
    return found, path


def _said(error: Exception) -> str:
    return f"cannot be read: {str(error) or type(error).__name__}"


def _dims(array: zarr.Array[Any]) -> tuple[str, ...]:
    return tuple(map(str, getattr(array.metadata, "dimension_names", None) or ()))


def _outer(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Give the shape of what is one object: a shard, or a chunk."""
    return array.shards or array.chunks


def _there(array: zarr.Array[Any], spot: tuple[slice, ...]) -> bool:
    """Whether a chunk has been written: what was not reads as fill values, and looks well."""
    index = [(s.start or 0) // size for s, size in zip(spot, _outer(array), strict=True)]
    key = f"{array.path}/{array.metadata.encode_chunk_key(tuple(index))}"
    return bool(sync(array.store.exists(key.lstrip("/"))))


def _chunks(array: zarr.Array[Any]) -> Iterator[tuple[slice, ...]]:
    """Give the chunks of an array as slices."""
    dims = _dims(array)
    sizes = dict(zip(dims, array.shape, strict=True))
    for region in regions(sizes, dict(zip(dims, _outer(array), strict=True))):
        yield tuple(slice(first, end) for _, first, end in region)
