"""A person's hand on the bot: sell everything, or let it enter again."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.cli.base import app, refuse


@app.command()
def flatten(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="live, sandbox or paper, as the bot's.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Close what this bot opened (by tag), verify flat. No more entries today, unless `bot resume` says so.

    A bot that runs with this data folder is asked, and sells as it would at 15:29. Where none runs, one is
    started that only sells. Positions of earlier days are not known by tag: close those in the broker's app.

    Exit codes: 0 flat · 2 wrong settings · 3 it could not be asked or started · 4 the books differ from the
    broker's · 5 something is still held, or not known to be sold.
    """
    from bot.assemble.flatten import run_flatten
    from bot.assemble.live import LiveRefused
    from bot.settings import SettingsRefused, load

    if not yes and not sys.stdin.isatty():
        refuse(["not a terminal, so nobody can be asked: say --yes"])
    try:
        code = run_flatten(load(config, mode=mode), Console(), sure=lambda text: yes or typer.confirm(text))
    except SettingsRefused as refused:
        refuse(refused.problems)
    except LiveRefused as refused:
        refuse(refused.problems, 3)
    raise typer.Exit(code)


@app.command()
def resume(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
) -> None:
    """Let the running bot enter again, after a crash loop or a `bot flatten`. Nothing else is lifted by it.

    Exit codes: 0 entries again · 1 something else forbids them · 2 wrong settings · 3 no bot answers.
    """
    from bot.assemble.flatten import run_resume
    from bot.assemble.live import LiveRefused
    from bot.settings import SettingsRefused, load

    try:
        code = run_resume(load(config), Console())
    except SettingsRefused as refused:
        refuse(refused.problems)
    except LiveRefused as refused:
        refuse(refused.problems, 3)
    raise typer.Exit(code)
