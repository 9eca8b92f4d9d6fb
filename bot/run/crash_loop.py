"""The crash-loop guard: a bot that starts again and again within minutes trades no more today.

It looks at the starts that the journal knows of, and says one word to the engine. It must never keep an exit
from being made: what is held is looked after by every start.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bot.core.events import CRASH_LOOP, Operator, OperatorAction
from bot.core.units import SECOND, Nanos


class CrashLoop(NamedTuple):
    """So many starts within so many seconds, this one among them, are too many. `boots` 0: never."""

    boots: int = 0
    seconds: float = 600.0

    def word(self, boots: Sequence[Nanos], now: Nanos, mono: Nanos) -> Operator | None:
        """The word for the engine at this start; `boots`: when those before it were. None: all is well."""
        recent = [at for at in boots if now - self.seconds * SECOND < at <= now]
        if not self.boots or len(recent) + 1 < self.boots:
            return None
        return Operator(now, mono, OperatorAction.STOP_ENTRIES, CRASH_LOOP)


NEVER = CrashLoop()
