"""What must hold of the order path: short days over real sockets, judged by the twin's own ledger.

Further cases of the same list: test_refusal_codes.py (each code), test_leaving_day.py (lost replies, part
fills, a stop left alone, refused exits), test_restart_times.py, test_token_watch.py (a token that dies),
test_processes.py (S3 away), test_first_day.py (the day of the script that this bot replaces).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.assemble.closing import EXIT_DONE, EXIT_UNRECONCILED
from bot.assemble.plan import Plan
from bot.core.events import Act, OrderReport, Outcome, SendOutcome
from bot.core.units import SECOND
from bot.storage.journal import SqliteJournal, read_journal
from bot.twin.faults import FaultKind
from tests.conftest import DAY, at
from tests.days import Running, ShortDay
from tests.test_day import Ears, fault
from tests.test_leaving_day import HELD, SINKS, WITH_MARGIN, Watch, day


@pytest.mark.parametrize(
    ("seconds", "act"),
    [
        (30, Act.MODIFY),
        (90, Act.PLACE),
        pytest.param(30, Act.PLACE, marks=pytest.mark.component),
        pytest.param(90, Act.MODIFY, marks=pytest.mark.component),
    ],
)
def test_late_acceptance_is_no_double_order_and_no_forgotten_quantity(
    tmp_path: Path, seconds: float, act: Act
) -> None:
    """The call breaks, and reaches the broker so much later."""
    watch, ears = Watch(), Ears()
    late = [fault("09:18:00", FaultKind.LATE_ACCEPTANCE, seconds, act)] * 2
    outcome = day(tmp_path, watch, late, observers=(ears,))
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    doubts = [each for each in ears.of(SendOutcome) if each.outcome is Outcome.UNKNOWN]
    assert [each.act for each in doubts[:2]] == [act, act]
    assert (watch.too_much <= 2, watch.short <= 5) == (True, True)


LONG = pytest.mark.component  # in make test, three of the kinds


@pytest.mark.parametrize(
    "outages",
    [
        pytest.param([("09:27:10", 45, FaultKind.DOWN)], id="before", marks=LONG),
        pytest.param([("09:27:50", 45, FaultKind.DOWN)], id="across"),
        pytest.param([("09:28:00", 20, FaultKind.DOWN)], id="at_the_flatten", marks=LONG),
        pytest.param(
            [
                ("09:27:58", 6, FaultKind.DOWN),
                ("09:28:08", 6, FaultKind.DOWN),
                ("09:28:18", 6, FaultKind.DOWN),
            ],
            id="flapping",
        ),
        pytest.param([("09:27:55", 30, FaultKind.WRONG_ADDRESS)], id="wrong_address", marks=LONG),
        pytest.param([("09:27:55", 30, FaultKind.TOO_MANY)], id="too_many", marks=LONG),
        pytest.param([("09:27:55", 30, FaultKind.UNAUTHORIZED)], id="unauthorized"),
        pytest.param([("09:28:00", 50, FaultKind.DOWN)], id="long", marks=LONG),
    ],
)
def test_a_broker_away_around_the_flatten_finds_us_flat_10_seconds_after_its_return(
    tmp_path: Path, outages: list[tuple[str, float, FaultKind]]
) -> None:
    """Held across it; the flatten of this short day is at 09:28:00."""
    faults = [fault(clock, kind, seconds) for clock, seconds, kind in outages]
    watch = Watch()
    outcome = day(tmp_path, watch, [*HELD, *faults], shocks=SINKS)
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    back = max(each.at + round(each.seconds * SECOND) for each in faults)
    assert at("09:27:00") < watch.flat_at <= max(back, at("09:28:00")) + 10 * SECOND
    assert (watch.too_much <= 2, watch.short <= 5) == (True, True)


def words_of(events: Sequence[OrderReport]) -> list[tuple[str, str, int]]:
    return [(event.order_id, event.status, event.filled_quantity) for event in events]


def test_updates_of_orders_that_come_twice_and_backwards_change_no_account(tmp_path: Path) -> None:
    watch, ears = Watch(), Ears()
    faults = [
        fault("09:16:00", FaultKind.SHUFFLE_PORTFOLIO, 660),
        fault("09:17:00", FaultKind.THIN_BOOK, 600, quantity=65),
    ]
    outcome = day(tmp_path, watch, faults, quantity=195, observers=(ears,))
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    assert not outcome.result.books.differences
    words = words_of([event for event in ears.of(OrderReport) if event.tag])
    assert len(words) > len(set(words)), "some came twice"
    filled: dict[str, int] = {}
    backwards = 0
    for order_id, _, units in words:
        backwards += units < filled.get(order_id, 0)
        filled[order_id] = max(units, filled.get(order_id, 0))
    assert backwards, "some came after a younger one"
    assert (watch.too_much <= 2, watch.short <= 5) == (True, True)


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.SLOW_REPLY,
        pytest.param(FaultKind.LATE_ACCEPTANCE, marks=LONG),
        pytest.param(FaultKind.LOSE_REPLY, marks=LONG),
    ],
)
def test_fills_that_cross_a_cancel_are_owned_and_sold(tmp_path: Path, kind: FaultKind) -> None:
    """Entries fill in parts, so their time runs out; the cancel is under way while more is filled."""
    watch, ears = Watch(), Ears()
    faults = [fault("09:16:00", FaultKind.THIN_BOOK, 660, quantity=65)]
    faults += [fault("09:16:00", kind, 4.0, Act.CANCEL)] * 20
    outcome = day(tmp_path, watch, faults, quantity=650, observers=(ears,))
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    asked = [each for each in ears.of(SendOutcome) if each.act is Act.CANCEL]
    orders = {row.order_id: row for row in outcome.twin.exchange.orders()}
    buys = [row for row in orders.values() if row.side == "BUY"]
    assert asked
    assert any(0 < row.filled_quantity < row.quantity for row in buys), "cancelled with a part filled"
    assert (watch.too_much <= 2, watch.short <= 5) == (True, True)


class NoRoom(ShortDay):
    """The disk has no room left for the journal from 09:19 to 09:22: SQLite itself says so."""

    journals: list[SqliteJournal]

    def _plan(self, *arguments: Any) -> Plan:
        self.journals = []

        def opened(path: Path) -> SqliteJournal:
            self.journals.append(SqliteJournal(path))
            return self.journals[-1]

        plan = super()._plan(*arguments)
        object.__setattr__(plan, "open_journal", opened)
        return plan


def test_a_full_disk_and_an_archive_that_is_away_keep_no_exit_from_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    told: dict[str, int] = {}
    stopped: list[str] = []

    async def fill(running: Running) -> None:
        await running.until("09:19:00")
        await running.until_long()
        disk = short.journals[-1]._db
        pages = disk.execute("PRAGMA page_count").fetchone()[0]
        disk.execute(f"PRAGMA max_page_count={pages}")
        told["long"] = running.clock.now()
        while any(row.quantity for row in running.twin.exchange.positions()):
            await running.clock.sleep_until(running.clock.now() + SECOND // 10)
        told["flat"] = running.clock.now()
        await running.until("09:25:00")
        assert running.desk is not None
        stopped.append(running.desk.engine.entries_stopped)

    watch = Watch(fill)
    short = NoRoom(tmp_path, meanwhile=watch, exchange=WITH_MARGIN, archive_root="s3://days/bot")
    outcome = short.run()
    assert not any(row.quantity for row in outcome.twin.exchange.positions())
    assert told["flat"] < at("09:28:00"), "sold by its own rule"
    assert stopped == ["journal_failed"]
    kept = " ".join(record.body for record in read_journal(tmp_path / "data" / f"journal-{DAY}.sqlite"))
    bought = [row.tag for row in outcome.twin.exchange.orders() if row.side == "BUY"]
    assert not [tag for tag in bought if tag not in kept], "no entry that the journal does not know of"
    assert (watch.too_much <= 2, watch.short) == (True, 0)
    assert outcome.result.archive_problem
    assert outcome.result.exit_code in {EXIT_DONE, EXIT_UNRECONCILED}
