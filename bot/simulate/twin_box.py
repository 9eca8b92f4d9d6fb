"""The twin with troubles: its calls, its order stream and its market go wrong on command.

It makes things happen and counts them; which and when is the day's script. It must never know the bot.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from math import inf, nan
from random import Random
from typing import Any, Final

from starlette.types import ASGIApp

from bot.core.events import Act
from bot.core.units import MILLISECOND, SECOND, Nanos
from bot.sim.market import MarketMove
from bot.sim.orders import OrderRequest, OrderRow
from bot.simulate.troubles import AWAY, Kind, Trouble
from bot.simulate.twin_calls import Tampered
from bot.twin.access import Stream
from bot.twin.faults import Fault, FaultKind, Faults
from bot.twin.market_source import MarketEvent
from bot.twin.server import Twin
from bot.upstox import market_feed_pb2 as pb
from bot.upstox.wire_answers import DEFINITE

_AS_FAULT: Final = {
    Kind.FEED_DROP: FaultKind.DROP_MARKET,
    Kind.FEED_STALL: FaultKind.STALL_MARKET,
    Kind.FEED_REFUSED: FaultKind.REFUSE_HANDSHAKE,
    Kind.STREAM_DROP: FaultKind.DROP_PORTFOLIO,
    Kind.CALLS_401: FaultKind.UNAUTHORIZED,
    Kind.CALLS_429: FaultKind.TOO_MANY,
    Kind.ORDERS_403: FaultKind.WRONG_ADDRESS,
    Kind.REPLY_LOST: FaultKind.LOSE_REPLY,
    Kind.REPLY_SLOW: FaultKind.SLOW_REPLY,
    Kind.ACCEPTED_LATE: FaultKind.LATE_ACCEPTANCE,
    Kind.THIN_BOOK: FaultKind.THIN_BOOK,
    Kind.DENIED: FaultKind.DENY,
}
_REJECTED: Final = {
    Kind.PLACE_REJECTED: Act.PLACE,
    Kind.MODIFY_REJECTED: Act.MODIFY,
    Kind.CANCEL_REJECTED: Act.CANCEL,
}
_OF_AN_ACT: Final = frozenset({Kind.REPLY_LOST, Kind.REPLY_SLOW, Kind.ACCEPTED_LATE, Kind.DENIED})
# By which the broker may deny an order call: all that mean a sure no, and two of which nobody can tell.
_CODES: Final = (*sorted(DEFINITE), "UDAPI100500", "UDAPI7777")
_LASTING: Final = frozenset(
    {Kind.CALLS_503, Kind.HTML, Kind.WRONG_SCHEMA, Kind.BOOK_STALE, Kind.STREAM_LOSES}
    | {Kind.STREAM_REPEATS, Kind.STREAM_LATE, Kind.FEED_FROZEN, Kind.NO_QUOTES, Kind.BOOK_LACKS}
)
_MARKET: Final = frozenset({Kind.FEED_BAD_PRICE, Kind.FEED_DUPLICATE, Kind.FEED_OLD})
_WAITING: Final = _MARKET | {Kind.DONE_BUT_500, Kind.REQUEST_LOST}  # for what they can befall
_ODD: Final = frozenset({Kind.FEED_NO_NUMBER, Kind.FEED_UNKNOWN})
_FOR_A_WHILE: Final = frozenset({Kind.HALT, Kind.SLOW_EXCHANGE, Kind.BAND})
_UNKNOWN_TYPE: Final = 77
_UNKNOWN_FIELD: Final = b"\x9a\x06\x03new"  # number 99, three bytes
_LATE_SECONDS: Final = 20.0
_BOOK_LAGS: Final[Nanos] = 5 * SECOND  # at most (hazards §4.2)


class BoxTwin(Twin):
    """`on_words(rows)` hears what the exchange says the moment it says it, troubles or not."""

    def __init__(self, *args: Any, rng: Random, **named: Any) -> None:
        super().__init__(*args, **named)
        self._rng = rng
        self._until: dict[Kind, Nanos] = {}
        self._troubled_until: Nanos = 0
        self.pending: Counter[Kind] = Counter()  # of the next move, the next order call; none is 0
        self._market = self._troubled(iter(self._market))
        self.ours_without_tag: set[str] = set()  # orders made by positions/exit
        self.on_words: list[Any] = []
        self.on_away: Callable[[float], None] = lambda _: None  # hears for how long a call goes unanswered
        self._floor.faults = _Heard(self)

    @property
    def troubled(self) -> bool:
        """Whether any kind of trouble may be upon a call now."""
        return self._clock.now() < self._troubled_until or bool(self.pending)

    def lasts(self, kind: Kind) -> bool:
        return self._clock.now() < self._until.get(kind, 0)

    def used(self, kind: Kind) -> bool:
        """Was one of these waiting for its chance? It is over with asking."""
        if not self.pending[kind]:
            return False
        self.pending[kind] -= 1
        self.pending += Counter()  # drops what is 0
        return True

    def just_placed(self) -> str:
        """The order of ours that the broker took last, if that was within the last seconds; "": none."""
        ours = [row for row in self.exchange.orders() if row.tag]
        if not ours or self._clock.now() - ours[-1].order_time > _BOOK_LAGS:
            return ""
        return ours[-1].order_id

    async def befall(self, trouble: Trouble) -> bool:
        """Make it happen. False: nothing was there for it to happen to."""
        kind, floor = trouble.kind, self._floor
        if (fault := _AS_FAULT.get(kind)) is not None:
            act = self._rng.choice(list(Act)) if kind in _OF_AN_ACT else Act.PLACE
            lot = next(iter(floor.contracts.values())).lot
            code = self._rng.choice(_CODES) if kind is Kind.DENIED else ""
            await self.inject(Fault(trouble.at, fault, trouble.seconds, act, code, trouble.amount * lot))
        elif kind in _REJECTED:
            floor.exchange.refuse_next(_REJECTED[kind], "RMS:Rule: Check circuit limit including square off")
        elif kind in _LASTING:
            until = self._until[kind] = self._clock.now() + round(trouble.seconds * SECOND)
            self._troubled_until = max(self._troubled_until, until)
        elif kind in _WAITING:
            self.pending[kind] += 1
        elif kind is Kind.FEED_GARBAGE:
            await self._garbage(trouble.amount)
        elif kind in _ODD:
            return await self._odd(kind)
        elif kind in _FOR_A_WHILE:
            return self._for_a_while(trouble)
        else:
            return self._by_hand(kind)
        return True

    # ---- the exchange and other hands ------------------------------------------------------------------

    def _for_a_while(self, trouble: Trouble) -> bool:
        """The exchange is otherwise until its time is over; of two that overlap, the later end counts."""
        exchange, now, kind = self.exchange, self._clock.now(), trouble.kind
        (key,) = self._floor.contracts
        last, away = self._floor.last_price(key), trouble.amount
        match kind:
            case Kind.HALT:
                exchange.halt(now, halted=True)
            case Kind.SLOW_EXCHANGE:
                exchange.slow_down(now, away / 1000)
            case Kind.BAND:
                if not last:
                    return False
                lower, upper = (last * (1000 + sign * away) // 1000 for sign in (-1, 1))
                exchange.set_circuit_limits(key, lower, upper)
        self._until[kind] = max(self._until.get(kind, 0), now + round(trouble.seconds * SECOND))
        asyncio.get_running_loop().create_task(self._as_usual(kind))
        return True

    async def _as_usual(self, kind: Kind) -> None:
        await self._clock.sleep_until(self._until[kind])
        if self.lasts(kind):
            return
        exchange, now, floor = self.exchange, self._clock.now(), self._floor
        (key,) = floor.contracts
        match kind:
            case Kind.HALT:
                exchange.halt(now, halted=False)
            case Kind.SLOW_EXCHANGE:
                exchange.slow_down(now, 0.0)
            case Kind.BAND:
                exchange.set_circuit_limits(key, *floor.circuits[key])
        floor.stir()

    def _by_hand(self, kind: Kind) -> bool:
        exchange, now = self.exchange, self._clock.now()
        (contract,) = self._floor.contracts.values()
        touch = self._floor.boards[contract.key].touch
        if kind is Kind.MANUAL_CANCEL:
            live = [row for row in exchange.orders() if row.tag and row.pending_quantity]
            if live:
                exchange.cancel(now, self._rng.choice(live).order_id)
                self._floor.stir()
            return bool(live)
        if kind is Kind.SQUARE_OFF:
            made = exchange.exit_positions(now)
            self._floor.stir()
            return any(reply.ok for reply in made)
        held = sum(row.quantity for row in exchange.positions())
        quantity, side, price = (contract.lot, "BUY", touch.ask)
        if kind is Kind.MANUAL_SELL:
            quantity, side, price = held, "SELL", touch.bid
        if quantity <= 0 or not price:
            return False
        exchange.place(now, OrderRequest(contract.key, side, "LIMIT", "D", "DAY", quantity, price, 0))
        self._floor.stir()
        return True

    # ---- the market --------------------------------------------------------------------------------------

    def _troubled(self, market: Iterator[MarketEvent]) -> Iterator[MarketEvent]:
        still: MarketMove | None = None  # what everybody sees while nothing moves
        for event in market:
            move = event.what
            if isinstance(move, MarketMove) and move.bid:
                still = (still or move) if self.lasts(Kind.FEED_FROZEN) else None
                shown = still._replace(at=move.at) if still is not None else move
                if self.lasts(Kind.NO_QUOTES):
                    shown = shown._replace(bid=0, ask=0, bid_quantity=0, ask_quantity=0)
                event = event._replace(what=shown)
            yield event
            if not self.pending or not isinstance(move, MarketMove) or not move.bid:
                continue
            for kind in filter(self.used, sorted(_MARKET)):
                yield event._replace(what=self._spoilt(kind, move))

    def _spoilt(self, kind: Kind, move: MarketMove) -> MarketMove:
        if kind is Kind.FEED_DUPLICATE:
            return move
        if kind is Kind.FEED_OLD:
            return move._replace(ltt=move.ltt - 60 * SECOND)
        return move._replace(ltp=self._rng.choice((0, move.ltp // 100, move.ltp * 10)), ltt=move.ltt + 1)

    async def _garbage(self, frames: int) -> None:
        async with self._sockets.turn:
            for _ in range(frames):
                links = [link for link in self._sockets.links if link.ticket.stream is Stream.MARKET]
                await self._sockets.send(links, self._rng.randbytes(self._rng.randint(0, 200)))

    async def _odd(self, kind: Kind) -> bool:
        """The last frame again, a little younger, with something in it that nobody can use."""
        (key,) = self._floor.contracts
        board = self._floor.boards[key]
        if not board.known:
            return False
        async with self._sockets.turn:
            response = pb.FeedResponse.FromString(board.snapshot.encode(self._clock.now() // MILLISECOND))
            ltpc = response.feeds[key].fullFeed.marketFF.ltpc
            ltpc.ltt += 1
            odd = b""
            if kind is Kind.FEED_NO_NUMBER:
                ltpc.ltp = self._rng.choice((nan, inf, -inf, -ltpc.ltp))
            else:
                response.type = _UNKNOWN_TYPE  # type: ignore[assignment]
                odd = _UNKNOWN_FIELD
            links = [link for link in self._sockets.links if key in link.modes]
            await self._sockets.send(links, response.SerializeToString() + odd)
        return True

    # ---- the order stream --------------------------------------------------------------------------------

    async def _tell(self, updates: list[OrderRow]) -> None:
        for hear in self.on_words:
            hear(updates)
        if not updates or self.lasts(Kind.STREAM_LOSES):
            return
        if self.lasts(Kind.STREAM_LATE):
            for row in updates:
                self._later(self._rng.uniform(0, _LATE_SECONDS), [row])
            return
        if self.lasts(Kind.STREAM_REPEATS):
            self._later(2.0, updates)
        await self._say(updates)

    async def _say(self, updates: list[OrderRow]) -> None:
        await super()._tell(updates)

    def _later(self, seconds: float, updates: list[OrderRow]) -> None:
        async def say() -> None:
            await self._floor.sleep(seconds)
            async with self._sockets.turn:
                await self._say(updates)

        asyncio.get_running_loop().create_task(say())

    # ---- calls -------------------------------------------------------------------------------------------

    def _rest(self) -> ASGIApp:
        return Tampered(super()._rest(), self)


class _Heard(Faults):
    """Faults that wait for the next call of a kind: what they do begins when that call comes."""

    def __init__(self, twin: BoxTwin) -> None:
        super().__init__()
        self._twin = twin

    def on_call(self, act: Act) -> Fault | None:
        fault = super().on_call(act)
        if fault is not None:
            self._twin.on_away(fault.seconds + AWAY[Kind.REPLY_LOST])
        return fault
