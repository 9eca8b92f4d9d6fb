"""The day's phases under APScheduler, on a wall clock that runs faster than life."""

import asyncio
from datetime import time

from bot.core.session import Session
from bot.core.units import MILLISECOND
from bot.run.live import WallClock
from bot.run.timetable import WallTimetable
from tests.conftest import DAY, at

SHORT = Session.on(DAY, opens=time(9, 15), entry_cutoff=time(9, 16), flatten=time(9, 17), closes=time(9, 18))


async def test_phases_come_in_order_at_their_hour_each_once() -> None:
    clock = WallClock(starts_at=at("08:49:50"), speed=1500.0)
    told: list[tuple[str, int]] = []
    timetable = WallTimetable(SHORT, lambda phase: told.append((phase, clock.now())), clock)
    timetable.start()
    try:
        await timetable.reached("preflight")
        assert clock.now() >= at("08:50:00")
        await timetable.reached("connect")
        assert clock.now() >= at("09:00:00")
        while len(told) < 6:
            await asyncio.sleep(0.01)
        timetable.say("exit")
        timetable.say("exit")
    finally:
        timetable.stop()
    names = [name for name, _ in told]
    assert names == ["preflight", "connect", "open", "entry_cutoff", "flatten", "close", "exit"]
    early = 2 * 1500 * MILLISECOND  # two real milliseconds of rounding
    assert all(when >= due - early for (_, when), (_, due) in zip(told, timetable.phases(), strict=False))


async def test_a_late_start_hears_of_what_is_past_at_once_and_new_deadlines_replace_old_ones() -> None:
    clock = WallClock(starts_at=at("09:14:50"), speed=1500.0)
    told: list[str] = []
    timetable = WallTimetable(Session.on(DAY), told.append, clock)
    timetable.start()
    try:
        await timetable.reached("connect")
        timetable.change(SHORT)
        while "close" not in told:
            await asyncio.sleep(0.01)
    finally:
        timetable.stop()
    assert sorted(told[:2]) == ["connect", "preflight"]
    assert sorted(told[2:]) == ["close", "entry_cutoff", "flatten", "open"]
