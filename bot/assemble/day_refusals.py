"""What of today's journal a start must not go on with. Pure looks at records; raises, changes nothing."""

from collections.abc import Sequence
from typing import Any

from bot.core.commands import PlaceOrder
from bot.core.engine import Engine
from bot.storage import records
from bot.storage.journal import JournalRefused


def refuse_strangers(kept: Sequence[object], engine: Engine) -> None:
    """Orders of today in an instrument not traded any more would be forgotten: better not to start."""
    placed = {item.instrument for item in kept if isinstance(item, PlaceOrder)}
    if strangers := sorted(placed - engine.desks.keys()):
        raise JournalRefused(
            f"Today's journal holds orders of {', '.join(strangers)}, no longer in the settings. "
            "Put the instrument back for today, or close what is open by hand and move the journal away."
        )


def refuse_another_mode(records_kept: Sequence[Any], decoded: Sequence[object], mode: str) -> None:
    """Simulated fills must not become a live position, nor a live position one that nobody sells."""
    others = sorted(records.modes(records_kept) - {mode})
    if others and any(isinstance(item, PlaceOrder) for item in decoded):
        raise JournalRefused(
            f"Today's journal holds orders of mode {', '.join(others)}; this start is mode {mode}. Go on in "
            f"that mode, or name another [data] folder (one for each mode) for {mode}."
        )
