"""The trading day as data: instants, not clocks. `phase_at` is the only question anybody asks it."""

from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from itertools import pairwise

from bot.core.units import Nanos, ist_nanos

# When F&O closes, by the first day it held. NSE and BSE moved to 15:40 with the closing auction (market §3).
_FO_CLOSE = ((date(2026, 8, 3), time(15, 40)), (date(2000, 1, 1), time(15, 30)))


class Phase(StrEnum):
    BEFORE = "before"
    OPEN = "open"  # entries and exits
    NO_ENTRY = "no_entry"  # exits only
    FLATTEN = "flatten"  # close everything, now
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Session:
    """One day's deadlines, each an instant. `begin` makes them from wall times in India."""

    day: date
    open_at: Nanos
    entry_cutoff_at: Nanos
    flatten_at: Nanos
    close_at: Nanos

    def __post_init__(self) -> None:
        assert self.open_at < self.entry_cutoff_at <= self.flatten_at < self.close_at, self

    def phase_at(self, at: Nanos) -> Phase:
        if at < self.open_at:
            return Phase.BEFORE
        if at < self.entry_cutoff_at:
            return Phase.OPEN
        if at < self.flatten_at:
            return Phase.NO_ENTRY
        if at < self.close_at:
            return Phase.FLATTEN
        return Phase.CLOSED

    def holds_at(self, at: Nanos) -> tuple[Nanos, Nanos]:
        """The span [since, until) around `at` in which the phase is the same."""
        marks = (0, self.open_at, self.entry_cutoff_at, self.flatten_at, self.close_at, 1 << 63)
        return next((since, until) for since, until in pairwise(marks) if at < until)

    @staticmethod
    def on(
        day: date,
        *,
        opens: time = time(9, 15),
        entry_cutoff: time = time(15, 10),
        flatten: time = time(15, 29),
        closes: time | None = None,
    ) -> "Session":
        """The session of `day`; all times IST. `closes` defaults to the segment's close of that date."""
        return Session(
            day=day,
            open_at=ist_nanos(day, opens),
            entry_cutoff_at=ist_nanos(day, entry_cutoff),
            flatten_at=ist_nanos(day, flatten),
            close_at=ist_nanos(day, closes or fo_close_on(day)),
        )


def fo_close_on(day: date) -> time:
    """The F&O segment's regular close on `day`, IST."""
    return next(close for since, close in _FO_CLOSE if day >= since)
