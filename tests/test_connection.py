"""One HTTP connection over real sockets: which answers are whole, and after which it may be used again."""

import asyncio
import contextlib
import functools
import gzip
import ssl
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.upstox import connection
from bot.upstox.connection import Connection, Garbled, Response, TooLarge
from tests.loopback import self_signed

OK = b"HTTP/1.1 200 OK\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b'{"status":"success"}'
LENGTH = b"content-length: %d\r\n" % len(BODY)
PACKED = gzip.compress(BODY, mtime=0)
LONG = gzip.compress(b"x" * 5000, mtime=0)


both = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])


@functools.cache
def certified() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's end and the client's."""
    with TemporaryDirectory() as folder:
        return self_signed(Path(folder))


@contextlib.asynccontextmanager
async def peer(*replies: Sequence[bytes], tls: bool = False) -> AsyncIterator[Connection]:
    """A connection to a server that says the pieces of each reply in turn, one after each request; an empty
    piece hangs up.
    """
    there, here = certified() if tls else (None, None)
    served = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for pieces in replies:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        await reader.read()  # until the other side hangs up

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await converse(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=there)
    port = server.sockets[0].getsockname()[1]
    _, made = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port, ssl=here)
    try:
        yield made
    finally:
        made.abort()
        server.close()
        async with asyncio.timeout(5):
            await made.gone
            await served.wait()


async def asked(made: Connection) -> Response:
    async with asyncio.timeout(5):
        return await made.ask(REQUEST)


WHOLE = {
    "by its length": [OK + LENGTH + b"\r\n" + BODY],
    "in chunks": [OK + b"transfer-encoding: chunked\r\n\r\n", b"5\r\n%b\r\n" % BODY[:5],
                  b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY) - 5, BODY[5:])],
    "to the end of the connection": [OK + b"\r\n", BODY, b""],
    "after a 100 and a 103": [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK + LENGTH,
                              b"\r\n" + BODY],
    "gzip": [OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(PACKED) + PACKED],
    "gzip to the end of the connection": [OK + b"content-encoding: X-GZIP \r\n\r\n" + PACKED, b""],
    "in chunks, with words behind": [
        OK + b"transfer-encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY),
        b"content-encoding: br\r\ndate: never\r\n\r\n",
    ],
}  # fmt: skip


@both
@pytest.mark.parametrize("how", WHOLE)
async def test_every_way_http_ends_a_body_gives_the_whole_of_it(how, tls):
    async with peer(WHOLE[how], tls=tls) as made:
        assert await asked(made) == Response(200, "", BODY)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 140), max_size=6), how=st.sampled_from(sorted(WHOLE)))
def test_where_the_network_cuts_an_answer_makes_no_difference(cuts, how):
    whole = b"".join(WHOLE[how])
    at = [0, *sorted(cut for cut in set(cuts) if cut < len(whole)), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(at)]
    if WHOLE[how][-1] == b"":
        pieces.append(b"")

    async def once() -> Response:
        async with peer(pieces) as made:
            return await asked(made)

    assert asyncio.run(once()) == Response(200, "", BODY)


@given(
    how=st.sampled_from(sorted(WHOLE)),
    wounds=st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=4)), min_size=1, max_size=5),
)
def test_no_wounded_answer_does_more_than_fail_its_call(how, wounds):
    wounded = bytearray(b"".join(WHOLE[how]))
    for at, patch in wounds:
        wounded[at : at + len(patch) + 1] = patch
    said: list[dict[str, object]] = []

    async def once() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, words: said.append(words))
        async with peer([bytes(wounded), b""]) as made:
            with contextlib.suppress(OSError, Garbled, TooLarge):
                assert isinstance(await asked(made), Response)

    asyncio.run(once())
    assert not said


AGAIN = {
    "an answer with a length": ([OK + LENGTH + b"\r\n" + BODY], True),
    "an answer without a body": ([b"HTTP/1.1 204 No Content\r\n\r\n"], True),
    "the server will close": ([OK + b"connection: close\r\n" + LENGTH + b"\r\n" + BODY], False),
    "the server hung up": ([OK + LENGTH + b"\r\n" + BODY, b""], False),
    "an old server": ([b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n" + BODY], False),
    "words behind the answer": ([OK + LENGTH + b"\r\n" + BODY + OK], False),
    "words nobody asked for": ([OK + LENGTH + b"\r\n" + BODY, OK], False),
}


@both
@pytest.mark.parametrize("after", AGAIN)
async def test_a_connection_is_used_again_only_after_a_clean_end(after, tls):
    reply, again = AGAIN[after]
    async with peer(reply, [OK + LENGTH + b"\r\n" + BODY], tls=tls) as made:
        await asked(made)
        await asyncio.sleep(0.05)  # until words that came late are there
        assert made.usable is again
        if again:
            assert (await asked(made)).body == BODY


async def test_a_hang_up_that_the_loop_has_not_heard_of_yet_is_seen_in_the_socket():
    """Between the other side's end and the loop's next look an order must not go out on that connection."""
    async with peer([OK + LENGTH + b"\r\n" + BODY], [b""]) as made:
        await asked(made)
        made._transport.pause_reading()  # the loop does not look
        made._transport.write(REQUEST)  # at which the server hangs up
        await asyncio.sleep(0.05)
        assert not made._transport.is_closing()
        assert not made.usable


BROKEN = {
    "hung up without a word": ([b""], ConnectionError),
    "hung up within the head": ([OK, b""], ConnectionError),
    "hung up within the body": ([OK + LENGTH + b"\r\n{", b""], ConnectionError),
    "another protocol": ([b"SSH-2.0-OpenSSH\r\n\r\n"], Garbled),
    "a length that is none": ([OK + b"content-length: many\r\n\r\n"], Garbled),
    "two lengths": ([OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n"], Garbled),
    "a head without end": ([OK + b"x: " + b"y" * (1 << 17)], TooLarge),
    "an encoding nobody asked for": ([OK + b"content-encoding: br\r\n" + LENGTH + b"\r\n" + BODY], Garbled),
    "nothing, and not to its end": ([OK + b"transfer-encoding: chunked\r\n\r\n", b""], ConnectionError),
    "packed and damaged, to the end": ([OK + b"content-encoding: gzip\r\n\r\n" + PACKED[:-9], b""], Garbled),
    "packed, and more": ([OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % (2 * len(PACKED))
                          + PACKED + PACKED], Garbled),
    "words behind without end": ([OK + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + b"y" * (1 << 17)],
                                 TooLarge),
    "not packed at all": ([OK + b"content-encoding: gzip\r\n" + LENGTH + b"\r\n" + BODY], Garbled),
    "packed, torn": ([OK + b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\n" + PACKED[:9]], Garbled),
    "too large": ([OK + b"content-length: 5000\r\n\r\n" + b"x" * 5000], TooLarge),
    "too large, unpacked": ([OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(LONG) + LONG],
                            TooLarge),
}  # fmt: skip


@both
@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_answer_is_an_error_and_the_end_of_the_connection(how, tls, monkeypatch):
    monkeypatch.setattr(connection, "BODY_BYTES_MAX", 1000)
    reply, error = BROKEN[how]
    async with peer(reply, tls=tls) as made:
        with pytest.raises(error):
            await asked(made)
        async with asyncio.timeout(5):
            await made.gone
        assert not made.usable


@both
async def test_nothing_of_an_answer_is_left_for_the_next(tls):
    """A 204 has no length; the hang-up without a word that follows must not end an answer of that kind."""
    async with peer([b"HTTP/1.1 204 No Content\r\ndate: then\r\n\r\n"], [b""], tls=tls) as made:
        assert await asked(made) == Response(204, "then", b"")
        with pytest.raises(ConnectionError):
            await asked(made)


async def test_an_empty_body_needs_no_unpacking():
    async with peer([b"HTTP/1.1 401 No\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n"]) as made:
        assert (await asked(made)).status == 401


@both
async def test_closed_twice_it_can_still_be_ended(tls):
    """The other side never says goodbye: TLS waits for it."""
    async with peer([OK + LENGTH + b"\r\n" + BODY], tls=tls) as made:
        await asked(made)
        made.close()
        made.close()
        made.abort()
        async with asyncio.timeout(2):
            await made.gone


async def test_who_stops_waiting_ends_the_connection_so_that_no_late_answer_meets_the_next_call():
    async with peer([OK + LENGTH + b"\r\n"]) as made:
        waiting = asyncio.ensure_future(asked(made))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(5):
            await made.gone
        assert not made.usable
