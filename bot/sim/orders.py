"""What is said to the simulated exchange and what it answers: records without behaviour.

Knows the broker's words (upstox §5, §9), not how an order gets from one to the next (exchange.py), and
neither HTTP nor JSON. Money is integer paise, times are nanoseconds since the epoch.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from bot.core.units import InstrumentKey, Nanos, Paise, Quantity

# upstox §9, the broker's own strings.
RECEIVED: Final = "put order req received"
VALIDATING: Final = "validation pending"
OPEN_PENDING: Final = "open pending"
OPEN: Final = "open"
TRIGGER_PENDING: Final = "trigger pending"
MODIFY_VALIDATING: Final = "modify validation pending"
MODIFY_PENDING: Final = "modify pending"
MODIFIED: Final = "modified"
NOT_MODIFIED: Final = "not modified"
CANCEL_PENDING: Final = "cancel pending"
NOT_CANCELLED: Final = "not cancelled"
AMO_RECEIVED: Final = "after market order req received"
AMO_MODIFIED: Final = "modify after market order req received"
COMPLETE: Final = "complete"
REJECTED: Final = "rejected"
CANCELLED: Final = "cancelled"
AMO_CANCELLED: Final = "cancelled after market order"

TERMINAL: Final = frozenset({COMPLETE, REJECTED, CANCELLED, AMO_CANCELLED})


class OrderRequest(NamedTuple):
    """A place call as it came in. Words are plain strings: a wrong one is refused, not impossible.

    `market_protection`: 0 none, -1 automatic, 1 to 25 percent (upstox §5.1). Prices in paise.
    """

    instrument: InstrumentKey
    side: str  # BUY | SELL
    order_type: str  # LIMIT | SL | SL-M | MARKET
    product: str  # D | I
    validity: str  # DAY | IOC
    quantity: Quantity
    price: Paise
    trigger_price: Paise
    tag: str = ""
    market_protection: float = 0.0


class SimReply(NamedTuple):
    """The answer to a place, modify or cancel call. `ok`: taken for processing, no more (upstox §5.1)."""

    ok: bool
    order_id: str
    http_status: int
    code: str
    message: str


class OrderRow(NamedTuple):
    """An order at one instant: a row of the book, of an order's history, a word on the stream.

    `filled_value` is the sum of price times quantity in paise; over `filled_quantity` it is the average.
    `exchange_order_id` is "" and `exchange_time` 0 until the exchange has spoken.
    """

    at: Nanos  # when this was said
    order_id: str
    exchange_order_id: str
    instrument: InstrumentKey
    side: str
    order_type: str
    product: str
    validity: str
    quantity: Quantity
    price: Paise
    trigger_price: Paise
    filled_quantity: Quantity
    filled_value: Paise
    status: str
    status_message: str
    tag: str
    order_time: Nanos
    exchange_time: Nanos

    @property
    def pending_quantity(self) -> Quantity:
        """What may still fill; 0 once the order is final."""
        return 0 if self.status in TERMINAL else self.quantity - self.filled_quantity


class SimTrade(NamedTuple):
    trade_id: str
    order_id: str
    exchange_order_id: str
    instrument: InstrumentKey
    side: str
    quantity: Quantity
    price: Paise
    at: Nanos
    product: str
    tag: str


class SimPosition(NamedTuple):
    """The account's day in one instrument and product. Values in paise; `quantity` is signed."""

    instrument: InstrumentKey
    product: str
    quantity: Quantity
    buy_quantity: Quantity
    buy_value: Paise
    sell_quantity: Quantity
    sell_value: Paise


@dataclass(frozen=True, slots=True)
class ExchangeRules:
    """How the broker and the exchange behave where that may differ from account to account or day to day.

    Latencies are (low, high) seconds, drawn uniformly: `ack` from the request to the broker's risk
    verdict, `exchange` from there to the exchange's answer.
    """

    ack_seconds: tuple[float, float] = (0.020, 0.080)
    exchange_seconds: tuple[float, float] = (0.005, 0.030)
    funds: Paise = 10_00_000_00  # ₹10 lakh
    margin_for_shorts: bool = False  # True: a SELL beyond the position is taken (orders.md)
    modifies_max: int = 25  # orders.md: at another broker; not known at Upstox
    intraday_entries_until: Nanos | None = None  # product I; None: 15:12 IST (orders.md: in one source)

    def __post_init__(self) -> None:
        assert 0 <= self.ack_seconds[0] <= self.ack_seconds[1]
        assert 0 <= self.exchange_seconds[0] <= self.exchange_seconds[1]
