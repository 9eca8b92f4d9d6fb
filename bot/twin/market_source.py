"""The market the twin plays: one time-ordered stream of what happens, made up or recorded.

Knows where moves come from, not who hears of them. Files are read elsewhere: recordings come as iterators.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from bot.core.events import Tick
from bot.core.rules import Contract
from bot.core.units import MILLISECOND, InstrumentKey, Nanos, Quantity, tick_ceil, tick_floor
from bot.sim.market import MarketMove, SyntheticMarket

FeedFields: TypeAlias = Mapping[str, Any]  # a V3 `Feed` in protobuf's JSON shape

ASSUMED_SPREAD_BPS: Final = 25.0  # where a file has prices alone (contract: *Tick files*; market.md §7)
ASSUMED_LOTS: Final = 20
Quoted = TypeVar("Quoted", MarketMove, Tick)


class MarketEvent(NamedTuple):
    """Something happened to one instrument: a made-up move, or a feed as it was recorded."""

    at: Nanos
    instrument: InstrumentKey
    what: MarketMove | FeedFields


class RecordedRow(Protocol):
    """A recorded V3 feed, as readers of recordings give it. `at` is the recorder's clock."""

    @property
    def at(self) -> Nanos: ...
    @property
    def instrument(self) -> InstrumentKey: ...
    @property
    def feed(self) -> FeedFields: ...


def synthetic(*markets: SyntheticMarket) -> Iterator[MarketEvent]:
    """Made-up days, side by side."""
    return merged(*(_moves(market) for market in markets))


def recorded(feeds: Iterable[RecordedRow]) -> Iterator[MarketEvent]:
    """A recording in its own order, each feed sent as it was."""
    return (MarketEvent(row.at, row.instrument, row.feed) for row in feeds)


def from_ticks(ticks: Iterable[Tick], contracts: Mapping[InstrumentKey, Contract]) -> Iterator[MarketEvent]:
    """Ticks of a file without frames. Prices alone get an assumed spread, so that orders can trade."""
    volumes: dict[InstrumentKey, Quantity] = {}
    last: dict[InstrumentKey, Nanos] = {}
    for tick in ticks:
        contract = contracts[tick.instrument]
        volume = volumes[tick.instrument] = volumes.get(tick.instrument, 0) + tick.ltq
        # A row is a message: two that say the same in one second must not look like one sent twice.
        ltt = max(tick.ltt or tick.at, last.get(tick.instrument, 0) + MILLISECOND)
        last[tick.instrument] = ltt
        move = MarketMove(
            at=tick.at,
            ltp=tick.ltp,
            ltq=tick.ltq,
            ltt=ltt,
            bid=tick.bid,
            ask=tick.ask,
            bid_quantity=tick.bid_quantity,
            ask_quantity=tick.ask_quantity,
            volume=volume,
        )
        yield MarketEvent(tick.at, tick.instrument, with_spread(move, contract))


def merged(*sources: Iterator[MarketEvent]) -> Iterator[MarketEvent]:
    """Several time-ordered streams as one."""
    return sources[0] if len(sources) == 1 else heapq.merge(*sources, key=lambda event: event.at)


def _moves(market: SyntheticMarket) -> Iterator[MarketEvent]:
    key = market.key
    return (MarketEvent(move.at, key, move) for move in market)


def with_spread(move: Quoted, contract: Contract) -> Quoted:
    """The move (or tick) itself where it has both quotes, else with an assumed spread around its price."""
    if move.bid and move.ask:
        return move
    half = round(move.ltp * ASSUMED_SPREAD_BPS / 2 / 10_000)
    bid = max(tick_floor(move.ltp - half, contract.tick), contract.tick)
    ask = max(tick_ceil(move.ltp + half, contract.tick), bid + contract.tick)
    size = contract.lot * ASSUMED_LOTS
    return move._replace(bid=bid, ask=ask, bid_quantity=size, ask_quantity=size)
