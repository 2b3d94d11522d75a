"""A region, computed and written where it is computed, its ledger last."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
from dask.local import get_sync

from xlsm.inference.invert import Status
from xlsm.pipeline.blueprint import MESSAGE, join
from xlsm.pipeline.isolate import Raised, watched
from xlsm.pipeline.places import StoreWriter
from xlsm.pipeline.regions import Region, places
from xlsm.pipeline.sources import refuse_lost, sources_of
from xlsm.pipeline.write import FILL

__all__ = ["Outcome", "Task", "give_up", "perform"]

Array = np.ndarray[Any, np.dtype[Any]]


class Task(NamedTuple):
    """A region to compute and write.

    Parameters
    ----------
    region : Region
        Which.
    graph : dict
        Of Dask, for this region alone.
    keys : list
        In it, of the variables.
    names : tuple of str
        Paths of the variables; the ledger last, if it is the result's own.
    dims : tuple of tuple of str
        Of each.
    ledger : str
        Path of the ledger.
    batch : tuple of str
        Its dimensions.
    writer : bytes
        What to write with, pickled.
    share : (int, int), optional
        The stations to compute, flat; all of them by default.
    """

    region: Region
    graph: Any
    keys: list[Any]
    names: tuple[str, ...]
    dims: tuple[tuple[str, ...], ...]
    ledger: str
    batch: tuple[str, ...]
    writer: bytes
    share: tuple[int, int] | None = None


class Outcome(NamedTuple):
    """What became of a task.

    Parameters
    ----------
    status : int8 array
        Of the stations that were computed.
    receipt : bytes or None
        For the driver to commit.
    raised : list of str
        Stations that raised, in words.
    """

    status: Array
    receipt: bytes | None
    raised: list[str]


def perform(task: Task) -> Outcome:
    """Compute a region and write it.

    Parameters
    ----------
    task : Task
        Which; where its stations are done already, by a worker that was thought to be lost,
        nothing is computed.

    Returns
    -------
    Outcome

    Raises
    ------
    LSMError
        If the input has disappeared meanwhile.
    """
    target = _Target(task)
    wanted = target.wanted()
    if not wanted.any():
        return Outcome(target.there, None, [])
    share = None if task.share is None else slice(*task.share)
    with watched(share) as raised:
        values = [np.asarray(v) for v in get_sync(task.graph, task.keys)]
    refuse_lost(sources_of(task.graph))
    names = list(task.names)
    if names[-1] == task.ledger:
        status = values.pop().reshape(wanted.shape)
        names.pop()
    else:
        status = _status_of(values, task, raised, wanted.shape)
    messages = _messages(status, raised)
    with zarr.config.set({"array.write_empty_chunks": True}):  # a chunk that is there was written
        for name, numbers, dims in zip(names, values, task.dims, strict=False):
            target.put(name, numbers, dims, wanted)
        target.commit(status, messages, wanted)
    said = [f"{place}: {text}" for place, text in _places_of(messages, wanted, task)]
    return Outcome(status[wanted], target.receipt(), said)


def give_up(task: Task, message: str) -> Outcome:
    """Flag the stations of a task as raised, with the reason, and make their numbers blank."""
    target = _Target(task)
    wanted = target.wanted()
    with zarr.config.set({"array.write_empty_chunks": True}):  # as in `perform`
        for name, dims in zip(task.names, task.dims, strict=True):
            if name != task.ledger:
                target.put(name, target.blank(name, dims), dims, wanted)
    status = np.full(wanted.shape, Status.raised, np.int8)
    messages = np.full(wanted.shape, message, object)
    target.commit(status, messages, wanted)
    said = [f"{place}: {text}" for place, text in _places_of(messages, wanted, task)]
    return Outcome(status[wanted], target.receipt(), said)


class _Target:
    """Where a task writes: opened once a process, where that may be shared."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.writer = _writer(task.writer)
        self.shared = isinstance(self.writer, StoreWriter)
        if not self.shared:
            self.writer = pickle.loads(task.writer)
            self.group = self.writer.open()
        self.spot = places(task.batch, task.region)
        self.there = np.asarray(self.array(task.ledger)[self.spot])

    def array(self, name: str) -> zarr.Array[Any]:
        """Open an array; in a bucket that is a request."""
        found = _array(self.task.writer, name) if self.shared else self.group[name]
        assert isinstance(found, zarr.Array)  # the template has made it
        return found

    def wanted(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Mark the stations that are to be computed."""
        wanted = self.there == FILL["i"]
        if self.task.share is not None:
            mine = np.zeros(wanted.size, bool)
            mine[slice(*self.task.share)] = True
            wanted &= mine.reshape(wanted.shape)
        return np.asarray(wanted, bool)

    def put(self, name: str, values: Array, dims: Sequence[str], wanted: Array) -> None:
        """Write a variable; where other stations of the region are done, they stay."""
        array, spot = self.array(name), places(dims, self.task.region)
        if not wanted.all():
            own = [dim for dim in dims if dim in self.task.batch]
            mask = xr.Variable(self.task.batch, wanted)
            mask = mask.any([dim for dim in self.task.batch if dim not in own])
            # where nothing is done there is nothing to keep, and what lies there may be damaged
            anew = (self.there == FILL["i"]).all()
            kept = self.blank(name, dims) if anew else np.asarray(array[spot])
            full = mask.set_dims(dict(zip(dims, kept.shape, strict=True)))
            values = np.where(full.transpose(*dims).values, values, kept)
        array[spot] = values

    def blank(self, name: str, dims: Sequence[str]) -> Array:
        """Give what a variable holds where nothing was computed."""
        array, spot = self.array(name), places(dims, self.task.region)
        shape = [len(range(*s.indices(n))) for s, n in zip(spot, array.shape, strict=True)]
        return np.full(shape, array.fill_value, array.dtype)

    def commit(self, status: Array, messages: Array, wanted: Array) -> None:
        """Write messages, if there are any, and the ledger."""
        if (messages != "").any():
            name = join(self.task.ledger.rpartition("/")[0], MESSAGE)
            kept = np.asarray(self.array(name)[self.spot], object)
            self.array(name)[self.spot] = np.where(wanted, messages, kept)
        ledger = np.where(wanted, status, self.there)
        with zarr.config.set({"array.write_empty_chunks": True}):
            self.array(self.task.ledger)[self.spot] = ledger

    def receipt(self) -> bytes | None:
        """Give what the driver needs."""
        receipt: bytes | None = self.writer.receipt()
        return receipt


@functools.lru_cache(maxsize=4)
def _writer(pickled: bytes) -> Any:
    return pickle.loads(pickled)  # by the driver of this run


@functools.lru_cache(maxsize=4)
def _group(pickled: bytes) -> zarr.Group:
    group: zarr.Group = _writer(pickled).open()
    return group


@functools.lru_cache(maxsize=256)
def _array(pickled: bytes, name: str) -> Any:
    return _group(pickled)[name]


def _status_of(
    values: Sequence[Array], task: Task, raised: Sequence[Raised], shape: tuple[int, ...]
) -> Array:
    """Make a status for a result that has none: written, or raised, where all numbers are NaN."""
    status = np.zeros(shape, np.int8)
    if not raised:
        return status
    numbers = [
        np.isnan(numbers).all(axis=tuple(i for i, d in enumerate(dims) if d not in task.batch))
        for numbers, dims in zip(values, task.dims, strict=True)
        if numbers.dtype.kind == "f" and set(dims) >= set(task.batch)
    ]
    if numbers:
        status[np.logical_and.reduce(numbers)] = Status.raised
    return status


def _messages(status: Array, raised: Sequence[Raised]) -> Array:
    """Put what was raised where it was; by the first of them where a block is no region."""
    messages = np.full(status.shape, "", object)
    if not raised:
        return messages
    for one in raised:
        if one.shape == status.shape:
            messages.flat[one.place] = one.message
    messages[(status == Status.raised) & (messages == "")] = raised[0].message
    return messages


def _places_of(messages: Array, wanted: Array, task: Task) -> list[tuple[str, str]]:
    """Name the stations that have a message, with it."""
    found = np.argwhere((messages != "") & wanted)
    return [
        (
            ", ".join(
                f"{dim} {first + int(index)}"
                for (dim, first, _), index in zip(task.region, place, strict=True)
            ),
            str(messages[tuple(place)]),
        )
        for place in found
    ]
