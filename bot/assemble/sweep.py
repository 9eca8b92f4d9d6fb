"""`bot sweep`: settings × files, here or on Dask; what is finished is kept, the best is judged. It prints and
writes; it trades nothing and computes no figure itself.
"""

import csv
import os
import sys
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Left
from rich.table import Table

from bot.assemble.sweep_options import CELLS_MAX, SweepOptions, SweepRefused
from bot.assemble.sweep_store import CellStore, SweepFolderTaken
from bot.assemble.workers import workers
from bot.research.sweep import Cell, CellRefused, Row, engine_version, run_cell
from bot.research.sweep_page import PARAMETERS, varied, write_sweep
from bot.research.sweep_result import result_of

_SHOWN = 10  # settings at a terminal
_NOT_IN_TABLES = ("nets", "bars", "notes", "days")
Answer = tuple[Cell, Row | CellRefused]


def run_sweep(options: SweepOptions, console: Console) -> int:
    """Run what is missing, write the results, say what they mean. 0, or 2 when a file could not be used.

    Raises SweepRefused.
    """
    cells = [
        Cell(trial, source, options.common, engine_version())
        for source in options.sources  # by file: a worker reads each once
        for trial in options.trials
    ]
    if len(cells) > CELLS_MAX:
        raise SweepRefused([f"{len(cells):,} cells; at most {CELLS_MAX:,}: name fewer values or files"])
    answers = _answers(options)
    try:
        store = CellStore(options.out)
    except SweepFolderTaken as taken:
        raise SweepRefused([str(taken)]) from None
    except OSError as error:
        raise SweepRefused([f"--out {options.out}: {error.strerror}. Name a folder to write in"]) from None
    errors = Console(stderr=True)
    try:
        refused = _run(cells, store, answers, console)
        result = _result(options, cells, store, refused)
    except KeyboardInterrupt:
        done = sum(cell.key in store.rows for cell in cells)
        errors.print(f"Stopped: {done} of {len(cells)} cells are kept. The same command goes on from here.")
        raise
    finally:
        store.close()
    text = _write(options, result, store, cells)
    if sys.stdout.isatty():
        _say(options, result, console)
    else:
        sys.stdout.write(text)
    return 2 if refused else 0


def _run(cells: Sequence[Cell], store: CellStore, answers: "Answers", console: Console) -> list[str]:
    """Run what the store lacks; returns what could not be used."""
    todo = [cell for cell in cells if cell.key not in store.rows]
    refused: dict[str, str] = {}
    errors, ticks = Console(stderr=True), 0
    with _bar(console) as bar, closing(answers(todo)) as answered:
        task = bar.add_task("", total=len(cells), completed=len(cells) - len(todo), rate="")
        began = bar.get_time()
        for done, (cell, answer) in enumerate(answered, 1):
            if isinstance(answer, CellRefused):
                refused.setdefault(cell.source.address, str(answer))
            else:
                store.add(answer)
                ticks += answer["ticks"]
            seconds = bar.get_time() - began
            rate = f"{done / seconds:.1f} cells/s, {ticks / seconds:,.0f} ticks/s" if seconds else ""
            bar.update(task, advance=1, rate=rate, description=cell.source.name)
    for problem in dict.fromkeys(refused.values()):
        errors.print(f"[red]✗[/red] left out: {escape(problem)}", highlight=False, soft_wrap=True)
    if len(refused) == len({cell.source for cell in cells}):
        raise SweepRefused(["no file could be used"])
    return list(dict.fromkeys(refused.values()))


# ---- where cells run --------------------------------------------------------------------------------------


class Answers:
    """Cells → answers as they come, in any order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, cells: Sequence[Cell]) -> Generator[Answer, None, None]:
        """In this process."""
        for cell in cells:
            yield cell, answer(cell, self.folder)


class _OnCores(Answers):
    """So many processes of this machine."""

    def __init__(self, folder: Path, jobs: int) -> None:
        super().__init__(folder)
        self._jobs = jobs

    def __call__(self, cells: Sequence[Cell]) -> Generator[Answer, None, None]:
        jobs = min(self._jobs, len(cells))
        if jobs < 2:
            yield from super().__call__(cells)
            return
        with workers(jobs) as pool:
            asked = {pool.submit(answer, cell, self.folder): cell for cell in cells}
            for future in as_completed(asked):
                yield asked[future], future.result()


def answer(cell: Cell, cache_folder: Path) -> Row | CellRefused:
    """A refusal is an answer: other files go on."""
    try:
        return run_cell(cell, cache_folder)
    except CellRefused as refused:
        return refused


def _answers(options: SweepOptions) -> Answers:
    folder = options.out / "files"
    if options.dask is None:
        return _OnCores(folder, options.jobs or os.cpu_count() or 1)
    from bot.assemble.sweep_dask import OnDask  # lives in an environment of its own

    return OnDask(folder, options.dask)


# ---- what comes of it -------------------------------------------------------------------------------------


def _result(
    options: SweepOptions, cells: Sequence[Cell], store: CellStore, refused: list[str]
) -> dict[str, Any]:
    by_trial: dict[str, list[Row]] = {}
    usable = {cell.source for cell in cells} - {cell.source for cell in cells if cell.key not in store.rows}
    for cell in cells:
        if cell.source in usable:
            by_trial.setdefault(cell.setting, []).append(store.rows[cell.key])
    content = {source.identity for source in usable}
    tried = {row["setting"] for row in store.rows.values() if row["data"] in content} | set(by_trial)
    result = result_of(list(by_trial.values()), len(tried) + options.trials_before)
    common = options.common
    result["common"] = {
        "model": common.model_sha256[:12] or "none",
        "guards": "on" if common.guards else "off: no limits but stop and flatten",
        "charges": f"the card of {common.charges_day}"
        if common.charges_day
        else "the card of each file's day",
        "fills": "touch + 1 tick, part fills by the size shown; a call takes 45–190 ms to the exchange",
        "seed": f"{common.seed}",
        "bot": engine_version(),
    }
    return {**result, "left_out": refused, "notes": list(options.notes)}


def _write(options: SweepOptions, result: dict[str, Any], store: CellStore, cells: Sequence[Cell]) -> str:
    """Returns the JSON."""
    rows = [store.rows[cell.key] for cell in cells if cell.key in store.rows]
    flat = [{name: value for name, value in row.items() if name not in _NOT_IN_TABLES} for row in rows]
    tables = {"cells": flat, "settings": result["settings"]}
    for name, table in tables.items():
        _write_csv(options.out / f"{name}.csv", table)
        if options.parquet:
            _write_parquet(options.out / f"{name}.parquet", table)
    text = orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n"
    (options.out / "sweep.json").write_bytes(text)
    write_sweep(options.out / "sweep.html", result)
    return text.decode()


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    from pyarrow import Table as Columns  # --parquet was checked: it is here
    from pyarrow.parquet import write_table

    write_table(Columns.from_pylist(rows), path)


def _say(options: SweepOptions, result: dict[str, Any], console: Console) -> None:
    settings, best = result["settings"], result["best"]
    names = varied(settings)
    table = Table(*names, "trades", "gross ₹", "charges ₹", "net ₹", "net a trade ₹", "Sharpe")
    for setting in settings[:_SHOWN]:
        numbers = (setting["gross_rupees"], -setting["charges_rupees"], setting["net_rupees"])
        table.add_row(
            *(str(setting[name]) for name in names),
            str(setting["trades"]),
            *(f"[red]{number:,.2f}[/red]" if number < 0 else f"{number:,.2f}" for number in numbers),
            "–" if setting["net_per_trade"] is None else f"{setting['net_per_trade']:,.2f}",
            "–" if setting["sharpe"] is None else f"{setting['sharpe']:.4f}",
        )
    console.print(table)
    for note in result["notes"]:
        console.print(f"  [dim]{escape(note)}[/dim]", highlight=False)
    luck = best["expected_of_luck"]
    judged = (
        f"; deflated Sharpe ratio {100 * best['deflated']:.1f} % (luck alone shows {luck:.4f}, the best "
        f"{best['sharpe']:.4f})"
        if best["deflated"] is not None
        else ""
    )
    console.print(
        f"{result['trials']} trials, {result['above_zero']} of {len(settings)} above zero net{judged}",
        highlight=False,
    )
    console.print(f"[bold]{escape(best['words'])}[/bold]")
    console.print(
        f"  [bold]{options.out}/sweep.html[/bold], settings.csv, cells.csv, sweep.json", highlight=False
    )
    console.print(f"  the best again, as a page: {escape(_again(options, settings[0]))}", highlight=False)


def _again(options: SweepOptions, setting: dict[str, Any]) -> str:
    """The backtest of one setting."""
    words = [
        f"--{name.replace('_', '-')} {setting[name]}" for name in PARAMETERS if setting[name] is not None
    ]
    shared = {name: value for name, value in asdict(options.common).items() if value}
    words += [f"--{name} {shared[name]}" for name in ("lot", "exchange", "seed") if name in shared]
    words += [f"--charges {shared['charges_day']}"] if "charges_day" in shared else []
    words += ["--guards"] if "guards" in shared else []
    return f"bot backtest FILE … {' '.join(words)} --report best.html"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), Left(),
        console=Console(stderr=True) if not console.is_terminal else console, transient=True,
    )  # fmt: skip
