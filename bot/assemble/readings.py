"""Two numbers read from the broker beside the day, for the engine's guards: the funds, and its clock.

Each minute; a reading that fails says nothing, and what was known grows too old by itself (core/guards.py).
It decides nothing.
"""

from typing import Final

from structlog.typing import FilteringBoundLogger

from bot.assemble.plan import Lines
from bot.core.events import ClockRead, FundsRead
from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock
from bot.upstox.wire_answers import ReadFailed

READ_EVERY: Final[Nanos] = 60 * SECOND
AGAIN: Final[Nanos] = 5 * SECOND  # while the funds are not known, no entry is made


class Readings:
    """`funds`: orders go to a real account, so what it may spend matters."""

    def __init__(self, clock: Clock, log: FilteringBoundLogger, *, funds: bool) -> None:
        self._clock, self._log, self._funds = clock, log, funds
        self._problem = ""

    async def run(self, lines: Lines) -> None:
        """Until cancelled."""
        while True:
            read = not self._funds or await self._read_funds(lines)
            if (skew := lines.rest.clock_skew) is not None:
                lines.put(ClockRead(self._clock.now(), self._clock.monotonic(), skew))
            await self._clock.sleep_until(self._clock.now() + (READ_EVERY if read else AGAIN))

    async def _read_funds(self, lines: Lines) -> bool:
        asked = self._clock.monotonic()
        try:
            available = await lines.rest.available()
        except ReadFailed as failure:
            if self._problem != str(failure):
                self._problem = str(failure)
                self._log.warning("funds_not_read", problem=self._problem)
            return False
        self._problem = ""
        lines.put(FundsRead(self._clock.now(), self._clock.monotonic(), asked, available))
        return True
