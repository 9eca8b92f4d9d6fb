"""The command line's one application, and how it says no."""

from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

EXIT_USAGE: Final = 2

app = typer.Typer(
    name="bot",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="A small, honest trading bot for Indian index options on Upstox. No edge of its strategy survived "
    "costs on any file tested: what it sells is engineering and truth. Start with [bold]bot demo[/bold].",
)
errors = Console(stderr=True)


def refuse(problems: list[str], code: int = EXIT_USAGE) -> NoReturn:
    """Say what is wrong, all of it, and stop."""
    for problem in problems:
        errors.print(f"[red]✗[/red] {escape(problem)}", markup=True, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
