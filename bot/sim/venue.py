"""The exchange's floor: orders enter, rest, trigger, trade, are amended and removed. No latency here.

It speaks through two doors it is given: `say` (a word about an order) and `traded`. It does not know
accounts, margins or the broker's queue; that an order may be here at all was decided before (exchange.py).
"""

from collections.abc import Callable, Mapping
from itertools import count
from typing import TypeAlias

from bot.core.rules import Contract
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity
from bot.sim.book import Book, Fill, Place, SimOrder
from bot.sim.orders import (
    CANCELLED,
    COMPLETE,
    MODIFIED,
    OPEN,
    REJECTED,
    TRIGGER_PENDING,
    OrderRequest,
    SimTrade,
)
from bot.sim.refusals import exchange_refusal, protection_refusal

Say: TypeAlias = Callable[[Nanos, SimOrder, str, str], None]  # at, order, status, status_message
Traded: TypeAlias = Callable[[SimTrade], None]


class Venue:
    def __init__(
        self,
        contracts: Mapping[InstrumentKey, Contract],
        opens_at: Nanos,
        closes_at: Nanos,
        say: Say,
        traded: Traded,
    ) -> None:
        self._contracts = contracts
        self._opens_at, self._closes_at = opens_at, closes_at
        self._say, self._traded = say, traded
        self._books = {key: Book() for key in contracts}
        self._priorities, self._trade_ids, self._exchange_ids = count(1), count(1), count(1)
        self.halted = False

    def ltp(self, instrument: InstrumentKey) -> Paise:
        """0 before the first price."""
        return self._books[instrument].ltp

    def show(
        self,
        at: Nanos,
        instrument: InstrumentKey,
        ltp: Paise,
        ltq: Quantity,
        bid: Paise,
        ask: Paise,
        bid_quantity: Quantity,
        ask_quantity: Quantity,
    ) -> None:
        """The market moved: stops first (they meet the very message that triggers them), then the book."""
        book = self._books[instrument]
        book.show(at, ltp, ltq, bid, ask, bid_quantity, ask_quantity)
        if not (book.stops or book.resting) or self._shut(at):
            return
        for order in [stop for stop in book.stops if book.reached(stop)]:
            self._trigger(at, book, order)
        for order in list(book.by_priority()):
            fill = book.fill(order)
            if fill is None:
                continue
            self._trade(at, fill)
            if order.unfilled:
                self._speak(at, order, order.status)  # there is no status for a part fill (upstox §9)
            else:
                book.resting.remove(order)
                self._speak(at, order, COMPLETE)

    def enter(self, at: Nanos, order: SimOrder) -> None:
        """A new order arrives: rejected, waiting for its trigger, resting, part filled or complete."""
        refusal = self._refusal(at, order.request)
        if refusal is not None:
            self._speak(at, order, REJECTED, refusal)
            return
        order.exchange_order_id = f"1{next(self._exchange_ids):015d}"
        self._settle(at, order)

    def amend(self, at: Nanos, order: SimOrder, terms: OrderRequest) -> str | None:
        """Put `terms` in place of the order's own, or return why not. Time priority is lost."""
        refusal = self._amend_refusal(order, terms) or self._refusal(at, terms)
        if refusal is not None:
            return refusal
        self._leave(order)
        order.request = terms
        self._speak(at, order, MODIFIED)
        self._settle(at, order)
        return None

    def remove(self, at: Nanos, order: SimOrder, message: str = "") -> None:
        """Cancel what is left of it."""
        self._leave(order)
        self._speak(at, order, CANCELLED, message)

    # --- inside ---------------------------------------------------------------------------------------------

    def _shut(self, at: Nanos) -> bool:
        return self.halted or not self._opens_at <= at < self._closes_at

    def _refusal(self, at: Nanos, terms: OrderRequest) -> str | None:
        if self._shut(at):
            return (
                "16387 : Security is not allowed to trade in this market"
                if self.halted
                else "Market is closed"
            )
        contract = self._contracts[terms.instrument]
        refusal = exchange_refusal(terms, contract)
        if refusal is None and terms.order_type != "SL":  # a stop is checked when it triggers (orders.md)
            refusal = self._protection(terms)
        return refusal

    def _protection(self, terms: OrderRequest) -> str | None:
        reference = self._books[terms.instrument].reference()
        exchange = self._contracts[terms.instrument].exchange
        return protection_refusal(terms.side, terms.price, reference, exchange)

    @staticmethod
    def _amend_refusal(order: SimOrder, terms: OrderRequest) -> str | None:
        if terms.quantity <= order.filled_quantity:
            return "Quantity is not above the traded quantity"
        if terms.order_type == "SL" and (order.triggered or order.request.order_type != "SL"):
            return "A limit order cannot be modified into a stop loss order"  # at another broker (orders.md)
        return None

    def _settle(self, at: Nanos, order: SimOrder) -> None:
        if order.request.order_type == "SL":
            book = self._books[order.request.instrument]
            order.place = Place.STOP
            book.stops.append(order)
            self._speak(at, order, TRIGGER_PENDING)
            if book.reached(order):
                self._trigger(at, book, order)
        else:
            self._rest(at, order)

    def _trigger(self, at: Nanos, book: Book, order: SimOrder) -> None:
        book.stops.remove(order)
        order.triggered = True
        refusal = self._protection(order.request)
        if refusal is not None:
            self._speak(at, order, REJECTED, refusal)
        else:
            self._rest(at, order)

    def _rest(self, at: Nanos, order: SimOrder) -> None:
        """Into the book: take what is crossed; what is left rests or, being IOC, goes."""
        book = self._books[order.request.instrument]
        order.place = Place.BOOK
        order.priority = next(self._priorities)
        order.taker = book.crosses(order.request.side, order.request.price)
        fill = book.fill(order)
        if fill is not None:
            self._trade(at, fill)
        if not order.unfilled:
            self._speak(at, order, COMPLETE)
        elif order.request.validity == "IOC":  # upstox §9: open → complete or cancelled (rest)
            self._speak(at, order, CANCELLED)
        else:
            book.resting.append(order)
            self._speak(at, order, OPEN)

    def _leave(self, order: SimOrder) -> None:
        book = self._books[order.request.instrument]
        (book.stops if order.place is Place.STOP else book.resting).remove(order)

    def _trade(self, at: Nanos, fill: Fill) -> None:
        order, terms = fill.order, fill.order.request
        order.filled_quantity += fill.quantity
        order.filled_value += fill.quantity * fill.price
        trade = SimTrade(
            trade_id=str(next(self._trade_ids)),
            order_id=order.order_id,
            exchange_order_id=order.exchange_order_id,
            instrument=terms.instrument,
            side=terms.side,
            quantity=fill.quantity,
            price=fill.price,
            at=at,
            product=terms.product,
            tag=terms.tag,
        )
        self._traded(trade)

    def _speak(self, at: Nanos, order: SimOrder, status: str, message: str = "") -> None:
        order.exchange_time = at
        self._say(at, order, status, message)
