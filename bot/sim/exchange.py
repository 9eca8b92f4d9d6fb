"""The simulated broker and exchange: every order's life from the call to the last word.

Our belief about Upstox, shared by the twin, the simulated days, paper trading and backtests; each belief has
its source beside it (here, refusals.py, back_office.py, venue.py, book.py). No clock, no IO, no asyncio: the
time is an argument, randomness is the `Random` passed in, and what takes time is a due event that `advance`
runs. Calls answer at once; the wire's own delays, losses and limits belong to whoever carries the calls here.

A placed order goes: `put order req received` → `validation pending` → risk check → `open pending` →
exchange → `open` | `trigger pending` → … → `complete` | `cancelled` | `rejected` (upstox §9). Things asked of
one order are done in the order they were asked. A fill may win the race against a cancel or modify under way:
then the order is `complete` and the late ask is dropped; one that comes later is refused (UDAPI100040/41).
Outside the session an order is queued as an after-market order (upstox §5.1: `is_amo` is derived).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import time
from functools import partial
from random import Random
from typing import Final

from bot.core.events import Act
from bot.core.rules import Contract
from bot.core.units import MILLISECOND, SECOND, InstrumentKey, Nanos, Paise, Quantity, ist, ist_nanos
from bot.sim.back_office import BackOffice
from bot.sim.book import Place, SimOrder
from bot.sim.orders import (
    AMO_CANCELLED,
    AMO_MODIFIED,
    AMO_RECEIVED,
    ExchangeRules,
    OrderRequest,
    OrderRow,
    SimPosition,
    SimReply,
    SimTrade,
)
from bot.sim.refusals import AUTOMATIC, CircuitLimits, Refusal, input_refusal, service_refusal

__all__ = ["ExchangeRules", "OrderRequest", "OrderRow", "SimExchange", "SimPosition", "SimReply", "SimTrade"]

INTRADAY_ENTRIES_UNTIL: Final = time(15, 12)  # product I (orders.md: in one source)
_ORDER_ID = re.compile(r"[A-Za-z0-9-]+")  # upstox §5.4


class SimExchange:
    """One account at one broker for one day, in the contracts given. Each public call first runs what is due.

    Time here never runs backwards: an `at` older than the last one counts as now.
    """

    def __init__(
        self,
        contracts: Mapping[InstrumentKey, Contract],
        rng: Random,
        rules: ExchangeRules,
        opens_at: Nanos,
        closes_at: Nanos,
    ) -> None:
        assert opens_at < closes_at
        until = rules.intraday_entries_until
        if until is None:
            until = ist_nanos(ist(opens_at).date(), INTRADAY_ENTRIES_UNTIL)
        self._contracts = contracts
        self._opens_at, self._closes_at = opens_at, closes_at
        self._office = BackOffice(contracts, rng, rules, opens_at, closes_at, until)
        self._orders: dict[str, SimOrder] = {}
        self._last_id = 0
        self._dooms: dict[Act, list[str]] = {act: [] for act in Act}

    # --- the account holder's calls -------------------------------------------------------------------------

    def place(self, at: Nanos, request: OrderRequest, *, barred: str = "") -> SimReply:
        """Refused at once (HTTP status, UDAPI code) or taken: `ok` says only that it will be looked at.

        `barred`: the risk check will refuse it with this text (a kill switch).
        """
        self.advance(at)
        refusal = service_refusal(self._office.now) or input_refusal(request, self._contracts)
        return _refused(refusal) if refusal else self._take(request, barred=barred)

    def modify(
        self,
        at: Nanos,
        order_id: str,
        *,
        quantity: Quantity | None = None,
        order_type: str | None = None,
        price: Paise | None = None,
        trigger_price: Paise | None = None,
        validity: str | None = None,
        market_protection: float | None = None,
    ) -> SimReply:
        """Ask for other terms; what is None stays. `quantity` is the order's total (upstox §5.2)."""
        self.advance(at)
        order, final = self._find(order_id, final="UDAPI100041")
        if order is None:
            return _refused(final)
        asked = {
            "quantity": quantity,
            "order_type": order_type,
            "price": price,
            "trigger_price": trigger_price,
            "validity": validity,
            "market_protection": market_protection,
        }
        changes = {name: value for name, value in asked.items() if value is not None}
        terms = order.request._replace(**changes)  # type: ignore[arg-type]  # each name with its own type
        refusal = input_refusal(terms, self._contracts)
        if refusal is not None:
            return _refused(refusal)
        doom = self._doom(Act.MODIFY)
        if self._queued(order):
            order.request = terms
            self._office.say(self._office.now, order, AMO_MODIFIED)
        else:
            self._office.modify(order, changes, doom)
        return _taken(order)

    def cancel(self, at: Nanos, order_id: str) -> SimReply:
        """Ask to cancel; only a final status says what came of it."""
        self.advance(at)
        order, refusal = self._find(order_id, final="UDAPI100040")
        if order is None:
            return _refused(refusal)
        doom = self._doom(Act.CANCEL)
        if self._queued(order):
            self._office.say(self._office.now, order, AMO_CANCELLED)
        else:
            self._office.cancel(order, doom)
        return _taken(order)

    def exit_positions(self, at: Nanos, tag: str | None = None) -> tuple[SimReply, ...]:
        """positions/exit: an opposite protected MARKET order for each position, BUYs first (upstox §5.3).

        With a tag, only what today's orders of that tag hold (orders.md), never more than the position.
        Pending orders are left alone (not documented otherwise). The exits carry no tag (not known; a client
        must not rely on either). Nothing to exit: one refusal, UDAPI1113.
        """
        self.advance(at)
        refusal = service_refusal(self._office.now)
        if refusal is not None:
            return (_refused(refusal),)
        return self._exit(tag, product=None, privileged=False)

    # --- the world moves ------------------------------------------------------------------------------------

    def market(
        self,
        at: Nanos,
        instrument: InstrumentKey,
        *,
        ltp: Paise,
        ltq: Quantity,
        bid: Paise,
        ask: Paise,
        bid_quantity: Quantity,
        ask_quantity: Quantity,
    ) -> None:
        """A message of the market: triggers stops, matches resting orders. 0 = that price is not known."""
        self.advance(at)
        self._office.venue.show(self._office.now, instrument, ltp, ltq, bid, ask, bid_quantity, ask_quantity)

    def due_at(self) -> Nanos | None:
        """When the next internal event is due; None: nothing is under way."""
        return self._office.due_at()

    def advance(self, at: Nanos) -> None:
        """Run internal events due up to and including `at`."""
        self._office.advance(at)

    # --- faults on command ----------------------------------------------------------------------------------

    def refuse_next(self, act: Act, message: str) -> None:
        """The next such call is taken (200) and then refused downstream with this status_message: `rejected`,
        `not modified` or `not cancelled`. Several are used up in turn.
        """
        self._dooms[act].append(message)

    def halt(self, at: Nanos, *, halted: bool) -> None:
        """While halted nothing matches or triggers; the exchange refuses new orders and changes."""
        self.advance(at)
        self._office.venue.halted = halted

    def slow_down(self, at: Nanos, seconds: float) -> None:
        """From now on each step of an order takes up to so much longer; 0: as usual."""
        self.advance(at)
        self._office.slower_seconds = seconds

    def set_circuit_limits(self, instrument: InstrumentKey, lower: Paise, upper: Paise) -> None:
        """Prices outside [lower, upper] are rejected by the risk check. Not set: no limit."""
        self._office.circuit[instrument] = CircuitLimits(lower, upper)

    def carry_in(self, trades: Iterable[SimTrade]) -> None:
        """Trades of earlier in the day: an account whose exchange was started anew holds what it held."""
        for trade in trades:
            self._office.ledger.book(trade)

    def square_off(self, at: Nanos) -> tuple[SimReply, ...]:
        """The broker closes product I positions by itself, without asking for margin; resting orders stay."""
        self.advance(at)
        return self._exit(None, product="I", privileged=True)

    # --- reads ----------------------------------------------------------------------------------------------

    def take_updates(self) -> list[OrderRow]:
        """What the portfolio stream would say, in order, since the last call."""
        updates, self._office.updates = self._office.updates, []
        return updates

    def orders(self) -> tuple[OrderRow, ...]:
        """The day's order book in order of placing, each order as last heard of."""
        return tuple(order.history[-1] for order in self._orders.values())

    def order(self, order_id: str) -> OrderRow | None:
        order = self._orders.get(order_id)
        return order.history[-1] if order else None

    def history(self, order_id: str) -> tuple[OrderRow, ...]:
        """Every word about one order; empty when it is unknown."""
        order = self._orders.get(order_id)
        return tuple(order.history) if order else ()

    def trades(self, order_id: str | None = None) -> tuple[SimTrade, ...]:
        return self._office.ledger.trades(order_id)

    def positions(self) -> tuple[SimPosition, ...]:
        """Every instrument and product traded today, flat ones too."""
        return self._office.ledger.positions()

    def funds_available(self) -> Paise:
        """Opening funds less premium paid, plus received, less what live BUYs block; without charges."""
        return self._office.funds_available()

    # --- inside ---------------------------------------------------------------------------------------------

    def _take(self, request: OrderRequest, *, privileged: bool = False, barred: str = "") -> SimReply:
        office = self._office
        if not self._orders:
            office.schedule(self._closes_at, self._close)
        order = SimOrder(self._new_id(), request, order_time=office.now, privileged=privileged)
        self._orders[order.order_id] = order
        office.live[order.order_id] = order
        doom = barred or self._doom(Act.PLACE)
        if self._opens_at <= office.now < self._closes_at:
            office.receive(order, doom, office.now)
        else:
            office.say(office.now, order, AMO_RECEIVED)
            if office.now < self._opens_at:
                office.schedule(self._opens_at, partial(office.receive, order, doom))
        return _taken(order)

    def _new_id(self) -> str:
        """Date (yymmdd) and nine digits (upstox §5.1); here the time of day in ms, or the next free."""
        stamp = int(f"{ist(self._office.now):%y%m%d%H%M%S}") * 1000 + self._office.now % SECOND // MILLISECOND
        self._last_id = max(stamp, self._last_id + 1)
        return f"{self._last_id:015d}"

    def _find(self, order_id: str, final: str) -> tuple[SimOrder | None, Refusal]:
        refusal = service_refusal(self._office.now)
        if refusal is not None:
            return None, refusal
        if not order_id:
            return None, Refusal(400, "UDAPI1023", "Order id is required")
        if not _ORDER_ID.fullmatch(order_id):
            return None, Refusal(400, "UDAPI1010", "Order id has characters that are not allowed")
        order = self._orders.get(order_id)
        if order is None:
            return None, Refusal(400, "UDAPI100010", "Unknown order id")
        refused = Refusal(400, final, f"The order is already {order.status}")
        return (None if order.place is Place.GONE else order), refused

    @staticmethod
    def _queued(order: SimOrder) -> bool:
        return order.status in {AMO_RECEIVED, AMO_MODIFIED}

    def _doom(self, act: Act) -> str | None:
        waiting = self._dooms[act]
        return waiting.pop(0) if waiting else None

    def _exit(self, tag: str | None, product: str | None, *, privileged: bool) -> tuple[SimReply, ...]:
        exits = []
        for position in self.positions():
            held = position.quantity
            if tag is not None:
                tagged = self._office.ledger.tagged_quantity(position.instrument, position.product, tag)
                held = _common(held, tagged)
            if held and product in {None, position.product}:
                exits.append((held, position.instrument, position.product))
        replies = []
        for held, instrument, its_product in sorted(exits, key=lambda row: row[0] > 0):
            rest, freeze = abs(held), self._contracts[instrument].freeze_quantity
            freeze -= freeze % self._contracts[instrument].lot
            while rest > 0:  # sliced automatically
                quantity = min(rest, freeze)
                side = "SELL" if held > 0 else "BUY"
                request = OrderRequest(
                    instrument, side, "MARKET", its_product, "DAY", quantity, 0, 0, "", AUTOMATIC
                )
                replies.append(self._take(request, privileged=privileged))
                rest -= quantity
        return tuple(replies) or (_refused(Refusal(400, "UDAPI1113", "There is no open position to exit")),)

    def _close(self, at: Nanos) -> None:
        """The session is over: orders at the exchange expire; what is still on its way will be rejected."""
        for order in list(self._office.live.values()):
            if order.place in {Place.BOOK, Place.STOP}:
                self._office.venue.remove(at, order, "Order expired at the end of the session")


def _refused(refusal: Refusal) -> SimReply:
    return SimReply(False, "", *refusal)


def _common(one: Quantity, other: Quantity) -> Quantity:
    """The part of two signed quantities that points the same way."""
    if one > 0 and other > 0:
        return min(one, other)
    return max(one, other) if one < 0 and other < 0 else 0


def _taken(order: SimOrder) -> SimReply:
    return SimReply(True, order.order_id, 200, "", "")
