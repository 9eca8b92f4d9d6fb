"""Looks after the day's token while the bot runs: sees that we are shut out, and takes a new one.

A token file can be written by anything, so what stands in it is a stranger until a profile call has proven
it, and proven it to be of the same account. It must never show a token, and never drop one that works for
one that does not.
"""

import contextlib
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from bot.assemble.access import TokenRefused, verify
from bot.assemble.plan import Lines
from bot.assemble.preflight.broker_checks import NO_ORDER
from bot.core.commands import CancelOrder
from bot.core.events import AccessChanged
from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock
from bot.storage.token_file import TokenFileRefused, read_token
from bot.upstox.auth import Token
from bot.upstox.line import Access
from bot.upstox.rest import Hosts
from bot.upstox.wire_answers import ReadFailed

LOOK_EVERY: Final[Nanos] = 2 * SECOND
ASK_EVERY: Final[Nanos] = 30 * SECOND  # while shut out: nobody else may be asking
_WORDS: Final = {
    Access.AUTH_REQUIRED: "the broker does not accept the token (401): no entries, and exits fail until "
    "`bot login` or `bot token set` brings a new one. If a position is open, close it in the broker's app.",
    Access.FORBIDDEN: "the broker turns us away (403): no entries, and exits may fail. Is this machine's "
    "address the registered one? If a position is open, close it in the broker's app.",
}


class TokenWatch:
    """One day's. `user_id`: whose the first token was proven to be, "" while nobody has asked."""

    def __init__(
        self,
        clock: Clock,
        token: Token,
        file: Path,
        hosts: Hosts,
        hide: Callable[[str], None],
        log: FilteringBoundLogger,
        *,
        user_id: str = "",
        read_only: bool = False,
    ) -> None:
        """`read_only`: no orders are sent, so an analytics token will do. `hide`: told of every candidate
        before anything else is done with it (the log's redactor).
        """
        self._clock = clock
        self._token = token
        self._file = file
        self._hosts = hosts
        self._hide = hide
        self._log = log
        self._read_only = read_only
        self.user_id = user_id
        self.state = Access.OK  # as last told
        self._refused: set[str] = set()  # digests of what did not do
        self._told = ""  # the last complaint about the file
        self._asked: Nanos = clock.monotonic() - ASK_EVERY
        self._at_start = _digest(self._kept())  # an old token beside a good one is nothing new

    async def run(self, lines: Lines) -> None:
        """Until cancelled: beside a running day."""
        while True:
            await self.look(lines)
            await self._clock.sleep_until(self._clock.now() + LOOK_EVERY)

    async def look(self, lines: Lines) -> None:
        """One round: is there a new token, and are we let in?"""
        due = self._clock.monotonic() - self._asked >= ASK_EVERY
        if not self.user_id and due:
            await self._learn_user(lines)
        if await self.take_new():
            await self._prove(lines)
            lines.renew()
        elif self.state is not Access.OK and due:
            await self._prove(lines)
        self._tell(lines)

    async def take_new(self) -> bool:
        """Use the file's token from now on, if it is another, works, and is of the same account."""
        text = self._kept()
        digest = _digest(text)
        stale = digest == self._at_start and self.state is Access.OK
        if not text or text == self._token() or digest in self._refused or stale:
            return False
        self._hide(text)
        try:
            found = await verify(self._clock, self._hosts, text, read_only=self._read_only)
        except TokenRefused as refused:
            if not refused.passing:
                self._refused.add(digest)
            self._complain(f"the token in {self._file} is not used: {refused}")
            return False
        if self.user_id and found.user_id != self.user_id:
            self._refused.add(digest)
            self._complain(
                f"the token in {self._file} is not used: it is of {found.user_id}, the day began with "
                f"{self.user_id}. Run `bot token set` with a token of that account."
            )
            return False
        self.user_id, self._told = found.user_id, ""
        self._token.replace(text)
        self._log.warning("token_replaced", user=found.user_id, file=str(self._file))
        return True

    # ---- inside --------------------------------------------------------------------------------------

    async def _learn_user(self, lines: Lines) -> None:
        """A line that is turned away keeps that in mind; then it is asked again later."""
        self._asked = self._clock.monotonic()
        with contextlib.suppress(ReadFailed):
            self.user_id = (await lines.rest.identity()).user_id

    async def _prove(self, lines: Lines) -> None:
        """Ask both hosts something harmless: their answers set the lines' states."""
        self._asked = self._clock.monotonic()
        try:
            await lines.rest.identity()
        except ReadFailed as failure:
            if failure.status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                return
        if lines.rest.orders_access is not Access.OK:
            await lines.rest.cancel(CancelOrder("access", NO_ORDER, "access"))

    def _tell(self, lines: Lines) -> None:
        """Tell the engine when it changes."""
        states: tuple[Access, ...] = (lines.rest.orders_access, lines.rest.reads_access)
        if self._read_only:  # such a token may be forbidden the account's own pages and still read prices
            states = tuple(Access.OK if state is Access.FORBIDDEN else state for state in states)
        state = next((wanted for wanted in _WORDS if wanted in states), Access.OK)
        if state is self.state:
            return
        self.state = state
        text = _WORDS.get(state, "the broker lets us in again")
        now, mono = self._clock.now(), self._clock.monotonic()
        lines.put(AccessChanged(now, mono, state is Access.OK, text))

    def _kept(self) -> str:
        try:
            return read_token(self._file)
        except TokenFileRefused as refused:
            self._complain(str(refused))
            return ""

    def _complain(self, text: str) -> None:
        """Aloud, and once."""
        if text != self._told:
            self._told = text
            self._log.error("token_refused", problem=text)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest() if text else ""
