"""Money, time and quantity as integers, and the only conversions between them and what the wire says.

This file knows no market rule: a tick size is an argument, never a constant.
"""

from datetime import UTC, date, datetime, time
from typing import TypeAlias
from zoneinfo import ZoneInfo

Paise: TypeAlias = int  # 1 rupee = 100 paise; a price is paise per unit
Nanos: TypeAlias = int  # wall time: since the epoch; monotonic time: since an arbitrary start
Quantity: TypeAlias = int  # units, not lots
InstrumentKey: TypeAlias = str  # Upstox's "SEGMENT|token", passed through

IST = ZoneInfo("Asia/Kolkata")
SECOND: Nanos = 1_000_000_000
MILLISECOND: Nanos = 1_000_000


def paise(rupees: float) -> Paise:
    """Rupees as printed by a broker (a double near a two-decimal number) → the nearest paisa."""
    return round(rupees * 100)


def rupees(amount: Paise) -> float:
    """Paise → rupees. `76355` gives the very double that the text `763.55` gives (division rounds right)."""
    return amount / 100


def rupees_text(amount: Paise) -> str:
    """`-123456` → `-1,234.56`: exact, for people."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100:,}.{abs(amount) % 100:02d}"


def tick_floor(price: Paise, tick: Paise) -> Paise:
    """The highest multiple of `tick` that is not above `price`."""
    return price // tick * tick


def tick_ceil(price: Paise, tick: Paise) -> Paise:
    """The lowest multiple of `tick` that is not below `price`."""
    return -(-price // tick) * tick


def segment_of(instrument: InstrumentKey) -> str:
    """`NSE_FO|51414` → `NSE_FO`."""
    return instrument.partition("|")[0]


def ist_nanos(day: date, at: time) -> Nanos:
    """The instant of a wall time in India. `at` is naive IST."""
    return nanos_of(datetime.combine(day, at, IST))


def nanos_of(instant: datetime) -> Nanos:
    """An aware datetime → nanoseconds since the epoch, exact to the microsecond."""
    delta = instant.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1_000


def ist(at: Nanos) -> datetime:
    """Nanoseconds since the epoch → an aware datetime in India (microseconds; the rest is cut)."""
    seconds, rest = divmod(at, SECOND)
    return datetime.fromtimestamp(seconds, IST).replace(microsecond=rest // 1_000)


def ist_text(at: Nanos) -> str:
    """`2026-09-16T09:15:00.123+05:30`: what files and logs carry."""
    return ist(at).isoformat(timespec="milliseconds")
