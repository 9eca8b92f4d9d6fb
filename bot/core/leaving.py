"""Getting out, for sure: the SELLs of one instrument, from the resting stop to the last rung of the flatten.

At most one SELL of ours is meant to live, and it is one of two things: the stop that rests at the exchange
under a position, or, once the position is to go, that very order modified into an exit. So nothing is ever
cancelled first and sold after, no two of them race, and Σ live SELLs ≤ what the account holds:

    bought ──► stop rests (SL) ──► resized with each fill ──► modified into a LIMIT ──► re-priced each second
                   │ it triggers: the exchange sells                   │ refused, used up, not filled in 20 s
                   └► not filled in 2 s: modified into an exit         └► a new SELL; when all must go and
                                                                          ours are over: positions/exit

What is broken from outside (another hand sold ours, a late acceptance, a short) is repaired here, too. It
looks at what is, not at what happened: after a restart the same code picks up where the orders stand. It
knows no time but that of the event in hand.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from bot.core import notices, risk, stops
from bot.core.account import Account
from bot.core.books import Order, Terms
from bot.core.commands import Alert, CancelOrder, Command, Decision, ModifyOrder, Reason
from bot.core.desk import Desk
from bot.core.events import OrderType, Side
from bot.core.orders import State
from bot.core.rules import Rules
from bot.core.units import SECOND, Nanos, Quantity

AGAIN: Nanos = SECOND  # doubled with each order that came to nothing, up to…
AGAIN_MAX: Nanos = 8 * SECOND  # …this: never a tight loop (hazards O9), never given up
CANCEL_AGAIN: Nanos = 2 * SECOND  # a cancel without a final word is asked again
AMEND_SETTLES: Nanos = 2 * SECOND  # a modify without `modified` or `not modified` is asked again
STOP_FILLS: Nanos = 2 * SECOND  # a stop that rests has so long to sell before we do
UNPROTECTED_MAX: Nanos = 3 * SECOND
ENTRY_ENDS: Nanos = 3 * SECOND  # so long an exit waits for the cancel of our own BUY, not to trade with it
NAMED_WITHIN: Nanos = SECOND  # so long an order on its way may take to get its id
LAST_RUNG_AFTER: Nanos = 20 * SECOND  # of stepping down without a fill
LAST_RUNG_TRIES = 3  # …or so many SELLs that came to nothing
LAST_RUNG_EVERY: Nanos = 10 * SECOND
FRESH: Nanos = 3 * SECOND  # a position read within it began after the last doubt


class Now(NamedTuple):
    """The event's instant, and the bot's state as far as leaving cares."""

    at: Nanos
    mono: Nanos
    known: bool  # the broker's book was read since the start: what may already rest there is known
    everything: bool  # all must go: 15:29, SIGTERM, the loss limit
    shut: bool  # the segment is closed: nothing can be done any more


def work(
    desk: Desk, account: Account, rules: Rules, now: Now, next_tag: Callable[[], str]
) -> Iterator[Command]:
    """Commands that bring the SELLs nearer to what they should be. The caller records each as sent."""
    orders = account.open_orders(desk.contract.key)
    sells = [order for order in orders if order.command.side is Side.SELL]
    for order in sells:
        if order.leaving and desk.exit_reason is None:
            desk.leave(order.reason, now.at)  # after a restart: the exit under way goes on
    left = sellable(desk)
    if now.shut:
        return
    if len(sells) > 1:
        yield from _one_too_many(sells, now.mono)
    elif sells:
        yield from _work_sell(sells[0], left, desk, account, rules, now)
    elif left > 0 and not _in_our_own_way(desk, orders, now):
        yield from _new_sell(left, desk, account, rules, now, next_tag)
    if desk.holding.position < 0 or any(_covers(order) for order in orders):
        yield from _cover(desk, orders, rules, now, next_tag)
    elif not orders and left <= 0:
        desk.over()


def sellable(desk: Desk) -> Quantity:
    """What we may sell: our own position, less what the account lacks of it. One reading that says so is
    enough when another hand sold today or a SELL of ours was given up (it may have filled), else two.
    """
    position = desk.holding.position
    if desk.mismatch or desk.cautious or desk.others_sold:
        return max(position + min(desk.difference, 0), 0)
    return position


def owed(desk: Desk) -> Quantity:
    """What we sold beyond our own and must buy back; another hand may have bought some of it."""
    return max(-desk.holding.position - (max(desk.difference, 0) if desk.mismatch else 0), 0)


def left(desk: Desk) -> Quantity:
    """What is still to be sold, or to be bought back, as far as two readings agree: one ends nothing."""
    position = desk.holding.position
    return max(position + min(desk.mismatch, 0), 0) if position > 0 else owed(desk)


def at_stop(desk: Desk, account: Account, mono: Nanos) -> bool:
    """The price is at the stop: is it on us to sell? A stop that rests is given its time first: two SELLs at
    one price would race.
    """
    if not desk.stop_touched_mono:
        desk.stop_touched_mono = mono
    return mono - desk.stop_touched_mono >= STOP_FILLS or not stops.covered(desk, account)


def watch(desk: Desk, account: Account, now: Now) -> Iterator[Alert]:
    """Protected, leaving, or flat: anything else is paged, once, after some seconds."""
    if desk.exit_overdue(now.at):
        yield notices.exit_unfilled(desk)
    if sellable(desk) <= 0 or stops.covered(desk, account) or _exit_works(desk, account):
        desk.unprotected_mono, desk.unprotected_paged = 0, False
    elif not desk.unprotected_mono:
        desk.unprotected_mono = now.mono
    elif now.mono - desk.unprotected_mono >= UNPROTECTED_MAX and not desk.unprotected_paged:
        desk.unprotected_paged = True
        if not desk.exit_paged:  # "not sold yet" is about the same units
            yield notices.unprotected(desk)


def _exit_works(desk: Desk, account: Account) -> bool:
    """Does a SELL of an exit live? That it does not fill is said by exit_unfilled."""
    return desk.exit_reason is not None and any(
        order.command.side is Side.SELL and order.state is State.LIVE
        for order in account.open_orders(desk.contract.key)
    )


def at_rest(account: Account, desk: Desk) -> bool:
    """Is there nothing to do for the orders of this instrument until somebody speaks?"""
    if desk.exit_reason is not None or desk.stop_touched_mono:
        return False
    return all(order.waits for order in account.open_orders(desk.contract.key))


# ---- one SELL, and no second ---------------------------------------------------------------------------


def _work_sell(
    order: Order, left: Quantity, desk: Desk, account: Account, rules: Rules, now: Now
) -> Iterator[Command]:
    """Turn the one SELL that lives into what it should be: resized, an exit, a deeper price, or gone."""
    mono = now.mono
    if order.state is State.CANCELLING:
        if mono - order.amend_at >= CANCEL_AGAIN:
            yield CancelOrder(order.command.tag, order.order_id, "again")
        return
    if order.state is not State.LIVE or not order.order_id:
        return  # in doubt: it may yet sell, so nothing else may
    if order.asked is not None:
        if mono - order.amend_at < AMEND_SETTLES:
            return
        account.amend_lapsed(order)
    waited = mono - order.amend_at >= rules.orders.exit_reprice_seconds * SECOND
    if order.amend_failed and not waited:
        return
    if left <= 0:
        yield CancelOrder(order.command.tag, order.order_id, "not_ours_any_more")
    elif desk.exit_reason is None:
        yield from _resize(order, left, desk, rules)
    elif (waited or not order.leaving) and not _in_our_own_way(
        desk, account.open_orders(desk.contract.key), now
    ):
        yield from _exit_with(order, left, desk, account, rules, now)


def _resize(order: Order, left: Quantity, desk: Desk, rules: Rules) -> Iterator[Command]:
    stop = stops.of(desk, rules.risk.stop_loss)
    if stop is None:  # bought so low that none exists: what rests is better than nothing
        stop = order.terms.trigger_price, order.terms.price
    want = Terms(OrderType.SL, order.filled + left, stop[1], stop[0])
    if want == order.terms or desk.stop_touched_mono:
        return
    if order.amends >= rules.orders.exit_modifies_max:
        yield CancelOrder(order.command.tag, order.order_id, "modifies_used_up")
    else:
        yield _modify(order, want, order.reason, order.decision._replace(price=stop[0]))


def _exit_with(
    order: Order, left: Quantity, desk: Desk, account: Account, rules: Rules, now: Now
) -> Iterator[Command]:
    tag, order_id = order.command.tag, order.order_id
    if not (desk.bid or desk.ltp):
        return  # a SELL without any price would be a gift: what rests is better than nothing
    if order.amends >= rules.orders.exit_modifies_max:
        yield CancelOrder(tag, order_id, "modifies_used_up")
        return
    if order.leaving and not order.command.closes and _last_rung(left, desk, account, now):
        yield CancelOrder(tag, order_id, "last_rung")
        return
    if order.amend_failed and order.terms.order_type is OrderType.SL:
        yield CancelOrder(tag, order_id, "stays_a_stop")  # a venue may not take SL → LIMIT: sell anew
        return
    if order.amend_failed:
        desk.exit_steps = 0  # refused: maybe for its depth (price bands)
    elif order.leaving:
        desk.exit_steps += 1
    want = Terms(OrderType.LIMIT, order.filled + left, desk.exit_price(rules.orders.exit_ticks), 0)
    if want != order.terms:
        assert desk.exit_reason is not None
        yield _modify(order, want, desk.exit_reason, _decision(desk, now.at))


def _new_sell(
    left: Quantity, desk: Desk, account: Account, rules: Rules, now: Now, next_tag: Callable[[], str]
) -> Iterator[Command]:
    """No SELL lives, and something is ours to sell or to protect."""
    if not now.known or now.mono < desk.next_mono:
        return
    closes = ""
    if desk.exit_reason is None:
        stop = stops.of(desk, rules.risk.stop_loss)
        if stop is None or desk.stop_touched_mono or 0 < desk.ltp <= stop[0]:
            return  # the in-process stop's business
        terms = Terms(OrderType.SL, left, stop[1], stop[0])
        why = Reason.STOP_LOSS, desk.decision(now.at, stop[0])
    elif not (desk.bid or desk.ltp):
        return
    else:
        why = desk.exit_reason, _decision(desk, now.at)
        closes = _last_rung(left, desk, account, now)
        if closes:
            desk.closed_mono = now.mono
            terms = Terms(OrderType.MARKET, left, 0, 0)
        else:
            terms = Terms(OrderType.LIMIT, left, desk.exit_price(rules.orders.exit_ticks), 0)
    _count_try(desk, now.mono)
    yield risk.leaving_order(desk, rules, Side.SELL, terms, why, next_tag(), closes)


def _last_rung(left: Quantity, desk: Desk, account: Account, now: Now) -> str:
    """The tag of the entry whose position the broker should close at market; "" when it is not time for that
    or when it could touch units of another hand (it sells what that entry bought, if the account has it).
    """
    worn = desk.tries >= LAST_RUNG_TRIES or now.at - desk.exit_at >= LAST_RUNG_AFTER
    fresh = now.mono - desk.read_mono <= FRESH
    if not (now.everything and worn and fresh and now.mono - desk.closed_mono >= LAST_RUNG_EVERY):
        return ""
    entries = [
        order
        for order in account.orders.values()
        if order.filled
        and order.command.reason is Reason.ENTRY
        and order.command.instrument == desk.contract.key
    ]
    if not entries or (desk.difference > 0 and entries[-1].filled > left):
        return ""
    return entries[-1].command.tag


def _one_too_many(sells: list[Order], mono: Nanos) -> Iterator[Command]:
    """One we had given up came alive beside its successor, or another bot's beside ours. Keep the broker's
    first; the rest must go. Two bots choose alike, or each would cancel the other's, for ever.
    """
    if any(order.state is State.ASKED and mono - order.amend_at < NAMED_WITHIN for order in sells):
        return
    named = [order for order in sells if order.order_id and order.state in {State.LIVE, State.CANCELLING}]
    named.sort(key=lambda order: (order.state is State.CANCELLING, order.order_id))
    for order in named if len(named) < len(sells) else named[1:]:
        first = order.state is State.LIVE and not order.amend_failed
        if first or mono - order.amend_at >= CANCEL_AGAIN:
            yield CancelOrder(order.command.tag, order.order_id, "one_too_many")


# ---- a short, bought back -------------------------------------------------------------------------------


def _cover(
    desk: Desk,
    orders: list[Order],
    rules: Rules,
    now: Now,
    next_tag: Callable[[], str],
) -> Iterator[Command]:
    """Buy back what we sold beyond our own: exactly that, and once a reading confirms what is there."""
    short, price = owed(desk), desk.cover_price(rules.orders.exit_ticks)
    covers = [order for order in orders if _covers(order)]
    for order in covers:
        waited = now.mono - order.amend_at >= rules.orders.exit_reprice_seconds * SECOND
        if order.state not in {State.LIVE, State.CANCELLING} or not order.order_id or not waited:
            continue
        if not short or order.amends >= rules.orders.exit_modifies_max:
            yield CancelOrder(order.command.tag, order.order_id, "covered")
        elif order.state is State.LIVE and price:
            desk.exit_steps += 1
            want = Terms(OrderType.LIMIT, order.filled + short, price, 0)
            yield _modify(order, want, order.reason, order.decision)
    read = now.known and desk.read_mono > desk.filled_mono
    if short and not covers and read and price and now.mono >= desk.next_mono:
        _count_try(desk, now.mono)
        why = Reason.RECOVERY, desk.decision(now.at, desk.ltp)
        terms = Terms(OrderType.LIMIT, short, price, 0)
        yield risk.leaving_order(desk, rules, Side.BUY, terms, why, next_tag())


def _covers(order: Order) -> bool:
    return order.command.side is Side.BUY and order.command.reason is Reason.RECOVERY


# ---- pieces ---------------------------------------------------------------------------------------------


def _in_our_own_way(desk: Desk, orders: Iterable[Order], now: Now) -> bool:
    """Does an entry of ours still rest that an exit could trade with? execution.py is cancelling it."""
    return (
        desk.exit_reason is not None
        and now.at - desk.exit_at < ENTRY_ENDS
        and any(o.command.side is Side.BUY and o.state is not State.UNKNOWN for o in orders)
    )


def _modify(order: Order, want: Terms, reason: Reason, decision: Decision) -> ModifyOrder:
    return ModifyOrder(
        order.command.tag,
        order.order_id,
        want.order_type,
        want.quantity,
        want.price,
        want.trigger_price,
        reason,
        decision,
    )


def _decision(desk: Desk, at: Nanos) -> Decision:
    """What was seen when the exit was decided; before any price was known: what is seen now."""
    decided = desk.exit_decision
    return decided if decided is not None and decided.price else desk.decision(at, desk.ltp)


def _count_try(desk: Desk, mono: Nanos) -> None:
    desk.next_mono = mono + min(AGAIN << min(desk.tries, 3), AGAIN_MAX)
    desk.tries += 1
