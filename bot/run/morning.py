"""The morning's wait for a token, and the look for a newer one while trading. Pure waiting: what a token is
and where it lies, its callers know. A token is never trusted for being there: `works` proves it by a call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock

POLL: Final[Nanos] = 15 * SECOND
ASK_AGAIN_BEFORE_OPEN: Final[Nanos] = 35 * 60 * SECOND  # 08:40
ALERT_BEFORE_OPEN: Final[Nanos] = 25 * 60 * SECOND  # 08:50
GIVE_UP_BEFORE_OPEN: Final[Nanos] = 5 * 60 * SECOND  # 09:10


class Proof(StrEnum):
    """What a call with the token said."""

    WORKS = "works"
    REFUSED = "refused"  # by the broker: this text will never work
    UNKNOWN = "unknown"  # the call itself failed: ask again


@dataclass(frozen=True)
class TokenDesk:
    """How to get a token: `read` gives the newest text ("": none), `works` proves it, `ask` asks for one."""

    read: Callable[[], Awaitable[str]]
    works: Callable[[str], Awaitable[Proof]]
    ask: Callable[[], Awaitable[None]]
    say: Callable[[str], None]  # token_asked_again, token_missing, token_accepted, token_refused


async def wait_for_token(clock: Clock, open_at: Nanos, desk: TokenDesk) -> str:
    """The day's proven token, or "" when none came until five minutes before the open.

    Asked for once more 35 minutes before the open; said to be missing 25 minutes before. Started later than
    the end of its patience it looks once: who restarts us decides when we look again.
    """
    asked = alerted = False
    refused = ""
    while True:
        text = await desk.read()
        if text and text != refused:
            proof = await desk.works(text)
            if proof is Proof.WORKS:
                desk.say("token_accepted")
                return text
            if proof is Proof.REFUSED:
                refused = text
                desk.say("token_refused")
        now = clock.now()
        if not alerted and now >= open_at - ALERT_BEFORE_OPEN:
            alerted = True
            desk.say("token_missing")
        if now >= open_at - GIVE_UP_BEFORE_OPEN:
            return ""
        if not asked and now >= open_at - ASK_AGAIN_BEFORE_OPEN:
            asked = True
            desk.say("token_asked_again")
            await desk.ask()
        await clock.sleep_until(now + POLL)


async def keep_fresh(
    clock: Clock, desk: TokenDesk, current: Callable[[], str], replace: Callable[[str], None]
) -> None:
    """Look for a newer token until cancelled; one that is proven replaces the current, for all to use."""
    refused = ""
    while True:
        await clock.sleep_until(clock.now() + 2 * POLL)
        text = await desk.read()
        if not text or text in {refused, current()}:
            continue
        match await desk.works(text):
            case Proof.WORKS:
                replace(text)
                desk.say("token_accepted")
            case Proof.REFUSED:
                refused = text
                desk.say("token_refused")
            case Proof.UNKNOWN:
                pass


async def first_of(work: Awaitable[object], stop: asyncio.Event) -> object:
    """What `work` returns, or None as soon as `stop` is set."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
