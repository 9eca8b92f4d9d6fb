"""What a sweep has finished, a line a cell, in its folder. A killed sweep finds all whole lines again.

It knows nothing of what a cell means but its key.
"""

import os
from pathlib import Path
from typing import Final

import orjson

from bot.research.sweep import Row
from bot.storage.lock import FolderLock, FolderTaken

CELLS: Final = "cells.jsonl"


class SweepFolderTaken(Exception):
    """Another sweep writes here. Shown as it stands."""


class CellStore:
    """Rows by their key, each written to disk before it counts."""

    def __init__(self, folder: Path) -> None:
        """Raises SweepFolderTaken; OSError when the folder can't be made."""
        self._lock = FolderLock(folder)
        try:
            self._lock.take("bot sweep")
        except FolderTaken:
            raise SweepFolderTaken(
                f"--out {folder}: another sweep works here. Let it end, or name another folder"
            ) from None
        self.rows: dict[str, Row] = {}
        path = folder / CELLS
        content = path.read_bytes() if path.exists() else b""
        for line in content.splitlines():
            try:
                row = orjson.loads(line)
                self.rows[row["key"]] = row
            except (orjson.JSONDecodeError, KeyError, TypeError):
                continue  # cut off by a kill, or damaged: that cell runs again
        self._file = path.open("ab")
        if content and not content.endswith(b"\n"):
            self._file.write(b"\n")  # what comes now is a line of its own

    def add(self, row: Row) -> None:
        self._file.write(orjson.dumps(row) + b"\n")
        self._file.flush()
        self.rows[row["key"]] = row
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        self._lock.release()
