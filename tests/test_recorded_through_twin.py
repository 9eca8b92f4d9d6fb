"""Recorded V3 days and wire fixtures: through the twin's socket, out of the bot's decoder, field for field.

The witness is the recording's own JSON, merged here by hand; nothing of the decoder or the twin helps it.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bot.core.events import Event, Quote, SegmentStatus, Tick
from bot.core.units import MILLISECOND, SECOND
from bot.storage.recorded_v3 import read_feeds
from bot.twin import market_source
from bot.twin.market_source import MarketEvent
from bot.upstox.wire_market import MarketDecoder, encode_feed_response
from tests.test_twin_day import Lockstep, day

Fields = dict[str, Any]
FEEDS_A_DAY = 1000  # of each recorded day: minutes of a lively option


def paise(rupees: float) -> int:
    return round(float(rupees) * 100)


def parts(feed: Fields) -> tuple[Fields | None, Fields | None]:
    """(trade, best level) that a feed's JSON holds."""
    if "ltpc" in feed:
        return feed["ltpc"], None
    if "firstLevelWithGreeks" in feed:
        first = feed["firstLevelWithGreeks"]
        return first.get("ltpc"), first.get("firstDepth")
    full = feed["fullFeed"]
    body = full.get("marketFF") or full.get("indexFF") or {}
    levels = body.get("marketLevel", {}).get("bidAskQuote") or [None]
    return body.get("ltpc"), levels[0]


def expected(events: list[MarketEvent]) -> list[tuple[int, ...]]:
    """(key, ltp, ltq, ltt, bid, ask, sizes) after each feed that brought a trade; the first is a snapshot."""
    books: dict[str, tuple[int, ...]] = {}
    trades: dict[str, tuple[int, ...]] = {}
    before: dict[str, Fields] = {}
    said = []
    for event in events:
        key, feed = event.instrument, event.what
        trade, best = parts(feed)
        if best is not None:
            bid, ask = paise(best.get("bidP", 0)), paise(best.get("askP", 0))
            books[key] = (bid, ask, int(best.get("bidQ", 0)), int(best.get("askQ", 0)))
        if trade is not None:
            ltt = int(trade.get("ltt", 0)) * MILLISECOND
            trades[key] = (paise(trade["ltp"]), int(trade.get("ltq", 0)), ltt)
        known, repeats = key in before, before.get(key) == feed
        before[key] = feed
        if trade is not None and known and not repeats:
            said.append((key, *trades[key], *books.get(key, (0, 0, 0, 0))))
    return said


def through_the_twin(events: list[MarketEvent]) -> tuple[list[Event], MarketDecoder]:
    """What the bot's decoder makes of what a full subscriber hears."""
    keys = list(dict.fromkeys(event.instrument for event in events))
    decoder, heard = MarketDecoder(keys), []
    begins = events[0].at - 2 * SECOND

    def take(data: bytes) -> None:
        heard.extend(decoder.decode(data, 1, 1))

    async def script(world: Lockstep) -> None:
        socket = await world.market(*keys)
        await world.listen(socket, take)

    span = {"opens_at": begins, "closes_at": events[-1].at + SECOND}
    assert day(script, iter(events), starts=begins, contracts={}, **span) == 0
    return heard, decoder


def ticks(events: list[Event]) -> list[tuple[int, ...]]:
    return [(e.instrument, e.ltp, e.ltq, e.ltt, *e[6:10]) for e in events if isinstance(e, Tick)]


def whole_frames(path: Path) -> Iterator[Fields]:
    text = path.read_text()
    yield from (
        (json.loads(line) for line in text.splitlines()) if path.suffix == ".jsonl" else [json.loads(text)]
    )


NAMES = (
    "NSE_FO_51414",
    "NSE_FO_51461",
    "NSE_FO_51498",
    "NSE_FO_51507",
    "NSE_FO_51510",
    "NSE_EQ_INE118H01025",
)


def comes_out_as_recorded(folder: Path, name: str, feeds: int | None) -> None:
    path = folder / "upstox_v3" / f"{name}_2025-12-15.json.gz"
    events = list(islice(market_source.recorded(read_feeds(path)), feeds))
    heard, decoder = through_the_twin(events)
    wanted = expected(events)
    assert len(wanted) > len(events) // 3
    assert ticks(heard) == wanted
    assert (decoder.decode_errors, decoder.dropped_prices) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_day_comes_out_of_the_bots_decoder_field_for_field(recorded: Path, name: str):
    """Its beginning; the whole of each is among the components' tests."""
    comes_out_as_recorded(recorded, name, FEEDS_A_DAY)


@pytest.mark.component
@pytest.mark.parametrize("name", NAMES)
def test_the_whole_recorded_day_does(recorded: Path, name: str):
    comes_out_as_recorded(recorded, name, None)


@pytest.mark.parametrize(
    "name",
    [
        "v3_sequence_full_d5_ICICIBANK_2025-03-19.jsonl",
        "v3_full_d5_index_eq_fo_2025-11-27.json",
        "v3_ltpc_41_equities_2025-10-08.json",
    ],
)
def test_a_wire_fixture_comes_out_field_for_field(recorded: Path, name: str):
    """Twice over, a second apart: the first time each key is new, and its feed a snapshot."""
    frames = list(whole_frames(recorded / "wire" / name))
    start = int(frames[0].get("currentTs", 1_760_000_000_000)) * MILLISECOND
    feeds = [(key, feed) for frame in frames for key, feed in frame["feeds"].items()]
    keys = dict.fromkeys(key for key, _ in feeds)
    again = [(key, moved(feed)) for key, feed in feeds] if len(feeds) == len(keys) else []
    events = [
        MarketEvent(start + number * SECOND, key, feed) for number, (key, feed) in enumerate(feeds + again)
    ]
    heard, decoder = through_the_twin(events)
    wanted = expected(events)
    assert wanted
    assert ticks(heard) == wanted
    snapshots = [event for event in heard if isinstance(event, Quote)]
    with_book = {key for key, feed in feeds if parts(feed)[1] is not None}
    assert {event.instrument for event in snapshots} == with_book
    assert decoder.decode_errors == 0


def moved(feed: Fields) -> Fields:
    """The same feed one trade later: a byte-identical one would be a repeat, and is dropped."""
    copy = json.loads(json.dumps(feed))
    trade, _ = parts(copy)
    assert trade is not None
    trade["ltt"] = str(int(trade["ltt"]) + 1)
    return copy


def test_the_recorded_market_info_is_decoded_segment_for_segment(recorded: Path):
    """It comes from the twin's own hours when it plays; the recorded frame itself goes the bot's way, too."""
    (frame,) = whole_frames(recorded / "wire" / "v3_market_info_2025-03-19.json")
    statuses = frame["marketInfo"]["segmentStatus"]
    decoder = MarketDecoder([f"{segment}|1" for segment in statuses])
    told = decoder.decode(encode_feed_response(frame), 1, 1)
    assert {e.segment: e.status for e in told if isinstance(e, SegmentStatus)} == statuses
