"""Who may come in, and how often: tokens, single-use addresses, rate limits (upstox §2.2, §3.1, §7.1).

No clock: the time is an argument. Knows neither HTTP nor sockets; a refusal is raised as `Refused`.
"""

from collections import deque
from enum import StrEnum
from http import HTTPStatus
from random import Random
from typing import Final, NamedTuple

from bot.core.units import SECOND, Nanos
from bot.twin.answers import Refused
from bot.twin.hours import next_expiry

CODE_LIVES: Final[Nanos] = 60 * SECOND  # a third party's observation (upstox §3.1)
MINUTE: Final[Nanos] = 60 * SECOND
# (span, calls): orders of one user together; every other API by itself (upstox §7.1).
ORDER_LIMITS: Final = ((SECOND, 10), (MINUTE, 500), (30 * MINUTE, 2000))
READ_LIMITS: Final = ((SECOND, 50), (MINUTE, 500), (30 * MINUTE, 2000))


class Stream(StrEnum):
    """The two WebSockets."""

    MARKET = "market"
    PORTFOLIO = "portfolio"


class Ticket(NamedTuple):
    """What a single-use address stands for."""

    stream: Stream
    update_types: frozenset[str]
    until: Nanos


class Access:
    """One account's tokens, addresses and limits."""

    def __init__(self, token: str, at: Nanos, rng: Random) -> None:
        self._tokens: dict[str, Nanos] = {}  # text → when it dies
        self._tickets: dict[str, Ticket] = {}
        self._limits: dict[str, _Limit] = {}
        self._rng = rng
        self.issue(token, at)

    def issue(self, token: str, at: Nanos) -> None:
        """`token` is good from now until the next 03:30 IST."""
        self._tokens[token] = next_expiry(at)

    def revoke(self, token: str) -> None:
        """Logged out."""
        self._tokens.pop(token, None)

    def check(self, authorization: str, at: Nanos) -> str:
        """The token of a header `Bearer …`. Raises Refused (401) when it is none of ours or dead."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or self._tokens.get(token, 0) <= at:
            raise Refused(HTTPStatus.UNAUTHORIZED, "UDAPI100050", "Invalid token used to access API")
        return token

    def ticket(self, stream: Stream, update_types: frozenset[str], at: Nanos) -> str:
        """The query of a single-use address: use it at once (upstox §3.1)."""
        code = f"{self._rng.getrandbits(160):040x}"
        self._tickets[code] = Ticket(stream, update_types, at + CODE_LIVES)
        return f"requestId={self._rng.getrandbits(64):016x}&code={code}"

    def redeem(self, stream: Stream, code: str, at: Nanos) -> Ticket | None:
        """None: unknown, used, too old, or of the other stream."""
        ticket = self._tickets.pop(code, None)
        return ticket if ticket and ticket.stream is stream and at < ticket.until else None

    def count(self, api: str, at: Nanos, *, order: bool, calls: int = 1) -> None:
        """A call comes in. Raises Refused (429) when it is one too many; that one is not counted."""
        name = "orders" if order else api
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = _Limit(ORDER_LIMITS if order else READ_LIMITS)
        if not limit.take(at, calls):  # no Retry-After (upstox §7.1)
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "UDAPI10005", "Too Many Request Sent")


class _Limit:
    """So many calls in each span of time."""

    def __init__(self, spans: tuple[tuple[Nanos, int], ...]) -> None:
        self._windows = [(span, most, deque[Nanos]()) for span, most in spans]

    def take(self, at: Nanos, calls: int) -> bool:
        for span, most, times in self._windows:
            while times and times[0] <= at - span:
                times.popleft()
            if len(times) + calls > most:
                return False
        for _, _, times in self._windows:
            times.extend([at] * calls)
        return True
