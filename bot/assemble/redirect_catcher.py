"""Catches the one redirect of a login on loopback, checks its `state`, and hands over the code.

A server for a minute: plain HTTP, GET only, nothing kept, nothing logged (the address holds the code).
"""

import asyncio
import hmac
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from bot.upstox.login import LoginRefused

_HEAD_BYTES_MAX: Final = 16_384
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_PAGE: Final = (
    "<!doctype html><meta charset=utf-8><title>bot login</title>"
    "<body style='font:18px sans-serif;margin:4em'><p>{}</p>"
)


class RedirectCatcher:
    """Listens at `redirect_uri`. An async context manager; `code` waits for the redirect."""

    def __init__(self, redirect_uri: str, state: str) -> None:
        """Raises LoginRefused for an address that is not this machine's own."""
        parts = urlsplit(redirect_uri)
        if parts.scheme != "http" or parts.hostname not in _LOOPBACK or not parts.port:
            raise LoginRefused(
                f"login.redirect_uri {redirect_uri} is no address on this machine. Register one like "
                "http://127.0.0.1:8910/login with your app in the developer console, and set the same here."
            )
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path or "/"
        self._state = state
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._port, limit=_HEAD_BYTES_MAX
            )
        except OSError as error:
            raise LoginRefused(
                f"port {self._port} can't be listened on ({error.strerror}): end what uses it, or register "
                "another redirect address with your app and set login.redirect_uri to it."
            ) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        if self._code.done():
            self._code.exception()  # looked at, so that nobody complains of it

    async def code(self, seconds: float) -> str:
        """The code of the first redirect with our state. Raises LoginRefused."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._code)
        except TimeoutError:
            raise LoginRefused(
                f"nobody came back from the login page within {seconds:.0f} s. Run `bot login` again."
            ) from None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                status, words = self._answer(head)
                page = _PAGE.format(words).encode()
                writer.write(
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/html\r\n"
                    f"Content-Length: {len(page)}\r\nCache-Control: no-store\r\n"
                    "Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n".encode()
                    + page
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # somebody else's connection; the redirect may still come
        finally:
            writer.close()

    def _answer(self, head: bytes) -> tuple[HTTPStatus, str]:
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        address = urlsplit(rest.partition(" ")[0])
        if method != "GET" or address.path != self._path:
            return HTTPStatus.NOT_FOUND, "Nothing here."
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if not hmac.compare_digest(query.get("state", "").encode(), self._state.encode()):
            return (
                HTTPStatus.BAD_REQUEST,
                "This answer belongs to another login. Close it; bot login waits on.",
            )
        if self._code.done():
            return HTTPStatus.CONFLICT, "This login is over."
        if not query.get("code"):
            self._code.set_exception(LoginRefused("the login was refused or cancelled on the broker's page."))
            return HTTPStatus.OK, "No login. The terminal says more."
        self._code.set_result(query["code"])
        return HTTPStatus.OK, "Thank you. The rest is in the terminal; this page can be closed."
