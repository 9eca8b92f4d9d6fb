"""Recordings of Upstox V3 feeds as JSON → feeds, one at a time. No tick is made here, nothing is dropped."""

import json
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from bot.core.units import MILLISECOND, InstrumentKey, Nanos, paise
from bot.storage.tick_source import (
    UNREADABLE,
    Book,
    TickFileError,
    TickFileKind,
    instant_of,
    kind_of,
    names_zone,
    open_plain,
    unreadable,
)

FeedDict: TypeAlias = Mapping[str, Any]  # a V3 `Feed` as JSON: int64 are strings, zeros may be absent

_READ_CHARS: Final = 1 << 18
_JSON_VALUE_CHARS_MAX: Final = 1 << 22  # a frame of one instrument is 3 kB; what doesn't end here is damage


class RecordedFeed(NamedTuple):
    """One recorded V3 feed, untouched. `at` is the recorder's clock; `feed` is the wire's `Feed` message."""

    at: Nanos
    instrument: InstrumentKey
    feed: FeedDict


class Item(NamedTuple):
    line: int
    at: Nanos
    exchange_at: Nanos
    instrument: InstrumentKey
    feed: FeedDict
    naive: bool = False  # its time named no zone


def read_feeds(path: Path) -> Iterator[RecordedFeed]:
    """The feeds of a recorded V3 file exactly as recorded, duplicates and depth-only messages included.

    Raises TickFileError here when the file is of another kind, and while walking where it is damaged.
    """
    if kind_of(path) is not TickFileKind.RECORDED_V3:
        raise TickFileError(
            path, None, "is not a recording of Upstox V3 feeds (a JSON array). Give one of those."
        )
    feeds = (RecordedFeed(item.at, item.instrument, item.feed) for item in recorded_items(path))
    first = next(feeds, None)
    if first is None:
        raise TickFileError(path, None, "holds no feeds. Is it the right file?")
    return chain([first], feeds)


def recorded_items(path: Path) -> Iterator[Item]:
    """Feeds from an array (or a line each) of recorder's rows or of whole frames (`feeds`, `currentTs`)."""
    for line, value in _json_values(path):
        try:
            if "instrumentKey" in value:
                feed = {k: v for k, v in value.items() if k not in ("instrumentKey", "_insertion_time")}
                # The recorder kept no currentTs: the feed's own clock is not known.
                text = value["_insertion_time"]
                yield Item(line, instant_of(text), 0, value["instrumentKey"], feed, not names_zone(text))
            elif "feeds" in value:
                exchange_at = int(value["currentTs"]) * MILLISECOND
                for key, feed in value["feeds"].items():
                    yield Item(line, exchange_at, exchange_at, key, feed)
            elif "marketInfo" not in value:
                raise KeyError("instrumentKey")  # noqa: TRY301 — one sentence for all that lacks something
        except KeyError as error:
            raise TickFileError(
                path, line, f"this is no recorded feed: it has no {error}. Record it again."
            ) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise TickFileError(path, line, f"this is no feed ({error}). Record it again.") from error


def _json_values(path: Path) -> Iterator[tuple[int, Any]]:
    """(line it begins on, value), one at a time: the whole of a day would take 600 MB."""
    decode = json.JSONDecoder().raw_decode
    line, text, here, opened, ended = 1, "", 0, False, False
    try:
        with open_plain(path) as stream, TextIOWrapper(stream, "utf-8-sig") as file:
            while True:
                piece = file.read(_READ_CHARS)
                text, here = text[here:] + piece, 0
                while True:
                    start = here
                    while here < len(text) and text[here] in " \t\r\n,[]":
                        opened |= text[here] == "["
                        ended |= text[here] == "]"
                        here += 1
                    line += text.count("\n", start, here)
                    if here == len(text):
                        break
                    try:
                        value, end = decode(text, here)
                    except (json.JSONDecodeError, RecursionError):
                        if piece and len(text) - here < _JSON_VALUE_CHARS_MAX:
                            break  # it goes on in the next piece
                        raise TickFileError(
                            path, line, "the value that begins here is cut off or damaged. Record it again."
                        ) from None
                    yield line, value
                    line += text.count("\n", here, end)
                    here = end
                if not piece:
                    break
    except UNREADABLE as error:
        raise unreadable(path, line, error) from error
    if opened and not ended:
        raise TickFileError(
            path, line, "the array is not closed: the end of the file is missing. Fetch it again."
        )


def parts_of(feed: FeedDict) -> tuple[FeedDict, list[FeedDict]]:
    """(ltpc, levels of the book) of a feed in any mode; empty where the message has none."""
    if "ltpc" in feed:
        return feed["ltpc"], []
    if "firstLevelWithGreeks" in feed:
        first = feed["firstLevelWithGreeks"]
        return first.get("ltpc", {}), [first["firstDepth"]] if "firstDepth" in first else []
    full = feed.get("fullFeed", {})
    body = full.get("marketFF") or full.get("indexFF") or {}
    return body.get("ltpc", {}), body.get("marketLevel", {}).get("bidAskQuote", [])


def level_of(quote: FeedDict) -> Book:
    return Book(
        paise(float(quote.get("bidP", 0))),
        paise(float(quote.get("askP", 0))),
        int(quote.get("bidQ", 0)),
        int(quote.get("askQ", 0)),
    )
