"""From the calendar, the owner's deadlines and the broker's word to today's `Session`, or why there is none.

Pure: no file, no network, no clock. Fails closed: a day nobody covers has no session, and where the calendar
and the broker differ there are no entries (market §3).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from enum import StrEnum
from typing import Final

from bot.core.calendar import Calendar, Entry, Hours, Kind, since_midnight
from bot.core.session import Session

PRE_OPEN: Final = timedelta(minutes=15)  # futures have one since 8 Dec 2025 (upstox §6.3)
MARGIN: Final = timedelta(minutes=5)  # before the close of a day with other hours (orders: special sessions)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What the owner wants of a regular day; wall times in India."""

    opens: time = time(9, 15)
    entry_cutoff: time = time(15, 10)
    flatten: time = time(15, 29)
    expiry_day_entry_cutoff: time = time(14, 0)
    expiry_day_flatten: time = time(15, 10)


@dataclass(frozen=True, slots=True)
class BrokerDay:
    """What the broker says about one day: hours by exchange (NSE, BSE: their derivatives), None when shut.

    An exchange that is missing was not spoken of. `conflict`: where the broker contradicts itself, in words.
    """

    day: date
    hours: Mapping[str, Hours | None]
    conflict: str = ""


class Why(StrEnum):
    """Why there is no session."""

    WEEKEND = "weekend"
    HOLIDAY = "holiday"
    SPECIAL = "special"  # there is one, and nobody asked for it
    NOT_COVERED = "not_covered"
    NO_TIME = "no_time"  # the owner's deadlines leave nothing of it

    @property
    def wants_a_person(self) -> bool:
        """Not a day off like others: somebody must mend something before the bot can trade."""
        return self in {Why.NOT_COVERED, Why.NO_TIME}


@dataclass(frozen=True, slots=True)
class NoSession:
    """Nothing to trade today. `reason` is a sentence for people; `alerts` want to be seen."""

    day: date
    why: Why
    reason: str
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Opening:
    """A session. Without `entries_allowed` it only looks after what is open. `title` is for people."""

    session: Session
    title: str
    entries_allowed: bool
    alerts: tuple[str, ...] = ()


def session_for(
    day: date,
    calendar: Calendar,
    deadlines: Deadlines,
    *,
    exchanges: Collection[str],
    special: bool = False,
    expires_today: bool = False,
    broker: BrokerDay | None = None,
) -> Opening | NoSession:
    """Today's session.

    `exchanges`: those of our contracts. `special`: trade special sessions too. `expires_today`: one of our
    contracts does. `broker` None: not asked yet, or it did not answer; then the calendar stands alone, with
    an alert, except where its own times are unsure.
    """
    assert exchanges, "a session is always some exchange's"
    if not calendar.covers(day):
        return NoSession(day, Why.NOT_COVERED, _not_covered(day))
    entry = calendar.entries.get(day)
    hours = calendar.hours_on(day)
    alerts = [text for text in (calendar.early_warning(day),) if text]
    unsure = entry is not None and entry.hours is not None and entry.confidence == "low"
    if unsure and broker is not None and (told := _of_one_mind(broker, exchanges)) is not None:
        hours = told
    differs = "" if broker is None else disagreement(day, hours, exchanges, broker)
    if differs:
        alerts.append(
            f"calendar disagreement on {day}: {differs}. No entries. Look at the exchange's circular; if our "
            "calendar is wrong, correct calendar.csv in the data folder."
        )
    if hours is None:
        return NoSession(day, *_shut(day, entry), tuple(alerts))
    other_hours = entry is not None and entry.kind in {Kind.SPECIAL, Kind.SHORT}
    if entry is not None and entry.kind is Kind.SPECIAL and not special:
        return NoSession(day, Why.SPECIAL, _special(day, entry, hours), tuple(alerts))
    if broker is None:
        alerts.append(f"the broker has not confirmed {day} ({hours})" + "; no entries" * unsure)
    else:
        narrow = _narrowest(hours, broker, exchanges)
        other_hours = other_hours or narrow.closes != hours.closes
        hours = narrow
    stretch = entry is not None and entry.kind is Kind.SPECIAL
    session = _session(day, hours, deadlines, other_hours, expires_today, stretch=stretch)
    if session is None:
        reason = f"{_named(day)} trades {hours}: your [session] times leave no time to trade in it"
        return NoSession(day, Why.NO_TIME, reason, tuple(alerts))
    title = f"{_named(day)}, {entry.label if entry else 'regular hours'}, {hours}"
    return Opening(session, title, not differs and not (unsure and broker is None), tuple(alerts))


def disagreement(day: date, ours: Hours | None, exchanges: Collection[str], broker: BrokerDay) -> str:
    """Where the broker and the calendar differ, in words; "" when they agree.

    A broker that opens up to 15 minutes earlier counts the pre-open session, which is no difference.
    """
    assert broker.day == day, (broker.day, day)
    if broker.conflict:
        return broker.conflict
    for exchange in sorted(exchanges):
        if exchange not in broker.hours:
            return f"the broker says nothing about {exchange}"
        theirs = broker.hours[exchange]
        if theirs is None and ours is None:
            continue
        said = f"the broker says {exchange} {theirs or 'is shut'}, our calendar says {ours or 'shut'}"
        if theirs is None or ours is None or theirs.closes != ours.closes:
            return said
        early = since_midnight(ours.opens) - since_midnight(theirs.opens)
        if not timedelta() <= early <= PRE_OPEN:
            return said
    return ""


def _of_one_mind(broker: BrokerDay, exchanges: Collection[str]) -> Hours | None:
    """The hours the broker gives for all of `exchanges`; None when it does not, or they differ."""
    told = {broker.hours.get(exchange) for exchange in exchanges}
    return told.pop() if len(told) == 1 else None


def _narrowest(hours: Hours, broker: BrokerDay, exchanges: Collection[str]) -> Hours:
    """Our hours, cut to what every one of the broker's leaves of them; ours where nothing would be left."""
    told = [theirs for exchange in exchanges if (theirs := broker.hours.get(exchange)) is not None]
    opens = max([hours.opens, *(theirs.opens for theirs in told)])
    closes = min([hours.closes, *(theirs.closes for theirs in told)])
    return Hours(opens, closes) if opens < closes else hours


def _session(
    day: date, hours: Hours, wanted: Deadlines, other_hours: bool, expires_today: bool, *, stretch: bool
) -> Session | None:
    """The deadlines, each within the session. None when they leave no time for it.

    On a day with other hours a deadline is min(setting, close − 5 min). `stretch`, for special sessions: one
    that lies before the session opens (15:29 for 18:00–19:00) can't be meant for it: close − 5 min as well.
    """
    latest = _minus(hours.closes, MARGIN)
    last = latest if other_hours else _minus(hours.closes, timedelta(minutes=1))

    def fitted(setting: time) -> time:
        if stretch and setting <= hours.opens:
            return latest
        return setting if setting <= last else latest

    cutoff, flatten = wanted.entry_cutoff, wanted.flatten
    if expires_today:
        cutoff = min(cutoff, wanted.expiry_day_entry_cutoff)
        flatten = min(flatten, wanted.expiry_day_flatten)
    opens, flatten = max(wanted.opens, hours.opens), fitted(flatten)
    cutoff = min(fitted(cutoff), flatten)
    if not opens < cutoff <= flatten < hours.closes:
        return None
    return Session.on(day, opens=opens, entry_cutoff=cutoff, flatten=flatten, closes=hours.closes)


def _minus(at: time, by: timedelta) -> time:
    left = since_midnight(at) - by
    if left < timedelta():
        return time(0)
    return time(left.seconds // 3600, left.seconds // 60 % 60, left.seconds % 60)


def _named(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B %Y}"


def _not_covered(day: date) -> str:
    return (
        f"{day.year} is not covered by the calendar, so nobody knows whether {_named(day)} has a session, "
        "and the bot does not trade. Run `bot calendar fetch`, or write the exchange's circular into "
        "calendar.csv in the data folder."
    )


def _shut(day: date, entry: Entry | None) -> tuple[Why, str]:
    if entry is None:
        return Why.WEEKEND, f"{_named(day)}: the exchanges are shut at weekends"
    return Why.HOLIDAY, f"{_named(day)} is a trading holiday: {entry.label}"


def _special(day: date, entry: Entry, hours: Hours) -> str:
    return (
        f"{_named(day)} has a special session, {entry.label}, {hours}; the bot stays out of special sessions "
        "unless asked"
    )
