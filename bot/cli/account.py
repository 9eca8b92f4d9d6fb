"""The way in: login and the day's token."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from bot.cli.base import app, errors, refuse


@app.command()
def login(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page; else only print its address.")] = True,
) -> None:
    """Get today's token: the broker's login page in your browser, its answer caught on this machine.

    Needs login.api_key and login.redirect_uri as registered with your app, and the secret in
    BOT_LOGIN__API_SECRET (asked for when it is not set). A running bot takes the new token by itself.

    Exit codes: 0 done · 1 no token came of it · 2 wrong settings.
    """
    import webbrowser

    from bot.assemble import login as body
    from bot.assemble.access import load_access
    from bot.settings import SettingsRefused

    try:
        access = load_access(config)
    except SettingsRefused as refused:
        refuse(refused.problems)
    if not access.login.api_key:
        refuse(["login.api_key: is missing; it stands on your app's page in the developer console"])
    secret = access.login.api_secret.get_secret_value()
    if not secret:
        secret = typer.prompt("API secret (not shown)", hide_input=True).strip()
    open_page = webbrowser.open if browser else (lambda _: None)
    token_exit(lambda: body.login(access, secret, Console(), open_page=open_page))


token_app = typer.Typer(no_args_is_help=True, help="Keep, or ask about, the day's access token.")
app.add_typer(token_app, name="token")


@token_app.command("set")
def token_set(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the broker whose it is.")] = False,
) -> None:
    """Store today's token, from a prompt that does not show it or from standard input (a pipe).

    Kept 0600, and only once a profile call has proven it. A running bot takes it by itself.

    Exit codes: 0 kept · 1 the broker does not accept it · 2 wrong settings.
    """
    from bot.assemble import login as body
    from bot.assemble.access import load_access
    from bot.settings import SettingsRefused

    try:
        access = load_access(config)
    except SettingsRefused as refused:
        refuse(refused.problems)
    interactive = sys.stdin.isatty()
    text = typer.prompt("Token (not shown)", hide_input=True) if interactive else sys.stdin.read(10_000)
    token_exit(lambda: body.set_token(access, text, Console(), offline=offline))


@token_app.command("show")
def token_show(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the broker whose it is.")] = False,
) -> None:
    """Whose token there is, from where, and until when. Never the token itself.

    Exit codes: 0 it works · 1 there is none that works · 2 wrong settings.
    """
    from bot.assemble import login as body
    from bot.assemble.access import load_access
    from bot.settings import SettingsRefused

    try:
        access = load_access(config)
    except SettingsRefused as refused:
        refuse(refused.problems)
    token_exit(lambda: body.show_token(access, Console(), offline=offline))


def token_exit(work: Callable[[], int]) -> NoReturn:
    """Exit with what `work` says; a refusal of token, login or file is a sentence and code 1."""
    from bot.assemble.access import TokenRefused
    from bot.storage.token_file import TokenFileRefused
    from bot.upstox.login import LoginRefused

    try:
        code = work()
    except (TokenRefused, TokenFileRefused, LoginRefused) as refused:
        errors.print(f"[red]✗[/red] {escape(str(refused))}", highlight=False, soft_wrap=True)
        code = 1
    raise typer.Exit(code)
