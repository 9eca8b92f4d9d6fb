"""The twin: Upstox on loopback, for any Upstox client, over a simulated exchange and a market that is played.

Two listeners, one for REST and one for WebSockets; all time comes through the Clock port, so the same twin
runs on the wall clock (`bot twin`) and in lockstep with the bot (`bot demo`). It must never know the bot.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from bot.core.rules import Contract
from bot.core.units import SECOND, InstrumentKey, Nanos
from bot.run.live import WallClock
from bot.run.ports import Clock
from bot.sim.exchange import SimExchange
from bot.sim.orders import ExchangeRules, OrderRow
from bot.twin import rows
from bot.twin.access import Stream
from bot.twin.faults import STREAM_OF, Fault, FaultKind, Faults
from bot.twin.floor import Floor
from bot.twin.gate import Gate
from bot.twin.hours import Hours
from bot.twin.login import App
from bot.twin.market_source import MarketEvent
from bot.twin.rest_app import rest_app
from bot.twin.sockets import Sockets
from bot.twin.tls import Certificate

HOST: Final = "127.0.0.1"
TOKEN: Final = "twin-token"  # noqa: S105  opens nothing but the twin
KEEP_ALIVE_SECONDS: Final = 86_400  # a timer a connection; on virtual time a day is nothing
LAST_WORDS: Final[Nanos] = 10 * SECOND  # after the close: clients hear the end of it, and read the books
_CATCH_UP_BEFORE_YIELD: Final = 500


class Addresses(NamedTuple):
    """Where the twin listens. `rest` is the base of all paths; both ports redirect the entry addresses."""

    rest: str
    streams: str
    rest_port: int
    stream_port: int


class Twin:
    """`market` must be in order of time. `faults` lie on the clock; those of the past are skipped. `holidays`
    are rows as the broker lists them; with `tls` both listeners speak it; `app` is who may log in.

    `start` listens, `run` plays the market until the close, `stop` hangs up. Reads and order calls work from
    `start` on; what becomes of orders is told while `run` runs.
    """

    def __init__(
        self,
        clock: Clock,
        contracts: Mapping[InstrumentKey, Contract],
        market: Iterable[MarketEvent],
        *,
        opens_at: Nanos,
        closes_at: Nanos,
        seed: int = 0,
        faults: Sequence[Fault] = (),
        rules: ExchangeRules = ExchangeRules(),  # noqa: B008  frozen
        token: str = TOKEN,
        holidays: Sequence[Mapping[str, Any]] = (),
        rest_port: int = 0,
        stream_port: int = 0,
        tls: Certificate | None = None,
        app: App = App(),  # noqa: B008  immutable
    ) -> None:
        hours = Hours(opens_at, closes_at, holidays)
        self.token = token
        self._clock, self._market, self._closes_at = clock, market, closes_at
        self._floor = Floor(
            clock, contracts, rules, hours, Faults(faults), (opens_at, closes_at), seed, token, app
        )
        self._sockets = Sockets(self._floor)
        self._ports, self._tls = (rest_port, stream_port), tls
        self._http: uvicorn.Server | None = None
        self._filled: dict[str, int] = {}  # order → quantity last told of
        self.http_protocol: Any = "h11"  # as uvicorn takes it: a name or a class
        self.addresses = Addresses("", "", 0, 0)

    @property
    def exchange(self) -> SimExchange:
        """The judge of what really happened: its orders, trades and positions."""
        return self._floor.exchange

    @property
    def refused(self) -> dict[str, int]:
        """How often the twin said no by itself, by code or by the order's last word; faults do not count."""
        return dict(self._floor.refused)

    @property
    def links(self) -> dict[Stream, int]:
        """How many clients are connected, by stream."""
        links = [link.ticket.stream for link in self._sockets.links]
        return {stream: links.count(stream) for stream in Stream}

    @property
    def _context(self) -> ssl.SSLContext | None:
        return self._tls.context if self._tls else None

    # ---- life ----------------------------------------------------------------------------------------

    async def start(self) -> Addresses:
        """Listen. Raises OSError when a port is taken."""
        rest_port, stream_port = self._ports
        bound = _listener(rest_port)
        try:
            stream_port = await self._sockets.start(HOST, stream_port, self._context)
        except OSError:
            bound.close()
            raise
        gate = Gate(self._rest(), self._clock, self._hang_up)
        config = uvicorn.Config(
            gate,
            interface="asgi3",
            http=self.http_protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            date_header=False,  # its own would be of another time; the gate says the twin's
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        # An upgrade asked of this port is answered with a redirect; uvicorn would warn of a missing library.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config.load()
        config.ssl = self._context
        # Not `serve()`: its 0.1 s ticker would make the lockstep clock crawl, and signals are not ours.
        server = self._http = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[bound])
        rest_port = bound.getsockname()[1]
        s = "s" if self._tls else ""
        self.addresses = Addresses(
            f"http{s}://{HOST}:{rest_port}", f"ws{s}://{HOST}:{stream_port}", rest_port, stream_port
        )
        return self.addresses

    async def run(self) -> None:
        """Play the market from now to the close and a little longer."""
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._carry_words(), name="twin words"),
                group.create_task(self._tell_hours(), name="twin hours"),
                group.create_task(self._play_script(), name="twin faults"),
            ]
            await self._play_market()
            await self._clock.sleep_until(self._closes_at + LAST_WORDS)
            for task in others:
                task.cancel()
        await self._speak()

    async def stop(self) -> None:
        """Hang up on everybody."""
        await self._sockets.stop()
        server = self._http
        if server is None:
            return
        self._http = None
        for errand in self._floor.errands:
            errand.cancel()
        for listener in server.servers:
            listener.close()
        for task in list(server.server_state.tasks):
            task.cancel()  # answers that nobody will hear
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        # Not `shutdown()`: it sleeps, and waits for clients to hang up by themselves.
        while server.server_state.connections:
            await asyncio.sleep(0)
        for listener in server.servers:
            await listener.wait_closed()

    async def inject(self, fault: Fault) -> None:
        """Let a fault happen now, whatever its `at`."""
        floor, now = self._floor, self._clock.now()
        until = now + round(fault.seconds * SECOND)
        match fault.kind:
            case FaultKind.DROP_MARKET | FaultKind.DROP_PORTFOLIO:
                async with self._sockets.turn:
                    await self._sockets.drop(STREAM_OF[fault.kind])
            case FaultKind.HALF_OPEN_MARKET | FaultKind.HALF_OPEN_PORTFOLIO:
                # Nobody can count what is lost on such a line: in lockstep time would stop for ever.
                assert isinstance(self._clock, WallClock), "a half-open socket needs the wall clock"
                async with self._sockets.turn:
                    self._sockets.deafen(STREAM_OF[fault.kind])
            case FaultKind.STALL_MARKET:
                self._sockets.stall(until)
            case FaultKind.REJECT:
                message = fault.message or "RMS:Blocked by a script"
                floor.injected[message] += 1
                floor.exchange.refuse_next(fault.act, message)
            case _:
                floor.faults.arm(fault, until)

    def _rest(self) -> ASGIApp:
        """What answers REST calls; a simulated day puts its troubles around it."""
        return rest_app(self._floor, self._sockets.address, self.inject)

    def stir(self) -> None:
        """Something was asked of `exchange` past the wire (the owner's own hand): tell what comes of it."""
        self._floor.stir()

    # ---- what goes on --------------------------------------------------------------------------------

    async def _play_market(self) -> None:
        clock, began, behind = self._clock, self._clock.now(), 0
        for event in self._market:
            if event.at >= self._closes_at:
                break
            if event.at < began:  # a start in the middle of the day: known, not told
                self._floor.take(event)
                behind += 1
                if behind % _CATCH_UP_BEFORE_YIELD == 0:
                    await asyncio.sleep(0)
                continue
            if event.at > clock.now():
                await clock.sleep_until(event.at)
            else:
                await asyncio.sleep(0)
            async with self._sockets.turn:
                await self._sockets.show(self._floor.take(event))
                await self._tell(self.exchange.take_updates())

    async def _carry_words(self) -> None:
        """Run what is due at the exchange when it is due, and tell what came of it."""
        stirred, exchange, clock = self._floor.stirred, self.exchange, self._clock
        while True:
            due = exchange.due_at()
            if due is None:
                await stirred.wait()
            else:
                await _first(clock.sleep_until(due), stirred.wait())
            stirred.clear()
            exchange.advance(clock.now())
            await self._speak()

    async def _speak(self) -> None:
        async with self._sockets.turn:
            await self._tell(self.exchange.take_updates())

    async def _tell(self, updates: list[OrderRow]) -> None:
        for row in updates:
            self._floor.note_word(row)
            contract = self._floor.contracts[row.instrument]
            await self._sockets.tell_portfolio(rows.order_update(row, contract))
            if row.filled_quantity != self._filled.get(row.order_id, 0):
                self._filled[row.order_id] = row.filled_quantity
                for position in self.exchange.positions():
                    if (position.instrument, position.product) == (row.instrument, row.product):
                        await self._sockets.tell_portfolio(rows.position_update(position))

    async def _tell_hours(self) -> None:
        now = self._clock.now()
        for at in self._floor.hours.changes():
            if at > now:
                await self._clock.sleep_until(at)
                async with self._sockets.turn:
                    await self._sockets.tell_market_state()

    async def _play_script(self) -> None:
        now = self._clock.now()
        for fault in self._floor.faults.script:
            if fault.at >= now:
                await self._clock.sleep_until(fault.at)
                await self.inject(fault)

    def _hang_up(self, client: tuple[str, int]) -> None:
        assert self._http is not None
        for connection in list(self._http.server_state.connections):
            if getattr(connection, "client", None) == client:
                connection.transport.abort()


async def _first(*waits: Any) -> None:
    """Until one of them is over; the others are given up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _listener(port: int) -> socket.socket:
    """A listening socket that says it is TCP: asyncio turns Nagle's algorithm off only then, and with it on
    an answer in two pieces waits 40 ms for an acknowledgement. Raises OSError when the port is taken.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound
