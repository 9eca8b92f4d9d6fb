"""Stall, drop, half-open, 401, 403, 307: the bot's feed against the twin, each to its state and in its time.

Real sockets. In lockstep, where times are exact; a half-open socket, which lockstep cannot have, and TLS on
the wall clock, faster than life. Documented (reconnect.py, upstox §3.9, §8): suspect within 5 s, a new
attempt within 15 s, back within 5 s of the server.
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.core.events import FeedDown, FeedUp, Tick
from bot.core.units import MILLISECOND, SECOND
from bot.run.ports import Clock
from bot.twin.faults import Fault, FaultKind
from bot.twin.server import Twin
from bot.twin.tls import Certificate, make_certificate
from bot.upstox.auth import Token
from bot.upstox.feed import MarketFeed
from bot.upstox.line import Access
from bot.upstox.reconnect import State
from bot.upstox.rest import Hosts, UpstoxRest
from bot.upstox.wire_market import MarketDecoder
from tests.conftest import KEY, at
from tests.test_twin_day import Lockstep, day
from tests.twin_client import playing, steady

LOOK = 5 * MILLISECOND
NOTICED = 0.05  # seconds: what a look, a handshake and two answers of the twin take
CLOSE_AND_REST = 1.0  # a goodbye nobody answers, and the first rest
SPEED, SLACK = 10.0, 5.0  # on the wall clock: half a second of ours, on a machine with other things to do


@dataclass
class Watched:
    """The bot's feed under watch: what it put into its sink, and when its state changed."""

    twin: Twin
    clock: Clock
    rest: UpstoxRest
    feed: MarketFeed
    token: Token
    events: list = field(default_factory=list)
    states: list = field(default_factory=list)  # (seconds, state), each change

    def now(self) -> float:
        return self.clock.monotonic() / SECOND

    async def pause(self) -> None:
        await self.clock.sleep_until(self.clock.now() + LOOK)

    async def look(self) -> None:
        """Note each change of state, often."""
        while True:
            if not self.states or self.states[-1][1] is not self.feed.state:
                self.states.append((self.now(), self.feed.state))
            await self.pause()

    async def inject(self, kind: FaultKind, seconds: float = 0.0) -> float:
        """The fault happens; when."""
        since = self.now()
        await self.twin.inject(Fault(0, kind, seconds=seconds))
        return since

    async def until(self, done, seconds: float = 60.0) -> None:
        end = self.now() + seconds
        while not done():
            assert self.now() < end, f"it never came to be: {self.states} {self.feed.last_failure}"
            await self.pause()

    async def reached(self, state: State, since: float) -> float:
        """Seconds from `since` until it came to `state`."""
        await self.until(lambda: any(when >= since and one is state for when, one in self.states))
        return next(when for when, one in self.states if when >= since and one is state) - since

    async def ticking(self, since: float) -> float:
        """Seconds from `since` until a tick came (again)."""
        await self.until(lambda: any(self.of(Tick, since)))
        return self.of(Tick, since)[0].mono / SECOND - since

    def of(self, kind: type, since: float = 0.0) -> list:
        return [event for event in self.events if isinstance(event, kind) and event.mono / SECOND >= since]


@asynccontextmanager
async def watching(twin: Twin, clock: Clock, trust: ssl.SSLContext | None = None):
    url, token, events = twin.addresses.rest, Token(twin.token), []
    rest = UpstoxRest(clock, token, Hosts(url, url), trust=trust)
    feed = MarketFeed(
        clock, events.append, rest.authorize_market, MarketDecoder([KEY]), [KEY],
        jitter=random.Random(1).random, trust=trust,
    )  # fmt: skip
    feed.arm(True)
    watched = Watched(twin, clock, rest, feed, token, events)
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(watched.look())]
    try:
        await watched.ticking(0.0)
        yield watched
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await rest.aclose()


def in_lockstep(scene: Callable[[Watched], Coroutine[Any, Any, None]]) -> None:
    """The scene from 09:15:01 on; the day is over two minutes later."""

    async def script(world: Lockstep) -> None:
        await world.clock.sleep_until(at("09:15:01"))
        async with watching(world.twin, world.clock) as bot:
            await scene(bot)

    assert day(script, steady(), closes_at=at("09:17:00")) == 0


@asynccontextmanager
async def on_the_wall(tls: Certificate | None = None):
    trust = ssl.create_default_context(cadata=tls.authority_pem.decode()) if tls else None
    async with (
        playing(steady(), speed=SPEED, tls=tls) as stranger,
        watching(stranger.twin, stranger.clock, trust) as bot,
    ):
        yield bot


def test_a_stall_is_suspected_within_5_s_left_within_15_s_and_over_5_s_later():
    """The peer answers pings and says nothing: only another connection helps."""

    async def scene(bot: Watched) -> None:
        since = await bot.inject(FaultKind.STALL_MARKET, seconds=120)
        assert await bot.reached(State.SUSPECT, since) <= 5 + NOTICED
        assert await bot.reached(State.AUTHORIZING, since) <= 15
        assert [event.reason for event in bot.of(FeedDown)] == ["stall"]
        assert await bot.ticking(since + 5) <= 15

    in_lockstep(scene)


def test_a_drop_is_seen_at_once_and_over_within_5_s():
    async def scene(bot: Watched) -> None:
        since = await bot.inject(FaultKind.DROP_MARKET)
        assert await bot.reached(State.AUTHORIZING, since) <= CLOSE_AND_REST
        assert [event.reason for event in bot.of(FeedDown)] == ["close"]
        await bot.until(lambda: len(bot.of(FeedUp)) == 2)
        assert bot.of(FeedUp)[1].mono / SECOND - since <= 5
        assert await bot.ticking(bot.now()) <= 1

    in_lockstep(scene)


async def test_over_tls_it_is_the_same():
    """The bot trusts the twin's own authority and nobody else's."""
    async with on_the_wall(make_certificate()) as bot:
        since = await bot.inject(FaultKind.DROP_MARKET)
        assert await bot.ticking(since + 0.5) <= 5 + SLACK
        assert bot.twin.addresses.streams.startswith("wss://")


async def test_a_half_open_socket_is_suspected_within_5_s_and_left_within_15_s():
    """No pong within 3 s of the doubt: nobody is there, and nobody says so."""
    async with on_the_wall() as bot:
        since = await bot.inject(FaultKind.HALF_OPEN_MARKET)
        assert await bot.reached(State.SUSPECT, since) <= 5 + SLACK
        assert await bot.reached(State.AUTHORIZING, since) <= 8 + CLOSE_AND_REST + SLACK
        assert [event.reason for event in bot.of(FeedDown)] == ["stall"]
        await bot.until(lambda: len(bot.of(FeedUp)) == 2)
        assert await bot.ticking(bot.of(FeedUp)[1].mono / SECOND) <= 5 + SLACK


def test_a_401_is_a_state_that_only_a_new_token_ends():
    async def scene(bot: Watched) -> None:
        since = await bot.inject(FaultKind.DROP_MARKET)
        bot.token.replace("dead")
        assert await bot.reached(State.AUTH_REQUIRED, since) <= CLOSE_AND_REST
        assert bot.of(FeedDown)[-1].reason == "auth"
        assert bot.rest.reads_access is Access.AUTH_REQUIRED
        bot.token.replace(bot.twin.token)
        assert await bot.ticking(bot.now()) <= 30 + CLOSE_AND_REST  # asked again after 30 s (reconnect.py)
        assert bot.rest.reads_access is Access.OK

    in_lockstep(scene)


@pytest.mark.parametrize("kind", [FaultKind.REFUSE_HANDSHAKE, FaultKind.BLOCKED])
def test_a_403_is_tried_again_slowly_and_over_when_it_is(kind):
    """Of the handshake after a good authorize (upstox §8.1), and of a proxy's page (§8.18)."""

    async def scene(bot: Watched) -> None:
        await bot.inject(kind, seconds=8)
        since = await bot.inject(FaultKind.DROP_MARKET)
        await bot.reached(State.RESTING, since)
        await bot.until(lambda: "403" in bot.feed.last_failure)
        assert await bot.ticking(since + 8) <= 30
        attempts = [when for when, state in bot.states if when >= since and state is State.AUTHORIZING]
        assert 2 <= len(attempts) <= 6  # not a storm
        assert attempts[1] - attempts[0] >= 2.5  # half of 5 s is the least

    in_lockstep(scene)


def test_a_307_is_followed_to_the_other_address_without_a_loss():
    """The address that authorize gave leads on (upstox §3.1, §8.12): one drop, one connection again."""

    async def scene(bot: Watched) -> None:
        await bot.inject(FaultKind.REDIRECT_HANDSHAKE)
        since = await bot.inject(FaultKind.DROP_MARKET)
        await bot.until(lambda: len(bot.of(FeedUp)) == 2)
        assert bot.of(FeedUp)[1].mono / SECOND - since <= 5
        assert [event.reason for event in bot.of(FeedDown)] == ["close"]
        await bot.ticking(bot.now())
        assert not bot.twin.refused

    in_lockstep(scene)


async def test_an_entry_address_asks_for_a_token_on_the_line_itself_and_the_bot_says_that_it_lacks_one():
    """Why the bot authorizes and does not dial an entry address: 401, a state of authority, no storm."""
    async with playing(steady()) as stranger:
        events: list = []

        async def address() -> str:
            return f"{stranger.twin.addresses.streams}/v3/feed/market-data-feed"

        decoder, jitter = MarketDecoder([KEY]), random.Random(1).random
        feed = MarketFeed(stranger.clock, events.append, address, decoder, [KEY], jitter=jitter)
        task = asyncio.create_task(feed.run())
        async with asyncio.timeout(5):
            while feed.state is not State.AUTH_REQUIRED:
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait({task})
        assert not [event for event in events if isinstance(event, FeedUp)]
        assert stranger.twin.refused == {"UDAPI100050": 1}
