"""The files a day leaves: what today's journal holds, the certificate of the tape, the way into the archive.

It decides nothing about an order.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson
from structlog.typing import FilteringBoundLogger

from bot.assemble.day_tape import DayTape, certificate_path
from bot.core.commands import PlaceOrder
from bot.core.forecast import Classifier
from bot.core.units import InstrumentKey
from bot.run.ports import Clock
from bot.storage import records
from bot.storage.archive import Archive, ArchiveFailed, ArchiveRefused, Stored
from bot.storage.journal import JournalRefused, journal_path
from bot.storage.tape import TapeRefused, tapes_of
from bot.storage.trades import trades_path


def settings_path(folder: Path, day: date) -> Path:
    """The day's settings, without secrets."""
    return folder / f"settings-{day.isoformat()}.json"


def unreconciled_path(folder: Path, day: date) -> Path:
    """The mark of a day whose CSV is not the broker's trade list; it says why."""
    return folder / f"unreconciled-{day.isoformat()}.txt"


def write_settings(folder: Path, day: date, settings: dict[str, Any]) -> None:
    settings_path(folder, day).write_bytes(orjson.dumps(settings, option=orjson.OPT_INDENT_2))


def decoded_of(kept: Sequence[Any], traded: Collection[InstrumentKey], mode: str) -> list[Any]:
    """Today's journal as commands and events.

    JournalRefused for orders in an instrument not traded any more: they would be forgotten; and for orders of
    another mode: simulated fills are no live position, and a live one is not sold by a simulation.
    """
    decoded = [records.decode(one.kind, one.body) for one in kept if one.kind not in records.MARKS]
    placed = {item.instrument for item in decoded if isinstance(item, PlaceOrder)}
    if strangers := sorted(placed - set(traded)):
        raise JournalRefused(
            f"Today's journal holds orders of {', '.join(strangers)}, no longer in the settings. "
            "Put the instrument back for today, or close what is open by hand and move the journal away."
        )
    others = sorted(records.modes(kept) - {mode})
    if others and placed:
        raise JournalRefused(
            f"Today's journal holds orders of mode {', '.join(others)}; this start is mode {mode}. Go on in "
            f"that mode, or name another [data] folder (one for each mode) for {mode}."
        )
    return decoded


def day_files(folder: Path, day: date) -> tuple[Path, ...]:
    """What is worth keeping; tapes, certificate and the mark of unequal books only where they are."""
    maybe = (certificate_path(folder, day), unreconciled_path(folder, day))
    evidence = (*tapes_of(folder, day), *(path for path in maybe if path.exists()))
    return (trades_path(folder, day), journal_path(folder, day), settings_path(folder, day), *evidence)


def certify(
    tape: DayTape,
    folder: Path,
    day: date,
    classifier: Classifier,
    alive: Callable[[], object],
    log: FilteringBoundLogger,
) -> None:
    """The day again from its tape: the same decisions, or a word about it. Changes nothing of the day."""
    try:
        found = tape.certify(folder, day, classifier, alive)
    except TapeRefused as refused:
        log.error("tape_not_replayed", problem=str(refused))  # noqa: TRY400 - its words are for people
        return
    if problem := tape.writer.problem:
        log.error("tape_failed", problem=problem)
    for one in found:
        tell = log.info if one.identical else log.error
        tell("tape_replayed", tape=one.tape, identical=one.identical, differences=one.differences[:3])


async def archived(
    clock: Clock, root: str, folder: Path, day: date, files: tuple[Path, ...], log: FilteringBoundLogger
) -> tuple[tuple[Stored, ...], str]:
    """Upload the day. A failure is kept and tried again at the next start; it changes no trade."""
    try:
        archive = Archive(root, folder, pause=time.sleep)
        stored = await on_thread(clock, lambda: archive.upload(day, files))
    except (ArchiveFailed, ArchiveRefused) as error:
        log.error("archive_failed", problem=str(error))  # noqa: TRY400 - its words are for people
        return (), str(error)
    return tuple(stored), ""


async def on_thread(clock: Clock, work: Callable[[], Any]) -> Any:
    """Slow work off the loop, counted as under way."""
    clock.departed()
    try:
        return await asyncio.to_thread(work)
    finally:
        clock.arrived()
