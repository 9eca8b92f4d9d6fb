"""The engine: one event in, commands out. Its `match` is the table of contents of the bot.

It asks the others in order: desk (prices), forecast, strategy, risk, execution, reconcile. It knows no
broker, no file, and no time but that of the event in hand.
"""

from collections.abc import Iterable

from bot.core import execution, notices, risk, strategy
from bot.core.account import Account
from bot.core.charges import card_on
from bot.core.commands import (
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
)
from bot.core.desk import Desk
from bot.core.events import (
    AccessChanged,
    Act,
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
    SnapshotFailed,
    Tick,
)
from bot.core.forecast import Classifier, Forecast, Forecaster
from bot.core.orders import State
from bot.core.reconcile import reconcile
from bot.core.rules import Contract, Rules
from bot.core.session import Phase, Session
from bot.core.units import SECOND, InstrumentKey, Nanos

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
        self.shut_out = False  # the broker wants another token, or another address
        self.entries_stopped = ""  # why, "" when entries are allowed
        self.forecast: Forecast | None = None  # of the event just handled
        self.heartbeat_mono: Nanos = 0
        self._snapshot_asked: Nanos = -60 * SECOND
        self._leave: Reason | None = None  # why everything must go, from now on; a state, not an event
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
                self.ready = False  # until the book is read: the stream replays nothing (upstox §4)
                self._ask_snapshot("order_stream_up", event.mono, out)
            case OrderStreamDown():
                self.stream_up = False
            case AccessChanged():
                out.append(notices.access(event.allowed, event.text))
                self.shut_out = not event.allowed
                if event.allowed:  # what happened meanwhile stands in the book
                    self._ask_snapshot("access_restored", event.mono, out)
            case Operator():
                self._operator(event, out)
        if event.at >= self.session.flatten_at and self._leave is None:
            self._leave = Reason.END_OF_DAY
        if self._leave is not None:
            for desk in self.desks.values():
                self._exit(desk, self._leave, event.at, out)
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
        if long:
            self._check_loss(out)

    def _intent(
        self, intent: Intent, desk: Desk, tick: Tick, phase: Phase, newest: bool, out: list[Command]
    ) -> None:
        match intent:
            case Exit():
                self._exit(desk, intent.reason, tick.at, out)
            case Enter():
                standing = risk.Standing(
                    phase,
                    self.ready and not self.shut_out,
                    self.stream_up,
                    bool(self.entries_stopped),
                    newest and self.feed_up,
                )
                made = risk.entry_order(desk, self.account, self.rules, standing, tick, self._peek_tag())
                if isinstance(made, PlaceOrder):
                    self._tag_count += 1
                    self._send(made, tick.mono, out)
                else:
                    out.append(made)

    def _heartbeat(self, event: Heartbeat, out: list[Command]) -> None:
        self.heartbeat_mono = event.mono
        self._check_loss(out)
        in_doubt = any(desk.difference for desk in self.desks.values()) or not self.ready
        if due := execution.snapshot_due(self.account, self._snapshot_asked, event.mono, in_doubt=in_doubt):
            self._ask_snapshot(due.why, event.mono, out)
        overdue = [desk for desk in self.desks.values() if desk.exit_overdue(event.at)]
        out.extend(notices.exit_unfilled(desk) for desk in overdue)

    def _report(self, report: OrderReport, out: list[Command]) -> None:
        if not self.is_own(report.tag):
            self._another_hand(report, out)
            return
        if report.tag not in self.account.orders:
            if report.instrument not in self.desks:
                return
            self.account.adopt(report, report.mono)
        order = self.account.orders[report.tag]
        was_open = not order.final
        heard = self.account.heard(report)
        if heard.fill is not None:
            self._filled(heard.fill, report.mono, out)
        if was_open and order.state is State.REJECTED:
            out.append(notices.rejected(self.desks[order.command.instrument], order))
        if heard.anomaly:
            self._anomaly(f"{report.tag}: {heard.anomaly}", report.mono, out)

    def _outcome(self, outcome: SendOutcome, out: list[Command]) -> None:
        anomaly = self.account.answered(outcome)
        if anomaly:
            self._anomaly(anomaly, outcome.mono, out)
        elif outcome.outcome is Outcome.UNKNOWN:
            out.append(notices.outcome_unknown(outcome))
            self._ask_snapshot("order_unknown", outcome.mono, out)
        elif outcome.outcome is Outcome.REFUSED and outcome.act is Act.PLACE:
            order = self.account.orders[outcome.tag]
            out.append(notices.rejected(self.desks[order.command.instrument], order))
        elif outcome.outcome is Outcome.REFUSED:
            out.append(notices.amend_refused(outcome))
            self._ask_snapshot("amend_refused", outcome.mono, out)

    def _another_hand(self, report: OrderReport, out: list[Command]) -> None:
        """The owner traded our instrument by hand. That quantity is not ours; today's entries are over."""
        if report.instrument in self.desks and report.filled_quantity > 0:
            self._stop_entries("operator_takeover", out)
            self._ask_snapshot("operator_takeover", report.mono, out)

    def _snapshot(self, snapshot: BrokerSnapshot, out: list[Command]) -> None:
        found = reconcile(snapshot, self.account, self.desks, self.is_own)
        for fill in found.fills:
            self._filled(fill, snapshot.asked_mono, out)
        out.extend(notices.anomaly(text) for text in found.anomalies)
        out.extend(notices.adopted(tag) for tag in found.adopted)
        out.extend(notices.mismatch(self.desks[key]) for key in found.mismatches)
        self.ready = True

    def _operator(self, event: Operator, out: list[Command]) -> None:
        self._stop_entries(event.reason, out)
        if event.action is OperatorAction.FLATTEN:
            self._leave = Reason.OPERATOR

    # ---- pieces --------------------------------------------------------------------------------------

    def _exit(self, desk: Desk, reason: Reason, at: Nanos, out: list[Command]) -> None:
        """Start leaving; `execution.work` does the rest. A reason once given stays for the whole exit."""
        if desk.exit_reason is not None:
            return
        if execution.sellable(desk) <= 0 and not any(self.account.open_orders(desk.contract.key)):
            return
        desk.leave(reason, at)
        self._leaving = True
        if reason is Reason.STOP_LOSS:
            out.append(notices.stop_loss(desk))

    def _check_loss(self, out: list[Command]) -> None:
        """The day's loss limit ends entries and sells everything."""
        if self._leave is None and risk.loss_limit_reached(self.account, self.desks, self.rules):
            self._stop_entries("daily_loss", out)
            self._leave = Reason.RISK_EXIT

    def _work(self, event: Event, out: list[Command]) -> None:
        for desk in self.desks.values():
            made = execution.work(desk, self.account, self.rules, event.at, event.mono, self._next_tag)
            for command in tuple(made):
                self._send(command, event.mono, out)
        self._leaving = any(desk.exit_reason is not None for desk in self.desks.values())

    def _filled(self, fill: RecordFill, mono: Nanos, out: list[Command]) -> None:
        out.append(fill)
        desk = self.desks[fill.instrument]
        desk.filled_mono = max(desk.filled_mono, mono)
        desk.exit_tries = 0
        if fill.position_after < 0:
            out.append(notices.short(desk))
            self._stop_entries("short", out)

    def _send(self, command: Command, mono: Nanos, out: list[Command]) -> None:
        if isinstance(command, PlaceOrder | ModifyOrder | CancelOrder):
            self.account.sent(command, mono)
        out.append(command)

    def _ask_snapshot(self, why: str, mono: Nanos, out: list[Command]) -> None:
        self._snapshot_asked = mono
        out.append(AskSnapshot(why))

    def _anomaly(self, text: str, mono: Nanos, out: list[Command]) -> None:
        out.append(notices.anomaly(text))
        self._ask_snapshot("anomaly", mono, out)

    def _stop_entries(self, reason: str, out: list[Command]) -> None:
        if not self.entries_stopped:
            self.entries_stopped = reason
            out.append(notices.entries_stopped(reason))

    def _peek_tag(self) -> str:
        while (tag := f"{self._tag_run}{self._tag_count + 1}") in self.account.orders:
            self._tag_count += 1  # a run whose journal was lost had the same number
        return tag

    def _next_tag(self) -> str:
        tag = self._peek_tag()
        self._tag_count += 1
        return tag
