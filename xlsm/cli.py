"""The command line: ``xlsm demo | check | simulate | estimate``.

What a command needs beyond the verbs is imported inside it, so that ``xlsm --help`` stays quick.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from xlsm import options
from xlsm.errors import LSMError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["app"]

#: Exit code of a run that is complete, with stations that are flagged.
FLAGGED = 3
#: How many flagged stations are named.
NAMED = 5

app = typer.Typer(
    help="Land-surface parameters from station data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

In = Annotated[
    str,
    typer.Argument(
        metavar="IN", help="NetCDF file, Zarr store (path or URL), or name of a tutorial data set."
    ),
]
Out = Annotated[str, typer.Argument(metavar="OUT", help="Zarr store to write (path or URL).")]
Model = Annotated[
    str | None, typer.Option(help="Forward model: default, huang2025 or thermometers.")
]
Time = Annotated[str | None, typer.Option(help="Times to use, e.g. 2012-05-01/2012-05-07.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """End with exit code 1 and the bare message where the input is at fault."""
    try:
        yield
    except (LSMError, OSError) as error:
        Console(stderr=True).print(f"Error: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("xlsm-demo"),
    stations: Annotated[int, typer.Option(min=2, help="How many stations.")] = 128,
    workers: Annotated[int, typer.Option(min=1, help="How many worker processes.")] = 2,
) -> None:
    """Estimate the parameters of an imagined network: the whole job, in under a minute."""
    from xlsm.demo import demo as run

    with _plain_errors():
        run(out, stations, workers, Console())


@app.command()
def check(source: In, model: Model = None, time: Time = None) -> None:
    """Show what IN holds, what is missing, units, gaps and the time step.

    Exit code 1 if there is a problem.
    """
    from xlsm import store, tables

    console = Console()
    with _plain_errors():
        found = store.load_if_small(store.open_input(source, time)).lsm.check(model=model)
    console.print(tables.check_table(found))
    problems = found[found["problem"] != ""]
    for row in problems.itertuples():
        console.print(f"{row.variable}: {row.problem}", markup=False, highlight=False)
    if problems["problem"].str.contains("gaps").any():
        console.print("Here, times are selected with --time FROM/TO.")
    if len(problems):
        raise typer.Exit(1)
    console.print("No problem found.")


@app.command()
def simulate(
    source: In,
    out: Out,
    parameters: Annotated[
        str | None, typer.Option(help="Estimates to take the parameters from (Zarr or NetCDF).")
    ] = None,
    values: Annotated[
        str | None, typer.Option("--set", help="Parameters, e.g. albedo=0.2,heat_capacity=2e6.")
    ] = None,
    depth: Annotated[str | None, typer.Option(help="Depths in m, e.g. 0,0.05.")] = None,
    outputs: Annotated[str | None, typer.Option(help="Outputs, e.g. SoilTemp,LWup.")] = None,
    model: Model = None,
    time: Time = None,
    overwrite: Overwrite = False,
) -> None:
    """Run the model under the forcing in IN and write its outputs to OUT."""
    from xlsm import store

    if parameters and values:
        raise typer.BadParameter("give either --parameters or --set, not both")
    given: Any = options.numbers(values, "--set")
    depths = [options.number(text, "--depth") for text in options.names(depth)] if depth else None
    console = Console()
    with _plain_errors():
        store.check_output(out, overwrite)
        ds = store.load_if_small(store.open_input(source, time))
        if parameters:
            given = store.open_input(parameters, None).load()
        with console.status("simulating"):
            names = options.names(outputs) if outputs else None
            sim = ds.lsm.simulate(given, model=model, depth=depths, outputs=names)
            store.write_output(sim, out, overwrite)
    console.print(f"Wrote {', '.join(map(str, sim.data_vars))} to {out}", highlight=False)


@app.command()
def estimate(
    source: In,
    out: Out,
    free: Annotated[str, typer.Option(help="Parameters to estimate, e.g. albedo,heat_capacity.")],
    observed: Annotated[
        str | None,
        typer.Option(
            help="Observations to fit, with their standard errors if not the usual ones, e.g. "
            "SoilTemp=0.1,LWup. By default all there are."
        ),
    ] = None,
    fixed: Annotated[
        str | None, typer.Option(help="Known parameters, e.g. albedo=0.172,emissivity=0.95.")
    ] = None,
    model: Model = None,
    time: Time = None,
    method: Annotated[str, typer.Option(help="auto, gauss_newton, adam or lbfgs.")] = "auto",
    starts: Annotated[int, typer.Option(min=1, help="Starting points to try.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the random starting points.")] = 0,
    window: Annotated[
        str | None, typer.Option(help="Estimate each window of this length for itself, e.g. 7D.")
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="From window to window; by default a window's length.")
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(help="Leave out observations and score on them: 50h, 0.25, 'every 5th day'."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Worker processes; 0 computes in this one.")
    ] = 0,
    chunk: Annotated[
        str | None, typer.Option(help="Stations computed at a time, e.g. station=64.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Estimate parameters from the observations in IN and write them to OUT.

    Exit code 0: complete. 3: complete, and stations are flagged (see status in OUT). 1: failed.
    """
    from xlsm import store, tables

    wanted = options.names(free)
    errors = options.errors(observed)
    known = options.numbers(fixed, "--fixed")
    chunks = options.numbers(chunk, "--chunk")
    sizes = {name: options.whole(size, "--chunk") for name, size in chunks.items()}
    left_out = options.share(holdout)
    console = Console()
    with _plain_errors():
        store.check_output(out, overwrite)
        ds = store.open_input(source, time)
        ds = store.chunk_stations(ds, sizes, workers) if workers or sizes else ds.load()

        def run() -> xr.Dataset:
            result: xr.Dataset = ds.lsm.estimate(
                wanted,
                observed=errors,
                fixed=known,
                model=model,
                method=method,
                starts=starts,
                seed=seed,
                window=window,
                step=step,
                holdout=left_out,
            )
            return result

        if workers and ds.chunks:
            from xlsm.pipeline.cluster import compute_watched, local_client
            from xlsm.progress import station_bar

            lazy = run()  # finds fault with the input before any worker starts
            with local_client(workers) as client, station_bar(console, lazy.status.size) as watch:
                est = compute_watched(client, lazy, "status", watch)
                store.write_output(est, out, overwrite)
                est = est.load()
        else:
            with console.status("estimating"):
                est = run().compute()
            store.write_output(est, out, overwrite)
    console.print(tables.estimate_table(est))
    for line in tables.residual_lines(est):
        console.print(line, markup=False, highlight=False)
    if holdout:
        console.print(tables.score_table(est))
    counts = tables.status_counts(est)
    said = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    console.print(f"Wrote {out}: {said}", highlight=False)
    named = tables.flagged(est, NAMED)
    for name, word in named if est.status.dims else []:
        console.print(f"  {name}: {word}", markup=False, highlight=False)
    if named:
        raise typer.Exit(FLAGGED)
