"""A backtest in words for a person at a terminal. Net beside gross, and no promise."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bot.research.outcome import Interval, verdict


def print_outcome(console: Console, result: dict[str, Any], report: Path | None) -> None:
    """The table of files, the total, and what it means."""
    table = Table("file", "ticks", "ticks/s", "trades", "gross ₹", "charges ₹", "net ₹", "net a trade ₹")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [(row["file"], row) for row in result["files"]]
    if len(rows) > 1:
        rows.append(("together", result["total"]))
    for name, row in rows:
        trade = row["net_per_trade"]
        rate = row["ticks"] / row["seconds"] if row["seconds"] else 0.0
        table.add_row(
            name,
            f"{row['ticks']:,}",
            f"{rate:,.0f}",
            str(row["trades"]),
            _money(row["gross_rupees"]),
            _money(-row["charges_rupees"]),
            _money(row["net_rupees"]),
            interval_text(trade),
        )
    console.print(table)
    for row in result["files"]:
        if row["in_sample"]:
            console.print(f"[yellow]in-sample[/yellow] {row['file']}: the model was trained on it")
        for note in row["notes"]:
            console.print(f"  [dim]{row['file']}: {note}[/dim]", highlight=False)
    total = result["total"]
    guards = "with the live guards" if result["guards"] else "without guards (--guards adds them)"
    console.print(
        f"{total['spread']} spread, worth ₹{total['spread_rupees']:,.2f} within gross; fills: "
        f"{result['fills']}; {guards}; {total['stops']} stops, {total['flattens']} flattens, "
        f"{total['unclosed']} unclosed",
        highlight=False,
    )
    console.print(f"[bold]{verdict(Interval(**total['net_per_trade']))}[/bold]")
    if report is not None:
        console.print(f"  [bold]{report}[/bold]  ← the whole truth, as a page", highlight=False)


def interval_text(trade: dict[str, float | None]) -> str:
    """`-43.10 (-61.20 … -28.40)`."""
    if trade["mean"] is None:
        return ""
    if trade["low"] is None:
        return f"{trade['mean']:,.2f}"
    return f"{trade['mean']:,.2f} ({trade['low']:,.2f} … {trade['high']:,.2f})"


def _money(amount: float) -> str:
    return f"[red]{amount:,.2f}[/red]" if amount < 0 else f"{amount:,.2f}"
