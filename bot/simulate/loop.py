"""The loop and the clock of a world in a box: virtual time, a virtual network, no machine.

It stands in for asyncio's own doors to the outside; the libraries above notice nothing.
"""

import asyncio
import gc
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

from bot.core.units import SECOND, Nanos
from bot.run.live import SHORT, STEP_SECONDS
from bot.run.lockstep import LockstepClock
from bot.simulate.network import Incarnation, Network, SocketFacts, running
from bot.simulate.steps import SteppedLoop


class _Listener:
    """What `create_server` gives: enough of asyncio.Server for the servers used here."""

    def __init__(self, network: Network, port: int, bound: socket.socket | None) -> None:
        self._network, self._port, self._bound = network, port, bound
        self.sockets = (SocketFacts(network.never_readable, port, 0),)

    def close(self) -> None:
        self._network.silence(self._port)
        if self._bound is not None:
            self._bound.close()

    async def wait_closed(self) -> None: ...

    async def start_serving(self) -> None: ...

    def is_serving(self) -> bool:
        return True

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop


class BoxLoop(SteppedLoop):
    """Virtual time, a virtual network, "threads" that work at once: nothing depends on the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(self)
        self.work_seconds: Callable[[], float] = lambda: 0.0  # how long the disk takes
        self.stands_still = _frozen
        self._frozen = 0
        self.now_of_world: Callable[[], Nanos] = lambda: 0  # the true time

    def freeze(self, life: Incarnation, seconds: float) -> None:
        """SIGSTOP: nothing of this process runs for so long, and what arrives waits; time goes on."""
        life.frozen = True
        self._frozen += 1
        self.held = [] if self.held is None else self.held

        def thaw() -> None:
            life.frozen = False
            self._frozen -= 1
            self.release(more=self._frozen > 0)
            self.network.thaw(life)

        self.call_later(seconds, thaw)

    async def create_connection(
        self, protocol_factory: Any, host: str | None = None, port: int | None = None, **_: Any
    ) -> Any:
        assert port is not None, host
        return await self.network.connect(port, protocol_factory)

    async def create_server(
        self,
        protocol_factory: Any,
        host: Any = None,  # noqa: ARG002
        port: int | None = None,
        *,
        sock: Any = None,
        **_: Any,
    ) -> Any:
        number = int(sock.getsockname()[1]) if sock is not None else port or self.network.port()
        self.network.listen(number, protocol_factory)
        return _Listener(self.network, number, sock)

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        owner = running.get()
        if owner is not None and not owner.alive:
            future.cancel()
            return future
        try:
            outcome, error = func(*args), None
        except Exception as raised:  # noqa: BLE001 - handed to whoever waits, as an executor does
            outcome, error = None, raised

        def done() -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(outcome)

        if seconds := self.work_seconds():
            self.call_later(seconds, done)
        else:
            self.call_soon(done)
        return future

    def close(self) -> None:
        super().close()
        self.network.close()


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


def _frozen(context: Context) -> bool:
    life = context.get(running)
    return life is not None and life.frozen


@contextmanager
def rare_collections() -> Iterator[None]:
    """A day makes no cycles worth looking for this often: a sixth of its time went into looking. The day
    itself is one, and what is left of the day before is let go of here.
    """
    usual = gc.get_threshold()
    gc.collect()
    gc.set_threshold(50_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@contextmanager
def time_zone_kept() -> Iterator[None]:
    """What a day does to the process's time zone is undone."""
    usual = os.environ.get("TZ")
    try:
        yield
    finally:
        if os.environ.get("TZ") != usual:
            os.environ.pop("TZ")
            if usual is not None:
                os.environ["TZ"] = usual
            time.tzset()


class BoxClock(LockstepClock):
    """The Clock port in the box: nothing is ever under way outside the loop, so there is nothing to count.

    `skew`: by how much this process's wall clock is wrong.
    """

    def __init__(self, loop: BoxLoop, starts_at: Nanos) -> None:
        super().__init__(loop, starts_at)
        self.skew: Nanos = 0
        self._gained: Nanos = 0
        self._seconds, self._instant = 0.0, starts_at

    def now(self) -> Nanos:
        """Asked many times an instant: reckoned once."""
        if self._lockstep.seconds != self._seconds:
            self._seconds, self._instant = self._lockstep.seconds, super().now()
        return self._instant + self.skew + self._gained

    def drift(self, millionths: int, seconds: float) -> None:
        """For so long it gains so much, told a second at a time; what it gained stays."""
        a_second = millionths * SECOND // 1_000_000

        def gain(left: int) -> None:
            self._gained += a_second
            if left:
                self._loop.call_later(1, gain, left - 1)

        self._loop.call_later(1, gain, int(seconds) - 1)

    async def sleep_until(self, at: Nanos) -> None:
        """As the wall clock does (run/live.py): a short sleep is measured; a long one is for an hour of the
        day, whatever is done to the clock meanwhile.
        """
        left = at - self.now()
        enough = self.monotonic() + left if left <= SHORT else None
        while left > 0:
            await self._sleep(min(left / SECOND, STEP_SECONDS))
            left = at - self.now()
            if enough is not None and self.monotonic() >= enough:
                return

    async def _sleep(self, seconds: float) -> None:
        loop = self._loop
        woken = loop.create_future()
        handle = loop.call_later(seconds, _wake, woken)
        try:
            await woken
        finally:
            handle.cancel()

    def departed(self) -> None: ...

    def arrived(self) -> None: ...
