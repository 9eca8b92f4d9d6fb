"""The broker's holiday list against our calendar: what would change, and whether it can be believed.

Pure: it proposes and words; fetching and writing are done elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from bot.core.calendar import FO_OPENS, Calendar, Entry, Hours, Kind, Year
from bot.core.session import fo_close_on
from bot.core.trading_day import BrokerDay

CLOSURES_MIN: Final = 8  # weekdays shut; a year has 13–16, so fewer is a list that is not complete yet
_SATURDAY: Final = 5


class Notice(NamedTuple):
    """One row of the broker's holiday list, as far as it concerns equity derivatives.

    What counts is which exchange is open or shut; the row's type does not tell (upstox §6.3: a day on which
    everything trades may be called a trading holiday).
    """

    day: date
    label: str
    shut: frozenset[str]  # exchanges: NSE, BSE
    hours: Mapping[str, Hours]  # of those that are open


class Change(NamedTuple):
    """A day that would be another than before; None: a regular day (or weekend)."""

    day: date
    before: Entry | None
    after: Entry | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A year as the broker lists it. Not to be written while there are `problems`; `doubts` want an eye."""

    year: int
    calendar: Calendar  # of this year alone, covering it
    changes: tuple[Change, ...]
    problems: tuple[str, ...]
    doubts: tuple[str, ...]


def broker_day(day: date, timings: Mapping[str, Hours], notices: Iterable[Notice] = ()) -> BrokerDay:
    """What the broker says of `day`: its timings, held against its holiday list."""
    conflicts = []
    for notice in notices:
        if notice.day != day:
            continue
        conflicts += [
            f"the broker's timings have {exchange} open at {timings[exchange]}, its holiday list has it shut"
            for exchange in sorted(notice.shut & timings.keys())
        ]
        conflicts += [
            f"the broker's timings have {exchange} {timings.get(exchange) or 'shut'}, its holiday list "
            f"has it open at {listed}"
            for exchange, listed in sorted(notice.hours.items())
            if timings.get(exchange) != listed
        ]
    hours = {exchange: timings.get(exchange) for exchange in ("NSE", "BSE")}
    return BrokerDay(day, hours, "; ".join(conflicts))


def year_to_fetch(known: Calendar, today: date) -> int:
    """The year of `today` when nobody covers it, else the next."""
    return today.year + known.covers(today)


def propose(known: Calendar, notices: Sequence[Notice], year: int, asked_on: date) -> Proposal:
    """The broker's list for `year` as calendar entries, and what that would change in `known`."""
    source = f"the broker's holiday list, asked on {asked_on}"
    listed = [notice for notice in notices if notice.day.year == year]
    entries: dict[date, Entry] = {}
    doubts = []
    for notice in listed:
        doubts += [f"{notice.day} ({notice.label}): {text}" for text in _odd(notice)]
        entry = _entry(notice, source)
        # A Muhurat day may be listed twice, once as a holiday and once with its hours: the hours say more.
        if entry is not None and (notice.day not in entries or entry.hours is not None):
            entries[notice.day] = entry
    calendar = Calendar({year: Year(year, "as the broker lists it", source, "medium")}, entries)
    before = {day: entry for day, entry in known.entries.items() if day.year == year}
    changes = tuple(
        Change(day, before.get(day), entries.get(day))
        for day in sorted(before.keys() | entries.keys())
        if _told(before.get(day)) != _told(entries.get(day))
    )
    doubts += [
        f"{change.day} ({change.before.label}) is in our calendar and not in the broker's list"
        for change in changes
        if change.before is not None and change.after is None
    ]
    return Proposal(year, calendar, changes, _problems(listed, entries, notices, year), tuple(doubts))


def lines(proposal: Proposal) -> list[str]:
    """The proposal for people, a line each: + new, − gone, ~ other, ! why it can't be used, ? have a look."""
    out = [
        f"{'+' if before is None else '−' if after is None else '~'} {day:%a} {day.isoformat()}  "
        + " → ".join(_worded(entry) for entry in (before, after) if entry is not None)
        for day, before, after in proposal.changes
    ]
    out += [f"! {text}" for text in proposal.problems]
    out += [f"? {text}" for text in proposal.doubts]
    return out or [f"{proposal.year}: the broker's list and our calendar say the same"]


def _entry(notice: Notice, source: str) -> Entry | None:
    """None when the day is like any other of its weekday."""
    label = notice.label or "no reason given"
    weekend = notice.day.weekday() >= _SATURDAY
    if notice.hours:
        hours = next(iter(notice.hours.values()))
        if not weekend and hours == Hours(FO_OPENS, fo_close_on(notice.day)):
            return None
        short = not weekend and hours.opens <= FO_OPENS
        return Entry(notice.day, Kind.SHORT if short else Kind.SPECIAL, hours, label, source, "medium")
    if notice.shut and not weekend:
        return Entry(notice.day, Kind.CLOSED, None, label, source, "medium")
    return None


def _odd(notice: Notice) -> list[str]:
    """What one row says that our calendar, which keeps one set of days for both exchanges, can't hold."""
    odd = []
    if len(set(notice.hours.values())) > 1:
        odd.append("NSE and BSE have different hours")
    if notice.shut and notice.hours:
        odd.append("one exchange is open, the other shut")
    if len(notice.shut) == 1 and not notice.hours:
        odd.append(f"only {next(iter(notice.shut))} is shut; taken as shut for both")
    return odd


def _problems(
    listed: Sequence[Notice], entries: Mapping[date, Entry], notices: Sequence[Notice], year: int
) -> tuple[str, ...]:
    if not listed:
        years = sorted({notice.day.year for notice in notices})
        there = f"it has {', '.join(map(str, years))}" if years else "it is empty"
        text = (
            f"the broker's list has no day of {year} ({there}). It lists the current year; the exchange's "
            f"circular for {year} comes in December."
        )
        return (text,)
    closures = sum(entry.kind is Kind.CLOSED for entry in entries.values())
    if closures < CLOSURES_MIN:
        text = (
            f"the broker lists {closures} closed weekdays for {year}; a year has 13 to 16. The list is not "
            "complete; try again later."
        )
        return (text,)
    return ()


def _told(entry: Entry | None) -> tuple[Kind, Hours | None] | None:
    return None if entry is None or entry.kind is Kind.REGULAR else (entry.kind, entry.hours)


def _worded(entry: Entry) -> str:
    return " ".join(str(word) for word in (entry.kind.value, entry.hours, entry.label) if word)
