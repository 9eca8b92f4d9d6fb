"""The twin with troubles: its calls, its order stream and its market go wrong on command.

It makes things happen and counts them; which and when is the day's script. It must never know the bot.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from random import Random
from typing import Any, Final

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.core.events import Act
from bot.core.units import SECOND, Nanos
from bot.sim.market import MarketMove
from bot.sim.orders import OrderRequest, OrderRow
from bot.simulate.troubles import AWAY, Kind, Trouble
from bot.twin.access import Stream
from bot.twin.faults import Fault, FaultKind, Faults
from bot.twin.market_source import MarketEvent
from bot.twin.server import Twin

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
}
_REJECTED: Final = {
    Kind.PLACE_REJECTED: Act.PLACE,
    Kind.MODIFY_REJECTED: Act.MODIFY,
    Kind.CANCEL_REJECTED: Act.CANCEL,
}
_OF_AN_ACT: Final = frozenset({Kind.REPLY_LOST, Kind.REPLY_SLOW, Kind.ACCEPTED_LATE})
_LASTING: Final = frozenset(
    {Kind.CALLS_503, Kind.HTML, Kind.WRONG_SCHEMA, Kind.BOOK_STALE, Kind.STREAM_LOSES}
    | {Kind.STREAM_REPEATS, Kind.STREAM_LATE, Kind.FEED_FROZEN}
)
_MARKET: Final = frozenset({Kind.FEED_BAD_PRICE, Kind.FEED_DUPLICATE, Kind.FEED_OLD})
_STALE_READS: Final = ("/v2/order/retrieve-all", "/v2/portfolio/short-term-positions")
_EXIT: Final = "/v2/order/positions/exit"
_LATE_SECONDS: Final = 20.0


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

    async def befall(self, trouble: Trouble) -> bool:
        """Make it happen. False: nothing was there for it to happen to."""
        kind, floor = trouble.kind, self._floor
        if (fault := _AS_FAULT.get(kind)) is not None:
            act = self._rng.choice(list(Act)) if kind in _OF_AN_ACT else Act.PLACE
            lot = next(iter(floor.contracts.values())).lot
            await self.inject(Fault(trouble.at, fault, trouble.seconds, act, "", trouble.amount * lot))
        elif kind in _REJECTED:
            floor.exchange.refuse_next(_REJECTED[kind], "RMS:Rule: Check circuit limit including square off")
        elif kind in _LASTING:
            until = self._until[kind] = self._clock.now() + round(trouble.seconds * SECOND)
            self._troubled_until = max(self._troubled_until, until)
        elif kind in _MARKET or kind is Kind.DONE_BUT_500:
            self.pending[kind] += 1
        elif kind is Kind.FEED_GARBAGE:
            await self._garbage(trouble.amount)
        elif kind is Kind.HALT:
            asyncio.get_running_loop().create_task(self._halt(trouble.seconds))
        else:
            return self._by_hand(kind)
        return True

    # ---- the exchange and other hands ------------------------------------------------------------------

    async def _halt(self, seconds: float) -> None:
        exchange, clock = self.exchange, self._clock
        exchange.halt(clock.now(), halted=True)
        await self._floor.sleep(seconds)
        exchange.halt(clock.now(), halted=False)
        self._floor.stir()

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
                if still is not None:
                    event = event._replace(what=still._replace(at=move.at))
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
        return _Tampered(super()._rest(), self)


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


class _Tampered:
    """ASGI around ASGI: answers that are none, and answers of before."""

    def __init__(self, app: ASGIApp, twin: BoxTwin) -> None:
        self._app, self._twin = app, twin
        self._fresh: dict[str, list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        twin, path = self._twin, scope["path"]
        if not twin.troubled:
            await self._pass_on(scope, receive, send)
            return
        acting = path.startswith("/v3/order/") and scope["method"] != "GET"
        if twin.lasts(Kind.CALLS_503):
            await _say(send, HTTPStatus.SERVICE_UNAVAILABLE, b'{"status":"error","errors":[]}')
        elif twin.lasts(Kind.HTML):
            await _say(send, HTTPStatus.OK, b"<html><body>maintenance</body></html>", b"text/html")
        elif twin.lasts(Kind.WRONG_SCHEMA) and not acting:
            await _say(send, HTTPStatus.OK, b'{"status":"success","data":{"surprise":[1]}}')
        elif acting and twin.used(Kind.DONE_BUT_500):
            twin.on_away(AWAY[Kind.DONE_BUT_500])
            await self._answer(scope, receive)
            await _say(send, HTTPStatus.INTERNAL_SERVER_ERROR, b"{}")
        elif twin.lasts(Kind.BOOK_STALE) and path in self._fresh:
            for message in self._fresh[path]:
                await send(dict(message))
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        messages = await self._answer(scope, receive)
        if path in _STALE_READS:
            self._fresh[path] = messages
        if messages[0]["status"] == HTTPStatus.OK and path == _EXIT:
            body = b"".join(message.get("body", b"") for message in messages[1:])
            self._twin.ours_without_tag.update(orjson.loads(body)["data"]["order_ids"])
        for message in messages:
            await send(dict(message))

    async def _answer(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(dict(message))

        await self._app(scope, receive, keep)
        return messages


async def _say(send: Send, status: HTTPStatus, body: bytes, kind: bytes = b"application/json") -> None:
    await send({"type": "http.response.start", "status": int(status), "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})
