"""One REST call as a handler sees it, and what a handler is. Knows no HTTP library."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bot.twin.answers import Answer
from bot.twin.floor import Floor
from bot.twin.gate import CallFate


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, of whom, and with which token."""

    floor: Floor
    query: Mapping[str, str]
    path: Mapping[str, str]  # the parts of the path that vary
    body: bytes
    token: str
    fate: CallFate
    there_seconds: float  # how long it was on its way here…
    back_seconds: float  # …and how long its answer will be


Handler: TypeAlias = Callable[[Call], Awaitable[Answer]]
