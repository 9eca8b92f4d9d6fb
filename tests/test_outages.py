"""What goes wrong with the market socket, against the twin over real sockets: the state each outage ends in,
and how soon. The times are those documented in docs/architecture.md, *Outages of the market feed*.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from bot.core.events import Event, FeedDown, FeedUp, Tick
from bot.core.rules import Contract
from bot.core.units import SECOND, Nanos
from bot.run.live import WallClock
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.run.ports import Clock
from bot.sim.market import SyntheticMarket
from bot.twin.faults import Fault, FaultKind
from bot.twin.market_source import synthetic
from bot.twin.server import Twin
from bot.upstox.auth import Token
from bot.upstox.feed import MarketFeed
from bot.upstox.reconnect import State
from bot.upstox.rest import Hosts, UpstoxRest
from bot.upstox.stream import Authorizer
from bot.upstox.wire_market import MarketDecoder
from tests.conftest import KEY, at

OPENS, STARTS, BREAKS, ENDS = at("09:15:00"), at("09:15:30"), at("09:16:00"), at("09:18:30")
CONTRACT = Contract(KEY, 65, 65, 5, 1755, "NSE")


class Seen(NamedTuple):
    """A feed's life: what it delivered, and every state it was seen in, by the clock."""

    events: list[Event]
    states: list[tuple[Nanos, State]]
    lost: dict[Any, int]
    failure: str

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def first(self, *wanted: State) -> float:
        """Seconds from the fault to the first of these states."""
        return (
            min(when - BREAKS for when, state in self.states if state in wanted and when >= BREAKS) / SECOND
        )

    def back(self) -> float:
        """Seconds from the fault to the first tick of a new connection."""
        up = next(up.at for up in self.of(FeedUp) if up.at > BREAKS)
        return float(min(tick.at for tick in self.of(Tick) if tick.at >= up) - BREAKS) / SECOND


@contextlib.asynccontextmanager
async def direct(authorize: Authorizer, _clock: Clock) -> AsyncIterator[Authorizer]:
    yield authorize


async def watched(clock: Clock, faults: list[Fault], through: Any = direct, ends: Nanos = ENDS) -> Seen:
    """A twin, and the bot's own feed on it, armed, from before the fault to `ends`."""
    market = SyntheticMarket(
        KEY, tick=5, lot=65, seed=3, opens_at=OPENS, closes_at=ENDS + 60 * SECOND, start_price=300_00
    )
    twin = Twin(
        clock, {KEY: CONTRACT}, synthetic(market), opens_at=OPENS, closes_at=ENDS + 60 * SECOND, faults=faults
    )
    base = (await twin.start()).rest
    rest = UpstoxRest(clock, Token(twin.token), Hosts(base, base))
    events: list[Event] = []
    states: list[tuple[Nanos, State]] = []
    playing = asyncio.create_task(twin.run())
    async with through(rest.authorize_market, clock) as authorize:
        feed = MarketFeed(
            clock, events.append, authorize, MarketDecoder([KEY]), [KEY], jitter=Random(1).random
        )
        feed.arm(True)
        running = asyncio.create_task(feed.run())
        try:
            while clock.now() < ends:
                states.append((clock.now(), feed.state))
                await clock.sleep_until(clock.now() + SECOND // 20)
        finally:
            for task in (running, playing):
                task.cancel()
            await asyncio.wait({running, playing})
            await rest.aclose()
            await twin.stop()
    return Seen(events, states, feed.lost_total, feed.last_failure)


def lockstep(*faults: Fault, through: Any = direct) -> Seen:
    loop = LockstepLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(watched(LockstepClock(loop, STARTS), list(faults), through))


def test_a_stall_is_suspect_in_5_seconds_left_in_15_and_over_in_20() -> None:
    """Connected, answering pings, saying nothing."""
    seen = lockstep(Fault(BREAKS, FaultKind.STALL_MARKET, 120))
    quiet = max(tick.at for tick in seen.of(Tick) if tick.at <= BREAKS)
    late = (BREAKS - quiet) / SECOND
    assert seen.first(State.SUSPECT) <= 5.05 - late
    assert seen.first(State.RESTING, State.AUTHORIZING) <= 15 - late
    assert seen.back() <= 20
    assert [down.reason for down in seen.of(FeedDown)] == ["stall"]
    assert seen.lost["stall"] == 1


def test_a_drop_is_over_in_5_seconds() -> None:
    seen = lockstep(Fault(BREAKS, FaultKind.DROP_MARKET))
    assert seen.back() <= 5
    assert [down.reason for down in seen.of(FeedDown)] == ["close"]


def test_a_401_is_auth_required_and_asked_again_each_half_minute() -> None:
    """Only a new token helps. Here the broker comes to its senses after 40 s."""
    seen = lockstep(Fault(BREAKS, FaultKind.UNAUTHORIZED, 40), Fault(BREAKS, FaultKind.DROP_MARKET))
    assert seen.first(State.AUTH_REQUIRED) <= 5
    assert [down.reason for down in seen.of(FeedDown)] == ["close", "auth"]
    assert 40 <= seen.back() <= 40 + 30 + 5
    assert "401" in seen.failure


@pytest.mark.parametrize("seconds", [3, 12])
def test_a_403_of_the_handshake_rests_from_5_to_30_seconds(seconds: float) -> None:
    """The broker counts connections: slow attempts, each with a fresh address, and back after the next."""
    seen = lockstep(Fault(BREAKS, FaultKind.REFUSE_HANDSHAKE, seconds), Fault(BREAKS, FaultKind.DROP_MARKET))
    assert seen.first(State.RESTING) <= 5
    assert [down.reason for down in seen.of(FeedDown)] == ["close", "auth"]
    assert seconds <= seen.back() <= 2 * seconds + 10
    assert seen.failure == "handshake: HTTP 403"


def test_a_429_is_an_error_and_rests_as_long() -> None:
    seen = lockstep(Fault(BREAKS, FaultKind.TOO_MANY, 12), Fault(BREAKS, FaultKind.DROP_MARKET))
    assert [down.reason for down in seen.of(FeedDown)] == ["close"]  # said once: the same outage
    assert 12 <= seen.back() <= 2 * 12 + 10


@contextlib.asynccontextmanager
async def redirecting(authorize: Authorizer, clock: Clock) -> AsyncIterator[Authorizer]:
    """An entry address that answers 307 to the real, single-use one (upstox §3.1)."""
    addresses: dict[str, str] = {}

    def redirect(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(HTTPStatus.TEMPORARY_REDIRECT, "")
        response.headers["Location"] = addresses.pop(urlsplit(request.path).path)
        return response

    async def never(_: ServerConnection) -> None:
        raise AssertionError("a redirect is no connection")

    async with serve(never, "127.0.0.1", 0, process_request=redirect) as server:
        port = next(iter(server.sockets)).getsockname()[1]

        async def entry() -> str:
            path = f"/entry/{len(addresses)}/{clock.now()}"
            addresses[path] = await authorize()
            return f"ws://127.0.0.1:{port}{path}"

        yield entry


def test_a_307_is_followed_at_once_now_and_after_a_drop() -> None:
    seen = lockstep(Fault(BREAKS, FaultKind.DROP_MARKET), through=redirecting)
    assert seen.of(FeedUp)[0].at == STARTS or seen.of(FeedUp)[0].at - STARTS < SECOND
    assert seen.back() <= 5
    assert [down.reason for down in seen.of(FeedDown)] == ["close"]


class Deaf:
    """A wire between the bot and the twin that dies without a word: nothing is read, nothing is closed."""

    def __init__(self) -> None:
        self.ends: list[asyncio.StreamWriter] = []
        self.tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def __call__(self, authorize: Authorizer, clock: Clock) -> AsyncIterator[Authorizer]:
        target: list[tuple[str, int]] = []

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mortal: bool) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(1 << 16):
                    if mortal and clock.now() >= BREAKS:
                        await asyncio.sleep(3600)  # it holds on to both ends and does nothing any more
                    writer.write(data)

        async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            mortal = clock.now() < BREAKS
            far_reader, far_writer = await asyncio.open_connection(*target[-1])
            self.ends += [writer, far_writer]
            both = (carry(reader, far_writer, mortal), carry(far_reader, writer, mortal))
            self.tasks.update(asyncio.ensure_future(each) for each in both)

        server = await asyncio.start_server(join, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def through() -> str:
            parts = urlsplit(await authorize())
            target.append((parts.hostname or "", parts.port or 0))
            return parts._replace(netloc=f"127.0.0.1:{port}").geturl()

        try:
            yield through
        finally:
            server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.wait(self.tasks)
            for end in self.ends:
                end.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()
            await server.wait_closed()


async def test_a_half_open_socket_is_found_in_9_seconds_and_over_in_15() -> None:
    """On a wall clock ten times as fast: a dead wire can't be counted, so time can't stand still for it."""
    clock = WallClock(starts_at=BREAKS - 3 * SECOND, speed=10.0)
    seen = await watched(clock, [], Deaf(), ends=BREAKS + 18 * SECOND)
    assert seen.first(State.SUSPECT) <= 6  # 5 and the pace of a busy machine
    assert [down.reason for down in seen.of(FeedDown)] == ["stall"]
    assert seen.first(State.RESTING, State.AUTHORIZING) <= 11
    assert seen.back() <= 15
