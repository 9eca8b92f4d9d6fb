"""`bot simulate`: many simulated days, on all cores, and what they found. Prints; decides nothing."""

import asyncio
import gc
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bot.assemble.workers import workers
from bot.assemble.world import FOCUS, FULL, Day, World
from bot.simulate.troubles import Kind

_SHOWN = 20  # violations in words; the JSON has them all
_SAID_EVERY_SECONDS = 60.0


@dataclass
class Tally:
    """What all days together came to."""

    days: int = 0
    trades: int = 0
    crashes: int = 0
    faults: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(Kind, 0)))
    marks: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, day: Day | BaseException, seed: int, command: str) -> None:
        """A day, or why it could not be lived: that is a violation, too, and no end of the others."""
        self.days += 1
        if isinstance(day, BaseException):
            said = f"the simulator failed: {type(day).__name__}: {day}"
            found = {"seed": seed, "invariant": "a day that ends", "at": said, "command": command}
            self.violations.append(found)
            return
        self.trades += day.trades
        self.crashes += day.crashes
        self.faults.update(day.troubles)
        self.marks.update(day.marks)
        self.violations += [
            {"seed": day.seed, "invariant": breach.rule, "at": str(breach), "command": command}
            for breach in day.breaches
        ]


def simulate(
    first: int, last: int, *, focus: bool, jobs: int, trace: bool, json_out: Path | None, console: Console
) -> int:
    """Live the days of seeds [first, last). 0: nothing was violated. 1: something was."""
    if trace:
        return _tell(first, focus=focus, console=console)
    tally, began = Tally(), time.monotonic()
    said = began
    with _bar(console) as progress:
        task = progress.add_task("", total=last - first, rate="", found="")
        for seed, day in _days(first, last, focus=focus, jobs=jobs or os.cpu_count() or 1):
            known = len(tally.violations)
            tally.add(day, seed, command(seed, focus=focus))
            for violation in tally.violations[known:_SHOWN]:  # at once: hours may be left
                _say(violation, progress.console)
            rate = f"{tally.days / (time.monotonic() - began):.1f} days/s"
            found = f"[red]{len(tally.violations)} violations[/red]" if tally.violations else ""
            progress.update(task, advance=1, rate=rate, found=found)
            if not console.is_terminal and time.monotonic() > said + _SAID_EVERY_SECONDS:
                said = time.monotonic()  # in a pipe or a file no bar is drawn
                console.print(f"{tally.days:,} of {last - first:,} days, {rate} {found}", highlight=False)
    seconds = time.monotonic() - began
    _print(tally, seconds, console)
    if json_out is not None:
        made = _as_json(first, last, tally, seconds) | {"command": _asked(first, last, focus=focus)}
        json_out.write_text(json.dumps(made, indent=2) + "\n")
    return 1 if tally.violations else 0


def command(seed: int, *, focus: bool) -> str:
    """What repeats a day and tells its story."""
    return f"{_asked(seed, seed + 1, focus=focus)} --trace"


def _asked(first: int, last: int, *, focus: bool) -> str:
    return f"bot simulate --seeds {first}:{last}{' --focus' if focus else ''}"


def live(seed: int, focus: bool) -> Day:
    """One day, without its story."""
    return World(seed, FOCUS if focus else FULL).run()


def _days(first: int, last: int, *, focus: bool, jobs: int) -> Iterator[tuple[int, Day | BaseException]]:
    """Each day as it ends, with its seed; what was raised instead, a worker's end included."""
    if jobs == 1:
        for seed in range(first, last):
            try:
                yield seed, live(seed, focus)
            except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - told with the seed
                yield seed, raised
        return
    with workers(min(jobs, last - first), _settle) as pool:
        asked = {pool.submit(live, seed, focus): seed for seed in range(first, last)}
        for done in as_completed(asked):
            error = done.exception()
            yield asked.pop(done), error if error is not None else done.result()


def _settle() -> None:
    """In a worker, with all libraries loaded: nobody need look for cycles in them again, each day. And what
    the twin's server says of calls that a day's end cuts short is nobody's business.
    """
    gc.freeze()
    logging.getLogger("uvicorn.error").disabled = True


def _tell(seed: int, *, focus: bool, console: Console) -> int:
    day = World(seed, FOCUS if focus else FULL, tell=True).run()
    for line in day.story:
        style = "yellow" if "TROUBLE" in line or "dead" in line else "cyan" if "  bot " in line else ""
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
    for breach in day.breaches:
        console.print(f"✗ {breach}", style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(f"seed {seed}: {day.trades} trades, {day.crashes} crashes, digest {day.digest}")
    return 1 if day.breaches else 0


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
        TextColumn("{task.fields[found]}"), console=console,
    )  # fmt: skip


def _print(tally: Tally, seconds: float, console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    never = [name for name, count in tally.faults.items() if not count]
    for name, value in (
        ("days", f"{tally.days:,} in {seconds:.0f} s"),
        ("trades", f"{tally.trades:,}"),
        ("faults", f"{sum(tally.faults.values()):,} of {len(tally.faults) - len(never)} kinds"),
        ("crashes", f"{tally.crashes:,}"),
        ("coverage marks", f"{len(tally.marks)}"),
        ("violations", f"{len(tally.violations)}"),
    ):
        table.add_row(f"[bold]{name}[/bold]", value)
    console.print(table)
    if never:
        console.print(f"[yellow]never happened: {', '.join(sorted(never))}[/yellow]")
    if len(tally.violations) > _SHOWN:
        console.print(f"{len(tally.violations) - _SHOWN} more than are told above (--json has them all)")


def _say(found: dict[str, Any], console: Console) -> None:
    console.print(f"[red]✗ seed {found['seed']}[/red] {found['at']}", highlight=False, soft_wrap=True)
    console.print(f"    {found['command']}", highlight=False)


def _as_json(first: int, last: int, tally: Tally, seconds: float) -> dict[str, Any]:
    return {
        "seeds": [first, last],
        "days": tally.days,
        "orders": sum(count for name, count in tally.marks.items() if name.startswith("PlaceOrder ")),
        "crashes": tally.crashes,
        "faults": dict(sorted(tally.faults.items())),
        "marks": dict(sorted(tally.marks.items())),
        "violations": tally.violations,
        "seconds": round(seconds, 1),
    }
