"""The day's phases under APScheduler: when to prepare, when to connect, and a word at each deadline.

The deadlines themselves need no scheduler: the engine honours them on any event and on each heartbeat. This
is what brings the container up before the open. With APScheduler's defaults a stall of 2.5 s skips a date
job without a word, hence `misfire_grace_time=None`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from bot.core.session import Session
from bot.core.units import IST, SECOND, Nanos
from bot.run.live import WallClock

CONNECT_BEFORE_OPEN: Nanos = 15 * 60 * SECOND  # pre-open frames prove the line before it matters
PREFLIGHT_BEFORE_OPEN: Nanos = 25 * 60 * SECOND  # the broker is asked about the day, the contracts are read


class Timetable(ABC):
    """Announces the phases of one session, each once. Those past at `start` are announced at once."""

    def __init__(self, session: Session, announce: Callable[[str], None]) -> None:
        self._session = session
        self._announce = announce
        self._announced: set[str] = set()
        self._reached = {"preflight": asyncio.Event(), "connect": asyncio.Event()}

    def start(self) -> None:
        """Set the jobs. Needs a running loop."""
        self._set_jobs()

    def change(self, session: Session) -> None:
        """The day turned out to have other deadlines. What was announced stays announced."""
        self._session = session
        self._set_jobs()

    def phases(self) -> tuple[tuple[str, Nanos], ...]:
        """The phases and their instants, in order. What follows the close follows no clock."""
        session = self._session
        return (
            ("preflight", session.open_at - PREFLIGHT_BEFORE_OPEN),
            ("connect", session.open_at - CONNECT_BEFORE_OPEN),
            ("open", session.open_at),
            ("entry_cutoff", session.entry_cutoff_at),
            ("flatten", session.flatten_at),
            ("close", session.close_at),
        )

    async def reached(self, phase: str) -> None:
        """Return when it is time for `preflight` or `connect`; at once when late."""
        await self._reached[phase].wait()

    def say(self, phase: str) -> None:
        """A phase that no clock begins: reconcile, archive, scrapes, exit."""
        if phase not in self._announced:
            self._announced.add(phase)
            self._announce(phase)

    @abstractmethod
    def stop(self) -> None:
        """Forget the jobs that are left."""

    @abstractmethod
    def _set_job(self, name: str, at: Nanos) -> None:
        """Await `_begin(name)` on the loop at `at`, in place of an earlier job of that name."""

    def _set_jobs(self) -> None:
        for name, at in self.phases():
            if name not in self._announced:
                self._set_job(name, at)

    async def _begin(self, name: str) -> None:
        self.say(name)
        if name in self._reached:
            self._reached[name].set()


class WallTimetable(Timetable):
    """The timetable of a live day, under APScheduler."""

    def __init__(self, session: Session, announce: Callable[[str], None], clock: WallClock) -> None:
        super().__init__(session, announce)
        self._clock = clock
        self._scheduler = AsyncIOScheduler(timezone=IST)

    def start(self) -> None:
        super().start()
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _set_job(self, name: str, at: Nanos) -> None:
        self._scheduler.add_job(
            self._begin,  # a coroutine: plain functions run on a thread, where no asyncio.Event may be set
            DateTrigger(self._clock.wall(at)),
            args=[name],
            id=name,
            misfire_grace_time=None,
            coalesce=True,
            replace_existing=True,
        )
