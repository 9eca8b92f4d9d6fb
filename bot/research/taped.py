"""A tape as a recording: its frames as the ticks they were. For backtests and pictures of a traded day.

It reads what came in, never what was decided.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bot.core.events import Tick
from bot.core.rules import Contract
from bot.storage.tape import MAGIC, read_tape
from bot.storage.tick_source import TickFileError, open_plain
from bot.upstox.wire_market import MarketDecoder


class Taped(NamedTuple):
    """The market of one tape. `facts`: what the day said of itself (a synthetic market's watermark)."""

    ticks: tuple[Tick, ...]
    contracts: tuple[Contract, ...]
    facts: dict[str, Any]
    duplicates: int


def is_tape(path: Path) -> bool:
    """By content, never by name."""
    try:
        with open_plain(path) as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, EOFError):
        return False


def read_taped(paths: Iterable[Path]) -> Taped:
    """The ticks of a day's tapes. Raises TapeRefused, or TickFileError when there is none in them."""
    ticks: list[Tick] = []
    contracts: tuple[Contract, ...] = ()
    facts: dict[str, Any] = {}
    duplicates = 0
    path = Path()
    for path in paths:
        decoder = MarketDecoder([])
        for entry in read_tape(path):
            if entry.kind == "H":
                head = json.loads(entry.payload)
                contracts = tuple(Contract(**fields) for fields in head["contracts"])
                facts = head["facts"]
                decoder = MarketDecoder([contract.key for contract in contracts])
            elif entry.kind == "O":
                decoder.opened()
            elif entry.kind == "F":
                events = decoder.decode(entry.payload, entry.at, entry.mono)
                ticks.extend(event for event in events if isinstance(event, Tick))
        duplicates += decoder.duplicates
    if not ticks:
        raise TickFileError(path, None, "holds no ticks: the bot never heard the market that day")
    return Taped(tuple(ticks), contracts, facts, duplicates)
