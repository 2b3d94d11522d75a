"""The command line: ``xlsm demo | check | simulate | estimate | status | verify``.

What a command needs beyond the verbs is imported inside it, so that ``xlsm --help`` stays quick.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from xlsm.cli_options import (
    Chunk,
    Compiled,
    Overwrite,
    Resume,
    Scheduler,
    Workers,
    keeping,
    stoppable,
)
from xlsm.errors import LSMError, LSMWarning
from xlsm.options import errors_in, names_in, number_in, numbers_in, pairs_in, share_in, whole

if TYPE_CHECKING:
    from xlsm.model.model import Model as LandModel

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
        metavar="IN",
        help="NetCDF file, Zarr store (path or URL), folder or pattern ('sites/*.nc') of files of "
        "one station each, or name of a tutorial data set.",
    ),
]
Out = Annotated[str, typer.Argument(metavar="OUT", help="Zarr store to write (path or URL).")]
Model = Annotated[
    str | None, typer.Option(help="Forward model: default, huang2025 or thermometers.")
]
GridOption = Annotated[
    str | None, typer.Option("--grid", help="auto: a column as deep as the record asks for.")
]
Rename = Annotated[
    list[str] | None,
    typer.Option(
        help="A variable of IN by its own and by its right name, e.g. RadT=AvgSurfT; repeatable."
    ),
]
Time = Annotated[str | None, typer.Option(help="Times to use, e.g. 2012-05-01/2012-05-07.")]


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Tell warnings in a line, and end with exit code 1 and a bare message if IN is at fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", LSMWarning)
        warnings.showwarning = _warn
        try:
            yield
        except (LSMError, OSError) as error:
            _tell(f"Error: {error}", "red")
            raise typer.Exit(1) from error


def _tell(text: str, style: str, **options: Any) -> None:
    Console(stderr=True).print(text, style=style, markup=False, highlight=False, **options)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning without the line of code it came from."""
    _tell(f"Warning: {message}", "yellow", soft_wrap=True)


def _model(name: str | None, grid: str | None) -> str | LandModel | None:
    """Take a model by name, with a grid of its own if one is asked for."""
    if grid is None:
        return name
    if grid != "auto":
        raise typer.BadParameter(f"--grid: expected auto, got {grid!r}")
    import dataclasses

    from xlsm import models

    return dataclasses.replace(models.get(name), grid="auto")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("xlsm-demo"),
    stations: Annotated[int, typer.Option(min=2, help="How many stations.")] = 128,
    workers: Annotated[int, typer.Option(min=1, help="How many worker processes.")] = 2,
) -> None:
    """Estimate the parameters of an imagined network: the whole job, in under a minute."""
    from xlsm.demo import demo as run

    with _plainly():
        run(out, stations, workers, Console())


@app.command()
def check(
    source: In,
    model: Model = None,
    grid: GridOption = None,
    rename: Rename = None,
    time: Time = None,
) -> None:
    """Show what IN holds, what is missing, units, gaps and the time step.

    Exit code 1 if there is a problem.
    """
    from xlsm import store, tables

    console, names = Console(), pairs_in(rename, "--rename")
    with _plainly():
        ds = store.load_if_small(store.open_input(source, time, names))
        found = ds.lsm.check(model=_model(model, grid))
    console.print(tables.check_table(found))
    problems = found[found["problem"] != ""]
    for row in problems.itertuples():
        console.print(f"{row.variable}: {row.problem}", markup=False, highlight=False)
    if problems["problem"].str.contains("gaps").any():
        console.print("Here, times are selected with --time FROM/TO.")
    if problems["problem"].str.contains("ds.rename", regex=False).any():
        console.print("Here, variables are renamed with --rename OLD=NEW.")
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
    grid: GridOption = None,
    rename: Rename = None,
    time: Time = None,
    workers: Workers = None,
    chunk: Chunk = None,
    scheduler: Scheduler = None,
    resume: Resume = False,
    compilation_cache: Compiled = None,
    overwrite: Overwrite = False,
) -> None:
    """Run the model under the forcing in IN and write its outputs to OUT."""
    from xlsm import store
    from xlsm.running import in_blocks, run_of, write_watched

    if parameters and values:
        raise typer.BadParameter("give either --parameters or --set, not both")
    if parameters and grid and not model:
        raise typer.BadParameter("--grid: the estimates bring their model; name one with --model")
    variables = pairs_in(rename, "--rename")
    given: Any = numbers_in(values, "--set")
    sizes = {name: whole(n, "--chunk") for name, n in numbers_in(chunk, "--chunk").items()}
    depths = [number_in(text, "--depth") for text in names_in(depth)] if depth else None
    console = Console()
    run = run_of(out, workers, scheduler, resume=resume, overwrite=overwrite)
    with _plainly(), keeping(compilation_cache):
        store.check_output(out, overwrite, source=source, resume=resume)
        ds = store.open_input(source, time, variables)
        blocks = in_blocks(ds, run, sizes)
        ds = store.load_if_small(ds) if blocks is None else blocks
        if parameters:
            given = store.open_input(parameters).load()
        names = names_in(outputs) if outputs else None
        land = _model(model, grid)
        sim = ds.lsm.simulate(given, model=land, depth=depths, outputs=names)
        with stoppable(out, resume):
            write_watched(sim, run, console)
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
    grid: GridOption = None,
    rename: Rename = None,
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
    workers: Workers = None,
    chunk: Chunk = None,
    scheduler: Scheduler = None,
    resume: Resume = False,
    compilation_cache: Compiled = None,
    overwrite: Overwrite = False,
) -> None:
    """Estimate parameters from the observations in IN and write them to OUT.

    Exit code 0: complete. 3: complete, and stations are flagged (see status in OUT). 1: failed.
    """
    if scheduler and compilation_cache:
        raise typer.BadParameter(
            "--compilation-cache is for processes that start here: start those of --scheduler "
            "with XLSM_COMPILATION_CACHE=FOLDER in their environment"
        )
    from xlsm import store, tables
    from xlsm.notices import estimate_notice, unnoticed
    from xlsm.running import in_blocks, run_of, write_watched

    wanted = names_in(free)
    errors = errors_in(observed)
    known = numbers_in(fixed, "--fixed")
    sizes = {name: whole(n, "--chunk") for name, n in numbers_in(chunk, "--chunk").items()}
    variables = pairs_in(rename, "--rename")
    left_out = share_in(holdout)
    console = Console()
    run = run_of(out, workers, scheduler, resume=resume, overwrite=overwrite)
    with _plainly(), keeping(compilation_cache):
        store.check_output(out, overwrite, source=source, resume=resume)
        ds = store.open_input(source, time, variables)
        land = _model(model, grid)
        many_files = ds.chunks and ds.nbytes > store.SMALL  # never all of them at once
        blocks = in_blocks(ds, run, sizes, always=bool(many_files))
        ds = ds.load() if blocks is None else blocks

        with unnoticed():  # of what is lazy as of what is not, it is told at the end
            result = ds.lsm.estimate(
                wanted,
                observed=errors,
                fixed=known,
                model=land,
                method=method,
                starts=starts,
                seed=seed,
                window=window,
                step=step,
                holdout=left_out,
            )
        with stoppable(out, resume):
            write_watched(result, run, console)
        est = store.open_input(out).load()
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
    if notice := estimate_notice(est):
        _warn(notice)
    if named:
        raise typer.Exit(FLAGGED)


@app.command()
def status(out: Out) -> None:
    """Show how far the run that writes OUT has come, or came."""
    from xlsm.inference.invert import Status
    from xlsm.pipeline.checkup import progress

    console = Console()
    with _plainly():
        counts = progress(out)
    total, missing = sum(counts.values()), counts.pop(Status.not_computed.value, 0)
    said = ", ".join(f"{count:,} {Status(code).name}" for code, count in counts.items())
    console.print(
        f"{out}: {total - missing:,} of {total:,} stations are done"
        + (f" ({said})" if said else "")
        + (f", {missing:,} are missing: the same command goes on with --resume" if missing else ""),
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def verify(
    out: Out,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Make what is damaged not computed, for --resume to mend."),
    ] = False,
) -> None:
    """Read all that OUT holds, and name the chunks that are cut short, changed or gone.

    Exit code 1 if there are any.
    """
    from xlsm.pipeline import checkup

    console = Console()
    with _plainly():
        found = checkup.verify(out)
        for one in found[:NAMED]:
            where = ", ".join(f"{place.start} to {place.stop - 1}" for place in one.region)
            console.print(f"{one.variable}, stations {where}: {one.what}", highlight=False)
        if forget:
            checkup.forget(out, found)
    if not found:
        console.print(f"{out}: whole", highlight=False)
        return
    cure = "forgotten: the same command with --resume computes it again"
    if not forget:
        cure = "--forget makes it not computed, for --resume to mend"
    console.print(f"{out}: {len(found)} chunks are damaged; {cure}", highlight=False)
    raise typer.Exit(0 if forget else 1)
