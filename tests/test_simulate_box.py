"""What a simulated day is made of: its loop, its lean HTTP, its lease, and what befalls the process in it."""

import asyncio
import ssl

import pytest

from bot.assemble.world import World
from bot.core.units import SECOND
from bot.run.lockstep import LockstepStuck
from bot.simulate.checks import TERM_ENDS
from bot.simulate.lease_store import SimLease
from bot.simulate.loop import BoxClock, BoxLoop
from bot.simulate.network import Incarnation, running
from bot.simulate.troubles import Kind, Trouble
from bot.storage.lease import LeaseUnreachable
from bot.upstox.line import Line
from bot.upstox.throttle import READ_LIMITS, Throttle
from bot.upstox.wire_answers import Answer, Reach
from tests.compiled import plants
from tests.planted_bugs import SHORT

TRUST = ssl.create_default_context()


def test_a_day_on_lean_http_is_the_day_on_the_whole_libraries():
    lean, whole = (World(1, whole_http=each).run() for each in (False, True))
    assert lean.digest == whole.digest
    assert lean.trades


def test_steps_run_in_order_and_timers_in_the_order_of_their_times():
    ran: list[str] = []

    async def day() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(2, ran.append, "two")
        loop.call_later(1, ran.append, "one")
        loop.call_later(1, ran.append, "one, asked later")
        never = loop.call_later(1, ran.append, "never")
        loop.call_soon(ran.append, "now")
        never.cancel()
        await asyncio.sleep(3)
        assert loop.time() == 3

    with asyncio.Runner(loop_factory=BoxLoop) as box:
        box.run(day())
    assert ran == ["now", "one", "one, asked later", "two"]


def test_a_world_in_which_everybody_waits_says_so():
    async def day() -> None:
        await asyncio.get_running_loop().create_future()

    loop = BoxLoop()
    with pytest.raises(LockstepStuck):
        loop.run_until_complete(day())
    loop.close()


def test_a_process_that_stands_still_does_nothing_and_then_all_of_it():
    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)

    async def day() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BoxLoop)
        life = Incarnation(1)
        running.set(life)
        task = asyncio.create_task(beat())
        running.set(None)
        await asyncio.sleep(2.5)
        loop.freeze(life, 10)
        await asyncio.sleep(12)
        task.cancel()

    with asyncio.Runner(loop_factory=BoxLoop) as box:
        box.run(day())
    assert beats == [0, 1, 2, 12.5, 13.5, 14.5][: len(beats)]
    assert len(beats) > 4


def test_a_call_to_nobody_and_a_call_cut_off_end_on_the_virtual_network_as_on_a_real_one():
    class Rude(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            asyncio.get_running_loop().call_later(1, transport.close)

    async def day() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BoxLoop)
        clock = BoxClock(loop, 0)

        async def call(port: int) -> Answer:
            line = Line(
                clock, f"http://127.0.0.1:{port}", Throttle(clock, READ_LIMITS), connect_seconds=2.0,
                total_seconds=5.0, trust=TRUST, headers={},
            )  # fmt: skip
            answer = await line.exchange("GET", "/", "t", {})
            await line.aclose()
            return answer

        assert await call(7) == Answer(Reach.NOT_SENT, reason="CONNECT")
        loop.network.listen(8, Rude)
        assert await call(8) == Answer(Reach.NO_ANSWER, reason="LOST")
        loop.network.swallowing_until = loop.time() + 60
        assert await call(8) == Answer(Reach.NOT_SENT, reason="TIMEOUT")

    with asyncio.Runner(loop_factory=BoxLoop) as box:
        box.run(day())


def test_a_skewed_clock_tells_and_waits_by_its_own_time():
    async def day() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BoxLoop)
        clock = BoxClock(loop, 100 * SECOND)
        clock.skew = 5 * SECOND
        told = clock.now()
        await clock.sleep_until(told + 3 * SECOND)
        return told, loop.time()

    with asyncio.Runner(loop_factory=BoxLoop) as box:
        assert box.run(day()) == (105 * SECOND, 3.0)


def test_the_simulated_lease_is_written_only_by_who_saw_the_last_write():
    store = SimLease()
    first = store.write("a", "a", 1, None)
    assert first is not None
    assert store.write("b", "b", 2, None) is None
    second = store.write("b", "b", 3, first)
    assert (store.holder, store.write("a", "a", 4, first)) == ("b", None)
    found = store.read()
    assert found is not None
    assert (found.etag, found.holder) == (second, "b")
    store.away = lambda: True
    with pytest.raises(LeaseUnreachable):
        store.read()


MIDDAY = SHORT.open_at + 120 * SECOND


@pytest.mark.parametrize(
    ("kind", "seconds", "amount", "mark"),
    [
        (Kind.SIGTERM, 10.0, 0, "ended in mid-day"),
        (Kind.BOOT_DEATHS, 0.0, 3, "event FeedUp"),
        (Kind.PAUSE, 50.0, 0, "feed lost by stall"),
        (Kind.SECOND_BOT, 200.0, 1, "second bot ENTRY"),
        (Kind.LEASE_AWAY, 60.0, 0, "alert LeaseLost"),
        (Kind.DISK_EIO, 0.0, 0, "event Operator"),
        (Kind.CLOCK_SKEW, 120.0, -20_000, "event ClockRead"),
        (Kind.ARCHIVE_DOWN, 0.0, 0, "event FeedUp"),
    ],
)
def test_what_befalls_the_process_and_its_machine_is_lived_through(kind, seconds, amount, mark):
    day = World(3, SHORT, troubles=[Trouble(MIDDAY, kind, seconds, amount)]).run()
    assert day.troubles[kind] == 1
    assert not day.breaches
    assert any(name.startswith(mark) for name in day.marks), sorted(day.marks)


def test_a_bot_that_does_not_end_at_sigterm_is_caught(monkeypatch):
    from bot.run import day as run

    async def never(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(run, "_until_flat", never)
    monkeypatch.setattr(run, "_until_settled", never)
    day = World(3, SHORT, troubles=[Trouble(MIDDAY, Kind.SIGTERM, 1.0, 0)], until_breach=True).run()
    assert any(breach.rule == "4 stop" for breach in day.breaches)
    assert day.breaches[0].at <= MIDDAY + TERM_ENDS + 2 * SECOND


@plants
def test_an_entry_without_the_lease_is_caught(monkeypatch):
    from bot.core.operator import OperatorWords

    monkeypatch.setattr(OperatorWords, "leased", lambda *_: True)
    troubles = [Trouble(MIDDAY, Kind.SECOND_BOT, 200.0, 1)]
    day = World(3, SHORT, troubles=troubles, until_breach=True).run()
    assert any(breach.rule == "11 one writer" for breach in day.breaches)
