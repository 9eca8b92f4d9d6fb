"""The engine: one event in, commands out. Its `match` is the table of contents of the bot.

It asks the others in order: desk (prices), forecast, strategy, risk, execution, leaving; what the broker says
is taken in by its other half, broker_words.py. It knows no broker, no file, and no time but that of the event
in hand.
"""

from collections.abc import Iterable

from bot.core import execution, leaving, notices, risk, strategy
from bot.core.abstention import Abstentions
from bot.core.commands import (
    CancelOrder,
    Command,
    Enter,
    Exit,
    Intent,
    ModifyOrder,
    PlaceOrder,
    Reason,
)
from bot.core.desk import Desk
from bot.core.events import (
    MODEL_OUT_OF_RANGE,
    AccessChanged,
    BrokerSnapshot,
    ClockRead,
    Event,
    FeedDown,
    FeedUp,
    FrameSeen,
    FundsRead,
    Heartbeat,
    LeaseChanged,
    Operator,
    OrderReport,
    OrderStreamDown,
    OrderStreamUp,
    Quote,
    SegmentStatus,
    SendOutcome,
    SnapshotFailed,
    Tick,
)
from bot.core.forecast import Classifier, Forecast, Forecaster
from bot.core.leaving import Now
from bot.core.model_range import RangeWatch
from bot.core.operator import OperatorWords
from bot.core.rules import Contract, Rules
from bot.core.session import Phase, Session
from bot.core.units import InstrumentKey, Nanos

_OPEN_STATUS = "NORMAL_OPEN"
_PRICES = (Tick, Quote, FrameSeen)


class Engine(OperatorWords):
    """State of one trading day. `run` names the day's incarnations, on whatever machine: tags are never used
    twice.
    """

    def __init__(
        self,
        rules: Rules,
        session: Session,
        contracts: Iterable[Contract],
        classifier: Classifier,
        run: int | str,
    ) -> None:
        desks: dict[InstrumentKey, Desk] = {
            contract.key: Desk(
                contract, Forecaster(classifier, rules.strategy.rel_diff, rules.strategy.warmup_ticks)
            )
            for contract in contracts
        }
        super().__init__(rules, session, desks)
        self.segments: dict[str, str] = {}  # the broker's last word on each segment
        self._shut: set[str] = set()  # those it says are not open
        self._strategy = rules.strategy
        self.feed_up = False
        self.shut_out = False  # the broker wants another token, or another address
        self.forecast: Forecast | None = None  # of the event just handled
        self.heartbeat_mono: Nanos = 0
        self._restless = False  # some order wants to be looked at on every event
        self._carried_told = False
        self._abstentions = Abstentions(self.desks, rules)
        self._range = RangeWatch(rules.strategy.taught_bps)
        self._phase = Phase.BEFORE  # as of the last tick…
        self._phase_holds: tuple[Nanos, Nanos] = (0, 0)  # …and from when to when it stays
        self._tag_run = f"{self._tag_day}r{run}n"
        self._tag_count = 0

    # ---- the one door --------------------------------------------------------------------------------

    def handle(self, event: Event, *, newest: bool = True) -> list[Command]:
        """Think about one event. `newest=False`: a younger tick of the instrument waits: no entry."""
        out: list[Command] = []
        self.forecast = None
        if type(event) is Tick and event[0] < self._calm_until:  # nearly all that ever happens: the short way
            self._tick(event, newest, out)
            if self._leave is None:
                if self._restless:
                    self._work(event, out)
                return out
        else:
            self._dispatch(event, newest, out)
        if event.at >= self.session.flatten_at and self._leave is None:
            self._leave = Reason.END_OF_DAY
            self._ask_snapshot("flatten", event.mono, out)
        if self._leave is not None:
            self._calm_until = 0
            for desk in self.desks.values():
                self._exit(desk, self._leave, event.at)
        if self._restless or not isinstance(event, _PRICES):
            self._work(event, out)
        return out

    def _dispatch(self, event: Event, newest: bool, out: list[Command]) -> None:
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
            case LeaseChanged():
                self._lease(event, out)
            case FundsRead():
                self._funds_read(event)
            case ClockRead():
                self._clock_read(event, out)
            case Operator():
                self._operator(event, out)

    # ---- one event each ------------------------------------------------------------------------------

    def _tick(self, tick: Tick, newest: bool, out: list[Command]) -> None:
        at, _, key, ltp, _, _, bid, ask, bid_quantity, ask_quantity, _ = tick
        desk = self.desks.get(key)
        if desk is None:
            return
        # The first of `believable`'s rules, without the call: nearly every price is near the last.
        if (desk.doubtful or not 0.9 * desk.ltp <= ltp <= 1.1 * desk.ltp) and not desk.believable(ltp):
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
        if long and (
            desk.stop_touched_mono or strategy.stopped(ltp, holding.entry_price, self.rules.risk.stop_loss)
        ):
            self._at_stop(desk, tick, out)
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
                self._exit(desk, intent.reason, tick.at)
            case Enter():
                standing = self._standing(phase, tick, newest=newest)
                made = risk.entry_order(desk, self.account, self.rules, standing, tick, self._peek_tag())
                if isinstance(made, PlaceOrder):
                    self._tag_count += 1
                    self._send(made, tick.mono, out)
                else:
                    self._abstentions.refused(made)
                    out.append(made)

    def _heartbeat(self, event: Heartbeat, out: list[Command]) -> None:
        self.heartbeat_mono = event.mono
        self._check_loss(out)
        self._look_at_entries(event, out)
        now, desks = self._now(event), self.desks.values()
        in_doubt = not self.ready or (now.everything and not self.flat)
        # What was confirmed and told is not looked at each second for hours: that would be 1,800 of the 2,000
        # reads an API grants in 30 minutes (upstox §7.1).
        in_doubt = in_doubt or any(
            desk.difference != desk.mismatch
            or desk.holding.position < 0
            or (desk.mismatch and desk.holding.position and not self.account.open)
            for desk in desks
        )
        due = execution.snapshot_due(
            self.account, self._snapshot_asked, event.mono, in_doubt=in_doubt, stream_up=self.stream_up
        )
        if due is not None:
            self._ask_snapshot(due.why, event.mono, out)
        for desk in desks:
            entry_price, stop_loss = desk.holding.entry_price, self.rules.risk.stop_loss
            if entry_price and (
                desk.stop_touched_mono or (desk.ltp and strategy.stopped(desk.ltp, entry_price, stop_loss))
            ):
                self._at_stop(desk, event, out)
            out.extend(leaving.watch(desk, self.account, now))
            if now.shut and not self._carried_told and leaving.sellable(desk) > 0:
                out.append(notices.carried(desk))
        self._carried_told = now.shut

    # ---- pieces --------------------------------------------------------------------------------------

    def _exit(self, desk: Desk, reason: Reason, at: Nanos) -> None:
        """Start leaving; `leaving.work` does the rest. A reason once given stays for the whole exit."""
        if desk.exit_reason is not None:
            return
        if leaving.sellable(desk) <= 0 and not any(self.account.open_orders(desk.contract.key)):
            return
        desk.leave(reason, at)
        self._restless = True

    def _at_stop(self, desk: Desk, event: Tick | Heartbeat, out: list[Command]) -> None:
        """The price fell to the stop. The one at the exchange sells; if it does not, we do."""
        if desk.exit_reason is not None or leaving.sellable(desk) <= 0:
            return
        if not desk.stop_told:
            desk.stop_told = True
            out.append(notices.stop_loss(desk))
        self._restless = True
        if leaving.at_stop(desk, self.account, event.mono):
            self._exit(desk, Reason.STOP_LOSS, event.at)

    def _standing(self, phase: Phase, event: Tick | Heartbeat, *, newest: bool) -> risk.Standing:
        return risk.Standing(
            phase,
            self.ready and not self.shut_out,
            self.stream_up,
            bool(self.entries_stopped),
            newest,
            self.feed_up,
            self.clocks_agree,
            self.funds_left(event.mono),
            self.leased(event),
        )

    def _look_at_entries(self, event: Heartbeat, out: list[Command]) -> None:
        """Once a second: has the day had enough, and why is nothing bought just now?"""
        if (limit := risk.day_over(self.account, self.rules, event.at)) is not None:
            self._stop_entries(limit, out)
        if self._range.beat(event.at, self.desks):
            self._stop_entries(MODEL_OUT_OF_RANGE, out)
        standing = self._standing(self.session.phase_at(event.at), event, newest=True)
        out.extend(self._abstentions.beat(event.at, self.account, standing, self.entries_stopped, self._shut))

    def _check_loss(self, out: list[Command]) -> None:
        """The day's loss limit ends entries and sells everything."""
        if self._leave is None and risk.loss_limit_reached(self.account, self.desks, self.rules):
            self._stop_entries("daily_loss", out)
            self._leave = Reason.RISK_EXIT

    def _work(self, event: Event, out: list[Command]) -> None:
        now, self._restless = self._now(event), False
        for desk in self.desks.values():
            for command in execution.work(desk, self.account, self.rules, now, self._next_tag):
                if isinstance(command, PlaceOrder) and command.closes:
                    out.append(notices.closing(desk))
                self._send(command, event.mono, out)
            self._restless = self._restless or not leaving.at_rest(self.account, desk)

    def _now(self, event: Event) -> Now:
        shut = event.at >= self.session.close_at
        return Now(event.at, event.mono, self.known, self._leave is not None, shut)

    def _send(self, command: Command, mono: Nanos, out: list[Command]) -> None:
        if isinstance(command, PlaceOrder | ModifyOrder | CancelOrder):
            self.account.sent(command, mono)
        out.append(command)

    def _peek_tag(self) -> str:
        while (tag := f"{self._tag_run}{self._tag_count + 1}") in self.account.orders:
            self._tag_count += 1  # a run whose journal was lost had the same number
        return tag

    def _next_tag(self) -> str:
        tag = self._peek_tag()
        self._tag_count += 1
        return tag
