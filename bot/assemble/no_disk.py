"""A start on a disk that takes nothing: what can be read is read, and what is held is still looked after.

Refusing would leave a position to its stop at the exchange, with nobody to sell at 15:29. So the day begins
with exits only and without a journal (the broker is the truth), and ends as soon as nothing of ours is held
or open: the next start then finds room, or says again that there is none.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bot.assemble.plan import Plan
from bot.core.engine import Engine
from bot.core.events import NO_DISK, Operator, OperatorAction
from bot.core.units import SECOND
from bot.run.ports import Clock, Record
from bot.storage.journal import (
    DayJournal,
    JournalFailed,
    JournalUnwritable,
    journal_path,
    read_journal,
)
from bot.storage.trades import TradesFailed


class Opened(NamedTuple):
    """The day's journal, what it kept, and why nothing can be written ("" when it can)."""

    journal: DayJournal
    kept: Sequence[Record]
    problem: str


class LostJournal:
    """Stands where the disk took no journal: every commit fails, as it did there, so no entry can leave."""

    def __init__(self, path: Path, problem: str) -> None:
        self._path, self._problem = path, problem

    def commit(self, _records: Sequence[Record]) -> None:
        raise JournalFailed(self._path, self._problem, usable=False)

    def read(self) -> Sequence[Record]:
        return ()

    def close(self) -> None:
        """There is nothing to let go of."""


def opened(plan: Plan) -> Opened:
    """Open the day's journal. Raises JournalRefused for one a person must look at (damaged, another's)."""
    path = journal_path(plan.data_folder, plan.session.day)
    try:
        plan.data_folder.mkdir(parents=True, exist_ok=True)
        journal = plan.open_journal(path)
    except (OSError, JournalUnwritable) as error:
        return Opened(LostJournal(path, str(error)), readable(path), str(error))
    return Opened(journal, journal.read(), "")


def readable(path: Path) -> Sequence[Record]:
    """What a journal holds, as far as it can be read; the rest is in the broker's book."""
    try:
        begun = path.exists() and path.stat().st_size  # a file that no page found room in is none
        return read_journal(path) if begun else ()
    except JournalUnwritable:
        return ()


def tried(write: Callable[[], object]) -> str:
    """Why this could not be written; "" when it was."""
    try:
        write()
    except (JournalFailed, JournalUnwritable, TradesFailed, OSError) as error:
        return str(error)
    return ""


def no_disk(clock: Clock) -> Operator:
    """The word for the engine: exits only."""
    return Operator(clock.now(), clock.monotonic(), OperatorAction.STOP_ENTRIES, NO_DISK)


async def stop_when_flat(clock: Clock, engine: Engine, stop: asyncio.Event) -> None:
    """Without a disk there is no reason to stay once nothing is ours."""
    while not (engine.ready and engine.flat):
        await clock.sleep_until(clock.now() + SECOND)
    stop.set()
