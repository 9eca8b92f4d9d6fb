"""The records the account keeps: an order and its terms, and what we hold of an instrument.

Only account.py writes them; whoever works orders reads them. No rule of trading is here.
"""

from typing import NamedTuple

from bot.core.commands import PlaceOrder
from bot.core.events import OrderReport, OrderType, Side
from bot.core.orders import FINAL, State
from bot.core.units import Nanos, Paise, Quantity


class Terms(NamedTuple):
    """What an order is for. `quantity` is its total, filled or not; prices in paise."""

    order_type: OrderType
    quantity: Quantity
    price: Paise
    trigger_price: Paise


class Order:
    """One order of ours and all we know of it. Only the account changes it."""

    __slots__ = (
        "amend_at",
        "amend_failed",
        "amends",
        "asked",
        "asked_mono",
        "cancel_asked",
        "command",
        "decision",
        "doubt_mono",
        "exchange_order_id",
        "filled",
        "filled_value",
        "leaving",
        "message",
        "missing",
        "order_id",
        "reason",
        "rests",
        "state",
        "terms",
        "told",
    )

    def __init__(self, command: PlaceOrder, mono: Nanos) -> None:
        self.command = command
        self.state = State.ASKED
        self.order_id = ""
        self.exchange_order_id = ""
        self.terms = Terms(command.order_type, command.quantity, command.price, command.trigger_price)
        self.asked: Terms | None = None  # by a modify that is not settled
        self.reason = command.reason
        self.decision = command.decision
        self.leaving = command.side is Side.SELL and command.order_type is not OrderType.SL  # no stop
        self.rests = False  # the exchange has it: a stop that rests protects
        self.filled: Quantity = 0
        self.filled_value: Paise = 0
        self.message = ""
        self.asked_mono = mono
        self.doubt_mono: Nanos = 0  # when its outcome became doubtful
        self.missing = 0  # snapshots in a row that lacked it
        self.amends = 0
        self.amend_at: Nanos = mono  # monotonic: last placed, modified or cancelled
        self.amend_failed = False  # the last modify came to nothing
        self.cancel_asked = False  # by us, ever
        self.told: OrderReport | None = None  # it is over, and hearing this report again changes nothing

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @property
    def quantity(self) -> Quantity:
        return self.terms.quantity

    @property
    def price(self) -> Paise:
        return self.terms.price

    @property
    def waits(self) -> bool:
        """A stop that rests and waits, with nothing asked of it: no fill is expected, nothing to be done."""
        return self.rests and self.state is State.LIVE and self.asked is None and not self.leaving

    @property
    def unfilled(self) -> Quantity:
        """What it may yet trade, by the larger of its terms and those it was asked to take."""
        asked = self.asked.quantity if self.asked else 0
        return 0 if self.final else max(self.terms.quantity, asked, self.filled) - self.filled


class Holding:
    """Our own trades in one instrument today."""

    __slots__ = ("bought", "cost", "cycle", "realized", "sold")

    def __init__(self) -> None:
        self.bought: Quantity = 0
        self.sold: Quantity = 0
        self.cost: Paise = 0  # what the open position was bought for
        self.realized: Paise = 0  # gross
        self.cycle = 0  # counts the times we went from flat to long

    @property
    def position(self) -> Quantity:
        return self.bought - self.sold

    @property
    def entry_price(self) -> float:
        """Average buy price of the open position, paise per unit; 0 when flat."""
        return self.cost / self.position if self.position > 0 else 0.0
