"""What a position would cost and may lose, in rupees a person can picture before the day begins.

Pure arithmetic on a price, a contract, the rules and the rate card. It promises nothing: a stop is a trigger,
not a maximum loss (orders: words the README must carry).
"""

from typing import Final, NamedTuple

from bot.core.charges import RateCard
from bot.core.rules import Contract, OrderRules, RiskRules
from bot.core.units import Paise

GAP_PERCENT: Final = 10


class Exposure(NamedTuple):
    """One position of the quantity chosen. All in paise, losses as positive numbers with charges."""

    cost: Paise  # to be paid at the entry, with its charges
    at_stop: Paise  # lost when sold at the stop's price
    at_gap: Paise  # …and when the price falls through it by another 10 %
    everything: Paise  # the whole premium: the true maximum


def exposure(
    contract: Contract, price: Paise, orders: OrderRules, risk: RiskRules, card: RateCard
) -> Exposure:
    """`price`: what a unit costs now. An entry is priced `entry_ticks` above it."""
    assert price > 0, price
    units = contract.quantity
    entry = price + orders.entry_ticks * contract.tick
    stop = max(entry - risk.stop_loss, 0)
    gap = stop - stop * GAP_PERCENT // 100

    def lost(exit_price: Paise) -> Paise:
        return (entry - exit_price) * units + card.round_trip(entry * units, exit_price * units).total

    bought = card.round_trip(entry * units, 0).total
    return Exposure(entry * units + bought, lost(stop), lost(gap), lost(0))
