"""The queue between the adapters and the engine: bounded, in order, nothing dropped.

Every tick reaches the filter, but when several of an instrument wait, only the newest may cause an entry.
"""

import asyncio
from collections import deque

from bot.core.events import Event, Tick
from bot.core.units import InstrumentKey

CAPACITY = 100_000  # minutes of a fast market; more means the loop is stuck, and we fail and recover


class InboxOverflow(RuntimeError):
    """The engine fell hopelessly behind. Fail-stop: a restart reconciles."""


class Inbox:
    """`put` is the adapters' sink and never blocks; `take` is the driver's."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._waiting: dict[InstrumentKey, int] = {}
        self._filled = asyncio.Event()

    def put(self, event: Event) -> None:
        """Take one event in."""
        if len(self._events) >= CAPACITY:
            raise InboxOverflow(f"{CAPACITY} events wait to be handled")
        if isinstance(event, Tick):
            self._waiting[event.instrument] = self._waiting.get(event.instrument, 0) + 1
        self._events.append(event)
        self._filled.set()

    def __len__(self) -> int:
        return len(self._events)

    def take(self) -> tuple[Event, bool]:
        """The oldest event, and whether no younger tick of its instrument waits."""
        event = self._events.popleft()
        if not isinstance(event, Tick):
            return event, True
        left = self._waiting[event.instrument] - 1
        self._waiting[event.instrument] = left
        return event, left == 0

    async def filled(self) -> None:
        """Return when something is there."""
        if not self._events:
            self._filled.clear()
            await self._filled.wait()
