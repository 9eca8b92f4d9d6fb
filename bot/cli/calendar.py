"""The trading calendar."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.base import app, refuse

calendar = typer.Typer(no_args_is_help=True, help="The trading calendar: show it, fetch the next year.")
app.add_typer(calendar, name="calendar")


@calendar.command("show")
def calendar_show(
    *,
    year: Annotated[int | None, typer.Option(help="Only this year's days that are not regular.")] = None,
    data: Annotated[
        Path, typer.Option(envvar="BOT_DATA__FOLDER", help="The data folder; calendar.csv there is yours.")
    ] = Path("data"),
) -> None:
    """Print the years that are covered, their holidays and special sessions, each with its source."""
    from bot.assemble.calendar import show
    from bot.core.calendar import CalendarRefused

    try:
        for line in show(data, year):
            typer.echo(line)
    except CalendarRefused as refused:
        refuse(refused.problems)


@calendar.command("fetch")
def calendar_fetch(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    year: Annotated[int | None, typer.Option(help="The year that is missing next, unless given.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Write it into calendar.csv at once, without a review.")
    ] = False,
) -> None:
    """Ask the broker for a year's holidays, print what would change, and write a proposal for your review.

    Nothing counts until it stands in calendar.csv in the data folder: compare the proposal with the
    exchange's circular, then rename it, or run again with --accept. Exit code 1: the list can't be used yet.
    """
    from bot.assemble.access import load_access
    from bot.assemble.calendar import fetch
    from bot.core.calendar import CalendarRefused
    from bot.settings import SettingsRefused
    from bot.storage.token_file import TokenFileRefused

    try:
        access = load_access(config)
        raise typer.Exit(fetch(access, access.data_folder, year, accept_it=accept, say=typer.echo))
    except (SettingsRefused, CalendarRefused) as refused:
        refuse(refused.problems)
    except TokenFileRefused as refused_file:
        refuse([str(refused_file)])
