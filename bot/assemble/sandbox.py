"""Sandbox mode: paper trading, and each order also posted to the broker's sandbox.

The simulated exchange is the truth; the sandbox's answers are logged and counted, never believed. It joins
the two and decides nothing.
"""

import asyncio
from collections import Counter, defaultdict
from typing import Any

from bot.core.commands import CancelOrder, ModifyOrder, PlaceOrder
from bot.core.events import Act
from bot.run.ports import Clock, OrderCommand, Sink
from bot.sim.exchange import SimExchange
from bot.sim.paper import PaperBroker
from bot.upstox.rest import UpstoxRest
from bot.upstox.wire_answers import CallResult

NO_ORDER = "no_order"  # an amend of an order that the sandbox never took: not posted


class SandboxBroker(PaperBroker):
    """The Broker port. `answers` counts what the sandbox said, by act and outcome."""

    def __init__(
        self, clock: Clock, sink: Sink, exchange: SimExchange, sandbox: UpstoxRest, log: Any
    ) -> None:
        """`sandbox`: order calls of the sandbox's host with its token; its owner's to close."""
        super().__init__(clock, sink, exchange)
        self._sandbox = sandbox
        self._log = log
        self._ids: dict[str, str] = {}  # tag → the sandbox's order id
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # a tag's posts, in order
        self.answers: Counter[tuple[str, str]] = Counter()

    async def send(self, command: OrderCommand) -> None:
        """The exchange's word first; then the same request to the sandbox, once, whatever it answers."""
        await super().send(command)
        async with self._turns[command.tag]:
            act, result = await self._post(command)
        if result is None:
            self.answers[act.value, NO_ORDER] += 1
            self._log.info("sandbox_answer", act=act.value, tag=command.tag, outcome=NO_ORDER)
            return
        self.answers[act.value, result.outcome.value] += 1
        self._log.info(
            "sandbox_answer",
            act=act.value,
            tag=command.tag,
            outcome=result.outcome.value,
            order_id=",".join(result.order_ids),
            error=result.code,
            message=result.message,
        )

    async def _post(self, command: OrderCommand) -> tuple[Act, CallResult | None]:
        match command:
            case PlaceOrder():
                result = await self._sandbox.place(command)
                if result.order_ids:
                    self._ids[command.tag] = result.order_ids[0]
                return Act.PLACE, result
            case ModifyOrder():
                theirs = self._ids.get(command.tag)
                if theirs is None:
                    return Act.MODIFY, None
                return Act.MODIFY, await self._sandbox.modify(command._replace(order_id=theirs))
            case CancelOrder():
                theirs = self._ids.get(command.tag)
                if theirs is None:
                    return Act.CANCEL, None
                return Act.CANCEL, await self._sandbox.cancel(command._replace(order_id=theirs))
