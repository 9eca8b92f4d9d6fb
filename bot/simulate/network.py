"""A network in memory, under the very libraries that live uses: no byte of the bot's adapter is replaced.

TCP connections that lead to servers of the same loop (loop.py). What a network does to people (refuse, delay,
swallow, reset) is done here, on command; who is killed loses their connections and writes nothing any more.
It knows bytes and connections, never what they say.
"""

import asyncio
import contextvars
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

_FIRST_PORT: Final = 40_000


class Incarnation:
    """One life of a process. Its effects are counted; at the chosen one it dies, before or after the effect.

    A dead incarnation's code may still run to the end of its step: nothing it does reaches anybody.
    """

    def __init__(self, number: int) -> None:
        self.number, self.alive, self.effects = number, True, 0
        self.frozen = False  # it lives, and nothing of it runs
        self.disk_broken = False  # it can write no journal any more
        self._dies_at, self._dies_after = 0, False
        self.on_death: Callable[[], None] = lambda: None

    def doom(self, effects: int, *, after: bool) -> None:
        """Let it die at its so-manieth effect from now."""
        self._dies_at, self._dies_after = self.effects + effects, after

    def effect(self, do: Callable[[], None]) -> None:
        """Something leaves the process: a write to a socket, a commit to a disk."""
        if not self.alive:
            return
        self.effects += 1
        if self.effects != self._dies_at:
            do()
            return
        if self._dies_after:
            do()
        self.kill()

    def kill(self) -> None:
        """`kill -9`."""
        if self.alive:
            self.alive = False
            self.on_death()


# Who runs: tasks inherit it from the task that made them, so a connection knows whose it is.
running: contextvars.ContextVar[Incarnation | None] = contextvars.ContextVar("running", default=None)


class Network:
    """Who listens where, what is open, and what is wrong at the moment. Times are the loop's seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._listeners: dict[int, Callable[[], asyncio.Protocol]] = {}
        self._ports = _FIRST_PORT
        self.never_readable = os.eventfd(0)  # libraries poll a socket to learn whether its peer hung up
        self.ends: list[End] = []  # of clients, open ones
        self.refusing_until = 0.0
        self.swallowing_until = 0.0
        self.lag_seconds = 0.0
        self.lagging_until = 0.0
        self.held_until = 0.0  # what is under way waits for that moment
        self.bytes_carried = 0

    def close(self) -> None:
        os.close(self.never_readable)

    def port(self) -> int:
        self._ports += 1
        return self._ports

    def listen(self, port: int, factory: Callable[[], asyncio.Protocol]) -> None:
        self._listeners[port] = factory

    def silence(self, port: int) -> None:
        self._listeners.pop(port, None)

    @property
    def swallowing(self) -> bool:
        """Nothing gets through and nobody is told: what a half-open connection feels like."""
        return self.loop.time() < self.swallowing_until

    def delay(self) -> float:
        now = self.loop.time()
        lag = self.lag_seconds if now < self.lagging_until else 0.0
        return max(lag, self.held_until - now)

    def reset_all(self) -> int:
        """Every connection ends with a reset; how many there were."""
        ends = [end for end in self.ends if not end.over]
        for end in ends:
            end.lose(ConnectionResetError("reset"))
            end.peer.lose(ConnectionResetError("reset"))
        return len(ends)

    def cut(self, incarnation: Incarnation) -> None:
        """A process died: its kernel closes what it had open."""
        for end in self.ends:
            if end.owner is incarnation and not end.over:
                end.abort()

    def thaw(self, incarnation: Incarnation) -> None:
        """It runs again: what arrived meanwhile is read."""
        for end in self.ends:
            if end.owner is incarnation:
                end.resume_reading()

    async def connect(self, port: int, factory: Callable[[], asyncio.Protocol]) -> "tuple[End, Any]":
        owner = running.get()
        if self.swallowing or (owner is not None and not owner.alive):
            await self.loop.create_future()  # until the caller's patience ends
        if delay := self.delay():
            await asyncio.sleep(delay)
        accept = self._listeners.get(port)
        if accept is None or self.loop.time() < self.refusing_until:
            await asyncio.sleep(0)
            raise ConnectionRefusedError(111, "Connection refused")
        client, server = End(self, owner, self.port(), port), End(self, None, port, self._ports)
        client.peer, server.peer = server, client
        self.ends = [end for end in self.ends if not end.over]
        self.ends.append(client)
        client.begin(factory())
        server.begin(accept())
        await asyncio.sleep(0)
        return client, client.get_protocol()


class End(asyncio.Transport):
    """One end of a connection. `owner`: the process that opened it; None for a server's end."""

    peer: "End"

    def __init__(self, network: Network, owner: Incarnation | None, port: int, peer_port: int) -> None:
        names: dict[str, Any] = {"sockname": ("127.0.0.1", port), "peername": ("127.0.0.1", peer_port)}
        # Not given to asyncio's class: a compiled class never lets go of what it keeps in a base's slot.
        self._facts = {**names, "socket": SocketFacts(network.never_readable, port, peer_port)}
        self._network, self._loop, self.owner = network, network.loop, owner
        self.arriving: deque[bytes | None] = deque()  # None: the end of what the peer says
        self._paused = self._closing = False
        self._unread: deque[bytes | None] = deque()
        self.over = False

    def begin(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    # ---- what libraries call -----------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._facts.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self.over or not data:
            return
        taken = bytes(data)
        if self.owner is None:
            self._carry(taken)
        else:
            self.owner.effect(lambda: self._carry(taken))

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._carry(None)
            self._loop.call_soon(self.lose, None)

    def abort(self) -> None:
        self.close()

    def write_eof(self) -> None:
        self._carry(None)

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._closing or self.over

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        if self._unread:
            self._loop.call_soon(self._read)

    def is_reading(self) -> bool:
        return not self._paused

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    # ---- what goes on between two ends -----------------------------------------------------------------

    def _carry(self, data: bytes | None) -> None:
        network = self._network
        if network.swallowing:
            return
        network.bytes_carried += len(data or b"")
        peer = self.peer
        peer.arriving.append(data)
        if delay := network.delay():
            self._loop.call_later(delay, peer.arrive)
        else:
            self._loop.call_soon(peer.arrive)

    def arrive(self) -> None:
        """The oldest of what is under way: whatever the delays, nothing overtakes on one connection."""
        self._unread.append(self.arriving.popleft())
        if not self._paused:
            self._read()

    def _read(self) -> None:
        if self.owner is not None and self.owner.frozen:
            return
        while self._unread and not self._paused and not self.over:
            data = self._unread.popleft()
            if self.owner is not None and not self.owner.alive:
                return
            if data is not None:
                self._protocol.data_received(data)
            elif not self._protocol.eof_received():
                self.close()

    def lose(self, error: Exception | None) -> None:
        """The end, for this side."""
        if self.over:
            return
        self.over = self._closing = True
        self._loop.call_soon(self._protocol.connection_lost, error)


class SocketFacts:
    """What libraries ask of a connection's socket."""

    family = socket.AF_INET

    def __init__(self, descriptor: int, port: int, peer_port: int) -> None:
        self._descriptor, self._port, self._peer_port = descriptor, port, peer_port

    def fileno(self) -> int:
        return self._descriptor

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", self._peer_port

    def setsockopt(self, *_: Any) -> None: ...
