"""One connection that speaks HTTP/1.1: one request at a time, and its whole answer, parsed by llhttp.

asyncio's own transport lies below, so that a request is on the wire soon after it was wanted
(docs/decisions.md), and the loop tells at once when the other side hangs up. It must never send anything
twice, and knows no host, no token, no meaning.
"""

import asyncio
import select
import zlib
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_BYTES_MAX: Final = 64 << 10
BODY_BYTES_MAX: Final = 16 << 20
_GZIP: Final = zlib.MAX_WBITS | 16
_PLAIN: Final = frozenset({b"", b"identity"})
_PACKED: Final = frozenset({b"gzip", b"x-gzip"})
_FIRST_FINAL_STATUS: Final = 200  # below: "go on", "early hints"; the answer is still to come


class Garbled(Exception):
    """What came back is no HTTP, or not all of it."""


class TooLarge(Exception):
    """An answer larger than any should be."""


class Response(NamedTuple):
    """A whole answer. `date`: the header as it was sent; "" without one."""

    status: int
    date: str
    body: bytes


class Connection(asyncio.Protocol):
    """Made by the loop's `create_connection`. `ask` one that is `usable`."""

    _transport: asyncio.Transport  # from the loop, before anything else

    def __init__(self) -> None:
        self.expires_at = 0.0  # the loop's time after which nobody should count on it
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parser = HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None  # while somebody waits
        self._headers: dict[bytes, bytes] = {}
        self._head_over = False
        self._bytes = 0  # heard since something was asked
        self._body = bytearray()

    @property
    def usable(self) -> bool:
        """Nobody waits, and the other side has not hung up: a word in the socket would be its last.

        Python 3.11 does not tell for one turn of the loop that TLS failed: what is sent then ends in doubt.
        """
        if self._transport.is_closing() or self._answer is not None:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    async def ask(self, request: bytes) -> Response:
        """Send once, in one piece; wait for the whole answer, without end. Cancelled, the connection is over.

        Raises OSError when it is lost, Garbled, TooLarge.
        """
        assert self._answer is None, "one request at a time"
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._forget()
        self._transport.write(request)
        if self.gone.done():  # nothing would be heard of it any more
            raise ConnectionResetError
        try:
            return await answer
        except BaseException:
            self._transport.abort()
            raise

    def close(self) -> None:
        """Politely; `gone` tells when."""
        if not self._transport.is_closing():  # asked twice, a TLS transport can't be aborted any more
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # ---- what the loop calls -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            cause = error.__context__  # raised in one of our callbacks below: it wraps it
            self._condemn(cause if isinstance(cause, Garbled | TooLarge) else Garbled(str(error)))
        self._bytes += len(data)
        if self._bytes > HEAD_BYTES_MAX + (BODY_BYTES_MAX if self._head_over else 0):
            self._condemn(TooLarge())

    def eof_received(self) -> None:
        """An answer without a length ends with the connection; any other is cut short. None: close."""
        if self._head_over and not self._headers.keys() & {b"content-length", b"transfer-encoding"}:
            try:
                self.on_message_complete()
            except (Garbled, TooLarge) as error:
                self._condemn(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error if isinstance(error, OSError) else ConnectionResetError())
        self._forget()
        del self._parser  # it knows us, too: a circle
        if not self.gone.done():
            self.gone.set_result(None)

    # ---- what the parser calls -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._headers, self._head_over, self._body = {}, False, bytearray()
        if self._answer is None:
            self._transport.abort()  # a word nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_over:  # what comes behind a chunked body says nothing to us
            self._headers[name.lower()] = value.strip()

    def on_headers_complete(self) -> None:
        self._head_over = True

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:
            raise TooLarge

    def on_message_complete(self) -> None:
        status, answer = self._parser.get_status_code(), self._answer
        if status < _FIRST_FINAL_STATUS or answer is None or answer.done():
            return
        body = _unpacked(bytes(self._body), self._headers.get(b"content-encoding", b"").lower())
        answer.set_result(Response(status, self._headers.get(b"date", b"").decode("latin-1"), body))
        self._answer = None
        if not self._parser.should_keep_alive():
            self.close()

    # ---- inside --------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Nothing of an answer has been heard."""
        self._headers, self._head_over, self._bytes, self._body = {}, False, 0, bytearray()

    def _condemn(self, error: Exception) -> None:
        self._fail(error)
        self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _unpacked(body: bytes, encoding: bytes) -> bytes:
    """Raises Garbled, TooLarge."""
    if encoding in _PLAIN or not body:
        return body
    if encoding not in _PACKED:
        raise Garbled("an encoding nobody asked for")
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(body, BODY_BYTES_MAX)
    except zlib.error as error:
        raise Garbled(str(error)) from error
    if len(unpacked) == BODY_BYTES_MAX:
        raise TooLarge
    if not unpacker.eof or unpacker.unused_data:
        raise Garbled("a packed body that does not end, or goes on")
    return unpacked
