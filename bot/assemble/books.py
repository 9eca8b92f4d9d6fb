"""The end of the day: do our books equal the broker's trade list?

Σ quantity and Σ money must agree, order by order, in both directions. Where an order's fills match its trades
one to one, the trade ids and the exchange's times go into the CSV.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from bot.core.commands import RecordFill
from bot.core.units import Paise, Quantity
from bot.storage.trades import TradeRow


class Trade(Protocol):
    """One execution as a trade list has it, the broker's or the simulated exchange's."""

    @property
    def order_id(self) -> str: ...
    @property
    def trade_id(self) -> str: ...
    @property
    def quantity(self) -> Quantity: ...
    @property
    def price(self) -> Paise: ...
    @property
    def exchange_time(self) -> str: ...


class Books(NamedTuple):
    """The comparison. `differences` is empty when the books agree."""

    differences: tuple[str, ...]
    trade_ids: dict[int, Trade]  # index of a fill → its trade, where one to one

    @property
    def reconciled(self) -> bool:
        return not self.differences


def compare(fills: Sequence[RecordFill], trades: Sequence[Trade], is_ours: Callable[[str], bool]) -> Books:
    """`is_ours` tells our order ids from others': trades of other hands are none of our business."""
    ours: dict[str, list[int]] = defaultdict(list)
    for index, fill in enumerate(fills):
        ours[fill.order_id].append(index)
    theirs: dict[str, list[Trade]] = defaultdict(list)
    for trade in trades:
        if is_ours(trade.order_id):
            theirs[trade.order_id].append(trade)
    differences = []
    ids: dict[int, Trade] = {}
    for order_id in sorted(ours.keys() | theirs.keys()):
        mine = [fills[index] for index in ours[order_id]]
        rows = theirs[order_id]
        booked = (sum(f.quantity for f in mine), sum(f.value for f in mine))
        traded = (sum(t.quantity for t in rows), sum(t.quantity * t.price for t in rows))
        if booked != traded:
            differences.append(
                f"order {order_id}: our books say {booked[0]} units for {booked[1]} paise, "
                f"the broker {traded[0]} for {traded[1]}"
            )
        elif [f.quantity for f in mine] == [t.quantity for t in rows]:
            ids.update(zip(ours[order_id], rows, strict=True))
    return Books(tuple(differences), ids)


def with_trade_ids(rows: Sequence[TradeRow], books: Books | None) -> list[TradeRow]:
    """The rows, with the exchange's trade ids and times where the broker's list tells them."""
    if books is None:
        return list(rows)
    named = []
    for index, row in enumerate(rows):
        trade = books.trade_ids.get(index)
        if trade is not None:
            fill = row.fill._replace(exchange_time=trade.exchange_time)
            row = row._replace(trade_id=trade.trade_id, fill=fill)
        named.append(row)
    return named
