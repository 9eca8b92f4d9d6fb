"""The engine: one event in, commands out. Its `match` is the table of contents of the bot.

It asks the others in order: desk (prices), forecast, strategy, risk, execution, reconcile. It knows no
broker, no file, and no time but that of the event in hand.
"""

from collections.abc import Iterable

from bot.core import execution, risk, strategy
from bot.core.account import Account, Order
from bot.core.charges import card_on
from bot.core.commands import (
    Alert,
    AskSnapshot,
    CancelOrder,
    Command,
    Enter,
    Exit,
    Intent,
    ModifyOrder,
    PlaceOrder,
    Reason,
    RecordFill,
    Severity,
)
from bot.core.desk import Desk
from bot.core.events import (
    BrokerSnapshot,
    Event,
    FeedDown,
    FeedUp,
    FrameSeen,
    Heartbeat,
    Operator,
    OperatorAction,
    OrderReport,
    OrderStreamDown,
    OrderStreamUp,
    Outcome,
    Quote,
    SegmentStatus,
    SendOutcome,
    Side,
    SnapshotFailed,
    Tick,
)
from bot.core.forecast import Classifier, Forecast, Forecaster
from bot.core.orders import State
from bot.core.reconcile import reconcile
from bot.core.rules import Contract, Rules
from bot.core.session import Phase, Session
from bot.core.units import SECOND, InstrumentKey, Nanos, rupees_text

_OPEN_STATUS = "NORMAL_OPEN"


class Engine:
    """State of one trading day. `run` numbers the day's incarnations: tags are never used twice."""

    def __init__(
        self, rules: Rules, session: Session, contracts: Iterable[Contract], classifier: Classifier, run: int
    ) -> None:
        self.rules = rules
        self.session = session
        self.desks: dict[InstrumentKey, Desk] = {
            contract.key: Desk(
                contract, Forecaster(classifier, rules.strategy.rel_diff, rules.strategy.warmup_ticks)
            )
            for contract in contracts
        }
        self.account = Account(
            self.desks,
            {key: card_on(session.day, desk.contract.exchange) for key, desk in self.desks.items()},
        )
        self.segments: dict[str, str] = {}  # the broker's last word on each segment
        self._shut: set[str] = set()  # those it says are not open
        self._strategy = rules.strategy
        for key, desk in self.desks.items():
            desk.holding = self.account.holdings[key]
        self.feed_up = False
        self.stream_up = False
        self.ready = False
        self.entries_stopped = ""  # why, "" when entries are allowed
        self.forecast: Forecast | None = None  # of the event just handled
        self.heartbeat_mono: Nanos = 0
        self._snapshot_asked: Nanos = -60 * SECOND
        self._flattening = False
        self._leaving = False  # some desk has an exit under way
        self._phase = Phase.BEFORE  # as of the last tick…
        self._phase_holds: tuple[Nanos, Nanos] = (0, 0)  # …and from when to when it stays
        self._tag_day = f"k{session.day:%y%m%d}"
        self._tag_run = f"{self._tag_day}r{run}n"
        self._tag_count = 0

    # ---- the one door --------------------------------------------------------------------------------

    def handle(self, event: Event, *, newest: bool = True) -> list[Command]:
        """Think about one event. `newest=False`: a younger tick of the instrument waits: no entry."""
        out: list[Command] = []
        self.forecast = None
        match event:
            case Tick():
                self._tick(event, newest, out)
            case Quote():
                if (desk := self.desks.get(event.instrument)) is not None:
                    desk.quote(event)
            case FrameSeen():
                pass  # life, but no news
            case Heartbeat():
                self._heartbeat(event, out)
            case OrderReport():
                self._report(event, out)
            case SendOutcome():
                self._outcome(event, out)
            case BrokerSnapshot():
                self._snapshot(event, out)
            case SnapshotFailed():
                pass  # unknown is not flat; the heartbeat asks again
            case SegmentStatus():
                self.segments[event.segment] = event.status
                self._shut = {name for name, status in self.segments.items() if status != _OPEN_STATUS}
            case FeedUp():
                self.feed_up = True
            case FeedDown():
                self.feed_up = False
            case OrderStreamUp():
                self.stream_up = True
                self._ask_snapshot("order_stream_up", event.mono, out)  # it replays nothing (upstox §4)
            case OrderStreamDown():
                self.stream_up = False
            case Operator():
                self._operator(event, out)
        if event.at >= self.session.flatten_at and not self._flattening:
            self._flatten(event.at, out)
        if self.account.open or self._leaving:
            self._work(event, out)
        return out

    # ---- reading -------------------------------------------------------------------------------------

    @property
    def flat(self) -> bool:
        """Nothing owned and nothing under way."""
        return not self.account.open and not any(h.position for h in self.account.holdings.values())

    def restored(self, mono: Nanos) -> None:
        """The journal was replayed into the account: whatever was under way is in doubt now."""
        self.account.doubt(mono)

    def is_own(self, tag: str) -> bool:
        """Does this tag carry our mark of today?"""
        return tag.startswith(self._tag_day)

    # ---- one event each ------------------------------------------------------------------------------

    def _tick(self, tick: Tick, newest: bool, out: list[Command]) -> None:
        at, _, key, ltp, _, _, bid, ask, bid_quantity, ask_quantity, _ = tick
        desk = self.desks.get(key)
        if desk is None or not desk.believable(ltp):
            return
        if bid:
            desk.bid, desk.bid_quantity = bid, bid_quantity
        if ask:
            desk.ask, desk.ask_quantity = ask, ask_quantity
        since, until = self._phase_holds
        if not since <= at < until:
            self._phase, self._phase_holds = self.session.phase_at(at), self.session.holds_at(at)
        phase = self._phase
        if phase is Phase.BEFORE or phase is Phase.CLOSED or desk.segment in self._shut:
            return
        desk.at = at
        desk.ltp = ltp
        desk.ticks_total += 1
        self.forecast = desk.forecast = forecast = desk.forecaster.hear(at, ltp)
        probability = forecast.probability
        if probability is not None and not 0.0 <= probability <= 1.0:
            self._stop_entries("model_broken", out)  # NaN compares false: without this it would only go quiet
        holding = desk.holding
        long = holding.bought > holding.sold
        if long and strategy.stopped(ltp, holding.entry_price, self.rules.risk.stop_loss):
            self._exit(desk, Reason.STOP_LOSS, at, out)
            return
        intent = strategy.want(key, forecast, self._strategy, long=long)
        if intent is not None:
            self._intent(intent, desk, tick, phase, newest, out)
        if long and risk.loss_limit_reached(self.account, self.desks, self.rules):
            self._stop_entries("daily_loss", out)
            self._exit(desk, Reason.RISK_EXIT, at, out)

    def _intent(
        self, intent: Intent, desk: Desk, tick: Tick, phase: Phase, newest: bool, out: list[Command]
    ) -> None:
        match intent:
            case Exit():
                self._exit(desk, intent.reason, tick.at, out)
            case Enter():
                standing = risk.Standing(
                    phase, self.ready, self.stream_up, bool(self.entries_stopped), newest and self.feed_up
                )
                made = risk.entry_order(desk, self.account, self.rules, standing, tick, self._peek_tag())
                if isinstance(made, PlaceOrder):
                    self._tag_count += 1
                    self._send(made, tick.mono, out)
                else:
                    out.append(made)

    def _heartbeat(self, event: Heartbeat, out: list[Command]) -> None:
        self.heartbeat_mono = event.mono
        if due := execution.snapshot_due(self.account, self._snapshot_asked, event.mono):
            self._ask_snapshot(due.why, event.mono, out)

    def _report(self, report: OrderReport, out: list[Command]) -> None:
        if not self.is_own(report.tag):
            return  # another hand's order: its quantity is never touched
        if report.tag not in self.account.orders:
            if report.instrument not in self.desks:
                return
            self.account.adopt(report, report.mono)
        order = self.account.orders[report.tag]
        was_open = not order.final
        heard = self.account.heard(report)
        if heard.fill is not None:
            self._filled(heard.fill, out)
        if was_open and order.state is State.REJECTED:
            self._rejected(order, out)
        if heard.anomaly:
            self._anomaly(f"{report.tag}: {heard.anomaly}", report.mono, out)

    def _outcome(self, outcome: SendOutcome, out: list[Command]) -> None:
        anomaly = self.account.answered(outcome)
        if anomaly:
            self._anomaly(anomaly, outcome.mono, out)
        elif outcome.outcome is Outcome.UNKNOWN:
            text = f"{outcome.act} of {outcome.tag}: {outcome.code}. Asking the book, not sending again."
            out.append(Alert(Severity.WARN, "OrderOutcomeUnknown", text))
            self._ask_snapshot("order_unknown", outcome.mono, out)
        elif outcome.outcome is Outcome.REFUSED:
            text = f"{outcome.act} of {outcome.tag} refused: {outcome.code} {outcome.message}"
            out.append(Alert(Severity.WARN, "OrderRefused", text))
            if outcome.act is not outcome.act.PLACE:
                self._ask_snapshot("amend_refused", outcome.mono, out)

    def _snapshot(self, snapshot: BrokerSnapshot, out: list[Command]) -> None:
        found = reconcile(snapshot, self.account, self.desks, self.is_own)
        for fill in found.fills:
            self._filled(fill, out)
        out.extend(Alert(Severity.WARN, "OrderAnomaly", text) for text in found.anomalies)
        adopted = "carries our mark but was not in our journal: it is ours"
        out.extend(Alert(Severity.WARN, "OrderAdopted", f"{tag} {adopted}.") for tag in found.adopted)
        for key in found.mismatches:
            desk = self.desks[key]
            out.append(
                Alert(
                    Severity.PAGE,
                    "PositionMismatch",
                    f"{desk.name}: the account holds {desk.broker_position}, "
                    f"we know of {self.account.position(key)}. No entries until they agree.",
                )
            )
        self.ready = True

    def _operator(self, event: Operator, out: list[Command]) -> None:
        self._stop_entries(event.reason, out)
        if event.action is OperatorAction.FLATTEN:
            for desk in self.desks.values():
                self._exit(desk, Reason.OPERATOR, event.at, out)

    # ---- pieces --------------------------------------------------------------------------------------

    def _flatten(self, at: Nanos, out: list[Command]) -> None:
        self._flattening = True
        for desk in self.desks.values():
            self._exit(desk, Reason.END_OF_DAY, at, out)

    def _exit(self, desk: Desk, reason: Reason, at: Nanos, out: list[Command]) -> None:
        """Start leaving; `execution.work` does the rest. A reason once given stays for the whole exit."""
        if desk.exit_reason is not None:
            return
        key = desk.contract.key
        if self.account.position(key) <= 0 and not any(self.account.open_orders(key)):
            return
        desk.exit_reason = reason
        self._leaving = True
        desk.exit_decision = desk.decision(at, desk.ltp)
        if reason is Reason.STOP_LOSS:
            holding = self.account.holdings[key]
            loss = rupees_text(round((holding.entry_price - desk.ltp) * holding.position))
            text = (
                f"{desk.name}: last price {rupees_text(desk.ltp)} is ₹{loss} "
                f"under the entry for {holding.position} units. Selling."
            )
            out.append(Alert(Severity.PAGE, "StopLossTriggered", text))

    def _work(self, event: Event, out: list[Command]) -> None:
        for desk in self.desks.values():
            made = execution.work(desk, self.account, self.rules, event.at, event.mono, self._next_tag)
            for command in tuple(made):
                self._send(command, event.mono, out)
        self._leaving = any(desk.exit_reason is not None for desk in self.desks.values())

    def _filled(self, fill: RecordFill, out: list[Command]) -> None:
        out.append(fill)
        desk = self.desks[fill.instrument]
        desk.exit_tries = 0
        late = self._flattening or fill.at >= self.session.flatten_at
        if fill.position_after > 0 and desk.exit_reason is None and late:
            self._exit(desk, Reason.END_OF_DAY, fill.at, out)  # a late word of an order we had given up

    def _rejected(self, order: Order, out: list[Command]) -> None:
        """The venue refused an order it had taken. An exit is tried again, ever more slowly."""
        name = self.desks[order.command.instrument].name
        if order.command.side is Side.BUY:
            out.append(Alert(Severity.WARN, "OrderRefused", f"{name}: entry rejected: {order.message}"))
            return
        text = f"{name}: exit of {order.quantity} rejected: {order.message}. Trying again; "
        out.append(
            Alert(Severity.PAGE, "ExitRejected", text + "if it repeats, close it in the broker's app.")
        )

    def _send(self, command: Command, mono: Nanos, out: list[Command]) -> None:
        if isinstance(command, PlaceOrder | ModifyOrder | CancelOrder):
            self.account.sent(command, mono)
        out.append(command)

    def _ask_snapshot(self, why: str, mono: Nanos, out: list[Command]) -> None:
        self._snapshot_asked = mono
        out.append(AskSnapshot(why))

    def _anomaly(self, text: str, mono: Nanos, out: list[Command]) -> None:
        out.append(Alert(Severity.WARN, "OrderAnomaly", text))
        self._ask_snapshot("anomaly", mono, out)

    def _stop_entries(self, reason: str, out: list[Command]) -> None:
        if not self.entries_stopped:
            self.entries_stopped = reason
            out.append(Alert(Severity.WARN, "EntriesStopped", f"No more entries today: {reason}."))

    def _peek_tag(self) -> str:
        while (tag := f"{self._tag_run}{self._tag_count + 1}") in self.account.orders:
            self._tag_count += 1  # a run whose journal was lost had the same number
        return tag

    def _next_tag(self) -> str:
        tag = self._peek_tag()
        self._tag_count += 1
        return tag
