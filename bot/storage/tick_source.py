"""Below the rows of a tick file: opening it, telling what it is by its content, times, and errors in words.

This file must never know how a row becomes a tick.
"""

import gzip
import zlib
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from bot.core.units import IST, Nanos, Paise, Quantity, nanos_of

UNREADABLE: Final = (
    OSError,
    EOFError,
    zlib.error,
    UnicodeDecodeError,
)  # what reading text out of a file raises
_GZIP_MAGIC: Final = b"\x1f\x8b"
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"


class TickFileKind(StrEnum):
    CSV = "csv"
    RECORDED_V3 = "recorded-v3"


class TickFileError(ValueError):
    """A file that can't be read as ticks: which, where, and what to do. Shown to people as it stands."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        self.path, self.line, self.problem = path, line, problem
        super().__init__(f"{path}, line {line}: {problem}" if line else f"{path}: {problem}")

    def __reduce__(self) -> tuple[type["TickFileError"], tuple[Path, int | None, str]]:
        return type(self), (self.path, self.line, self.problem)  # it also travels between processes


class Book(NamedTuple):
    """The best level. 0 = not known."""

    bid: Paise = 0
    ask: Paise = 0
    bid_quantity: Quantity = 0
    ask_quantity: Quantity = 0


def kind_of(path: Path) -> TickFileKind:
    try:
        with open_plain(path) as stream:
            head = stream.read(4096)
    except UNREADABLE as error:
        raise unreadable(path, 1, error) from error
    if head.startswith(_SQLITE_MAGIC):
        raise TickFileError(path, None, "is a database, not a file of ticks. Give a CSV or a recording.")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise TickFileError(path, None, "is empty. Is it the right file?")
    return TickFileKind.RECORDED_V3 if text[:1] in b"[{" else TickFileKind.CSV


def open_plain(path: Path) -> IO[bytes]:
    """Plain bytes, whether the file is compressed or not."""
    with path.open("rb") as raw:
        magic = raw.read(len(_GZIP_MAGIC))
    return cast(IO[bytes], gzip.open(path) if magic == _GZIP_MAGIC else path.open("rb"))


def unreadable(path: Path, line: int, error: Exception) -> TickFileError:
    """What went wrong below the level of rows, in words."""
    match error:
        case UnicodeDecodeError():
            problem = "from about here it is not text. A spreadsheet? Save it as CSV."
        case gzip.BadGzipFile() | EOFError() | zlib.error():
            problem = f"the compressed file is damaged from about here ({error}). Fetch it again."
        case OSError():
            return TickFileError(
                path, None, f"can't be read ({error.strerror or error}). Check name and rights."
            )
        case _:
            problem = f"damaged ({error}). Repair or delete this line."
    return TickFileError(path, line, problem)


def plausible(book: Book, ltp: Paise) -> Book:
    """A crossed book has a wrong side: the one further from the last price is taken for not known."""
    if 0 < book.ask < book.bid:
        if abs(book.ask - ltp) > abs(book.bid - ltp):
            return book._replace(ask=0, ask_quantity=0)
        return book._replace(bid=0, bid_quantity=0)
    return book


@lru_cache(maxsize=1024)
def _second(text: str) -> Nanos:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"the time `{text}` is not like 2025-12-15 09:15:00") from None
    return nanos_of(instant if instant.tzinfo else instant.replace(tzinfo=IST))


def instant_of(text: str) -> Nanos:
    """`2025-12-15 09:32:49[.fraction]`, naive = IST, exact to the nanosecond; other ISO forms too."""
    fraction = text[20:]
    if text[19:20] == "." and fraction.isdecimal() and len(fraction) <= 9:
        return _second(text[:19]) + int(fraction.ljust(9, "0"))
    return _second(text)


def names_zone(text: str) -> bool:
    """Does this time say where it was read? If not, it is taken for IST."""
    return "+" in text or text.endswith(("Z", "z")) or text.count("-") > 2
