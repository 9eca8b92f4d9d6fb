"""The broker's truth against ours. The broker is right about quantities, our journal about ownership.

Works on the union of both sides: rows of ours we did not know are adopted, orders of ours the book lacks are
counted as missing (never concluded at once: a book lags 0–5 s), foreign rows are left alone.
"""

from collections.abc import Callable
from typing import NamedTuple

from bot.core.account import Account
from bot.core.commands import RecordFill
from bot.core.desk import Desk
from bot.core.events import BrokerSnapshot
from bot.core.orders import State


class Findings(NamedTuple):
    """What a snapshot taught us."""

    fills: tuple[RecordFill, ...]
    anomalies: tuple[str, ...]
    adopted: tuple[str, ...]  # tags
    mismatches: tuple[str, ...]  # instruments whose position differs, confirmed by a second reading


def reconcile(
    snapshot: BrokerSnapshot, account: Account, desks: dict[str, Desk], is_own: Callable[[str], bool]
) -> Findings:
    """Bring the account up to the snapshot. `is_own` tells our tags from others'."""
    fills: list[RecordFill] = []
    anomalies: list[str] = []
    adopted: list[str] = []
    seen: set[str] = set()
    for row in snapshot.orders:
        if not is_own(row.tag) or row.instrument not in desks:
            continue
        seen.add(row.tag)
        if row.tag not in account.orders:
            account.adopt(row, snapshot.mono)
            adopted.append(row.tag)
        heard = account.heard(row)
        if heard.fill is not None:
            fills.append(heard.fill)
        if heard.anomaly:
            anomalies.append(f"{row.tag}: {heard.anomaly}")
    for tag, order in account.open.items():
        if tag in seen or order.asked_mono >= snapshot.asked_mono:
            continue
        order.missing += 1
        if order.state is not State.UNKNOWN and order.missing > 1:
            anomalies.append(f"{tag}: {order.state} with us, but not in the broker's book")
    mismatches = tuple(key for key, desk in desks.items() if _differs(key, desk, snapshot, account))
    return Findings(tuple(fills), tuple(anomalies), tuple(adopted), mismatches)


def _differs(key: str, desk: Desk, snapshot: BrokerSnapshot, account: Account) -> bool:
    """Compare positions; True when a difference is confirmed just now. A reading that began before our last
    fill, or while an order is out, proves nothing; and only the same difference twice in a row counts.
    """
    theirs = sum(row.quantity for row in snapshot.positions if row.instrument == key)
    if desk.filled_mono > snapshot.asked_mono:
        return False
    desk.broker_position = theirs
    before, desk.difference = desk.difference, theirs - account.position(key)
    if desk.difference == 0:
        desk.mismatch = 0
        return False
    if any(account.open_orders(key)) or before != desk.difference:
        return False
    news = desk.mismatch != desk.difference
    desk.mismatch = desk.difference
    return news
