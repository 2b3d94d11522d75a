"""A progress bar that counts stations, and those that were flagged."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xlsm.inference.invert import Status

__all__ = ["station_bar"]


@contextlib.contextmanager
def station_bar(console: Console) -> Iterator[Callable[..., None]]:
    """Show a bar: stations done, flagged, a second, and the time left.

    It moves when the function it gives is called with a block of ``status``.

    Parameters
    ----------
    console : rich.console.Console
        Where to show it; what is not a terminal gets its last state only.

    Yields
    ------
    callable
        To be called first with ``earlier=True``, the statuses of what was done before and has no
        part in the speed, and ``total=``, how many stations there are; then with each block.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[flags]} flagged"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    if console.is_terminal and not (console.is_jupyter or console.file.isatty()):
        # FORCE_COLOR, which a notebook sets for all it starts, makes no terminal of a pipe
        console = Console(file=console.file, force_terminal=False)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("stations", total=None, flags=0, rate="")
        count = computed = 0
        begin = time.monotonic()

        def watch(
            status: np.ndarray[Any, Any], *, earlier: bool = False, total: int | None = None
        ) -> None:
            nonlocal count, computed, begin
            count += int(np.sum(status != Status.converged))
            if earlier:
                progress.reset(task, total=total, completed=status.size, flags=count, rate="")
                begin = time.monotonic()
                return
            computed += status.size
            rate = f"{computed / max(time.monotonic() - begin, 1e-3):,.0f}/s"
            progress.update(task, advance=status.size, flags=count, rate=rate)

        try:
            yield watch
        finally:
            progress.refresh()  # in a notebook the last state is not shown by itself
