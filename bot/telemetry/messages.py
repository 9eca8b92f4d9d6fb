"""Two words a day: go or no-go in the morning, what was in the evening; posted to Alertmanager's API.

They take the way every alert takes (routing, receivers), but are no rules: on a calm day nothing fires. A
message that cannot be delivered costs a log line. Call `post` on a thread: it waits for the network.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import httpx

from bot.core.units import Paise, Quantity, rupees_text

_TIMEOUT_SECONDS: Final = 5.0


class Message(NamedTuple):
    """What a person gets. `page`: somebody must act."""

    name: str
    page: bool
    summary: str  # one line, fit for a lock screen
    text: str


class ContractLine(NamedTuple):
    """One contract, as the morning message says it. Money in paise."""

    name: str
    quantity: Quantity
    lot: Quantity
    stop_risk: Paise


class Evening(NamedTuple):
    """The day's end. Money in paise."""

    flat: bool
    books_agree: bool | None  # None: not compared
    trades: int
    gross: Paise
    charges: Paise
    net: Paise
    stops: int
    worst_slippage: Paise
    files: Sequence[str]
    archive_problem: str


def morning(contracts: Sequence[ContractLine], checks: Sequence[tuple[str, bool]], objection: str) -> Message:
    """Go, or no-go and why. `checks`: (name, passed); `objection`: why no entries are possible, or ""."""
    failed = [name for name, passed in checks if not passed]
    reasons = [*([objection] if objection else []), *failed]
    names = ", ".join(line.name for line in contracts)
    lines = [
        f"{line.name}: {line.quantity} units, lot {line.lot}; a stop costs ₹{rupees_text(line.stop_risk)}"
        for line in contracts
    ]
    if reasons:
        lines.append("No-go: " + ", ".join(reasons) + ". No entries until it is mended; see docs/runbook.md.")
    word = "NO-GO" if reasons else "GO"
    return Message("MorningMessage", bool(reasons), f"{word}: {names}", "\n".join(lines))


def refused(problems: Sequence[str]) -> Message:
    """The day did not even start."""
    return Message("MorningMessage", True, "NO-GO: the bot did not start", "\n".join(problems))


def evening(end: Evening) -> Message:
    """The day in numbers; a page when it did not end flat with equal books."""
    wrong = []
    if not end.flat:
        wrong.append("NOT FLAT: close the position in the broker's app")
    if end.books_agree is not True:
        wrong.append("books not compared" if end.books_agree is None else "books DIFFER from the broker's")
    if end.archive_problem:
        wrong.append(f"not archived: {end.archive_problem}")
    state = "; ".join(wrong) or "flat, verified"
    text = (
        f"{state}\n{end.trades} trades, {end.stops} stop-losses\n"
        f"gross ₹{rupees_text(end.gross)}, charges ₹{rupees_text(end.charges)}, net ₹{rupees_text(end.net)}\n"
        f"worst slippage ₹{rupees_text(end.worst_slippage)}\nfiles: {', '.join(end.files) or 'none'}"
    )
    page = not end.flat or end.books_agree is not True
    summary = f"net ₹{rupees_text(end.net)}, {end.trades} trades, {'flat' if end.flat else 'NOT FLAT'}"
    return Message("EveningMessage", page, summary, text)


def post(alertmanager: str, message: Message, session: str) -> str:
    """Hand it to Alertmanager. Returns "" or what went wrong; no time is sent, so its own clock counts."""
    alert = {
        "labels": {
            "alertname": message.name,
            "severity": "page" if message.page else "info",
            "kind": "event",
            "session": session,
        },
        "annotations": {"summary": message.summary, "description": message.text},
    }
    try:
        answer = httpx.post(f"{alertmanager}/api/v2/alerts", json=[alert], timeout=_TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return "" if answer.is_success else f"{answer.status_code}: {answer.text[:200]}"
