"""The answering end of HTTP/1.1 for a world in a box: no more than the bot asks of its twin.

A good part of a simulated day was spent in a general server library. This stands in for uvicorn's protocol
under the twin's application; the bot's end and the twin's routes are the very same. Some days still run on
the library (`World.whole_http`), and a test holds the two against each other. It must never know what is
asked.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

_END_OF_HEAD: Final = b"\r\n\r\n"
_Headers = list[tuple[bytes, bytes]]


class _Reader:
    """Messages out of a stream of bytes: (first line, headers, body), each with a Content-Length or none."""

    def __init__(self) -> None:
        self._heard = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, _Headers, bytes] | None:
        """The message that is complete with these bytes. One at a time: nobody here asks before an answer."""
        self._heard += data
        head_ends = self._heard.find(_END_OF_HEAD)
        if head_ends < 0:
            return None
        first, *lines = bytes(self._heard[:head_ends]).split(b"\r\n")
        headers, length = [], 0
        for line in lines:
            name, _, value = line.partition(b": ")
            name = name.lower()
            headers.append((name, value))
            if name == b"content-length":
                length = int(value)
        body_begins = head_ends + len(_END_OF_HEAD)
        if len(self._heard) < body_begins + length:
            return None
        body = bytes(self._heard[body_begins:])
        assert len(body) == length
        self._heard.clear()
        return first, headers, body


def _head(first: bytes, headers: _Headers) -> bytes:
    return b"\r\n".join([first, *(b"%b: %b" % header for header in headers), b"", b""])


class LeanProtocol(asyncio.Protocol):
    """In the place of uvicorn's protocol: one call at a time, to an ASGI application."""

    def __init__(self, config: Any, server_state: Any, **_: Any) -> None:
        self._app, self._state = config.loaded_app, server_state
        self._reader = _Reader()
        self.client: tuple[str, int] = ("", 0)
        self._call: _Answering | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.client = transport.get_extra_info("peername")
        self._state.connections.add(self)

    def data_received(self, data: bytes) -> None:
        message = self._reader.feed(data)
        if message is None:
            return
        first, headers, body = message
        method, target, _ = first.decode().split(" ")
        path, _, query = target.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": query.encode(), "root_path": "", "headers": headers,
            "client": self.client, "server": None, "state": {},
        }  # fmt: skip
        self._call = call = _Answering(self.transport, body)
        task = asyncio.get_running_loop().create_task(self._app(scope, call.receive, call.send))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def connection_lost(self, _: Exception | None) -> None:
        self._state.connections.discard(self)
        if self._call is not None:
            self._call.end()


class _Answering:
    """One call, as ASGI sees it."""

    __slots__ = ("_body", "_gone", "_head", "_over", "_transport")

    def __init__(self, transport: asyncio.Transport, body: bytes) -> None:
        self._transport, self._body = transport, [body]
        self._head: tuple[int, _Headers] = (0, [])
        self._over = False
        self._gone: asyncio.Future[None] | None = None

    async def receive(self) -> dict[str, Any]:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        if not self._over:
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self._over:
            return
        if message["type"] == "http.response.start":
            self._head = (message["status"], list(message["headers"]))
            return
        assert not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        status, headers = self._head
        if not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", b"%d" % len(body)))
        phrase = HTTPStatus(status).phrase.encode()
        self._transport.write(_head(b"HTTP/1.1 %d %b" % (status, phrase), headers) + body)
        self.end()

    def end(self) -> None:
        """Answered, or nobody waits for it any more."""
        self._over = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
