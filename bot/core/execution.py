"""Working the orders of one instrument towards what the desk wants: enter at most once, leave for sure.

Called after every event that may matter and on every heartbeat, so nothing here waits for a tick. It looks
at what is, not at what happened: after a restart the same code picks up where the orders stand.
Policy: facts in docs/decisions.md, *Order policy*.
"""

from collections.abc import Callable, Iterator

from bot.core import risk
from bot.core.account import Account, Order
from bot.core.commands import AskSnapshot, CancelOrder, Command, ModifyOrder
from bot.core.desk import Desk
from bot.core.events import OrderType, Side
from bot.core.orders import State
from bot.core.rules import Rules
from bot.core.units import SECOND, Nanos, Quantity

MISSING_MAX = 3  # snapshots that must lack a doubtful order before we stop waiting for it
EXIT_AGAIN: Nanos = SECOND  # doubled with each SELL that came to nothing, up to…
EXIT_AGAIN_MAX: Nanos = 8 * SECOND  # …this: never a tight loop (hazards O9), never given up
CANCEL_AGAIN: Nanos = 2 * SECOND  # a cancel without a final word is asked again


def work(
    desk: Desk, account: Account, rules: Rules, at: Nanos, mono: Nanos, next_tag: Callable[[], str]
) -> Iterator[Command]:
    """Commands that bring the instrument nearer to what the desk wants. The caller records each as sent."""
    orders = tuple(account.open_orders(desk.contract.key))
    for order in orders:
        if order.command.side is Side.SELL and desk.exit_reason is None:
            desk.leave(order.command.reason, at)  # after a restart: the exit under way goes on
        if order.state is State.UNKNOWN:
            _give_up_if_lost(order, desk, account, rules, mono)
        elif order.command.side is Side.BUY:
            yield from _work_entry(order, desk, rules, mono)
        elif desk.exit_reason is not None:
            yield from _work_exit(order, desk, rules, mono)
    if desk.exit_reason is None or any(not order.final for order in orders):
        return
    quantity = sellable(desk)
    if quantity <= 0:
        desk.exit_over()
    elif mono >= desk.exit_next_mono and (desk.bid or desk.ltp):  # a SELL without any price would be a gift
        desk.exit_next_mono = mono + min(EXIT_AGAIN << desk.exit_tries, EXIT_AGAIN_MAX)
        desk.exit_tries = min(desk.exit_tries + 1, 3)
        yield risk.exit_order(desk, rules, at, quantity, next_tag())


def sellable(desk: Desk) -> Quantity:
    """What we may sell: our own position, and never more than the account holds when that was confirmed to
    be less (somebody sold ours), or when a SELL of ours was given up and may yet turn out to have filled.
    """
    position = desk.holding.position
    if desk.broker_position is not None and (desk.mismatch or desk.cautious):
        return min(position, desk.broker_position)
    return position


def _work_entry(order: Order, desk: Desk, rules: Rules, mono: Nanos) -> Iterator[Command]:
    """An entry that is not full in time, or no longer wanted, is cancelled; what filled is a position."""
    if order.state is State.LIVE:
        late = mono - order.asked_mono >= rules.orders.entry_timeout_seconds * SECOND
        # `amend_at` moves with each cancel, so a refused one is not repeated in a tight loop.
        again = order.amend_at == order.asked_mono or mono - order.amend_at >= CANCEL_AGAIN
        if (late or desk.exit_reason is not None) and again and order.order_id:
            yield CancelOrder(order.command.tag, order.order_id, "entry_timeout" if late else "exit")
    elif order.state is State.CANCELLING and mono - order.amend_at >= CANCEL_AGAIN:
        yield CancelOrder(order.command.tag, order.order_id, "again")


def _work_exit(order: Order, desk: Desk, rules: Rules, mono: Nanos) -> Iterator[Command]:
    """A resting exit is re-priced once a second; after too many modifies it is cancelled and made anew."""
    if order.state is State.CANCELLING:
        if mono - order.amend_at >= CANCEL_AGAIN:
            yield CancelOrder(order.command.tag, order.order_id, "again")
        return
    if order.state is not State.LIVE or not order.order_id or order.amend_open:
        return
    if mono - order.amend_at < rules.orders.exit_reprice_seconds * SECOND:
        return
    if order.amends >= rules.orders.exit_modifies_max:
        yield CancelOrder(order.command.tag, order.order_id, "modifies_used_up")
        return
    desk.exit_steps += 1
    price = desk.exit_price(rules.orders.exit_ticks)
    if price != order.price:
        reason = desk.exit_reason
        assert reason is not None
        yield ModifyOrder(
            order.command.tag, order.order_id, OrderType.LIMIT, order.quantity, price, 0, reason
        )


def _give_up_if_lost(order: Order, desk: Desk, account: Account, rules: Rules, mono: Nanos) -> None:
    """An order in doubt is given up when the book lacked it three times *and* it had time to arrive late."""
    orders = rules.orders
    settle = orders.entry_settle_seconds if order.command.side is Side.BUY else orders.exit_settle_seconds
    if order.missing >= MISSING_MAX and mono - order.doubt_mono >= settle * SECOND:
        account.give_up(order)
        desk.cautious = desk.cautious or order.command.side is Side.SELL


def snapshot_due(account: Account, asked_mono: Nanos, mono: Nanos, *, in_doubt: bool) -> AskSnapshot | None:
    """When the broker's book should be read again: soon while in doubt, seldom while nothing is out."""
    if account.unknown or in_doubt:
        wait, why = SECOND, "in_doubt"
    elif account.open:
        wait, why = 2 * SECOND, "order_open"
    else:
        wait, why = 30 * SECOND, "routine"
    return AskSnapshot(why) if mono - asked_mono >= wait else None
