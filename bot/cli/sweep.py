"""`bot sweep`: parse, call, exit code."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.cli.base import app, refuse

_LIST = "Comma list or FIRST:LAST:STEP."


@app.command()
def sweep(
    files: Annotated[
        list[str],
        typer.Argument(help="Recorded ticks: files, folders, 'globs', s3://bucket/folder/ or globs."),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder of this sweep; the same again goes on in it.")],
    filter_: Annotated[str, typer.Option("--filter", help="model, none or model,none.")] = "model",
    threshold: Annotated[str, typer.Option(help=f"Entry probability, 0 to 1. {_LIST}")] = "0.63",
    stop: Annotated[str, typer.Option(help=f"Stop-loss, rupees of premium per unit. {_LIST}")] = "50",
    band: Annotated[
        str, typer.Option(help=f"Enter only while |rel_diff| is below. {_LIST} none: off.")
    ] = "none",
    rel_diff: Annotated[
        str, typer.Option(help="price-minus-estimate, estimate-minus-price, or both; a model knows one.")
    ] = "price-minus-estimate",
    quantity: Annotated[str, typer.Option(help=f"Units a trade. {_LIST} lot: one lot of each file.")] = "lot",
    model: Annotated[Path | None, typer.Option(help="The classifier; the one that came along.")] = None,
    lot: Annotated[int | None, typer.Option(min=1, help="Units a lot; read from the file's trades.")] = None,
    exchange: Annotated[str | None, typer.Option(help="NSE or BSE, for charges; by the instrument.")] = None,
    charges: Annotated[
        str | None, typer.Option(help="Rate card of this day; that of the file's day.")
    ] = None,
    guards: Annotated[bool, typer.Option("--guards", help="With the limits that hold live.")] = False,
    entries_per_day: Annotated[int, typer.Option(min=1, help="With --guards.")] = 20,
    entries_per_minute: Annotated[int, typer.Option(min=1, help="With --guards.")] = 6,
    seed: Annotated[int, typer.Option(help="Of the latencies.")] = 7,
    jobs: Annotated[int, typer.Option(min=0, help="Processes on this machine; 0: one a core.")] = 0,
    dask: Annotated[str | None, typer.Option(help="On this Dask scheduler instead: tcp://host:8786.")] = None,
    trials_before: Annotated[
        int, typer.Option(min=0, help="Settings tried on these files elsewhere: they count as trials.")
    ] = 0,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Tables also as Parquet (make dask-env).")
    ] = False,
) -> None:
    """Backtest every combination of settings over many files, and say how
    much of the best is luck.

    Each option that takes a list is a parameter:

    bot sweep recordings/ --threshold 0.55:0.75:0.05 --stop 20,35 --out try1

    What is finished stays in --out: a sweep that was stopped or killed goes
    on where it was with the same command. More values or files add only what
    is new; a changed file, setting, model or bot runs again.

    The best of many settings looks good even if none is worth anything. So
    all settings ever tried in --out on these files count as trials, and the
    best stands beside its deflated Sharpe ratio: the probability that it is
    better than the luckiest of so many worthless ones. Below 95 % it is not
    told from luck; above, it is still chosen on data you have seen.

    In --out: sweep.html (pictures), settings.csv, cells.csv (a row a setting
    and file) and sweep.json, which also goes to stdout in a pipe.

    On more machines: `make dask-env` in the same checkout on each; on one
    `dask scheduler`; on each `dask worker tcp://HOST:8786 --nthreads 1
    --nworkers auto`; then `.venv-dask/bin/bot sweep --dask tcp://HOST:8786 …`
    with files that all of them see: a common folder, or s3://.

    Exit codes: 0 done · 2 bad usage, or a file that could not be used (the
    others are done).
    """
    from bot.assemble.sweep_options import SweepOptions, SweepRefused, common_of, trials_of

    given = {
        "filter": filter_, "threshold": threshold, "stop": stop, "band": band, "rel_diff": rel_diff,
        "quantity": quantity,
    }  # fmt: skip
    trials, problems = trials_of(given)
    common, more = common_of(
        trials, model=model, lot=lot, exchange=exchange, charges=charges, guards=guards,
        entries_per_day=entries_per_day, entries_per_minute=entries_per_minute, seed=seed,
    )  # fmt: skip
    problems += more
    for option, package in (
        ("--dask", "distributed" if dask else ""),
        ("--parquet", "pyarrow" if parquet else ""),
    ):
        if package and find_spec(package) is None:
            problems.append(
                f"{option}: is not in this environment. Run `make dask-env`, then `.venv-dask/bin/bot`"
            )
    from bot.assemble.sweep_sources import sources_of

    sources, notes, missing = sources_of(files)
    if problems or missing:
        refuse(problems + missing)
    from bot.assemble.sweep import run_sweep

    options = SweepOptions(
        tuple(trials), tuple(sources), common, out, jobs, dask, trials_before, parquet, tuple(notes)
    )
    try:
        raise typer.Exit(run_sweep(options, Console()))
    except SweepRefused as refused:
        refuse(refused.problems)
