"""The day in words for a person at a terminal: what was traded, what it cost, where the files are."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.assemble.closing import EXIT_HOLDING, EXIT_UNRECONCILED, DayResult
from bot.assemble.market import DemoMarket
from bot.core.units import Paise, rupees_text


def print_summary(console: Console, result: DayResult, market: DemoMarket, picture: Path | None) -> None:
    """Print it. Net stands beside gross, always."""
    day = result.summary
    table = Table(title=market.title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("trades", str(day.trades), f"{day.wins} won net of charges, {day.fills} fills")
    table.add_row("gross", _money(day.gross), "")
    table.add_row("charges", _money(-day.charges), "brokerage, STT, exchange, SEBI, stamp, GST")
    table.add_row("[bold]net[/bold]", f"[bold]{_money(day.net)}[/bold]", _words(result))
    table.add_row("worst, best trade", f"{_money(day.worst_trade)}", f"{rupees_text(day.best_trade)}")
    table.add_row("slippage", _money(-day.slippage), "against the price at the decision")
    table.add_row("stop-losses", str(day.stops), "")
    table.add_row("flattened at the end", str(day.flattens), "")
    table.add_row("reconnects", str(result.reconnects), "")
    table.add_row("books", _books(result), "our fills against the broker's trade list")
    console.print()
    console.print(table)
    console.print()
    for stored in result.stored:
        console.print(f"  {stored.address}", style="dim", highlight=False, soft_wrap=True)
    if result.archive_problem:
        console.print(
            f"[red]not archived:[/red] {result.archive_problem} It is tried again at the next start."
        )
    if picture is not None:
        console.print(f"  [bold]{picture}[/bold]  ← the day as a picture", highlight=False, soft_wrap=True)
        page = picture.with_name("day.html")
        console.print(f"  [bold]{page}[/bold]  ← as a page, to zoom into", highlight=False, soft_wrap=True)
    if result.exit_code == EXIT_HOLDING:
        console.print(f"[red]Ended holding {day.holding}.[/red] Close it in the broker's app.")
    console.print()


def _money(amount: Paise) -> str:
    text = f"₹{rupees_text(amount)}"
    return f"[red]{text}[/red]" if amount < 0 else text


def _words(result: DayResult) -> str:
    """One day proves nothing, in either direction."""
    day = result.summary
    if not day.trades:
        return "no trade: nothing earned, nothing lost"
    return "one day proves nothing; no edge survived costs on any file tested"


def _books(result: DayResult) -> str:
    if result.books is None:
        return "[red]not compared[/red]"
    if result.exit_code == EXIT_UNRECONCILED or not result.books.reconciled:
        return "[red]differ[/red]"
    return "[green]agree[/green]"
