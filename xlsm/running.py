"""What the command line does with a lazy result: computed by whom, written how, with a bar."""

from __future__ import annotations

import contextlib
import os
from typing import Any, NamedTuple

import typer
import xarray as xr
from rich.console import Console

from xlsm import store
from xlsm.pipeline.checkup import planned_chunks
from xlsm.pipeline.cluster import client_of, local_client
from xlsm.pipeline.durable import to_zarr_durably
from xlsm.progress import station_bar

__all__ = ["Run", "in_blocks", "run_of", "write_watched"]


class Run(NamedTuple):
    """How a result is computed and written.

    Parameters
    ----------
    out : str
        Where to write it.
    workers : int
        How many processes to start; none computes on threads of this one.
    scheduler : str or None
        Of a cluster to use instead.
    resume : bool
        Whether to go on with what is there.
    overwrite : bool
        Whether what is there may be replaced; what can be gone on with is not, with `resume`.
    """

    out: str
    workers: int
    scheduler: str | None
    resume: bool
    overwrite: bool


def run_of(
    out: str, workers: int | None, scheduler: str | None, *, resume: bool, overwrite: bool
) -> Run:
    """Fill in what was left open: one worker a core for a run to resume, otherwise none."""
    if scheduler and workers:
        raise typer.BadParameter("give either --scheduler, which has workers, or --workers")
    if workers is None:
        workers = (os.cpu_count() or 1) if resume and not scheduler else 0
    return Run(out, workers, scheduler, resume, overwrite)


def in_blocks(
    ds: xr.Dataset, run: Run, sizes: dict[str, int], *, always: bool = False
) -> xr.Dataset | None:
    """Cut an input into blocks, if it is to be computed so: as asked, or as an earlier run did.

    Parameters
    ----------
    ds : Dataset
        As `xlsm.store.open_input` gives it.
    run : Run
        For which.
    sizes : dict of str to int
        Block sizes that were asked for.
    always : bool
        Whether even if nothing asks for it.

    Returns
    -------
    Dataset or None
    """
    if not (sizes or always or run.workers or run.scheduler or run.resume):
        return None
    if run.resume and not sizes:
        known = planned_chunks(run.out)
        sizes = {dim: size for dim, size in known.items() if dim in ds.dims}
    return store.chunk_stations(ds, sizes, store.CLUSTER if run.scheduler else run.workers)


def write_watched(result: xr.Dataset, run: Run, console: Console) -> None:
    """Compute a result and write it, block by block and with a bar if it is in blocks."""
    blocks = any(len(sizes) > 1 for sizes in result.chunksizes.values())
    if not result.chunks or not (run.resume or blocks):
        with console.status("computing"):
            store.write_output(result.compute(), run.out, run.overwrite)
        return
    if run.overwrite and not run.resume:
        store.remove(run.out)
    cluster: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if run.scheduler:
        cluster = client_of(run.scheduler)
    elif run.workers and blocks:
        cluster = local_client(run.workers)
    with cluster, station_bar(console) as watch:
        to_zarr_durably(result, run.out, overwrite=run.overwrite, watch=watch)
