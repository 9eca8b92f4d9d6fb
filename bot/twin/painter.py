"""Made-up moves written into a full V3 feed: touch, depth, candles, averages (upstox §3.5).

What a move does not say (levels below the touch, greeks, open interest) is decoration and tells nothing.
Knows no frame, no mode and no subscriber.
"""

from datetime import time
from typing import Final

from bot.core.units import MILLISECOND, SECOND, Nanos, Paise, Quantity, ist, ist_nanos
from bot.sim.market import MarketMove
from bot.upstox import market_feed_pb2 as pb

LEVELS: Final = 5
MINUTE: Final[Nanos] = 60 * SECOND
GREEKS: Final = {"delta": 0.5, "theta": -12.5, "gamma": 0.002, "vega": 9.0, "rho": 1.0}
OPEN_INTEREST: Final = 2_625_000.0
IMPLIED_VOLATILITY: Final = 0.13


class Painter:
    """Writes moves into one feed and keeps what a day's feed shows of them."""

    def __init__(self, feed: pb.Feed, first: MarketMove, tick: Paise, lot: Quantity) -> None:
        feed.requestMode = pb.full_d5
        self._full = full = feed.fullFeed.marketFF
        self._ltpc = full.ltpc
        self._ltpc.cp = first.ltp / 100  # before the open a market shows yesterday's close
        self._levels = [full.marketLevel.bidAskQuote.add() for _ in range(LEVELS)]
        self._tick = tick
        self._sizes = [lot * lots for lots in (3, 5, 4, 7)]
        full.optionGreeks.CopyFrom(pb.OptionGreeks(**GREEKS))
        full.oi, full.iv = OPEN_INTEREST, IMPLIED_VOLATILITY
        self._day: pb.OHLC | None = None
        self._minute = pb.OHLC(interval="I1")  # the one that runs
        self._minute_at: Nanos = 0
        self._ltt: Nanos = 0
        self._touch = (0, 0)
        self._turnover = 0

    def paint(self, move: MarketMove) -> bool:
        """Show a move. Returns whether it brought a trade."""
        ltpc, full = self._ltpc, self._full
        price = move.ltp / 100
        ltpc.ltp, ltpc.ltt, ltpc.ltq = price, move.ltt // MILLISECOND, move.ltq
        self._paint_levels(move)
        full.tbq, full.tsq = move.bid_quantity * 40.0, move.ask_quantity * 40.0
        traded = move.ltq > 0 and move.ltt != self._ltt
        if traded:
            self._ltt = move.ltt
            self._turnover += move.ltp * move.ltq
            full.vtt = move.volume
            if move.volume:
                full.atp = round(self._turnover / move.volume) / 100
            self._candles(move, price)
        return traded

    def _paint_levels(self, move: MarketMove) -> None:
        best, *rest = self._levels
        best.bidQ, best.bidP = move.bid_quantity, move.bid / 100
        best.askQ, best.askP = move.ask_quantity, move.ask / 100
        if (move.bid, move.ask) == self._touch:
            return
        self._touch = bid, ask = move.bid, move.ask
        step = self._tick
        for level, size in zip(rest, self._sizes, strict=True):
            bid, ask = bid - step if bid > step else 0, ask + step if ask else 0
            # A blank level is an empty message (upstox §3.5).
            level.bidQ, level.bidP = (size, bid / 100) if bid else (0, 0.0)
            level.askQ, level.askP = (size, ask / 100) if ask else (0, 0.0)

    def _candles(self, move: MarketMove, price: float) -> None:
        day, minute = self._day, self._minute
        if day is None:
            midnight = ist_nanos(ist(move.at).date(), time(0))
            day = self._day = self._full.marketOHLC.ohlc.add()
            day.interval, day.open, day.high, day.low = "1d", price, price, price
            day.ts = midnight // MILLISECOND
        if price > day.high:
            day.high = price
        elif price < day.low:
            day.low = price
        day.close, day.vol = price, move.volume
        begins = move.at // MINUTE * MINUTE
        if begins != self._minute_at:
            if self._minute_at:  # recordings show the last minute that is over
                self._show_minute(minute)
            self._minute_at = begins
            minute.open = minute.high = minute.low = price
            minute.vol, minute.ts = 0, begins // MILLISECOND
        minute.high, minute.low = max(minute.high, price), min(minute.low, price)
        minute.close = price
        minute.vol += move.ltq

    def _show_minute(self, minute: pb.OHLC) -> None:
        candles = self._full.marketOHLC.ohlc
        (candles[1] if len(candles) > 1 else candles.add()).CopyFrom(minute)
