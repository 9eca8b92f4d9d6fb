"""What an HTTP answer of Upstox means: the one table from how a request ended to what is known of it.

Pure. It does not know who asked, which library carried the bytes, or what the bot makes of it.

An order call has three endings. ACCEPTED: taken for processing. REFUSED: a definite no, so nothing was
done. UNKNOWN: it may or may not have been done, and the order book must be asked by tag. There is no
idempotency key (upstox §0.6), so every doubt is UNKNOWN: a wrong REFUSED is a position nobody knows of,
a wrong UNKNOWN costs a look into the book.
"""

import re
from enum import StrEnum, auto
from http import HTTPStatus
from typing import NamedTuple

import orjson

from bot.core.events import Outcome

MESSAGE_LENGTH_MAX = 300
_CODE = re.compile(r"[A-Za-z0-9_]{1,40}")  # what may stand in a log as a code


class Reach(StrEnum):
    """How far a request got."""

    NOT_SENT = auto()  # no byte of it left: name, address, TLS, or our own limit
    NO_ANSWER = auto()  # bytes may have left, and no whole answer came back
    ANSWERED = auto()


class Answer(NamedTuple):
    """How a request ended. `reason` says why there is no answer: TIMEOUT, CONNECT, LOST, TOO_LARGE."""

    reach: Reach
    status: int = 0
    body: bytes = b""
    reason: str = ""


class CallResult(NamedTuple):
    """What is known of an order call. `code`: the broker's, or our name for the failure; "" when accepted."""

    outcome: Outcome
    order_ids: tuple[str, ...]
    code: str
    message: str


class ReadFailed(Exception):
    """A read gave nothing. `reason` ∈ network | timeout | server | auth | rate | shut | refused | garbled.

    `code`: the broker's, our name for the failure, or the field that could not be read.
    """

    def __init__(self, reason: str, status: int, code: str) -> None:
        super().__init__(f"{reason} (HTTP {status} {code})" if status else reason)
        self.reason = reason
        self.status = status  # 0 when there was no answer
        self.code = code


class ApiError(NamedTuple):
    code: str
    message: str


class _Body(StrEnum):
    """What the body says, whatever the status line does."""

    ORDERS = auto()  # success (or part of it) with at least one order id
    NO = auto()  # an error envelope in which every code is a definite no
    ELSE = auto()  # HTML, empty, torn, an unknown code, a success without an id


# Codes by which an order call is refused for certain (upstox §2.5). UDAPI100500, "generic server error",
# is left out on purpose, and a code that is not here is a doubt, not a no (hazards O3).
# fmt: off
DEFINITE = frozenset(f"UDAPI{number}" for number in (
    # the request itself
    10000, 1003, 1004, 1006, 1007, 1008, 1010, 1023, 1026, 1029, 1030, 1031, 1032, 1036, 1037, 1038, 1039,
    1040, 1052, 1054, 1055, 1056, 1057, 1087, 1089, 1105, 1111, 1113, 1119, 1156, 1158, 1159, 1160, 1161,
    100011, 100015, 100036, 100038, 100039,
    # the order it speaks of, or the address it went to
    100060, 100010, 100040, 100041,
    # who asks, from where, how often, and when
    10005, 1154, 100016, 100049, 100050, 100057, 100058, 100067, 100073, 100074,
))
# fmt: on
_NO_ANSWER = {"TIMEOUT": "timeout", "TOO_LARGE": "garbled"}  # reason of an Answer → reason of a ReadFailed
_ANY = frozenset(_Body)
_SUCCESS = range(200, 300)
_CLIENT_ERROR = range(400, 500)


class _Rule(NamedTuple):
    reach: Reach
    statuses: range
    bodies: frozenset[_Body]
    outcome: Outcome


def _only(status: HTTPStatus) -> range:
    return range(status, status + 1)


# The first rule that fits counts; when none does, UNKNOWN: 3xx, 5xx, HTML or an empty body with 200 or 400,
# a code nobody has documented.
_RULES = (
    _Rule(Reach.NOT_SENT, range(1), _ANY, Outcome.REFUSED),
    _Rule(Reach.NO_ANSWER, range(1), _ANY, Outcome.UNKNOWN),
    _Rule(Reach.ANSWERED, _SUCCESS, frozenset({_Body.ORDERS}), Outcome.ACCEPTED),
    _Rule(Reach.ANSWERED, _SUCCESS, frozenset({_Body.NO}), Outcome.REFUSED),
    # Turned away at the door, with or without a readable body (a proxy's HTML page: upstox §1.3, §8.18).
    _Rule(Reach.ANSWERED, _only(HTTPStatus.UNAUTHORIZED), _ANY - {_Body.ORDERS}, Outcome.REFUSED),
    _Rule(Reach.ANSWERED, _only(HTTPStatus.FORBIDDEN), _ANY - {_Body.ORDERS}, Outcome.REFUSED),
    _Rule(Reach.ANSWERED, _only(HTTPStatus.TOO_MANY_REQUESTS), _ANY - {_Body.ORDERS}, Outcome.REFUSED),
    _Rule(Reach.ANSWERED, _CLIENT_ERROR, frozenset({_Body.NO}), Outcome.REFUSED),
)


def order_result(answer: Answer) -> CallResult:
    """How a place, modify or cancel call ended (the table above)."""
    envelope = _envelope(answer.body)
    order_ids = _order_ids(envelope)
    errors = api_errors(envelope)
    if order_ids:
        body = _Body.ORDERS
    elif errors and all(error.code in DEFINITE for error in errors):
        body = _Body.NO
    else:
        body = _Body.ELSE
    outcome = next(
        (
            rule.outcome
            for rule in _RULES
            if rule.reach is answer.reach and answer.status in rule.statuses and body in rule.bodies
        ),
        Outcome.UNKNOWN,
    )
    if outcome is Outcome.ACCEPTED:
        return CallResult(
            outcome, order_ids, "", "" if len(order_ids) == 1 else f"orders {', '.join(order_ids)}"
        )
    code, message = _code_and_message(answer, envelope, errors)
    return CallResult(outcome, order_ids, code, message)


def read_data(answer: Answer) -> object:
    """The `data` of a successful read. Raises ReadFailed; a partial success is not a success here."""
    envelope = _envelope(answer.body)
    status = answer.status
    if answer.reach is not Reach.ANSWERED:
        raise ReadFailed(_NO_ANSWER.get(answer.reason, "network"), 0, answer.reason)
    if (
        status in _SUCCESS
        and envelope is not None
        and envelope.get("status") == "success"
        and "data" in envelope
    ):
        return envelope["data"]
    code, _ = _code_and_message(answer, envelope, api_errors(envelope))
    raise ReadFailed(_read_reason(status), status, code)


def _read_reason(status: int) -> str:
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return "auth"
        case HTTPStatus.TOO_MANY_REQUESTS:
            return "rate"
        case HTTPStatus.LOCKED:  # 00:00-05:30 IST (upstox §6.2)
            return "shut"
        case _ if status in _CLIENT_ERROR:
            return "refused"
        case _ if status in _SUCCESS:
            return "garbled"
        case _:
            return "server"


def _envelope(body: bytes) -> dict[str, object] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _order_ids(envelope: dict[str, object] | None) -> tuple[str, ...]:
    """`data.order_ids` (place: one a slice) or `data.order_id` (modify, cancel)."""
    if envelope is None or envelope.get("status") not in ("success", "partial_success"):
        return ()
    data = envelope.get("data")
    if not isinstance(data, dict):
        return ()
    named = data.get("order_ids")
    ids = named if isinstance(named, list) else [data.get("order_id")]
    return tuple(str(one) for one in ids if isinstance(one, str | int) and not isinstance(one, bool) and one)


def api_errors(envelope: dict[str, object] | None) -> tuple[ApiError, ...]:
    """The errors of an error envelope, in either casing (upstox §1.3); () when it is not one."""
    if envelope is None or envelope.get("status") != "error":
        return ()
    rows = envelope.get("errors")
    return tuple(_api_error(row) for row in rows) if isinstance(rows, list) else ()


def _api_error(row: object) -> ApiError:
    fields = row if isinstance(row, dict) else {}
    code = fields.get("error_code") or fields.get("errorCode")  # the snake one is the supported one
    message = fields.get("message")
    readable = isinstance(code, str) and _CODE.fullmatch(code) is not None
    return ApiError(str(code) if readable else "", _one_line(message) if isinstance(message, str) else "")


def _one_line(message: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in message).split())[:MESSAGE_LENGTH_MAX]


def _code_and_message(
    answer: Answer, envelope: dict[str, object] | None, errors: tuple[ApiError, ...]
) -> tuple[str, str]:
    if answer.reach is not Reach.ANSWERED:
        code = "NOT_SENT" if answer.reach is Reach.NOT_SENT else answer.reason
        return code, answer.reason
    if errors:
        return errors[0].code or f"HTTP_{answer.status}", errors[0].message
    what = "not JSON" if envelope is None else "no error code and no order id"
    return f"HTTP_{answer.status}", f"HTTP {answer.status}, {len(answer.body)} bytes, {what}"
