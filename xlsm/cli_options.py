"""Options that commands share: by whom a result is computed, and how it is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

__all__ = [
    "Chunk",
    "Compiled",
    "Overwrite",
    "Resume",
    "Scheduler",
    "Workers",
    "keeping",
    "stoppable",
]

Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace OUT if it exists; with --resume only if it was begun for something else.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Worker processes, of GPUs at most one for each; 0 computes in this one. By default "
        "0, with --resume one a core.",
    ),
]
Chunk = Annotated[str | None, typer.Option(help="Stations computed at a time, e.g. station=64.")]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Dask scheduler whose workers compute, e.g. tcp://10.0.0.1:8786."),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Write so that the run may be killed, and the same command goes on where it was.",
    ),
]
Compiled = Annotated[
    Path | None,
    typer.Option(
        "--compilation-cache",
        help="Folder of this machine in which compiled programs are kept for the next run.",
    ),
]


@contextlib.contextmanager
def stoppable(out: str, resume: bool) -> Iterator[None]:
    """End a run that is interrupted with exit code 1, and say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        how = "the same command goes on with" if resume else "it has left a part of"
        console = Console(stderr=True)
        console.print(f"Stopped: {how} {out}", style="yellow", markup=False, highlight=False)
        raise typer.Exit(1) from None


@contextlib.contextmanager
def keeping(folder: Path | None) -> Iterator[None]:
    """Have compiled programs kept, here and by the workers that are started meanwhile."""
    from xlsm.pipeline.compiled import VARIABLE

    before = os.environ.get(VARIABLE)
    if folder is not None:
        os.environ[VARIABLE] = str(folder.absolute())
    try:
        yield
    finally:
        if folder is not None:
            os.environ.pop(VARIABLE)
            os.environ.update({} if before is None else {VARIABLE: before})
