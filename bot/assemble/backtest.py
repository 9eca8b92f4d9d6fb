"""`bot backtest`: files in, truth out. Joins reader, model, engine and report; spreads files over processes.

It decides nothing about trading and computes no figure itself.
"""

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bot.assemble.backtest_words import print_outcome
from bot.assemble.workers import SPAWN, workers
from bot.core.charges import NoRateCard
from bot.core.rules import Rules
from bot.core.units import ist_text
from bot.research.backtest import RANDOM_RUNS, Arm, Series, Settings, Watcher, compare, trade_day
from bot.research.outcome import Outcome, figures
from bot.research.recording import AS_RECORDED, Assumptions, RecordedDay, load
from bot.storage.model import ModelRefused, load_model
from bot.storage.tick_source import TickFileError

READING_SHARE = 0.5  # of a file's time goes into reading it, as far as the bar is concerned
_POLL_SECONDS = 0.2
TRACE_COLUMNS = (
    *("timestamp", "instrument", "tick", "ltp", "estimate", "velocity", "rel_diff", "probability"),
    "decision",
)


class BacktestRefused(Exception):
    """`problems` say what a person must mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class BacktestOptions:
    """What the command line asked for. `model` None: no filter."""

    files: tuple[Path, ...]
    rules: Rules
    model: Path | None
    given: Assumptions = AS_RECORDED
    charges_day: date | None = None
    seed: int = 7
    jobs: int = 1
    random_runs: int = RANDOM_RUNS
    trace: Path | None = None
    json: Path | None = None
    report: Path | None = None


class DayOf(NamedTuple):
    """All there is to tell of one recorded day. `series` and `arms` are empty unless a report is wanted."""

    recorded: RecordedDay  # without its ticks
    outcome: Outcome
    series: Series | None
    arms: tuple[Arm, ...]


Tell = Callable[[str, float, int], None]  # what is done, its share of the file, ticks since the last word


def run_backtest(options: BacktestOptions, console: Console) -> int:
    """Run, print, write what was asked for; returns the exit code. Raises BacktestRefused."""
    settings = _settings(options)
    if options.trace is not None:
        options.trace.unlink(missing_ok=True)
    with _bar(console) as bar:
        watch = _Bar(bar, options.files)
        many = options.jobs > 1 and len(options.files) > 1
        days = _on_many(options, watch) if many else _here(options, settings, watch)
    result = _figures(options, days)
    text = orjson.dumps(result, option=orjson.OPT_INDENT_2).decode() + "\n"
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text)
    if options.report is not None:
        from bot.research.report import write_backtest  # its page is of no use to a plain run

        write_backtest(options.report, [day for file in days for day in file], result)
    if sys.stdout.isatty():
        print_outcome(console, result, options.report)
    elif options.json is None:
        sys.stdout.write(text)
    return 0


def _settings(options: BacktestOptions) -> Settings:
    model, trained_on, classifier = "none", frozenset[str](), None
    if options.model is not None:
        try:
            loaded = load_model(options.model, rel_diff=options.rules.strategy.rel_diff)
        except ModelRefused as refused:
            raise BacktestRefused([str(refused)]) from None
        classifier, model = loaded.classifier, loaded.passport.sha256[:12]
        trained_on = frozenset(str(row.get("sha256", "")) for row in loaded.passport.trained_on)
    return Settings(
        rules=options.rules,
        classifier=classifier,
        model=model,
        trained_on=trained_on,
        charges_day=options.charges_day,
        seed=options.seed,
        every_tick=options.trace is not None,
    )


# ---- one file --------------------------------------------------------------------------------------------


def _file(path: Path, options: BacktestOptions, settings: Settings, tell: Tell) -> list[DayOf]:
    tell(f"reading {path.name}", 0.0, 0)
    days = load(path, options.given)
    count = sum(len(day.ticks) for day in days)
    tell(path.name, READING_SHARE, 0)
    found = []
    for day in days:
        wanted = options.report is not None or options.trace is not None
        watcher = Watcher(trace=options.trace is not None) if wanted else None
        outcome = trade_day(
            day,
            settings,
            watcher=watcher,
            progress=lambda ticks: tell(path.name, (1 - READING_SHARE) * ticks / count, ticks),
        )
        if watcher is not None and options.trace is not None:
            _write_trace(options.trace, watcher, use_model=settings.classifier is not None)
        arms: tuple[Arm, ...] = ()
        if options.report is not None and watcher is not None and len(day.contracts) == 1:
            runs, ran = options.random_runs, iter(range(1, options.random_runs + 1))
            arms = compare(
                day,
                settings,
                outcome,
                watcher,
                runs=runs,
                progress=lambda _: tell(f"{path.name} random {next(ran)}/{runs}", 0.0, 0),  # noqa: B023
            )
        series = watcher.series if watcher is not None and options.report is not None else None
        found.append(DayOf(replace(day, ticks=()), outcome, series, arms))
    return found


def _write_trace(path: Path, watcher: Watcher, *, use_model: bool) -> None:
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(TRACE_COLUMNS)
        for at, instrument, seen, decision in watcher.rows:
            known = seen.probability is not None and use_model
            writer.writerow(
                (
                    ist_text(at),
                    instrument,
                    seen.tick,
                    f"{seen.ltp / 100:.2f}",
                    f"{seen.estimate:.6f}",
                    f"{seen.velocity:.6f}",
                    f"{seen.rel_diff:.6f}",
                    f"{seen.probability:.6f}" if known else "",
                    decision,
                )
            )


# ---- many files -------------------------------------------------------------------------------------------


def _here(options: BacktestOptions, settings: Settings, watch: "_Bar") -> list[list[DayOf]]:
    found = []
    for number, path in enumerate(options.files):
        found.append(_told(partial(_file, path, options, settings, watch.teller(number))))
        watch.finished(number)
    return found


def _on_many(options: BacktestOptions, watch: "_Bar") -> list[list[DayOf]]:
    """Each file in a process of its own choosing; results in the order of the files."""
    counts = SPAWN.Array("d", 2 * len(options.files))
    found: list[list[DayOf]] = [[] for _ in options.files]
    jobs = min(options.jobs, len(options.files))
    with workers(jobs, _begin, options, counts) as pool:
        numbers = {pool.submit(_work, number): number for number in range(len(options.files))}
        waiting = set(numbers)
        while waiting:
            done, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
            watch.told(counts[:])
            for future in done:
                found[numbers[future]] = _told(future.result)
                watch.finished(numbers[future])
    return found


_worker: Any = None  # of this process, when it is one of many


def _begin(options: BacktestOptions, counts: Any) -> None:
    global _worker  # noqa: PLW0603 - what a pool's initializer is for: a model is loaded once a process
    _worker = options, _settings(options), counts


def _work(number: int) -> list[DayOf]:
    options, settings, counts = _worker

    def tell(_: str, share: float, ticks: int) -> None:
        counts[2 * number] += share
        counts[2 * number + 1] += ticks

    return _file(options.files[number], options, settings, tell)


def _told(work: Callable[[], list[DayOf]]) -> list[DayOf]:
    try:
        return work()
    except (TickFileError, NoRateCard) as refused:
        raise BacktestRefused([str(refused)]) from None
    except OSError as error:
        raise BacktestRefused([f"{error.filename}: {error.strerror}"]) from None


# ---- figures and bar --------------------------------------------------------------------------------------


def _figures(options: BacktestOptions, days: Sequence[Sequence[DayOf]]) -> dict[str, Any]:
    strategy = options.rules.strategy

    def of(outcomes: Iterable[Outcome]) -> dict[str, Any]:
        return figures(list(outcomes), strategy.threshold, strategy.rel_diff.value)

    files = [
        {
            "file": path.name,
            "sha256": of_file[0].recorded.sha256,
            "days": [day.outcome.day.isoformat() for day in of_file],
            **of(day.outcome for day in of_file),
            "in_sample": any(day.outcome.in_sample or False for day in of_file),
            "refused": _refused(of_file),
            "notes": [note for day in of_file for note in day.outcome.notes],
        }
        for path, of_file in zip(options.files, days, strict=True)
    ]
    return {
        "files": files,
        "total": of(day.outcome for of_file in days for day in of_file),
        "guards": options.rules.risk.guards,
        "stop_rupees": options.rules.risk.stop_loss / 100,
        "band": strategy.band,
        "seed": options.seed,
        "fills": f"touch + {options.rules.orders.entry_ticks} tick, part fills by the size shown",
    }


def _refused(days: Iterable[DayOf]) -> dict[str, int]:
    """Entries that a guard refused, by guard."""
    total: Counter[str] = Counter()
    for day in days:
        total.update({str(reason): count for reason, count in day.outcome.refused.items()})
    return dict(total)


class _Bar:
    """Progress by bytes of the files: their ticks are not known before they are read."""

    def __init__(self, bar: Progress, files: Sequence[Path]) -> None:
        try:
            self._sizes = [path.stat().st_size for path in files]
        except OSError as error:
            raise BacktestRefused([f"{error.filename}: {error.strerror}. Check the name."]) from None
        self._bar = bar
        self._shares = [0.0 for _ in files]
        self._ticks = 0.0
        self._task = bar.add_task("", total=sum(self._sizes), rate="")

    def teller(self, number: int) -> Tell:
        def tell(what: str, share: float, ticks: int) -> None:
            self._shares[number] += share
            self._ticks += ticks
            self._show(what)

        return tell

    def told(self, counts: Sequence[float]) -> None:
        self._shares = [max(a, b) for a, b in zip(counts[::2], self._shares, strict=True)]
        self._ticks = sum(counts[1::2])
        self._show(f"{sum(share >= 1 for share in self._shares)} of {len(self._sizes)} files")

    def finished(self, number: int) -> None:
        self._shares[number] = 1.0
        self._show(None)

    def _show(self, what: str | None) -> None:
        elapsed = self._bar.tasks[0].elapsed or 0.0
        done = sum(min(share, 1.0) * size for share, size in zip(self._shares, self._sizes, strict=True))
        rate = f"{self._ticks / elapsed:,.0f} ticks/s" if elapsed and self._ticks else ""
        self._bar.update(
            self._task, completed=done, rate=rate, description=what or self._bar.tasks[0].description
        )


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True) if not console.is_terminal else console,
        transient=True,
    )
