"""The strategy, as the owner decided it. This is all of it; the rest of the bot is care.

    enter   flat  ∧ velocity < 0 ∧ price below the estimate ∧ probability ≥ threshold
    leave   long  ∧ velocity > 0 ∧ price above the estimate
    stop    long  ∧ price ≤ average entry − ₹50          (every tick, warm-up or not)
    flatten at 15:29 IST                                 (the engine, by the clock)

No edge of it survived costs on any file tested: see the README.
"""

from bot.core.commands import Enter, Exit, Intent, Reason
from bot.core.forecast import Forecast
from bot.core.rules import StrategyRules
from bot.core.units import InstrumentKey, Paise


def want(instrument: InstrumentKey, forecast: Forecast, rules: StrategyRules, *, long: bool) -> Intent | None:
    """What the forecast of this tick asks for; None before the warm-up ends."""
    if forecast.tick < rules.warmup_ticks:
        return None
    if long:
        if forecast.velocity > 0 and forecast.rel_diff > 0:
            return Exit(instrument, Reason.SIGNAL_EXIT)
        return None
    return Enter(instrument) if enters(forecast, rules) else None


def enters(forecast: Forecast, rules: StrategyRules) -> bool:
    """The entry rule. `rel_diff` is negative when the price is below the estimate (or, under the first
    implementation's sign, when its own formula says so: contract, *Sign*).
    """
    if not (forecast.velocity < 0 and forecast.rel_diff < 0):
        return False
    if rules.band is not None and abs(forecast.rel_diff) >= rules.band:
        return False
    return not rules.use_model or (
        forecast.probability is not None and forecast.probability >= rules.threshold
    )


def stopped(ltp: Paise, entry_price: float, stop_loss: Paise) -> bool:
    """Has the price fallen to the stop? `entry_price` is the average fill price in paise."""
    return ltp <= entry_price - stop_loss
