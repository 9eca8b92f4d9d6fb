"""One contract, two journals: the simulated disk promises what SQLite keeps, and no more."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.run.ports import Record
from bot.simulate.disk import SimDisk, SimJournal
from bot.simulate.network import Incarnation
from bot.storage.journal import DayJournal, JournalFailed, SqliteJournal

Open = Callable[[], DayJournal]
FIRST, SECOND, THIRD = (Record(number, "kind", f'{{"n":{number}}}') for number in (1, 2, 3))


@pytest.fixture(params=["simulated", "sqlite"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same journal again, as the next process does."""
    path, disk = tmp_path / "journal.sqlite", SimDisk()
    if request.param == "sqlite":
        return lambda: SqliteJournal(path)
    return lambda: SimJournal(disk, Incarnation(1), path)


def test_a_new_journal_is_empty(reopen: Open) -> None:
    assert list(reopen().read()) == []


def test_what_was_committed_is_read_in_order_by_the_next_process(reopen: Open) -> None:
    journal = reopen()
    journal.commit([FIRST, SECOND])
    journal.commit([THIRD])
    assert list(journal.read()) == [FIRST, SECOND, THIRD]
    assert list(reopen().read()) == [FIRST, SECOND, THIRD]


def test_what_was_read_is_not_changed_by_what_comes_later(reopen: Open) -> None:
    journal = reopen()
    journal.commit([FIRST])
    read = journal.read()
    journal.commit([SECOND])
    assert list(read) == [FIRST]


def test_nothing_committed_is_nothing_kept(reopen: Open) -> None:
    journal = reopen()
    journal.commit([])
    assert list(reopen().read()) == []


def test_the_day_s_file_lies_there_once_the_journal_is_closed(reopen: Open, tmp_path: Path) -> None:
    journal = reopen()
    journal.commit([FIRST])
    journal.close()
    assert list(SqliteJournal(tmp_path / "journal.sqlite").read()) == [FIRST]


def test_a_full_simulated_disk_keeps_nothing_and_works_again_when_there_is_room(tmp_path: Path) -> None:
    """SQLite's own full disk: tests/test_journal.py."""
    disk = SimDisk()
    journal = SimJournal(disk, Incarnation(1), tmp_path / "journal.sqlite")
    disk.full = lambda: True
    with pytest.raises(JournalFailed) as failed:
        journal.commit([FIRST])
    assert failed.value.usable
    disk.full = lambda: False
    journal.commit([SECOND])
    assert list(journal.read()) == [SECOND]


def test_a_process_that_dies_at_a_commit_kept_all_of_it_or_nothing(tmp_path: Path) -> None:
    for after, kept in ((False, []), (True, [FIRST, SECOND])):
        disk, life = SimDisk(), Incarnation(1)
        life.doom(1, after=after)
        SimJournal(disk, life, tmp_path / "journal.sqlite").commit([FIRST, SECOND])
        assert not life.alive
        assert SimJournal(disk, Incarnation(2), tmp_path / "journal.sqlite").read() == kept
