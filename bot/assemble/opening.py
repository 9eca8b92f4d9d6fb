"""Today by the calendar, the deadlines of the settings and the broker's word: where the three are joined."""

from collections.abc import Iterable
from datetime import date

from bot.core.calendar import Calendar
from bot.core.trading_day import BrokerDay, Deadlines, NoSession, Opening, session_for
from bot.settings import Settings


def opening_for(
    settings: Settings,
    calendar: Calendar,
    day: date,
    *,
    exchanges: Iterable[str] = (),
    expires_today: bool = False,
    broker: BrokerDay | None = None,
) -> Opening | NoSession:
    """The day by the calendar and, once asked, the broker. `exchanges`: of the contracts, once known."""
    times = settings.session
    return session_for(
        day,
        calendar,
        Deadlines(
            opens=times.open,
            entry_cutoff=times.entry_cutoff,
            flatten=times.flatten,
            expiry_day_entry_cutoff=times.expiry_day_entry_cutoff,
            expiry_day_flatten=times.expiry_day_flatten,
        ),
        exchanges=set(exchanges) or {item.key[:3] if item.key else "NSE" for item in settings.instruments},
        special=times.special,
        expires_today=expires_today,
        broker=broker,
    )
