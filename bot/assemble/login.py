"""`bot login` and `bot token`: get the day's token, keep it, say whose it is. Never shows it."""

import asyncio
import secrets
import webbrowser
from collections.abc import Callable
from typing import Final

from rich.console import Console

from bot.assemble.access import (
    AccessSettings,
    TokenRefused,
    expired,
    expiry_words,
    first_token,
    verify,
)
from bot.assemble.redirect_catcher import RedirectCatcher
from bot.assemble.twin_time import clock_for
from bot.run.ports import Clock
from bot.storage.token_file import write_token
from bot.upstox.auth import Token
from bot.upstox.login import LoginRefused, dialog_address, exchange

PATIENCE_SECONDS: Final = 300.0
EXIT_DONE, EXIT_FAILED = 0, 1


def login(
    access: AccessSettings,
    api_secret: str,
    console: Console,
    *,
    open_page: Callable[[str], object] = webbrowser.open,
    clock: Clock | None = None,
) -> int:
    """The dialog in a browser, its code exchanged, the token verified and kept. Raises LoginRefused and
    TokenRefused.
    """
    return asyncio.run(_login(access, api_secret, console, open_page, clock or clock_for(access.hosts.api)))


async def _login(
    access: AccessSettings,
    api_secret: str,
    console: Console,
    open_page: Callable[[str], object],
    clock: Clock,
) -> int:
    wanted, state = access.login, secrets.token_urlsafe(24)
    async with RedirectCatcher(wanted.redirect_uri, state) as catcher:
        address = dialog_address(access.hosts.api, wanted.api_key, wanted.redirect_uri, state)
        console.print(
            "Log in on the broker's page. If no browser opens, open this address yourself:", highlight=False
        )
        console.print(address, highlight=False, soft_wrap=True, markup=False)
        await asyncio.to_thread(open_page, address)
        code = await catcher.code(PATIENCE_SECONDS)
        found = await exchange(
            clock,
            access.hosts.api,
            code=code,
            api_key=wanted.api_key,
            api_secret=api_secret,
            redirect_uri=wanted.redirect_uri,
        )
    return await _keep(access, found.token, console, clock, offline=False)


def set_token(
    access: AccessSettings, text: str, console: Console, *, offline: bool, clock: Clock | None = None
) -> int:
    """Keep `text` as today's token, once the broker has said whose it is (or unseen). Raises TokenRefused."""
    return asyncio.run(_keep(access, text, console, clock or clock_for(access.hosts.api), offline=offline))


async def _keep(access: AccessSettings, text: str, console: Console, clock: Clock, *, offline: bool) -> int:
    try:
        text = Token(text)()
    except ValueError as error:
        raise TokenRefused(f"{error}: copy it again, whole and alone") from None
    whose = "not verified (--offline)"
    if not offline:
        found = await verify(clock, access.hosts, text)
        whose = f"accepted for {found.user_id} ({found.name})"
    await asyncio.to_thread(write_token, access.token_file, text)
    console.print(f"[green]✓[/green] {whose}; it {expiry_words(text)}", highlight=False)
    console.print(f"  kept in {access.token_file} (readable by you alone)", highlight=False, soft_wrap=True)
    if access.environment_token and not expired(access.environment_token, clock.now()):
        console.print(
            "[yellow]![/yellow] BOT_LIVE_ACCESS_TOKEN is set, too, and goes first at a start: unset it.",
            highlight=False,
        )
    return EXIT_DONE


def show_token(access: AccessSettings, console: Console, *, offline: bool, clock: Clock | None = None) -> int:
    """Whose token there is and how long it lives; 1 when there is none that works. Never the token."""
    return asyncio.run(_show(access, console, clock or clock_for(access.hosts.api), offline=offline))


async def _show(access: AccessSettings, console: Console, clock: Clock, *, offline: bool) -> int:
    text, source = first_token(access, clock.now())
    if not text:
        console.print(f"[red]✗[/red] no token: neither in the environment nor in {access.token_file}")
        console.print("  Run `bot login`, or `bot token set`.")
        return EXIT_FAILED
    where = "BOT_LIVE_ACCESS_TOKEN" if source == "environment" else str(access.token_file)
    console.print(f"from {where}; it {expiry_words(text)}", highlight=False, soft_wrap=True)
    if offline:
        return EXIT_FAILED if expired(text, clock.now()) else EXIT_DONE
    found = await verify(clock, access.hosts, text)
    console.print(f"[green]✓[/green] accepted for {found.user_id} ({found.name})", highlight=False)
    return EXIT_DONE


__all__ = ["LoginRefused", "TokenRefused", "login", "set_token", "show_token"]
