"""Everything that may leave the core. Only drivers act on it; the core never waits for an answer here."""

from enum import StrEnum
from typing import NamedTuple, TypeAlias

from bot.core.events import OrderType, Side
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity


class Reason(StrEnum):
    """Why an order exists; the CSV's column of that name."""

    ENTRY = "ENTRY"
    SIGNAL_EXIT = "SIGNAL_EXIT"
    STOP_LOSS = "STOP_LOSS"
    END_OF_DAY = "END_OF_DAY"
    RISK_EXIT = "RISK_EXIT"
    OPERATOR = "OPERATOR"
    RECOVERY = "RECOVERY"


class Severity(StrEnum):
    PAGE = "page"
    WARN = "warn"
    INFO = "info"


class Decision(NamedTuple):
    """What the bot saw when it decided: kept with the order to the CSV. Price in paise; NaN = not known."""

    at: Nanos
    price: Paise
    estimate: float
    velocity: float
    rel_diff: float
    probability: float


NOT_DECIDED = Decision(0, 0, float("nan"), float("nan"), float("nan"), float("nan"))


class Enter(NamedTuple):
    """Strategy wants to be long. A wish: only `risk.approve` makes an order of it."""

    instrument: InstrumentKey


class Exit(NamedTuple):
    """Strategy wants to be flat."""

    instrument: InstrumentKey
    reason: Reason


Intent: TypeAlias = Enter | Exit


class PlaceOrder(NamedTuple):
    """An order to send. `tag` is unique for ever; prices in paise, `trigger_price` 0 unless a stop-limit.

    With `closes` (an entry's tag) it is no order of ours but a request to the broker: positions/exit for what
    that entry holds, at market (price 0). The order that comes of it carries no tag: its id names it.
    """

    tag: str
    instrument: InstrumentKey
    side: Side
    order_type: OrderType
    quantity: Quantity
    price: Paise
    trigger_price: Paise
    product: str
    reason: Reason
    decision: Decision
    closes: str = ""


class ModifyOrder(NamedTuple):
    """Change a live order. `quantity` is the order's total, not what is left (upstox §5.2). `reason` and
    `decision` are those of whatever fills from now on: a stop that becomes an exit is an exit.
    """

    tag: str
    order_id: str
    order_type: OrderType
    quantity: Quantity
    price: Paise
    trigger_price: Paise
    reason: Reason
    decision: Decision = NOT_DECIDED


class CancelOrder(NamedTuple):
    tag: str
    order_id: str
    reason: str


class AskSnapshot(NamedTuple):
    """Read the order book and the positions; answered by BrokerSnapshot or SnapshotFailed."""

    why: str


class RecordFill(NamedTuple):
    """A piece of an order was filled: one row of the day's CSV.

    Money in paise for the whole quantity. `slippage` is against the price at the decision: > 0 is our loss.
    `realized_pnl_net` is what this fill gained less its charges: the day's sum is the day's net.
    """

    at: Nanos
    instrument: InstrumentKey
    side: Side
    reason: Reason
    quantity: Quantity
    value: Paise
    decision: Decision
    slippage: Paise
    charges: Paise
    realized_pnl_net: Paise
    position_after: Quantity
    order_id: str
    exchange_order_id: str
    exchange_time: str
    product: str
    tag: str


class Refused(NamedTuple):
    """The strategy wanted to enter and a guard said no. `reason` is one of a bounded set (core/risk.py)."""

    instrument: InstrumentKey
    reason: str


class Alert(NamedTuple):
    """Something a human must hear of. `name` is bounded; `text` says what to do."""

    severity: Severity
    name: str
    text: str


class NoTrade(NamedTuple):
    """Why nothing was bought from `since` until `until`, looked at once a second (core/abstention.py).

    `looks` and `refused` count reasons, most frequent first: "model=31 above_estimate=20". `detail` is the
    reason behind a reason (of *stopped*: which). `position` in units, `bid` and `ask` in paise (0: not
    known), `ticks` since the start of the process, `best` the highest probability among the looks at which
    only the model said no (NaN: none). `seen` is the last look.
    """

    since: Nanos
    until: Nanos
    instrument: InstrumentKey
    looks: str
    refused: str
    detail: str
    position: Quantity
    bid: Paise
    ask: Paise
    ticks: int
    best: float
    threshold: float
    seen: Decision


class EntriesEnded(NamedTuple):
    """A guard ended the day's entries for good: in the journal, so that no restart begins them anew."""

    reason: str


Command: TypeAlias = (
    PlaceOrder
    | ModifyOrder
    | CancelOrder
    | AskSnapshot
    | RecordFill
    | Refused
    | Alert
    | NoTrade
    | EntriesEnded
)
