"""What a check found, and what all the findings together mean. Knows no check and no screen."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"  # trade, but know this
    NO_GO = "no_go"


class Finding(NamedTuple):
    """One check's answer. `advice` says what to do, "" when there is nothing to do."""

    check: str
    verdict: Verdict
    said: str
    advice: str = ""
    seconds: float = 0.0


# The order in which they are shown.
CHECKS: Final = (
    *("token", "address", "calendar", "instrument", "lot and freeze", "funds", "charges", "clock"),
    *("model", "disk", "archive", "feed"),
)
# A no-go here is a pity after the day, or a figure to look at; it does not make trading unsafe.
_HARMLESS: Final = frozenset({"archive", "charges"})


def ok(check: str, said: str) -> Finding:
    return Finding(check, Verdict.OK, said)


def warn(check: str, said: str, advice: str) -> Finding:
    return Finding(check, Verdict.WARN, said, advice)


def no_go(check: str, said: str, advice: str) -> Finding:
    return Finding(check, Verdict.NO_GO, said, advice)


def outcomes(findings: Iterable[Finding]) -> tuple[tuple[str, bool], ...]:
    """(check, passed) of those that were made; a warning is passed, what was not asked is neither."""
    return tuple(
        (f.check, f.verdict is not Verdict.NO_GO) for f in findings if not f.said.startswith("not asked")
    )


def go(findings: Iterable[Finding]) -> bool:
    """No check says no. Warnings do not stop anybody."""
    return all(finding.verdict is not Verdict.NO_GO for finding in findings)


def unsafe(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The checks for which the bot must not enter today."""
    return tuple(f.check for f in findings if f.verdict is Verdict.NO_GO and f.check not in _HARMLESS)
