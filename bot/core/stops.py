"""The protective stop that rests at the exchange: its two prices, and whether it covers a position.

A stop-limit, for SL-M is refused on options (facts: docs/decisions.md, *Order policy*). Its trigger is where
the in-process stop would sell as well; its limit lies below by no more than the venue takes. Arithmetic only:
when it is sent, resized or turned into an exit is decided in leaving.py.
"""

from bot.core.account import Account
from bot.core.desk import Desk
from bot.core.events import Side
from bot.core.orders import State
from bot.core.units import Paise, tick_ceil, tick_floor

SMALL_TRIGGER: Paise = 50_00  # above it the venue counts the gap in percent, up to it in rupees
SMALL_GAP: Paise = 10_00
TIGHTER_MAX = 3


def prices(bought_at: Paise, stop_loss: Paise, tick: Paise, tighter: int = 0) -> tuple[Paise, Paise] | None:
    """(trigger, limit) for what was bought at that average; None where no valid stop exists.

    The limit: 10 % under a trigger above ₹50, else ₹10 under it (the venue takes 20 % and ₹10), at least one
    tick. Each step of `tighter` (the venue refused the last) halves the gap: then no price band objects.
    """
    trigger = tick_floor(bought_at - stop_loss, tick)
    if trigger <= tick:
        return None
    gap = (trigger // 10 if trigger > SMALL_TRIGGER else SMALL_GAP) >> min(tighter, TIGHTER_MAX)
    return trigger, max(tick_ceil(trigger - gap, tick), tick)


def of(desk: Desk, stop_loss: Paise) -> tuple[Paise, Paise] | None:
    """The prices for the position we hold. Kept until more is bought: what is sold moves no average."""
    holding = desk.holding
    if desk.stop is None and holding.position > 0:
        bought_at = holding.cost // holding.position
        desk.stop = prices(bought_at, stop_loss, desk.contract.tick, desk.stop_refusals)
    return desk.stop


def covered(desk: Desk, account: Account) -> bool:
    """Does a stop of ours, confirmed by the exchange, rest for all that we hold?"""
    return any(
        order.rests
        and not order.leaving
        and order.state is State.LIVE
        and order.terms.quantity - order.filled >= desk.holding.position
        for order in account.open_orders(desk.contract.key)
        if order.command.side is Side.SELL
    )
