"""One instrument's side of the exchange: the touch, our orders that rest or wait for a trigger, and matching.

It knows prices and sizes. It does not know statuses' words, latency, accounts or why an order is here.
Belief: only the touch is known (one level), so an order takes what the touch shows, and the rest waits for
the next message. An order that crossed when it came takes the touch's price; one that rested first trades at
its own price when the market comes to it. We never move the market: each message shows fresh sizes.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from bot.core.units import SECOND, Nanos, Paise, Quantity
from bot.sim.orders import RECEIVED, OrderRequest, OrderRow

REFERENCE_SPAN: Final[Nanos] = 30 * SECOND  # limit price protection: average trade price of 30 s (orders.md)


class Place(Enum):
    """Where an order is, as the exchange sees it (what the broker calls it is `status`)."""

    ON_THE_WAY = 0
    BOOK = 1
    STOP = 2
    GONE = 3


@dataclass(slots=True)
class SimOrder:
    """An order's life. `request` carries its present terms: a modify replaces them."""

    order_id: str
    request: OrderRequest
    order_time: Nanos
    status: str = RECEIVED
    status_message: str = ""
    exchange_order_id: str = ""
    exchange_time: Nanos = 0
    filled_quantity: Quantity = 0
    filled_value: Paise = 0
    place: Place = Place.ON_THE_WAY
    margined: bool = False  # passed the risk check: its money or its lots are spoken for
    pledge: OrderRequest | None = None  # terms of a modify on its way to the exchange: spoken for, too
    triggered: bool = False  # a stop that became a limit order
    taker: bool = False  # crossed the touch when it came
    priority: int = 0  # time priority; a modify loses it
    modifies: int = 0
    privileged: bool = False  # the broker's own square-off: not asked for margin
    busy_until: Nanos = 0  # the last thing under way for it; later asks queue behind
    history: list[OrderRow] = field(default_factory=list)

    @property
    def unfilled(self) -> Quantity:
        return self.request.quantity - self.filled_quantity

    def row(self, at: Nanos) -> OrderRow:
        terms = self.request
        return OrderRow(
            at=at,
            order_id=self.order_id,
            exchange_order_id=self.exchange_order_id,
            instrument=terms.instrument,
            side=terms.side,
            order_type=terms.order_type,
            product=terms.product,
            validity=terms.validity,
            quantity=terms.quantity,
            price=terms.price,
            trigger_price=terms.trigger_price,
            filled_quantity=self.filled_quantity,
            filled_value=self.filled_value,
            status=self.status,
            status_message=self.status_message,
            tag=terms.tag,
            order_time=self.order_time,
            exchange_time=self.exchange_time,
        )


class Fill(NamedTuple):
    order: SimOrder
    quantity: Quantity
    price: Paise


class Book:
    """The touch and our own orders of one instrument. Prices in paise; 0 means "not known"."""

    __slots__ = ("_sum", "_trades", "ask", "ask_quantity", "bid", "bid_quantity", "ltp", "resting", "stops")

    def __init__(self) -> None:
        self.ltp: Paise = 0
        self.bid: Paise = 0
        self.ask: Paise = 0
        self.bid_quantity: Quantity = 0
        self.ask_quantity: Quantity = 0
        self.resting: list[SimOrder] = []
        self.stops: list[SimOrder] = []
        self._trades: deque[tuple[Nanos, Paise]] = deque()
        self._sum: Paise = 0

    def show(
        self,
        at: Nanos,
        ltp: Paise,
        ltq: Quantity,
        bid: Paise,
        ask: Paise,
        bid_quantity: int,
        ask_quantity: int,
    ) -> None:
        """Take in a message. A price ≤ 0 leaves ltp alone, and makes that side of the touch unknown."""
        self.bid, self.ask = bid, ask
        self.bid_quantity, self.ask_quantity = bid_quantity, ask_quantity
        if ltp > 0:
            self.ltp = ltp
            if ltq > 0:
                trades = self._trades
                trades.append((at, ltp))
                self._sum += ltp
                while trades[0][0] <= at - REFERENCE_SPAN:
                    self._sum -= trades.popleft()[1]

    def reference(self) -> Paise | None:
        """What limit price protection measures from. Without a trade in the span it is not revised."""
        return round(self._sum / len(self._trades)) if self._trades else self.ltp or None

    def crosses(self, side: str, price: Paise) -> bool:
        return 0 < self.ask <= price if side == "BUY" else self.bid > 0 and self.bid >= price

    def reached(self, order: SimOrder) -> bool:
        """Does the last traded price trigger this stop? (orders.md: by ltp)"""
        trigger = order.request.trigger_price
        return self.ltp > 0 and (self.ltp >= trigger if order.request.side == "BUY" else self.ltp <= trigger)

    def fill(self, order: SimOrder) -> Fill | None:
        """What the touch gives this order now; taken off the touch."""
        side, limit = order.request.side, order.request.price
        buying = side == "BUY"
        quantity = min(order.unfilled, self.ask_quantity if buying else self.bid_quantity)
        if quantity <= 0 or not self.crosses(side, limit):
            return None
        price = (self.ask if buying else self.bid) if order.taker else limit
        if buying:
            self.ask_quantity -= quantity
        else:
            self.bid_quantity -= quantity
        return Fill(order, quantity, price)

    def by_priority(self) -> Iterator[SimOrder]:
        """Resting orders, better price first, then time."""
        yield from sorted(
            self.resting,
            key=lambda o: (-o.request.price if o.request.side == "BUY" else o.request.price, o.priority),
        )
