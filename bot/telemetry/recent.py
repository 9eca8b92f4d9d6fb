"""The last things that happened, for the status page: a few of each, and what it cost to remember them.

An observer; it costs a tick one comparison, and a sample a second. It must never grow with the day.
"""

from collections import deque
from typing import Final, NamedTuple

from bot.core.commands import Alert, RecordFill, Refused
from bot.core.events import Heartbeat, Tick
from bot.core.units import Nanos
from bot.run.ports import Turn
from bot.telemetry.view import View

_FILLS: Final = 40
_ALERTS: Final = 10
_SAMPLES: Final = 600  # seconds of the little chart


class Sample(NamedTuple):
    """The first instrument, once a second. Rupees."""

    price: float
    estimate: float


class Recent:
    """`fills` and `alerts` newest last; `refused` counts by guard; `samples` a second apart."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.fills: deque[RecordFill] = deque(maxlen=_FILLS)
        self.alerts: deque[tuple[Nanos, Alert]] = deque(maxlen=_ALERTS)
        self.refused: dict[str, int] = {}
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES)

    def hear(self, turn: Turn) -> None:
        """Note one turn."""
        if turn.commands:
            for command in turn.commands:
                if isinstance(command, Refused):
                    self.refused[command.reason] = self.refused.get(command.reason, 0) + 1
                elif isinstance(command, RecordFill):
                    self.fills.append(command)
                elif isinstance(command, Alert):
                    self.alerts.append((turn.event.at, command))
        if type(turn.event) is not Tick and isinstance(turn.event, Heartbeat):
            first = next(iter(self._view.instruments()), None)
            if first is not None and first.ltp:
                self.samples.append(Sample(first.ltp / 100, first.estimate))
