"""One reconnecting WebSocket. reconnect.py decides, this performs; a handler gives the talk its meaning.

It must never know what is said on the line, keep an address for a second try, or put one into a text.

Counting for the lockstep clock: a message the other side sends, and the end of a connection the other side
makes, count as departed there and as arrived here, after the handler has dealt with them. From the dial until
our first words are taken in, around a ping, and around an end we make, this side counts both.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode

from bot.core.units import Nanos
from bot.run.ports import Clock
from bot.upstox.reconnect import (
    Action,
    Authorize,
    AuthorizeFailed,
    Dial,
    DownReason,
    Drop,
    Limits,
    Lost,
    Ping,
    Reconnect,
    State,
    WakeAt,
)

Send: TypeAlias = Callable[[bytes | str], Awaitable[None]]
Authorizer: TypeAlias = Callable[
    [], Awaitable[str]
]  # gives a fresh single-use address or raises AuthorizeFailed

USER_AGENT = "kalman-options-bot"
# Twice what a decoder takes: an oversized message is dropped there, a monstrous one ends the connection here.
MESSAGE_BYTES_MAX = 2 << 20
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 0.5  # reconnect.py counts on it
KEEPALIVE_SECONDS = 20.0  # loose (upstox §8.9): in session reconnect.py is the quicker watchdog
_OUR_COMPLAINTS = frozenset(
    {CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG, CloseCode.UNSUPPORTED_DATA}
)

# The library's log carries request lines, and those carry the address's secret code. This logger stands
# outside the tree, so that no setting makes it speak. Nothing is lost: what goes wrong is raised, too.
_silent = logging.Logger("websocket", level=logging.CRITICAL + 1)  # noqa: LOG001 - see above


class Unintelligible(Exception):
    """A handler's word: nothing sensible comes from this connection any more."""


class Handler(Protocol):
    """Who gives the talk its meaning."""

    async def on_open(self, send: Send) -> None:
        """A new connection: say what you want, all of it (nothing is remembered on the other side)."""
        ...

    def on_message(self, data: bytes | str) -> bool:
        """One message; whether it made sense, which proves the peer alive. Raises Unintelligible: give up."""
        ...

    def on_closed(self, reason: DownReason) -> None:
        """There is no connection (any more). Once an outage, and again when it comes to need a human."""
        ...


class Stream:
    """Keeps one WebSocket open and a handler fed, until cancelled."""

    def __init__(
        self,
        clock: Clock,
        authorize: Authorizer,
        handler: Handler,
        *,
        jitter: Callable[[], float],
        limits: Limits = Limits(),  # noqa: B008 - immutable
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`jitter`: numbers in [0, 1). `trust`: other roots than the usual ones; TLS is always verified."""
        self._clock = clock
        self._authorize = authorize
        self._handler = handler
        self._trust = trust
        self._machine = Reconnect(jitter, limits)
        self._socket: ClientConnection | None = None
        self._renewed = asyncio.Event()
        self.last_failure = ""  # in our words, without secrets

    @property
    def state(self) -> State:
        return self._machine.state

    @property
    def lost_total(self) -> dict[DownReason, int]:
        """How often a connection was lost, by reason."""
        return self._machine.lost_total

    @property
    def opened_total(self) -> int:
        return self._machine.opened_total

    def arm(self, on: bool) -> None:
        """In session (True) a silent peer is dropped; outside it may be silent for minutes."""
        self._machine.arm(on, self._clock.monotonic())

    def renew(self) -> None:
        """There is a new token: end a rest that waits for one. A connection that stands is left alone."""
        self._renewed.set()

    async def send(self, data: bytes | str) -> bool:
        """Say something more. False when there is no connection to say it on."""
        socket = self._socket
        if socket is None:
            return False
        try:
            with _under_way(self._clock):
                await socket.send(data)
                await self._ping(socket)
        except ConnectionClosed:
            return False
        return True

    async def run(self) -> None:
        """Until cancelled. An exception out of here is a mistake of ours, never the world's."""
        actions = self._machine.start()
        while True:
            (action,) = actions
            match action:
                case Authorize():
                    actions = await self._ask_address()
                case Dial(uri):
                    actions = await self._dial(uri)
                case WakeAt(mono):
                    actions = await self._rest(mono)
                case _:
                    raise AssertionError(f"{action} comes only to an open connection")

    async def _rest(self, mono: Nanos) -> tuple[Action, ...]:
        """Until the rest is over, or until there is a new token (which may have come during the last try)."""
        waits = [asyncio.ensure_future(self._sleep_to(mono)), asyncio.ensure_future(self._renewed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._renewed.is_set():
            self._renewed.clear()
            return self._machine.renewed()
        return self._machine.timer(self._clock.monotonic())

    async def _ask_address(self) -> tuple[Action, ...]:
        # Not counted here: the one who asks counts its own requests, and may first wait for its turn.
        try:
            uri = await self._authorize()
        except AuthorizeFailed as failure:
            self.last_failure = str(failure)
            return self._told(self._machine.failed(failure.status, self._clock.monotonic()))
        return self._machine.authorized(uri)

    async def _dial(self, uri: str) -> tuple[Action, ...]:
        """A connection's whole life."""
        with _under_way(self._clock):
            try:
                socket = await connect(uri, **self._options(uri))
            except InvalidStatus as refusal:
                return self._refused(f"HTTP {refusal.response.status_code}", refusal.response.status_code)
            except (OSError, WebSocketException) as failure:
                return self._refused(type(failure).__name__, None)
            _subscribe, wake = self._machine.opened(self._clock.monotonic())
            await self._introduce(socket)
        async with asyncio.TaskGroup() as tasks:
            self._socket = socket
            watchdog = tasks.create_task(self._watch(socket, wake, tasks))
            try:
                reason = await self._listen(socket, tasks)
            finally:
                self._socket = None
                watchdog.cancel()
        rest = self._told(self._machine.closed(reason, self._clock.monotonic()))
        self._clock.arrived()
        return rest

    def _options(self, uri: str) -> dict[str, Any]:
        encrypted = {"ssl": self._trust} if self._trust and uri.startswith("wss:") else {}
        return encrypted | {
            "user_agent_header": USER_AGENT,
            "proxy": None,
            "max_size": MESSAGE_BYTES_MAX,
            "open_timeout": OPEN_SECONDS,
            "close_timeout": CLOSE_SECONDS,
            "ping_interval": KEEPALIVE_SECONDS,
            "ping_timeout": KEEPALIVE_SECONDS,
            "logger": _silent,
        }

    async def _introduce(self, socket: ClientConnection) -> None:
        """Our first words. The ping behind them is answered when the other side has them."""
        try:
            await self._handler.on_open(socket.send)
            await self._ping(socket)
        except ConnectionClosed:
            pass  # gone already: `_listen` reads what came before the end, and finds the end
        except BaseException:
            socket.transport.abort()
            raise

    async def _listen(self, socket: ClientConnection, tasks: asyncio.TaskGroup) -> DownReason:
        """Feed the handler until the connection ends; why it ended, as far as can be seen from here."""
        try:
            async for message in socket:
                try:
                    if self._handler.on_message(message):
                        self._machine.frame(self._clock.monotonic())
                except Unintelligible:
                    self._drop(socket, self._machine.condemned("error"), tasks)
                finally:
                    self._clock.arrived()
        except ConnectionClosed as end:
            return _reason_of(end)
        except BaseException:  # told to stop, or a mistake of ours: leave politely
            await self._leave(socket)
            raise
        return "close"

    async def _watch(self, socket: ClientConnection, wake: Action, tasks: asyncio.TaskGroup) -> None:
        """Beside `_listen`: let time pass, and act on silence."""
        actions: tuple[Action, ...] = (wake,)
        while actions:
            for action in actions:
                match action:
                    case WakeAt(mono):
                        await self._sleep_to(mono)
                    case Ping():
                        await self._ping(socket)
                    case _:
                        self._drop(socket, actions, tasks)
            actions = self._machine.timer(self._clock.monotonic())

    def _drop(self, socket: ClientConnection, actions: tuple[Action, ...], tasks: asyncio.TaskGroup) -> None:
        """End the connection from our side, counted once; `_listen` reads on until it has ended."""
        for action in actions:
            self._clock.departed()
            if action == Drop(answers=True):
                tasks.create_task(socket.close())
            else:
                socket.transport.abort()

    async def _leave(self, socket: ClientConnection) -> None:
        with _under_way(self._clock):
            await socket.close()
        try:
            async for _unread in socket:
                self._clock.arrived()
        except ConnectionClosed:
            pass

    async def _ping(self, socket: ClientConnection) -> None:
        """Under way until answered or the connection ends. Behind a message, it says when that is there."""
        self._clock.departed()
        try:
            answered = await socket.ping()
        except ConnectionClosed:
            self._clock.arrived()
        else:
            asyncio.ensure_future(answered).add_done_callback(self._answered)

    def _answered(self, answered: "asyncio.Future[float]") -> None:
        if not answered.cancelled() and answered.exception() is None:
            self._machine.pong()
        self._clock.arrived()

    async def _sleep_to(self, mono: Nanos) -> None:
        await self._clock.sleep_until(self._clock.now() + mono - self._clock.monotonic())

    def _refused(self, what: str, status: int | None) -> tuple[Action, ...]:
        self.last_failure = f"handshake: {what}"
        return self._told(self._machine.failed(status, self._clock.monotonic()))

    def _told(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """Tell the handler of a loss, if there is one; the other actions."""
        for action in actions:
            if isinstance(action, Lost):
                self._handler.on_closed(action.reason)
        return tuple(action for action in actions if not isinstance(action, Lost))


@contextmanager
def _under_way(clock: Clock) -> Iterator[None]:
    clock.departed()
    try:
        yield
    finally:
        clock.arrived()


def _reason_of(end: ConnectionClosed) -> DownReason:
    """A close we began had a reason: the library's keepalive found nobody, or the protocol was broken."""
    if end.sent is None or (end.rcvd is not None and end.rcvd_then_sent):
        return "close"
    if end.sent.code == CloseCode.INTERNAL_ERROR:
        return "stall"
    return "error" if end.sent.code in _OUR_COMPLAINTS else "close"
