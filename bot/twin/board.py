"""One instrument as the feed shows it: what is known of it, and the messages that say so (upstox §3.5, §3.6).

Messages are built in place and used again; a message is good until the next one. Knows no socket, no
subscriber and no clock.
"""

from random import Random
from typing import Final, NamedTuple

from bot.core.units import InstrumentKey, Paise, Quantity, paise
from bot.sim.market import MarketMove
from bot.twin.market_source import FeedFields
from bot.twin.painter import Painter
from bot.upstox import market_feed_pb2 as pb

DEPTH_APART: Final = 0.06  # share of moves whose depth comes in a frame of its own, before the trade's
VOLUME_APART: Final = 0.01  # …and after which a frame says nothing but the volume (upstox §0 fact 4)
_TEXT: Final = frozenset({"interval", "requestMode"})  # all other text in a feed's JSON is a 64-bit integer
_FEED_FIELDS: Final = frozenset({"ltpc", "fullFeed", "firstLevelWithGreeks", "requestMode"})


class Frame:
    """A FeedResponse about one instrument, and its `Feed`, written in place."""

    __slots__ = ("feed", "response")

    def __init__(self, key: InstrumentKey) -> None:
        self.response = pb.FeedResponse(type=pb.live_feed)
        self.feed = self.response.feeds[key]

    def encode(self, millis: int) -> bytes:
        """As a live_feed of that time."""
        self.response.currentTs = millis
        return self.response.SerializeToString()


class Touch(NamedTuple):
    """What the exchange needs to know of a message. 0: not known."""

    ltp: Paise
    ltq: Quantity  # 0 when the message brought no trade
    bid: Paise
    ask: Paise
    bid_quantity: Quantity
    ask_quantity: Quantity


class Picture(NamedTuple):
    """The parts of what is known of an instrument, whatever the shape of its feed."""

    ltpc: pb.LTPC
    levels: list[pb.Quote]
    ohlc: list[pb.OHLC]
    full: pb.MarketFullFeed  # empty for an index


class Board:
    """Takes what happens to one instrument; `frames` are then what a full subscriber hears of it."""

    def __init__(self, key: InstrumentKey, tick: Paise, lot: Quantity, rng: Random) -> None:
        self.key = key
        self.touch = Touch(0, 0, 0, 0, 0, 0)
        self.known = False
        self.repeated = False  # the last recorded feed said what the one before it had said
        self._fields: FeedFields | None = None
        self.snapshot = Frame(key)  # all that is known, as a full feed
        self.frames: tuple[Frame, ...] = ()
        self._rng, self._tick, self._lot = rng, tick, lot
        self._depth, self._trade, self._volume = Frame(key), Frame(key), Frame(key)
        self._narrow = {"ltpc": Frame(key), "option_greeks": Frame(key)}
        self._painter: Painter | None = None

    def moved(self, move: MarketMove) -> None:
        """A made-up move: mostly one whole frame, sometimes in parts."""
        if self._painter is None:
            self._painter = Painter(self.snapshot.feed, move, self._tick, self._lot)
        traded = self._painter.paint(move)
        self.known = True
        self.touch = Touch(
            move.ltp,
            move.ltq if traded else 0,
            move.bid,
            move.ask,
            move.bid_quantity,
            move.ask_quantity,
        )
        draw = self._rng.random()
        if draw < DEPTH_APART:
            self.frames = self._apart()
        elif draw < DEPTH_APART + VOLUME_APART:
            full = self._volume.feed.fullFeed.marketFF
            full.vtt = self.snapshot.feed.fullFeed.marketFF.vtt
            self._volume.feed.requestMode = pb.full_d5
            self.frames = (self.snapshot, self._volume)
        else:
            self.frames = (self.snapshot,)

    def recorded(self, fields: FeedFields) -> None:
        """A recorded feed, to be sent field for field. Raises ValueError when it is none."""
        self.repeated, self._fields = fields == self._fields, fields
        frame = self._trade
        frame.feed.Clear()
        try:
            _fill(frame.feed, {name: value for name, value in fields.items() if name in _FEED_FIELDS})
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"a recorded feed of {self.key} is not of the V3 schema: {error}") from error
        _merge(self.snapshot.feed, frame.feed)
        self.known = True
        self.frames = (frame,)
        seen = self.picture()
        traded = _part_with_trade(frame.feed) is not None
        best = seen.levels[0] if seen.levels else pb.Quote()
        self.touch = Touch(
            paise(seen.ltpc.ltp),
            seen.ltpc.ltq if traded else 0,
            paise(best.bidP),
            paise(best.askP),
            best.bidQ,
            best.askQ,
        )

    def encode(self, frame: Frame, mode: str, millis: int) -> bytes | None:
        """`frame` for a subscriber of `mode`; None when it says nothing to them."""
        narrow = self._narrow.get(mode)
        if narrow is None:
            return frame.encode(millis)
        narrow.feed.Clear()
        return narrow.encode(millis) if narrowed(frame.feed, mode, narrow.feed) else None

    def write_snapshot(self, out: pb.Feed, mode: str) -> None:
        """All that is known, into an empty feed, for a subscriber of `mode`."""
        if mode not in self._narrow:
            out.CopyFrom(self.snapshot.feed)
        else:
            narrowed(self.snapshot.feed, mode, out)

    def picture(self) -> Picture:
        """What is known now, for reads."""
        feed = self.snapshot.feed
        match feed.WhichOneof("FeedUnion"):
            case "ltpc":
                return Picture(feed.ltpc, [], [], pb.MarketFullFeed())
            case "firstLevelWithGreeks":
                first = feed.firstLevelWithGreeks
                return Picture(first.ltpc, [first.firstDepth], [], pb.MarketFullFeed())
            case _ if feed.fullFeed.WhichOneof("FullFeedUnion") == "indexFF":
                index = feed.fullFeed.indexFF
                return Picture(index.ltpc, [], list(index.marketOHLC.ohlc), pb.MarketFullFeed())
            case _:
                full = feed.fullFeed.marketFF
                levels, ohlc = list(full.marketLevel.bidAskQuote), list(full.marketOHLC.ohlc)
                return Picture(full.ltpc, levels, ohlc, full)

    def _apart(self) -> tuple[Frame, ...]:
        whole = self.snapshot.feed.fullFeed.marketFF
        depth, trade = self._depth.feed, self._trade.feed
        depth.requestMode = trade.requestMode = pb.full_d5
        depth.fullFeed.marketFF.marketLevel.CopyFrom(whole.marketLevel)
        part = trade.fullFeed.marketFF
        part.CopyFrom(whole)
        part.ClearField("marketLevel")
        return self._depth, self._trade


def narrowed(feed: pb.Feed, mode: str, out: pb.Feed) -> bool:
    """Write into the empty `out` what a subscriber of ltpc or option_greeks gets of `feed`, if anything."""
    part = _part_with_trade(feed)
    if mode == "ltpc":
        if part is None:
            return False
        out.ltpc.CopyFrom(part)
        out.requestMode = pb.ltpc
        return True
    out.requestMode = pb.option_greeks
    if feed.HasField("firstLevelWithGreeks"):
        out.firstLevelWithGreeks.CopyFrom(feed.firstLevelWithGreeks)
        return True
    first, full = out.firstLevelWithGreeks, feed.fullFeed.marketFF
    if part is not None:
        first.ltpc.CopyFrom(part)
    if full.marketLevel.bidAskQuote:
        first.firstDepth.CopyFrom(full.marketLevel.bidAskQuote[0])
    if full.HasField("optionGreeks"):
        first.optionGreeks.CopyFrom(full.optionGreeks)
    first.vtt, first.oi, first.iv = full.vtt, full.oi, full.iv
    return first.ByteSize() > 0


def _part_with_trade(feed: pb.Feed) -> pb.LTPC | None:
    """The ltpc a feed of any shape carries, or None."""
    match feed.WhichOneof("FeedUnion"):
        case "ltpc":
            return feed.ltpc
        case "firstLevelWithGreeks":
            return feed.firstLevelWithGreeks.ltpc if feed.firstLevelWithGreeks.HasField("ltpc") else None
        case "fullFeed" if feed.fullFeed.WhichOneof("FullFeedUnion") == "indexFF":
            return feed.fullFeed.indexFF.ltpc if feed.fullFeed.indexFF.HasField("ltpc") else None
        case "fullFeed":
            return feed.fullFeed.marketFF.ltpc if feed.fullFeed.marketFF.HasField("ltpc") else None
        case _:
            return None


def _merge(known: pb.Feed, feed: pb.Feed) -> None:
    """Partial frames add to what is known; lists replace (upstox §0 fact 4)."""
    if feed.HasField("fullFeed"):
        mine, theirs = known.fullFeed, feed.fullFeed
        if theirs.marketFF.HasField("marketLevel"):
            mine.marketFF.ClearField("marketLevel")
        if theirs.marketFF.HasField("marketOHLC"):
            mine.marketFF.ClearField("marketOHLC")
        if theirs.indexFF.HasField("marketOHLC"):
            mine.indexFF.ClearField("marketOHLC")
    known.MergeFrom(feed)


def _fill(message: object, fields: FeedFields) -> None:
    """Protobuf's JSON shape into a message, in place: a third of what making new ones costs."""
    for name, value in fields.items():
        kind = value.__class__
        if kind is dict:
            part = getattr(message, name)
            part.SetInParent()
            _fill(part, value)
        elif kind is list:
            items = getattr(message, name)
            for item in value:
                _fill(items.add(), item)
        elif name == "iep" and isinstance(message, pb.LTPC):  # a wrapped number is bare in JSON
            message.iep.value = value
        elif kind is str and name not in _TEXT:
            setattr(message, name, int(value))
        else:
            setattr(message, name, value)
