"""The engine's third part: what a person or the platform tells it (stop, sell, hold, go on), what of that
outlives a restart, and the lease.

It knows no signal, socket or file: by whatever way a word came, here it is an event.
"""

from collections.abc import Mapping

from bot.core import leaving, notices, stops
from bot.core.broker_words import RESUMABLE, BrokerWords
from bot.core.commands import Command, Reason
from bot.core.desk import Desk
from bot.core.events import BY_HAND, NO_DISK, Event, LeaseChanged, Operator, OperatorAction
from bot.core.rules import Rules
from bot.core.session import Session
from bot.core.units import InstrumentKey, Nanos


class OperatorWords(BrokerWords):
    """Whether entries are allowed by those who may forbid them, and whether everything must go."""

    def __init__(self, rules: Rules, session: Session, desks: Mapping[InstrumentKey, Desk]) -> None:
        super().__init__(rules, session, desks)
        self.lease: LeaseChanged | None = None  # the last word on it; None: none is needed
        self._leave: Reason | None = None  # why everything must go, from now on; a state, not an event
        self._calm_until: Nanos = session.flatten_at  # a tick before it needs no look at the clock; 0: never

    def leased(self, event: Event) -> bool:
        """Is it sure at this event that no other bot trades? A process that was asleep wakes up unsure."""
        lease = self.lease
        return lease is None or (event.at < lease.until_at and event.mono < lease.until_mono)

    @property
    def settled(self) -> bool:
        """May the process end and leave all as it is? No order moves, and a stop rests under what is ours."""
        account = self.account
        return all(
            leaving.at_rest(account, desk) and (leaving.sellable(desk) <= 0 or stops.covered(desk, account))
            for desk in self.desks.values()
        )

    def remember(self, event: Operator) -> None:
        """A word of an earlier run of today. SIGTERM ended that run, not the day."""
        if event.action is OperatorAction.RESUME:
            self._resume([])
        elif event.reason == BY_HAND or event.action is OperatorAction.STOP_ENTRIES:
            if event.reason not in {"journal_failed", NO_DISK}:
                self.forbid_entries(event.reason)
            if event.action is OperatorAction.FLATTEN:
                self._leave = Reason.OPERATOR

    def _operator(self, event: Operator, out: list[Command]) -> None:
        if event.action is OperatorAction.RESUME:
            self._resume(out)
            return
        self._stop_entries(event.reason, out)
        if event.action is OperatorAction.FLATTEN:
            self._leave = Reason.OPERATOR

    def _resume(self, out: list[Command]) -> None:
        """Entries again, unless one of the reasons is not a person's to end, or not all is sold yet."""
        reason = self.entries_stopped
        if reason and reason not in RESUMABLE:
            out.append(notices.not_resumed(reason))
        elif self._leave is Reason.OPERATOR and not self.flat:
            out.append(notices.not_resumed("not everything is sold yet"))
        elif reason:
            self._stops.clear()
            if self._leave is Reason.OPERATOR:
                self._leave, self._calm_until = None, self.session.flatten_at
            out.append(notices.resumed())

    def _lease(self, event: LeaseChanged, out: list[Command]) -> None:
        held = self.lease is None or bool(self.lease.until_mono)
        if held != bool(event.until_mono):
            out.append(notices.lease(event))
        self.lease = event
