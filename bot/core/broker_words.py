"""The engine's other half: what the broker's words do to what we know, and what a human hears of it.

Reports, answers and snapshots go into the account (money, positions) and onto the desk (stop, exit, other
hands). It decides nothing about trading: what follows for orders is worked out in execution.py, leaving.py.
"""

from collections.abc import Mapping

from bot.core import guards, leaving, notices
from bot.core.account import Account
from bot.core.books import Order
from bot.core.charges import card_on
from bot.core.commands import AskSnapshot, Command, EntriesEnded, Reason, RecordFill
from bot.core.desk import Desk
from bot.core.events import (
    BY_HAND,
    CRASH_LOOP,
    MODEL_OUT_OF_RANGE,
    Act,
    BrokerSnapshot,
    ClockRead,
    FundsRead,
    OrderReport,
    Outcome,
    SendOutcome,
    Side,
)
from bot.core.orders import State
from bot.core.reconcile import heard_foreign, reconcile
from bot.core.rules import Rules
from bot.core.session import Session
from bot.core.units import SECOND, InstrumentKey, Nanos, Paise

# Entries that ended for these are over for the day, whatever starts again; other reasons are found anew.
FOR_GOOD = frozenset({"daily_loss", "operator_takeover", "short", MODEL_OUT_OF_RANGE})
RESUMABLE = frozenset({BY_HAND, CRASH_LOOP})  # what `bot resume` ends; all else has to end by itself


class BrokerWords:
    """What is known of the account, the orders, and whether it can be relied on."""

    def __init__(self, rules: Rules, session: Session, desks: Mapping[InstrumentKey, Desk]) -> None:
        self.rules = rules
        self.session = session
        self.desks = dict(desks)
        self.account = Account(
            desks, {key: card_on(session.day, desk.contract.exchange) for key, desk in desks.items()}
        )
        for key, desk in desks.items():
            desk.holding = self.account.holdings[key]
        self.stream_up = False
        self.ready = False  # for entries: the book was read since the stream came up
        self.known = False  # for leaving: it was read since the start, so what already rests there is known
        self._stops: dict[str, None] = {}  # why entries are over, oldest first; empty: they are not
        self._funds: guards.Funds | None = None  # as last read
        self._skew = guards.Skew.NONE  # of our clock against the broker's
        self._snapshot_asked: Nanos = -60 * SECOND
        self._tag_day = f"k{session.day:%y%m%d}"

    @property
    def flat(self) -> bool:
        """Nothing of ours is in the account, nothing is owed to it, nothing is under way."""
        return not self.account.open and self.doubts_alone

    @property
    def doubts_alone(self) -> bool:
        """Flat, but for entries whose outcome nobody knows."""
        doubtful = all(
            order.state is State.UNKNOWN and order.command.reason is Reason.ENTRY
            for order in self.account.open.values()
        )
        return doubtful and not any(map(leaving.left, self.desks.values()))

    @property
    def holding(self) -> bool:
        """Is something of ours still in the account? What another hand sold of it is not."""
        return any(leaving.sellable(desk) > 0 for desk in self.desks.values())

    @property
    def clocks_agree(self) -> bool:
        """Is our clock near enough to the broker's to trust the day's deadlines?"""
        return self._skew is not guards.Skew.TOO_MUCH

    @property
    def entries_stopped(self) -> str:
        """Why entries are over: of several reasons the one that is hardest to end. "": they are not."""
        return min(self._stops, key=_ends_easily, default="")

    def forbid_entries(self, reason: str) -> None:
        """Entries are over for this reason, too; "" is none."""
        if reason:
            self._stops[reason] = None

    def funds_left(self, mono: Nanos) -> Paise | None:
        """What the account may spend; None: not known."""
        return None if self._funds is None else self._funds.left(self.account.cash, mono)

    def restored(self, mono: Nanos) -> None:
        """The journal was replayed into the account: whatever was under way is in doubt now."""
        self.account.doubt(mono)

    def is_own(self, tag: str) -> bool:
        """Does this tag carry our mark of today?"""
        return tag.startswith(self._tag_day)

    # ---- one kind of word each -----------------------------------------------------------------------

    def _report(self, report: OrderReport, out: list[Command]) -> None:
        report = self.account.named(report)
        if report.instrument not in self.desks:
            return
        if not self.is_own(report.tag):
            if heard_foreign(self.desks[report.instrument], report):
                self._another_hand(report.mono, out)
            return
        if report.tag not in self.account.orders:
            self.account.adopt(report, report.mono)
        order = self.account.orders[report.tag]
        was_open, rested = not order.final, order.rests
        heard = self.account.heard(report)
        if heard.fill is not None:
            self._filled(heard.fill, report.mono, out)
        if was_open:
            triggered = rested and report.status == "open"
            self._note(order, report.mono if triggered else 0, out)
        if heard.anomaly:
            self._anomaly(f"{report.tag}: {heard.anomaly}", report.mono, out)

    def _outcome(self, outcome: SendOutcome, out: list[Command]) -> None:
        order = self.account.orders.get(outcome.tag)
        failing = order is not None and order.amend_failed
        anomaly = self.account.answered(outcome)
        if anomaly or order is None:
            self._anomaly(anomaly, outcome.mono, out)
        elif outcome.outcome is Outcome.UNKNOWN:
            if outcome.act is Act.PLACE and order.state is not State.UNKNOWN:
                return  # the stream was faster than the answer: nothing is in doubt
            out.append(notices.outcome_unknown(outcome))
            self._ask_snapshot("order_unknown", outcome.mono, out)
        elif outcome.outcome is Outcome.REFUSED and outcome.act is Act.PLACE:
            out.append(notices.rejected(self.desks[order.command.instrument], order))
        elif outcome.outcome is Outcome.REFUSED:
            if not failing:  # once, however long it lasts
                out.append(notices.amend_refused(outcome))
            self._ask_snapshot("amend_refused", outcome.mono, out)
        elif order.command.closes:
            self._ask_snapshot("closing", outcome.mono, out)  # its words carry no tag: some passed us by

    def _snapshot(self, snapshot: BrokerSnapshot, out: list[Command]) -> None:
        found = reconcile(snapshot, self.account, self.desks, self.is_own)
        for fill in found.fills:
            self._filled(fill, snapshot.asked_mono, out)
        for order in found.heard:
            self._note(order, 0, out)
        if found.foreign:
            self._stop_entries("operator_takeover", out)
        out.extend(notices.anomaly(text) for text in found.anomalies)
        out.extend(notices.adopted(tag) for tag in found.adopted)
        out.extend(notices.mismatch(self.desks[key]) for key in found.mismatches)
        self.ready = self.known = True

    def _funds_read(self, event: FundsRead) -> None:
        """A reading during which an order moved is worth nothing: was it in or not?"""
        moving = any(not order.waits for order in self.account.open.values())
        if moving or any(desk.filled_mono >= event.asked_mono for desk in self.desks.values()):
            return
        self._funds = guards.Funds(event.asked_mono, event.available, self.account.cash)

    def _clock_read(self, event: ClockRead, out: list[Command]) -> None:
        skew = guards.skew_of(event.skew, self.rules.risk)
        if skew is not self._skew:
            out.append(notices.clock_skew(event.skew, skew))
        self._skew = skew

    # ---- pieces --------------------------------------------------------------------------------------

    def _note(self, order: Order, triggered_mono: Nanos, out: list[Command]) -> None:
        """What a word about an order that was open means for the stop, and for a human."""
        desk = self.desks[order.command.instrument]
        stop = order.command.side is Side.SELL and not order.leaving
        if order.state is State.REJECTED:
            if stop:
                desk.stop_refusals, desk.stop = desk.stop_refusals + 1, None
            out.append(notices.rejected(desk, order))
        elif stop and order.state is State.CANCELLED and not order.cancel_asked and order.rests:
            out.append(notices.stop_gone(desk, order))
        elif stop and order.rests:
            desk.tries = 0
            if triggered_mono and not desk.stop_touched_mono:
                desk.stop_touched_mono = triggered_mono

    def _filled(self, fill: RecordFill, mono: Nanos, out: list[Command]) -> None:
        out.append(fill)
        desk = self.desks[fill.instrument]
        desk.filled_mono = max(desk.filled_mono, mono)
        desk.tries = desk.next_mono = 0
        if fill.side is Side.BUY:
            desk.stop = None  # the average moved: so does the stop
        elif fill.reason is Reason.STOP_LOSS and not desk.stop_told:
            desk.stop_told = True
            out.append(notices.stop_sold(desk, fill))
        if fill.position_after < 0:
            out.append(notices.short(desk))
            self._stop_entries("short", out)
            self._ask_snapshot("short", mono, out)

    def _another_hand(self, mono: Nanos, out: list[Command]) -> None:
        """The owner traded our instrument by hand. That quantity is not ours; today's entries are over."""
        self._stop_entries("operator_takeover", out)
        self._ask_snapshot("operator_takeover", mono, out)

    def _ask_snapshot(self, why: str, mono: Nanos, out: list[Command]) -> None:
        self._snapshot_asked = mono
        out.append(AskSnapshot(why))

    def _anomaly(self, text: str, mono: Nanos, out: list[Command]) -> None:
        out.append(notices.anomaly(text))
        self._ask_snapshot("anomaly", mono, out)

    def _stop_entries(self, reason: str, out: list[Command]) -> None:
        if reason in self._stops:
            return
        before = self.entries_stopped
        self.forbid_entries(reason)
        if reason in FOR_GOOD:
            out.append(EntriesEnded(reason))
        if self.entries_stopped != before:
            out.append(notices.entries_stopped(reason))


def _ends_easily(reason: str) -> int:
    return 0 if reason in FOR_GOOD else 2 if reason in RESUMABLE else 1
