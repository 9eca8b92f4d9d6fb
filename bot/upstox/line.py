"""One line to one host: a request goes out once, and how it ended is an Answer. Knows no endpoint.

It must never send a request twice, follow a redirect, or let a header or an address into a text. What
the Answer means is wire_answers.py's business.
"""

import asyncio
import socket
import ssl
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock
from bot.upstox.connection import Connection, Garbled, TooLarge
from bot.upstox.throttle import Throttle
from bot.upstox.wire_answers import Answer, Reach

# Upstox sits behind a proxy that turns default Python agents away (upstox §1.2).
USER_AGENT: Final = "kalman-options-bot"
HEADERS: Final = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Connection": "keep-alive",
}
# Shorter than servers keep an idle connection: a request into one that is just being closed ends as UNKNOWN.
KEEPALIVE_SECONDS: Final = 4.0
CONNECTIONS_MAX: Final = 32
_NEXT_ADDRESS_SECONDS: Final = 0.25
_POLITE_SECONDS: Final = 1.0


class Access(StrEnum):
    """Whether a host lets us in. Reads may work while orders do not (hazards A2): each line has its own."""

    OK = "ok"
    AUTH_REQUIRED = "auth_required"  # 401: a new token is needed
    FORBIDDEN = "forbidden"  # 403: the address (UDAPI1154), the algo's name, or the proxy


class Line:
    """The connections to `base`, its rate limit, and whether the host lets us in."""

    def __init__(
        self,
        clock: Clock,
        base: str,
        throttle: Throttle,
        *,
        connect_seconds: float,
        total_seconds: float,
        trust: ssl.SSLContext,
        headers: dict[str, str],
        ipv4_only: bool = False,
    ) -> None:
        assert connect_seconds < total_seconds
        address = urlsplit(base)
        assert address.hostname is not None, "a base address without a host"
        secure = address.scheme == "https"
        self._host, self._port = address.hostname, address.port or (443 if secure else 80)
        self._path = address.path.rstrip("/")
        self._way: dict[str, Any] = {"family": socket.AF_INET} if ipv4_only else {}
        if not _is_number(self._host):
            # A name may have several addresses: the next is tried beside one that is silent (RFC 8305).
            self._way |= {"happy_eyeballs_delay": _NEXT_ADDRESS_SECONDS}
        self._way |= {"ssl": trust, "ssl_shutdown_timeout": _POLITE_SECONDS} if secure else {}
        always = {"Host": address.netloc} | HEADERS | headers
        self._head = "".join(f"{name}: {value}\r\n" for name, value in always.items()).encode("ascii")
        assert self._head.count(b"\n") == len(always), "a header with a line break in it"
        self._clock = clock
        self._connect_seconds, self._total_seconds = connect_seconds, total_seconds
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._closed = False
        self.throttle = throttle
        self.access = Access.OK
        self.skew: Nanos | None = None  # our clock less the host's, by its last `Date`

    async def aclose(self) -> None:
        """End every connection: politely, and then without waiting any longer. No request leaves after it."""
        self._closed = True
        self._idle.clear()
        left = list(self._open)
        for connection in left:
            connection.close()
        if left:
            await asyncio.wait([connection.gone for connection in left], timeout=_POLITE_SECONDS)
        for connection in left:
            connection.abort()

    async def exchange(
        self, method: str, path: str, token: str, query: dict[str, str], content: bytes = b""
    ) -> Answer:
        """Send once, read all. Every ending the world can cause is an Answer; its words are ours alone.

        The whole of it takes at most `total_seconds`, however slowly the other side drips. The clock is
        told `departed` before the first byte and `arrived` after the last.
        """
        request = self._request(method, path, token, query, content)
        reached = Reach.NOT_SENT
        self._clock.departed()
        began = self._clock.now()
        try:
            async with asyncio.timeout(self._total_seconds), self._room:
                connection = self._waiting() or await self._connected()
                reached = Reach.NO_ANSWER  # from here on bytes may have left
                response = await connection.ask(request)
        except TimeoutError:
            return Answer(reached, reason="TIMEOUT")
        except TooLarge:
            return Answer(reached, reason="TOO_LARGE")
        except (OSError, Garbled):
            return Answer(reached, reason="CONNECT" if reached is Reach.NOT_SENT else "LOST")
        finally:
            self._clock.arrived()
        connection.expires_at = asyncio.get_running_loop().time() + KEEPALIVE_SECONDS
        self._idle.append(connection)
        self._compare_clocks(began, response.date)
        self._note(response.status)
        return Answer(Reach.ANSWERED, response.status, response.body)

    def _request(self, method: str, path: str, token: str, query: dict[str, str], content: bytes) -> bytes:
        """The whole of it, as it goes out. A token is of characters a header may carry (auth.py)."""
        target = f"{self._path}{path}?{urlencode(query)}" if query else self._path + path
        first = f"{method} {target} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n".encode("ascii")
        if not content:
            return b"%b%b\r\n" % (first, self._head)
        about = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(content)
        return b"%b%b%b\r\n%b" % (first, self._head, about, content)

    def _waiting(self) -> Connection | None:
        """The youngest connection that still can be counted on."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now < connection.expires_at:
                return connection
            connection.close()
        return None

    async def _connected(self) -> Connection:
        """A new one: name, TCP and TLS. Raises OSError, TimeoutError; nothing of a request has left then."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._connect_seconds):
            _, connection = await loop.create_connection(Connection, self._host, self._port, **self._way)
        if self._closed:
            connection.abort()
            raise ConnectionAbortedError
        self._open.add(connection)
        connection.gone.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    def _compare_clocks(self, began: Nanos, date: str) -> None:
        """`Date` is cut to the second, so the host's clock stood half a second later on average."""
        try:
            theirs = round(parsedate_to_datetime(date).timestamp()) * SECOND + SECOND // 2
        except (ValueError, OverflowError):
            return
        self.skew = (began + self._clock.now()) // 2 - theirs

    def _note(self, status: int) -> None:
        match status:
            case HTTPStatus.UNAUTHORIZED:
                self.access = Access.AUTH_REQUIRED
            case HTTPStatus.FORBIDDEN:
                self.access = Access.FORBIDDEN
            case HTTPStatus.OK | HTTPStatus.BAD_REQUEST:  # other answers may come without a look at the token
                self.access = Access.OK


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
