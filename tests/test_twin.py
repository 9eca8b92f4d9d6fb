"""The twin answers a stranger as Upstox does: real sockets, plain clients, a clock that runs fast."""

import asyncio
import socket
from datetime import time, timedelta
from random import Random

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from bot.core.charges import card_on
from bot.core.events import Act
from bot.core.units import MILLISECOND, SECOND, ist, ist_nanos, paise
from bot.sim.orders import OrderRequest
from bot.twin import rest_orders
from bot.twin.access import Access
from bot.twin.answers import Refused
from bot.twin.faults import Fault, FaultKind
from bot.twin.hours import next_expiry
from bot.twin.server import Twin
from bot.upstox import market_feed_pb2 as pb
from tests.conftest import DAY, KEY, at
from tests.twin_client import (
    CONTRACT,
    LOT,
    OPENS,
    ask,
    frame,
    order,
    playing,
    steady,
    update,
    updates_until,
)

NOW = 0  # a fault's `at` where it is injected by hand


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """(HTTP status, code), after checking the error envelope."""
    body = answer.json()
    assert body["status"] == "error"
    assert "data" not in body
    (error,) = body["errors"]
    assert error["message"]
    for camel, snake in (
        ("errorCode", "error_code"),
        ("propertyPath", "property_path"),
        ("invalidValue", "invalid_value"),
    ):
        assert error[camel] == error[snake]
    return answer.status_code, error["error_code"]


async def frames_until_silence(socket: ClientConnection, patience: float = 0.2) -> None:
    """Read until nothing comes any more (TimeoutError) or the connection ends."""
    while True:
        async with asyncio.timeout(patience):
            await socket.recv()


# ---- the door ----------------------------------------------------------------------------------------


async def test_only_the_token_opens_and_every_envelope_is_documented():
    async with playing() as stranger:
        http = stranger.http
        for bad in ("", "Bearer wrong", "Basic twin-token"):
            answer = await http.get("/v2/user/profile", headers={"Authorization": bad})
            assert error_of(answer) == (401, "UDAPI100050")
        assert (await stranger.get("/v2/user/profile"))["broker"] == "UPSTOX"
        assert error_of(await http.get("/v2/no/such/route")) == (404, "UDAPI100060")
        assert (await http.post("/v2/user/profile")).status_code == 405
        date = (await http.get("/v2/user/profile")).headers["date"]
        assert date.startswith("Wed, 16 Sep 2026 03:4")  # the twin's time, in UTC


async def test_services_are_shut_until_half_past_five():
    async with playing(iter(()), starts="03:00", speed=10) as stranger:
        assert error_of(await stranger.http.get("/v3/user/get-funds-and-margin")) == (423, "UDAPI100072")
        assert error_of(await stranger.place()) == (423, "UDAPI100074")


async def test_the_token_dies_at_half_past_three():
    async with playing(iter(()), starts="03:29:59") as stranger:
        await stranger.clock.sleep_until(at("03:30"))
        assert error_of(await stranger.http.get("/v2/user/profile")) == (401, "UDAPI100050")


@pytest.mark.parametrize(
    ("issued", "dies"), [("03:29", "03:30"), ("02:30", "03:30"), ("03:30", None), ("23:59", None)]
)
def test_a_token_lives_until_the_next_half_past_three(issued, dies):
    tomorrow = ist_nanos(DAY + timedelta(days=1), time(3, 30))
    assert next_expiry(at(issued)) == (at(dies) if dies else tomorrow)


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 3)), max_size=60))
def test_no_window_ever_holds_more_calls_than_its_limit(calls):
    """Whatever is asked: at most 10 order calls in any second, and none is refused that would have fitted."""
    access, taken, now = Access("t", OPENS, Random(1)), [], OPENS
    for wait, many in calls:
        now += wait * MILLISECOND // 10
        recent = [when for when in taken if when > now - SECOND]
        if len(recent) + many <= 10:
            access.count("", now, order=True, calls=many)
            taken += [now] * many
        else:
            with pytest.raises(Refused, match="429 UDAPI10005"):
                access.count("", now, order=True, calls=many)


WORDS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([])


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(order(), WORDS)))
def test_whatever_an_order_says_it_is_read_or_refused(body):
    """Nothing a client can write gets a traceback out of the reader of orders."""

    def read() -> OrderRequest | Refused:
        try:
            return rest_orders._request(body)
        except Refused as no:
            return no

    match read():
        case Refused() as no:
            assert no.status == 400
        case request:
            assert isinstance(request.quantity, int)
            assert request.price >= 0


async def test_logging_out_kills_the_token():
    async with playing() as stranger:
        assert (await stranger.http.delete("/v2/logout")).json()["data"] is True
        assert error_of(await stranger.http.get("/v2/user/profile")) == (401, "UDAPI100050")


async def test_the_eleventh_order_call_in_a_second_is_refused_and_reads_are_not():
    async with playing(speed=2) as stranger:
        answers = await asyncio.gather(*(stranger.place(price=290.0) for _ in range(12)))
        codes = [answer.status_code for answer in answers]
        assert codes.count(200) == 10
        assert {error_of(answer) for answer in answers if answer.status_code != 200} == {(429, "UDAPI10005")}
        assert len(await stranger.get("/v2/order/retrieve-all")) == 10
        await stranger.pause(1.0)
        assert (await stranger.place(price=290.0)).status_code == 200


async def test_a_taken_port_is_said_by_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with playing() as stranger:
            for ports in ({"rest_port": port}, {"stream_port": port}):
                twin = Twin(
                    stranger.clock, {KEY: CONTRACT}, (), opens_at=OPENS, closes_at=at("15:40"), **ports
                )
                with pytest.raises(OSError, match="in use"):
                    await twin.start()


# ---- the market socket -------------------------------------------------------------------------------


async def test_an_address_opens_once():
    async with playing() as stranger:
        uri = await stranger.address()
        async with connect(uri):
            pass
        for bad in (uri, uri.replace("code=", "code=0"), uri.partition("?")[0]):
            with pytest.raises(InvalidStatus) as refused:
                await connect(bad)
            assert refused.value.response.status_code == 403
        other = await stranger.address("v2/feed/portfolio-stream-feed")
        market_path = uri.partition("?")[0].removeprefix(stranger.twin.addresses.streams)
        other_path = other.partition("?")[0].removeprefix(stranger.twin.addresses.streams)
        with pytest.raises(InvalidStatus):  # an address is of one stream
            await connect(other.replace(other_path, market_path))


async def test_entry_addresses_redirect_to_a_single_use_one_at_both_ports():
    async with playing() as stranger:
        addresses, bearer = stranger.twin.addresses, {"Authorization": "Bearer twin-token"}
        answer = await stranger.http.get("/v3/feed/market-data-feed")
        assert answer.status_code == 307
        assert answer.headers["location"].startswith(addresses.streams)
        for base in (addresses.streams, addresses.rest.replace("http:", "ws:")):
            entry = f"{base}/v3/feed/market-data-feed"
            async with connect(entry, additional_headers=bearer) as socket:  # follows by itself
                assert (await frame(socket)).type == pb.market_info
            with pytest.raises(InvalidStatus) as refused:
                await connect(entry)
            assert refused.value.response.status_code == 401


async def test_market_info_comes_first_then_the_snapshot_then_what_changes():
    async with playing() as stranger, stranger.market(KEY) as socket:
        first, second, third = [await frame(socket) for _ in range(3)]
        assert first.type == pb.market_info
        assert first.marketInfo.segmentStatus["NSE_FO"] == pb.NORMAL_OPEN
        assert len(first.marketInfo.segmentStatus) == 11
        assert second.type == pb.initial_feed
        full = second.feeds[KEY].fullFeed.marketFF
        assert second.feeds[KEY].requestMode == pb.full_d5
        assert (full.ltpc.cp, len(full.marketLevel.bidAskQuote)) == (290.0, 5)
        best, next_best = full.marketLevel.bidAskQuote[:2]
        assert (best.bidP, best.askP) == (299.80, 300.00)
        assert (next_best.bidP, next_best.askP) == (299.75, 300.05)
        assert [candle.interval for candle in full.marketOHLC.ohlc] == ["1d"]
        assert full.vtt > 0
        assert third.type == pb.live_feed
        assert abs(third.currentTs * 1_000_000 - stranger.clock.now()) < 5_000_000_000


async def test_some_frames_are_partial_and_merging_them_gives_the_market():
    """Depth alone and trades without depth occur; no frame says a price of nothing."""
    async with playing(steady(every=0.05), speed=30) as stranger, stranger.market(KEY) as socket:
        await frame(socket), await frame(socket)
        shapes = set()
        for _ in range(250):
            full = (await frame(socket)).feeds[KEY].fullFeed.marketFF
            shapes.add((full.HasField("ltpc"), full.HasField("marketLevel")))
            assert not full.HasField("ltpc") or full.ltpc.ltp > 0
        assert {(True, True), (False, True), (True, False)} <= shapes


async def test_modes_say_what_they_should():
    async with playing() as stranger:
        async with stranger.market(KEY, mode="ltpc") as socket:
            await frame(socket)
            for _ in range(3):
                feed = (await frame(socket)).feeds[KEY]
                assert (feed.WhichOneof("FeedUnion"), feed.requestMode) == ("ltpc", pb.ltpc)
        async with stranger.market(KEY, mode="option_greeks") as socket:
            await frame(socket)
            feed = (await frame(socket)).feeds[KEY]
            assert feed.requestMode == pb.option_greeks
            assert feed.firstLevelWithGreeks.firstDepth.askP == 300.00
            assert feed.firstLevelWithGreeks.optionGreeks.delta == 0.5


async def test_requests_must_be_binary_and_a_repeated_sub_is_ignored():
    async with playing() as stranger, stranger.market() as socket:
        await frame(socket)
        body = {"guid": "g", "method": "sub", "data": {"mode": "full", "instrumentKeys": [KEY]}}
        await socket.send(orjson.dumps(body).decode())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await socket.recv()
        await ask(socket, "sub", KEY)
        assert (await frame(socket)).type == pb.initial_feed
        await ask(socket, "sub", KEY)  # nothing new
        assert {(await frame(socket)).type for _ in range(6)} == {pb.live_feed}
        await ask(socket, "unsub", KEY, mode=None)
        await ask(socket, "sub", KEY)  # …but so it is (upstox §3.2)
        assert pb.initial_feed in {(await frame(socket)).type for _ in range(6)}
        await ask(socket, "change_mode", KEY, mode="ltpc")
        feeds = [(await frame(socket)).feeds[KEY] for _ in range(6)]
        assert feeds[-1].WhichOneof("FeedUnion") == "ltpc"
        await socket.send(b"no request")
        async with asyncio.timeout(5):
            while not isinstance(said := await socket.recv(), str):
                pass
        assert orjson.loads(said)["status"] == "failed"


async def test_a_late_start_knows_the_day_so_far_and_tells_none_of_it():
    async with playing(starts="09:15:30") as stranger, stranger.market(KEY) as socket:
        await frame(socket)
        snapshot = await frame(socket)
        assert snapshot.type == pb.initial_feed
        assert snapshot.feeds[KEY].fullFeed.marketFF.vtt >= 119 * LOT
        live = await frame(socket)
        assert live.currentTs * 1_000_000 >= at("09:15:30")


# ---- orders ------------------------------------------------------------------------------------------


async def test_an_order_lives_on_the_stream_in_the_book_in_trades_and_positions():
    async with playing() as stranger, stranger.portfolio("order,position") as socket:
        order_id = await stranger.placed(tag="my-tag")
        heard = await updates_until(socket, "complete")
        words = [word["status"] for word in heard]
        assert words == ["put order req received", "validation pending", "open pending", "complete"]
        first, last = heard[0], heard[-1]
        assert first["update_type"] == "order"
        assert first["exchange_order_id"] == ""
        assert first["exchange_timestamp"] is None
        assert (last["order_id"], last["tag"], last["exchange"]) == (order_id, "my-tag", "NFO")
        assert (last["filled_quantity"], last["pending_quantity"], last["average_price"]) == (LOT, 0, 300.0)
        assert last["exchange_order_id"]
        assert last["user_id"] == last["userId"]
        assert last["instrument_key"] == last["instrument_token"] == KEY
        assert last["tradingsymbol"] == last["trading_symbol"] == "NIFTY25000CE"
        position = await update(socket)
        assert (position["update_type"], position["quantity"]) == ("position", LOT)

        (row,) = await stranger.get("/v2/order/retrieve-all")
        assert row.items() <= last.items()
        history = await stranger.get("/v2/order/history", tag="my-tag")
        assert [state["status"] for state in history] == words
        assert history[0]["parent_order_id"] == "NA"
        (trade,) = await stranger.get("/v2/order/trades", order_id=order_id)
        assert (trade["quantity"], trade["average_price"]) == (LOT, 300.0)
        assert await stranger.get("/v2/order/trades/get-trades-for-day") == [trade]
        (held,) = await stranger.get("/v2/portfolio/short-term-positions")
        assert (held["quantity"], held["average_price"], held["close_price"]) == (LOT, 300.0, 290.0)
        funds = await stranger.get("/v3/user/get-funds-and-margin")
        assert funds["available_to_trade"]["total"] == 10_00_000 - LOT * 300
        assert (await stranger.get("/v2/user/get-funds-and-margin", segment="SEC"))["equity"]["used_margin"]


async def test_a_resting_order_is_modified_and_cancelled_and_a_final_one_is_neither():
    async with playing() as stranger:
        order_id = await stranger.placed(price=290.0)
        assert (await stranger.status(order_id, "open"))["pending_quantity"] == LOT
        change = {
            "order_id": order_id,
            "validity": "DAY",
            "price": 291,
            "order_type": "LIMIT",
            "trigger_price": 0,
        }
        answer = await stranger.http.put("/v3/order/modify", json=change)
        assert answer.json()["data"] == {"order_id": order_id}
        assert isinstance(answer.json()["metadata"]["latency"], int)
        await stranger.until(lambda: stranger.twin.exchange.order(order_id).price == 291_00)
        await stranger.status(order_id, "open")
        answer = await stranger.http.request(
            "DELETE", "/v3/order/cancel", params={"order_id": order_id}, json={}
        )
        assert answer.json()["data"] == {"order_id": order_id}
        assert (await stranger.status(order_id, "cancelled"))["filled_quantity"] == 0
        gone = await stranger.http.delete("/v3/order/cancel", params={"order_id": order_id})
        assert error_of(gone) == (400, "UDAPI100040")
        assert error_of(await stranger.http.put("/v3/order/modify", json=change)) == (400, "UDAPI100041")
        unknown = await stranger.http.delete("/v2/order/cancel", params={"order_id": "260916000000000"})
        assert error_of(unknown) == (400, "UDAPI100010")


async def test_positions_exit_sells_what_the_tag_holds():
    async with playing() as stranger:
        nothing = await stranger.http.post("/v2/order/positions/exit", params={"tag": "mine"})
        assert error_of(nothing) == (400, "UDAPI1113")
        await stranger.status(await stranger.placed(tag="mine"), "complete")
        answer = await stranger.http.post("/v2/order/positions/exit", params={"tag": "mine"})
        (order_id,) = answer.json()["data"]["order_ids"]
        assert answer.json()["summary"] == {"total": 1, "success": 1, "error": 0}
        row = await stranger.status(order_id, "complete")
        assert (row["transaction_type"], row["average_price"]) == ("SELL", 299.8)
        (position,) = await stranger.get("/v2/portfolio/short-term-positions")
        assert (position["quantity"], position["realised"]) == (0, -15.0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": None}, "UDAPI1008"),
        ({"price": 0}, "UDAPI1029"),
        ({"price": "300"}, "UDAPI100036"),
        ({"price": 300.001}, "UDAPI100036"),
        ({"price": 1e300}, "UDAPI100036"),
        ({"trigger_price": None}, "UDAPI100036"),
        ({"quantity": 0}, "UDAPI1052"),
        ({"quantity": 7.5}, "UDAPI100036"),
        ({"quantity": True}, "UDAPI100036"),
        ({"disclosed_quantity": 1, "quantity": 10 * LOT}, "UDAPI1039"),
        ({"instrument_token": None}, "UDAPI1026"),
        ({"instrument_token": "NSE_FO|1"}, "UDAPI100011"),
        ({"instrument_token": 45450}, "UDAPI100036"),
        ({"product": "X"}, "UDAPI1054"),
        ({"validity": "GTC"}, "UDAPI1055"),
        ({"order_type": "STOP"}, "UDAPI1056"),
        ({"order_type": None}, "UDAPI1004"),
        ({"transaction_type": "HOLD"}, "UDAPI1057"),
        ({"order_type": "MARKET"}, "UDAPI1040"),
        ({"order_type": "MARKET", "price": 0}, "UDAPI1158"),
        ({"order_type": "MARKET", "price": 0, "market_protection": 26}, "UDAPI1159"),
        ({"order_type": "SL", "price": 300, "trigger_price": 301}, "UDAPI1037"),
        ({"tag": "x" * 41}, "UDAPI1119"),
    ],
)
async def test_a_bad_order_is_refused_at_the_door_with_its_code(changes, code, one_twin):
    assert error_of(await one_twin.place(**changes)) == (400, code)
    assert not one_twin.twin.exchange.orders()


async def test_what_is_no_json_object_is_refused(one_twin):
    for body in (b"", b"[]", b"{", b"\xff", b"x" * (2 << 20)):
        assert error_of(await one_twin.http.post("/v3/order/place", content=body)) == (400, "UDAPI100036")


@pytest.fixture
async def one_twin():
    """A fast one for questions that change nothing."""
    async with playing(speed=200) as stranger:
        yield stranger


async def test_what_the_exchange_refuses_is_taken_and_then_rejected_in_words():
    async with playing() as stranger:
        for changes, words in (
            ({"price": 300.02}, "tick size"),
            ({"price": 10_000.0}, "circuit"),
            ({"quantity": 80}, "regular lot"),
            ({"quantity": 1875}, "freeze"),
            ({"transaction_type": "SELL"}, "margin of a short"),
        ):
            row = await stranger.status(await stranger.placed(**changes), "rejected")
            assert words in row["status_message"]


async def test_slices_give_several_orders():
    async with playing() as stranger:
        answer = await stranger.place(quantity=50 * LOT, price=290.0, slice=True)
        ids = answer.json()["data"]["order_ids"]
        rows = [await stranger.get("/v2/order/details", order_id=one) for one in ids]
        assert [row["quantity"] for row in rows] == [1800, 1800, 150]


# ---- the rest of the reads ---------------------------------------------------------------------------


async def test_quotes_are_answered_by_symbol_and_one_bad_key_fails_the_batch():
    async with playing() as stranger:
        await stranger.pause(0.5)
        (name, row), *rest = (await stranger.get("/v3/market-quote/ltp", instrument_key=KEY)).items()
        assert (name, rest, row["instrument_token"], row["cp"]) == ("NSE_FO:NIFTY25000CE", [], KEY, 290.0)
        assert row["last_price"] in {300.0, 299.95}
        quote = (await stranger.get("/v2/market-quote/quotes", instrument_key=KEY))[name]
        assert (quote["lower_circuit_limit"], quote["upper_circuit_limit"]) == (14.5, 1160.0)
        assert (quote["depth"]["buy"][0]["price"], quote["depth"]["sell"][0]["price"]) == (299.8, 300.0)
        assert quote["ohlc"]["high"] == 300.0
        bad = {"instrument_key": f"{KEY},NSE_FO|1"}
        assert error_of(await stranger.http.get("/v3/market-quote/ltp", params=bad)) == (400, "UDAPI100095")
        many = {"instrument_key": ",".join([KEY] * 501)}
        answer = await stranger.http.get("/v3/market-quote/ltp", params=many)
        assert error_of(answer) == (400, "UDAPI100042")


async def test_hours_holidays_and_charges():
    holiday = {
        "date": "2026-10-02",
        "description": "Gandhi Jayanti",
        "holiday_type": "TRADING_HOLIDAY",
        "closed_exchanges": ["NSE", "NFO", "BSE", "BFO"],
        "open_exchanges": [],
    }
    async with playing(holidays=[holiday]) as stranger:
        hours = {row["exchange"]: row for row in await stranger.get(f"/v2/market/timings/{DAY}")}
        assert hours["NFO"]["start_time"] * 1_000_000 == OPENS
        assert ist(hours["NFO"]["end_time"] * 1_000_000).strftime("%H:%M") == "15:40"
        assert await stranger.get("/v2/market/timings/2026-09-19") == []  # a Saturday
        on_holiday = {row["exchange"] for row in await stranger.get("/v2/market/timings/2026-10-02")}
        assert on_holiday == {"CDS", "BCD", "MCX", "NSCOM"}
        assert await stranger.get("/v2/market/holidays/2026-10-02") == [holiday]
        assert await stranger.get(f"/v2/market/holidays/{DAY}") == []
        answer = await stranger.http.get("/v2/market/timings/tomorrow")
        assert error_of(answer) == (400, "UDAPI1088")
        assert error_of(await stranger.http.get("/v2/market/status/LSE")) == (400, "UDAPI1089")
        query = {"instrument_token": KEY, "quantity": "75", "product": "D", "transaction_type": "SELL"}
        charges = (await stranger.get("/v2/charges/brokerage", price="300", **query))["charges"]
        expected = card_on(DAY, "NSE").fill_charges("SELL", 75 * 300_00, first_fill_of_order=True)
        assert paise(charges["total"]) == expected.total
        assert charges["taxes"]["stamp_duty"] == 0


# ---- faults ------------------------------------------------------------------------------------------


async def test_a_dropped_market_socket_comes_back_by_a_fresh_address():
    async with playing() as stranger:
        async with stranger.market(KEY) as socket, stranger.portfolio() as orders:
            await frame(socket)
            await stranger.twin.inject(Fault(NOW, FaultKind.DROP_MARKET))
            with pytest.raises(ConnectionClosedError) as end:
                await frames_until_silence(socket)
            assert end.value.rcvd is None  # no close frame: 1006
            async with asyncio.timeout(5):
                await (await orders.ping())  # the other stream lives
        async with stranger.market(KEY) as socket:
            assert (await frame(socket)).type == pb.market_info
            assert (await frame(socket)).type == pb.initial_feed


async def test_the_portfolio_socket_drops_and_the_book_has_what_was_missed():
    async with playing() as stranger:
        async with stranger.portfolio() as socket:
            await stranger.twin.inject(Fault(NOW, FaultKind.DROP_PORTFOLIO))
            with pytest.raises(ConnectionClosedError):
                await update(socket)
        await stranger.status(await stranger.placed(), "complete")


async def test_a_stalled_socket_answers_pings_and_says_nothing_until_it_does():
    async with playing() as stranger, stranger.market(KEY) as socket:
        for _ in range(4):
            await frame(socket)
        await stranger.twin.inject(Fault(NOW, FaultKind.STALL_MARKET, seconds=12))
        with pytest.raises(TimeoutError):
            await frames_until_silence(socket)
        async with asyncio.timeout(1):
            await (await socket.ping())
        async with stranger.market(KEY) as other:  # another connection is not affected
            await frame(other)
            assert (await frame(other)).type == pb.initial_feed
        assert (await frame(socket)).type == pb.live_feed


async def test_a_rejection_on_command_comes_after_the_order_was_taken():
    async with playing() as stranger:
        await stranger.twin.inject(Fault(NOW, FaultKind.REJECT, message="RMS:Margin Exceeds"))
        row = await stranger.status(await stranger.placed(), "rejected")
        assert row["status_message"] == "RMS:Margin Exceeds"
        await stranger.status(await stranger.placed(), "complete")


async def test_a_lost_reply_leaves_an_order_that_its_tag_finds():
    async with playing() as stranger:
        await stranger.twin.inject(Fault(NOW, FaultKind.LOSE_REPLY))
        with pytest.raises(httpx.RemoteProtocolError):
            await stranger.place(tag="lost")
        states = await stranger.get("/v2/order/history", tag="lost")
        assert states[0]["status"] == "put order req received"
        await stranger.placed(tag="next")


async def test_a_late_acceptance_comes_after_the_client_gave_up():
    async with playing() as stranger:
        await stranger.twin.inject(Fault(NOW, FaultKind.LATE_ACCEPTANCE, seconds=6))
        with pytest.raises(httpx.ReadTimeout):
            await stranger.http.post("/v3/order/place", json=order(tag="late"), timeout=0.1)
        await stranger.until(stranger.twin.exchange.orders)
        assert (await stranger.get("/v2/order/history", tag="late"))[0]["tag"] == "late"


async def test_a_slow_reply_holds_up_nobody_else():
    async with playing() as stranger:
        await stranger.twin.inject(Fault(NOW, FaultKind.SLOW_REPLY, seconds=60, act=Act.PLACE))
        slow = asyncio.create_task(stranger.place(tag="slow"))
        await stranger.until(stranger.twin.exchange.orders)
        await stranger.status(stranger.twin.exchange.orders()[0].order_id, "complete")
        await stranger.status(await stranger.placed(), "complete")
        assert not slow.done()
        slow.cancel()
        await asyncio.wait({slow})


async def test_in_a_thin_book_orders_fill_in_parts():
    async with playing() as stranger, stranger.portfolio() as socket:
        await stranger.twin.inject(Fault(NOW, FaultKind.THIN_BOOK, seconds=60, quantity=LOT))
        await stranger.pause(0.5)
        order_id = await stranger.placed(quantity=3 * LOT)
        filled = [word["filled_quantity"] for word in await updates_until(socket, "complete")]
        assert filled == sorted(filled)
        assert {LOT, 2 * LOT, 3 * LOT} <= set(filled)
        assert len(await stranger.get("/v2/order/trades", order_id=order_id)) == 3


@pytest.mark.parametrize(
    ("kind", "of_reads", "of_orders"),
    [
        (FaultKind.UNAUTHORIZED, (401, "UDAPI100050"), (401, "UDAPI100050")),
        (FaultKind.TOO_MANY, (429, "UDAPI10005"), (429, "UDAPI10005")),
        (FaultKind.WRONG_ADDRESS, None, (403, "UDAPI1154")),
    ],
)
async def test_calls_are_refused_for_a_while(kind, of_reads, of_orders):
    async with playing() as stranger:
        await stranger.twin.inject(Fault(NOW, kind, seconds=3600))
        read = await stranger.http.get("/v3/feed/market-data-feed/authorize")
        assert (None if read.status_code == 200 else error_of(read)) == of_reads
        assert error_of(await stranger.place()) == of_orders
        await stranger.twin.inject(Fault(NOW, kind, seconds=0))
        await stranger.placed()


async def test_handshakes_are_refused_though_authorize_works():
    async with playing() as stranger:
        await stranger.twin.inject(Fault(NOW, FaultKind.REFUSE_HANDSHAKE, seconds=3600))
        with pytest.raises(InvalidStatus) as refused:
            await connect(await stranger.address())
        assert refused.value.response.status_code == 403


def test_the_script_of_a_plain_market_is_the_same_each_time():
    """The market of these tests is a fixture worth checking: in order, quoted from the open on."""
    events = list(steady())
    assert events == list(steady())
    assert [event.at for event in events] == sorted(event.at for event in events)
