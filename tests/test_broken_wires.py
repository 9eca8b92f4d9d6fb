"""Real processes on broken wires: connections reset, half open, answers lost, the broker away at the flatten.

The twin's ledger is the judge; the bot is a process of its own and nobody helps it.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.units import SECOND
from bot.twin.faults import Fault, FaultKind
from tests.conftest import at
from tests.shell import Shell, until
from tests.test_killed_processes import BUSY, ended, judged
from tests.twin_thread import TwinThread

SPEED = 10.0
WIRES = [
    Fault(0, FaultKind.DROP_MARKET),
    Fault(0, FaultKind.DROP_PORTFOLIO),
    Fault(0, FaultKind.HALF_OPEN_MARKET),
    Fault(0, FaultKind.HALF_OPEN_PORTFOLIO),
    Fault(0, FaultKind.LOSE_REPLY),
    Fault(0, FaultKind.SLOW_REPLY, 20.0),
    Fault(0, FaultKind.LATE_ACCEPTANCE, 30.0),
    Fault(0, FaultKind.DOWN, 20.0),
]

pytestmark = pytest.mark.component


@pytest.fixture
def twin() -> Iterator[TwinThread]:
    with TwinThread(starts_at=at("09:20:00"), speed=SPEED) as running:
        yield running


def test_after_each_broken_wire_it_trades_again_and_its_books_agree(tmp_path: Path, twin: TwinThread) -> None:
    shell = Shell(tmp_path, twin, **BUSY)
    with shell.bot() as running:
        until(twin.position)
        for fault in WIRES:
            twin.inject(fault._replace(at=twin.clock.now()))
            time.sleep(1.0)
            before = twin.traded()
            until(lambda seen=before: twin.traded() > seen + 1, 90.0)  # type: ignore[misc]
            assert running.poll() is None, fault
        running.terminate()
        said, _ = running.communicate(timeout=60)
        assert running.returncode == 0, said
    judged(twin, tmp_path)


def test_a_broker_that_is_away_across_the_flatten_is_flat_within_ten_seconds_of_its_return(
    tmp_path: Path,
) -> None:
    with TwinThread(starts_at=at("15:25:00"), speed=SPEED, opens_at=at("15:15:00")) as twin:
        shell = Shell(tmp_path, twin, **BUSY, BOT_SESSION__ENTRY_CUTOFF="15:29:00")
        with shell.bot() as running:
            until(lambda: twin.clock.now() > at("15:27:30") and twin.position(), 60.0)
            back = at("15:29:30")
            away = (back - twin.clock.now()) / SECOND
            twin.inject(Fault(twin.clock.now(), FaultKind.DOWN, away))
            until(lambda: twin.clock.now() > back + 10 * SECOND, 60.0)
            assert twin.position() == 0
            running.terminate()
            said, _ = running.communicate(timeout=60)
            assert running.returncode == 0, said
    judged(twin, tmp_path)


def test_started_again_after_all_of_it_nothing_is_left_over(tmp_path: Path, twin: TwinThread) -> None:
    shell = Shell(tmp_path, twin, **BUSY)
    with shell.bot():
        until(twin.position)
        twin.inject(Fault(twin.clock.now(), FaultKind.LOSE_REPLY))
        twin.inject(Fault(twin.clock.now(), FaultKind.DROP_PORTFOLIO))
        time.sleep(0.5)
    ended(shell, twin)
    judged(twin, tmp_path)
