"""`bot flatten` and `bot resume`: a running bot is asked; where none runs, one is started that only sells."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.closing import EXIT_DONE, EXIT_HOLDING, EXIT_REFUSED
from bot.assemble.control import Control, NobodyAnswers, ask
from bot.assemble.day_files import on_thread
from bot.assemble.flatten import run_flatten, run_resume
from bot.assemble.live import LiveRefused, run_live
from bot.assemble.plan import Lines, Plan
from bot.core.units import SECOND
from bot.storage.lock import FolderLock
from tests.conftest import at
from tests.days import Running
from tests.test_cli import settings
from tests.test_day_ends import Day, held, logged, resting
from tests.test_preflight import TEXT
from tests.twin_thread import TwinThread


class Controlled(Day):
    """A day that listens to a person."""

    running: Running | None = None

    def _plan(self, *arguments: Any) -> Plan:
        plan = super()._plan(*arguments)
        self.control = Control(plan.data_folder, plan.clock, plan.logs.log)
        return plan

    async def _beside(self, lines: Lines) -> None:
        assert self.running is not None
        assert self.running.desk is not None
        self.control.ready(self.running.desk)
        await self.control.serve(lines)


def test_a_running_bot_sells_when_asked_enters_no_more_and_remembers_it_until_told(tmp_path: Path) -> None:
    states: list[dict[str, Any]] = []

    async def person(running: Running) -> None:
        day.running = running
        folder = running.plan.data_folder

        async def say(word: str) -> None:
            states.append(await on_thread(running.clock, lambda: ask(folder, word)))

        await running.until("09:18:00")
        await resting(running)
        began = running.clock.now()
        await say("flatten")
        while held(running):
            await running.clock.sleep_until(running.clock.now() + SECOND // 10)
        assert running.clock.now() - began < 10 * SECOND
        await running.until("09:19:00")
        await say("state")
        running.kill_and_restart()
        await running.until("09:20:00")
        await say("state")
        await say("resume")

    day = Controlled(tmp_path, meanwhile=person)
    outcome = day.run()
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    assert not states[0]["flat"]
    assert [(s["flat"], s["halted"]) for s in states[1:]] == [
        (True, "operator"), (True, "operator"), (True, "")
    ]  # fmt: skip
    assert any(row["reason"] == "OPERATOR" for row in outcome.csv_rows)
    entries = [line["time"] for line in logged(tmp_path, "order") if line["reason"] == "ENTRY"]
    assert not [time for time in entries if "T09:18:30" < time < "T09:20:00" and "T" in time]
    assert [time for time in entries if time > "2026-09-16T09:20:00"], "after `bot resume` it enters again"


def test_held_through_sigterm_and_sold_by_a_flatten_that_starts_its_own_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the wall clock, with a real SIGTERM; exit 5, then flat and 0."""
    with TwinThread(starts_at=at("09:20:00"), speed=30) as twin:
        chosen, touchy = (
            settings(
                tmp_path, TEXT, BOT_STRATEGY__THRESHOLD="0.01", BOT_PROCESS__ON_STOP="hold",
                BOT_PROCESS__CRASH_LOOP_BOOTS=boots,
                BOT_BROKER__API_HOST=twin.rest, BOT_BROKER__ORDER_HOST=twin.rest,
            )
            for boots in ("0", "1")
        )  # fmt: skip

        def term() -> None:
            twin.wait_long(20)
            os.kill(os.getpid(), signal.SIGTERM)

        for _ in range(4):  # a signal's exit may have been under way just then
            thread = threading.Thread(target=term)
            thread.start()
            code = run_live(chosen, verbose=False, clock=twin.clock)
            thread.join()
            if code == EXIT_HOLDING:
                break
        assert code == EXIT_HOLDING
        assert twin.position() > 0
        assert run_flatten(chosen, Console(), sure=lambda _: False) == EXIT_DONE
        assert twin.position() > 0, "a person who says no"
        assert run_flatten(touchy, Console(), sure=lambda _: True, clock=twin.clock) == EXIT_DONE
        assert twin.position() == 0
    out = capsys.readouterr().out
    assert "Flat." in out
    assert "CrashLoop" not in out, "a person's start that only sells is no crash"


def test_a_second_bot_is_refused_with_3_and_told_who_runs(tmp_path: Path) -> None:
    chosen = settings(tmp_path, TEXT)
    lock = FolderLock(chosen.data_folder)
    lock.take("mode live")
    try:
        with pytest.raises(LiveRefused, match=f"pid {os.getpid()}") as refused:
            run_live(chosen, verbose=False)
        assert refused.value.exit_code == EXIT_REFUSED
        with pytest.raises(LiveRefused, match="does not answer"):
            run_flatten(chosen, Console(), sure=lambda _: True)
    finally:
        lock.release()
    with pytest.raises(LiveRefused, match="no bot runs"):
        run_resume(chosen, Console())
    with pytest.raises(NobodyAnswers):
        ask(chosen.data_folder, "state")


def test_nobody_is_asked_without_a_terminal_and_no_yes_is_no() -> None:
    done = CliRunner().invoke(app, ["flatten"])
    assert done.exit_code == 2
    assert "--yes" in done.output
