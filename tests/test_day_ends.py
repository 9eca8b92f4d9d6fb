"""How days end and begin again, over real sockets: hold, crash loop, a full disk, books that do not agree."""

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.assemble.closing import EXIT_DONE, EXIT_HOLDING, EXIT_REFUSED, EXIT_UNRECONCILED
from bot.assemble.plan import Lines, Plan
from bot.core.events import CRASH_LOOP, Act, Operator, OperatorAction
from bot.core.units import SECOND
from bot.run.crash_loop import CrashLoop
from bot.storage import records
from bot.storage.journal import JournalUnwritable, SqliteJournal, journal_path, read_journal
from bot.twin.faults import Fault, FaultKind
from bot.upstox.broker import UpstoxBroker
from bot.upstox.wire_orders import TradeRow
from tests.conftest import DAY, at
from tests.days import Outcome, Running, ShortDay
from tests.test_day import fault
from tests.test_leaving_day import HELD, SINKS


@dataclass
class Day(ShortDay):
    """A short day whose plan is another in some things."""

    plan: dict[str, Any] = field(default_factory=dict)

    lines: list[Lines] = field(default_factory=list)  # of each incarnation

    def _plan(self, *arguments: Any) -> Plan:
        return replace(super()._plan(*arguments), beside=self._beside, **self.plan)

    async def _beside(self, lines: Lines) -> None:
        self.lines.append(lines)


def logged(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = (orjson.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines())
    return [line for line in lines if line["event"] == event]


def alerts(folder: Path) -> list[str]:
    return [line["name"] for line in logged(folder, "alert")]


def held(running: Running) -> int:
    return sum(row.quantity for row in running.twin.exchange.positions())


def covered(running: Running) -> int:
    """Units for which a stop rests at the exchange."""
    orders = running.twin.exchange.orders()
    return sum(o.pending_quantity for o in orders if (o.side, o.status) == ("SELL", "trigger pending"))


async def resting(running: Running) -> None:
    """Until we own something and its stop rests."""
    while not (held(running) and covered(running) == held(running)):
        assert running.clock.now() < at("09:26:30"), "never bought"
        await running.clock.sleep_until(running.clock.now() + SECOND // 10)


# ---- SIGTERM that holds ------------------------------------------------------------------------------------


def test_a_stop_that_holds_leaves_the_position_and_its_resting_stop_and_the_next_start_takes_them_up(
    tmp_path: Path,
) -> None:
    codes: list[int] = []
    seen: list[tuple[int, int]] = []

    async def stop_and_start(running: Running) -> None:
        await running.until("09:18:00")
        await resting(running)
        began = running.clock.now()
        running.stop.set()
        while running._task is not None and not running._task.done():
            await running.clock.sleep_until(running.clock.now() + SECOND // 10)
        assert running._task is not None
        codes.append(running._task.result().exit_code)
        assert running.clock.now() - began < 20 * SECOND, "a container grants 45 s"
        await running.clock.sleep_until(running.clock.now() + 10 * SECOND)
        seen.append((held(running), covered(running)))
        running.stop.clear()
        codes.append((await running.start()).exit_code)

    outcome = Day(tmp_path, meanwhile=stop_and_start, plan={"hold_on_stop": True}).run()
    assert codes == [EXIT_HOLDING, EXIT_DONE]
    assert seen == [(65, 65)]
    assert held(outcome.running) == 0
    assert len(outcome.csv_rows) == len(outcome.ledger())
    entries = [line for line in logged(tmp_path, "order") if line["reason"] == "ENTRY"]
    assert any(line["tag"].startswith("k260916r2") for line in entries), "a restart is no end of entries"


def test_after_1529_a_stop_sells_even_where_it_would_hold(tmp_path: Path) -> None:
    async def stop(running: Running) -> None:
        await running.until("09:28:00.05")
        assert held(running)
        running.stop.set()

    outcome = Day(
        tmp_path, HELD, SINKS, meanwhile=stop, plan={"hold_on_stop": True}
    ).run()  # fmt: skip
    assert outcome.result.exit_code == EXIT_DONE
    outcome.judged()


# ---- the crash loop ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("third", "trips"), [("09:18:30", True), ("09:20:30", False)])
def test_three_starts_in_ten_minutes_end_entries_and_what_is_held_is_still_sold(
    tmp_path: Path, third: str, trips: bool
) -> None:
    """The rule over a real journal; the first start is at 09:10."""
    told: list[dict[str, Any]] = []

    async def crash(running: Running) -> None:
        for when in ("09:16:30", third):
            await running.until(when)
            await resting(running)
            running.kill_and_restart()
        await running.clock.sleep_until(running.clock.now() + 20 * SECOND)
        assert running.desk is not None
        if trips:
            told.append(await ready(running.desk.ops_port))

    outcome = Day(
        tmp_path, meanwhile=crash, telemetry=("127.0.0.1", 0), plan={"crash_loop": CrashLoop(3, 600.0)}
    ).run()  # fmt: skip
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    after = [line for line in logged(tmp_path, "order") if line["tag"].startswith("k260916r3")]
    assert ([line for line in after if line["reason"] == "ENTRY"] == []) == trips
    assert ("CrashLoop" in alerts(tmp_path)) == trips
    words = [
        record for record in read_journal(journal_path(tmp_path / "data", DAY)) if CRASH_LOOP in record.body
    ]
    assert bool(words) == trips
    if trips:
        assert told[0]["halted"] == CRASH_LOOP


async def ready(port: int) -> dict[str, Any]:
    """GET /readyz, by hand: an HTTP client would keep a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    found: dict[str, Any] = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def test_a_person_ends_the_crash_loops_pause_and_a_restart_remembers_both_words(tmp_path: Path) -> None:
    async def crash(running: Running) -> None:
        await running.until("09:16:00")
        running.kill_and_restart()
        await running.until("09:17:00")
        assert running.desk is not None
        assert running.desk.engine.entries_stopped == CRASH_LOOP
        running.plan.__dict__["crash_loop"] = CrashLoop()
        running.kill_and_restart()
        await running.until("09:18:00")
        assert running.desk.engine.entries_stopped == CRASH_LOOP, "the journal kept it"
        clock = running.clock
        day.lines[-1].put(Operator(clock.now(), clock.monotonic(), OperatorAction.RESUME, "operator"))
        await running.until("09:18:10")
        assert running.desk.engine.entries_stopped == ""
        running.kill_and_restart()
        await running.until("09:19:00")
        assert running.desk.engine.entries_stopped == "", "and the word that ended it"

    day = Day(tmp_path, meanwhile=crash, plan={"crash_loop": CrashLoop(2, 600.0)})
    outcome = day.run()
    outcome.judged()
    assert outcome.result.summary.trades > 0
    assert outcome.result.exit_code == EXIT_DONE


# ---- a disk that takes nothing -----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a few blocks."""
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(
            "no file system can be mounted here (be root, with CAP_SYS_ADMIN): a full disk is not tried"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Not one byte more."""
    ballast = folder / f"ballast{len(list(folder.iterdir()))}"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def no_room(path: Path) -> SqliteJournal:
    raise JournalUnwritable(f"{path}: no room")


def lose_journal(folder: Path) -> None:
    for path in folder.glob("journal-*"):
        path.unlink()


@pytest.mark.parametrize("lost", [False, True], ids=["journal_readable", "journal_lost"])
def test_a_start_on_a_full_disk_looks_after_what_is_held_and_then_ends(
    tmp_path: Path, small_disk: Path, lost: bool
) -> None:
    codes: list[int] = []

    async def full(running: Running) -> None:
        await running.until("09:18:00")
        await resting(running)
        fill(small_disk)
        if lost:
            lose_journal(small_disk)
            running.plan.__dict__["open_journal"] = no_room  # what the dead one held open makes room again
        running.kill_and_restart()
        await running.clock.sleep_until(running.clock.now() + 8 * SECOND)
        assert held(running) in {0, covered(running)}

    day = Day(tmp_path, meanwhile=full, plan={"taped": False}, archive_root=str(tmp_path / "archive"))
    outcome = day.run()
    codes.append(outcome.result.exit_code)
    assert not any(row.quantity for row in outcome.twin.exchange.positions())
    early = outcome.running.clock.now() < at("09:28:00")  # else the day is over, its CSV not written
    assert codes == [EXIT_REFUSED if early else EXIT_UNRECONCILED]
    assert "NoDisk" in alerts(tmp_path)
    last = logged(tmp_path, "recovered")[-1]["time"]
    later = [line for line in logged(tmp_path, "order") if line["time"] > last]
    assert [line for line in later if line["reason"] == "ENTRY"] == []


def test_a_start_on_a_full_disk_with_nothing_held_ends_at_once_and_says_what_to_free(
    tmp_path: Path, small_disk: Path
) -> None:
    fill(small_disk)
    outcome = Day(tmp_path, plan={"taped": False}, archive_root=str(tmp_path / "archive")).run()
    assert outcome.result.exit_code == EXIT_REFUSED
    assert outcome.ledger() == []
    assert outcome.running.clock.now() < at("09:11:00")
    assert "Free the disk" in (tmp_path / "log.jsonl").read_text()


def test_a_folder_nobody_may_write_to_is_the_disks_fault_and_a_damaged_journal_is_not(tmp_path: Path) -> None:
    with pytest.raises(JournalUnwritable):
        SqliteJournal(Path("/proc/nothing/journal.sqlite"))
    (tmp_path / "journal.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(Exception, match="damaged") as refused:
        SqliteJournal(tmp_path / "journal.sqlite")
    assert not isinstance(refused.value, JournalUnwritable)


# ---- the end of the day ------------------------------------------------------------------------------------


def mark(folder: Path) -> Path:
    return folder / "data" / f"unreconciled-{DAY}.txt"


def end_of(outcome: Outcome) -> int:
    end = records.ended(read_journal(journal_path(outcome.folder / "data", DAY)))
    assert end is not None
    return end.exit_code


def spoiled(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[int, list[TradeRow]], Any]) -> None:
    """What the broker's trade list says is changed on its way in; `spoil` gets the number of the reading."""
    genuine, readings = UpstoxBroker.trades, 0

    async def trades(self: UpstoxBroker) -> Any:
        nonlocal readings
        readings += 1
        rows = await genuine(self)
        assert rows is not None
        return spoil(readings, rows)

    monkeypatch.setattr(UpstoxBroker, "trades", trades)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _, rows: rows[:-1],
        lambda _, rows: [*rows, rows[-1]._replace(trade_id="again")],
        lambda _, rows: [rows[0]._replace(price=rows[0].price + 5), *rows[1:]],
        lambda _, rows: None,
    ],
    ids=["one_missing", "one_twice", "another_price", "not_told"],
)
def test_a_trade_list_that_differs_marks_the_day_and_exits_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[int, list[TradeRow]], Any]
) -> None:
    spoiled(monkeypatch, spoil)
    outcome = Day(tmp_path).run()
    assert outcome.result.exit_code == end_of(outcome) == EXIT_UNRECONCILED
    assert "trade list" in mark(tmp_path).read_text() or "order 26" in mark(tmp_path).read_text()
    assert (tmp_path / "archive" / "2026" / "09" / "16" / mark(tmp_path).name).exists()
    again = Day(tmp_path).run()
    assert again.result.exit_code == EXIT_DONE, "the end is durable: a container comes to rest"
    assert again.ledger() == []


def test_a_trade_list_that_lags_is_asked_for_again_and_leaves_no_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled(monkeypatch, lambda reading, rows: None if reading == 1 else rows[:-1] if reading == 2 else rows)
    mark(tmp_path).parent.mkdir()
    mark(tmp_path).write_text("of an earlier run of today")
    outcome = Day(tmp_path).run()
    assert outcome.result.exit_code == end_of(outcome) == EXIT_DONE
    assert not mark(tmp_path).exists()


async def seconds_to_stop(running: Running) -> float:
    """SIGTERM, and wait for the end."""
    began = running.clock.now()
    running.stop.set()
    assert running._task is not None
    while not running._task.done():
        await running.clock.sleep_until(running.clock.now() + SECOND // 10)
    return (running.clock.now() - began) / SECOND


def test_sigterm_while_the_books_are_closed_does_not_wait_for_a_list_that_is_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its five more askings would take longer than a container has to end."""
    spoiled(monkeypatch, lambda _, rows: None)
    took: list[float] = []

    async def term(running: Running) -> None:
        await running.until("09:30:10")
        took.append(await seconds_to_stop(running))

    outcome = Day(tmp_path, meanwhile=term).run()
    assert outcome.result.exit_code == end_of(outcome) == EXIT_UNRECONCILED
    assert 0 < took[0] < 20


def test_a_csv_that_is_not_on_disk_as_the_books_have_it_exits_4(tmp_path: Path) -> None:
    async def scribble(running: Running) -> None:
        await running.until("09:29:59")
        path = next((tmp_path / "data").glob("trades-*.csv"))
        row = path.read_text().splitlines()[-1]
        path.unlink()
        path.mkdir()  # no file can be written there any more
        assert row

    outcome = Day(tmp_path, meanwhile=scribble).run()
    assert outcome.result.books is not None
    assert outcome.result.books.reconciled
    assert outcome.result.exit_code == EXIT_UNRECONCILED
    assert "on disk" in mark(tmp_path).read_text()


def test_a_day_that_ends_holding_exits_5_durably_and_is_marked(tmp_path: Path) -> None:
    outcome = Day(tmp_path, [*HELD, fault("09:27:50", FaultKind.DOWN, 145)], SINKS).run()
    assert outcome.result.exit_code == end_of(outcome) == EXIT_HOLDING
    assert held(outcome.running)
    assert "still held" in mark(tmp_path).read_text()
    assert outcome.result.books is not None, "the broker was back in time to tell its trades"


def test_sigterm_in_a_position_is_flat_within_the_grace_of_a_container(tmp_path: Path) -> None:
    """compose grants 45 s; here even with the first two exits refused."""
    took: list[float] = []

    async def term(running: Running) -> None:
        await running.until("09:18:00")
        await resting(running)
        for act in ("MODIFY", "PLACE", "PLACE"):
            await running.twin.inject(refusal(act))
        took.append(await seconds_to_stop(running))

    outcome = Day(tmp_path, meanwhile=term).run()
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    assert took[0] < 30


def refusal(act: str) -> Fault:
    return fault("09:18:00", FaultKind.REJECT, act=Act(act))
