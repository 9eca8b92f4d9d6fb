"""Guards that weigh one number each: is the tick young, do the clocks agree, is the money there?

Pure questions with yes or no for an answer; risk.py asks them, in its order, and makes a refusal of it. It
knows no order and no desk. Every default has its reason in docs/decisions.md.
"""

from enum import IntEnum
from typing import NamedTuple

from bot.core.events import Tick
from bot.core.rules import RiskRules
from bot.core.units import SECOND, Nanos, Paise

SKEW_TOLD: Nanos = 2 * SECOND  # clocks that differ by more are told of (hazards T2)
FUNDS_HOLD: Nanos = 900 * SECOND  # a reading of the funds is believed for so long


def lagged(tick: Tick, risk: RiskRules) -> bool:
    """Is the tick old by the feed's own clock? It shows prices and causes no entry (hazards F4)."""
    return bool(tick.exchange_at) and tick.at - tick.exchange_at > risk.tick_lag_max_seconds * SECOND


def early(tick: Tick, risk: RiskRules) -> bool:
    """Does the feed's clock run so far ahead of ours that every deadline of the day would come late?"""
    return bool(tick.exchange_at) and tick.exchange_at - tick.at > risk.clock_skew_max_seconds * SECOND


def frozen(tick: Tick, risk: RiskRules) -> bool:
    """Do messages come while nobody trades? The price is then a memory (hazards F3)."""
    return bool(tick.ltt) and tick.at - tick.ltt > risk.last_trade_max_seconds * SECOND


class Skew(IntEnum):
    """How far our clock is from the broker's."""

    NONE = 0
    TOLD = 1  # a human hears of it
    TOO_MUCH = 2  # no entries


def skew_of(skew: Nanos, risk: RiskRules) -> Skew:
    """`skew`: our clock less the broker's."""
    if abs(skew) > risk.clock_skew_max_seconds * SECOND:
        return Skew.TOO_MUCH
    return Skew.TOLD if abs(skew) > SKEW_TOLD else Skew.NONE


class Funds(NamedTuple):
    """What the broker said could be spent, and what our own trades had cost by then."""

    mono: Nanos  # when it was asked
    available: Paise
    cash: Paise  # account.cash at that moment

    def left(self, cash: Paise, mono: Nanos) -> Paise | None:
        """What can be spent now: the reading and our own trades since. None: too old to be believed."""
        return None if mono - self.mono > FUNDS_HOLD else self.available + cash - self.cash


def affordable(cost: Paise, funds: Paise | None, risk: RiskRules) -> bool:
    """Is `cost` (an entry with its charges) within the owner's cap and the broker's funds?"""
    if risk.capital is not None and cost > risk.capital:
        return False
    return not risk.funds_wanted or (funds is not None and cost <= funds)
