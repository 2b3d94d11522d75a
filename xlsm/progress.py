"""A progress bar that counts stations, and those that were flagged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xlsm.inference.invert import Status

__all__ = ["station_bar"]


@contextlib.contextmanager
def station_bar(
    console: Console, stations: int
) -> Iterator[Callable[[np.ndarray[Any, Any]], None]]:
    """Show a bar; it moves when the function it gives is called with a block of ``status``.

    Parameters
    ----------
    console : rich.console.Console
        Where to show it; what is not a terminal gets its last state only.
    stations : int
        How many there are.

    Yields
    ------
    callable
        To be called with each block that is done.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[flags]} flagged"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("stations", total=stations, flags=0)
        count = 0

        def watch(status: np.ndarray[Any, Any]) -> None:
            nonlocal count
            count += int(np.sum(status != Status.converged))
            progress.update(task, advance=status.size, flags=count)

        yield watch
