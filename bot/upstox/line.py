"""One line to one host: a request goes out once, and how it ended is an Answer. Knows no endpoint.

It must never send a request twice, follow a redirect, or let a header or an address into a text. What
the Answer means is wire_answers.py's business.
"""

import asyncio
import ssl
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import httpx

from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock
from bot.upstox.throttle import Throttle
from bot.upstox.wire_answers import Answer, Reach

# Upstox sits behind a proxy that turns default Python agents away (upstox §1.2).
USER_AGENT: Final = "kalman-options-bot"
HEADERS: Final = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}
# Shorter than servers keep an idle connection: a request into one that is just being closed ends as UNKNOWN.
KEEPALIVE_SECONDS: Final = 4.0
CONNECTIONS_MAX: Final = 32
BODY_BYTES_MAX: Final = 16 << 20


class Access(StrEnum):
    """Whether a host lets us in. Reads may work while orders do not (hazards A2): each line has its own."""

    OK = "ok"
    AUTH_REQUIRED = "auth_required"  # 401: a new token is needed
    FORBIDDEN = "forbidden"  # 403: the address (UDAPI1154), the algo's name, or the proxy


class Line:
    """A pool of connections to `base`, its rate limit, and whether the host lets us in."""

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
        # TCP and TLS have so long each. A total that cut a handshake short would leak its socket (httpcore).
        assert 2 * connect_seconds < total_seconds
        # Not httpx' client, which would follow cookies, redirects and proxies out of the environment, and
        # takes as long as all the rest: its transport alone, without retries.
        self._transport = httpx.AsyncHTTPTransport(
            verify=trust,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_SECONDS),
            retries=0,
            local_address="0.0.0.0" if ipv4_only else None,  # noqa: S104 - our own end of a call
        )
        self._base = base.rstrip("/")
        self._urls: dict[str, httpx.URL] = {}  # parsed; those without a query are few
        self._headers = HEADERS | headers
        self._timeouts = httpx.Timeout(total_seconds, connect=connect_seconds).as_dict()
        self._clock = clock
        self._total_seconds = total_seconds
        self.throttle = throttle
        self.access = Access.OK
        self.skew: Nanos | None = None  # our clock less the host's, by its last `Date`

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def exchange(
        self, method: str, path: str, token: str, query: dict[str, str], content: bytes | None = None
    ) -> Answer:
        """Send once, read all. Every ending the world can cause is an Answer; its words are ours alone.

        The whole of it takes at most `total_seconds`, however slowly the other side drips. The clock is
        told `departed` before the first byte and `arrived` after the last.
        """
        trip = _Trip()
        headers = {"Authorization": f"Bearer {token}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        request = httpx.Request(
            method,
            self._url(path, query),
            headers=self._headers | headers,
            content=content,
            extensions={"timeout": self._timeouts, "trace": trip.hear},
        )
        self._clock.departed()
        sent = self._clock.now()
        try:
            async with asyncio.timeout(self._total_seconds):
                response = await self._transport.handle_async_request(request)
                self._compare_clocks(sent, response)
                try:
                    body = await _whole_body(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            return trip.failed("TIMEOUT")
        except (httpx.RequestError, OSError) as failure:
            return trip.failed("CONNECT" if isinstance(failure, httpx.ConnectError) else "LOST")
        finally:
            self._clock.arrived()
        self._note(response.status_code)
        if body is None:
            return trip.failed("TOO_LARGE")
        return Answer(Reach.ANSWERED, response.status_code, body)

    def _url(self, path: str, query: dict[str, str]) -> httpx.URL:
        if query:
            return httpx.URL(self._base + path, params=query)
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self._base + path)
        return url

    def _compare_clocks(self, sent: Nanos, response: httpx.Response) -> None:
        """`Date` is cut to the second, so the host's clock stood half a second later on average."""
        try:
            date = parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            return
        theirs = round(date.timestamp()) * SECOND + SECOND // 2
        self.skew = (sent + self._clock.now()) // 2 - theirs

    def _note(self, status: int) -> None:
        match status:
            case HTTPStatus.UNAUTHORIZED:
                self.access = Access.AUTH_REQUIRED
            case HTTPStatus.FORBIDDEN:
                self.access = Access.FORBIDDEN
            case HTTPStatus.OK | HTTPStatus.BAD_REQUEST:  # other answers may come without a look at the token
                self.access = Access.OK


class _Trip:
    """How far a request got, as the HTTP library tells it while it works."""

    __slots__ = ("_connecting", "_left")

    def __init__(self) -> None:
        self._connecting = False
        self._left = False

    async def hear(self, event: str, _info: object) -> None:
        """`connection.*` is name, TCP and TLS; anything after it may put bytes of the request on the wire."""
        if event.startswith("connection."):
            self._connecting = True
        else:
            self._left = True

    def failed(self, reason: str) -> Answer:
        """NOT_SENT only when the library said that it was still connecting; silence proves nothing."""
        not_sent = self._connecting and not self._left
        return Answer(Reach.NOT_SENT if not_sent else Reach.NO_ANSWER, reason=reason)


async def _whole_body(response: httpx.Response) -> bytes | None:
    """None when it is larger than any answer should be."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)
