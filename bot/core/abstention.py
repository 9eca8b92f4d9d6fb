"""Why nothing is bought: looked at once a second and kept as intervals, so that somebody can be told later.

A state of the bot (a limit, a cool-down, a position held …) begins an interval of its own; what only the
prices say (not falling, the model says no …) is counted within one, a minute long at most. Ticks cost
nothing here: a look reads what the desk knows anyway. It never decides anything.
"""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from bot.core import risk
from bot.core.account import Account
from bot.core.commands import NOT_DECIDED, Decision, NoTrade, Refused
from bot.core.desk import Desk
from bot.core.risk import Guard, Standing
from bot.core.rules import Rules
from bot.core.strategy import Unmet, unmet
from bot.core.units import SECOND, InstrumentKey, Nanos, Quantity

SILENT_AFTER: Nanos = 5 * SECOND  # without a tick the feed is suspect (hazards §0)
_MINUTE: Nanos = 60 * SECOND
_NAN = float("nan")


class Quiet(StrEnum):
    """Reasons beside the guards' and the entry rule's: nobody refused, for nothing was wanted."""

    HOLDING = "holding"
    SEGMENT_SHUT = "segment_shut"
    SILENT = "silent"  # no tick for some seconds
    WARM_UP = "warm_up"
    WANTED = "wanted"  # nothing spoke against it


class Look(NamedTuple):
    """One look at one instrument. `lasting`: it is a state, and no matter of this second's prices."""

    reason: str
    lasting: bool


def look(desk: Desk, account: Account, rules: Rules, standing: Standing, at: Nanos, *, shut: bool) -> Look:
    """The first reason that keeps this instrument from being bought now."""
    if desk.holding.position > 0:
        return Look(Quiet.HOLDING, True)
    if (guard := risk.state_objects(desk, account, rules, standing, at)) is not None:
        return Look(guard, True)
    if shut:
        return Look(Quiet.SEGMENT_SHUT, True)
    if at - desk.at > SILENT_AFTER or desk.forecast is None:
        return Look(Quiet.SILENT, True)
    if desk.forecast.tick < rules.strategy.warmup_ticks:
        return Look(Quiet.WARM_UP, True)
    if (missing := unmet(desk.forecast, rules.strategy)) is not None:
        return Look(missing, False)
    book = risk.book_objects(desk, account, rules, standing) if rules.risk.guards else None
    return Look(book or Quiet.WANTED, False)


class Interval:
    """What keeps one instrument from being bought, from one cut to the next."""

    __slots__ = ("best", "detail", "lasting", "looks", "position", "refused", "since")

    def __init__(self, since: Nanos) -> None:
        self.since = since
        self.lasting = ""  # the state it stands for; "": prices
        self.detail = ""
        self.looks: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.best = _NAN
        self.position: Quantity = 0

    def add(self, seen: Look, detail: str, position: Quantity, probability: float | None) -> None:
        self.lasting = seen.reason if seen.lasting else ""
        self.detail, self.position = detail, position
        self.looks[seen.reason] += 1
        if seen.reason == Unmet.MODEL and probability is not None and not self.best >= probability:
            self.best = probability


class Abstentions:
    """One interval each instrument. `beat` once a second, `refused` whenever a guard said no."""

    def __init__(self, desks: dict[InstrumentKey, Desk], rules: Rules) -> None:
        self._desks, self._rules = desks, rules
        self._now = {key: Interval(0) for key in desks}

    def refused(self, made: Refused) -> None:
        """The strategy wanted to buy and a guard objected."""
        self._now[made.instrument].refused[made.reason] += 1

    def beat(
        self, at: Nanos, account: Account, standing: Standing, stopped: str, shut: set[str]
    ) -> Iterator[NoTrade]:
        """Look at each instrument; what is over comes out. `stopped`: why entries ended; `shut`: segments."""
        for key, desk in self._desks.items():
            interval = self._now[key]
            seen = look(desk, account, self._rules, standing, at, shut=desk.segment in shut)
            detail = _detail(seen.reason, standing, stopped)
            state = seen.reason if seen.lasting else ""
            if not interval.looks:
                interval.since = interval.since or at
            elif at // _MINUTE != interval.since // _MINUTE or (state, detail) != (
                interval.lasting,
                interval.detail,
            ):
                yield self._over(key, interval, at)
                interval = self._now[key] = Interval(at)
            probability = desk.forecast.probability if desk.forecast else None
            interval.add(seen, detail, desk.holding.position, probability)

    def _over(self, key: InstrumentKey, interval: Interval, at: Nanos) -> NoTrade:
        desk = self._desks[key]
        return NoTrade(
            interval.since,
            at,
            key,
            _counted(interval.looks),
            _counted(interval.refused),
            interval.detail,
            interval.position,
            desk.bid,
            desk.ask,
            desk.ticks_total,
            interval.best,
            self._rules.strategy.threshold,
            _seen(desk),
        )


def _detail(reason: str, standing: Standing, stopped: str) -> str:
    if reason == Guard.STOPPED:
        return stopped
    return standing.phase.value if reason == Guard.PHASE else ""


def _seen(desk: Desk) -> Decision:
    return desk.decision(desk.at, desk.ltp) if desk.at else NOT_DECIDED


def _counted(reasons: Counter[str]) -> str:
    return " ".join(f"{reason}={count}" for reason, count in reasons.most_common())
