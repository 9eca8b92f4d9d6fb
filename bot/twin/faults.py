"""What goes wrong on command: a script of faults, and what is armed at the moment (upstox §10, §8).

This file only keeps the book; sockets, gate and order calls ask it what to do to them. No clock.
"""

from collections.abc import Iterable
from datetime import date, time
from enum import StrEnum
from http import HTTPStatus
from typing import Final, NamedTuple

from bot.core.events import Act
from bot.core.units import Nanos, Quantity, ist_nanos
from bot.twin.access import Stream
from bot.twin.answers import Refused


class FaultKind(StrEnum):
    """The words of a script. `seconds`, `act`, `message` and `quantity` of a Fault mean what is said here."""

    DROP_MARKET = "drop_market"  # the market sockets end without a close frame (1006)
    DROP_PORTFOLIO = "drop_portfolio"
    STALL_MARKET = "stall_market"  # the market sockets open now say nothing for `seconds`; pongs go on
    HALF_OPEN_MARKET = "half_open_market"  # the market sockets open now answer nothing any more, not even
    HALF_OPEN_PORTFOLIO = "half_open_portfolio"  # pings, and never end: the wall clock only
    REFUSE_HANDSHAKE = "refuse_handshake"  # for `seconds` every WebSocket handshake ends with 403 (§8.1)
    REDIRECT_HANDSHAKE = "redirect_handshake"  # the next handshake is sent on (307) to another address
    REJECT = "reject"  # the next `act` is taken, then refused downstream with `message`
    DENY = "deny"  # the next `act` is refused at once, by the code that `message` names
    LOSE_REPLY = "lose_reply"  # the next order call is done, then its connection breaks
    LATE_ACCEPTANCE = "late_acceptance"  # the next order call reaches the broker `seconds` late
    SLOW_REPLY = "slow_reply"  # the next order call is done at once and answered `seconds` late
    THIN_BOOK = "thin_book"  # for `seconds` an order meets at most `quantity` a message: part fills
    SHUFFLE_PORTFOLIO = "shuffle_portfolio"  # for `seconds` updates come in pairs, younger first, twice
    UNAUTHORIZED = "unauthorized"  # for `seconds` every call ends with 401
    BLOCKED = "blocked"  # …with 403 and the page of a proxy, which is HTML (§8.18)
    TOO_MANY = "too_many"  # …with 429
    WRONG_ADDRESS = "wrong_address"  # order calls end with 403 UDAPI1154
    DOWN = "down"  # for `seconds` no call is done or answered: its connection breaks


class Fault(NamedTuple):
    """One line of a script."""

    at: Nanos
    kind: FaultKind
    seconds: float = 0.0
    act: Act = Act.PLACE
    message: str = ""
    quantity: Quantity = 0


STREAM_OF: Final = {
    FaultKind.DROP_MARKET: Stream.MARKET,
    FaultKind.HALF_OPEN_MARKET: Stream.MARKET,
    FaultKind.STALL_MARKET: Stream.MARKET,
    FaultKind.DROP_PORTFOLIO: Stream.PORTFOLIO,
    FaultKind.HALF_OPEN_PORTFOLIO: Stream.PORTFOLIO,
}
_OF_THE_NEXT_CALL = frozenset(
    {FaultKind.DENY, FaultKind.LOSE_REPLY, FaultKind.LATE_ACCEPTANCE, FaultKind.SLOW_REPLY}
)
_REFUSALS = {
    FaultKind.UNAUTHORIZED: (HTTPStatus.UNAUTHORIZED, "UDAPI100050", "Invalid token used to access API"),
    FaultKind.BLOCKED: (HTTPStatus.FORBIDDEN, "", "error code: 1010"),
    FaultKind.TOO_MANY: (HTTPStatus.TOO_MANY_REQUESTS, "UDAPI10005", "Too Many Request Sent"),
    FaultKind.WRONG_ADDRESS: (
        HTTPStatus.FORBIDDEN,
        "UDAPI1154",
        "Access to this API is restricted to the registered static IP",
    ),
}
# The others come with 400 (upstox §2.5).
_STATUS_OF_CODE = {code: status for status, code, _ in _REFUSALS.values()} | {
    "UDAPI100057": HTTPStatus.UNAUTHORIZED,
    "UDAPI100060": HTTPStatus.NOT_FOUND,
    "UDAPI100500": HTTPStatus.INTERNAL_SERVER_ERROR,
}


def refused_by(code: str) -> Refused:
    """A refusal on command; without a code, the one of a request with invalid input."""
    code = code or "UDAPI100036"
    no = Refused(_STATUS_OF_CODE.get(code, HTTPStatus.BAD_REQUEST), code, "Refused on command")
    no.injected = True
    return no


class Faults:
    """The script, and what is armed."""

    def __init__(self, script: Iterable[Fault] = ()) -> None:
        self.script = sorted(script, key=lambda fault: fault.at)
        self._next: list[Fault] = []
        self._until: dict[FaultKind, Nanos] = {}
        self._thin: Quantity = 0
        self._redirects = 0

    def arm(self, fault: Fault, until: Nanos) -> None:
        """Keep in mind what befalls the next call, or every call until `until`."""
        if fault.kind is FaultKind.REDIRECT_HANDSHAKE:
            self._redirects += 1
        elif fault.kind in _OF_THE_NEXT_CALL:
            self._next.append(fault)
        else:
            self._until[fault.kind] = until
            self._thin = fault.quantity if fault.kind is FaultKind.THIN_BOOK else self._thin

    def on_call(self, act: Act) -> Fault | None:
        """What befalls this order call; used up by asking."""
        for fault in self._next:
            if fault.act is act:
                self._next.remove(fault)
                return fault
        return None

    def on_handshake(self) -> bool:
        """Is this handshake to be sent on to another address? Used up by asking."""
        asked, self._redirects = self._redirects, max(self._redirects - 1, 0)
        return asked > 0

    def rages(self, kind: FaultKind, at: Nanos) -> bool:
        """Is a fault that lasts a while under way?"""
        return at < self._until.get(kind, 0)

    def raging(self, at: Nanos) -> list[FaultKind]:
        """All that are."""
        return [kind for kind in FaultKind if self.rages(kind, at)]

    def check(self, at: Nanos, *, order: bool) -> None:
        """Raises Refused when calls are being refused just now."""
        for kind, (status, code, message) in _REFUSALS.items():
            if self.rages(kind, at) and (order or kind is not FaultKind.WRONG_ADDRESS):
                no = Refused(status, code, message)
                no.injected = True
                raise no

    def thinned(self, quantity: Quantity, at: Nanos) -> Quantity:
        """The size at the touch that an order meets."""
        return min(quantity, self._thin) if self.rages(FaultKind.THIN_BOOK, at) else quantity


def eventful(day: date) -> tuple[Fault, ...]:
    """The demo's own: the market socket drops once, late in the morning. (The slide is the market's.)"""
    return (Fault(ist_nanos(day, time(11, 7)), FaultKind.DROP_MARKET),)
