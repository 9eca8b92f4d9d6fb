"""Orders as JSON, and what an HTTP answer means: pure, checked on recorded samples and on junk."""

import contextlib
import json
import math
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.commands import CancelOrder, Decision, ModifyOrder, PlaceOrder, Reason
from bot.core.events import OrderReport, OrderType, Outcome, PositionRow, Side
from bot.upstox import wire_orders as wire
from bot.upstox.auth import Token, expiry_of
from bot.upstox.throttle import Limit, Throttle
from bot.upstox.wire_answers import Answer, CallResult, Reach, ReadFailed, order_result, read_data
from bot.upstox.wire_orders import (
    OtherUpdate,
    TradeRow,
    WireError,
    cancel_query,
    modify_body,
    order_book,
    order_report,
    place_body,
    position_rows,
    stream_update,
    trade_rows,
)

SAMPLES = Path(__file__).parents[2] / "shared" / "data" / "wire" / "portfolio_stream_samples.json"
KEY = "NSE_FO|51414"
SEEN = Decision(1, 12345, 0.0, 0.0, 0.0, 0.7)
ENTRY = PlaceOrder("d1r1n1", KEY, Side.BUY, OrderType.LIMIT, 75, 76355, 0, "D", Reason.ENTRY, SEEN)
STOP = ENTRY._replace(side=Side.SELL, order_type=OrderType.SL, price=64220, trigger_price=71355)

ROW = {
    "exchange": "NFO",
    "product": "D",
    "price": 763.55,
    "quantity": 150,
    "status": "open",
    "guid": None,
    "tag": "d1r1n1",
    "instrument_token": KEY,
    "placed_by": "AB1234",
    "order_type": "LIMIT",
    "validity": "DAY",
    "trigger_price": 0.0,
    "transaction_type": "BUY",
    "average_price": 763.5,
    "filled_quantity": 75,
    "pending_quantity": 75,
    "status_message": None,
    "status_message_raw": None,
    "exchange_order_id": "1100000012345678",
    "parent_order_id": None,
    "order_id": "261004130028974",
    "order_timestamp": "2026-10-05 10:00:00",
    "exchange_timestamp": "2026-10-05 10:00:01",
    "is_amo": False,
}


def samples():
    if not SAMPLES.exists():
        pytest.skip(f"recorded samples are not here: {SAMPLES}")
    return json.loads(SAMPLES.read_text())


# ---- what we write -----


def test_place_body_has_every_required_field_of_the_v3_call_and_money_in_rupees():
    assert json.loads(orjson.dumps(place_body(ENTRY))) == {
        "quantity": 75,
        "product": "D",
        "validity": "DAY",
        "price": 763.55,
        "trigger_price": 0.0,
        "order_type": "LIMIT",
        "transaction_type": "BUY",
        "disclosed_quantity": 0,
        "is_amo": False,
        "instrument_token": KEY,
        "tag": "d1r1n1",
        "slice": False,
    }


def test_stop_limit_carries_its_trigger_and_a_market_order_its_protection():
    assert (place_body(STOP)["price"], place_body(STOP)["trigger_price"]) == (642.2, 713.55)
    market = place_body(ENTRY._replace(order_type=OrderType.MARKET, price=0))
    assert market["market_protection"] == -1
    assert (market["price"], market["trigger_price"]) == (0, 0)
    assert "market_protection" not in place_body(ENTRY)


def test_modify_states_the_total_quantity_and_cancel_only_the_id():
    body = modify_body(ModifyOrder("t", "260101", OrderType.LIMIT, 75, 10005, 0, Reason.SIGNAL_EXIT))
    assert body == {
        "order_id": "260101",
        "quantity": 75,
        "validity": "DAY",
        "price": 100.05,
        "trigger_price": 0.0,
        "order_type": "LIMIT",
        "disclosed_quantity": 0,
    }
    assert cancel_query(CancelOrder("t", "260101", "timeout")) == {"order_id": "260101"}


@pytest.mark.parametrize(
    "wrong",
    [
        ENTRY._replace(tag=""),
        ENTRY._replace(tag="x" * 41),
        ENTRY._replace(quantity=0),
        ENTRY._replace(price=0),
        ENTRY._replace(trigger_price=1),
        ENTRY._replace(order_type=OrderType.MARKET),
        STOP._replace(trigger_price=0),
        STOP._replace(trigger_price=STOP.price - 5),
        STOP._replace(side=Side.BUY),
    ],
)
def test_an_order_the_broker_must_refuse_is_our_bug_and_never_written(wrong):
    with pytest.raises(AssertionError):
        place_body(wrong)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(1, 10_000_000), st.integers(1, 100_000))
def test_every_price_in_paise_survives_json(price, quantity):
    body = orjson.loads(orjson.dumps(place_body(ENTRY._replace(price=price, quantity=quantity))))
    row = {**ROW, **body, "filled_quantity": quantity, "average_price": body["price"]}
    report = order_report(row, 0, 0)
    assert (report.price, report.quantity, report.filled_value) == (price, quantity, price * quantity)


# ---- what we read -----


def test_a_row_of_the_order_book_becomes_a_report():
    assert order_report(ROW, 5, 6) == OrderReport(
        at=5,
        mono=6,
        tag="d1r1n1",
        order_id="261004130028974",
        exchange_order_id="1100000012345678",
        instrument=KEY,
        side=Side.BUY,
        order_type="LIMIT",
        status="open",
        quantity=150,
        filled_quantity=75,
        filled_value=76350 * 75,
        price=76355,
        trigger_price=0,
        message="",
        exchange_time="2026-10-05 10:00:01",
    )


def test_the_recorded_stream_samples_decode_field_for_field():
    recorded = samples()
    first = stream_update(json.dumps(recorded["order"]), 1, 2)
    assert isinstance(first, OrderReport)
    assert (first.tag, first.exchange_order_id, first.message, first.exchange_time) == ("", "", "", "")
    assert (first.order_id, first.status) == ("240221025997024", "put order req received")
    assert (first.instrument, first.side, first.order_type) == ("NSE_EQ|INE848E01016", Side.BUY, "MARKET")
    assert (first.quantity, first.filled_quantity, first.filled_value, first.price) == (1, 0, 0, 0)
    rejected = stream_update(json.dumps(recorded["order_rejected_rms"]).encode(), 1, 2)
    assert isinstance(rejected, OrderReport)
    assert (rejected.status, rejected.price, rejected.instrument) == ("rejected", 5000, "")
    assert rejected.message.startswith("RMS:Rule: Check circuit limit")
    for kind in ("gtt_order", "holding", "position"):
        assert stream_update(json.dumps(recorded[kind]), 1, 2) == OtherUpdate(kind)
    assert position_rows([recorded["position"]]) == (PositionRow("NSE_EQ|INE848E01016", "D", 2),)


def test_all_but_id_status_and_side_may_be_missing_null_or_empty():
    bare = {"order_id": "1", "status": "open", "transaction_type": "SELL"}
    expected = OrderReport(0, 0, "", "1", "", "", Side.SELL, "", "open", 0, 0, 0, 0, 0, "", "")
    assert order_report(bare, 0, 0) == expected
    for nothing in (None, ""):
        assert order_report(dict.fromkeys(ROW, nothing) | bare, 0, 0) == expected


def test_deprecated_twins_count_when_the_field_itself_says_nothing():
    row = {**ROW, "instrument_token": None, "instrument_key": KEY, "status_message_raw": "RMS: no margin"}
    assert order_report(row, 0, 0).instrument == KEY
    assert order_report(row, 0, 0).message == "RMS: no margin"


@pytest.mark.parametrize("needed", ["order_id", "status", "transaction_type"])
def test_a_row_without_its_core_fails_the_whole_book(needed):
    broken = {key: value for key, value in ROW.items() if key != needed}
    with pytest.raises(WireError, match=needed):
        order_book([ROW, broken], 0, 0)


def test_a_fill_without_an_average_is_valued_at_the_limit_and_never_at_nothing():
    assert order_report({**ROW, "average_price": None}, 0, 0).filled_value == 76355 * 75


def test_an_average_over_several_prices_is_rounded_once_on_the_sum():
    row = {**ROW, "average_price": 100.0166667, "filled_quantity": 150}
    assert order_report(row, 0, 0).filled_value == 1_500_250


@pytest.mark.parametrize(
    "strange",
    [
        {"quantity": 1.5},
        {"quantity": -1},
        {"filled_quantity": True},
        {"price": "dear"},
        {"price": -1},
        {"price": 1e300},
        {"average_price": math.nan},
        {"average_price": [1]},
        {"tag": {}},
        {"transaction_type": "HOLD"},
    ],
)
def test_a_field_of_the_wrong_kind_is_damage_not_zero(strange):
    with pytest.raises(WireError):
        order_report({**ROW, **strange}, 0, 0)


def test_positions_are_signed_and_a_missing_quantity_or_list_is_never_flat():
    rows = [
        {"instrument_token": KEY, "product": "D", "quantity": -75},
        {"instrument_key": KEY, "quantity": 0},
    ]
    assert position_rows(rows) == (PositionRow(KEY, "D", -75), PositionRow(KEY, "", 0))
    assert position_rows([]) == ()
    for broken in (None, {}, [{"instrument_token": KEY}], [{"instrument_token": KEY, "quantity": None}]):
        with pytest.raises(WireError):
            position_rows(broken)


def test_trades_decode_and_lack_nothing_that_counts():
    row = {
        "order_id": "1",
        "trade_id": "9",
        "exchange_order_id": "77",
        "instrument_token": KEY,
        "transaction_type": "SELL",
        "quantity": 75,
        "average_price": 713.55,
        "exchange_timestamp": "05-Oct-2026 10:00:01",
    }
    assert trade_rows([row]) == (TradeRow("1", "9", "77", KEY, Side.SELL, 75, 71355, "05-Oct-2026 10:00:01"),)
    for needed in ("order_id", "transaction_type", "quantity", "average_price"):
        with pytest.raises(WireError):
            trade_rows([{**row, needed: None}])


# Junk shaped like the real thing: known names, any value, so that the checks behind the first are reached.
NAMES = sorted({*ROW, "update_type", "data", "errors", "error_code", "errorCode", "message", "order_ids"})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["order", "success", "error"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=8)
    ),
    max_leaves=20,
)
BENT_ROW = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5).map(lambda bent: ROW | bent)


@settings(deadline=None)
@given(JSON | BENT_ROW | st.lists(BENT_ROW, max_size=3))
def test_junk_raises_nothing_but_the_modules_own_error(junk):
    """Nor does that error repeat what was in the junk."""
    for decode in (
        lambda: order_report(junk, 0, 0),
        lambda: order_book(junk, 0, 0),
        lambda: position_rows(junk),
        lambda: trade_rows(junk),
        lambda: stream_update(json.dumps(junk), 0, 0),
    ):
        complaint = complaint_of(decode)
        assert not any(word in complaint for word in ("d1r1n1", "AB1234", "261004130028974"))


def complaint_of(decode):
    try:
        decode()
    except WireError as error:
        return str(error)
    return ""


@settings(deadline=None)
@given(st.binary(max_size=80) | st.text(max_size=80))
def test_a_frame_that_is_no_order_is_another_update_or_a_wire_error(frame):
    with contextlib.suppress(WireError):
        assert isinstance(stream_update(frame, 0, 0), OtherUpdate)


# ---- what an answer means -----


def envelope(*codes, casing="error_code"):
    return json.dumps(
        {"status": "error", "errors": [{casing: code, "message": f"no: {code}"} for code in codes]}
    )


def said(status, body):
    return order_result(Answer(Reach.ANSWERED, status, body.encode() if isinstance(body, str) else body))


PLACED = '{"status":"success","data":{"order_ids":["261004130028974"]},"metadata":{"latency":4}}'
CHANGED = '{"status":"success","data":{"order_id":"261004130028974"},"metadata":{"latency":4}}'
SLICED = '{"status":"partial_success","data":{"order_ids":["1","2"]},"errors":[{"error_code":"UDAPI1052"}]}'
HTML = "<html><title>Attention Required! | Cloudflare</title>1010</html>"


@pytest.mark.parametrize(
    ("status", "body", "outcome", "code"),
    [
        (200, PLACED, Outcome.ACCEPTED, ""),
        (200, CHANGED, Outcome.ACCEPTED, ""),
        (200, SLICED, Outcome.ACCEPTED, ""),
        (207, SLICED, Outcome.ACCEPTED, ""),
        (200, "", Outcome.UNKNOWN, "HTTP_200"),
        (200, HTML, Outcome.UNKNOWN, "HTTP_200"),
        (200, "{}", Outcome.UNKNOWN, "HTTP_200"),
        (200, "[]", Outcome.UNKNOWN, "HTTP_200"),
        (200, '{"status":"success","data":{"order_ids":[]}}', Outcome.UNKNOWN, "HTTP_200"),
        (200, '{"status":"success","data":null}', Outcome.UNKNOWN, "HTTP_200"),
        (200, envelope("UDAPI1052"), Outcome.REFUSED, "UDAPI1052"),
        (307, "", Outcome.UNKNOWN, "HTTP_307"),
        (400, envelope("UDAPI1052"), Outcome.REFUSED, "UDAPI1052"),
        (400, envelope("UDAPI100040", casing="errorCode"), Outcome.REFUSED, "UDAPI100040"),
        (400, envelope("UDAPI1052", "UDAPI1119"), Outcome.REFUSED, "UDAPI1052"),
        (400, envelope("UDAPI1052", "UDAPI7777"), Outcome.UNKNOWN, "UDAPI1052"),
        (400, envelope("UDAPI7777"), Outcome.UNKNOWN, "UDAPI7777"),
        (400, envelope("<script>"), Outcome.UNKNOWN, "HTTP_400"),
        (400, envelope(), Outcome.UNKNOWN, "HTTP_400"),
        (400, "", Outcome.UNKNOWN, "HTTP_400"),
        (400, HTML, Outcome.UNKNOWN, "HTTP_400"),
        (401, envelope("UDAPI100050"), Outcome.REFUSED, "UDAPI100050"),
        (401, "", Outcome.REFUSED, "HTTP_401"),
        (403, envelope("UDAPI1154"), Outcome.REFUSED, "UDAPI1154"),
        (403, HTML, Outcome.REFUSED, "HTTP_403"),
        (404, "", Outcome.UNKNOWN, "HTTP_404"),
        (404, envelope("UDAPI100010"), Outcome.REFUSED, "UDAPI100010"),
        (423, envelope("UDAPI100074"), Outcome.REFUSED, "UDAPI100074"),
        (429, envelope("UDAPI10005"), Outcome.REFUSED, "UDAPI10005"),
        (429, HTML, Outcome.REFUSED, "HTTP_429"),
        (500, envelope("UDAPI100500"), Outcome.UNKNOWN, "UDAPI100500"),
        (500, envelope("UDAPI1052"), Outcome.UNKNOWN, "UDAPI1052"),
        (502, HTML, Outcome.UNKNOWN, "HTTP_502"),
        (500, PLACED, Outcome.UNKNOWN, "HTTP_500"),
        (400, PLACED, Outcome.UNKNOWN, "HTTP_400"),
        (401, PLACED, Outcome.UNKNOWN, "HTTP_401"),
    ],
)
def test_the_error_taxonomy(status, body, outcome, code):
    result = said(status, body)
    assert (result.outcome, result.code) == (outcome, code)


def test_without_an_answer_only_a_request_that_never_left_is_refused():
    not_sent = order_result(Answer(Reach.NOT_SENT, reason="CONNECT"))
    assert not_sent == CallResult(Outcome.REFUSED, (), "NOT_SENT", "CONNECT")
    for reason in ("TIMEOUT", "LOST", "TOO_LARGE"):
        lost = order_result(Answer(Reach.NO_ANSWER, reason=reason))
        assert (lost.outcome, lost.code) == (Outcome.UNKNOWN, reason)


def test_every_id_of_a_sliced_order_is_kept_and_named():
    result = said(200, SLICED)
    assert result.order_ids == ("1", "2")
    assert result.message == "orders 1, 2"


def test_a_message_is_one_bounded_printable_line():
    body = json.dumps(
        {"status": "error", "errors": [{"error_code": "UDAPI1052", "message": "a\n\x1b[31mb " + "x" * 999}]}
    )
    message = said(400, body).message
    assert message.startswith("a [31mb xxx")
    assert len(message) == 300


@settings(deadline=None)
@given(st.integers(100, 599), JSON | st.just(orjson.loads(SLICED)), st.sampled_from(Reach))
def test_any_answer_has_a_meaning_and_only_a_named_order_is_accepted(status, junk, reach):
    answer = Answer(reach, status if reach is Reach.ANSWERED else 0, json.dumps(junk).encode(), "LOST")
    result = order_result(answer)
    if result.outcome is Outcome.ACCEPTED:
        assert reach is Reach.ANSWERED
        assert status in range(200, 300)
        assert result.order_ids
    else:
        assert result.code
    with contextlib.suppress(ReadFailed):
        read_data(answer)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(200, 599))
def test_bytes_that_are_no_json_never_accept_anything(body, status):
    assert order_result(Answer(Reach.ANSWERED, status, body)).outcome is not Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(Reach.ANSWERED, 401, envelope("UDAPI100050").encode()), "auth"),
        (Answer(Reach.ANSWERED, 403, HTML.encode()), "auth"),
        (Answer(Reach.ANSWERED, 429, b""), "rate"),
        (Answer(Reach.ANSWERED, 423, envelope("UDAPI100072").encode()), "shut"),
        (Answer(Reach.ANSWERED, 400, b""), "refused"),
        (Answer(Reach.ANSWERED, 503, b""), "server"),
        (Answer(Reach.ANSWERED, 200, b""), "garbled"),
        (Answer(Reach.ANSWERED, 200, b'{"status":"success"}'), "garbled"),
        (Answer(Reach.ANSWERED, 200, b'{"status":"partial_success","data":[]}'), "garbled"),
        (Answer(Reach.NO_ANSWER, reason="TIMEOUT"), "timeout"),
        (Answer(Reach.NOT_SENT, reason="CONNECT"), "network"),
        (Answer(Reach.NO_ANSWER, reason="TOO_LARGE"), "garbled"),
    ],
)
def test_a_read_that_gave_nothing_says_why(answer, reason):
    with pytest.raises(ReadFailed) as failed:
        read_data(answer)
    assert failed.value.reason == reason


def test_a_read_gives_its_data():
    assert read_data(Answer(Reach.ANSWERED, 200, b'{"status":"success","data":[]}')) == []


# ---- the token -----

# {"sub":"AB1234","iat":1789201667,"exp":1789250400,"iss":"udapi-gateway-service"}
JWT = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"
    ".eyJzdWIiOiJBQjEyMzQiLCJpYXQiOjE3ODkyMDE2NjcsImV4cCI6MTc4OTI1MDQwMCwiaXNzIjoidWRhcGktZ2F0ZXdheS1zZXJ2aWNlIn0"
    ".c2lnbmF0dXJl"
)


def test_a_jwt_tells_when_it_ends_and_anything_else_does_not():
    assert expiry_of(JWT) == 1_789_250_400 * 10**9
    for opaque in ("", "abc", "a.b.c", "a.é.c", f"a.{'e30'}.c", "..", JWT.replace(".", "")):
        assert expiry_of(opaque) is None


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_an_expiry(text):
    assert expiry_of(f"a.{text}.c") is None or text


def test_a_token_is_replaced_while_running_and_never_shown():
    token = Token(f"  {JWT}\n")
    assert (token(), token.expires_at) == (JWT, 1_789_250_400 * 10**9)
    token.replace("opaque-token")
    assert (token(), token.expires_at) == ("opaque-token", None)
    assert "opaque" not in f"{token} {token!r} {[token]}"
    for wrong in ("", " ", "two words", "line\nbreak", "naïve"):
        with pytest.raises(ValueError) as refused:
            token.replace(wrong)
        assert not wrong.strip() or wrong not in str(refused.value)
    assert token() == "opaque-token"


# ---- the rate limit -----


class EventClock:
    """Time that moves only when somebody sleeps."""

    def __init__(self):
        self.time = 0

    def now(self):
        return 10**18 + self.time

    def monotonic(self):
        return self.time

    async def sleep_until(self, at):
        self.time = max(self.time, at - 10**18)


async def test_the_rate_is_held_over_any_window():
    clock = EventClock()
    throttle = Throttle(clock, (Limit(200_000_000, 5), Limit(1_000_000_000, 20)))
    taken = []
    for _ in range(60):
        assert await throttle.take()
        taken.append(clock.time / 1e9)
    assert taken[:5] == [0] * 5
    for window, most in ((1, 5 + 5), (10, 20 + 10)):
        assert max(sum(start <= t < start + window for t in taken) for start in taken) <= most
    assert taken[-1] == pytest.approx(40)  # 60 calls, 20 at once by the long limit


async def test_the_reserve_is_for_the_urgent_and_who_may_not_wait_is_told_at_once():
    clock = EventClock()
    throttle = Throttle(clock, (Limit(1_000_000_000, 5, reserved=2),))
    for _ in range(3):
        assert await throttle.take(urgent=False, wait_max=0)
    assert not await throttle.take(urgent=False, wait_max=500_000_000)
    assert clock.time == 0
    assert await throttle.take()
    assert await throttle.take()
    assert clock.time == 0
    assert await throttle.take()
    assert clock.time == 1_000_000_000


def test_an_unreadable_row_of_another_market_does_not_hide_ours() -> None:
    """Commodities count in fractions; an unreadable row of our own market still fails the whole book."""
    ours = {"order_id": "1", "status": "open", "transaction_type": "BUY", "instrument_token": "NSE_FO|1"}
    odd = ours | {"instrument_token": "MCX_FO|9", "quantity": 1.5}
    assert [report.instrument for report in wire.order_book([odd, ours], 1, 1)] == ["NSE_FO|1"]
    with pytest.raises(wire.WireError):
        wire.order_book([ours | {"quantity": 1.5}], 1, 1)
    held = {"instrument_token": "NSE_FO|1", "quantity": 75, "product": "D"}
    assert len(wire.position_rows([held | {"instrument_token": "MCX_FO|9", "quantity": 0.5}, held])) == 1
    with pytest.raises(wire.WireError):
        wire.position_rows([held | {"quantity": 0.5}])
