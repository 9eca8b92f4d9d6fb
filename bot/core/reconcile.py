"""The broker's truth against ours. The broker is right about quantities, our journal about ownership.

Works on the union of both sides: rows of ours we did not know are adopted, orders of ours the book lacks are
counted as missing (never concluded at once: a book lags 0–5 s), foreign rows are left alone.
"""

from collections.abc import Callable
from typing import NamedTuple

from bot.core.account import Account
from bot.core.books import Order
from bot.core.commands import RecordFill
from bot.core.desk import Desk
from bot.core.events import BrokerSnapshot, OrderReport, Side
from bot.core.orders import State


class Findings(NamedTuple):
    """What a snapshot taught us."""

    fills: tuple[RecordFill, ...]
    heard: tuple[Order, ...]  # orders of ours that were open before
    anomalies: tuple[str, ...]
    adopted: tuple[str, ...]  # tags
    foreign: tuple[OrderReport, ...]  # rows of other hands with a fill that we had not heard of
    mismatches: tuple[str, ...]  # instruments whose position differs, confirmed by a second reading


def reconcile(
    snapshot: BrokerSnapshot, account: Account, desks: dict[str, Desk], is_own: Callable[[str], bool]
) -> Findings:
    """Bring the account up to the snapshot. `is_own` tells our tags from others'."""
    fills: list[RecordFill] = []
    known: list[Order] = []
    anomalies: list[str] = []
    adopted: list[str] = []
    foreign: list[OrderReport] = []
    seen: set[str] = set()
    orders = account.orders
    for word in snapshot.orders:
        told = orders.get(word.tag)
        if told is not None and told.told is word:
            continue  # most of a long day's book: orders that are over, read again as they were
        row = account.named(word)
        if row.instrument not in desks:
            continue
        if not is_own(row.tag):
            if heard_foreign(desks[row.instrument], row):
                foreign.append(row)
            continue
        seen.add(row.tag)
        if row.tag not in orders:
            account.adopt(row, snapshot.mono)
            adopted.append(row.tag)
        if not orders[row.tag].final:
            known.append(orders[row.tag])
        heard = account.heard(row)
        if heard.fill is not None:
            fills.append(heard.fill)
        if heard.anomaly:
            anomalies.append(f"{row.tag}: {heard.anomaly}")
    for tag, order in account.open.items():
        if tag in seen or order.asked_mono >= snapshot.asked_mono:
            continue
        order.missing += 1
        if order.state is not State.UNKNOWN and order.missing == 2:
            anomalies.append(f"{tag}: {order.state} with us, but not in the broker's book")
    mismatches = tuple(key for key, desk in desks.items() if _differs(key, desk, snapshot, account))
    return Findings(tuple(fills), tuple(known), tuple(anomalies), tuple(adopted), tuple(foreign), mismatches)


def heard_foreign(desk: Desk, report: OrderReport) -> bool:
    """Another hand's order in our instrument. True when it filled and we had not heard of that fill."""
    if report.filled_quantity <= desk.others_filled.get(report.order_id, 0):
        return False
    desk.others_filled[report.order_id] = report.filled_quantity
    desk.others_sold = desk.others_sold or report.side is Side.SELL
    return True


def _differs(key: str, desk: Desk, snapshot: BrokerSnapshot, account: Account) -> bool:
    """Compare positions; True when a difference is confirmed just now. A reading that began before our last
    fill, or while an order is out, proves nothing; and only the same difference twice in a row counts.
    """
    theirs = sum(row.quantity for row in snapshot.positions if row.instrument == key)
    if desk.filled_mono > snapshot.asked_mono:
        return False
    desk.broker_position, desk.read_mono = theirs, snapshot.asked_mono
    before, desk.difference = desk.difference, theirs - account.position(key)
    if desk.difference == 0:
        desk.mismatch = 0
        return False
    if before != desk.difference or any(not order.waits for order in account.open_orders(key)):
        return False
    news = desk.mismatch != desk.difference
    desk.mismatch = desk.difference
    return news
