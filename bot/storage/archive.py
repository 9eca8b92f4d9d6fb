"""The archive: the day's files under `<root>/<YYYY>/<MM>/<DD>/`, each copy read back and compared.

A name is written once. The same content again is fine; other content under a name that is taken goes beside
it with a piece of its hash, never over it. What could not be stored stays marked in the data folder and is
tried again at the next start. Blocking code for a thread; this file must never know what the files say.
"""

import errno
import hashlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

import orjson

_PENDING: Final = "pending-*.json"
_CHUNK_BYTES: Final = 1 << 20
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HOPELESS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR})
_T = TypeVar("_T")


class ArchiveRefused(Exception):
    """The archive as it is set up can't work; trying again won't help. Says what to change."""


class ArchiveFailed(Exception):
    """It did not work this time, though tried several times. The files stay pending."""


class Content(NamedTuple):
    """What a file holds: bytes, SHA-256 (hex), MD5 (hex: what S3 calls an ETag)."""

    size: int
    sha256: str
    md5: str


class Stored(NamedTuple):
    """One file in the archive. `renamed`: its name was taken by other content, so it lies beside."""

    name: str
    address: str
    size: int
    sha256: str
    renamed: bool


class Retried(NamedTuple):
    """A day that was pending at start, and what came of it. `problem` is "" when all is stored."""

    day: date
    stored: tuple[Stored, ...]
    problem: str


class Store(Protocol):
    """A place for objects that are written once. Raises ArchiveRefused, or whatever `passing` names."""

    passing: tuple[type[Exception], ...]  # errors worth another try

    def address(self, key: str) -> str: ...

    def holds(self, key: str, content: Content) -> bool | None:
        """Is this very content there? None: nothing is."""
        ...

    def put(self, key: str, file: Path, content: Content) -> None:
        """Write, unless the name is taken (then do nothing: `holds` tells)."""
        ...

    def remove(self, key: str) -> None:
        """Take away what a probe has put; nothing of a day is ever removed."""
        ...

    def fetch(self, key: str, target: Path) -> bool:
        """Copy into the file `target`, for somebody who reads. False: nothing is there."""
        ...


class Archive:
    """`root` is a folder or `s3://bucket/prefix`; marks of what is pending are kept in `pending_folder`.

    `pause(seconds)` waits between attempts, on the caller's thread. Raises ArchiveRefused at once for a root
    that makes no sense.
    """

    def __init__(
        self,
        root: str | Path,
        pending_folder: Path,
        *,
        pause: Callable[[float], object] | None = None,
        attempts: int = 4,
        backoff_seconds: float = 1.0,
    ) -> None:
        assert attempts > 0, attempts
        self._store = store_at(root)
        self._folder = pending_folder
        # The thread waits for the world here, not for an hour of the day: no clock is asked.
        self._pause = pause or threading.Event().wait
        self._attempts = attempts
        self._backoff_seconds = backoff_seconds

    def upload(self, day: date, files: Sequence[Path]) -> list[Stored]:
        """Store and verify `files` and whatever is pending of that day; several tries each.

        Raises ArchiveFailed after all were tried, ArchiveRefused at the first; what is not stored stays
        pending. A file that is not there is a failure, and is not asked for again.
        """
        files = list(dict.fromkeys((*self._pending_of(day), *(file.absolute() for file in files))))
        names = [file.name for file in files]
        assert len(set(names)) == len(names), f"two files of one name: {names}"
        unmarked = self._mark(day, files)
        stored: list[Stored] = []
        problems: dict[Path, str] = {}
        for file in files:
            attempts = 1 if problems else self._attempts  # an outage is waited for once, not once a file
            try:
                stored.append(self._tried(partial(self._one, day, file), file, attempts))
            except ArchiveFailed as error:
                problems[file] = str(error)
        left = [file for file in problems if file.exists()]
        unmarked = self._mark(day, left) or (unmarked if left else "")
        if problems:
            raise ArchiveFailed(" ".join([*problems.values(), unmarked]).rstrip())
        return stored

    def retry_pending(self) -> list[Retried]:
        """Try again what an earlier run could not store. Never raises for it: the day ahead matters more."""
        outcomes = []
        for mark in sorted(self._folder.glob(_PENDING)):
            day = date.fromisoformat(mark.stem.removeprefix("pending-"))
            try:
                outcomes.append(Retried(day, tuple(self.upload(day, ())), ""))
            except (ArchiveFailed, ArchiveRefused) as error:
                outcomes.append(Retried(day, (), str(error)))
        return outcomes

    def _pending_of(self, day: date) -> list[Path]:
        mark = self._folder / f"pending-{day.isoformat()}.json"
        if not mark.exists():
            return []
        return [
            Path(os.path.normpath(self._folder.absolute() / name)) for name in orjson.loads(mark.read_bytes())
        ]

    def _mark(self, day: date, files: Sequence[Path]) -> str:
        """Note durably what is still to be stored; names are relative to the folder, which may move.

        A folder that can't be written to is no reason not to store: returns the problem, "" when well.
        """
        mark = self._folder / f"pending-{day.isoformat()}.json"
        try:
            if files:
                self._folder.mkdir(parents=True, exist_ok=True)
                names = [os.path.relpath(file, self._folder.absolute()) for file in files]
                beside = mark.with_name(f".{mark.name}.new")
                with beside.open("wb") as out:
                    out.write(orjson.dumps(names))
                    out.flush()
                    os.fsync(out.fileno())
                beside.replace(mark)
                _sync_folder(self._folder)
            else:
                mark.unlink(missing_ok=True)
        except OSError as error:
            return f"{mark}: what is pending could not be noted ({error.strerror}). Store it by hand."
        return ""

    def _one(self, day: date, file: Path) -> Stored:
        content = content_of(file)
        plain = f"{day:%Y/%m/%d}/{file.name}"
        aside = f"{day:%Y/%m/%d}/{file.stem}.{content.sha256[:12]}{file.suffix}"
        for key in (plain, aside):
            there = self._store.holds(key, content)
            if there is None:
                self._store.put(key, file, content)
                there = self._store.holds(key, content)
                if there is None:
                    raise OSError(f"{self._store.address(key)} can't be read back (may we: s3:GetObject?)")
            if there:
                return Stored(file.name, self._store.address(key), content.size, content.sha256, key != plain)
        raise ArchiveFailed(f"{self._store.address(aside)} does not hold what was written: don't trust it.")

    def _tried(self, action: Callable[[], _T], file: Path, attempts: int) -> _T:
        wait_seconds = self._backoff_seconds
        for attempt in range(1, attempts + 1):
            try:
                return action()
            except FileNotFoundError as error:
                raise ArchiveFailed(f"{file}: the file is gone ({error.strerror}).") from error
            except self._store.passing as error:
                if attempt == attempts:
                    raise ArchiveFailed(
                        f"{file.name} could not be stored under {self._store.address('')} ({error}), tries: "
                        f"{attempts}. It is kept and tried again at the next start."
                    ) from error
            self._pause(wait_seconds)
            wait_seconds *= 2
        raise AssertionError("no attempts")


def content_of(file: Path) -> Content:
    """Hash a file in pieces."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with file.open("rb") as source:
        while piece := source.read(_CHUNK_BYTES):
            sha256.update(piece)
            md5.update(piece)
            size += len(piece)
    return Content(size, sha256.hexdigest(), md5.hexdigest())


def store_at(root: str | Path) -> Store:
    """The place an archive's root names. Raises ArchiveRefused."""
    if not str(root).startswith("s3://"):
        return LocalStore(Path(root))
    bucket, _, prefix = str(root).removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ArchiveRefused(f"[archive] root {str(root)!r} names no bucket. Write s3://bucket/prefix.")
    from bot.storage.s3 import S3Store  # boto3 costs 10 MB and 0.2 s: only where it is used

    return S3Store(bucket, prefix.strip("/"))


class LocalStore:
    """A folder on this machine."""

    passing: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, root: Path) -> None:
        self._root = root

    def address(self, key: str) -> str:
        return str(self._root / key)

    def holds(self, key: str, content: Content) -> bool | None:
        try:
            return content_of(self._root / key) == content
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._judged(error) from error

    def put(self, key: str, file: Path, content: Content) -> None:
        target = self._root / key
        beside = target.with_name(f".{target.name}.{content.sha256[:12]}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(file, beside)
            _claim(beside, target)
            _sync_folder(target.parent)
        except OSError as error:
            raise self._judged(error) from error

    def remove(self, key: str) -> None:
        try:
            (self._root / key).unlink(missing_ok=True)
        except OSError as error:
            raise self._judged(error) from error

    def fetch(self, key: str, target: Path) -> bool:
        try:
            _copy(self._root / key, target)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._judged(error) from error
        return True

    def _judged(self, error: OSError) -> Exception:
        """Is it worth another try?"""
        if error.errno not in _HOPELESS:
            return error
        return ArchiveRefused(
            f"{self._root}: no use as the archive ({error.strerror}). Change [archive] root or its rights."
        )


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        while piece := read.read(_CHUNK_BYTES):
            write.write(piece)
        write.flush()
        os.fsync(write.fileno())


def _claim(beside: Path, target: Path) -> None:
    """Give the copy its name unless the name is taken: a link can't overwrite, a rename would."""
    try:
        target.hardlink_to(beside)
    except FileExistsError:
        pass  # whose content it is, `holds` tells
    except OSError:
        if target.exists():
            raise
        beside.replace(target)  # a file system without links
        return
    beside.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
