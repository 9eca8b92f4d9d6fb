"""Where a mode's orders go: the broker itself, or the simulated exchange behind the same port.

It chooses and joins; what an order means is decided elsewhere.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bot.assemble.books import Trade
from bot.assemble.sandbox import SandboxBroker
from bot.core.events import Event
from bot.core.rules import Contract
from bot.core.session import Session
from bot.run.ports import Broker, Clock, Sink
from bot.sim.exchange import SimExchange
from bot.sim.orders import ExchangeRules
from bot.sim.paper import PaperBroker
from bot.upstox.auth import Token
from bot.upstox.broker import UpstoxBroker
from bot.upstox.rest import Hosts, UpstoxRest

PAPER_MODES = frozenset({"paper", "sandbox"})  # live prices, simulated orders


class DayBroker(Broker, Protocol):
    """The port, and the day's trade list for closing the books."""

    async def trades(self) -> Sequence[Trade] | None:
        """None when it could not be read."""
        ...


@dataclass(frozen=True)
class Sandbox:
    """The sandbox's host and its own token."""

    host: str
    token: Token


@dataclass
class OrderSide:
    """A day's order side. `market` hears every word of the feed, before anybody thinks about it."""

    broker: DayBroker
    market: Callable[[Event], None] | None = None
    lines: list[UpstoxRest] = field(default_factory=list)  # of its own, to be closed with the day

    def listening(self, inbox: Sink) -> Sink:
        """The feed's sink: the inbox and, behind it, a simulated exchange that sees the same market."""
        market = self.market
        if market is None:
            return inbox

        def put(event: Event) -> None:
            inbox(event)
            market(event)

        return put

    async def aclose(self) -> None:
        for line in self.lines:
            await line.aclose()


def order_side(
    mode: str,
    clock: Clock,
    sink: Sink,
    rest: UpstoxRest,
    *,
    session: Session,
    contracts: Iterable[Contract],
    kept: Iterable[object],
    jitter: Callable[[], float],
    log: Any,
    sandbox: Sandbox | None = None,
) -> OrderSide:
    """`kept`: the journal's decoded records; the simulated exchange takes up the account from them."""
    if mode not in PAPER_MODES:
        return OrderSide(UpstoxBroker(clock, sink, rest, jitter=jitter))
    exchange = SimExchange(
        {contract.key: contract for contract in contracts},
        random.Random(jitter()),  # noqa: S311 - how long an order takes, no secret
        ExchangeRules(),
        session.open_at,
        session.close_at,
    )
    if mode == "paper":
        paper = PaperBroker(clock, sink, exchange)
        paper.resume(kept)
        return OrderSide(paper, paper.hear)
    assert sandbox is not None, "sandbox mode without the sandbox's host and token"
    line = UpstoxRest(clock, sandbox.token, Hosts(sandbox.host, sandbox.host))
    both = SandboxBroker(clock, sink, exchange, line, log)
    both.resume(kept)
    return OrderSide(both, both.hear, [line])


_PORTS: tuple[type[DayBroker], ...] = (UpstoxBroker, PaperBroker, SandboxBroker)  # checked by mypy
