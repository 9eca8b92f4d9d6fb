"""Our own rate limit, well inside the broker's, with a share kept for exits. Knows no HTTP and no orders.

The broker's limits (upstox §7.1) are per user and come without a Retry-After: 10 orders a second, 500 a
minute, 2000 in half an hour; reads 50, 500, 2000. The long one is the narrow one: 1.1 a second.
"""

from typing import NamedTuple

from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock


class Limit(NamedTuple):
    """One call each `every` on average, `burst` at once, of which `reserved` are kept for the urgent."""

    every: Nanos
    burst: int
    reserved: int = 0


# 5 a second; and 200 + 1800 in half an hour.
ORDER_LIMITS = (Limit(SECOND // 5, 5, reserved=2), Limit(SECOND, 200, reserved=100))
# 3 snapshots at once, then one a second: each of its two reads 3 + 1800 in half an hour, for each API counts
# by itself.
READ_LIMITS = (Limit(SECOND // 2, 6),)


class Throttle:
    """Token buckets that must all agree. The clock does the waiting, so it costs nothing in a simulation."""

    def __init__(self, clock: Clock, limits: tuple[Limit, ...]) -> None:
        self._clock = clock
        self._limits = limits
        self._credit = [
            limit.every * limit.burst for limit in limits
        ]  # in nanoseconds of waiting already done
        self._mono = clock.monotonic()

    async def take(self, *, urgent: bool = True, wait_max: Nanos | None = None) -> bool:
        """Wait for a turn and take it. False, with nothing taken, when that would exceed `wait_max`."""
        asked = self._clock.monotonic()
        while True:
            wait = max(0, self._wait(urgent=urgent))
            if wait_max is not None and self._mono + wait > asked + wait_max:
                return False
            if not wait:
                break
            await self._clock.sleep_until(self._clock.now() + wait)
        for number, limit in enumerate(self._limits):
            self._credit[number] -= limit.every
        return True

    def _wait(self, *, urgent: bool) -> Nanos:
        mono = self._clock.monotonic()
        passed, self._mono = mono - self._mono, mono
        wait = 0
        for number, limit in enumerate(self._limits):
            self._credit[number] = min(self._credit[number] + passed, limit.every * limit.burst)
            needed = limit.every * (1 if urgent else 1 + limit.reserved)
            wait = max(wait, needed - self._credit[number])
        return wait
