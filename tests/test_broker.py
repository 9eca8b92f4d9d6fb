"""The broker port on Upstox over real sockets: one answer a command, honest snapshots, the order stream."""

import asyncio
import contextlib
import json
import threading
import time
from typing import NamedTuple

import httpx
import pytest
from starlette.responses import Response
from websockets.asyncio.server import serve

from bot.core.commands import CancelOrder, Decision, ModifyOrder, PlaceOrder, Reason
from bot.core.events import (
    Act,
    BrokerSnapshot,
    OrderReport,
    OrderStreamDown,
    OrderStreamUp,
    OrderType,
    Outcome,
    PositionRow,
    SendOutcome,
    Side,
    SnapshotFailed,
)
from bot.core.units import MILLISECOND
from bot.run.live import WallClock
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.upstox.auth import Token
from bot.upstox.broker import UpstoxBroker
from bot.upstox.reconnect import Limits
from bot.upstox.rest import Hosts, UpstoxRest
from tests.loopback import CountingClock, answer, error, hang, serving, success, unused_port

TRUST = httpx.create_ssl_context()
IMPATIENT = 0.5  # seconds for a call that will hang; enough for one that will not, on a busy machine
KEY = "NSE_FO|45450"
SEEN = Decision(1, 12345, 0.0, 0.0, 0.0, 0.7)
PLACE = PlaceOrder("d1r1n1", KEY, Side.SELL, OrderType.LIMIT, 75, 76355, 0, "D", Reason.SIGNAL_EXIT, SEEN)
MODIFY = ModifyOrder("d1r1n2", "2610041", OrderType.LIMIT, 75, 70000, 0, Reason.SIGNAL_EXIT)
CANCEL = CancelOrder("d1r1n3", "2610041", "timeout")
BOOK, POSITIONS = "/v2/order/retrieve-all", "/v2/portfolio/short-term-positions"
TRADES, AUTHORIZE = "/v2/order/trades/get-trades-for-day", "/v2/feed/portfolio-stream-feed/authorize"
ROW = {"order_id": "1", "status": "open", "transaction_type": "BUY", "instrument_token": KEY, "tag": None}
HELD = {"instrument_token": KEY, "product": "D", "quantity": 75}
QUICK = Limits(rest_first=20 * MILLISECOND, rest_last=20 * MILLISECOND)


class World(NamedTuple):
    broker: UpstoxBroker
    events: list
    rest: UpstoxRest


@contextlib.asynccontextmanager
async def world(base, clock=None, *, total_seconds=2.0):
    clock = clock or CountingClock()
    events = []
    rest = UpstoxRest(
        clock,
        Token("a-token-of-the-day"),
        Hosts(base, base),
        trust=TRUST,
        total_seconds=total_seconds,
        connect_seconds=total_seconds * 0.9,
    )
    yield World(UpstoxBroker(clock, events.append, rest, jitter=lambda: 0.0, limits=QUICK), events, rest)
    await rest.aclose()


async def until(condition, seconds=3.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


# ---- commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("say", "outcome", "code"),
    [
        (success({"order_ids": ["2610041"], "order_id": "2610041"}), Outcome.ACCEPTED, ""),
        (error(400, "UDAPI100041", "order is final"), Outcome.REFUSED, "UDAPI100041"),
        (error(403, "UDAPI1154"), Outcome.REFUSED, "UDAPI1154"),
        (error(400, "UDAPI7777"), Outcome.UNKNOWN, "UDAPI7777"),
        (answer(502), Outcome.UNKNOWN, "HTTP_502"),
        (hang(), Outcome.UNKNOWN, "TIMEOUT"),
    ],
)
async def test_every_command_gets_exactly_one_outcome_with_its_tag(say, outcome, code):
    async with serving() as server, world(server.base, total_seconds=IMPATIENT) as (broker, events, _):
        for path in ("/v3/order/place", "/v3/order/modify", "/v3/order/cancel"):
            server.on(path, say)
        await asyncio.gather(*(broker.send(command) for command in (PLACE, MODIFY, CANCEL)))
        assert {type(event) for event in events} == {SendOutcome}
        assert {(event.outcome, event.code) for event in events} == {(outcome, code)}
        named = "2610041" if outcome is Outcome.ACCEPTED else ""
        assert sorted((event.tag, event.act, event.order_id) for event in events) == [
            (PLACE.tag, Act.PLACE, named),
            (MODIFY.tag, Act.MODIFY, "2610041"),
            (CANCEL.tag, Act.CANCEL, "2610041"),
        ]
        assert len(server.sent) == 3


async def test_a_broker_that_is_not_there_is_a_definite_no_and_no_exception():
    async with world(f"http://127.0.0.1:{unused_port()}") as (broker, events, _):
        await broker.send(PLACE)
        await broker.ask_snapshot()
        assert await broker.trades() is None
        assert [(event.outcome, event.code) for event in events[:1]] == [(Outcome.REFUSED, "NOT_SENT")]
        assert events[1:] == [SnapshotFailed(events[1].at, events[1].mono, "network CONNECT")]


async def test_an_order_split_in_two_is_accepted_with_its_first_id_and_both_named():
    async with serving() as server, world(server.base) as (broker, events, _):
        server.on("/v3/order/place", success({"order_ids": ["11", "12"]}))
        await broker.send(PLACE)
        assert (events[0].outcome, events[0].order_id, events[0].message) == (
            Outcome.ACCEPTED,
            "11",
            "orders 11, 12",
        )


async def test_a_command_that_must_not_be_sent_is_our_bug_and_crashes():
    async with serving() as server, world(server.base) as (broker, events, _):
        for bug in (PLACE._replace(quantity=0), MODIFY._replace(order_id=""), CANCEL._replace(order_id="")):
            with pytest.raises(AssertionError):
                await broker.send(bug)
        assert server.sent == events == []


# ---- snapshots -------------------------------------------------------------------------------------------


async def test_a_snapshot_holds_book_and_positions_asked_before_the_first_was_read():
    async with serving() as server, world(server.base, WallClock()) as (broker, events, _):
        read_at = []

        async def book(sent):
            read_at.append(time.monotonic_ns())
            return await success([ROW, {**ROW, "order_id": "2", "tag": "d1r1n1"}])(sent)

        server.on(BOOK, book)
        server.on(POSITIONS, success([HELD]))
        before = time.monotonic_ns()
        await broker.ask_snapshot()
        (snapshot,) = events
        assert isinstance(snapshot, BrokerSnapshot)
        assert before <= snapshot.asked_mono <= read_at[0] <= snapshot.mono
        assert [(order.order_id, order.tag) for order in snapshot.orders] == [("1", ""), ("2", "d1r1n1")]
        assert snapshot.positions == (PositionRow(KEY, "D", 75),)
        assert [sent.path for sent in server.sent] == [BOOK, POSITIONS]


@pytest.mark.parametrize(
    ("book", "positions", "reason"),
    [
        (success([]), error(401, "UDAPI100050"), "auth UDAPI100050"),
        (error(429, "UDAPI10005"), success([]), "rate UDAPI10005"),
        (success(None), success([]), "garbled not a JSON list"),
        (success([ROW, {"status": "open"}]), success([]), "garbled order_id is missing"),
        (success([]), success([{"instrument_token": KEY}]), "garbled quantity is missing"),
        (success([]), answer(200), "garbled HTTP_200"),
        (success([]), answer(503), "server HTTP_503"),
        (success([]), hang(), "timeout TIMEOUT"),
    ],
)
async def test_a_snapshot_of_which_any_part_failed_is_a_failure_never_a_flat_account(book, positions, reason):
    async with serving() as server, world(server.base, total_seconds=IMPATIENT) as (broker, events, _):
        server.on(BOOK, book)
        server.on(POSITIONS, positions)
        await broker.ask_snapshot()
        (event,) = events
        assert isinstance(event, SnapshotFailed)
        assert event.reason == reason


async def test_asks_during_a_reading_share_the_next_one():
    """Four asks, two readings; the second began after the late asks, so it can know what they ask about."""
    clock = CountingClock()
    async with serving() as server, world(server.base, clock) as (broker, events, _):
        go = threading.Event()

        async def slow_once(sent):
            while not go.is_set():
                await asyncio.sleep(0.005)
            return await success([])(sent)

        server.on(BOOK, slow_once, success([]))
        server.on(POSITIONS, success([]))
        first = asyncio.create_task(broker.ask_snapshot())
        await until(lambda: server.sent)
        late = [asyncio.create_task(broker.ask_snapshot()) for _ in range(3)]
        await asyncio.sleep(0.05)
        asked_late = clock.monotonic()
        go.set()
        await asyncio.gather(first, *late)
        assert [sent.path for sent in server.sent] == [BOOK, POSITIONS] * 2
        one, two = events
        assert one.asked_mono < asked_late <= two.asked_mono
        await broker.ask_snapshot()
        assert len(events) == 3


async def test_trades_are_the_days_list_or_nothing():
    trade = {
        "order_id": "1",
        "trade_id": "2",
        "transaction_type": "SELL",
        "quantity": 75,
        "average_price": 100.05,
    }
    async with serving() as server, world(server.base) as (broker, _, _rest):
        server.on(TRADES, success([trade]), answer(400))
        assert [(row.trade_id, row.price) for row in await broker.trades()] == [("2", 10005)]
        assert await broker.trades() is None


# ---- the order stream ------------------------------------------------------------------------------------


async def test_the_order_stream_from_authorize_over_a_loss_to_the_next_address():
    """Orders arrive in order, the rest is counted, garbage is dropped, a lost line is said and mended."""
    update = {**ROW, "update_type": "order", "tag": "d1r1n1"}
    codes = []

    async def portfolio(socket):
        codes.append(socket.request.path)
        if len(codes) == 1:
            for kind in ("position", "holding", "gtt_order", "brand_new"):
                await socket.send(json.dumps({"update_type": kind, "order_id": "9"}))
            for garbage in ("", "{", "[]", '"x"', '{"update_type":"order"}', b"\xff\x00", "null"):
                await socket.send(garbage)
            for status in ("put order req received", "open", "complete", "open"):
                await socket.send(json.dumps({**update, "status": status}))
            await socket.send(json.dumps({**update, "tag": None, "order_id": "2"}).encode())
            await socket.close()
        else:
            await socket.wait_closed()

    async with serve(portfolio, "127.0.0.1", 0) as streams, serving() as server:
        port = streams.sockets[0].getsockname()[1]
        issued = []

        async def authorize(sent):
            issued.append(f"/?code=once-{len(issued)}")
            return await success({"authorized_redirect_uri": f"ws://127.0.0.1:{port}{issued[-1]}"})(sent)

        server.on(AUTHORIZE, authorize)
        async with world(server.base, WallClock()) as (broker, events, _):
            running = asyncio.create_task(broker.run())
            await until(lambda: len(codes) == 2 and isinstance(events[-1], OrderStreamUp))
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    kinds = [type(event) for event in events]
    assert kinds == [OrderStreamUp, *[OrderReport] * 5, OrderStreamDown, OrderStreamUp]
    assert [event.status for event in events[1:5]] == ["put order req received", "open", "complete", "open"]
    assert [event.tag for event in events[1:6]] == ["d1r1n1"] * 4 + [""]
    assert events[6].reason == "close"
    assert broker.updates == {
        "order": 5,
        "position": 1,
        "holding": 1,
        "gtt_order": 1,
        "other": 1,
        "garbled": 7,
    }
    assert codes == issued == ["/?code=once-0", "/?code=once-1"]


async def test_a_refused_token_on_the_stream_says_auth_and_is_no_crash():
    async with serving() as server, world(server.base, WallClock()) as (broker, events, _):
        server.on(AUTHORIZE, error(401, "UDAPI100050"))
        running = asyncio.create_task(broker.run())
        await until(lambda: events)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [type(event) for event in events] == [OrderStreamDown]
        assert events[0].reason == "auth"


# ---- the lockstep clock ----------------------------------------------------------------------------------


def test_on_the_lockstep_clock_a_call_takes_no_time_and_waiting_costs_none():
    """A server slower than the total timeout in real time: virtual time stands, so nothing times out."""
    loop = LockstepLoop()
    clock = LockstepClock(loop, 10**18)

    async def day():
        async with serving() as server, world(server.base, clock, total_seconds=0.3) as (broker, events, _):

            async def slow(_sent):
                await asyncio.sleep(0.4)
                return Response('{"status":"success","data":{"order_ids":["1"]}}')

            server.on("/v3/order/place", slow, success({"order_ids": ["1"]}))
            await broker.send(PLACE)
            assert (events[0].outcome, events[0].at) == (Outcome.ACCEPTED, 10**18)
            for _ in range(44):
                await broker.send(PLACE)
            # 45 orders: 5 at once, then 5 a second of virtual time.
            assert clock.now() - 10**18 == 8 * 10**9
            assert len(server.sent) == len(events) == 45

    started = time.monotonic()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(day())
    assert time.monotonic() - started < 4
