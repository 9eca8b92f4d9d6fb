"""What we own and what we asked for. Two doors in: `sent` (our commands) and `heard` (the broker's words).

Position is Σ cumulative fills, max-merged, never a counter: duplicates and reordering are harmless.
This file knows nothing of strategy, prices to come, or why an order was made beyond its label.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bot.core.charges import NO_CHARGES, RateCard
from bot.core.commands import CancelOrder, Decision, ModifyOrder, PlaceOrder, Reason, RecordFill
from bot.core.events import Act, OrderReport, OrderType, Outcome, SendOutcome, Side
from bot.core.orders import FINAL, State, Word, advance, word_of
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity

NOT_DECIDED = Decision(0, 0, float("nan"), float("nan"), float("nan"), float("nan"))


class Order:
    """One order of ours and all we know of it. Only the account changes it."""

    __slots__ = (
        "amend_at",
        "amend_open",
        "amends",
        "asked_mono",
        "command",
        "doubt_mono",
        "exchange_order_id",
        "filled",
        "filled_value",
        "message",
        "missing",
        "order_id",
        "price",
        "quantity",
        "state",
    )

    def __init__(self, command: PlaceOrder, mono: Nanos) -> None:
        self.command = command
        self.state = State.ASKED
        self.order_id = ""
        self.exchange_order_id = ""
        self.quantity: Quantity = command.quantity
        self.price: Paise = command.price
        self.filled: Quantity = 0
        self.filled_value: Paise = 0
        self.message = ""
        self.asked_mono = mono
        self.doubt_mono: Nanos = 0  # when its outcome became doubtful
        self.missing = 0  # snapshots in a row that lacked it
        self.amends = 0
        self.amend_at: Nanos = mono  # monotonic: last placed, modified or cancelled
        self.amend_open = False  # a modify whose outcome we wait for

    @property
    def final(self) -> bool:
        return self.state in FINAL


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


class Heard(NamedTuple):
    """What a word of the broker changed."""

    fill: RecordFill | None
    anomaly: str  # "" when the word made sense


_NOTHING = Heard(None, "")


class Account:
    """All orders of the day by tag, and the holding of each instrument."""

    def __init__(self, instruments: Iterable[InstrumentKey], card: dict[InstrumentKey, RateCard]) -> None:
        self.holdings = {key: Holding() for key in instruments}
        self.orders: dict[str, Order] = {}
        self.open: dict[str, Order] = {}  # those not final
        self.charged = NO_CHARGES  # by component, exact
        self.entries_at: list[Nanos] = []
        self.stops: dict[tuple[InstrumentKey, int], Nanos] = {}  # (instrument, cycle) → when decided
        self._card = card

    # ---- reading -------------------------------------------------------------------------------------

    def position(self, instrument: InstrumentKey) -> Quantity:
        """Units we bought and have not sold."""
        return self.holdings[instrument].position

    def open_orders(self, instrument: InstrumentKey) -> Iterator[Order]:
        return (order for order in tuple(self.open.values()) if order.command.instrument == instrument)

    @property
    def unknown(self) -> int:
        """Orders whose outcome we do not know."""
        return sum(order.state is State.UNKNOWN for order in self.open.values())

    @property
    def charges(self) -> Paise:
        """All charges of the day so far."""
        return self.charged.total

    @property
    def realized_gross(self) -> Paise:
        return sum(holding.realized for holding in self.holdings.values())

    # ---- door one: what we send ----------------------------------------------------------------------

    def sent(self, command: PlaceOrder | ModifyOrder | CancelOrder, mono: Nanos) -> None:
        """We decided on a command: from now on it may take effect."""
        match command:
            case PlaceOrder():
                assert command.tag not in self.orders, f"tag used twice: {command.tag}"
                self.orders[command.tag] = self.open[command.tag] = Order(command, mono)
                if command.reason is Reason.ENTRY:
                    self.entries_at.append(command.decision.at)
                elif command.reason is Reason.STOP_LOSS:
                    cycle = self.holdings[command.instrument].cycle
                    self.stops.setdefault((command.instrument, cycle), command.decision.at)
            case ModifyOrder():
                order = self.orders[command.tag]
                order.amends += 1
                order.amend_at = mono
                order.amend_open = True
                order.price = command.price
            case CancelOrder():
                order = self.orders[command.tag]
                self._move(order, Word.CANCEL_ASKED)
                order.amend_at = mono

    def give_up(self, order: Order) -> None:
        """The book does not know an UNKNOWN order: stop waiting. A late word revives it."""
        self._move(order, Word.GIVEN_UP)

    def was_alive(self, tag: str, order_id: str) -> bool:
        """In a replay: by now the broker had told us of this order. False when it is over all the same."""
        order = self.orders[tag]
        order.order_id = order.order_id or order_id
        if order.state in {State.ASKED, State.UNKNOWN, State.REFUSED, State.LOST}:
            self._move(order, Word.WORKING)
        return not order.final

    def doubt(self, mono: Nanos) -> None:
        """After a restart: whatever was under way may or may not have arrived."""
        for order in self.open.values():
            if order.state is State.ASKED:
                order.state = State.UNKNOWN
            order.doubt_mono = order.asked_mono = order.amend_at = mono
            order.amend_open = False

    # ---- door two: what we hear ----------------------------------------------------------------------

    def answered(self, outcome: SendOutcome) -> str:
        """A call ended. Returns the anomaly, "" when there is none."""
        order = self.orders.get(outcome.tag)
        if order is None:
            return f"an answer for an order we do not know: {outcome.tag}"
        if outcome.act is Act.MODIFY:
            order.amend_open = False
            if outcome.outcome is not Outcome.ACCEPTED:
                order.price = 0  # whatever it is now, it is not what we asked: ask again
            return ""
        if outcome.act is Act.CANCEL:
            if outcome.outcome is Outcome.REFUSED and order.state is State.CANCELLING:
                self._move(order, Word.CANCEL_FAILED)
            return ""
        if outcome.order_id:
            order.order_id = outcome.order_id
        match outcome.outcome:
            case Outcome.ACCEPTED:
                word = Word.ACCEPTED
            case Outcome.REFUSED:
                word = Word.REFUSAL
                order.message = f"{outcome.code} {outcome.message}".strip()
            case Outcome.UNKNOWN:
                word = Word.DOUBT
                order.doubt_mono = outcome.mono
        return self._move(order, word)

    def adopt(self, report: OrderReport, mono: Nanos) -> Order:
        """An order that carries our tag but is not in our journal (a lost volume): it is ours."""
        reason = Reason.ENTRY if report.side is Side.BUY else Reason.RECOVERY
        kind = OrderType.SL if report.order_type == OrderType.SL else OrderType.LIMIT
        command = PlaceOrder(
            report.tag,
            report.instrument,
            report.side,
            kind,
            report.quantity,
            report.price,
            report.trigger_price,
            "",
            reason,
            NOT_DECIDED._replace(at=report.at, price=report.price),
        )
        self.sent(command, mono)
        return self.orders[report.tag]

    def heard(self, report: OrderReport) -> Heard:
        """The broker's word on one of our orders (by tag). Unknown tags are the caller's business."""
        order = self.orders[report.tag]
        order.missing = 0
        order.order_id = report.order_id or order.order_id
        order.exchange_order_id = report.exchange_order_id or order.exchange_order_id
        order.message = report.message or order.message
        if report.quantity:
            order.quantity = report.quantity
        if report.price and not order.amend_open:
            order.price = report.price
        fill = self._fill(order, report) if report.filled_quantity > order.filled else None
        word = word_of(report.status)
        if word is None:
            return Heard(fill, f"a status we do not know: {report.status!r}")
        if 0 < order.quantity <= order.filled and word is Word.WORKING:
            word = Word.COMPLETE  # all of it is filled: the word only lags behind
        if word is Word.COMPLETE and order.filled < order.quantity:
            return Heard(fill, f"complete, but only {order.filled} of {order.quantity} filled")
        anomaly = self._move(order, word)
        return Heard(fill, anomaly) if fill or anomaly else _NOTHING

    # ---- inside --------------------------------------------------------------------------------------

    def _move(self, order: Order, word: Word) -> str:
        after = advance(order.state, word)
        if after is None:
            return f"{word} makes no sense for an order that is {order.state}"
        order.state = after
        if after in FINAL:
            self.open.pop(order.command.tag, None)
        else:
            self.open[order.command.tag] = order
        return ""

    def _fill(self, order: Order, report: OrderReport) -> RecordFill:
        command = order.command
        quantity = report.filled_quantity - order.filled
        value = report.filled_value - order.filled_value
        if value <= 0:  # an average that makes no sense: book the limit; the day's trade list will differ
            value = quantity * order.price
        first = order.filled == 0
        order.filled = report.filled_quantity
        order.filled_value += value
        holding = self.holdings[command.instrument]
        if command.side is Side.BUY:
            if holding.position <= 0:
                holding.cycle += 1
            # What covers a short (sold twice by mischance) is no position: it costs what it costs.
            covered = min(quantity, max(-holding.position, 0))
            gained = -(value * covered // quantity)
            holding.bought += quantity
            holding.cost += value + gained
            holding.realized += gained
        else:
            closed = min(quantity, max(holding.position, 0))
            # The share of the cost that leaves; at the last unit everything left, so sums stay exact.
            cost = holding.cost * closed // holding.position if closed else 0
            holding.sold += quantity
            holding.cost -= cost
            gained = value - cost
            holding.realized += gained
        card = self._card[command.instrument]
        cost_of_fill = card.fill_charges(command.side, value, first_fill_of_order=first)
        charges = self.charged.step(cost_of_fill)  # whole paise that sum to the exact total
        self.charged = self.charged.plus(cost_of_fill)
        against = value - command.decision.price * quantity
        return RecordFill(
            at=report.at,
            instrument=command.instrument,
            side=command.side,
            reason=command.reason,
            quantity=quantity,
            value=value,
            decision=command.decision,
            slippage=against if command.side is Side.BUY else -against,
            charges=charges,
            realized_pnl_net=gained - charges,
            position_after=holding.position,
            order_id=order.order_id,
            exchange_order_id=order.exchange_order_id,
            exchange_time=report.exchange_time,
            product=command.product,
            tag=command.tag,
        )
