"""The tape: everything the engine was told in a day, and what it answered, as one compressed file.

One file a start of the process. Format (docs/backtest.md, *The tape*): one gzip stream, flushed every second,
so a crash costs the last second and nothing before. Inside: the magic line, then records of kind (1 byte), at
and mono (int64, big-endian, ns), length (uint32), payload. It must never block whoever writes, and never know
what a record means for an order.

    H  a start of the process: JSON (settings of the engine, journal records it recovered from)
    O  the market socket opened: what was known before is forgotten
    F  a frame of the market feed, as it came
    E  any other event, JSON: [class, fields]; of an order book only what follows the rows that are as before,
       behind their number
    B  the turn of this number was handled with a younger tick waiting: JSON number
    C  what a turn decided: its number, a space, JSON [[class, fields], …]
    Z  the end: JSON number of turns handled
"""

import gzip
import json
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, get_type_hints

from bot.core import events
from bot.core.commands import Command
from bot.core.events import BrokerSnapshot, Event, OrderReport, PositionRow
from bot.core.units import Nanos

MAGIC: Final = b"KTAPE 1\n"
_HEAD: Final = struct.Struct(">cqqI")
_FLUSH_SECONDS: Final = 1.0
_BACKLOG_BYTES_MAX: Final = 64 << 20  # the disk hangs: the tape ends, trading goes on
_PAYLOAD_MAX: Final = 64 << 20


class TapeRefused(Exception):
    """The file can't be taken as a tape; says why and what to do. Shown as it stands."""


class Entry(NamedTuple):
    """One record."""

    kind: str
    at: Nanos
    mono: Nanos
    payload: bytes


def tape_path(folder: Path, day: date, run: int) -> Path:
    """`<folder>/tape-2026-09-16-1.ktape.gz`: of the day's first start."""
    return folder / f"tape-{day.isoformat()}-{run}.ktape.gz"


def tapes_of(folder: Path, day: date) -> list[Path]:
    """The day's tapes, in the order of the starts."""
    found = folder.glob(f"tape-{day.isoformat()}-*.ktape.gz")
    return sorted(found, key=lambda path: int(path.name.split("-")[-1].partition(".")[0]))


class TapeWriter:
    """`put` costs an append; a thread of its own compresses and writes. A failing disk ends the tape and
    nothing else: `problem` then says why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self.entries = 0
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # taken in and not yet written; exact enough for a bound
        self._written = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tape", daemon=True)
        self._thread.start()

    def put(self, kind: bytes, at: Nanos, mono: Nanos, payload: bytes) -> None:
        """Take one record in. Never blocks."""
        if self.problem:
            return
        self.entries += 1
        self._bytes += len(payload)
        if self._bytes - self._written > _BACKLOG_BYTES_MAX:
            self.problem = "the disk does not take the tape fast enough: it ends here"
            return
        self._waiting.append(_HEAD.pack(kind, at, mono, len(payload)) + payload)

    def close(self) -> None:
        """Write what waits, and let go of the file. Blocks for the disk."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        packer = zlib.compressobj(3, wbits=31)
        try:
            with self.path.open("wb") as file:
                file.write(packer.compress(MAGIC))
                stopping = False
                while not stopping:
                    stopping = self._stop.wait(_FLUSH_SECONDS)
                    while self._waiting:
                        piece = self._waiting.popleft()
                        file.write(packer.compress(piece))
                        self._written += len(piece) - _HEAD.size
                    file.write(packer.flush(zlib.Z_FINISH if stopping else zlib.Z_SYNC_FLUSH))
                    file.flush()
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror or error}: the tape ends here"
            self._waiting.clear()


def read_tape(path: Path) -> Iterator[Entry]:
    """Its records in order; a torn end (a crash) ends it silently. Raises TapeRefused for what is no tape."""
    try:
        file = gzip.open(path)  # noqa: SIM115 - closed below, by the with
        with file:
            if file.read(len(MAGIC)) != MAGIC:
                raise TapeRefused(
                    f"{path}: is no tape of this bot. Give a tape-….ktape.gz of a day's folder."
                )
            while True:
                head = file.read(_HEAD.size)
                if len(head) < _HEAD.size:
                    return
                kind, at, mono, length = _HEAD.unpack(head)
                if length > _PAYLOAD_MAX:
                    raise TapeRefused(f"{path}: is damaged (a record of {length} bytes). Fetch it again.")
                payload = file.read(length)
                if len(payload) < length:
                    return
                yield Entry(kind.decode("latin-1"), at, mono, payload)
    except EOFError:
        return
    except (OSError, zlib.error) as error:
        raise TapeRefused(
            f"{path}: can't be read as a tape ({error}). Check the name, or fetch it again."
        ) from error


# ---- events and commands as text ---------------------------------------------------------------------------


class EventPen:
    """Writes one tape's events. Rows at the head of the order book that are those of the reading before (the
    very same objects: most of a long day's book is over and done with) are counted, not written again.
    """

    def __init__(self) -> None:
        self._orders: tuple[OrderReport, ...] = ()

    def text(self, event: Event) -> bytes:
        """[class, fields] as JSON; NaN and lone surrogates survive."""
        body: dict[str, Any] = event._asdict()
        if isinstance(event, BrokerSnapshot):
            same = _same_head(self._orders, event.orders)
            self._orders = event.orders
            body["orders"] = [same, *(row._asdict() for row in event.orders[same:])]
            body["positions"] = [row._asdict() for row in event.positions]
        return json.dumps([type(event).__name__, body], separators=(",", ":")).encode()


class EventReader:
    """Reads what one pen wrote, in its order."""

    def __init__(self) -> None:
        self._orders: tuple[OrderReport, ...] = ()

    def event(self, text: bytes) -> Event:
        """The event again. Raises TapeRefused for what another version wrote."""
        try:
            name, body = json.loads(text)
            if name == BrokerSnapshot.__name__:
                same, *rows = body["orders"]
                self._orders = self._orders[:same] + tuple(_made(OrderReport, row) for row in rows)
                body["orders"] = self._orders
                body["positions"] = tuple(_made(PositionRow, row) for row in body["positions"])
                return BrokerSnapshot(**body)
            event: Event = _made(getattr(events, name), body)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise TapeRefused(
                f"an event of the tape can't be read ({error!r}): another version wrote it."
            ) from error
        return event


def _same_head(before: tuple[OrderReport, ...], now: tuple[OrderReport, ...]) -> int:
    for place, (one, other) in enumerate(zip(before, now, strict=False)):
        if one is not other:
            return place
    return min(len(before), len(now))


def commands_text(commands: list[Command] | tuple[Command, ...]) -> str:
    """What a turn decided, the same text for the same decisions."""
    return json.dumps([[type(command).__name__, *command] for command in commands], separators=(",", ":"))


def _made(kind: Any, fields: dict[str, Any]) -> Any:
    for name, words in _words_of(kind):
        if name in fields:
            fields[name] = words(fields[name])
    return kind(**fields)


@cache
def _words_of(kind: Any) -> tuple[tuple[str, type[StrEnum]], ...]:
    """The fields whose text is one of a few words."""
    hints = get_type_hints(kind).items()
    return tuple((name, hint) for name, hint in hints if isinstance(hint, type) and issubclass(hint, StrEnum))
