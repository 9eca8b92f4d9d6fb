"""The tick clock: which instrument stands still while the connection is lively (upstox §8.3)?

The frame clock (reconnect.py) judges the connection, this one a single key on it; a key alone on a silent
connection is the frame clock's. Pure: monotonic times in, keys out. It knows no socket and no market.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from bot.core.units import SECOND, InstrumentKey, Nanos

STUCK_AFTER: Final[Nanos] = 30 * SECOND  # a liquid option speaks each second, 99 % of its gaps are under 2 s
STUCK_AFTER_MAX: Final[Nanos] = 480 * SECOND  # an illiquid one may rest: each attempt waits twice as long
LOOK_EVERY: Final[Nanos] = 5 * SECOND
NEVER: Final[Nanos] = 1 << 63


class StuckKeys:
    """Ask `look` once `look_at` has come; only in session is it ever time."""

    def __init__(self) -> None:
        self.look_at: Nanos = NEVER
        self.total: Counter[InstrumentKey] = Counter()
        self._since: Nanos = 0  # nothing before it counts: the connection opened, the session began
        self._patience: dict[InstrumentKey, Nanos] = {}
        self._asked: dict[InstrumentKey, Nanos] = {}

    def arm(self, on: bool, mono: Nanos) -> None:
        """In session (True) a still key is suspicious."""
        self.look_at = mono + LOOK_EVERY if on else NEVER
        self._since = mono

    def opened(self, mono: Nanos) -> None:
        """A new connection, which has said nothing yet."""
        self._since = mono

    def look(self, mono: Nanos, heard: Mapping[InstrumentKey, Nanos]) -> list[InstrumentKey]:
        """Keys to be asked for anew. `heard`: when each was last heard of; 0: not on this connection."""
        self.look_at = mono + LOOK_EVERY
        stuck = []
        for key, last in heard.items():
            asked = self._asked.get(key, 0)
            if last > asked:
                self._patience.pop(key, None)
            patience = self._patience.get(key, STUCK_AFTER)
            if mono - max(last, asked, self._since) >= patience:
                self._asked[key] = mono
                self._patience[key] = min(2 * patience, STUCK_AFTER_MAX)
                self.total[key] += 1
                stuck.append(key)
        return stuck
