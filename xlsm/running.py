"""What the command line does with a lazy result: computed by whom, written how, with a bar."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import xarray as xr
from rich.console import Console

from xlsm import store
from xlsm.pipeline.checkup import planned_chunks
from xlsm.pipeline.cluster import client_of, local_client
from xlsm.pipeline.durable import to_zarr_durably
from xlsm.progress import station_bar

__all__ = ["chunks_of_run", "computed", "workers_of"]


def workers_of(workers: int | None, scheduler: str | None, resume: bool) -> int:
    """How many worker processes to start: where nobody says, one a core for a run to resume."""
    if workers is not None:
        return workers
    return (os.cpu_count() or 1) if resume and not scheduler else 0


def chunks_of_run(ds: xr.Dataset, out: str, sizes: dict[str, int], resume: bool) -> dict[str, int]:
    """Take the blocks of the run that is gone on with, unless others are asked for."""
    if sizes or not resume:
        return sizes
    return {dim: size for dim, size in planned_chunks(out).items() if dim in ds.dims}


def computed(
    result: xr.Dataset,
    out: str,
    console: Console,
    *,
    workers: int,
    scheduler: str | None,
    overwrite: bool,
    resume: bool,
) -> None:
    """Compute a result and write it, block by block if it is in blocks.

    Parameters
    ----------
    result : Dataset
        Lazy, or computed already.
    out : str
        Where to write it.
    console : rich.console.Console
        Where the bar is shown.
    workers : int
        How many processes to start; none computes on threads of this one.
    scheduler : str or None
        Of a cluster to use instead.
    overwrite : bool
        Whether what is there may be replaced; what can be gone on with is, if `resume` is set.
    resume : bool
        Whether to go on with what is there.
    """
    blocks = [sizes for sizes in result.chunksizes.values() if len(sizes) > 1]
    if not result.chunks or (not resume and not blocks):
        with console.status("computing"):
            store.write_output(result.compute(), out, overwrite)
        return
    if overwrite and not resume:
        store.remove(out)
    cluster: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if scheduler:
        cluster = client_of(scheduler)
    elif workers and blocks:
        cluster = local_client(workers)
    with cluster, station_bar(console) as watch:
        to_zarr_durably(result, out, overwrite=overwrite, watch=watch)
