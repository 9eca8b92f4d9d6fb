"""Where the bot's orders go when the broker is Upstox: commands out by REST, its words in by REST and stream.

Fits run.ports.Broker. It knows no strategy and keeps no state of orders: what the broker said goes into the
sink as it was said, and what it means is decided in core. It must never answer a command twice or not at
all, or take a failed read for an empty book.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from bot.core.commands import CancelOrder, ModifyOrder, PlaceOrder
from bot.core.events import (
    Act,
    BrokerSnapshot,
    OrderReport,
    OrderStreamDown,
    OrderStreamUp,
    SendOutcome,
    SnapshotFailed,
)
from bot.run.ports import Clock, OrderCommand, Sink
from bot.upstox.reconnect import DownReason, Limits
from bot.upstox.rest import UpstoxRest
from bot.upstox.stream import Send, Stream
from bot.upstox.wire_answers import ReadFailed
from bot.upstox.wire_orders import TradeRow, WireError, stream_update

# What the stream may say besides orders (upstox §4.2); anything else is counted as "other".
_OTHER_UPDATES: Final = frozenset({"position", "holding", "gtt_order"})


class UpstoxBroker:
    """One account."""

    def __init__(
        self,
        clock: Clock,
        sink: Sink,
        rest: UpstoxRest,
        *,
        jitter: Callable[[], float],
        limits: Limits = Limits(),  # noqa: B008 - immutable
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`jitter`, `limits`, `trust` are the order stream's (stream.py). `rest` is its owner's to close."""
        self._clock = clock
        self._sink = sink
        self._rest = rest
        self._listener = _Listener(clock, sink)
        self.stream: Final = Stream(
            clock, rest.authorize_portfolio, self._listener, jitter=jitter, limits=limits, trust=trust
        )
        self._reading = asyncio.Lock()
        self._asked = 0
        self._answered = 0

    @property
    def updates(self) -> Counter[str]:
        """Messages of the stream: order, position, holding, gtt_order, other; `garbled` ones were dropped."""
        return self._listener.updates

    async def run(self) -> None:
        """Listen to the order stream until cancelled.

        Silence is normal there, so its watchdog stays unarmed; a half-open line is found by WebSocket pings.
        """
        await self.stream.run()

    async def send(self, command: OrderCommand) -> None:
        """One request, one SendOutcome. Raises only for a command that must not be sent: our bug."""
        match command:
            case PlaceOrder():
                place = self._rest.exit_positions if command.closes else self._rest.place
                act, result = Act.PLACE, await place(command)
                order_id = result.order_ids[0] if result.order_ids else ""
            case ModifyOrder():
                act, result = Act.MODIFY, await self._rest.modify(command)
                order_id = command.order_id
            case CancelOrder():
                act, result = Act.CANCEL, await self._rest.cancel(command)
                order_id = command.order_id
        self._sink(
            SendOutcome(
                at=self._clock.now(),
                mono=self._clock.monotonic(),
                tag=command.tag,
                act=act,
                outcome=result.outcome,
                order_id=order_id,
                code=result.code,
                message=result.message,
            )
        )

    async def ask_snapshot(self) -> None:
        """Read order book and positions; one BrokerSnapshot or SnapshotFailed.

        Asks that come during a reading share the next one: the reading under way may have begun before what
        they want to know of.
        """
        self._asked += 1
        mine = self._asked
        async with self._reading:
            if self._answered >= mine:
                return
            covered = self._asked
            self._sink(await self._read())
            self._answered = covered

    async def trades(self) -> list[TradeRow] | None:
        """The day's executions, all of the account's; None when they could not be read."""
        try:
            return list(await self._rest.trades_for_day())
        except ReadFailed:
            return None

    async def _read(self) -> BrokerSnapshot | SnapshotFailed:
        asked = self._clock.monotonic()
        try:
            # One after the other, orders first: a fill between the two readings is then missing from the
            # orders, where it is looked for again, and not from the positions.
            orders = await self._rest.order_book()
            positions = await self._rest.positions()
        except ReadFailed as failure:
            reason = f"{failure.reason} {failure.code}".strip()
            return SnapshotFailed(self._clock.now(), self._clock.monotonic(), reason)
        return BrokerSnapshot(self._clock.now(), self._clock.monotonic(), asked, orders, positions)


class _Listener:
    """The order stream's handler: its messages as events, the rest counted."""

    def __init__(self, clock: Clock, sink: Sink) -> None:
        self._clock = clock
        self._sink = sink
        self.updates: Counter[str] = Counter()

    async def on_open(self, _send: Send) -> None:
        """Nothing to ask for: the kinds were chosen with the address. What was missed is in the book (§4)."""
        self._sink(OrderStreamUp(self._clock.now(), self._clock.monotonic()))

    def on_message(self, data: bytes | str) -> bool:
        try:
            update = stream_update(data, self._clock.now(), self._clock.monotonic())
        except WireError:  # dropped: the book is read again and again while an order lives
            self.updates["garbled"] += 1
            return False
        if isinstance(update, OrderReport):
            self.updates["order"] += 1
            self._sink(update)
        else:
            self.updates[update.kind if update.kind in _OTHER_UPDATES else "other"] += 1
        return True

    def on_closed(self, reason: DownReason) -> None:
        self._sink(OrderStreamDown(self._clock.now(), self._clock.monotonic(), reason))
