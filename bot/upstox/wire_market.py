"""The market feed's bytes ↔ values: frames of the broker into events, our requests into frames, and back.

Pure: knows no socket, no clock and no strategy. Whatever the bytes are, `MarketDecoder.decode` never raises.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson
from google.protobuf.message import DecodeError

from bot.core.events import Event, FrameSeen, Quote, SegmentStatus, Tick
from bot.core.units import MILLISECOND, SECOND, InstrumentKey, Nanos, segment_of
from bot.upstox import market_feed_pb2 as pb

FRAME_BYTES_MAX = 1 << 20  # hazards F8
PRICE_RUPEES_MAX = 1e7  # far over any price of NSE or BSE: above it, it is damage
_PRICE_MIN, _PRICE_MAX = 0.005, PRICE_RUPEES_MAX  # half a paisa rounds to none
_MILLIS_MAX = 9_000_000_000_000  # the year 2255; later ones overflow nanoseconds in 64 bits
_FLOOD_ERRORS, _FLOOD_WINDOW = 20, 10 * SECOND  # more errors than that within it: the peer is lost to us
_OUT_OF_ORDER: Nanos = SECOND  # the last trade's time moving back by more is counted
_FEW_INSTRUMENTS = 8  # up to here it is cheaper to ask a frame for each of ours than to list what it holds

_INITIAL, _LIVE, _MARKET_INFO = 0, 1, 2

# Keys a connection may subscribe in one mode: alone, and when modes are mixed (upstox §3.3).
KEYS_MAX = {"ltpc": (5000, 2000), "option_greeks": (3000, 2000), "full": (2000, 1500), "full_d30": (50, 1500)}


class _Book:
    """What is known of one instrument, merged from partial frames (upstox §0.4)."""

    __slots__ = ("frame", "key", "last")

    def __init__(self, key: InstrumentKey) -> None:
        self.key = key
        # A Tick's fields as the last feed would have had them; not all became one. A plain tuple: reading
        # those of a named one takes twice as long.
        self.last = (0, 0, key, 0, 0, 0, 0, 0, 0, 0, 0)
        self.frame = b""  # the one before, to compare with: cheaper to keep than what was made of it


class Tap(Protocol):
    """Sees every frame before it is decoded: a tape."""

    def opened(self) -> None:
        """A new connection begins."""

    def frame(self, frame: bytes, at: Nanos, mono: Nanos) -> None:
        """These bytes came."""


class MarketDecoder:
    """Frames → events, for `instruments`. A frame about others only is a FrameSeen.

    The counters only grow; read them when you like. Frames of one connection must come in order, and
    `opened` between connections.
    """

    def __init__(self, instruments: Iterable[InstrumentKey], tap: Tap | None = None) -> None:
        self._tap = tap
        self.instruments: tuple[InstrumentKey, ...] = ()
        self.segments: frozenset[str] = frozenset()
        self.frames = 0
        self.decode_errors = 0  # garbage, truncated or oversized: dropped
        self.duplicates = 0  # byte-identical repeats of an instrument's previous feed: dropped
        self.dropped_prices = 0  # not finite, not positive or absurd
        self.out_of_order = 0  # only counted: the definition of a tick knows no order
        self.closing_auction: dict[str, str] = {}  # market_info's casMarketStatus, the broker's words
        self.pre_open: dict[str, str] = {}  # …and preOpenSessionStatus
        self._errors: deque[Nanos] = deque(maxlen=_FLOOD_ERRORS + 1)
        self._few = True
        self._books: list[_Book] = []
        self._by_key: dict[InstrumentKey, _Book] = {}
        self.add(instruments)

    def add(self, instruments: Iterable[InstrumentKey]) -> None:
        """Decode these, too, from now on."""
        fresh = [key for key in dict.fromkeys(instruments) if key not in self._by_key]
        self.instruments += tuple(fresh)
        self.segments = frozenset(segment_of(key) for key in self.instruments)
        self._few = len(self.instruments) <= _FEW_INSTRUMENTS
        self._books += [_Book(key) for key in fresh]
        self._by_key = {book.key: book for book in self._books}

    def heard_mono(self, key: InstrumentKey) -> Nanos:
        """When the connection last said something new of an instrument; 0: not yet."""
        return self._by_key[key].last[1]

    def opened(self) -> None:
        """A new connection starts from nothing: books of before the gap are not known any more."""
        self._books = [_Book(key) for key in self.instruments]
        self._by_key = {book.key: book for book in self._books}
        self._errors.clear()
        if self._tap is not None:
            self._tap.opened()

    @property
    def flooded(self) -> bool:
        """More than 20 undecodable frames within 10 s on this connection: time to reconnect (hazards F8)."""
        errors = self._errors
        return len(errors) > _FLOOD_ERRORS and errors[-1] - errors[0] <= _FLOOD_WINDOW

    def decode(self, frame: bytes, at: Nanos, mono: Nanos) -> list[Event]:
        """What a frame says, stamped with `at` and `mono`. Empty when it is undecodable: no proof of life."""
        if self._tap is not None:
            self._tap.frame(frame, at, mono)
        self.frames += 1
        if len(frame) > FRAME_BYTES_MAX:
            return self._undecodable(mono)
        try:
            response = pb.FeedResponse.FromString(frame)
        except DecodeError:
            return self._undecodable(mono)
        events: list[Event] = []
        kind = response.type
        if kind == _MARKET_INFO:
            self._market_info(response, at, mono, events)
        millis = response.currentTs
        exchange_at = millis * MILLISECOND if 0 < millis < _MILLIS_MAX else 0
        feeds = response.feeds
        for book in self._books if self._few else self._books_in(feeds):
            feed = feeds.get(book.key)  # indexing a protobuf map inserts what is missing
            if feed is not None:
                event = self._feed(book, frame, feed, kind == _LIVE, at, mono, exchange_at)
                if event is not None:
                    events.append(event)
        return events or [FrameSeen(at, mono)]

    def _feed(
        self, book: _Book, frame: bytes, feed: pb.Feed, live: bool, at: Nanos, mono: Nanos, exchange_at: Nanos
    ) -> Tick | Quote | None:
        """One instrument's part of a frame, merged. Written for speed: ticks come all day."""
        last = book.last
        # Reading a message that is not there gives an empty one and is cheaper than asking first: only a
        # zero price makes us ask which shape this is.
        market = feed.fullFeed.marketFF
        trade: pb.LTPC | None
        trade = deal = market.ltpc
        price = deal.ltp
        levels = market.marketLevel.bidAskQuote
        best = levels[0] if levels else None
        if not price:
            if best is None:
                trade, best = _parts(feed)
                price = trade.ltp if trade is not None else 0.0
            elif not market.HasField("ltpc"):
                trade = None
        if best is None:
            bid, ask, bid_quantity, ask_quantity = last[6:10]
        else:
            bid_rupees, ask_rupees = best.bidP, best.askP
            bid_quantity, ask_quantity = best.bidQ, best.askQ
            # round(x * 100) is units.paise without the call. False for NaN, too.
            bid = round(bid_rupees * 100) if _PRICE_MIN < bid_rupees < _PRICE_MAX else 0
            ask = round(ask_rupees * 100) if _PRICE_MIN < ask_rupees < _PRICE_MAX else 0
            if not (bid and ask):  # an empty side comes as 0 (near the close, say): not known, but no damage
                self.dropped_prices += (not bid and bid_rupees != 0) + (not ask and ask_rupees != 0)
            if bid_quantity < 0 or ask_quantity < 0:
                bid_quantity, ask_quantity = max(bid_quantity, 0), max(ask_quantity, 0)
        if trade is not None and _PRICE_MIN < price < _PRICE_MAX:
            ltp, ltq, millis = round(price * 100), trade.ltq, trade.ltt
            ltt = millis * MILLISECOND if 0 < millis < _MILLIS_MAX else 0
            if ltt < last[5] - _OUT_OF_ORDER:
                self.out_of_order += 1
        else:
            ltp, ltq, ltt = last[3:6]
            live = False
            self.dropped_prices += trade is not None
        # Only a feed that changed none of these can be a repeat: the full comparison is seldom made.
        if (
            ask_quantity == last[9]
            and bid_quantity == last[8]
            and (ltp, ltq, ltt, bid, ask) == last[3:8]
            and _repeats(feed, book)
        ):
            self.duplicates += 1
            return None
        book.frame = frame
        book.last = last = (
            at, mono, book.key, ltp, ltq, ltt, bid, ask, bid_quantity, ask_quantity, exchange_at
        )  # fmt: skip
        if live:
            return tuple.__new__(Tick, last)  # half the price of the class's own constructor
        if best is not None:
            return Quote(at, mono, book.key, bid, ask, bid_quantity, ask_quantity)
        return None

    def _books_in(self, feeds: Iterable[InstrumentKey]) -> list[_Book]:
        """Of many instruments, those a frame speaks of. Protobuf maps have no order; events must."""
        names = self._by_key
        return [names[key] for key in sorted(feeds) if key in names]

    def _market_info(self, response: pb.FeedResponse, at: Nanos, mono: Nanos, events: list[Event]) -> None:
        info = response.marketInfo
        statuses = info.segmentStatus
        events.extend(
            SegmentStatus(at, mono, segment, _status_name(statuses[segment]))
            for segment in sorted(self.segments.intersection(statuses))
        )
        self.closing_auction.update((key, word.status) for key, word in info.casMarketStatus.items())
        self.pre_open.update((key, word.status) for key, word in info.preOpenSessionStatus.items())

    def _undecodable(self, mono: Nanos) -> list[Event]:
        self.decode_errors += 1
        self._errors.append(mono)
        return []


def _repeats(feed: pb.Feed, book: _Book) -> bool:
    before = pb.FeedResponse.FromString(book.frame).feeds
    return book.key in before and feed == before[book.key]


def _parts(feed: pb.Feed) -> tuple[pb.LTPC | None, pb.Quote | None]:
    """The trade and the best level a feed of any shape really carries (upstox §3.5, §3.6)."""
    part: pb.MarketFullFeed | pb.IndexFullFeed | pb.FirstLevelWithGreeks
    best: pb.Quote | None = None
    match feed.WhichOneof("FeedUnion"):
        case "ltpc":
            return feed.ltpc, None
        case "fullFeed" if feed.fullFeed.WhichOneof("FullFeedUnion") == "indexFF":
            part = feed.fullFeed.indexFF
        case "fullFeed":
            part = feed.fullFeed.marketFF
            if part.marketLevel.bidAskQuote:
                best = part.marketLevel.bidAskQuote[0]
        case "firstLevelWithGreeks":
            part = feed.firstLevelWithGreeks
            if part.HasField("firstDepth"):
                best = part.firstDepth
        case _:
            return None, None
    return (part.ltpc if part.HasField("ltpc") else None), best


def _status_name(status: int) -> str:
    """The broker's word for a segment's status; its number when it is newer than our schema."""
    try:
        return pb.MarketStatus.Name(status)
    except ValueError:
        return f"STATUS_{status}"


# ---- requests: JSON in a binary frame (upstox §3.2) ---------------------------------------------------


class Request(NamedTuple):
    """What a client asked of the feed. `method` ∈ sub | change_mode | unsub; `mode` is "" when not said."""

    guid: str
    method: str
    mode: str
    keys: tuple[InstrumentKey, ...]


def subscribe_request(guid: str, method: str, mode: str, keys: Sequence[InstrumentKey]) -> bytes:
    """The bytes of a request, to be sent as a *binary* frame. `unsub` needs no mode: pass ""."""
    data: dict[str, Any] = {"instrumentKeys": list(keys)}
    if mode:
        data = {"mode": mode} | data
    return orjson.dumps({"guid": guid, "method": method, "data": data})


def parse_request(frame: bytes) -> Request:
    """The server's side of `subscribe_request`. Raises ValueError for anything that is no request."""
    body = orjson.loads(frame)
    match body:
        case {
            "method": "sub" | "change_mode" | "unsub" as method,
            "data": {"instrumentKeys": [*keys]},
        } if keys and all(isinstance(key, str) for key in keys):
            mode = body["data"].get("mode", "ltpc" if method == "sub" else "")
        case _:
            raise ValueError("a feed request names a method (sub, change_mode, unsub) and its instrumentKeys")
    if mode not in KEYS_MAX and not (method == "unsub" and mode == ""):
        raise ValueError(f"unknown feed mode {mode!r}: one of {', '.join(KEYS_MAX)}")
    return Request(str(body.get("guid", "")), method, mode, tuple(keys))


def check_limits(keys_by_mode: Mapping[str, int]) -> None:
    """Raises ValueError when a connection may not carry so many keys (upstox §3.3)."""
    mixed = len(keys_by_mode) > 1
    for mode, count in keys_by_mode.items():
        if mode not in KEYS_MAX:
            raise ValueError(f"unknown feed mode {mode!r}: one of {', '.join(KEYS_MAX)}")
        if count > (most := KEYS_MAX[mode][mixed]):
            raise ValueError(f"{count} instruments in mode {mode}: a connection carries at most {most}")


# ---- frames from recorded or made-up fields: for the twin and the tests --------------------------------

_INT64 = frozenset(
    {"ltt", "ltq", "bidQ", "askQ", "vol", "ts", "vtt", "ieq", "iiqTotal", "iiqM", "updatedTime"}
)
_FEED_FIELDS = frozenset({"ltpc", "fullFeed", "firstLevelWithGreeks", "requestMode"})


def encode_feed_response(fields: Mapping[str, Any]) -> bytes:
    """A frame from protobuf's JSON shape: 64-bit integers may be text, what is missing is not sent.

    In a feed, keys the schema lacks (a recorder's own) are left out; elsewhere they raise ValueError.
    Enums are names or numbers; a missing `type` is initial_feed, as on the wire.
    """
    response = pb.FeedResponse(type=fields.get("type", _INITIAL), currentTs=int(fields.get("currentTs", 0)))
    for key, feed in fields.get("feeds", {}).items():
        known = {name: value for name, value in feed.items() if name in _FEED_FIELDS}
        response.feeds[key].CopyFrom(pb.Feed(**_plain(known)))
    if (info := fields.get("marketInfo")) is not None:
        response.marketInfo.SetInParent()
        for segment, status in info.get("segmentStatus", {}).items():
            number: Any = pb.MarketStatus.Value(status) if isinstance(status, str) else status
            response.marketInfo.segmentStatus[segment] = number
        for name in ("casMarketStatus", "preOpenSessionStatus"):
            for key, word in info.get(name, {}).items():
                getattr(response.marketInfo, name)[key].CopyFrom(pb.StatusInfo(**_plain(word)))
    return response.SerializeToString(deterministic=True)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Protobuf JSON → what message constructors take."""
    plain: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, str):
            plain[name] = int(value) if name in _INT64 else value
        elif isinstance(value, Mapping):
            plain[name] = _plain(value)
        elif isinstance(value, list):
            plain[name] = [_plain(item) for item in value]
        else:
            plain[name] = value
    trade = plain.get("ltpc")
    if trade and isinstance(trade.get("iep"), float | int):
        trade["iep"] = {"value": trade["iep"]}  # DoubleValue is a bare number in JSON
    return plain
