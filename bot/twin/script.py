"""A script of faults as people write it: a line each, `09:30:00 drop market`, `10:15 stall market 20s`.

    # time     what                  with
    09:30:00   drop market
    10:15      stall market          20s
    11:00      reject                "RMS:Margin Exceeds"
    11:10      lose reply            modify
    12:00      thin book             5m 65

A line is a time of the twin's day, a fault (faults.py has their meanings) and what it needs: how long (`20s`,
`5m`), which call (`place`, `modify`, `cancel`; place when not said), how many units, a text in quotes. Pure.
"""

import re
import shlex
from collections.abc import Callable
from datetime import date, time
from typing import Final, NamedTuple

from bot.core.events import Act
from bot.core.units import Nanos, ist_nanos
from bot.twin.faults import Fault, FaultKind

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m)")
_CALLS: Final = {act.value.lower(): act for act in Act}


class _Needs(NamedTuple):
    """What a fault is told. How long and how many must be said; which call and a text may be."""

    seconds: bool = False
    act: bool = False
    quantity: bool = False
    message: bool = False


_LASTING: Final = _Needs(seconds=True)
_NEEDS: Final = {
    FaultKind.STALL_MARKET: _LASTING,
    FaultKind.REFUSE_HANDSHAKE: _LASTING,
    FaultKind.REJECT: _Needs(act=True, message=True),
    FaultKind.DENY: _Needs(act=True, message=True),
    FaultKind.LOSE_REPLY: _Needs(act=True),
    FaultKind.LATE_ACCEPTANCE: _Needs(seconds=True, act=True),
    FaultKind.SLOW_REPLY: _Needs(seconds=True, act=True),
    FaultKind.THIN_BOOK: _Needs(seconds=True, quantity=True),
    FaultKind.SHUFFLE_PORTFOLIO: _LASTING,
    FaultKind.UNAUTHORIZED: _LASTING,
    FaultKind.BLOCKED: _LASTING,
    FaultKind.TOO_MANY: _LASTING,
    FaultKind.WRONG_ADDRESS: _LASTING,
    FaultKind.DOWN: _LASTING,
}
NAMES: Final = {kind.value.replace("_", " "): kind for kind in FaultKind}


class ScriptRefused(ValueError):
    """The script cannot be played. `problems` has a sentence for each line that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_script(text: str, name: str, day: date) -> tuple[Fault, ...]:
    """The faults of a script; `name` is for the words. Raises ScriptRefused, naming every bad line."""
    return _read(text, f"{name}:", lambda words: read_fault(words[1:], ist_nanos(day, _time(words[0]))))


def read_commands(text: str, at: Nanos) -> tuple[Fault, ...]:
    """Faults that happen now: lines without a time. Raises ScriptRefused."""
    faults = _read(text, "line ", lambda words: read_fault(words, at))
    if not faults:
        raise ScriptRefused(["say what is to happen, like `drop market`"])
    return faults


def _read(text: str, name: str, fault_of: Callable[[list[str]], Fault]) -> tuple[Fault, ...]:
    faults, problems = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            if words := shlex.split(line, comments=True):
                faults.append(fault_of(words))
        except ValueError as error:
            problems.append(f"{name}{number}: {error}")
    if problems:
        raise ScriptRefused(problems)
    return tuple(faults)


def read_fault(words: list[str], at: Nanos) -> Fault:
    """One fault without its time: `stall market 20s`. Raises ValueError, saying what to write."""
    kind, rest = _kind(words)
    needs = _NEEDS.get(kind, _Needs())
    fault = Fault(at, kind)
    for word in rest:
        fault = _with(fault, word, needs)
    named = kind.value.replace("_", " ")
    if needs.seconds and not fault.seconds:
        raise ValueError(f"{named}: for how long? Write it behind, like `{named} 20s`")
    if needs.quantity and not fault.quantity:
        raise ValueError(f"{named}: of how many units? Write it behind, like `{named} 5m 65`")
    return fault


def _time(word: str) -> time:
    try:
        return time.fromisoformat(word)
    except ValueError:
        raise ValueError(f"{word!r} is no time of day: begin the line with one, like 09:30:00") from None


def _kind(words: list[str]) -> tuple[FaultKind, list[str]]:
    """The fault that the first words name (drop market, half-open market), and the other words."""
    said = [word.lower().replace("-", " ").replace("_", " ").split() or [""] for word in words]
    for many in range(1, len(words) + 1):
        name = " ".join(part for parts in said[:many] for part in parts)
        if name in NAMES:
            return NAMES[name], words[many:]
    raise ValueError(f"no fault is called {' '.join(words)!r}: there are {', '.join(NAMES)}")


def _with(fault: Fault, word: str, needs: _Needs) -> Fault:
    duration = _DURATION.fullmatch(word)
    if duration and needs.seconds:
        return fault._replace(seconds=float(duration[1]) * (60 if duration[2] == "m" else 1))
    if word.lower() in _CALLS and needs.act:
        return fault._replace(act=_CALLS[word.lower()])
    if word.isdecimal() and needs.quantity:
        return fault._replace(quantity=int(word))
    if needs.message and not fault.message:
        return fault._replace(message=word)
    named = fault.kind.value.replace("_", " ")
    raise ValueError(f"{named} does not take {word!r}{_takes(needs)}")


def _takes(needs: _Needs) -> str:
    takes = []
    if needs.seconds:
        takes.append("how long (20s, 5m)")
    if needs.act:
        takes.append("which call (place, modify, cancel)")
    if needs.quantity:
        takes.append("how many units (65)")
    if needs.message:
        takes.append("a text in quotes")
    return f": it takes {', '.join(takes)}" if takes else ": it takes nothing"
