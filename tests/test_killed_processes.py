"""Real processes, killed at random and stopped in mid-step: the twin's ledger is the judge (hazards §4.3 G7).

Five deaths here, two hundred as a component; `SOAK=1` makes it a thousand.
"""

import csv
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.units import rupees_text
from tests.conftest import DAY, at
from tests.shell import Shell, until
from tests.twin_thread import TwinThread

SPEED = 30.0
QUANTITY = 65
MANY = 1000 if os.environ.get("SOAK") else 200
A_DAY = 200  # deaths; more would not fit into a session
BUSY = {
    "BOT_RISK__ENTRIES_PER_DAY": "100000", "BOT_RISK__ENTRIES_PER_MINUTE": "60",
    "BOT_RISK__COOLDOWN_SECONDS": "0", "BOT_RISK__STOPS_PER_DAY": "100000",
    "BOT_RISK__DAILY_LOSS_RUPEES": "10000000",
}  # fmt: skip


@pytest.fixture
def twin() -> Iterator[TwinThread]:
    with TwinThread(starts_at=at("09:20:00"), speed=SPEED) as running:
        yield running


def killed(shell: Shell, twin: TwinThread, deaths: int, moments: random.Random) -> Counter[str]:
    """Start the bot and kill it, so many times: at boot, at rest, in the middle of an order."""
    seen: Counter[str] = Counter()
    for number in range(deaths):
        process = shell.start("run")
        if moments.random() < 0.5 and number % 10 != 9:  # at boot, or soon after
            time.sleep(moments.uniform(0.1, 1.5))
        else:  # at work
            until(shell.ready)
            # Now and then long enough to give up an order that a death kept from being sent (90 s of the
            # market's): until then it is in doubt, and no life of less may enter.
            time.sleep(moments.uniform(0.0, 2.0) + (4.0 if number % 10 == 9 else 0.0))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
        assert process.returncode == -signal.SIGKILL, "it had ended by itself"
        selling = any(row.pending_quantity for row in twin.exchange.orders())
        seen[f"{'holding' if twin.position() else 'flat'}, {'an' if selling else 'no'} order open"] += 1
    return seen


def judged(twin: TwinThread, folder: Path) -> None:
    """No order twice, never more than one entry's quantity, never short, flat; the CSV is the trade list."""
    tags = Counter(row.tag for row in twin.exchange.orders() if row.tag)
    assert not [tag for tag, times in tags.items() if times > 1], "an order was sent twice"
    position, path = 0, []
    for trade in twin.exchange.trades():
        position += trade.quantity if trade.side == "BUY" else -trade.quantity
        path.append(position)
    assert path, "nothing was traded"
    assert 0 <= min(path) <= max(path) <= QUANTITY
    assert position == 0
    with (folder / "data" / f"trades-{DAY}.csv").open() as file:
        booked = Counter((row["side"], row["quantity"], row["price"]) for row in csv.DictReader(file))
    dealt = Counter((str(t.side), str(t.quantity), rupees_text(t.price)) for t in twin.exchange.trades())
    assert booked == dealt, "what was acknowledged is in the CSV, and nothing else"


def ended(shell: Shell, twin: TwinThread) -> None:
    """A last start, told to end in a position: it reconciles, sells, and its books agree."""
    process = shell.start("run")
    until(shell.ready)
    until(twin.position)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said


def test_killed_five_times_nothing_is_lost_and_nothing_sent_twice(tmp_path: Path, twin: TwinThread) -> None:
    shell = Shell(tmp_path, twin, **BUSY)
    killed(shell, twin, 5, random.Random(5))
    ended(shell, twin)
    judged(twin, tmp_path)


def test_stopped_for_thirty_seconds_in_a_position_it_wakes_up_and_goes_on(
    tmp_path: Path, twin: TwinThread
) -> None:
    """SIGSTOP: the stop at the exchange goes on protecting; awake, no order on what was seen before."""
    shell = Shell(tmp_path, twin, **BUSY)
    with shell.bot() as running:
        until(lambda: any(row.side == "SELL" and row.pending_quantity for row in twin.exchange.orders()))
        running.send_signal(signal.SIGSTOP)
        before = twin.orders()
        time.sleep(30 / SPEED)
        assert twin.orders() == before
        running.send_signal(signal.SIGCONT)
        until(lambda: not twin.position())
        until(twin.position)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=60)
        assert running.returncode == 0, said
    judged(twin, tmp_path)


@pytest.mark.component
@pytest.mark.parametrize("day", range(MANY // A_DAY))
def test_killed_two_hundred_times_a_day(tmp_path: Path, twin: TwinThread, day: int) -> None:
    shell = Shell(tmp_path, twin, **BUSY)
    seen = killed(shell, twin, A_DAY, random.Random(day))
    print(f"killed {A_DAY} times: {dict(seen)}; {twin.traded()} trades")
    assert seen["holding, an order open"] >= A_DAY // 10
    assert seen["flat, no order open"] >= A_DAY // 10
    assert twin.traded() >= A_DAY // 4
    ended(shell, twin)
    judged(twin, tmp_path)
