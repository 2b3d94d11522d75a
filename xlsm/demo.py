"""``xlsm demo``: the main job on an imagined network, from stations to Zarr, in one command."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console

from xlsm import tutorial
from xlsm.errors import LSMError
from xlsm.pipeline.cluster import local_client
from xlsm.pipeline.durable import to_zarr_durably
from xlsm.pipeline.places import LEASE, LOG
from xlsm.progress import station_bar
from xlsm.tables import flagged, new_table, number, plus_minus, units_of

__all__ = ["demo", "make_room"]

FREE = (
    "albedo",
    "combined_transfer_coefficient",
    "thermal_conductivity",
    "heat_capacity",
    "deep_temperature",
)
OBSERVED = {"SoilTemp": 0.1, "LWup": 5.0}  # the noise that the network has
FIXED = {"emissivity": 0.95}
INPUT, OUTPUT, FIGURE = "stations.zarr", "estimates.zarr", "fit.png"
#: What the demo writes, and may replace.
FILES = {INPUT, OUTPUT, FIGURE, *(OUTPUT + suffix for suffix in (LEASE, LOG))}
DAYS = 7
#: Stations in a block, at most: what one call works on at a time, see `xlsm.estimate`.
BLOCK = 32
#: Stations whose estimates are shown one by one.
SHOWN = 2


def demo(folder: Path, stations: int, workers: int, console: Console) -> xr.Dataset:
    """Make a network, estimate its parameters on worker processes, show how well it went.

    Parameters
    ----------
    folder : Path
        For stations, estimates and figure; may hold those of an earlier run and nothing else.
    stations, workers : int
        How many of each. The logger of one station is dead.
    console : rich.console.Console
        Where to tell of it.

    Returns
    -------
    Dataset
        The estimates, as they are in the store.

    Raises
    ------
    LSMError
        If the folder holds anything else.
    """
    began = time.perf_counter()
    make_room(folder)
    dead = stations // 2
    console.print(
        f"[bold]1.[/] Imagining {stations} stations: {DAYS} days of half-hourly weather, soil "
        "temperature at three depths and longwave radiation, with noise and gaps. "
        f"The logger of one of them is dead. -> {folder / INPUT}"
    )
    network = tutorial.network(stations, DAYS, dead=dead)
    # four blocks a worker, so that the bar moves
    chunk = max(1, min(BLOCK, -(-stations // (4 * workers))))
    network.chunk(station=chunk).lsm.to_zarr(folder / INPUT)
    console.print(
        f"[bold]2.[/] Estimating {len(FREE)} parameters of each on {workers} worker processes, "
        f"{chunk} stations at a time -> {folder / OUTPUT}"
    )
    with local_client(workers), xr.open_zarr(folder / INPUT) as ds:
        lazy = ds.lsm.estimate(FREE, observed=OBSERVED, fixed=FIXED)
        with station_bar(console) as watch:
            to_zarr_durably(lazy, folder / OUTPUT, watch=watch)
    est = xr.load_dataset(folder / OUTPUT, engine="zarr")
    _show(network, est, dead, console)
    console.print(f"[bold]3.[/] Drawing the fit of one station -> {folder / FIGURE}")
    _draw(network, est, folder / FIGURE)
    console.print(f"\nDone in {time.perf_counter() - began:.0f} s. The same from the shell:")
    command = (
        f"xlsm estimate {folder / INPUT} again.zarr --free {','.join(FREE)} "
        f"--observed {','.join(f'{name}={error:g}' for name, error in OBSERVED.items())} "
        f"--fixed emissivity=0.95 --workers {workers} --chunk station={chunk}"
    )
    console.print(f"  {command}", soft_wrap=True, highlight=False)
    return est


def make_room(folder: Path) -> None:
    """Make an empty folder: remove what an earlier demo wrote, refuse to touch anything else.

    Raises
    ------
    LSMError
        If the folder holds anything else, or is a file.
    """
    if folder.is_dir():
        strange = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
        if strange:
            raise LSMError(
                f"{folder} holds what the demo did not write ({', '.join(strange[:3])}): choose "
                "another folder with --out"
            )
        shutil.rmtree(folder)
    elif folder.exists():
        raise LSMError(f"{folder} is a file: choose another folder with --out")
    folder.mkdir(parents=True)


def _show(network: xr.Dataset, est: xr.Dataset, dead: int, console: Console) -> None:
    """Compare some stations with the truth, and all of them in numbers."""
    truth = tutorial.truth(network)
    alive = [i for i in range(est.sizes["station"]) if i != dead]
    table = new_table("Some stations", ("parameter",), ("truth", "estimate ± std", "error / std"))
    for i in alive[:SHOWN]:
        table.add_row(f"[bold]{est['station'].values[i]}[/]")
        for name in FREE:
            true, value, std = (
                float(variable[i]) for variable in (truth[name], est[name], est[f"{name}_std"])
            )
            error = f"{(value - true) / std:+.1f}"
            table.add_row(name, number(true), plus_minus(value, std), error)
        table.add_section()
    console.print(table)
    table = new_table(
        "Share of all stations with an error", ("parameter",), ("< 1 std", "< 2 std", "median std")
    )
    table.add_column("units")
    for name in FREE:
        stds = est[f"{name}_std"].values[alive]
        errors = abs((est[name] - truth[name]).values[alive] / stds)
        shares = [f"{(errors < limit).mean():.0%}" for limit in (1, 2)]
        table.add_row(name, *shares, f"{np.median(stds):.2g}", units_of(est[name]))
    table.add_row("expected", "68%", "95%", style="dim")
    console.print(table)
    for name, word in flagged(est, most=5):
        console.print(f"Flagged: station {name}, {word}; the others are untouched.")


def _draw(network: xr.Dataset, est: xr.Dataset, path: Path) -> None:
    """Draw the fit of the first station."""
    import matplotlib as mpl

    with mpl.rc_context({"backend": "agg"}):
        figure = network.isel(station=0).lsm.plot.fit(est.isel(station=0))
        figure.savefig(path, dpi=120)
