"""The only maker of PlaceOrder. What has not passed here has another type and cannot leave.

Guards are for entries: an exit is never refused, only priced and sized. Each guard's default has its
reason in docs/decisions.md; `guards=False` (a backtest without --guards) leaves only what physics demands.
"""

from enum import StrEnum
from typing import NamedTuple

from bot.core import guards, stops
from bot.core.account import Account
from bot.core.books import Terms
from bot.core.commands import Decision, PlaceOrder, Reason, Refused
from bot.core.desk import Desk
from bot.core.events import OrderType, Side, Tick
from bot.core.rules import Rules
from bot.core.session import Phase
from bot.core.units import SECOND, Nanos, Paise


class Guard(StrEnum):
    """Why an entry was refused: the bounded set that metrics and the journal use."""

    PHASE = "phase"
    NOT_READY = "not_ready"
    STREAM_DOWN = "stream_down"
    STOPPED = "stopped"
    NOT_LEASED = "not_leased"  # another bot may trade this account
    BEHIND = "behind"
    LAGGED = "lagged"
    ORDER_OPEN = "order_open"
    ORDER_UNKNOWN = "order_unknown"
    MISMATCH = "mismatch"
    NO_QUOTE = "no_quote"
    NO_STOP = "no_stop"  # at this premium no valid stop-limit exists
    SPREAD = "spread"
    PREMIUM_LOW = "premium_low"
    PREMIUM_HIGH = "premium_high"
    CAPITAL = "capital"
    ENTRIES_DAY = "entries_day"
    ENTRIES_MINUTE = "entries_minute"
    COOLDOWN = "cooldown"
    STOPS_DAY = "stops_day"
    CHARGES = "charges"
    FEED_DOWN = "feed_down"
    FROZEN = "frozen"  # messages come, trades do not
    CLOCK_SKEW = "clock_skew"


FOR_THE_DAY = frozenset({Guard.ENTRIES_DAY, Guard.STOPS_DAY, Guard.CHARGES})  # no later tick changes them


class Standing(NamedTuple):
    """The engine's state as far as entries care."""

    phase: Phase
    ready: bool  # a snapshot was reconciled since start or reconnect
    stream_up: bool
    entries_stopped: bool  # by an operator or the loss limit
    newest: bool  # no younger tick of this instrument waits
    feed_up: bool = True
    clocks_agree: bool = True
    funds: Paise | None = None  # what the account may spend; None: not known
    leased: bool = True  # no other bot trades this account


def entry_order(
    desk: Desk, account: Account, rules: Rules, standing: Standing, tick: Tick, tag: str
) -> PlaceOrder | Refused:
    """A BUY for a wish to enter, or the first guard that objects."""
    guard = (
        _mechanics(desk, account, standing)
        or _age(rules, tick)
        or (book_objects(desk, account, rules, standing) if rules.risk.guards else None)
        or (_limits(account, rules, tick.at) if rules.risk.guards else None)
    )
    if guard is not None:
        return Refused(desk.contract.key, guard)
    contract = desk.contract
    assert contract.quantity % contract.lot == 0, contract
    assert contract.quantity <= contract.freeze_quantity, contract
    return PlaceOrder(
        tag=tag,
        instrument=contract.key,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=contract.quantity,
        price=_entry_price(desk, rules),
        trigger_price=0,
        product=rules.orders.product,
        reason=Reason.ENTRY,
        decision=desk.decision(tick.at, tick.ltp),
    )


def leaving_order(
    desk: Desk,
    rules: Rules,
    side: Side,
    terms: Terms,
    why: tuple[Reason, Decision],
    tag: str,
    closes: str = "",
) -> PlaceOrder:
    """An order that makes the position smaller, or stands ready to: a stop, an exit, the cover of a short.
    Never refused; its quantity is what we own (or owe), sized by the caller.
    """
    assert terms.quantity > 0, terms
    return PlaceOrder(
        tag=tag,
        instrument=desk.contract.key,
        side=side,
        order_type=terms.order_type,
        quantity=terms.quantity,
        price=terms.price,
        trigger_price=terms.trigger_price,
        product=rules.orders.product,
        reason=why[0],
        decision=why[1],
        closes=closes,
    )


def _entry_price(desk: Desk, rules: Rules) -> Paise:
    """Ask + `entry_ticks`; without quotes the last price stands in for the ask (then marked *assumed*)."""
    return (desk.ask or desk.ltp) + rules.orders.entry_ticks * desk.contract.tick


def state_objects(desk: Desk, account: Account, rules: Rules, standing: Standing, at: Nanos) -> Guard | None:
    """What would refuse an entry now, whatever the prices: the state of the bot and of its day."""
    return _mechanics(desk, account, standing) or (_limits(account, rules, at) if rules.risk.guards else None)


def day_over(account: Account, rules: Rules, at: Nanos) -> Guard | None:
    """The limit that the day has reached, if one of them ends it."""
    found = _limits(account, rules, at) if rules.risk.guards else None
    return found if found in FOR_THE_DAY else None


def _mechanics(desk: Desk, account: Account, standing: Standing) -> Guard | None:
    """What must hold for an entry to make sense at all."""
    if standing.phase is not Phase.OPEN:
        return Guard.PHASE
    if not standing.ready:
        return Guard.NOT_READY
    if not standing.stream_up:
        return Guard.STREAM_DOWN
    if standing.entries_stopped:
        return Guard.STOPPED
    if not standing.leased:
        return Guard.NOT_LEASED
    if not standing.feed_up:
        return Guard.FEED_DOWN
    if not standing.clocks_agree:
        return Guard.CLOCK_SKEW
    if not standing.newest:
        return Guard.BEHIND
    if account.unknown:
        return Guard.ORDER_UNKNOWN
    if desk.exit_reason is not None or any(account.open_orders(desk.contract.key)):
        return Guard.ORDER_OPEN
    if desk.mismatch or desk.difference:
        return Guard.MISMATCH
    return None


def _age(rules: Rules, tick: Tick) -> Guard | None:
    """Is this tick of now?"""
    risk = rules.risk
    if guards.lagged(tick, risk):
        return Guard.LAGGED
    if guards.early(tick, risk):
        return Guard.CLOCK_SKEW
    if risk.guards and guards.frozen(tick, risk):
        return Guard.FROZEN
    return None


def book_objects(desk: Desk, account: Account, rules: Rules, standing: Standing) -> Guard | None:
    """Is this a book to buy from, and can we pay?"""
    risk = rules.risk
    if not desk.bid or not desk.ask:
        return Guard.NO_QUOTE
    if (desk.ask - desk.bid) * 20_000 > risk.spread_max_bps * (desk.ask + desk.bid):
        return Guard.SPREAD
    if stops.prices(_entry_price(desk, rules), risk.stop_loss, desk.contract.tick) is None:
        return Guard.NO_STOP
    if desk.ask < risk.premium_min:
        return Guard.PREMIUM_LOW
    if risk.premium_max is not None and desk.ask > risk.premium_max:
        return Guard.PREMIUM_HIGH
    if risk.capital is None and not risk.funds_wanted:
        return None
    value = _entry_price(desk, rules) * desk.contract.quantity
    cost = value + account.buying_charges(desk.contract.key, value)
    return None if guards.affordable(cost, standing.funds, risk) else Guard.CAPITAL


def _limits(account: Account, rules: Rules, at: Nanos) -> Guard | None:
    """Has the day had enough?"""
    risk = rules.risk
    entries = account.entries_at
    if len(entries) >= risk.entries_per_day:
        return Guard.ENTRIES_DAY
    stopped = account.stops.values()
    if len(stopped) >= risk.stops_per_day:
        return Guard.STOPS_DAY
    if risk.charges_per_day is not None and account.charges >= risk.charges_per_day:
        return Guard.CHARGES
    if len(entries) >= risk.entries_per_minute and at - entries[-risk.entries_per_minute] < 60 * SECOND:
        return Guard.ENTRIES_MINUTE
    if stopped and at - max(stopped) < risk.cooldown_seconds * SECOND:
        return Guard.COOLDOWN
    return None


def loss_limit_reached(account: Account, desks: dict[str, Desk], rules: Rules) -> bool:
    """Realized + unrealized at the bid − charges, against `daily_loss`."""
    limit = rules.risk.daily_loss
    if limit is None or not rules.risk.guards:
        return False
    return account.realized_gross + unrealized(account, desks) - account.charges <= -limit


def unrealized(account: Account, desks: dict[str, Desk]) -> Paise:
    """What the open positions would gain at the bid (the last price where no bid is known, else at cost)."""
    total = 0
    for key, holding in account.holdings.items():
        if holding.position:
            desk = desks[key]
            price = desk.bid or desk.ltp
            total += price * holding.position - holding.cost if price else 0
    return total
