"""The kill file and the kill signal end a running day's entries, and nothing else; funds are read beside."""

import asyncio
import io
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from bot.assemble.kill_switch import KillSwitch
from bot.core.commands import NoTrade
from bot.core.events import Operator, OrderReport
from bot.core.units import SECOND
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.sim.exchange import SimExchange
from bot.storage import records
from bot.storage.journal import journal_path, read_journal
from bot.telemetry.logs import Logs
from bot.twin import rest_account
from bot.twin.answers import Refused
from tests.conftest import DAY, at
from tests.live_world import Incarnations, World, held


def kept(folder: Path, kind: type[Any]) -> list[Any]:
    rows = read_journal(journal_path(folder / "data", DAY))
    return [records.decode(row.kind, row.body) for row in rows if row.kind == kind.__name__]


def bought_at(world: World) -> list[int]:
    return [row.at for row in kept(world.folder, OrderReport) if row.side == "BUY" and row.filled_quantity]


def test_a_kill_file_ends_entries_within_seconds_and_a_restart_without_it_begins_none(tmp_path: Path) -> None:
    world = World(tmp_path, mode="live")
    file = tmp_path / "data" / "KILL"

    async def kill(world: World, lives: Incarnations) -> None:
        await lives.until("09:22:00")
        file.write_text("")
        await lives.until("09:23:00")
        file.unlink()
        lives.kill()

    assert world.run(kill) == 0
    bought = bought_at(world)
    assert bought, "a day without a trade proves nothing"
    assert max(bought) < at("09:22:05")
    assert [word.reason for word in kept(tmp_path, Operator)] == ["kill_file"]
    late = [
        one for one in kept(tmp_path, NoTrade) if one.since > at("09:24:00") and one.until < at("09:25:00")
    ]
    assert {one.detail for one in late if not one.position} <= {"kill_file"}
    assert held(world) == 0


def test_a_file_that_was_there_before_the_day_allows_no_entry_at_all(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "KILL").write_text("")
    world = World(tmp_path, mode="paper")
    assert world.run() == 0
    assert not bought_at(world)


class Lines:
    """What the switch sees of a day: where words go."""

    def __init__(self) -> None:
        self.words: list[Operator] = []

    def put(self, word: Any) -> None:
        self.words.append(word)


def switched(file: Path, script: Any) -> Lines:
    """Run a switch on virtual time while `script(switch, lines, clock)` goes on."""
    loop = LockstepLoop()
    clock, lines = LockstepClock(loop, at("09:15:00")), Lines()
    logs = Logs(clock.now, stream=io.StringIO(), pretty=False)

    async def day() -> None:
        switch = KillSwitch(clock, file, logs.log)
        running = asyncio.create_task(switch.run(lines))  # type: ignore[arg-type]
        await script(switch, lines, clock)
        running.cancel()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(day())
    logs.close()
    return lines


def test_the_signal_speaks_at_once_and_once(tmp_path: Path) -> None:
    async def script(switch: KillSwitch, lines: Lines, clock: LockstepClock) -> None:
        await clock.sleep_until(clock.now() + SECOND // 2)
        switch.pull()
        assert [word.reason for word in lines.words] == ["kill_signal"]
        await clock.sleep_until(clock.now() + 10 * SECOND)

    assert len(switched(tmp_path / "KILL", script).words) == 1


def test_a_signal_before_the_day_is_not_lost(tmp_path: Path) -> None:
    loop = LockstepLoop()
    clock, lines = LockstepClock(loop, at("09:15:00")), Lines()

    async def day() -> None:
        logs = Logs(clock.now, stream=io.StringIO(), pretty=False)
        switch = KillSwitch(clock, tmp_path / "KILL", logs.log)
        switch.pull()
        running = asyncio.create_task(switch.run(lines))  # type: ignore[arg-type]
        await clock.sleep_until(clock.now() + 2 * SECOND)
        running.cancel()
        logs.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(day())
    assert [word.reason for word in lines.words] == ["kill_signal"]


def test_a_file_that_stays_is_said_once(tmp_path: Path) -> None:
    file = tmp_path / "KILL"
    file.write_text("")

    async def script(_: KillSwitch, lines: Lines, clock: LockstepClock) -> None:
        await clock.sleep_until(clock.now() + 5 * SECOND)

    assert [word.reason for word in switched(file, script).words] == ["kill_file"]


def test_a_place_that_cannot_be_looked_at_is_taken_for_the_worst(tmp_path: Path) -> None:
    async def script(_: KillSwitch, lines: Lines, clock: LockstepClock) -> None:
        await clock.sleep_until(clock.now() + 3 * SECOND)

    long = tmp_path / ("x" * 300)  # ENAMETOOLONG: whether it is there nobody can say
    assert [word.reason for word in switched(long, script).words] == ["kill_file"]


def test_live_no_entry_costs_more_than_the_broker_says_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin takes orders as before, but tells of ₹1,000."""
    monkeypatch.setattr(SimExchange, "funds_available", lambda _: 1_000_00)
    world = World(tmp_path, mode="live")
    assert world.run() == 0
    assert not bought_at(world)
    reasons = " ".join(f"{one.looks} {one.refused}" for one in kept(tmp_path, NoTrade))
    assert "capital=" in reasons


def test_live_no_entry_is_made_while_the_funds_are_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_: Any) -> Any:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "UDAPI100072", "funds service down")

    monkeypatch.setattr(rest_account, "_funds", down)
    world = World(tmp_path, mode="live")
    assert world.run() == 0
    assert not bought_at(world)
    assert world.said("funds_not_read")
