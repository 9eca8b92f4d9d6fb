"""`bot preflight`: the checks from the command line, and their exit code."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from rich.console import Console

from bot.assemble.access import access_of, first_token
from bot.assemble.preflight.examine import examine
from bot.assemble.preflight.finding import Finding, go, no_go
from bot.assemble.preflight.ground import Ground
from bot.assemble.preflight.report import document, show
from bot.assemble.twin_time import clock_for
from bot.run.ports import Clock
from bot.settings import Settings
from bot.storage.token_file import TokenFileRefused
from bot.telemetry.redact import Redactor
from bot.upstox.auth import Token
from bot.upstox.rest import UpstoxRest

EXIT_GO, EXIT_REFUSED = 0, 3


def run_preflight(
    settings: Settings,
    console: Console,
    *,
    as_json: bool = False,
    clock: Clock | None = None,
) -> int:
    """Ask everything, show it, and say 0 (go) or 3 (no go). `clock`: the wall's unless a test brings one."""
    clock = clock or clock_for(settings.broker.api_host)
    redactor = Redactor()
    findings = asyncio.run(_examined(settings, clock, redactor))
    mode = settings.broker.mode
    if as_json or not console.is_terminal:
        body = orjson.dumps(document(findings, clock.now(), mode, redactor), option=orjson.OPT_INDENT_2)
        sys.stdout.write(body.decode() + "\n")
    else:
        show(findings, mode, console, redactor)
    return EXIT_GO if go(findings) else EXIT_REFUSED


async def _examined(settings: Settings, clock: Clock, redactor: Redactor) -> list[Finding]:
    access = access_of(settings)
    token, problem = None, ""
    try:
        text, _ = first_token(access, clock.now())
        redactor.hide(text)
        token = Token(text) if text else None
    except (TokenFileRefused, ValueError) as refused:
        problem = str(refused)
    async with open_ground(settings, clock, token) as ground:
        findings = await examine(ground)
    if problem:
        said, _, advice = problem.partition(". ")
        findings[0] = no_go("token", said, advice or "Run `bot token set` and paste it whole and alone.")
    return findings


@asynccontextmanager
async def open_ground(settings: Settings, clock: Clock, token: Token | None) -> AsyncIterator[Ground]:
    """What the checks stand on; its line to the broker is closed at the end."""
    access, algo_name = access_of(settings), settings.broker.algo_name
    rest = UpstoxRest(clock, token or _no_token, access.hosts, algo_name=algo_name)
    try:
        yield Ground(settings, access, clock, token, rest)
    finally:
        await rest.aclose()


def _no_token() -> str:
    return "none"  # only the clock is asked for then, and an answer that refuses us tells the time
