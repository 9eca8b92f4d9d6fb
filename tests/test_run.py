"""The crank: lockstep time over real sockets, the inbox, journal before send, and a broker that hangs."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from bot.core.account import NOT_DECIDED
from bot.core.commands import AskSnapshot, Command, PlaceOrder, Reason, RecordFill
from bot.core.engine import Engine
from bot.core.events import Event, Heartbeat, Operator, OrderType, Outcome, SendOutcome, Side, Tick
from bot.core.rules import Contract, Rules
from bot.core.session import Session
from bot.core.units import SECOND
from bot.run.inbox import Inbox
from bot.run.live import WallClock
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.run.outbox import Outbox
from bot.run.ports import OrderCommand, Record, Turn
from bot.run.step import Stepper
from tests.conftest import KEY, at

START = at("09:00:00")


def lockstep(main: Any, speed_max: float | None = None) -> Any:
    """Run `main(clock)` on virtual time."""
    loop = LockstepLoop(speed_max=speed_max)
    try:
        return loop.run_until_complete(main(LockstepClock(loop, START)))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def tick(price: int = 30_000, key: str = KEY) -> Tick:
    return Tick(START, 0, key, price, 75, 0, price - 5, price + 5, 75, 75, 0)


def order(side: Side, tag: str = "k1") -> PlaceOrder:
    return PlaceOrder(tag, KEY, side, OrderType.LIMIT, 75, 30_000, 0, "D", Reason.ENTRY, NOT_DECIDED)


# ---- lockstep -----


def test_a_virtual_day_takes_no_real_time() -> None:
    async def main(clock: LockstepClock) -> list[int]:
        woke = []

        async def sleeper(name: int, hours: int) -> None:
            await clock.sleep_until(START + hours * 3600 * SECOND)
            woke.append((name, clock.now() - START))

        await asyncio.gather(sleeper(1, 6), sleeper(2, 1), sleeper(3, 3), asyncio.sleep(20_000))
        return woke

    assert lockstep(main) == [(2, 3600 * SECOND), (3, 3 * 3600 * SECOND), (1, 6 * 3600 * SECOND)]


def test_time_stands_still_while_a_message_is_on_a_real_socket() -> None:
    """A timer due in 1 ms of virtual time cannot overtake bytes that are on their way."""

    async def main(clock: LockstepClock) -> list[str]:
        seen: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1):
                await asyncio.get_running_loop().run_in_executor(None, __import__("time").sleep, 0.01)
                writer.write(b"x")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for n in range(20):
            timer = asyncio.get_running_loop().call_later(0.001, seen.append, f"timer {n}")
            clock.departed()
            writer.write(b"x")
            await reader.read(1)
            clock.arrived()
            seen.append(f"answer {n}")
            assert not timer.cancelled()
            await asyncio.sleep(0.002)
        writer.close()
        await writer.wait_closed()
        server.close()
        await asyncio.sleep(0.1)  # the other side closes too
        return seen

    expected = [text for n in range(20) for text in (f"answer {n}", f"timer {n}")]
    assert lockstep(main) == expected


def test_quiet_waits_until_everything_was_dealt_with() -> None:
    async def main(clock: LockstepClock) -> list[str]:
        seen = []

        async def chain(left: int) -> None:
            for _ in range(left):
                await asyncio.sleep(0)
            seen.append("dealt with")

        task = asyncio.ensure_future(chain(50))
        await clock.quiet()
        seen.append("quiet")
        await task
        assert clock.now() == START
        return seen

    assert lockstep(main) == ["dealt with", "quiet"]


def test_a_timeout_counts_virtual_seconds() -> None:
    async def main(clock: LockstepClock) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return (clock.now() - START) / SECOND

    assert lockstep(main) == pytest.approx(60)


def test_the_speed_can_be_capped() -> None:
    """20 virtual seconds at 100 × take at least 0.2 real ones."""
    began = WallClock().monotonic()
    lockstep(lambda clock: clock.sleep_until(START + 20 * SECOND), speed_max=100)
    assert WallClock().monotonic() - began >= 0.2 * SECOND


# ---- inbox and step -----


def test_only_the_newest_waiting_tick_of_an_instrument_may_cause_an_entry() -> None:
    inbox = Inbox()
    for event in (tick(1), tick(2, "other"), Heartbeat(0, 0), tick(3)):
        inbox.put(event)
    taken = [inbox.take() for _ in range(4)]
    assert [newest for _, newest in taken] == [False, True, True, True]
    assert [getattr(event, "ltp", 0) for event, _ in taken] == [1, 2, 0, 3]


def test_an_observer_that_raises_is_cut_off_and_trading_goes_on(contract: Contract, session: Session) -> None:
    class Broken:
        def hear(self, turn: Turn) -> None:
            raise ValueError("boom")

    class Ears:
        heard = 0

        def hear(self, turn: Turn) -> None:
            self.heard += 1

    ears, failed = Ears(), []
    engine = Engine(Rules(), session, [contract], lambda _: 0.0, 1)
    stepper = Stepper(engine, [Broken(), ears], lambda *_: None, lambda who, why: failed.append(str(why)))
    for _ in range(3):
        stepper.step(tick(), True)
    assert failed == ["boom"]
    assert ears.heard == 2  # the turn in which the other broke is lost to it, no more


# ---- outbox -----


class Book:
    """A journal and a broker that note the order of things. Real ones have tests of their own."""

    def __init__(
        self, *, disk_seconds: float = 0.0, disk_fails: bool = False, call_seconds: float = 0.0
    ) -> None:
        self.log: list[str] = []
        self.disk_seconds, self.disk_fails, self.call_seconds = disk_seconds, disk_fails, call_seconds

    def commit(self, records: Sequence[Record]) -> None:
        __import__("time").sleep(self.disk_seconds)
        if self.disk_fails:
            raise OSError(28, "No space left on device")
        self.log.append("disk " + ",".join(json.loads(record.body)["tag"] for record in records))

    def read(self) -> Sequence[Record]:
        return ()

    async def send(self, command: OrderCommand) -> None:
        self.log.append(f"send {command.tag}")
        await asyncio.sleep(self.call_seconds)
        self.log.append(f"answered {command.tag}")

    async def ask_snapshot(self) -> None:
        self.log.append("snapshot")

    async def run(self) -> None: ...


async def outbox_run(book: Book, batches: list[list[Command]], seconds: float = 0.3) -> list[Event]:
    events: list[Event] = []
    failures: list[str] = []
    outbox = Outbox(
        WallClock(),
        events.append,
        book,
        lambda kept: (type(kept).__name__, json.dumps({"tag": kept.tag})),
        lambda fills: book.log.append(f"csv {len(fills)}"),
        book,
        lambda what, why: failures.append(what),
    )
    work: Coroutine[Any, Any, None] = outbox.run()
    task = asyncio.ensure_future(work)
    for batch in batches:
        outbox.put(Heartbeat(1, 1), batch)
    await asyncio.sleep(seconds)
    task.cancel()
    outbox.close()
    return events


async def test_the_journal_is_on_disk_before_anything_is_sent() -> None:
    book = Book(disk_seconds=0.02)
    await outbox_run(book, [[order(Side.BUY, "k1")], [order(Side.BUY, "k2"), AskSnapshot("x")]])
    for tag in ("k1", "k2"):
        assert book.log.index(f"disk {tag}") < book.log.index(f"send {tag}")
    assert "snapshot" in book.log


async def test_an_exit_waits_for_a_slow_disk_at_most_50_ms() -> None:
    book = Book(disk_seconds=0.2)
    await outbox_run(book, [[order(Side.SELL)]])
    assert book.log == ["send k1", "answered k1", "disk k1"]


async def test_an_entry_without_a_journal_is_not_sent_and_an_exit_is() -> None:
    book = Book(disk_fails=True)
    events = await outbox_run(book, [[order(Side.BUY, "k1")], [order(Side.SELL, "k2")]])
    assert book.log == ["send k2", "answered k2"]
    refused = [event for event in events if isinstance(event, SendOutcome)]
    assert [(event.tag, event.outcome, event.code) for event in refused] == [
        ("k1", Outcome.REFUSED, "NOT_JOURNALED")
    ]
    assert any(isinstance(event, Operator) and event.reason == "journal_failed" for event in events)


async def test_a_call_that_hangs_delays_no_other() -> None:
    book = Book(call_seconds=10)
    await outbox_run(book, [[order(Side.BUY, "k1")], [order(Side.SELL, "k2")], [AskSnapshot("x")]])
    assert {"send k1", "send k2", "snapshot"} <= set(book.log)


async def test_an_exit_does_not_wait_behind_other_records_on_a_slow_disk() -> None:
    book = Book(disk_seconds=0.2)
    fill = RecordFill(
        1, KEY, Side.BUY, Reason.ENTRY, 75, 75 * 30_000, NOT_DECIDED, 0, 0, 0, 75, "1", "X", "", "D", "k1"
    )
    await outbox_run(book, [[fill], [fill], [order(Side.SELL, "k2")]], seconds=0.15)
    assert "send k2" in book.log


async def test_an_entry_that_waited_too_long_for_the_disk_is_not_sent() -> None:
    book = Book(disk_seconds=1.3)
    events = await outbox_run(book, [[order(Side.BUY, "k1")]], seconds=1.6)
    assert "send k1" not in book.log
    assert any(isinstance(event, SendOutcome) and event.code == "NOT_JOURNALED" for event in events)


async def test_fills_go_to_the_csv_with_the_journal() -> None:
    fill = RecordFill(
        1, KEY, Side.BUY, Reason.ENTRY, 75, 75 * 30_000, NOT_DECIDED, 0, 0, 0, 75, "1", "X", "", "D", "k1"
    )
    book = Book()
    await outbox_run(book, [[fill]])
    assert book.log == ["csv 1", "disk k1"]


async def test_fills_reach_the_csv_when_the_journal_fails() -> None:
    fill = RecordFill(
        1, KEY, Side.BUY, Reason.ENTRY, 75, 75 * 30_000, NOT_DECIDED, 0, 0, 0, 75, "1", "X", "", "D", "k1"
    )
    book = Book(disk_fails=True)
    await outbox_run(book, [[fill]])
    assert book.log == ["csv 1"]
