"""HTTP/1.1 for a world in a box: both ends of it, no more than the two say to each other.

Nearly half of a simulated day was spent in general HTTP libraries. This stands in for the transport under
httpx and for the protocol under the twin's application; what is above them stays: the bot's own lines and
their timeouts, httpx' requests and answers, the twin's routes. The bytes are HTTP on the virtual network,
written in the same pieces. Some days still run on the whole libraries (`World.whole_http`), and a test holds
the two against each other. It must never know what is asked.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import httpx

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


# ---- the asking end ----------------------------------------------------------------------------------------


class LeanTransport(httpx.AsyncBaseTransport):
    """In the place of httpx.AsyncHTTPTransport: a pool of connections, each for one call at a time.

    A connection that was reset while it idled is used once more, and that call is lost: libraries that look
    at the socket first may look too early.
    """

    def __init__(self, *, limits: httpx.Limits, **_: Any) -> None:
        self._keepalive_seconds = limits.keepalive_expiry or 0.0
        self._idle: list[_Asking] = []
        self._busy: set[_Asking] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.ConnectError, ConnectTimeout or ReadError. Waits for an answer without end."""
        loop = asyncio.get_running_loop()
        trace = request.extensions["trace"]
        line = self._reusable(loop.time())
        if line is None:
            await trace("connection.connect_tcp.started", {})
            line = await _connected(loop, request)
        self._busy.add(line)
        try:
            await trace("http11.send_request_headers.started", {})
            response = await line.ask(request)
        except BaseException:
            line.transport.close()
            raise
        finally:
            self._busy.discard(line)
        line.expires_at = loop.time() + self._keepalive_seconds
        self._idle.append(line)
        return response

    async def aclose(self) -> None:
        for line in (*self._idle, *self._busy):
            line.transport.close()
        self._idle.clear()

    def _reusable(self, now: float) -> "_Asking | None":
        for line in [line for line in self._idle if line.expires_at < now]:
            self._idle.remove(line)
            line.transport.close()
        if not self._idle:
            return None
        oldest = min(self._idle, key=lambda line: line.number)
        self._idle.remove(oldest)
        return oldest


async def _connected(loop: asyncio.AbstractEventLoop, request: httpx.Request) -> "_Asking":
    try:
        async with asyncio.timeout(request.extensions["timeout"]["connect"]):
            _, line = await loop.create_connection(_Asking, request.url.host, request.url.port or 80)
    except TimeoutError:
        raise httpx.ConnectTimeout("connect") from None
    except OSError as refused:
        raise httpx.ConnectError(str(refused)) from None
    return line


class _Asking(asyncio.Protocol):
    """The bot's end of a connection."""

    transport: asyncio.Transport
    made = 0

    def __init__(self) -> None:
        _Asking.made += 1  # only their order matters
        self.number, self.expires_at = _Asking.made, 0.0
        self._reader, self._lost = _Reader(), False
        self._answer: asyncio.Future[httpx.Response] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: httpx.Request) -> httpx.Response:
        first = b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)
        self.transport.write(_head(first, request.headers.raw))
        if request.content:
            self.transport.write(request.content)
        if self._lost:
            raise httpx.ReadError("the connection is gone")
        self._answer = asyncio.get_running_loop().create_future()
        return await self._answer

    def data_received(self, data: bytes) -> None:
        message = self._reader.feed(data)
        if message is not None and self._answer is not None and not self._answer.done():
            first, headers, body = message
            self._answer.set_result(
                httpx.Response(int(first[9:12]), headers=headers, stream=httpx.ByteStream(body))
            )

    def connection_lost(self, _: Exception | None) -> None:
        self._lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(httpx.ReadError("the connection is gone"))


# ---- the answering end -------------------------------------------------------------------------------------


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
