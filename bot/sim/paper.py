"""Paper trading: the Broker port over the simulated exchange, in this process, fed by the market as it comes.

It knows the exchange, the port and the clock; it must never know a network, a token or a file. What it says
comes as the broker's would: an answer to the call first, then words about the order as they happen. A feed
that is down leaves the last known book standing: an order sent then fills at those prices, or not at all.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from bot.core.commands import CancelOrder, ModifyOrder, PlaceOrder, RecordFill
from bot.core.events import (
    Act,
    BrokerSnapshot,
    Event,
    OrderReport,
    OrderStreamUp,
    OrderType,
    Outcome,
    PositionRow,
    Quote,
    SendOutcome,
    Side,
    Tick,
)
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity, ist
from bot.run.ports import Clock, OrderCommand, Sink
from bot.sim.exchange import SimExchange
from bot.sim.orders import CANCELLED, COMPLETE, OrderRequest, OrderRow, SimReply, SimTrade

STARTED_ANEW: Final = "the paper exchange was started anew; what rested there is gone"


class PaperTrade(NamedTuple):
    """One execution, as the day's trade list would have it. `price` in paise."""

    order_id: str
    trade_id: str
    quantity: Quantity
    price: Paise
    exchange_time: str


class PaperBroker:
    """One account at the simulated exchange. `hear` the market, or nothing ever fills."""

    def __init__(self, clock: Clock, sink: Sink, exchange: SimExchange) -> None:
        self._clock = clock
        self._sink = sink
        self._exchange = exchange
        self._stirred = asyncio.Event()
        self._before: tuple[OrderReport, ...] = ()  # orders of an earlier start today
        self._ltp: dict[InstrumentKey, Paise] = {}
        self._waits_for: Nanos | None = None  # what `run` sleeps to

    # ---- the market ----------------------------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """A word of the live feed: the book moves, stops trigger, resting orders match."""
        match event:
            case Tick():
                self._ltp[event.instrument] = event.ltp
                self._show(event, event.ltp, event.ltq)
            case Quote():
                self._show(event, self._ltp.get(event.instrument, 0), 0)

    def _show(self, event: Tick | Quote, ltp: Paise, ltq: Quantity) -> None:
        self._exchange.market(
            event.at,
            event.instrument,
            ltp=ltp,
            ltq=ltq,
            bid=event.bid,
            ask=event.ask,
            bid_quantity=event.bid_quantity,
            ask_quantity=event.ask_quantity,
        )
        self._speak()
        if self._exchange.due_at() != self._waits_for:
            self._stirred.set()

    # ---- the port ------------------------------------------------------------------------------------

    async def send(self, command: OrderCommand) -> None:
        """One call, one SendOutcome, at once; what becomes of the order is told by `run`."""
        now, exchange = self._clock.now(), self._exchange
        match command:
            case PlaceOrder():
                act, reply = Act.PLACE, exchange.place(now, _request(command))
            case ModifyOrder():
                act = Act.MODIFY
                reply = exchange.modify(
                    now,
                    command.order_id,
                    quantity=command.quantity,
                    order_type=command.order_type.value,
                    price=command.price,
                    trigger_price=command.trigger_price,
                )
            case CancelOrder():
                act, reply = Act.CANCEL, exchange.cancel(now, command.order_id)
        self._sink(self._outcome(command, act, reply))
        self._speak()
        self._stirred.set()

    async def ask_snapshot(self) -> None:
        """The book and the positions, as they are."""
        self._exchange.advance(self._clock.now())
        self._speak()
        at, mono = self._clock.now(), self._clock.monotonic()
        orders = (*self._before, *(_report(row, at, mono) for row in self._exchange.orders()))
        positions = tuple(
            PositionRow(row.instrument, row.product, row.quantity) for row in self._exchange.positions()
        )
        self._sink(BrokerSnapshot(at, mono, mono, orders, positions))

    async def run(self) -> None:
        """Carry out what is due when it is due, until cancelled. There is no stream that could be lost."""
        self._sink(OrderStreamUp(self._clock.now(), self._clock.monotonic()))
        while True:
            await self._due_or_stirred()
            self._exchange.advance(self._clock.now())
            self._speak()

    async def trades(self) -> list[PaperTrade]:
        """The day's executions, those carried in included."""
        return [
            PaperTrade(trade.order_id, trade.trade_id, trade.quantity, trade.price, _text(trade.at))
            for trade in self._exchange.trades()
        ]

    # ---- a restart -----------------------------------------------------------------------------------

    def resume(self, kept: Iterable[object]) -> None:
        """Take up the account where the journal left it. Resting orders died with the process: the book has
        them as cancelled; one that never got an id was never here. `kept`: decoded records, oldest first.
        """
        placed: dict[str, PlaceOrder] = {}
        ids: dict[str, str] = {}
        fills: list[RecordFill] = []
        for item in kept:
            match item:
                case PlaceOrder():
                    placed[item.tag] = item
                case SendOutcome() | OrderReport() if item.order_id:
                    ids[item.tag] = item.order_id
                case RecordFill():
                    ids[item.tag] = item.order_id
                    fills.append(item)
        self._exchange.carry_in(
            trade for number, fill in enumerate(fills) for trade in _carried(number, fill)
        )
        at, mono = self._clock.now(), self._clock.monotonic()
        self._before = tuple(
            _final(order, ids[tag], [fill for fill in fills if fill.tag == tag], at, mono)
            for tag, order in placed.items()
            if tag in ids
        )

    # ---- inside --------------------------------------------------------------------------------------

    def _outcome(self, command: OrderCommand, act: Act, reply: SimReply) -> SendOutcome:
        order_id = reply.order_id or getattr(command, "order_id", "")
        outcome = Outcome.ACCEPTED if reply.ok else Outcome.REFUSED
        at, mono = self._clock.now(), self._clock.monotonic()
        return SendOutcome(at, mono, command.tag, act, outcome, order_id, reply.code, reply.message)

    def _speak(self) -> None:
        for row in self._exchange.take_updates():
            self._sink(_report(row, self._clock.now(), self._clock.monotonic()))

    async def _due_or_stirred(self) -> None:
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._stirred.wait())]
        self._waits_for = due = self._exchange.due_at()
        if due is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep_until(due)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._stirred.clear()


def _request(order: PlaceOrder) -> OrderRequest:
    return OrderRequest(
        instrument=order.instrument,
        side=order.side.value,
        order_type=order.order_type.value,
        product=order.product,
        validity="DAY",
        quantity=order.quantity,
        price=order.price,
        trigger_price=order.trigger_price,
        tag=order.tag,
    )


def _report(row: OrderRow, at: Nanos, mono: Nanos) -> OrderReport:
    return OrderReport(
        at=at,
        mono=mono,
        tag=row.tag,
        order_id=row.order_id,
        exchange_order_id=row.exchange_order_id,
        instrument=row.instrument,
        side=Side(row.side),
        order_type=row.order_type,
        status=row.status,
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
        filled_value=row.filled_value,
        price=row.price,
        trigger_price=row.trigger_price,
        message=row.status_message,
        exchange_time=_text(row.exchange_time) if row.exchange_time else "",
    )


def _final(order: PlaceOrder, order_id: str, fills: list[RecordFill], at: Nanos, mono: Nanos) -> OrderReport:
    filled = sum(fill.quantity for fill in fills)
    whole = filled >= order.quantity
    return OrderReport(
        at=at,
        mono=mono,
        tag=order.tag,
        order_id=order_id,
        exchange_order_id=fills[-1].exchange_order_id if fills else "",
        instrument=order.instrument,
        side=order.side,
        order_type=OrderType(order.order_type).value,
        status=COMPLETE if whole else CANCELLED,
        quantity=order.quantity,
        filled_quantity=filled,
        filled_value=sum(fill.value for fill in fills),
        price=order.price,
        trigger_price=order.trigger_price,
        message="" if whole else STARTED_ANEW,
        exchange_time=fills[-1].exchange_time if fills else "",
    )


def _carried(number: int, fill: RecordFill) -> list[SimTrade]:
    """A fill as trades whose money is exactly its own: a value that does not divide takes two prices."""
    price, over = divmod(fill.value, fill.quantity)
    parts = ((fill.quantity - over, price), (over, price + 1))
    return [
        SimTrade(
            trade_id=f"carried-{number}-{part}",
            order_id=fill.order_id,
            exchange_order_id=fill.exchange_order_id,
            instrument=fill.instrument,
            side=fill.side.value,
            quantity=quantity,
            price=each,
            at=fill.at,
            product=fill.product,
            tag=fill.tag,
        )
        for part, (quantity, each) in enumerate(parts)
        if quantity
    ]


def _text(at: Nanos) -> str:
    """As the broker writes its times."""
    return f"{ist(at):%Y-%m-%d %H:%M:%S}"
