"""A write that can be killed at any moment and goes on where it was.

The store is made first, whole but empty, with the plan of what it will hold. Then every region of
the batch dimensions is a task of its own, which writes its variables and, last, its ledger: that is
the commit. A region whose ledger is still the fill value is not done, whatever else of it may be
there. Regions are whole chunks, so that no two tasks touch the same one.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr

from xlsm.errors import LSMError
from xlsm.inference.invert import Status
from xlsm.pipeline.alone import halves, in_shares, runs
from xlsm.pipeline.blueprint import LEDGER, Blueprint, blueprint_of
from xlsm.pipeline.engine import Killed, perform_all, workers_in_use
from xlsm.pipeline.lease import Lease, lease
from xlsm.pipeline.places import Place, place_of
from xlsm.pipeline.plan import plan_of
from xlsm.pipeline.regions import Region, missing, named, places
from xlsm.pipeline.runlog import RunLog
from xlsm.pipeline.slicing import tasks_of
from xlsm.pipeline.task import Outcome, Task
from xlsm.pipeline.template import prepared
from xlsm.pipeline.write import FILL, consolidate_store

__all__ = ["LEDGER", "to_zarr_durably"]

#: Regions that are committed at once, or after so many seconds, where the driver has to commit.
TOGETHER, PATIENCE = 32, 10.0

#: Packages whose errors are those of a store.
CLIENTS = {
    "adlfs",
    "aiohttp",
    "azure",
    "botocore",
    "gcsfs",
    "google",
    "icechunk",
    "obstore",
    "zarr",
}
#: Regions that fail one after the other until a run gives up: it is not their fault, then.
HOPELESS = 32

Array = np.ndarray[Any, np.dtype[Any]]
Watch = Callable[..., Any]


class _Hopeless(Exception):
    """Too many regions have failed in a row."""


class Failure(NamedTuple):
    """A region that could not be computed, and why."""

    region: Region
    why: str


def to_zarr_durably(
    result: xr.Dataset | xr.DataTree,
    store: Any,
    *,
    storage_options: Mapping[str, Any] | None = None,
    chunks: Mapping[str, int] | None = None,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> None:
    """Write a lazy result region by region, or go on writing it.

    Parameters
    ----------
    result : Dataset or DataTree
        The same, from the same input with the same options, each time.
    store : str, path, obstore store, zarr.storage.ObjectStore or icechunk.Repository
        See `xlsm.pipeline.places.place_of`.
    storage_options : mapping, optional
        Options of the file system.
    chunks : mapping of str to int, optional
        Size of the chunks within a region, which is then one object of many.
    overwrite : bool, optional
        Replace a store that was begun for something else.
    watch : callable, optional
        Given the statuses of each region once it is written, and at first, with
        ``earlier=True`` and ``total=``, of all that were.

    Raises
    ------
    LSMError
        If the store is meant for something else or is being written, or regions failed.
    """
    place = place_of(store, storage_options)
    blueprint = blueprint_of(result, chunks)
    plan = plan_of(blueprint)
    with (
        _named_errors(place),
        lease(place.lease(), place.name) as held,
        # that a chunk is there says that it was written
        zarr.config.set({"array.write_empty_chunks": True}),
    ):
        prepared(blueprint, plan, place, overwrite)
        place.sweep()
        _Run(blueprint, place, held, RunLog(place.log()), watch).go()
        consolidate_store(place.store(read_only=False))


@contextlib.contextmanager
def _named_errors(place: Place) -> Iterator[None]:
    """Say of which store an error is that its client raises, and what to do; without credentials.

    Some servers repeat a key in what they answer, so that the client's own error is not shown.
    """
    try:
        yield
    except (LSMError, FileExistsError):
        raise
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in CLIENTS:
            raise
        raise LSMError(
            f"{place.name}: {_said(error, place)}. What was written stays: run it again to go on"
        ) from None


class _Run:
    """A run: what it writes and where, and how far it is."""

    def __init__(
        self, blueprint: Blueprint, place: Place, held: Lease, log: RunLog, watch: Watch | None
    ) -> None:
        self.blueprint, self.place, self.held, self.log = blueprint, place, held, log
        self.watch = watch or (lambda *_, **__: None)
        ledger = zarr.open_group(place.store(), mode="r")[blueprint.ledger]
        assert isinstance(ledger, zarr.Array)  # the template has made it
        status = np.asarray(ledger[...])
        self.done = status != FILL["i"]
        self.earlier = status[self.done]
        self.count, self.flagged = self.earlier.size, _flagged(self.earlier)
        self.receipts: list[bytes] = []
        self.in_a_row = 0
        self.committed = self.begun = time.monotonic()

    def go(self) -> None:
        """Compute and write all that is not done."""
        self.watch(self.earlier, earlier=True, total=self.done.size)
        self.log.tell("begin", **self._counts(), computed_by=workers_in_use())
        failures: list[Failure] = []
        try:
            with contextlib.suppress(_Hopeless):
                self._whole_regions(failures)
            self._flush()
        except BaseException as error:  # interrupts, too: the log says how a run ended
            self.log.tell("stopped", error=_said(error, self.place), **self._counts())
            raise
        self.log.tell("failed" if failures else "end", **self._counts(), failed=len(failures))
        if failures:
            told = "; ".join(f"{named(region)}: {why}" for region, why in failures[:3])
            more = f" (and {len(failures) - 3} more)" if len(failures) > 3 else ""
            others = (
                "nothing was tried any more after so many in a row"
                if self.in_a_row >= HOPELESS
                else "all others are written"
            )
            raise LSMError(
                f"{len(failures)} regions of {self.place.name} could not be computed, {others}: "
                f"{told}{more}. Run it again to try them again"
            )

    def _whole_regions(self, failures: list[Failure]) -> None:
        """Compute regions; last of all those, in shares, that ended their worker."""
        dims, chunks, done = self.blueprint.dims, self.blueprint.chunks, self.done
        deadly: list[Task] = []
        writer = self._writer()

        def untouched() -> Iterator[Region]:
            # of the others a share is done: an earlier run has found them to be deadly
            for region in missing(done, dims, chunks):
                if not done[places(dims, region)].any():
                    yield region

        for task, result in perform_all(tasks_of(self.blueprint, untouched(), writer)):
            if isinstance(result, Killed):
                self.log.tell("killed", region=named(task.region), error=str(result))
                deadly.append(task)
            else:
                self._take(task, result, failures)
        partly = (r for r in missing(done, dims, chunks) if done[places(dims, r)].any())
        for task in tasks_of(self.blueprint, partly, writer):
            left = ~done[places(dims, task.region)].ravel()
            self._shares(task, runs(left), failures)
        for task in deadly:
            self._shares(task, halves(task), failures)

    def _shares(
        self, task: Task, shares: Sequence[tuple[int, int]], failures: list[Failure]
    ) -> None:
        """Compute a region in shares, one after the other: they touch the same chunks."""
        for result in in_shares(task, shares, self._writer):
            self._take(task, result, failures)
            self._flush()  # the next share must see it

    def _writer(self) -> bytes:
        return pickle.dumps(self.place.writer())

    def _take(self, task: Task, result: Outcome | Exception, failures: list[Failure]) -> None:
        """Note what became of a task, and commit where that is ours to do."""
        if self.held.lost:
            raise LSMError(f"{self.place.name}: another run has taken over its lease, and goes on")
        if isinstance(result, Exception):
            failures.append(Failure(task.region, _said(result, self.place)))
            self.log.tell("error", region=named(task.region), error=failures[-1].why)
            self.in_a_row += 1
            if self.in_a_row >= HOPELESS:
                raise _Hopeless
            return
        self.in_a_row = 0
        for said in result.raised:
            self.log.tell("raised", station=said)
        self.count += result.status.size
        self.flagged += _flagged(result.status)
        if result.receipt is not None:
            self.receipts.append(result.receipt)
        if len(self.receipts) >= TOGETHER or time.monotonic() - self.committed > PATIENCE:
            self._flush()
        self.watch(result.status)
        self.log.progress(**self._counts())

    def _flush(self) -> None:
        if self.receipts:
            count = len(self.receipts)
            self.place.commit(self.receipts, f"{count} regions")
            self.receipts = []
        self.committed = time.monotonic()

    def _counts(self) -> dict[str, Any]:
        return {
            "stations": self.done.size,
            "done": self.count,
            "flagged": self.flagged,
            "seconds": round(time.monotonic() - self.begun, 1),
        }


def _flagged(status: Array) -> int:
    return int((status != Status.converged).sum())


def _said(error: BaseException, place: Place) -> str:
    """Say what an error is in a line: some of those of stores are as long as a page."""
    text = (str(error).strip().splitlines() or [""])[0]
    for secret in place.secrets():
        text = text.replace(secret, "***")
    return f"{type(error).__name__}: {text[:300]}"
