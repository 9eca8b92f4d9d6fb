"""Asks the broker about trading days. What its words mean is wire_calendar.py's business, whether they count
trading_day.py's.
"""

from datetime import date

from bot.core.calendar_update import broker_day
from bot.core.trading_day import BrokerDay
from bot.upstox.rest import UpstoxRest
from bot.upstox.wire_answers import ReadFailed


async def ask_broker(rest: UpstoxRest, day: date) -> tuple[BrokerDay | None, str]:
    """The broker's word on `day`, and what it did not tell ("" when all).

    Two reads. Without the timings there is no word (None); without the holiday list the timings stand alone.
    """
    try:
        timings = await rest.timings(day)
    except ReadFailed as failure:
        return None, f"the broker did not tell the hours of {day}: {failure}"
    try:
        notices = await rest.holidays()
    except ReadFailed as failure:
        return broker_day(day, timings), f"the broker did not tell its holidays: {failure}"
    return broker_day(day, timings, notices), ""
