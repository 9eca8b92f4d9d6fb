"""One way up: start, crash and reconnect share this path.

Replay the journal into the account, doubt whatever was under way, and let the first snapshot of the broker
settle it (the engine is not ready before). Whether the journal is empty, whole or from a lost volume makes
no difference: rows of the broker's book that carry our mark are adopted.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bot.core.commands import CancelOrder, EntriesEnded, ModifyOrder, PlaceOrder, RecordFill
from bot.core.engine import Engine
from bot.core.events import Operator, OrderReport, SendOutcome
from bot.core.units import Nanos


class Recovered(NamedTuple):
    """What the journal held."""

    fills: tuple[RecordFill, ...]
    orders: int
    under_way: int  # orders whose outcome must be asked


def replay(engine: Engine, kept: Iterable[object], mono: Nanos) -> Recovered:
    """Apply what the journal kept, oldest first. `kept` holds decoded records of `run/outbox.Kept`."""
    account = engine.account
    fills: list[RecordFill] = []
    for item in kept:
        match item:
            case PlaceOrder():
                account.sent(item, mono)
            case ModifyOrder() | CancelOrder():
                # Nobody amends what they have not heard of, but the word may not have been kept; nor may the
                # order itself (an exit goes even when the disk is full): then the book will tell.
                if item.tag in account.orders and account.was_alive(item.tag, item.order_id):
                    account.sent(item, mono)
            case SendOutcome():
                account.answered(item)
            case OrderReport():
                report = account.named(item)
                if engine.is_own(report.tag) and report.instrument in engine.desks:
                    if report.tag not in account.orders:
                        account.adopt(report, mono)
                    account.heard(report)
            case RecordFill():
                fills.append(item)
            case Operator():
                engine.remember(item)
            case EntriesEnded():
                engine.forbid_entries(item.reason)
    under_way = len(account.open)
    engine.restored(mono)
    return Recovered(tuple(fills), len(account.orders), under_way)
