"""Virtual time over real sockets: the demo's clock.

An asyncio loop whose `time()` stands still until everything that can happen at this instant has happened,
then jumps to the next timer. "Everything" is exact for code on the loop (nothing is ready to run) and is
counted for what the loop cannot see: messages on a wire and work on a thread say `departed` and `arrived`.
So a whole trading day runs in seconds, over real HTTP and WebSockets, with the same trades every time; and
every timeout in every library counts virtual seconds.

This file knows nothing of trading.
"""

import asyncio
import selectors
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from bot.core.units import SECOND, Nanos

STEPS_AN_INSTANT = 500_000  # more: something answers itself for ever
STUCK_AFTER_SECONDS = 30.0  # real time without a sign of a message under way: a bug, say so


class LockstepStuck(RuntimeError):
    """A message departed and never arrived, or an instant never ends."""


class _LockstepSelector(selectors.BaseSelector):
    """A selector that, instead of sleeping, lets virtual time pass: the one hook asyncio offers for this."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.seconds = 0.0  # virtual, since the start
        self.under_way = 0
        self.quiet: deque[asyncio.Future[None]] = deque()
        self.speed_max: float | None = None
        self._started = time.monotonic()
        self._steps = 0  # of this instant

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or timeout == 0:
            self._steps += 1
            if self._steps > STEPS_AN_INSTANT:
                raise LockstepStuck(f"{STEPS_AN_INSTANT} steps and no end of the instant at {self.seconds} s")
            return ready
        if self.under_way > 0:
            ready = self._real.select(STUCK_AFTER_SECONDS)
            if not ready:
                raise LockstepStuck(
                    f"{self.under_way} message(s) departed and did not arrive at {self.seconds} s"
                )
            return ready
        while self.quiet:
            waiter = self.quiet.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return []
        if timeout is None or timeout < 0:
            return self._real.select(timeout)
        if self.speed_max is not None:
            due = self._started + (self.seconds + timeout) / self.speed_max
            ready = self._real.select(max(0.0, due - time.monotonic()))
            if ready:
                return ready
        self.seconds += timeout
        self._steps = 0
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class LockstepLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. `speed_max`: at most so many virtual seconds in a real one."""

    def __init__(self, *, speed_max: float | None = None) -> None:
        self.lockstep = _LockstepSelector()
        self.lockstep.speed_max = speed_max
        super().__init__(self.lockstep)

    def time(self) -> float:
        return self.lockstep.seconds


class LockstepClock:
    """The Clock port on a LockstepLoop. `starts_at` is the wall time of the loop's second 0."""

    def __init__(self, loop: LockstepLoop, starts_at: Nanos) -> None:
        self._loop = loop
        self._lockstep = loop.lockstep
        self._starts_at = starts_at

    def now(self) -> Nanos:
        return self._starts_at + round(self._lockstep.seconds * SECOND)

    def monotonic(self) -> Nanos:
        return round(self._lockstep.seconds * SECOND)

    async def sleep_until(self, at: Nanos) -> None:
        due = (at - self._starts_at) / SECOND
        if due <= self._lockstep.seconds:
            return
        woken = self._loop.create_future()
        handle = self._loop.call_at(due, _wake, woken)
        try:
            await woken
        finally:
            handle.cancel()

    def departed(self) -> None:
        self._lockstep.under_way += 1

    def arrived(self) -> None:
        self._lockstep.under_way -= 1

    async def quiet(self) -> None:
        waiter = self._loop.create_future()
        self._lockstep.quiet.append(waiter)
        await waiter


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)
