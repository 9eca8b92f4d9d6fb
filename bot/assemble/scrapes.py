"""The end of the day as the monitoring sees it: stay until Prometheus has read the last numbers twice."""

from typing import Final

from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock
from bot.telemetry.ops_server import OpsServer

SCRAPES: Final = 2  # one may have begun before the last numbers stood
WAITS_MAX: Final[Nanos] = 70 * SECOND  # two of the slowest usual intervals, 30 s, and a little


async def last_scrapes(clock: Clock, ops: OpsServer) -> None:
    """Return after two more scrapes, or when none comes; at once when nobody ever came."""
    if not ops.scrapes:
        return
    enough, give_up = ops.scrapes + SCRAPES, clock.now() + WAITS_MAX
    while ops.scrapes < enough and clock.now() < give_up:
        await clock.sleep_until(clock.now() + SECOND)
