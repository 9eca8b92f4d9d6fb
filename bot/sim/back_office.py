"""The broker's back office: what happens to an order between call and exchange, and how long it takes.

It keeps the queue of due events, the risk check and the words that were said; the exchange's floor is
venue.py, the calls' own checks are exchange.py. No clock: `now` only moves when it is told to. Things asked
of one order are done in the order they were asked (`busy_until`); latency is drawn when the thing is asked.
"""

import heapq
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from random import Random
from typing import Any, Final, TypeAlias

from bot.core.rules import Contract
from bot.core.units import SECOND, InstrumentKey, Nanos, Paise, Quantity
from bot.sim.book import Place, SimOrder
from bot.sim.ledger import Ledger
from bot.sim.orders import (
    CANCEL_PENDING,
    MODIFY_PENDING,
    MODIFY_VALIDATING,
    NOT_CANCELLED,
    NOT_MODIFIED,
    OPEN,
    OPEN_PENDING,
    RECEIVED,
    REJECTED,
    TERMINAL,
    TRIGGER_PENDING,
    VALIDATING,
    ExchangeRules,
    OrderRequest,
    OrderRow,
)
from bot.sim.refusals import CircuitLimits, Standing, protected_price, risk_refusal
from bot.sim.venue import Venue

Step: TypeAlias = Callable[[Nanos], None]
VALIDATION_SHARE: Final = 0.25  # of the ack latency passes before the risk check is heard of (a guess)


class BackOffice:
    def __init__(
        self,
        contracts: Mapping[InstrumentKey, Contract],
        rng: Random,
        rules: ExchangeRules,
        opens_at: Nanos,
        closes_at: Nanos,
        intraday_entries_until: Nanos,
    ) -> None:
        self.now: Nanos = 0
        self.ledger = Ledger(rules.funds)
        self.venue = Venue(contracts, opens_at, closes_at, self.say, self.ledger.book)
        self.circuit: dict[InstrumentKey, CircuitLimits] = {}
        self.live: dict[str, SimOrder] = {}  # not final, in order of placing
        self.updates: list[OrderRow] = []
        self.slower_seconds = 0.0  # on command: what each step may take beside its usual time
        self._contracts, self._rng, self._rules = contracts, rng, rules
        self._intraday_entries_until = intraday_entries_until
        self._due: list[tuple[Nanos, int, Step]] = []
        self._sequence = count()

    # --- time -----------------------------------------------------------------------------------------------

    def due_at(self) -> Nanos | None:
        return self._due[0][0] if self._due else None

    def advance(self, at: Nanos) -> None:
        """Run what is due up to and including `at`. Time never runs backwards: an older `at` runs nothing."""
        while self._due and self._due[0][0] <= at:
            due, _, step = heapq.heappop(self._due)
            assert due >= self.now, "an event was put into the past"
            self.now = due
            step(due)
        self.now = max(self.now, at)

    def schedule(self, due: Nanos, step: Step) -> None:
        heapq.heappush(self._due, (due, next(self._sequence), step))

    def _after(self, order: SimOrder, amount: float, step: Step) -> None:
        """`amount` seconds later, and after everything already under way for this order."""
        order.busy_until = max(self.now, order.busy_until) + round(amount * SECOND)
        self.schedule(order.busy_until, step)

    def _latencies(self) -> tuple[float, float, float]:
        """Seconds to the validation, from there to the risk verdict, from there to the exchange's answer."""
        rng = self._rng
        ack = rng.uniform(*self._rules.ack_seconds)
        there = rng.uniform(*self._rules.exchange_seconds)
        if self.slower_seconds:
            ack, there = (usual + rng.uniform(0, self.slower_seconds) for usual in (ack, there))
        return ack * VALIDATION_SHARE, ack * (1 - VALIDATION_SHARE), there

    # --- words ----------------------------------------------------------------------------------------------

    def say(self, at: Nanos, order: SimOrder, status: str, message: str = "") -> None:
        """The one place where an order's status changes: heard on the stream, kept in its history."""
        assert order.status not in TERMINAL, "a final status is final"
        order.status, order.status_message = status, message
        if status in TERMINAL:
            order.place = Place.GONE
            self.live.pop(order.order_id, None)
        row = order.row(at)
        order.history.append(row)
        self.updates.append(row)

    # --- chains ---------------------------------------------------------------------------------------------

    def receive(self, order: SimOrder, doom: str | None, at: Nanos) -> None:
        """A new order is taken. `doom`: the risk check refuses it with this text, whatever it is."""
        if order.place is Place.GONE:  # queued before the market opened and cancelled since
            return
        self.say(at, order, RECEIVED)
        to_validation, to_verdict, to_exchange = self._latencies()
        self._after(order, to_validation, partial(self._validate, order, VALIDATING))
        self._after(order, to_verdict, partial(self._verdict, order, doom))
        self._after(order, to_exchange, partial(self._enter, order))

    def modify(self, order: SimOrder, changes: dict[str, Any], doom: str | None) -> None:
        """`changes` are fields of OrderRequest; they meet the order's terms when the change gets there."""
        to_validation, to_verdict, to_exchange = self._latencies()
        self._after(order, to_validation, partial(self._validate, order, MODIFY_VALIDATING))
        self._after(order, to_verdict, partial(self._modify_verdict, order, changes, doom))
        self._after(order, to_exchange, partial(self._amend, order))

    def cancel(self, order: SimOrder, doom: str | None) -> None:
        to_validation, to_verdict, to_exchange = self._latencies()
        self._after(order, to_validation, partial(self._validate, order, CANCEL_PENDING))
        self._after(order, to_verdict + to_exchange, partial(self._remove, order, doom))

    def _validate(self, order: SimOrder, status: str, at: Nanos) -> None:
        if order.place is not Place.GONE:
            self.say(at, order, status)

    def _verdict(self, order: SimOrder, doom: str | None, at: Nanos) -> None:
        if order.place is Place.GONE:
            return
        terms = self._protected(order.request)
        refusal = doom or self._risk(order, terms, at)
        if refusal is not None or terms is None:
            self.say(at, order, REJECTED, refusal or "RMS:No last traded price for market protection")
            return
        order.request, order.margined = terms, True
        self.say(at, order, OPEN_PENDING)

    def _enter(self, order: SimOrder, at: Nanos) -> None:
        if order.place is not Place.GONE:
            self.venue.enter(at, order)

    def _modify_verdict(self, order: SimOrder, changes: dict[str, Any], doom: str | None, at: Nanos) -> None:
        if order.place is Place.GONE:  # it was filled first
            return
        order.modifies += 1
        terms = self._protected(order.request._replace(**changes))
        refusal = doom
        if refusal is None and order.modifies > self._rules.modifies_max:  # orders.md: 25, at another broker
            refusal = "Maximum number of modifications reached"
        refusal = refusal or self._risk(order, terms, at)
        if refusal is not None or terms is None:
            self._not_modified(order, refusal or "RMS:No last traded price for market protection", at)
            return
        order.pledge = terms
        self.say(at, order, MODIFY_PENDING)

    def _amend(self, order: SimOrder, at: Nanos) -> None:
        terms, order.pledge = order.pledge, None
        if order.place is Place.GONE or terms is None:
            return
        refusal = self.venue.amend(at, order, terms)
        if refusal is not None:
            self._not_modified(order, refusal, at)

    def _not_modified(self, order: SimOrder, message: str, at: Nanos) -> None:
        self.say(at, order, NOT_MODIFIED, message)
        self._as_before(order, at)

    def _remove(self, order: SimOrder, doom: str | None, at: Nanos) -> None:
        if order.place is Place.GONE:
            return
        if doom is None:
            self.venue.remove(at, order)
            return
        self.say(at, order, NOT_CANCELLED, doom)
        self._as_before(order, at)

    def _as_before(self, order: SimOrder, at: Nanos) -> None:
        self.say(at, order, TRIGGER_PENDING if order.place is Place.STOP else OPEN)

    # --- the risk check -------------------------------------------------------------------------------------

    def _protected(self, terms: OrderRequest) -> OrderRequest | None:
        """A MARKET order's terms as the limit order it becomes (upstox §0 fact 7); None without a price."""
        if terms.order_type != "MARKET":
            return terms
        ltp = self.venue.ltp(terms.instrument)
        if ltp == 0:
            return None
        tick = self._contracts[terms.instrument].tick
        price = protected_price(ltp, terms.side, terms.market_protection, tick)
        return terms._replace(order_type="LIMIT", price=price, trigger_price=0)

    def _risk(self, order: SimOrder, terms: OrderRequest | None, at: Nanos) -> str | None:
        if terms is None:
            return None
        contract = self._contracts[terms.instrument]
        circuit = self.circuit.get(terms.instrument) if terms.order_type != "SL-M" else None
        unfilled = terms.quantity - order.filled_quantity
        return risk_refusal(terms, unfilled, contract, self._standing(order, terms, at), circuit)

    def _standing(self, order: SimOrder, terms: OrderRequest, at: Nanos) -> Standing:
        selling, blocked = 0, 0
        for other in self.live.values():
            if other is order or not other.margined:
                continue
            quantity, price = self._spoken_for(other)
            if other.request.side == "BUY":
                blocked += quantity * price
            elif (other.request.instrument, other.request.product) == (terms.instrument, terms.product):
                selling += quantity
        return Standing(
            position=self.ledger.quantity(terms.instrument, terms.product),
            selling=selling,
            funds=self.ledger.cash - blocked,
            margin_for_shorts=self._rules.margin_for_shorts or order.privileged,
            intraday_entries_over=at >= self._intraday_entries_until,
        )

    @staticmethod
    def _spoken_for(order: SimOrder) -> tuple[Quantity, Paise]:
        """What a live order may still trade, the larger of its terms and those of a modify on its way."""
        pledge = order.pledge or order.request
        quantity = max(order.request.quantity, pledge.quantity) - order.filled_quantity
        return quantity, max(order.request.price, pledge.price)

    def funds_available(self) -> Paise:
        """Cash less what live BUYs block."""
        buys = [self._spoken_for(o) for o in self.live.values() if o.margined and o.request.side == "BUY"]
        return self.ledger.cash - sum(quantity * price for quantity, price in buys)
