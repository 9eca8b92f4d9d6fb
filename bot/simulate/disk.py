"""A disk in memory: what was committed outlives the process, what was not never existed.

The journal of a simulated day. Full, slow or lost on command. It must never know what a record means.
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.run.ports import Record
from bot.simulate.network import Incarnation
from bot.storage.journal import JournalFailed, JournalRefused, SqliteJournal


@dataclass
class SimDisk:
    """What lies on the platter. `full` is asked at every write."""

    records: list[Record] = field(default_factory=list)
    full: Callable[[], bool] = lambda: False
    damaged: bool = False  # what lies there is not what was written
    commits: int = 0

    def lose(self) -> None:
        """A new, empty volume."""
        self.records, self.damaged = [], False


class SimJournal:
    """run.ports.Journal for one incarnation."""

    def __init__(self, disk: SimDisk, incarnation: Incarnation, path: Path) -> None:
        self._disk, self._incarnation, self.path = disk, incarnation, path

    def commit(self, records: Sequence[Record]) -> None:
        """All or nothing. Raises JournalFailed when the disk is full or broken."""
        if self._incarnation.disk_broken:
            raise JournalFailed(self.path, f"the journal could not be written ({errno.EIO})", usable=False)
        if self._disk.full():
            raise JournalFailed(self.path, f"the journal could not be written ({errno.ENOSPC})", usable=True)
        self._incarnation.effect(lambda: self._keep(list(records)))

    def read(self) -> list[Record]:
        """Raises JournalRefused when the file is damaged."""
        if self._disk.damaged:
            raise JournalRefused(f"{self.path}: the journal is damaged (simulated). Move it away.")
        return list(self._disk.records)

    def close(self) -> None:
        """Leave the day's file where an archive looks for it."""
        if self._incarnation.alive and not self.path.exists():
            file = SqliteJournal(self.path)
            if self._disk.records:
                file.commit(self._disk.records)
            file.close()

    def _keep(self, records: list[Record]) -> None:
        self._disk.commits += 1
        self._disk.records += records
