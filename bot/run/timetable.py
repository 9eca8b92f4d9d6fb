"""The day's phases on the wall clock, under APScheduler: when to connect, and a word at each deadline.

The deadlines themselves need no scheduler: the engine honours them on any event and on each heartbeat. This
is what brings the container up before the open. With APScheduler's defaults a stall of 2.5 s skips a date
job without a word, hence `misfire_grace_time=None`.
"""

import asyncio
from collections.abc import Callable

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from bot.core.session import Session
from bot.core.units import IST, SECOND, Nanos, ist

CONNECT_BEFORE_OPEN: Nanos = 15 * 60 * SECOND  # pre-open frames prove the line before it matters


class Timetable:
    """Announces the phases of one session. Those past at `start` are announced at once."""

    def __init__(self, session: Session, announce: Callable[[str], None]) -> None:
        self._session = session
        self._announce = announce
        self._connect = asyncio.Event()
        self._scheduler = AsyncIOScheduler(timezone=IST)

    def start(self) -> None:
        """Set the jobs. Needs a running loop."""
        for name, at in self.phases():
            self._scheduler.add_job(
                self._reached,
                DateTrigger(ist(at)),
                args=[name],
                id=name,
                misfire_grace_time=None,
                coalesce=True,
            )
        self._scheduler.start()

    def phases(self) -> tuple[tuple[str, Nanos], ...]:
        """The phases and their instants, in order."""
        session = self._session
        return (
            ("connect", session.open_at - CONNECT_BEFORE_OPEN),
            ("open", session.open_at),
            ("entry_cutoff", session.entry_cutoff_at),
            ("flatten", session.flatten_at),
            ("close", session.close_at),
        )

    async def connect_time(self) -> None:
        """Return when it is time to connect; at once when late."""
        await self._connect.wait()

    def stop(self) -> None:
        """Forget the jobs that are left."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _reached(self, name: str) -> None:
        self._announce(name)
        if name == "connect":
            self._connect.set()
