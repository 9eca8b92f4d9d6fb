"""One bot a data folder: a lock that the kernel holds for a living process, and lets go of when it dies.

It knows no order and no time of its own; who holds it is written beside the lock, for people.
"""

import fcntl
import os
import socket
from pathlib import Path
from typing import Final

LOCK_NAME: Final = "bot.lock"


class FolderTaken(Exception):
    """Another bot works with this folder. Says who, and what to do; shown as it stands."""


class FolderLock:
    """flock on `<folder>/bot.lock`: gone with its process, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._file: int | None = None

    def take(self, words: str) -> None:
        """Hold it, or raise FolderTaken. `words`: who we are, for the other. OSError: no file can be made."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 300).decode("utf-8", "replace").strip()
            os.close(file)
            raise FolderTaken(
                f"{self._path.parent}: another bot works here ({holder or 'it did not say who'}). Stop it, "
                "ask it with `bot flatten`, or name another [data] folder."
            ) from None
        self._file = file
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"pid {os.getpid()} on {socket.gethostname()}, {words}\n".encode(), 0)
        except OSError:  # a full disk: the lock holds all the same, it only cannot say who we are
            return

    def release(self) -> None:
        """Let go. Harmless when it was never held."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
