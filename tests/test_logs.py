"""Logs: one schema, no secret in any shape, and never a moment of waiting for whoever reads them."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.core.commands import (
    Alert,
    CancelOrder,
    Command,
    Decision,
    ModifyOrder,
    PlaceOrder,
    Reason,
    RecordFill,
    Refused,
    Severity,
)
from bot.core.events import (
    Act,
    BrokerSnapshot,
    Event,
    FeedDown,
    FeedUp,
    Heartbeat,
    OrderReport,
    OrderType,
    Outcome,
    SegmentStatus,
    SendOutcome,
    Side,
    Tick,
)
from bot.core.forecast import Forecast
from bot.core.units import SECOND
from bot.run.ports import Turn
from bot.telemetry.line_writer import LineWriter
from bot.telemetry.logs import LogObserver, Logs
from bot.telemetry.redact import HIDDEN, Redactor
from tests.tokens import unsigned

AT = 1_789_533_065_123_456_789  # 2026-09-16 in India
CE = "NSE_FO|45450"
CANARY = "c4n4ry-S3cr3t/value+1="
IN_THE_EVENT = f"in the event {CANARY}"
JWT = unsigned(b"signature-canary", sub="ABC123")


class Told:
    """Logs into memory; `lines` waits until all is written."""

    def __init__(self, **options: Any) -> None:
        self.stream = io.StringIO()
        options = {"pretty": False, "secrets": [CANARY]} | options
        self.logs = Logs(lambda: AT, stream=self.stream, **options)
        self.log = self.logs.log

    @property
    def text(self) -> str:
        self.logs.close()
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.logs.close()


# --- the schema -----------------------------------------------------------------------------------------


def test_a_line_is_json_with_time_and_zone_level_and_event_first(told: Told) -> None:
    told.log.info("started", mode="paper", day=SECOND)
    told.log.warning("late", at=AT + 5 * SECOND, at_=1, level="mine")
    first, second = told.text.splitlines()
    assert first.startswith('{"time":"2026-09-16T')
    assert list(json.loads(first)) == ["time", "level", "event", "mode", "day"]
    assert json.loads(first)["time"].endswith(".123+05:30")
    assert json.loads(second)["level"] == "warning"
    assert json.loads(second)["level_"] == "mine", "a field can't pass for the line's own level"
    assert json.loads(second)["time"] > json.loads(first)["time"], "an event's own time wins"


def test_levels_below_the_chosen_one_are_not_written() -> None:
    told = Told(level="warning")
    told.log.info("no")
    told.log.error("yes")
    assert [line["event"] for line in told.lines] == ["yes"]


def test_anything_can_be_logged_and_nothing_raises(told: Told) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    loop: dict[str, Any] = {}
    loop["self"] = loop
    told.log.info("odd", big=2**70, half="\ud800", nan=float("nan"), raw=b"\xff\x00", none=None)
    told.log.info("hostile", thing=Hostile(), path=Path("a"), nested={"a": [1, {2: (3, {4})}]}, loop=loop)
    told.log.info("long", text="x" * 100_000)
    odd, hostile, long = told.lines
    assert odd["event"].strip("'") == "odd"
    assert "can't be shown" in hostile["thing"]
    assert hostile["nested"] == {"a": [1, {"2": [3, [4]]}]}
    assert len(long["text"]) < 20_000


def test_json_in_a_pipe_and_colours_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    logs = Logs(lambda: AT, stream=terminal, secrets=[CANARY])
    logs.log.warning("feed_down", reason="stall", note=f"Bearer {CANARY}")
    try:
        int(CANARY)
    except ValueError:
        logs.log.exception("broken")
    logs.close()
    text = terminal.getvalue()
    assert "\x1b[" in text
    assert "feed_down" in text
    assert "ValueError" in text
    assert CANARY not in text
    told = Told(pretty=None)
    told.log.info("plain")
    assert "\x1b[" not in told.text


def test_libraries_are_heard_from_warning_up_in_the_same_schema(told: Told) -> None:
    logging.getLogger("httpx").info("chatter")
    logging.getLogger("websockets.client").warning("closing %s with %d", "handshake", 1006)
    wrong = logging.makeLogRecord({"name": "uvicorn.error", "msg": "mismatched %d", "args": ("arguments",)})
    told.logs._handler.handle(wrong)  # not through `logging`: pytest's own handler would raise
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    first, second, third = told.lines
    assert first["logger"] == "websockets.client"
    assert first["event"] == "closing handshake with 1006"
    assert first["level"] == "warning"
    assert second["event"].startswith("mismatched %d")
    assert third["logger"] == "py.warnings"


def test_modules_that_ask_structlog_for_a_logger_get_this_pipe(told: Told) -> None:
    structlog.get_logger().info("from_elsewhere", token=CANARY)
    assert told.lines[0]["token"] == HIDDEN


def test_close_gives_everything_back_and_a_late_line_goes_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    before = (
        sys.excepthook,
        threading.excepthook,
        logging.getLogger().level,
        logging.getLogger().handlers[:],
    )
    told = Told()
    assert sys.excepthook is not before[0]
    told.logs.close()
    after = (sys.excepthook, threading.excepthook, logging.getLogger().level, logging.getLogger().handlers[:])
    assert after == before
    told.log.info("late", token=CANARY)
    assert told.text == ""
    assert told.logs.dropped == 1
    assert capsys.readouterr().out == ""


# --- secrets --------------------------------------------------------------------------------------------

LEAKS: list[Callable[[Told], None]] = [
    lambda told: told.log.info("a", value=CANARY),
    lambda told: told.log.info(IN_THE_EVENT),
    lambda told: told.log.info("b", nested={"deep": [{"er": (CANARY,)}], CANARY: 1}),
    lambda told: told.log.info("c", **{CANARY: 1}),
    lambda told: told.log.info("d", raw=CANARY.encode()),
    lambda told: told.log.info("e", url="wss://feed/v3?x=c4n4ry-S3cr3t%2Fvalue%2B1%3D"),
    lambda told: told.log.info("f", error=ValueError(f"401 for Bearer {CANARY}")),
    lambda told: told.log.info("g", secret=SecretStr(CANARY), inside={"s": SecretStr(CANARY)}),
    lambda told: told.log.info("h %s", CANARY),
    lambda told: told.log.bind(session=CANARY).info("bound"),
    lambda told: logging.getLogger("httpx").warning("GET https://x/?token=%s", CANARY),
    lambda told: logging.getLogger("boto3").error({"headers": {"authorization": CANARY}}),
    lambda told: told.logs._handler.handle(logging.makeLogRecord({"msg": "bad %d", "args": (CANARY,)})),
    lambda told: _raised(told.log),
    lambda told: _raised_in_library(),
    lambda told: _thread_crash(),
    lambda told: sys.excepthook(ValueError, ValueError(CANARY), None),
    lambda told: told.log.info("long", text="x" * 20_000 + CANARY, path=Path(CANARY)),
]


def _raised(log: Any) -> None:
    try:
        try:
            {}[CANARY]
        except KeyError as error:
            raise ExceptionGroup(f"outer {CANARY}", [ValueError(CANARY)]) from error
    except ExceptionGroup:
        log.exception("failed")


def _raised_in_library() -> None:
    try:
        Path(CANARY).read_text()
    except OSError:
        logging.getLogger("apscheduler").exception("job %s", CANARY)


def _thread_crash() -> None:
    def crash() -> None:
        raise RuntimeError(CANARY)

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()


@pytest.mark.parametrize("number", range(len(LEAKS)))
def test_a_registered_secret_is_in_no_line(
    number: int, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    LEAKS[number](told)
    text = told.text
    assert text.strip(), "something must have been said, else nothing was proved"
    for shown in (text, *capsys.readouterr()):
        assert CANARY not in shown
        assert "c4n4ry" not in shown


def test_a_secret_that_becomes_known_later_is_hidden_from_then_on(told: Told) -> None:
    told.logs.hide("todays-new-t0ken")
    told.log.info("a", note="got todays-new-t0ken.")
    assert told.lines[0]["note"] == f"got {HIDDEN}."


SCANNED = [
    (f"sent {JWT} away", "c2lnbmF0dXJl"),
    ("Authorization: Bearer abc.DEF-123_x", "DEF"),
    ("authorization=Zm9vOmJhcg==", "Zm9v"),
    ("Basic dXNlcjpwYXNzd29yZA==", "dXNlcjp"),
    ("wss://h/feed?requestId=55&code=AbC-98_z", "AbC"),
    ("https://h/dialog?code=AbC&state=x", "AbC"),
    ('{"access_token":"q1w2e3","x":1}', "q1w2"),
    ("{'client_secret': 'q1w2e3'}", "q1w2"),
    ("access_token = q1w2e3", "q1w2"),
    ("BOT_LIVE_ACCESS_TOKEN=q1w2e3", "q1w2"),
    ("AWS_SECRET_ACCESS_KEY: q1w2e3r4t5", "q1w2"),
    ("key AKIAIOSFODNN7EXAMPLE used", "IOSFODNN"),
    ("password='hunter two'", "two"),
    ("{b'authorization': b'hunter two'}", "two"),
    ('password: "hunter2"', "hunter"),
    ("https://me:hunter2@host/x", "hunter2"),
    ("totp=123456", "123456"),
    ("X-Api-Key: 0a1b2c3d", "0a1b"),
    ("Set-Cookie: 0a1b2c3d", "0a1b"),
]


@pytest.mark.parametrize(("text", "secret"), SCANNED)
def test_what_looks_like_a_secret_is_hidden_though_nobody_registered_it(text: str, secret: str) -> None:
    clean = Redactor().text(text)
    assert secret not in clean
    assert HIDDEN in clean


@pytest.mark.parametrize(
    "text",
    [
        "NIFTY 25000 CE: last price 452.30 is ₹50.00 under the entry for 75 units. Selling.",
        "Act.PLACE of k260916r1n1: timeout. Asking the broker's book, not sending again.",
        "UDAPI100050 refused: insufficient funds",
        "BOT_LIVE_ACCESS_TOKEN: is missing; today's token from Upstox goes there",
        "instrument_token=NSE_FO|51414 is unknown",
        "the session opens at 09:15; keyed by NSE_FO|51414",
        "https://api.upstox.com/v2/order/details?order_id=260916000000001",
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "name", ["token", "access_token", "Authorization", "client_secret", "API-KEY", "mpin", "cookie"]
)
def test_a_field_with_a_secrets_name_has_no_value(name: str) -> None:
    assert Redactor().fields({name: 12345, "x": {name: "abc"}}) == {name: HIDDEN, "x": {name: HIDDEN}}
    assert Redactor().fields({"instrument_token": CE, "token_expires": 5}) == {
        "instrument_token": CE,
        "token_expires": 5,
    }


@given(st.text(min_size=6, max_size=30), st.text(max_size=40), st.text(max_size=40))
def test_a_registered_secret_never_survives_wherever_it_stands(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.hide(secret)
    clean = redactor.text(before + secret + after)
    assert secret not in clean or secret in HIDDEN * 20


# --- never blocking -------------------------------------------------------------------------------------


class Stuck(io.StringIO):
    """A pipe nobody reads, until `free`."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.free.wait(20)
        return super().write(text)


def test_a_stuck_stream_loses_the_oldest_lines_and_counts_them() -> None:
    stream = Stuck()
    writer = LineWriter(stream, capacity=10)
    writer.put("first")
    assert stream.entered.wait(5)
    for number in range(25):
        writer.put(str(number))
    assert writer.dropped == 15
    stream.free.set()
    writer.close(5)
    assert stream.getvalue().split() == ["first", *map(str, range(15, 25))]


async def test_a_stuck_stream_does_not_hold_the_event_loop() -> None:
    stream = Stuck()
    logs = Logs(lambda: AT, stream=stream, pretty=False)
    logs.log.info("first")
    assert stream.entered.wait(5)  # from here on the stream is stuck with this line
    worst, last = 0.0, time.perf_counter()
    for _ in range(100):
        for _ in range(60):
            logs.log.info("tick", price=452.3, note="nothing of note")
        await asyncio.sleep(0)
        worst, last = max(worst, time.perf_counter() - last), time.perf_counter()
    assert worst < 0.1, "60 lines a turn, and nobody reads"
    assert logs.dropped > 1000
    stream.free.set()
    logs.close()


def test_closing_on_a_stuck_stream_gives_up_after_its_time() -> None:
    stream = Stuck()
    logs = Logs(lambda: AT, stream=stream, pretty=False)
    logs.log.info("never read")
    assert stream.entered.wait(5)
    began = time.perf_counter()
    logs.close(timeout_seconds=0.1)
    assert time.perf_counter() - began < 2
    stream.free.set()


def test_a_closed_pipe_costs_lines_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    logs = Logs(lambda: AT, stream=stream, pretty=False)
    logs.log.info("to nobody")
    logs.close()
    assert logs.dropped == 1
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_the_last_lines_before_a_crash_are_written() -> None:
    """The process dies of an uncaught exception: its traceback is the last line, as JSON, without secrets."""
    code = textwrap.dedent(f"""
        from bot.telemetry.logs import Logs
        logs = Logs(lambda: {AT}, secrets=[{CANARY!r}])
        try:
            for n in range(500):
                logs.log.info("line", n=n)
            raise RuntimeError("with {CANARY}")
        except RuntimeError:
            logs.log.critical("crashed", exc_info=True)
            raise
        finally:
            logs.close()
    """)
    child = code.replace("raise\n", "pass\n", 1) if False else code
    done = subprocess.run(
        [sys.executable, "-c", child],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("n") for line in lines[:-1]] == list(range(500))
    assert lines[-1]["level"] == "critical"
    assert "RuntimeError" in lines[-1]["exception"]
    assert CANARY not in done.stdout


# --- what a turn says -----------------------------------------------------------------------------------

DECISION = Decision(AT, 452_30, 452.5, -0.03, -0.0004, 0.71)
ORDER = PlaceOrder("k1", CE, Side.BUY, OrderType.LIMIT, 75, 452_35, 0, "D", Reason.ENTRY, DECISION)


def turn(event: Event, *commands: Command, forecast: Forecast | None = None) -> Turn:
    return Turn(event, forecast, list(commands), 0.0)


def tick(at: int) -> Tick:
    return Tick(at, at, CE, 452_30, 75, at, 0, 0, 0, 0, 0)


def test_orders_answers_fills_and_alerts_are_told_with_their_numbers(told: Told) -> None:
    observer = LogObserver(told.log)
    fill = RecordFill(
        AT + 1,
        CE,
        Side.BUY,
        Reason.ENTRY,
        75,
        75 * 452_35,
        DECISION,
        375,
        27_41,
        -27_41,
        75,
        "1",
        "x",
        "",
        "D",
        "k1",
    )
    observer.hear(turn(tick(AT), ORDER))
    observer.hear(turn(SendOutcome(AT, AT, "k1", Act.PLACE, Outcome.UNKNOWN, "", "timeout", "")))
    observer.hear(turn(SendOutcome(AT, AT, "k1", Act.PLACE, Outcome.ACCEPTED, "1", "", "")))
    observer.hear(turn(Heartbeat(AT, AT), fill, Alert(Severity.PAGE, "StopLossTriggered", "Selling.")))
    change = ModifyOrder("k1", "1", OrderType.LIMIT, 75, 451_00, 0, Reason.SIGNAL_EXIT)
    observer.hear(turn(Heartbeat(AT, AT), change, CancelOrder("k1", "1", "timeout")))
    order, unknown, accepted, filled, alert, modify, cancel = told.lines
    assert (order["event"], order["side"], order["price"], order["probability"]) == (
        "order",
        "BUY",
        452.35,
        0.71,
    )
    assert (unknown["level"], accepted["level"]) == ("warning", "info")
    assert (filled["event"], filled["price"], filled["slippage"], filled["tag"]) == (
        "fill",
        452.35,
        3.75,
        "k1",
    )
    assert (alert["level"], alert["name"]) == ("error", "StopLossTriggered")
    assert (modify["event"], modify["price"], cancel["event"]) == ("order_modify", 451.0, "order_cancel")


def test_the_feed_and_the_market_are_told(told: Told) -> None:
    observer = LogObserver(told.log)
    for event in (FeedUp(AT, AT), FeedDown(AT, AT, "stall"), SegmentStatus(AT, AT, "NSE_FO", "NORMAL_OPEN")):
        observer.hear(turn(event))
    up, down, segment = told.lines
    assert (up["event"], down["level"], down["reason"]) == ("feed_up", "warning", "stall")
    assert segment["status"] == "NORMAL_OPEN"


def test_a_refusal_is_told_once_a_minute_for_each_reason_with_the_number_untold(told: Told) -> None:
    observer = LogObserver(told.log)
    for second in range(130):
        at = AT + second * SECOND
        observer.hear(turn(tick(at), Refused(CE, "spread")))
    observer.hear(turn(tick(AT), Refused(CE, "cooldown")))
    assert [(line["reason"], line["untold"]) for line in told.lines] == [
        ("spread", 0),
        ("spread", 59),
        ("spread", 59),
        ("cooldown", 0),
    ]


def test_a_rejection_is_told_once_from_whichever_side_it_comes(told: Told) -> None:
    observer = LogObserver(told.log)
    said = OrderReport(
        AT, AT, "k1", "1", "", CE, Side.BUY, "LIMIT", "rejected", 75, 0, 0, 452_35, 0, "margin", ""
    )
    observer.hear(turn(said))
    observer.hear(turn(BrokerSnapshot(AT, AT, 0, (said,), ())))
    observer.hear(turn(said._replace(status="open", tag="k2")))
    (line,) = told.lines
    assert (line["event"], line["message"]) == ("order_rejected", "margin")


def test_ticks_are_told_only_when_asked_with_all_the_first_implementation_showed() -> None:
    told = Told()
    seen = Forecast(100, 452_30, 452.5, -0.03, -0.000442, 0.71)
    LogObserver(told.log).hear(turn(tick(AT), forecast=seen))
    LogObserver(told.log, verbose=True).hear(turn(tick(AT), forecast=seen))
    (line,) = told.lines
    assert {
        name: line[name] for name in ("price", "estimate", "velocity", "rel_diff", "probability", "tick")
    } == {
        "price": 452.3,
        "estimate": 452.5,
        "velocity": -0.03,
        "rel_diff": -0.000442,
        "probability": 0.71,
        "tick": 100,
    }
    assert line["time"].startswith("2026-09-16T")
