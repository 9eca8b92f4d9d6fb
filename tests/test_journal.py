"""The journal keeps what it acknowledged, refuses what it can't trust, and gives back what was put in."""

import math
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.commands import (
    Alert,
    CancelOrder,
    Decision,
    ModifyOrder,
    PlaceOrder,
    Reason,
    RecordFill,
    Severity,
)
from bot.core.events import Act, OrderReport, OrderType, Outcome, SendOutcome, Side
from bot.run.ports import Journal, Record
from bot.storage.journal import JournalFailed, JournalRefused, SqliteJournal, journal_path, read_journal
from bot.storage.records import boot_record, boots, decode, encode, end_record, ended, record_of

REPOSITORY = Path(__file__).parents[1]
DAY = date(2026, 9, 16)
NAN = float("nan")
DECISION = Decision(1, 452_30, 452.123457, -0.031, 0.000391, NAN)
ORDER = PlaceOrder(
    "k260916r1n1", "NSE_FO|1", Side.BUY, OrderType.LIMIT, 75, 452_35, 0, "D", Reason.ENTRY, DECISION
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path / "data", DAY)


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    opened = SqliteJournal(path)
    yield opened
    opened.close()


def records(count: int, start: int = 0) -> list[Record]:
    return [Record(i, "Alert", f'{{"n":{i}}}') for i in range(start, start + count)]


# --- keeping -------------------------------------------------------------------------------------------


def test_what_was_committed_is_read_in_order_by_the_next_process(path: Path) -> None:
    first: Journal = SqliteJournal(path)
    first.commit(records(3))
    first.commit(records(2, 3))
    assert first.read() == records(5)
    first.close()  # type: ignore[attr-defined]
    second = SqliteJournal(path)
    assert second.read() == records(5)
    second.commit(records(1, 5))
    second.close()
    assert read_journal(path) == records(6)
    assert path.name == "journal-2026-09-16.sqlite"


def test_commits_come_from_another_thread_than_the_one_that_opened_it(journal: SqliteJournal) -> None:
    thread = threading.Thread(target=journal.commit, args=(records(2),))
    thread.start()
    thread.join()
    assert journal.read() == records(2)


def test_the_file_is_synchronous_full_write_ahead_and_of_schema_one(journal: SqliteJournal) -> None:
    pragmas = {
        name: journal._db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "journal_mode", "user_version")
    }
    assert pragmas == {"synchronous": 2, "journal_mode": "wal", "user_version": 1}


def test_a_record_can_be_neither_changed_nor_deleted(journal: SqliteJournal) -> None:
    journal.commit(records(2))
    for statement in ("UPDATE records SET at = 9", "DELETE FROM records"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            journal._db.execute(statement)
    assert journal.read() == records(2)


def test_it_can_be_read_while_the_bot_writes_and_from_a_folder_nobody_can_write_to(
    journal: SqliteJournal, path: Path, tmp_path: Path
) -> None:
    journal.commit(records(2))
    assert read_journal(path) == records(2)
    journal.close()
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.copy(path, archive)  # closed: one plain file, nothing beside it
    assert list(path.parent.iterdir()) == [path]
    (archive / path.name).chmod(stat.S_IRUSR)
    archive.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert read_journal(archive / path.name) == records(2)
    finally:
        archive.chmod(stat.S_IRWXU)


def test_folded_it_can_be_copied_while_open_and_closing_changes_no_byte(
    journal: SqliteJournal, path: Path, tmp_path: Path
) -> None:
    journal.commit(records(500))
    journal.fold()
    copied = path.read_bytes()
    (tmp_path / "copy.sqlite").write_bytes(copied)
    assert read_journal(tmp_path / "copy.sqlite") == records(500)
    journal.close()
    assert path.read_bytes() == copied
    with pytest.raises(JournalFailed, match="closed"):
        journal.fold()


def test_a_reader_in_the_way_of_a_fold_is_said(journal: SqliteJournal, path: Path) -> None:
    journal._db.execute("PRAGMA busy_timeout = 20")
    journal.commit(records(1))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM records").fetchall()
    journal.commit(records(1, 1))  # a reader never stops a commit
    with pytest.raises(JournalFailed, match="somebody reads"):
        journal.fold()
    reader.execute("ROLLBACK")
    journal.fold()
    reader.close()


def test_kill_nine_amid_commits_loses_no_acknowledged_record(tmp_path: Path) -> None:
    """A child commits and acknowledges on a pipe until it is killed; five times over the same file."""
    path = journal_path(tmp_path, DAY)
    child = textwrap.dedent("""
        import sys
        from pathlib import Path
        from bot.run.ports import Record
        from bot.storage.journal import SqliteJournal
        journal = SqliteJournal(Path(sys.argv[1]))
        count = len(journal.read())
        while True:
            rows = [Record(count + i, "K", "x" * 300) for i in range(1 + count % 3)]
            journal.commit(rows)
            count += len(rows)
            sys.stdout.write(f"{count}\\n")
            sys.stdout.flush()
    """)
    unacknowledged = 0
    for round_ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", child, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(20 + 7 * round_)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        acknowledged = int([line for line in said if line.endswith("\n")][-1])
        kept = SqliteJournal(path)
        found = [record.at for record in kept.read()]
        kept.close()
        assert found == list(range(len(found)))
        assert acknowledged <= len(found) <= acknowledged + 3, "lost, or more than one commit in doubt"
        unacknowledged += len(found) - acknowledged
    assert len(found) > 5 * 20


def test_a_torn_tail_of_the_log_loses_only_the_torn_commit(journal: SqliteJournal, path: Path) -> None:
    for i in range(6):
        journal.commit(records(1, i))
    torn = path.parent / "torn"
    torn.mkdir()
    wal = path.with_name(path.name + "-wal")
    shutil.copy(path, torn)
    (torn / wal.name).write_bytes(wal.read_bytes()[:-700])
    crashed = SqliteJournal(torn / path.name)
    assert crashed.read() == records(5)
    crashed.commit(records(1, 5))  # and it goes on from there
    assert crashed.read() == records(6)
    crashed.close()


# --- refusing ------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"time,price\n" * 500)
    with pytest.raises(JournalRefused, match=r"damaged.*move it"):
        SqliteJournal(path)
    assert path.read_bytes() == b"time,price\n" * 500


def test_a_database_of_another_program_is_refused_and_left_as_it_was(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mails (id)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(JournalRefused, match="another program's"):
        SqliteJournal(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(journal: SqliteJournal, path: Path) -> None:
    journal._db.execute("PRAGMA user_version = 2")
    journal.close()
    for opener in (SqliteJournal, read_journal):
        with pytest.raises(JournalRefused, match="newer version"):
            opener(path)


def test_any_flipped_byte_is_refused_or_harmless(journal: SqliteJournal, path: Path) -> None:
    """Wherever a byte is flipped: the same records, or a refusal; never other records."""
    journal.commit(records(200))
    journal.close()
    sound = path.read_bytes()
    refused = 0
    for at in range(0, len(sound), 61):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x10]) + sound[at + 1 :])
        try:
            assert read_journal(path) == records(200)
        except JournalRefused:
            refused += 1
    assert refused > 50


def test_a_zero_length_file_of_a_crash_at_birth_is_a_new_journal(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    journal = SqliteJournal(path)
    journal.commit(records(1))
    assert journal.read() == records(1)
    journal.close()


def test_a_missing_journal_and_an_impossible_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalRefused, match="no such journal"):
        read_journal(journal_path(tmp_path, DAY))
    (tmp_path / "file").touch()
    with pytest.raises(JournalRefused, match="folder"):
        SqliteJournal(journal_path(tmp_path / "file", DAY))
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(JournalRefused, match="holds no journal"):
        read_journal(tmp_path / "empty.sqlite")


# --- failing -------------------------------------------------------------------------------------------


def test_a_full_disk_fails_the_commit_and_only_that(journal: SqliteJournal) -> None:
    journal.commit(records(1))
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to meet SQLITE_FULL
    big = [Record(1, "Alert", "x" * 50_000)]
    with pytest.raises(JournalFailed, match="Free the disk") as caught:
        journal.commit(records(1, 1) + big)  # the first fits, the second does not: neither is kept
    assert caught.value.usable
    assert journal.read() == records(1)
    journal._db.execute("PRAGMA max_page_count = 1000000")
    journal.commit(big)
    assert len(journal.read()) == 2


def test_after_an_io_error_the_file_is_left_alone(path: Path) -> None:
    """A write that the kernel refuses: no later commit may pretend to succeed (hazards D2)."""
    journal = SqliteJournal(path)
    journal.commit(records(1))
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.with_name(path.name + "-wal").stat().st_size
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, kept[1]))
    try:
        with pytest.raises(JournalFailed, match="Nothing more is written") as caught:
            journal.commit([Record(1, "Alert", "x" * 200_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not caught.value.usable
    with pytest.raises(JournalFailed):
        journal.commit(records(1))
    journal.close()
    assert read_journal(path) == records(1)


def test_a_file_locked_by_another_process_fails_the_commit(journal: SqliteJournal, path: Path) -> None:
    journal._db.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalFailed, match="locked") as caught:
        journal.commit(records(1))
    assert caught.value.usable
    other.execute("ROLLBACK")
    other.close()
    journal.commit(records(1))
    assert journal.read() == records(1)


def test_a_closed_journal_takes_nothing(journal: SqliteJournal) -> None:
    journal.close()
    with pytest.raises(JournalFailed, match="closed"):
        journal.commit(records(1))


# --- the records ---------------------------------------------------------------------------------------


def fields(kind: type) -> st.SearchStrategy[Any]:
    made: dict[type, st.SearchStrategy[Any]] = {
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.one_of(st.floats(allow_infinity=False), st.just(NAN)),
        str: st.text(max_size=12),
    }
    hints = get_type_hints(kind)
    return st.builds(
        kind,
        **{
            name: made[hint] if hint in made else fields(hint) if hint is Decision else st.sampled_from(hint)
            for name, hint in hints.items()
        },
    )


def same(one: Any, other: Any) -> bool:
    """Equal field by field and type by type; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if hasattr(one, "_fields"):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        [
            fields(kind)
            for kind in (PlaceOrder, ModifyOrder, CancelOrder, OrderReport, SendOutcome, RecordFill)
        ]
    )
)
def test_every_record_comes_back_as_it_was(thing: Any) -> None:
    kind, body = encode(thing)
    assert kind == type(thing).__name__
    assert same(decode(kind, body), thing)


def test_records_survive_the_file_too(journal: SqliteJournal) -> None:
    said = SendOutcome(
        5, 6, ORDER.tag, Act.PLACE, Outcome.UNKNOWN, "", "timeout", "tab\tNUL\x00 ₹ \U0001f600"
    )
    journal.commit([record_of(4, ORDER), record_of(5, said)])
    back = [decode(record.kind, record.body) for record in journal.read()]
    assert same(back[0], ORDER)
    assert back[1] == said


def test_nan_is_null_on_disk_and_words_that_are_no_unicode_do_not_stop_the_journal() -> None:
    assert '"probability":null' in encode(ORDER)[1]
    alert = Alert(Severity.WARN, "OrderRefused", "broken \ud800 text")
    assert decode(*encode(alert)) == alert._replace(text="broken ? text")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Teleport", "{}"),
        ("CancelOrder", "not json"),
        ("CancelOrder", "[1]"),
        ("CancelOrder", '{"tag":"a","order_id":"b"}'),
        ("CancelOrder", '{"tag":"a","order_id":"b","reason":"c","more":1}'),
        ("CancelOrder", '{"tag":1,"order_id":"b","reason":"c"}'),
        ("Alert", '{"severity":"loud","name":"a","text":"b"}'),
    ],
)
def test_a_record_that_does_not_fit_is_refused(kind: str, body: str) -> None:
    with pytest.raises(JournalRefused):
        decode(kind, body)


def test_boots_are_counted_and_the_end_is_found() -> None:
    day = [boot_record(1, mode="paper", run=1), record_of(2, ORDER), boot_record(3, mode="paper", run=2)]
    assert boots(day) == [1, 3]
    assert ended(day) is None
    over = ended([*day, end_record(9, 4)])
    assert over is not None
    assert (over.at, over.exit_code) == (9, 4)
