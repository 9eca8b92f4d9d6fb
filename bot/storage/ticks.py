"""Tick files → ticks: the one reader behind every command that takes FILEs (contract: *Tick files*).

What a file is, its content says, never its name. This file must never know what ticks are for: it resets no
filter, opens no session, and drops nothing but the duplicates the contract names.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from bot.core.events import Tick
from bot.core.units import MILLISECOND, InstrumentKey, paise
from bot.storage.recorded_v3 import FeedDict, RecordedFeed, level_of, parts_of, read_feeds, recorded_items
from bot.storage.tick_source import (
    UNREADABLE,
    Book,
    TickFileError,
    TickFileKind,
    instant_of,
    kind_of,
    names_zone,
    open_plain,
    plausible,
    unreadable,
)

__all__ = [
    "FeedDict",
    "RecordedFeed",
    "TickFile",
    "TickFileError",
    "TickFileKind",
    "read_feeds",
    "read_ticks",
]

_HEADER_HELP: Final = (
    "the first line must be a header naming at least `timestamp` and `ltp`, as in "
    "`timestamp,ltp,bid_price,ask_price`. Add that line"
)


class TickFile:
    """An iterable of `Tick`, read as it is walked: a few MB of memory whatever the file's size.

    Opening looks at the beginning, so that a file that is no tick file is refused before anything starts;
    damage further down raises `TickFileError` while walking. The counters belong to the latest walk.
    `mono` of a tick equals `at`: who replays it stamps it anew.
    """

    def __init__(self, path: Path, instrument: InstrumentKey = "") -> None:
        """`instrument` names the rows of a CSV that don't name theirs; default: the file's stem."""
        self.path = path
        self.kind = kind_of(path)
        self.ticks = self.quoted = self.duplicates = self.depth_only = self.naive = 0
        self._instrument = instrument or path.name.partition(".")[0]
        next(iter(self))

    def __iter__(self) -> Iterator[Tick]:
        self.ticks = self.duplicates = 0
        self.quoted = 0  # ticks with both sides of the book known
        self.depth_only = 0  # messages that moved the book and were no tick
        self.naive = 0  # rows whose time names no zone: taken for IST
        for tick in self._csv() if self.kind is TickFileKind.CSV else self._recorded():
            self.ticks += 1
            self.quoted += tick.bid > 0 and tick.ask > 0
            yield tick
        if not self.ticks:
            raise TickFileError(self.path, None, "holds no ticks. Is it the right file?")

    def _recorded(self) -> Iterator[Tick]:
        previous: dict[InstrumentKey, FeedDict] = {}
        books: dict[InstrumentKey, Book] = {}
        for line, at, exchange_at, key, feed, naive in recorded_items(self.path):
            self.naive += naive
            # The recorder printed what the wire said: equal values were equal bytes.
            if previous.get(key) == feed:
                self.duplicates += 1
                continue
            previous[key] = feed
            try:
                ltpc, levels = parts_of(feed)
                if levels:
                    books[key] = level_of(levels[0])
                ltp = paise(float(ltpc.get("ltp", 0)))
                ltt, ltq = int(ltpc.get("ltt", 0)) * MILLISECOND, int(ltpc.get("ltq", 0))
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                raise TickFileError(
                    self.path, line, f"this feed is damaged ({error}). Record it again."
                ) from error
            if ltp <= 0:  # a zero scalar is an absent one (upstox §3.8), not a price
                self.depth_only += 1
                continue
            book = plausible(books.get(key, Book()), ltp)
            yield Tick(at, at, key, ltp, ltq, ltt, *book, exchange_at)

    def _csv(self) -> Iterator[Tick]:
        previous: dict[InstrumentKey, list[str]] = {}
        rows = _csv_rows(self.path)
        columns = _columns(self.path, *next(rows))
        prices = [columns[name] for name in ("bid_price", "ask_price") if name in columns]
        width, named = max(columns.values()) + 1, columns.get("instrument")
        timestamp = columns["timestamp"]
        for line, row in rows:
            if len(row) != width:
                problem = f"{len(row)} columns where the header names {width}. Repair or delete this line."
                raise TickFileError(self.path, line, problem)
            key = (row[named] if named is not None else "") or self._instrument
            quoted = any(row[column] for column in prices)
            if quoted and previous.get(key) == row:
                self.duplicates += 1
                continue
            previous[key] = row
            self.naive += not names_zone(row[timestamp])
            if quoted and not row[columns["ltp"]]:
                self.depth_only += 1
                continue
            try:
                yield _csv_tick(columns, row, key)
            except (ValueError, OverflowError) as error:
                raise TickFileError(self.path, line, f"{error}. Repair or delete this line.") from error


def read_ticks(path: Path, instrument: InstrumentKey = "") -> Iterator[Tick]:
    """The ticks of one file, in its order. A file that is none is refused here, before the first tick."""
    return iter(TickFile(path, instrument))


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every line that is not blank."""
    line = 0
    try:
        with open_plain(path) as stream, TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            for row in reader:
                line = reader.line_num
                if row:
                    yield line, row
    except (*UNREADABLE, csv.Error) as error:
        raise unreadable(path, line + 1, error) from error


def _columns(path: Path, line: int, header: list[str]) -> dict[str, int]:
    columns = {name.strip().lower(): column for column, name in enumerate(header)}
    missing = [f"`{name}`" for name in ("timestamp", "ltp") if name not in columns]
    if missing:
        raise TickFileError(path, line, f"no column {' and '.join(missing)} here: {_HEADER_HELP}.")
    if len(columns) != len(header):
        raise TickFileError(path, line, "the header names a column twice. Rename one.")
    return columns


def _csv_tick(columns: Mapping[str, int], row: list[str], key: InstrumentKey) -> Tick:
    def number(name: str) -> float:
        text = row[columns[name]].strip() if name in columns else ""
        value = float(text) if text else 0.0
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"`{name}` is {text}")
        return value

    at = instant_of(row[columns["timestamp"]].strip())
    ltp = paise(number("ltp"))
    if ltp <= 0:
        raise ValueError(f"`ltp` is {row[columns['ltp']] or 'missing'}")
    bid, ask, bid_quantity, ask_quantity = map(number, ("bid_price", "ask_price", "bid_qty", "ask_qty"))
    # Recorders exist that write the quantity into the price's column: such a price is no price.
    book = Book(
        0 if bid == bid_quantity else paise(bid),
        0 if ask == ask_quantity else paise(ask),
        int(bid_quantity),
        int(ask_quantity),
    )
    ltt = int(number("ltt")) * MILLISECOND
    return Tick(at, at, key, ltp, int(number("ltq")), ltt, *plausible(book, ltp), 0)
