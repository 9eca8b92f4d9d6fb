"""The twin in lockstep with its client, and recordings through the twin: exact, repeatable, never stuck."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from google.protobuf.json_format import ParseDict
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from bot.core.events import Tick
from bot.core.units import MILLISECOND, SECOND
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.sim.market import MarketMove, SyntheticMarket
from bot.storage.ticks import read_feeds
from bot.twin import market_source
from bot.twin.faults import Fault, FaultKind
from bot.twin.market_source import MarketEvent, from_ticks, synthetic
from bot.twin.server import TOKEN, Twin
from bot.upstox import market_feed_pb2 as pb
from bot.upstox.wire_market import MarketDecoder
from tests.conftest import KEY, at
from tests.twin_client import CONTRACT, LOT, OPENS, TICK, order, steady

STARTS, CLOSES = at("09:14:30"), at("09:45")


def market(seed: int = 3, closes_at: int = CLOSES) -> SyntheticMarket:
    return SyntheticMarket(KEY, tick=TICK, lot=LOT, seed=seed, opens_at=OPENS, closes_at=closes_at)


class Lockstep:
    """A twin, and a client that keeps the clock's rules: counts what it sends, deals with all it gets."""

    def __init__(self, clock: LockstepClock, events, **more) -> None:
        self.clock = clock
        more = {"opens_at": OPENS, "closes_at": CLOSES, "seed": 3} | more
        self.twin = Twin(clock, more.pop("contracts", {KEY: CONTRACT}), events, **more)
        self.http = httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)

    async def call(self, method: str, path: str, **more) -> httpx.Response:
        self.clock.departed()
        try:
            return await self.http.request(method, f"{self.twin.addresses.rest}{path}", **more)
        finally:
            self.clock.arrived()

    async def open(self, path: str, first: bytes | None = None):
        answer = await self.call("GET", f"{path}/authorize")
        socket = await connect(answer.json()["data"]["authorized_redirect_uri"], compression=None)
        if first is not None:
            await socket.send(first)
        return socket

    async def market(self, *keys: str):
        body = {
            "guid": "g",
            "method": "sub",
            "data": {"mode": "full", "instrumentKeys": list(keys or (KEY,))},
        }
        return await self.open("/v3/feed/market-data-feed", orjson.dumps(body))

    async def listen(self, socket, hear: Callable[[Any], None]) -> None:
        async for message in socket:
            hear(message)
            self.clock.arrived()


def day(
    script: Callable[[Lockstep], Coroutine[Any, Any, None]], events, *, starts: int = STARTS, **more
) -> int:
    """Run `script` beside a twin in virtual time; how many messages were still under way at the end."""
    loop = LockstepLoop()
    clock = LockstepClock(loop, starts)

    async def run() -> int:
        world = Lockstep(clock, events, **more)
        await world.twin.start()
        playing = asyncio.create_task(world.twin.run())
        acting = asyncio.create_task(script(world))
        try:
            await playing
            under_way = loop.lockstep.under_way
        finally:
            acting.cancel()
            await asyncio.wait({acting})
            await world.http.aclose()
            await world.twin.stop()
        if not acting.cancelled():
            acting.result()
        return under_way

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def test_every_move_is_one_tick_of_the_bots_decoder_and_nothing_is_lost():
    """Partial frames included: price, quantity and touch come out as they went in, each at its instant."""
    heard: list[Tick] = []

    async def script(world: Lockstep) -> None:
        decoder = MarketDecoder([KEY])
        await world.listen(
            await world.market(),
            lambda data: heard.extend(
                event for event in decoder.decode(data, world.clock.now(), 0) if isinstance(event, Tick)
            ),
        )

    assert day(script, synthetic(market())) == 0
    session = [move for move in market() if move.at >= STARTS and move.bid]
    assert len(session) > 1500
    went_in = [(m.at, m.ltp, m.ltq, m.bid, m.ask, m.bid_quantity, m.ask_quantity) for m in session]
    came_out = [(t.at, t.ltp, t.ltq, t.bid, t.ask, t.bid_quantity, t.ask_quantity) for t in heard if t.bid]
    # A stale move may repeat the last one in every field: the decoder rightly takes that for a duplicate.
    assert without_repeats(came_out) == without_repeats(went_in)
    assert len(went_in) - len(came_out) < len(went_in) / 50
    assert all(t.exchange_at == t.at // MILLISECOND * MILLISECOND for t in heard)


def without_repeats(rows: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [row for before, row in pairwise([(0,), *rows]) if before[1:] != row[1:]]


def test_segments_change_state_at_their_hour():
    told: list[tuple[int, str]] = []

    async def script(world: Lockstep) -> None:
        def hear(data: bytes) -> None:
            response = pb.FeedResponse.FromString(data)
            if response.type == pb.market_info:
                status = response.marketInfo.segmentStatus["NSE_FO"]
                told.append((world.clock.now(), pb.MarketStatus.Name(status)))

        await world.clock.sleep_until(at("08:59"))
        await world.listen(await world.market(), hear)

    assert day(script, iter(()), starts=at("08:58")) == 0
    assert [status for _, status in told] == [
        *("NORMAL_CLOSE", "PRE_OPEN_START", "PRE_OPEN_END", "NORMAL_OPEN", "NORMAL_CLOSE"),
    ]
    assert [when for when, _ in told[1:]] == [at("09:00"), at("09:08"), OPENS, CLOSES]


def test_the_same_seed_gives_the_same_bytes_on_both_streams():
    def run(seed: int) -> str:
        told = hashlib.sha256()

        async def trade(world: Lockstep) -> None:
            while True:
                await world.clock.sleep_until(world.clock.now() + 100 * SECOND)
                answer = await world.call("POST", "/v3/order/place", json=order(price=900.0))
                told.update(answer.content)

        async def script(world: Lockstep) -> None:
            orders = await world.open("/v2/feed/portfolio-stream-feed")
            feed = await world.market()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(world.listen(feed, told.update))
                tasks.create_task(world.listen(orders, lambda text: told.update(text.encode())))
                tasks.create_task(trade(world))

        soon = at("09:25")
        assert day(script, synthetic(market(seed, soon)), seed=seed, closes_at=soon) == 0
        return told.hexdigest()

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_a_client_that_leaves_without_a_word_stops_no_clock():
    """It goes in the middle of a burst, with frames under way to it."""

    async def script(world: Lockstep) -> None:
        for _ in range(3):
            socket = await world.market()
            for _ in range(5):
                await socket.recv()
                world.clock.arrived()
            await socket.recv()  # …and this one is never dealt with
            socket.transport.abort()
            await world.clock.sleep_until(world.clock.now() + SECOND)

    assert day(script, steady()) == 0


def test_a_drop_counts_once_for_each_connection():
    drops = 0

    async def script(world: Lockstep) -> None:
        nonlocal drops
        while True:
            socket = await world.market()
            try:
                await world.listen(socket, lambda _: None)
            except ConnectionClosedError:
                drops += 1
                world.clock.arrived()

    # The first is past when the day begins: it is skipped.
    script_of_faults = [Fault(at(f"09:{minute}:07"), FaultKind.DROP_MARKET) for minute in (14, 16, 20, 31)]
    assert day(script, synthetic(market()), faults=script_of_faults) == 0
    assert drops == 3


@pytest.mark.parametrize("kind", [FaultKind.SLOW_REPLY, FaultKind.LATE_ACCEPTANCE, FaultKind.LOSE_REPLY])
def test_an_order_call_that_fails_for_the_client_leaves_the_clock_in_balance(kind):
    """The client gives up after 5 s; the answer it never hears is due after 60."""
    failures = []
    rows = []

    async def script(world: Lockstep) -> None:
        await world.clock.sleep_until(at("09:15:10"))
        await world.twin.inject(Fault(0, kind, seconds=60))
        began = world.clock.now()
        try:
            await world.call("POST", "/v3/order/place", json=order())
        except httpx.TransportError as failure:
            failures.append((type(failure), (world.clock.now() - began) // SECOND))
        await world.clock.sleep_until(began + 10 * SECOND)
        assert world.clock._lockstep.under_way == 0  # neither before the late end nor only after it
        rows.append(len(world.twin.exchange.orders()))
        await world.clock.sleep_until(began + 70 * SECOND)
        rows.append(len(world.twin.exchange.orders()))

    assert day(script, steady()) == 0
    lost = kind is FaultKind.LOSE_REPLY
    assert failures == [(httpx.RemoteProtocolError, 0) if lost else (httpx.ReadTimeout, 5)]
    assert rows == ([0, 1] if kind is FaultKind.LATE_ACCEPTANCE else [1, 1])


def test_prices_alone_get_an_assumed_spread_around_them():
    ticks = [Tick(OPENS + i * SECOND, 0, KEY, 300_00 + i * 5, LOT, 0, 0, 0, 0, 0, 0) for i in range(3)]
    moves = [event.what for event in from_ticks(ticks, {KEY: CONTRACT})]
    assert all(isinstance(move, MarketMove) for move in moves)
    assert [(m.bid, m.ask) for m in moves] == [(299_60, 300_40), (299_65, 300_45), (299_70, 300_50)]
    assert [m.volume for m in moves] == [LOT, 2 * LOT, 3 * LOT]


# ---- recordings --------------------------------------------------------------------------------------


def played(events: list[MarketEvent], keys: list[str], *, joins: int | None = None) -> list[pb.FeedResponse]:
    """The frames a client hears of a recording. It comes two seconds before it begins, or at `joins`."""
    heard: list[pb.FeedResponse] = []
    begins = events[0].at - 2 * SECOND

    async def script(world: Lockstep) -> None:
        await world.clock.sleep_until(joins or begins)
        socket = await world.market(*keys)
        await world.listen(socket, lambda data: heard.append(pb.FeedResponse.FromString(data)))

    span = {"opens_at": begins, "closes_at": events[-1].at + SECOND}
    assert day(script, iter(events), starts=begins, contracts={}, **span) == 0
    return [response for response in heard if response.type != pb.market_info]


def as_sent(feed: dict[str, Any]) -> pb.Feed:
    """The independent witness: protobuf's own reading of the JSON."""
    return ParseDict(feed, pb.Feed())


def test_a_recorded_day_is_sent_field_for_field(recorded: Path):
    path = recorded / "upstox_v3" / "NSE_FO_51414_2025-12-15.json.gz"
    rows = list(islice(read_feeds(path), 1500))
    heard = played(list(market_source.recorded(rows)), ["NSE_FO|51414"])
    assert heard[0].type == pb.initial_feed  # the first feed is all that is known
    assert [response.feeds["NSE_FO|51414"] for response in heard] == [as_sent(row.feed) for row in rows]


@pytest.mark.parametrize(
    "name",
    ["v3_sequence_full_d5_ICICIBANK_2025-03-19.jsonl", "v3_full_d5_index_eq_fo_2025-11-27.json",
     "v3_ltpc_41_equities_2025-10-08.json"],
)  # fmt: skip
def test_wire_fixtures_are_sent_field_for_field(recorded: Path, name: str):
    text = (recorded / "wire" / name).read_text()
    frames = [json.loads(line) for line in text.splitlines()] if name.endswith("l") else [json.loads(text)]
    start = int(frames[0].get("currentTs", 1_760_000_000_000)) * MILLISECOND
    events, keys = [], []
    for number, each in enumerate(frames):
        for key, feed in each["feeds"].items():
            events.append(MarketEvent(start + number * SECOND, key, feed))
            keys.append(key)
    heard = played(events, list(dict.fromkeys(keys)))
    assert [(set(r.feeds), *r.feeds.values()) for r in heard] == [
        ({event.instrument}, as_sent(event.what)) for event in events
    ]


def test_a_partial_recorded_feed_adds_to_the_snapshot(recorded: Path):
    """A late subscriber gets the last depth and the last trade, though no single frame held both."""
    path = recorded / "wire" / "v3_sequence_full_d5_ICICIBANK_2025-03-19.jsonl"
    frames = [json.loads(line) for line in path.read_text().splitlines()]
    ((key, first),) = frames[0]["feeds"].items()
    partial = next(f for f in frames if "marketLevel" not in f["feeds"][key]["fullFeed"]["marketFF"])
    start = int(frames[0]["currentTs"]) * MILLISECOND
    events = [
        MarketEvent(start, key, first),
        MarketEvent(start + SECOND, key, partial["feeds"][key]),
        MarketEvent(start + 20 * SECOND, key, first),
    ]
    heard = played(events, [key], joins=start + 10 * SECOND)
    assert heard[0].type == pb.initial_feed
    snapshot = heard[0].feeds[key].fullFeed.marketFF
    known, added = as_sent(first).fullFeed.marketFF, as_sent(partial["feeds"][key]).fullFeed.marketFF
    assert snapshot.marketLevel == known.marketLevel
    assert snapshot.ltpc == added.ltpc
    assert snapshot.marketOHLC == added.marketOHLC
