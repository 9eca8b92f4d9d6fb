"""The journal: what the bot decided and heard, on disk before it takes effect. SQLite, one file a day.

Append-only, write-ahead, one row a record. A committed row outlives `kill -9` and a power cut
(`synchronous=FULL`); what was not committed never existed. This file stores and gives back: it must never
know what a record means for an order, and never repair what it can't read.
"""

import sqlite3
import threading
import zlib
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Final, Protocol

from bot.core.units import Nanos
from bot.run.ports import Journal, Record

_APPLICATION_ID: Final = 0x6B6A726E  # "kjrn": says whose file this is, even to file(1)
_SCHEMA_VERSION: Final = 1
_BUSY_SECONDS: Final = 2.0  # a reader (sqlite3, `bot explain`) may hold the file for so long
_SCHEMA: Final = (
    """CREATE TABLE records (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT""",
    "CREATE TRIGGER records_keep BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "CREATE TRIGGER records_stay BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'append-only'); END",
)
_INSERT: Final = "INSERT INTO records (at, kind, body, crc) VALUES (?, ?, ?, ?)"
_SELECT: Final = "SELECT seq, at, kind, body, crc FROM records ORDER BY seq"
# The disk said no, but the file is as it was before the commit: the next commit may succeed.
_DISK: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
)
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})


class JournalRefused(Exception):
    """The file can't be taken as the day's journal. The text says why and what to do; shown as it stands."""


class JournalUnwritable(JournalRefused):
    """It is the disk that fails, not the file: full, read-only, gone."""


class JournalFailed(Exception):
    """A commit did not reach the disk: its records must count as not written.

    `usable` tells whether another commit may be tried (a full disk, freed) or the file must be left alone
    (after an I/O error a second fsync may lie: hazards D2).
    """

    def __init__(self, path: Path, problem: str, *, usable: bool) -> None:
        self.usable = usable
        super().__init__(f"{path}: {problem}")


class DayJournal(Journal, Protocol):
    """A journal that belongs to somebody, who lets go of it in the end."""

    def close(self) -> None: ...


def journal_path(folder: Path, day: date) -> Path:
    """`<folder>/journal-2026-09-16.sqlite`."""
    return folder / f"journal-{day.isoformat()}.sqlite"


class SqliteJournal:
    """run.ports.Journal. `commit` belongs to one thread; `read` and `close` to whoever owns the day.

    Opening makes the file and its folder, or checks the file that is there. Raises JournalRefused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._dead = ""  # why no commit may be tried any more
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise _unwritable(path, error) from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._db.close()
            raise _said(path, error) from error
        except JournalRefused:
            self._db.close()
            raise

    def commit(self, records: Sequence[Record]) -> None:
        """All of `records` on disk, or none and JournalFailed. Blocks for the disk."""
        rows = [(record.at, record.kind, record.body, _crc(*record)) for record in records]
        with self._lock:
            if self._dead:
                raise JournalFailed(self.path, self._dead, usable=False)
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(_INSERT, rows)
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def read(self) -> list[Record]:
        """Every record, oldest first. Raises JournalRefused when a row is not what was written."""
        with self._lock:
            return _rows(self._db, self.path)

    def fold(self) -> None:
        """Move the write-ahead log into the file: as it stands it may then be copied, until the next commit.

        Raises JournalFailed when a reader is in the way (try again) or the disk failed.
        """
        with self._lock:
            if self._dead:
                raise JournalFailed(self.path, self._dead, usable=False)
            try:
                busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.Error as error:
                raise self._failed(error) from error
        if busy:
            raise JournalFailed(self.path, "somebody reads the journal: copy it later.", usable=True)

    def close(self) -> None:
        """Fold, and let go of the file."""
        with self._lock:
            self._dead = self._dead or "the journal is closed."
            self._db.close()

    def _open(self) -> None:
        """Look before touching: a file that is not ours is left as it was found."""
        new = _check(self._db, self.path)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if not new:
            return
        self._db.execute("BEGIN IMMEDIATE")
        for statement in (
            *_SCHEMA,
            f"PRAGMA application_id = {_APPLICATION_ID}",
            f"PRAGMA user_version = {_SCHEMA_VERSION}",
        ):
            self._db.execute(statement)
        self._db.execute("COMMIT")

    def _failed(self, error: sqlite3.Error) -> JournalFailed:
        usable = (error.sqlite_errorcode & 0xFF) in _PASSING
        problem = f"the journal could not be written ({error})."
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as second:
            problem, usable = f"{problem} The attempt could not be undone ({second}).", False
        if usable:
            problem = f"{problem} Free the disk; writing goes on when it can."
        else:
            problem = self._dead = f"{problem} Nothing more is written to this file."
        return JournalFailed(self.path, problem, usable=usable)


def read_journal(path: Path) -> list[Record]:
    """The records of any day's journal, without changing the file: while the bot runs, or from the archive.

    Raises JournalRefused when there is no such journal or it is damaged.
    """
    if not path.is_file():
        raise JournalRefused(f"{path}: there is no such journal. Check the day and [data] folder.")
    # A closed journal has no log beside it and may lie in a folder nobody can write to.
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    address = f"{path.absolute().as_uri()}?{mode}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as db:
            if _check(db, path):
                raise JournalRefused(f"{path}: holds no journal. Check the day and [data] folder.")
            return _rows(db, path)
    except sqlite3.Error as error:
        raise _said(path, error) from error


def _check(db: sqlite3.Connection, path: Path) -> bool:
    """Is it an empty file, to be filled? Raises JournalRefused for anything but that or a sound journal."""
    owner = int(db.execute("PRAGMA application_id").fetchone()[0])
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    tables = int(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if not owner and not version and not tables:
        return True
    if owner != _APPLICATION_ID:
        raise JournalRefused(
            f"{path}: is another program's database. Move it away, or set another [data] folder."
        )
    if version > _SCHEMA_VERSION:
        raise JournalRefused(
            f"{path}: was written by a newer version of the bot (schema {version}, this one reads "
            f"{_SCHEMA_VERSION}). Run that version, or finish the day by hand."
        )
    verdict = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    if verdict != "ok":
        raise _damaged(path, verdict)
    return False


def _rows(db: sqlite3.Connection, path: Path) -> list[Record]:
    records: list[Record] = []
    try:
        for seq, at, kind, body, crc in db.execute(_SELECT):
            if seq != len(records) + 1 or crc != _crc(at, kind, body):
                raise _damaged(path, f"record {len(records) + 1} is not what was written")
            records.append(Record(at, kind, body))
    except sqlite3.Error as error:  # also text that is no UTF-8 any more
        raise _damaged(path, str(error)) from error
    return records


def _said(path: Path, error: sqlite3.Error) -> JournalRefused:
    """SQLite's word on opening: is it the disk, or the file?"""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _unwritable(path, error) if code in _DISK else _damaged(path, str(error))


def _unwritable(path: Path, error: Exception) -> JournalUnwritable:
    return JournalUnwritable(
        f"{path}: the journal can't be opened ({error}). Free the disk; check [data] folder and who may "
        "write there."
    )


def _damaged(path: Path, problem: str) -> JournalRefused:
    return JournalRefused(
        f"{path}: the journal is damaged ({problem}). Don't delete it: move it (and any -wal beside it) away "
        "and start again. The bot then rebuilds today's orders from the broker's book; compare the positions."
    )


def _crc(at: Nanos, kind: str, body: str) -> int:
    return zlib.crc32(f"{at} {kind} {body}".encode())
