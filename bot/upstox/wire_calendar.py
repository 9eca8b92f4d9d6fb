"""The broker's holiday list and timings as Upstox writes them (upstox §6.3): JSON → values, and nothing else.

Pure. Only equity derivatives count: the broker's NFO and BFO, which the rest of the bot calls NSE and BSE.
Whether the broker is right is none of this file's business.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

from bot.core.calendar import Hours
from bot.core.calendar_update import Notice
from bot.core.units import MILLISECOND, ist
from bot.upstox.wire_orders import WireError

DERIVATIVES: Final = {"NFO": "NSE", "BFO": "BSE"}
_SETTLEMENT: Final = "SETTLEMENT_HOLIDAY"  # banks are shut, markets are not
_MS_MAX: Final = 1 << 43  # the year 2248: beyond it an instant is damage


def timings(data: object, day: date) -> dict[str, Hours]:
    """`data` of /v2/market/timings/{day} → hours by exchange (NSE, BSE); one that is missing is shut.

    A day in two parts counts as its first. Raises WireError, also when the answer is about another day.
    """
    hours: dict[str, Hours] = {}
    for row in _list(data, "data"):
        fields = _fields(row)
        exchange = DERIVATIVES.get(_text(fields, "exchange"))
        if exchange is not None:
            part = _hours(fields, day)
            hours[exchange] = min(hours.get(exchange, part), part)
    return hours


def holidays(data: object) -> tuple[Notice, ...]:
    """`data` of /v2/market/holidays → a Notice a row. Raises WireError: a list with holes is no list.

    `holiday_type` is looked at for settlement holidays alone: the broker files under TRADING_HOLIDAY days on
    which all exchanges trade, too.
    """
    return tuple(_notice(_fields(row)) for row in _list(data, "data"))


def _notice(fields: Mapping[str, object]) -> Notice:
    try:
        day = date.fromisoformat(_text(fields, "date"))
    except ValueError:
        raise WireError("date is not YYYY-MM-DD") from None
    label = _text(fields, "description")
    if _text(fields, "holiday_type") == _SETTLEMENT:
        return Notice(day, label, frozenset(), {})
    hours = timings(fields.get("open_exchanges") or [], day)
    named = _list(fields.get("closed_exchanges") or [], "closed_exchanges")
    shut = frozenset(exchange for name, exchange in DERIVATIVES.items() if name in named)
    return Notice(day, label, shut - hours.keys(), hours)


def _hours(fields: Mapping[str, object], day: date) -> Hours:
    start, end = (ist(_ms(fields, name) * MILLISECOND) for name in ("start_time", "end_time"))
    if {start.date(), end.date()} != {day}:
        raise WireError("start_time or end_time is of another day")
    if start >= end:
        raise WireError("end_time is not after start_time")
    return Hours(start.time(), end.time())


def _ms(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _MS_MAX:
        raise WireError(f"{name} is no time in milliseconds")
    return value


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str | None):
        raise WireError(f"{name} is not text")
    return " ".join((value or "").split())


def _fields(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise WireError("not a JSON object")
    return value


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise WireError(f"{name} is not a JSON list")
    return value
