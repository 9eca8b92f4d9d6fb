"""A simulated exchange in a known market, for tests: fixed latency, a touch to set, words to read back."""

from datetime import date, time
from random import Random

from bot.core.rules import Contract
from bot.core.units import MILLISECOND, SECOND, ist_nanos
from bot.sim.exchange import ExchangeRules, OrderRequest, SimExchange

DAY = date(2026, 9, 16)
OPENS, CLOSES = ist_nanos(DAY, time(9, 15)), ist_nanos(DAY, time(15, 40))
NSE, BSE = "NSE_FO|51414", "BSE_FO|844001"
LOT = 35
CONTRACTS = {
    NSE: Contract(key=NSE, quantity=LOT, lot=LOT, tick=5, freeze_quantity=875, exchange="NSE"),
    BSE: Contract(key=BSE, quantity=20, lot=20, tick=5, freeze_quantity=1000, exchange="BSE"),
}
ACK, EXCHANGE = 0.040, 0.010  # seconds
SETTLED = 60 * MILLISECOND  # more than a place needs to reach the exchange


def limit(side="BUY", price=300_00, quantity=LOT, instrument=NSE, **more):
    return OrderRequest(
        instrument,
        side,
        "LIMIT",
        more.pop("product", "D"),
        more.pop("validity", "DAY"),
        quantity,
        price,
        0,
        **more,
    )


def stop(side="SELL", trigger=250_00, price=225_00, quantity=LOT, instrument=NSE, **more):
    return OrderRequest(instrument, side, "SL", "D", "DAY", quantity, price, trigger, **more)


def market(side="BUY", quantity=LOT, protection=-1.0, **more):
    return OrderRequest(NSE, side, "MARKET", "D", "DAY", quantity, 0, 0, market_protection=protection, **more)


class World:
    """NSE at 300.00 (299.80 / 300.00, 350 each) ten seconds after the open, unless told otherwise."""

    def __init__(self, *, at=OPENS + 10 * SECOND, quoted=True, seed=1, **rules):
        rules = {"ack_seconds": (ACK, ACK), "exchange_seconds": (EXCHANGE, EXCHANGE)} | rules
        self.exchange = SimExchange(CONTRACTS, Random(seed), ExchangeRules(**rules), OPENS, CLOSES)
        self.at = at
        if quoted:
            self.show(300_00)
            self.show(300_00, instrument=BSE)

    def show(
        self, ltp, *, bid=None, ask=None, size=10 * LOT, bid_size=None, ask_size=None, ltq=LOT, instrument=NSE
    ):
        self.exchange.market(
            self.at,
            instrument,
            ltp=ltp,
            ltq=ltq,
            bid=ltp - 20 if bid is None else bid,
            ask=ltp if ask is None else ask,
            bid_quantity=size if bid_size is None else bid_size,
            ask_quantity=size if ask_size is None else ask_size,
        )

    def wait(self, nanos=SETTLED):
        self.at += nanos
        self.exchange.advance(self.at)

    def place(self, request, *, settle=True):
        """Place what must be taken; its id."""
        reply = self.exchange.place(self.at, request)
        assert reply.ok, reply
        if settle:
            self.wait()
        return reply.order_id

    def refusal(self, request):
        """The (HTTP status, code) with which the call itself is refused; nothing may come of it."""
        before = self.exchange.orders()
        reply = self.exchange.place(self.at, request)
        assert not reply.ok
        assert reply.message
        assert not reply.order_id
        assert self.exchange.orders() == before
        return reply.http_status, reply.code

    def rejection(self, request):
        """The status_message with which an accepted order is rejected later."""
        row = self.exchange.order(self.place(request))
        assert row.status == "rejected"
        assert row.filled_quantity == 0
        return row.status_message

    def modify(self, order_id, *, settle=True, **changes):
        reply = self.exchange.modify(self.at, order_id, **changes)
        if settle:
            self.wait()
        return reply

    def cancel(self, order_id, *, settle=True):
        reply = self.exchange.cancel(self.at, order_id)
        if settle:
            self.wait()
        return reply

    def long(self, quantity=LOT, price=300_00):
        """Buy `quantity` NSE at the ask."""
        self.show(price, size=10_000)
        order_id = self.place(limit(quantity=quantity, price=price))
        assert self.exchange.order(order_id).status == "complete"
        return order_id

    def words(self, order_id):
        return [row.status for row in self.exchange.history(order_id)]

    def row(self, order_id):
        return self.exchange.order(order_id)

    def position(self, instrument=NSE):
        return sum(p.quantity for p in self.exchange.positions() if p.instrument == instrument)
