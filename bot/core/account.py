"""What we own and what we asked for. Two doors in: `sent` (our commands) and `heard` (the broker's words).

Position is Σ cumulative fills, max-merged, never a counter: duplicates and reordering are harmless.
This file knows nothing of strategy, prices to come, or why an order was made beyond its label.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bot.core.books import Holding, Order, Terms
from bot.core.charges import NO_CHARGES, RateCard
from bot.core.commands import NOT_DECIDED, CancelOrder, ModifyOrder, PlaceOrder, Reason, RecordFill
from bot.core.events import Act, OrderReport, OrderType, Outcome, SendOutcome, Side
from bot.core.orders import FINAL, State, Word, advance, word_of
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity

# Words after which an order's terms are settled, and those that say a stop waits (or has just triggered).
_SETTLED = frozenset({"modified", "not modified"})
_RESTS = frozenset({"trigger pending", "open", "modified"})


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
        self.stops: dict[tuple[InstrumentKey, int], Nanos] = {}  # (instrument, cycle) → first sold by a stop
        self.by_id: dict[str, str] = {}  # order id → tag, of orders that carry no tag (positions/exit)
        self.others: set[str] = set()  # ids of orders that were there, and not ours
        self._card = card

    # ---- reading -------------------------------------------------------------------------------------

    def position(self, instrument: InstrumentKey) -> Quantity:
        """Units we bought and have not sold."""
        return self.holdings[instrument].position

    def open_orders(self, instrument: InstrumentKey) -> list[Order]:
        """As of now: what follows may close one."""
        return [order for order in self.open.values() if order.command.instrument == instrument]

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

    @property
    def cash(self) -> Paise:
        """What the day's trades brought in less what they took: below 0 while something is owned."""
        return self.realized_gross - sum(h.cost for h in self.holdings.values()) - self.charges

    def buying_charges(self, instrument: InstrumentKey, value: Paise) -> Paise:
        """What buying for `value` in one order would cost besides."""
        return self._card[instrument].fill_charges(Side.BUY, value, first_fill_of_order=True).total

    # ---- door one: what we send ----------------------------------------------------------------------

    def sent(self, command: PlaceOrder | ModifyOrder | CancelOrder, mono: Nanos) -> None:
        """We decided on a command: from now on it may take effect."""
        match command:
            case PlaceOrder():
                assert command.tag not in self.orders, f"tag used twice: {command.tag}"
                self.orders[command.tag] = self.open[command.tag] = Order(command, mono)
                if command.reason is Reason.ENTRY:
                    self.entries_at.append(command.decision.at)
            case ModifyOrder():
                order = self.orders[command.tag]
                order.told = None
                order.amends += 1
                order.amend_at = mono
                order.asked = Terms(
                    command.order_type, command.quantity, command.price, command.trigger_price
                )
                order.reason, order.decision = command.reason, command.decision
                if order.command.side is Side.SELL and command.order_type is not OrderType.SL:
                    order.leaving = True
            case CancelOrder():
                order = self.orders[command.tag]
                self._move(order, Word.CANCEL_ASKED)
                order.cancel_asked = True
                order.amend_at = mono

    def give_up(self, order: Order) -> None:
        """The book does not know an UNKNOWN order: stop waiting. A late word revives it."""
        self._move(order, Word.GIVEN_UP)

    def amend_lapsed(self, order: Order) -> None:
        """No word settled a modify in time: the broker's last word on the terms stands, ask again."""
        order.asked, order.amend_failed = None, True
        order.told = None

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
            order.asked = None

    # ---- door two: what we hear ----------------------------------------------------------------------

    def answered(self, outcome: SendOutcome) -> str:
        """A call ended. Returns the anomaly, "" when there is none."""
        order = self.orders.get(outcome.tag)
        if order is None:
            return f"an answer for an order we do not know: {outcome.tag}"
        if outcome.act is Act.MODIFY:
            if outcome.outcome is Outcome.REFUSED:
                self.amend_lapsed(order)
            return ""
        if outcome.act is Act.CANCEL:
            if outcome.outcome is Outcome.REFUSED and order.state is State.CANCELLING:
                self._move(order, Word.CANCEL_FAILED)
                order.amend_failed = True
            return ""
        if outcome.order_id:
            order.order_id = outcome.order_id
            if order.command.closes:
                self.by_id[outcome.order_id] = outcome.tag
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
        kind = OrderType.SL if report.order_type == OrderType.SL else OrderType.LIMIT
        reason = Reason.STOP_LOSS if kind is OrderType.SL else Reason.RECOVERY
        if report.side is Side.BUY:
            reason = Reason.ENTRY
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
        before = order.state
        order.told = None
        order.missing = 0
        order.order_id = report.order_id or order.order_id
        order.exchange_order_id = report.exchange_order_id or order.exchange_order_id
        order.message = report.message or order.message
        old = report.filled_quantity < order.filled  # read before a fill we know of: so are its terms
        if not old:
            self._hear_terms(order, report)
        fill = self._fill(order, report) if report.filled_quantity > order.filled else None
        word = word_of(report.status)
        if word is None:
            return Heard(fill, f"a status we do not know: {report.status!r}")
        if word is Word.WORKING and not old and 0 < order.quantity <= order.filled:
            word = Word.COMPLETE  # all of it is filled: the word only lags behind
        if word is Word.COMPLETE and order.filled < order.quantity:
            return Heard(fill, f"complete, but only {order.filled} of {order.quantity} filled")
        if word is Word.CANCEL_FAILED:
            order.amend_failed = True
        anomaly = self._move(order, word)
        if fill or anomaly:
            return Heard(fill, anomaly)
        if order.state is before and before in FINAL:
            order.told = report
        return _NOTHING

    def named(self, report: OrderReport) -> OrderReport:
        """The report with our tag, where its order carries none (or its entry's: upstox §5.3 does not say)
        but is ours: by its id; or, when the reply of positions/exit was lost, as the only thing it can be.
        """
        own = self.orders.get(report.tag)
        if report.tag and (own is None or own.command.side is report.side):
            return report
        if report.order_id not in self.by_id and report.order_id not in self.others:
            tag = self._closing_for(report)
            if tag is None:
                self.others.add(report.order_id)
            else:
                self.by_id[report.order_id] = tag
        return report._replace(tag=self.by_id.get(report.order_id, ""))

    def _closing_for(self, report: OrderReport) -> str | None:
        """Our positions/exit that this order, never seen before, must have come from. Were it the owner's own
        sale in those very seconds, the sum would still be right: one SELL is booked, and one was made; a
        second one is told from it by its id.
        """
        for tag, order in self.orders.items():
            command = order.command
            if (
                command.closes
                and not order.order_id
                and order.state is not State.REFUSED
                and (command.instrument, command.side) == (report.instrument, report.side)
                and 0 < report.quantity <= command.quantity
            ):
                return tag
        return None

    # ---- inside --------------------------------------------------------------------------------------

    @staticmethod
    def _hear_terms(order: Order, report: OrderReport) -> None:
        """Take the broker's word on what the order is for. A row first read before our last modify is old."""
        if report.status in _RESTS:
            order.rests = True
        if report.mono < order.amend_at:
            return
        before, asked = order.terms, order.asked
        kind = OrderType.SL if report.order_type == OrderType.SL else OrderType.LIMIT
        order.terms = terms = Terms(
            kind, report.quantity or before.quantity, report.price or before.price, report.trigger_price
        )
        if asked is not None and (report.status in _SETTLED or terms == asked):
            order.asked, order.amend_failed = None, report.status == "not modified"

    def _move(self, order: Order, word: Word) -> str:
        after = advance(order.state, word)
        if after is None:
            return f"{word} makes no sense for an order that is {order.state}"
        order.state = after
        order.told = None
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
            if order.reason is Reason.STOP_LOSS:
                self.stops.setdefault((command.instrument, holding.cycle), report.at)
        card = self._card[command.instrument]
        cost_of_fill = card.fill_charges(command.side, value, first_fill_of_order=first)
        charges = self.charged.step(cost_of_fill)  # whole paise that sum to the exact total
        self.charged = self.charged.plus(cost_of_fill)
        decision = order.decision
        against = value - decision.price * quantity
        return RecordFill(
            at=report.at,
            instrument=command.instrument,
            side=command.side,
            reason=order.reason,
            quantity=quantity,
            value=value,
            decision=decision,
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
