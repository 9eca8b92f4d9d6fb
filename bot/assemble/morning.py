"""The token of a machine that nobody logs in to: from `broker.token_source`, proven by a profile call.

Puts together the waiting (run/morning.py), the source (storage/token_source.py) and the broker's word.
"""

import asyncio
import signal
from collections.abc import Callable

from bot.core.session import Session
from bot.run.morning import Proof, TokenDesk, first_of, keep_fresh, wait_for_token
from bot.run.ports import Clock
from bot.settings import Settings
from bot.storage.token_source import TokenSourceFailed, ask_for_token, read_token
from bot.telemetry.logs import Logs
from bot.upstox.auth import Token, expiry_of
from bot.upstox.rest import Hosts, UpstoxRest
from bot.upstox.wire_answers import ReadFailed


class Stopped(Exception):
    """SIGTERM came while we waited."""


def token_for_today(settings: Settings, clock: Clock, session: Session, logs: Logs) -> str:
    """Wait for a token that works. "": none came. Raises Stopped."""

    async def wait() -> str:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        desk = token_desk(settings, clock, logs)
        token = await first_of(wait_for_token(clock, session.open_at, desk), stop)
        if token is None:
            raise Stopped
        return str(token)

    return asyncio.run(wait())


async def refresh(
    settings: Settings,
    clock: Clock,
    logs: Logs,
    current: Callable[[], str],
    replace: Callable[[str], None],
) -> None:
    """Hand each newer token that works, once it lies at the source, to `replace`. Until cancelled."""
    await keep_fresh(clock, token_desk(settings, clock, logs), current, replace)


def token_desk(settings: Settings, clock: Clock, logs: Logs) -> TokenDesk:
    """The desk of these settings. Every text it reads is hidden from the logs before anything else."""
    hosts = Hosts(settings.broker.api_host, settings.broker.order_host)

    async def read() -> str:
        try:
            text = await asyncio.to_thread(read_token, settings.broker.token_source)
        except TokenSourceFailed as failed:
            logs.log.warning("token_source_failed", problem=str(failed))
            return ""
        if text:
            logs.hide(text)
        return text

    async def works(text: str) -> Proof:
        expiry = expiry_of(text)
        if expiry is not None and expiry <= clock.now():
            return Proof.REFUSED  # yesterday's: not worth a call
        try:
            candidate = Token(text)
        except ValueError:
            return Proof.REFUSED
        rest = UpstoxRest(clock, candidate, hosts)
        try:
            await rest.profile()
        except ReadFailed as failed:
            return Proof.REFUSED if failed.status in {401, 403} else Proof.UNKNOWN
        finally:
            await rest.aclose()
        return Proof.WORKS

    async def ask() -> None:
        if not settings.broker.token_request:
            return
        try:
            await asyncio.to_thread(ask_for_token, settings.broker.token_request)
        except TokenSourceFailed as failed:
            logs.log.warning("token_request_failed", problem=str(failed))

    def say(event: str) -> None:
        level = "error" if event == "token_missing" else "info"
        getattr(logs.log, level)(event)

    return TokenDesk(read, works, ask, say)
