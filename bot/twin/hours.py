"""The day's hours as the broker tells them: states of segments, timings, holidays (upstox §3.4, §6.3).

The session's open and close are arguments; what surrounds them is the exchanges' timetable. No clock.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from bot.core.calendar import Calendar, Entry, Kind
from bot.core.session import fo_close_on
from bot.core.units import IST, MILLISECOND, SECOND, Nanos, ist, ist_nanos

DERIVATIVES: Final = ("NSE_FO", "BSE_FO")
CASH: Final = ("NSE_EQ", "NSE_INDEX", "BSE_EQ", "BSE_INDEX")
CURRENCY: Final = ("NCD_FO", "BCD_FO")
COMMODITIES: Final = ("MCX_FO", "MCX_INDEX", "NSE_COM")
# Names in rows, status and timings, by segment (upstox §5.6).
EXCHANGES: Final = {
    "NSE_EQ": "NSE",
    "NSE_FO": "NFO",
    "NCD_FO": "CDS",
    "BSE_EQ": "BSE",
    "BSE_FO": "BFO",
    "BCD_FO": "BCD",
    "MCX_FO": "MCX",
    "NSE_COM": "NSCOM",
}
PRE_OPEN: Final[Nanos] = 15 * 60 * SECOND  # before the open: orders are collected…
PRE_OPEN_ENDS: Final[Nanos] = 7 * 60 * SECOND  # …until then (upstox §3.5)
OPENS: Final = time(9, 15)
CASH_CLOSES: Final = time(15, 30)
CURRENCY_HOURS: Final = (time(9, 0), time(17, 0))
COMMODITY_HOURS: Final = (time(9, 0), time(23, 30))
SATURDAY: Final = 5

State = str  # a name of MarketStatus (upstox §3.6)


class Hours:
    """`opens_at` and `closes_at` are those of the derivatives segments on the twin's day."""

    def __init__(self, opens_at: Nanos, closes_at: Nanos, holidays: Sequence[Mapping[str, Any]] = ()) -> None:
        self.day = ist(opens_at).date()
        self.holidays = tuple(holidays)  # rows as the broker gives them (upstox §6.3)
        self._opens_at, self._closes_at = opens_at, closes_at
        self._cash_closes_at = min(ist_nanos(self.day, CASH_CLOSES), closes_at)
        if self._cash_closes_at <= opens_at:  # a special session
            self._cash_closes_at = closes_at

    def states(self, at: Nanos) -> dict[str, State]:
        """Every segment's state."""
        states = dict.fromkeys(DERIVATIVES, self._around(at, self._closes_at))
        states |= dict.fromkeys(CASH, self._around(at, self._cash_closes_at))
        states |= dict.fromkeys(CURRENCY, self._plain(at, CURRENCY_HOURS))
        states |= dict.fromkeys(COMMODITIES, self._plain(at, COMMODITY_HOURS))
        return states

    def changes(self) -> list[Nanos]:
        """When any segment's state changes, in order."""
        fixed = (*CURRENCY_HOURS, *COMMODITY_HOURS)
        return sorted(
            {
                self._opens_at - PRE_OPEN,
                self._opens_at - PRE_OPEN_ENDS,
                self._opens_at,
                self._cash_closes_at,
                self._closes_at,
                *(ist_nanos(self.day, at) for at in fixed),
            }
        )

    def timings(self, day: date) -> list[dict[str, Any]]:
        """Rows of `/v2/market/timings`, of the exchanges that are open; none when everything is shut."""
        spans = self._spans(day)
        return [
            {"exchange": name, "start_time": start // MILLISECOND, "end_time": end // MILLISECOND}
            for name, (start, end) in spans.items()
        ]

    def _spans(self, day: date) -> dict[str, tuple[Nanos, Nanos]]:
        """Opening and close by exchange. Of the twin's own day they are what the twin was given."""
        if day == self.day:
            return self._usual(day, self._opens_at, self._closes_at)
        usual = self._usual(day, ist_nanos(day, OPENS), ist_nanos(day, fo_close_on(day)))
        spans = {} if day.weekday() >= SATURDAY else usual
        for row in self.holidays:
            # What counts is who is open and who is not: the type does not tell (upstox §6.3).
            if row["date"] != day.isoformat() or row["holiday_type"] == "SETTLEMENT_HOLIDAY":
                continue
            for name in row.get("closed_exchanges", ()):
                spans.pop(name, None)
            for part in row.get("open_exchanges", ()):
                spans[part["exchange"]] = (
                    part["start_time"] * MILLISECOND,
                    part["end_time"] * MILLISECOND,
                )
        return spans

    @staticmethod
    def _usual(day: date, opens: Nanos, closes: Nanos) -> dict[str, tuple[Nanos, Nanos]]:
        cash = min(ist_nanos(day, CASH_CLOSES), closes)
        spans = {"NSE": (opens, cash), "BSE": (opens, cash), "NFO": (opens, closes), "BFO": (opens, closes)}
        for names, hours in ((("CDS", "BCD"), CURRENCY_HOURS), (("MCX", "NSCOM"), COMMODITY_HOURS)):
            spans |= dict.fromkeys(names, (ist_nanos(day, hours[0]), ist_nanos(day, hours[1])))
        return spans

    def _around(self, at: Nanos, closes_at: Nanos) -> State:
        if not self._opens_at - PRE_OPEN <= at < closes_at:
            return "NORMAL_CLOSE"
        if at < self._opens_at - PRE_OPEN_ENDS:
            return "PRE_OPEN_START"
        return "PRE_OPEN_END" if at < self._opens_at else "NORMAL_OPEN"

    def _plain(self, at: Nanos, hours: tuple[time, time]) -> State:
        opens, closes = (ist_nanos(self.day, hour) for hour in hours)
        return "NORMAL_OPEN" if opens <= at < closes else "NORMAL_CLOSE"


def next_expiry(at: Nanos) -> Nanos:
    """The 03:30 IST at which every token of that moment dies (upstox §2.2)."""
    now = ist(at)
    tonight = datetime.combine(now.date(), time(3, 30), IST)
    if now >= tonight:
        tonight += timedelta(days=1)
    return ist_nanos(tonight.date(), tonight.time())


def holiday_rows(calendar: Calendar, year: int) -> list[dict[str, Any]]:
    """A year's days that are not like any other, as the broker's holiday list has them (upstox §6.3)."""
    return [
        _holiday(entry)
        for day, entry in sorted(calendar.entries.items())
        if day.year == year and entry.kind is not Kind.REGULAR
    ]


def _holiday(entry: Entry) -> dict[str, Any]:
    hours, day = entry.hours, entry.day
    part = {
        "start_time": ist_nanos(day, hours.opens) // MILLISECOND if hours else 0,
        "end_time": ist_nanos(day, hours.closes) // MILLISECOND if hours else 0,
    }
    names = ("NSE", "NFO", "BSE", "BFO", "CDS", "BCD")
    return {
        "date": day.isoformat(),
        "description": entry.label,
        "holiday_type": "SPECIAL_TIMING" if hours else "TRADING_HOLIDAY",
        "closed_exchanges": [] if hours else list(names),
        "open_exchanges": [{"exchange": name} | part for name in names] if hours else [],
    }
