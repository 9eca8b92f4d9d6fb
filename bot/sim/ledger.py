"""The simulated account: trades, positions, money. The judge of what really happened.

Sums only what was traded; it does not know orders' states, and it can be asked nothing it was not told.
"""

from bot.core.units import InstrumentKey, Paise, Quantity
from bot.sim.orders import SimPosition, SimTrade


class Ledger:
    def __init__(self, funds: Paise) -> None:
        self._opening = funds
        self._trades: list[SimTrade] = []
        self._positions: dict[tuple[InstrumentKey, str], SimPosition] = {}
        self._spent: Paise = 0

    def book(self, trade: SimTrade) -> None:
        self._trades.append(trade)
        key = (trade.instrument, trade.product)
        row = self._positions.get(key) or SimPosition(trade.instrument, trade.product, 0, 0, 0, 0, 0)
        value = trade.quantity * trade.price
        if trade.side == "BUY":
            self._spent += value
            row = row._replace(
                quantity=row.quantity + trade.quantity,
                buy_quantity=row.buy_quantity + trade.quantity,
                buy_value=row.buy_value + value,
            )
        else:
            self._spent -= value
            row = row._replace(
                quantity=row.quantity - trade.quantity,
                sell_quantity=row.sell_quantity + trade.quantity,
                sell_value=row.sell_value + value,
            )
        self._positions[key] = row

    @property
    def cash(self) -> Paise:
        """Opening funds less premium paid, plus premium received; without charges."""
        return self._opening - self._spent

    def quantity(self, instrument: InstrumentKey, product: str) -> Quantity:
        row = self._positions.get((instrument, product))
        return row.quantity if row else 0

    def tagged_quantity(self, instrument: InstrumentKey, product: str, tag: str) -> Quantity:
        """Net of today's trades whose order carried `tag`."""
        return sum(
            t.quantity if t.side == "BUY" else -t.quantity
            for t in self._trades
            if t.tag == tag and t.instrument == instrument and t.product == product
        )

    def positions(self) -> tuple[SimPosition, ...]:
        """Every instrument and product traded today, in order of first trade; flat ones too."""
        return tuple(self._positions.values())

    def trades(self, order_id: str | None = None) -> tuple[SimTrade, ...]:
        return tuple(t for t in self._trades if order_id is None or t.order_id == order_id)
