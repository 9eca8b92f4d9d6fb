"""The strategy, as the owner decided it. This is all of it; the rest of the bot is care.

    enter   flat  ∧ velocity < 0 ∧ price below the estimate ∧ probability ≥ threshold
    leave   long  ∧ velocity > 0 ∧ price above the estimate
    stop    long  ∧ price ≤ average entry − ₹50          (every tick, warm-up or not)
    flatten at 15:29 IST                                 (the engine, by the clock)

No edge of it survived costs on any file tested: see the README.
"""

from enum import StrEnum

from bot.core.commands import Enter, Exit, Intent, Reason
from bot.core.forecast import Forecast
from bot.core.rules import StrategyRules
from bot.core.units import InstrumentKey, Paise


class Unmet(StrEnum):
    """The parts of the entry rule, by what is the case where they do not hold."""

    NOT_FALLING = "not_falling"
    ABOVE_ESTIMATE = "above_estimate"
    BAND = "band"
    MODEL = "model"  # the probability is too low


def want(instrument: InstrumentKey, forecast: Forecast, rules: StrategyRules, *, long: bool) -> Intent | None:
    """What the forecast of this tick asks for; None before the warm-up ends."""
    if forecast.tick < rules.warmup_ticks:
        return None
    if long:
        if forecast.velocity > 0 and forecast.rel_diff > 0:
            return Exit(instrument, Reason.SIGNAL_EXIT)
        return None
    return Enter(instrument) if unmet(forecast, rules) is None else None


def unmet(forecast: Forecast, rules: StrategyRules) -> Unmet | None:
    """The first part of the entry rule that does not hold; None: all of it does, so we enter. `rel_diff` is
    negative when the price is below the estimate (or, under the first implementation's sign, when its own
    formula says so: contract, *Sign*).
    """
    if not forecast.velocity < 0:
        return Unmet.NOT_FALLING
    if not forecast.rel_diff < 0:
        return Unmet.ABOVE_ESTIMATE
    if rules.band is not None and abs(forecast.rel_diff) >= rules.band:
        return Unmet.BAND
    sure = forecast.probability is not None and forecast.probability >= rules.threshold
    return Unmet.MODEL if rules.use_model and not sure else None


def stopped(ltp: Paise, entry_price: float, stop_loss: Paise) -> bool:
    """Has the price fallen to the stop? `entry_price` is the average fill price in paise."""
    return ltp <= entry_price - stop_loss
