"""A write that can be killed at any moment and goes on where it was.

The store is made first, whole but empty, with the plan of what it will hold. Then every region of
the batch dimensions is a task of its own, which writes its variables and, last, its ``status``:
that is the commit. A region whose status is still the fill value is not done, whatever else of it
may be there. Regions are whole chunks, so that no two tasks touch the same one.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import fsspec
import numpy as np
import xarray as xr
import zarr
from dask.base import compute
from dask.delayed import delayed
from zarr.codecs import Crc32cCodec, ZstdCodec

from xlsm.errors import LSMError
from xlsm.pipeline.lease import Lease, lease
from xlsm.pipeline.plan import ATTRIBUTE, check_same, plan_of, read_plan
from xlsm.pipeline.write import FILL, consolidate, plain

__all__ = ["LEDGER", "to_zarr_durably"]

#: Variable that is written last.
LEDGER = "status"
#: Attribute of a store whose template is not finished.
BEGUN = "xlsm_begun"
#: Tasks in flight for each worker.
AHEAD = 2
#: Times a task is tried again on a cluster after its worker died.
RETRIES = 3

Array = np.ndarray[Any, np.dtype[Any]]
Region = tuple[tuple[str, int, int], ...]
Watch = Callable[..., Any]


class Target(NamedTuple):
    """Where regions are written, as a task is told: hashable.

    Parameters
    ----------
    url : str
        Of the store.
    options : str
        Options of the fsspec file system as JSON. They go to the workers, and nowhere else.
    """

    url: str
    options: str

    @property
    def storage_options(self) -> dict[str, Any] | None:
        """For zarr, which wants none for a path."""
        return json.loads(self.options) or None


def to_zarr_durably(
    ds: xr.Dataset,
    store: Any,
    *,
    storage_options: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> None:
    """Write a lazy result region by region, or go on writing it.

    Parameters
    ----------
    ds : Dataset
        The same, from the same input with the same options, each time.
    store : str or path
        Path or URL.
    storage_options : mapping, optional
        Options of the fsspec file system.
    watch : callable, optional
        Given the statuses of each region once it is written, and at first, with
        ``earlier=True``, of all that were.

    Raises
    ------
    LSMError
        If the store is meant for something else or is being written, or regions failed.
    """
    if not isinstance(store, str | os.PathLike):
        raise LSMError(
            f"resume=True needs a path or a URL, which the next run can be given too; got {store!r}"
        )
    target = Target(os.fspath(store), json.dumps(dict(storage_options or {}), sort_keys=True))
    ds, chunks = _in_regions(plain(ds))
    plan = plan_of(ds, chunks)
    with (
        lease(target.url, storage_options) as held,
        zarr.config.set(
            {"array.write_empty_chunks": True}  # that a chunk is there says that it was written
        ),
    ):
        group = _prepared(ds, chunks, plan, target)
        _sweep(target.url)
        done = np.asarray(_array(group, LEDGER)[...])
        if watch is not None:
            watch(done[done != FILL["i"]], earlier=True)
        failures = _write_all(ds, chunks, done, target, held, watch)
        if failures:
            told = "; ".join(f"{_named(region)}: {error}" for region, error in failures[:3])
            more = f" (and {len(failures) - 3} more)" if len(failures) > 3 else ""
            raise LSMError(
                f"{len(failures)} regions of {target.url} could not be computed, all others are "
                f"written: {told}{more}. Run it again to try them again"
            )
        consolidate(target.url, target.storage_options)


def _in_regions(ds: xr.Dataset) -> tuple[xr.Dataset, dict[str, int]]:
    """Give every result a ledger, and say how large a region is along each batch dimension."""
    if LEDGER not in ds:
        batch = {dim for v in ds.data_vars.values() for dim in v.dims} - {"time", "depth"}
        first = next(v for v in ds.data_vars.values() if set(v.dims) >= batch)
        others = [dim for dim in first.dims if dim not in batch]
        # of the numbers it only takes the shape, and with it the chunks
        written = first.isel(dict.fromkeys(others, 0), drop=True).notnull() * 0
        ds[LEDGER] = (
            written.astype(np.int8)
            .drop_attrs()
            .assign_attrs(
                long_name="whether it is written",
                flag_values=np.array([FILL["i"], 0], np.int8),
                flag_meanings="not_computed written",
            )
        )
    ledger = ds[LEDGER]
    chunks = {
        str(dim): int(max(ledger.chunksizes.get(dim, (ledger.sizes[dim],)))) for dim in ledger.dims
    }
    return ds.chunk(chunks), chunks


def _regions(sizes: Mapping[Any, int], chunks: Mapping[str, int]) -> Iterator[Region]:
    """Give all regions of the batch dimensions."""
    ranges = [
        [(dim, first, min(first + step, sizes[dim])) for first in range(0, sizes[dim], step)]
        for dim, step in chunks.items()
    ]
    return itertools.product(*ranges)


def _prepared(ds: xr.Dataset, chunks: Mapping[str, int], plan: str, target: Target) -> zarr.Group:
    """Open the store, and make it if it is not there or was not finished."""
    options = target.storage_options
    there = _opened_if_there(target)
    if there is not None and (known := read_plan(dict(there.attrs))) is not None:
        check_same(known, plan, target.url)
        return zarr.open_group(target.url, mode="r+", storage_options=options)
    if there is not None and BEGUN not in there.attrs:
        raise FileExistsError(
            f"{target.url} exists already, is no run that can be resumed, and is left as it is: "
            "write to another name, or remove it"
        )
    # nobody else has the lease, and what there is of a template holds nothing
    zarr.open_group(
        target.url, mode="w", zarr_format=3, attributes={BEGUN: True}, storage_options=options
    )
    _template(ds, chunks).to_zarr(
        target.url,
        mode="a",
        compute=False,
        consolidated=False,
        safe_chunks=False,
        encoding=_encoding(ds, chunks),
        storage_options=options,
    )
    group = zarr.open_group(target.url, mode="r+", storage_options=options)
    attributes = {name: value for name, value in group.attrs.items() if name != BEGUN}
    group.attrs.put({**attributes, ATTRIBUTE: plan})
    return group


def _opened_if_there(target: Target) -> zarr.Group | None:
    try:
        return zarr.open_group(target.url, mode="r", storage_options=target.storage_options)
    except FileNotFoundError:
        files, path = fsspec.core.url_to_fs(target.url, **(target.storage_options or {}))
        if files.exists(path) and files.ls(path):
            raise FileExistsError(
                f"{target.url} exists already, is no Zarr store, and is left as it is: write to "
                "another name, or remove it"
            ) from None
        return None


def _template(ds: xr.Dataset, chunks: Mapping[str, int]) -> xr.Dataset:
    """Give a Dataset without its numbers: names, shapes, attributes, coordinates."""
    empty = {}
    for name, variable in ds.data_vars.items():
        if not set(variable.dims) & set(chunks):  # of no station: small, and written at once
            empty[name] = variable.compute().variable
            continue
        fill = FILL.get(variable.dtype.kind, np.nan)
        # one chunk, that the graph of a million regions is not made to be thrown away
        numbers = da.full(  # type: ignore[no-untyped-call]
            variable.shape, fill, dtype=variable.dtype, chunks=variable.shape
        )
        empty[name] = xr.Variable(variable.dims, numbers, variable.attrs)
    # coordinates are written with the template
    return xr.Dataset(empty, ds.coords.to_dataset().compute().coords, ds.attrs | {BEGUN: True})


def _encoding(ds: xr.Dataset, chunks: Mapping[str, int]) -> dict[Any, dict[str, Any]]:
    """Chunks that are regions, fill values that are no results, and a sum that tells damage."""
    return {
        name: {
            "fill_value": FILL.get(variable.dtype.kind, np.nan),
            "chunks": tuple(chunks.get(str(d), variable.sizes[d]) for d in variable.dims),
            "compressors": (ZstdCodec(level=1), Crc32cCodec()),
        }
        for name, variable in ds.data_vars.items()
        if variable.dtype.kind in "iufb"
    }


def _sweep(url: str) -> None:
    """Remove what writes that were killed have left of files; nobody else is writing."""
    if "://" in url and not url.startswith("file://"):
        return  # an object is there whole, or not
    for leftover in Path(url.removeprefix("file://")).rglob("*.partial"):
        leftover.unlink(missing_ok=True)


def _named(region: Region) -> str:
    return ", ".join(f"{dim} {first} to {end - 1}" for dim, first, end in region)


def _write_all(
    ds: xr.Dataset,
    chunks: Mapping[str, int],
    done: Array,
    target: Target,
    held: Lease,
    watch: Watch | None,
) -> list[tuple[Region, str]]:
    """Write all regions that are not done, some of them at a time; give those that failed."""
    dims = tuple(map(str, ds[LEDGER].dims))
    missing = (
        region
        for region in _regions(ds.sizes, chunks)
        if (done[_places(dims, region)] == FILL["i"]).any()
    )
    names = [n for n, v in ds.data_vars.items() if set(v.dims) & set(chunks) and n != LEDGER]
    names.append(LEDGER)  # last
    tasks = ((region, _task(ds, names, region, target)) for region in missing)
    failures = []
    for region, result in _run(tasks):
        if held.lost:
            raise LSMError(f"{target.url}: another run has taken over its lease, and goes on")
        if isinstance(result, BaseException):
            failures.append((region, f"{type(result).__name__}: {result}"))
        elif watch is not None:
            watch(result)
    return failures


def _task(ds: xr.Dataset, names: Sequence[Any], region: Region, target: Target) -> Any:
    part = ds.isel({dim: slice(first, end) for dim, first, end in region})
    dims = [tuple(map(str, part[name].dims)) for name in names]
    values = [part[name].data for name in names]
    return delayed(_write, pure=False)(values, tuple(map(str, names)), dims, region, target)


def _places(dims: Sequence[str], region: Region) -> tuple[slice, ...]:
    """Where a region lies in a variable."""
    known = {dim: slice(first, end) for dim, first, end in region}
    return tuple(known.get(dim, slice(None)) for dim in dims)


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    found = group[name]
    assert isinstance(found, zarr.Array)  # the template has made it
    return found


@functools.lru_cache(maxsize=4)
def _opened(target: Target) -> zarr.Group:
    return zarr.open_group(target.url, mode="r+", storage_options=target.storage_options)


def _write(
    values: Sequence[Array],
    names: Sequence[str],
    dims: Sequence[tuple[str, ...]],
    region: Region,
    target: Target,
) -> Array:
    """Write a region, its ledger last; runs where it was computed."""
    group = _opened(target)
    ledger = _places(dims[-1], region)
    there = np.asarray(_array(group, LEDGER)[ledger])
    if not (there == FILL["i"]).any():  # by a worker that was thought to be lost
        return there
    with zarr.config.set({"array.write_empty_chunks": True}):
        for name, numbers, own in zip(names, values, dims, strict=True):
            _array(group, name)[_places(own, region)] = np.asarray(numbers)
    return np.asarray(values[-1])


def _run(tasks: Iterator[tuple[Region, Any]]) -> Iterator[tuple[Region, Any]]:
    """Compute tasks, a window of them at a time, and give each result or what it raised."""
    client = _client()
    if client is not None:
        yield from _run_on(client, tasks)
        return
    width = AHEAD * (os.cpu_count() or 1)
    for window in iter(lambda: list(itertools.islice(tasks, width)), []):
        try:
            results = compute(*(task for _, task in window))  # type: ignore[no-untyped-call]
        except Exception:  # one of them: which, is found by itself
            results = tuple(_alone(task) for _, task in window)
        yield from zip((region for region, _ in window), results, strict=True)


def _alone(task: Any) -> Any:
    try:
        return task.compute()
    except Exception as error:
        return error


def _client() -> Any:
    """Give the Dask client in use, if there is one."""
    try:
        from distributed import default_client

        return default_client()
    except (ImportError, ValueError):
        return None


def _run_on(client: Any, tasks: Iterator[tuple[Region, Any]]) -> Iterator[tuple[Region, Any]]:
    """Do it on a cluster: results are let go of as they come."""
    from distributed import as_completed

    regions: dict[Any, Region] = {}

    def submit(count: int) -> list[Any]:
        futures = []
        for region, task in itertools.islice(tasks, count):
            future = client.compute(task, retries=RETRIES)
            regions[future] = region
            futures.append(future)
        return futures

    width = AHEAD * max(1, sum(client.nthreads().values()))
    running = as_completed(submit(width))
    for future in running:
        region = regions.pop(future)
        error = future.exception()
        yield region, error if error is not None else future.result()
        future.release()
        for more in submit(1):
            running.add(more)
