"""The wall clock: the only reader of the time in the bot."""

import asyncio
import time
from datetime import datetime
from typing import Final

from bot.core.units import SECOND, Nanos, ist

SHORT: Final[Nanos] = 60 * SECOND
STEP_SECONDS: Final = 5.0  # sleep in short steps, so that a stepped wall clock is noticed


class WallClock:
    """The Clock port on real time. `speed` > 1 makes a clock that runs faster (the twin's, for tests)."""

    def __init__(self, *, starts_at: Nanos | None = None, speed: float = 1.0) -> None:
        self._speed = speed
        self._starts_at = starts_at
        self._started = time.monotonic_ns()

    @property
    def speed(self) -> float:
        """Times real time."""
        return self._speed

    def now(self) -> Nanos:
        if self._starts_at is None:
            return time.time_ns()
        return self._starts_at + round((time.monotonic_ns() - self._started) * self._speed)

    def monotonic(self) -> Nanos:
        if self._speed == 1.0:
            return time.monotonic_ns()
        return round((time.monotonic_ns() - self._started) * self._speed)

    async def sleep_until(self, at: Nanos) -> None:
        left = at - self.now()
        # A short sleep is measured: a wall clock that steps back must not stop the heartbeat. A long one is
        # for an hour of the day, whatever the clock does meanwhile.
        enough = self.monotonic() + left if left <= SHORT else None
        while left > 0:
            await asyncio.sleep(min(left / SECOND / self._speed, STEP_SECONDS))
            left = at - self.now()
            if enough is not None and self.monotonic() >= enough:
                return

    def wall(self, at: Nanos) -> datetime:
        """The real instant, in India, at which this clock shows `at`: for a scheduler that reads the wall."""
        return ist(time.time_ns() + round((at - self.now()) / self._speed))

    def departed(self) -> None:
        """Real time does not wait."""

    def arrived(self) -> None:
        """Real time does not wait."""

    async def quiet(self) -> None:
        """Real time does not wait."""
