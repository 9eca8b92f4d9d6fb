"""Everything that can happen to the bot, one immutable record each.

`at` is exchange-aligned wall time, `mono` the driver's monotonic time; both are stamped once, by the
driver that took the thing in. Nothing in `core` asks for the time. Records are NamedTuples: making one
costs a fifth of a frozen dataclass, and ticks are made all day.
"""

from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from bot.core.units import InstrumentKey, Nanos, Paise, Quantity


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    SL = "SL"  # stop-limit; SL-M is refused by NSE (2021) and BSE (2023) on options
    MARKET = "MARKET"


class Act(StrEnum):
    """What was asked of the broker."""

    PLACE = "PLACE"
    MODIFY = "MODIFY"
    CANCEL = "CANCEL"


class Outcome(StrEnum):
    """What is known of a request after its call ended. UNKNOWN: it may or may not have arrived."""

    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


class OperatorAction(StrEnum):
    STOP_ENTRIES = "STOP_ENTRIES"
    FLATTEN = "FLATTEN"
    HOLD = "HOLD"  # the process ends and the position stays, under the stop at the exchange
    RESUME = "RESUME"  # entries again, where a person may allow them (core/operator.py)


# Why an operator's word came. What `bot resume` ends are the first two.
BY_HAND: Final = "operator"  # `bot flatten`: sold, and no more entries today
CRASH_LOOP: Final = "crash_loop"  # too many starts within minutes: exits only
NO_DISK: Final = "no_disk"  # started on a disk that takes nothing
MODEL_OUT_OF_RANGE: Final = "model_out_of_range"  # it sees another kind of market than taught it
SIGTERM: Final = "sigterm"  # the process ends; a later start goes on as if nothing had been


class Tick(NamedTuple):
    """A feed message for an instrument that carries a last traded price (contract: *Tick*). Money in paise.

    A quote of 0 means "not known". `exchange_at` is the feed's own clock (currentTs), 0 when unknown.
    """

    at: Nanos
    mono: Nanos
    instrument: InstrumentKey
    ltp: Paise
    ltq: Quantity
    ltt: Nanos
    bid: Paise
    ask: Paise
    bid_quantity: Quantity
    ask_quantity: Quantity
    exchange_at: Nanos


class Quote(NamedTuple):
    """A message that moves the book and is no tick (depth only, or the snapshot after a subscription)."""

    at: Nanos
    mono: Nanos
    instrument: InstrumentKey
    bid: Paise
    ask: Paise
    bid_quantity: Quantity
    ask_quantity: Quantity


class FrameSeen(NamedTuple):
    """The socket spoke but said nothing new (a duplicate, another key): it is alive."""

    at: Nanos
    mono: Nanos


class SegmentStatus(NamedTuple):
    """`market_info` for one segment. The status is the broker's word, passed through: new ones appear."""

    at: Nanos
    mono: Nanos
    segment: str
    status: str


class FeedUp(NamedTuple):
    """The market socket is open and subscribed; ticks have not necessarily come."""

    at: Nanos
    mono: Nanos


class FeedDown(NamedTuple):
    """The market socket is gone. `reason` ∈ stall | close | auth | error."""

    at: Nanos
    mono: Nanos
    reason: str


class OrderStreamUp(NamedTuple):
    at: Nanos
    mono: Nanos


class OrderStreamDown(NamedTuple):
    at: Nanos
    mono: Nanos
    reason: str


class OrderReport(NamedTuple):
    """One word of the broker about one order, from the stream or a row of the book.

    `status` is the broker's own string (upstox §9). `filled_quantity` is cumulative; `filled_value` is
    the cumulative money in paise (Σ price × quantity). `tag` is "" for orders placed by other hands.
    """

    at: Nanos
    mono: Nanos
    tag: str
    order_id: str
    exchange_order_id: str
    instrument: InstrumentKey
    side: Side
    order_type: str
    status: str
    quantity: Quantity
    filled_quantity: Quantity
    filled_value: Paise
    price: Paise
    trigger_price: Paise
    message: str
    exchange_time: str


class SendOutcome(NamedTuple):
    """How a call to the broker ended. `code` is the broker's error code or our reason for the doubt."""

    at: Nanos
    mono: Nanos
    tag: str
    act: Act
    outcome: Outcome
    order_id: str
    code: str
    message: str


class PositionRow(NamedTuple):
    instrument: InstrumentKey
    product: str
    quantity: Quantity  # signed


class BrokerSnapshot(NamedTuple):
    """Order book and positions, both read after `asked_mono`. What it lacks did not exist *then*."""

    at: Nanos
    mono: Nanos
    asked_mono: Nanos
    orders: tuple[OrderReport, ...]
    positions: tuple[PositionRow, ...]


class SnapshotFailed(NamedTuple):
    """The book could not be read: we know nothing new. Never taken for "flat"."""

    at: Nanos
    mono: Nanos
    reason: str


class Heartbeat(NamedTuple):
    """Once a second, whatever else happens: deadlines never wait for a tick."""

    at: Nanos
    mono: Nanos


class AccessChanged(NamedTuple):
    """Whether the broker lets us in (401, 403, a new token). `text` is for people; without secrets."""

    at: Nanos
    mono: Nanos
    allowed: bool
    text: str


class LeaseChanged(NamedTuple):
    """How long we may be sure that no other bot trades this account (wall and monotonic; 0: not at all).
    `text` is for people.
    """

    at: Nanos
    mono: Nanos
    until_at: Nanos
    until_mono: Nanos
    text: str


class FundsRead(NamedTuple):
    """What the account may spend, as the broker told it when asked at `asked_mono`."""

    at: Nanos
    mono: Nanos
    asked_mono: Nanos
    available: Paise


class ClockRead(NamedTuple):
    """Our clock less the broker's, by the `Date` of its last answer (known to a second)."""

    at: Nanos
    mono: Nanos
    skew: Nanos


class Operator(NamedTuple):
    """A human's (or the platform's) word: SIGTERM, the kill file."""

    at: Nanos
    mono: Nanos
    action: OperatorAction
    reason: str


Event: TypeAlias = (
    Tick
    | Quote
    | FrameSeen
    | SegmentStatus
    | FeedUp
    | FeedDown
    | OrderStreamUp
    | OrderStreamDown
    | OrderReport
    | SendOutcome
    | BrokerSnapshot
    | SnapshotFailed
    | Heartbeat
    | AccessChanged
    | LeaseChanged
    | FundsRead
    | ClockRead
    | Operator
)
