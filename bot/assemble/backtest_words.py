"""A backtest in words for a person at a terminal. Net beside gross, and no promise."""

from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bot.research.outcome import Interval, verdict

_HEADINGS: Final = ("ticks", "trades", "gross ₹", "charges ₹", "net ₹", "net a trade ₹ (95 %)")
_NAME_WIDTH_MIN: Final = 5
_MANY: Final = 100  # rupees


def print_outcome(console: Console, result: dict[str, Any], report: Path | None) -> None:
    """The table of files, the total, and what it means."""
    rows = [(row["file"], row) for row in result["files"]]
    if len(rows) > 1:
        rows.append(("together", result["total"]))
    cells = [
        (
            f"{row['ticks']:,}",
            str(row["trades"]),
            _rupees(row["gross_rupees"]),
            _rupees(-row["charges_rupees"]),
            _rupees(row["net_rupees"]),
            _interval(row["net_per_trade"]),
        )
        for _, row in rows
    ]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    columns = zip(_HEADINGS, *cells, strict=True)
    widths = [max(map(len, column)) for column in columns]
    # The name gives way, not the money.
    room = max(console.width - sum(widths) - 2 * len(widths) - 2, _NAME_WIDTH_MIN)
    table.add_column("file", overflow="ellipsis", no_wrap=True, max_width=room)
    for heading, width in zip(_HEADINGS, widths, strict=True):
        table.add_column(heading, justify="right", min_width=width)
    for (name, _), line in zip(rows, cells, strict=True):
        table.add_row(name, *(Text(text, "red" if text.startswith("-") else "") for text in line))
    console.print(table)
    for row in result["files"]:
        notes = [f"[dim]{note}[/dim]" for note in row["notes"]]
        if row["in_sample"]:
            notes.insert(0, "[yellow]in-sample: the model was trained on it[/yellow]")
        if notes:
            console.print(f"{row['file']}:", highlight=False)
        for note in notes:
            console.print(Padding(note, (0, 0, 0, 2)), highlight=False)
    total = result["total"]
    if total["seconds"]:
        console.print(f"{total['ticks'] / total['seconds']:,.0f} ticks a second", highlight=False)
    guards = "with the live guards" if result["guards"] else "without guards (--guards adds them)"
    console.print(
        f"{total['spread']} spread, worth ₹{total['spread_rupees']:,.2f} within gross; fills: "
        f"{result['fills']}; {guards}; {total['stops']} stops, {total['flattens']} flattens, "
        f"{total['unclosed']} unclosed",
        highlight=False,
    )
    console.print(f"[bold]{verdict(Interval(**total['net_per_trade']))}[/bold]", highlight=False)
    if report is not None:
        console.print(f"  [bold]{report}[/bold]  ← the whole truth, as a page", highlight=False)


def _interval(trade: dict[str, float | None]) -> str:
    """`-193 (-227 … -159)`."""
    mean, low, high = trade["mean"], trade["low"], trade["high"]
    if mean is None:
        return ""
    if low is None or high is None:
        return _rupees(mean)
    return f"{_rupees(mean)} ({_rupees(low)} … {_rupees(high)})"


def _rupees(amount: float) -> str:
    """Whole ones where they are many; the page and the JSON have the paise."""
    return f"{amount:,.0f}" if abs(amount) >= _MANY else f"{amount:,.2f}"
