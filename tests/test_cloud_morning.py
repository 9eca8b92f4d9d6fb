"""The wait for the token, on virtual time: when it asks again, alerts, gives up; and what it never uses."""

import asyncio
from collections.abc import Callable

import pytest

from bot.core.units import ist
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.run.morning import Proof, TokenDesk, first_of, keep_fresh, wait_for_token
from tests.conftest import at

OPEN = at("09:15:00")


class Source:
    """A place where tokens appear: (from when, the text), and what the broker says of each."""

    def __init__(self, appear: dict[str, str], says: dict[str, Proof] | None = None) -> None:
        self.appear = {at(clock): text for clock, text in appear.items()}
        self.says = says or {}
        self.calls: list[str] = []  # texts the broker was asked about
        self.told: list[str] = []
        self.clock: LockstepClock

    def desk(self) -> TokenDesk:
        return TokenDesk(self._read, self._works, self._ask, self._say)

    async def _read(self) -> str:
        now = [text for since, text in self.appear.items() if since <= self.clock.now()]
        return now[-1] if now else ""

    async def _works(self, text: str) -> Proof:
        self.calls.append(text)
        return self.says.get(text, Proof.WORKS)

    async def _ask(self) -> None:
        self._say("asked")

    def _say(self, event: str) -> None:
        self.told.append(f"{ist(self.clock.now()):%H:%M} {event}")


def morning(source: Source, starts: str) -> tuple[str, str]:
    """The token, and the wall time at which the wait ended."""
    loop = LockstepLoop()
    source.clock = LockstepClock(loop, at(starts))
    try:
        token = loop.run_until_complete(wait_for_token(source.clock, OPEN, source.desk()))
        return token, f"{ist(source.clock.now()):%H:%M}"
    finally:
        loop.close()


def test_a_token_that_is_there_is_proven_and_used_at_once() -> None:
    source = Source({"08:00:00": "good"})
    assert morning(source, "08:17:00") == ("good", "08:17")
    assert (source.calls, source.told) == (["good"], ["08:17 token_accepted"])


def test_it_asks_once_more_at_0840_alerts_at_0850_and_gives_up_at_0910() -> None:
    source = Source({})
    assert morning(source, "08:17:00") == ("", "09:10")
    assert source.told == ["08:40 token_asked_again", "08:40 asked", "08:50 token_missing"]


def test_a_token_approved_late_is_still_taken() -> None:
    source = Source({"09:08:10": "good"})
    assert morning(source, "08:17:00") == ("good", "09:08")


def test_a_refused_token_is_asked_about_once_and_a_better_one_replaces_it() -> None:
    source = Source({"07:00:00": "forged", "08:30:00": "good"}, {"forged": Proof.REFUSED})
    assert morning(source, "08:17:00") == ("good", "08:30")
    assert source.calls == ["forged", "good"]


def test_a_token_nobody_could_prove_is_never_used_but_asked_about_again() -> None:
    source = Source({"08:00:00": "unproven"}, {"unproven": Proof.UNKNOWN})
    assert morning(source, "09:00:00") == ("", "09:10")
    assert len(source.calls) > 30


def test_a_late_start_looks_once_and_asks_nobody() -> None:
    source = Source({})
    assert morning(source, "10:30:00") == ("", "10:30")
    assert source.told == ["10:30 token_missing"]
    assert morning(Source({"08:00:00": "good"}), "10:30:00") == ("good", "10:30")


@pytest.mark.parametrize(
    ("says", "used"), [({}, ["new"]), ({"new": Proof.REFUSED}, []), ({"new": Proof.UNKNOWN}, [])]
)
def test_a_newer_token_is_used_while_trading_only_once_it_is_proven(
    says: dict[str, Proof], used: list[str]
) -> None:
    source = Source({"08:00:00": "old", "11:00:00": "new"}, says)
    taken: list[str] = []

    async def day(clock: LockstepClock) -> None:
        looking = asyncio.ensure_future(
            keep_fresh(clock, source.desk(), lambda: taken[-1] if taken else "old", taken.append)
        )
        await clock.sleep_until(at("11:05:00"))
        looking.cancel()

    _run(source, "09:00:00", day)
    assert taken == used
    assert "old" not in source.calls, "what works is not asked about again"


def test_stop_ends_the_wait_at_once() -> None:
    source = Source({})

    async def wait(clock: LockstepClock) -> object:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(60, stop.set)
        return await first_of(wait_for_token(clock, OPEN, source.desk()), stop)

    assert _run(source, "08:17:00", wait) is None
    assert f"{ist(source.clock.now()):%H:%M}" == "08:18"


def _run(source: Source, starts: str, main: Callable[[LockstepClock], object]) -> object:
    loop = LockstepLoop()
    source.clock = LockstepClock(loop, at(starts))
    try:
        return loop.run_until_complete(main(source.clock))  # type: ignore[arg-type]
    finally:
        loop.close()
