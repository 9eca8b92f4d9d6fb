"""Working the orders of one instrument: entries here, everything that leaves in leaving.py.

Called after every event that may matter and on every heartbeat, so nothing here waits for a tick. It looks
at what is, not at what happened: after a restart the same code picks up where the orders stand.
Policy: facts in docs/decisions.md, *Order policy*.
"""

from collections.abc import Callable, Iterator

from bot.core import leaving
from bot.core.account import Account
from bot.core.books import Order
from bot.core.commands import AskSnapshot, CancelOrder, Command, Reason
from bot.core.desk import Desk
from bot.core.events import Side
from bot.core.leaving import CANCEL_AGAIN, Now
from bot.core.orders import State
from bot.core.rules import Rules
from bot.core.units import SECOND, Nanos

MISSING_MAX = 3  # snapshots that must lack a doubtful order before we stop waiting for it


def work(
    desk: Desk, account: Account, rules: Rules, now: Now, next_tag: Callable[[], str]
) -> Iterator[Command]:
    """Commands that bring the instrument nearer to what the desk wants. The caller records each as sent."""
    for order in account.open_orders(desk.contract.key):
        _give_up_if_lost(order, desk, account, rules, now.mono)
        if order.command.reason is Reason.ENTRY and not order.final:
            yield from _work_entry(order, desk, rules, now.mono)
    yield from leaving.work(desk, account, rules, now, next_tag)


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


def _give_up_if_lost(order: Order, desk: Desk, account: Account, rules: Rules, mono: Nanos) -> None:
    """An order in doubt is given up when the book lacked it three times *and* it had time to arrive late.
    So is one the broker took that was never seen since, neither in the book nor on the stream: else it would
    be cancelled again and again all day.
    """
    selling = order.command.side is Side.SELL
    unseen = order.state in {State.LIVE, State.CANCELLING} and not (order.rests or order.filled)
    if order.missing < MISSING_MAX or not (unseen or order.state is State.UNKNOWN):
        return
    settle = rules.orders.exit_settle_seconds if selling else rules.orders.entry_settle_seconds
    if mono - max(order.doubt_mono, order.asked_mono) >= settle * SECOND:
        account.give_up(order)
        desk.cautious = desk.cautious or selling


def snapshot_due(
    account: Account, asked_mono: Nanos, mono: Nanos, *, in_doubt: bool, stream_up: bool
) -> AskSnapshot | None:
    """When the broker's book should be read again: soon while in doubt, seldom while nothing is out."""
    if account.unknown or in_doubt or (account.open and not stream_up):
        wait, why = SECOND, "in_doubt"
    elif account.open:
        wait, why = 2 * SECOND, "order_open"
    else:
        wait, why = 30 * SECOND, "routine"
    return AskSnapshot(why) if mono - asked_mono >= wait else None
