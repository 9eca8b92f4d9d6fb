"""The kill switch: a file that appears, or SIGUSR1, ends the day's entries. What is held stays protected.

It looks at the file each second on a thread, far from any tick, and says one word to the engine. Taking the
file away begins nothing anew: the day's entries are over. It must never sell, and never be asked by a tick.
"""

from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from bot.assemble.day_files import on_thread
from bot.assemble.plan import Lines
from bot.core.events import Operator, OperatorAction
from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock

LOOK_EVERY: Final[Nanos] = SECOND
KILL_FILE: Final = "kill_file"
KILL_SIGNAL: Final = "kill_signal"


class KillSwitch:
    """One day's. `pull` from a signal handler, `run` beside the day."""

    def __init__(self, clock: Clock, file: Path, log: FilteringBoundLogger) -> None:
        self._clock, self._file, self._log = clock, file, log
        self._pulled = False
        self._lines: Lines | None = None
        self._unreadable = ""
        self._told: set[str] = set()

    def pull(self) -> None:
        """The signal came: at once when the day runs, else as soon as it does."""
        self._pulled = True
        if self._lines is not None:
            self._look_at(self._lines, KILL_SIGNAL)

    async def run(self, lines: Lines) -> None:
        """Until cancelled."""
        self._lines = lines
        while True:
            if self._pulled:
                self._look_at(lines, KILL_SIGNAL)
            elif await on_thread(self._clock, self._there):
                self._look_at(lines, KILL_FILE)
            await self._clock.sleep_until(self._clock.now() + LOOK_EVERY)

    def _look_at(self, lines: Lines, reason: str) -> None:
        """Said once, so that a restart knows: nobody can allow entries against it (core/operator.py)."""
        if reason in self._told:
            return
        self._told.add(reason)
        self._log.warning("kill_switch", reason=reason, file=str(self._file))
        now, mono = self._clock.now(), self._clock.monotonic()
        lines.put(Operator(now, mono, OperatorAction.STOP_ENTRIES, reason))

    def _there(self) -> bool:
        """On a thread. A place that cannot be looked at is taken for the worst."""
        try:
            self._file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if self._unreadable != (said := error.strerror or str(error)):
                self._unreadable = said
                self._log.error("kill_file_unreadable", file=str(self._file), problem=said)
        return True
