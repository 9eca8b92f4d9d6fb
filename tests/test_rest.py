"""The REST calls over real sockets: what goes out, how each failure ends, and that nothing goes out twice."""

import asyncio
import contextlib
import logging
import socket
import time
import traceback

import httpx
import pytest
from starlette.responses import Response

from bot.core.commands import CancelOrder, Decision, ModifyOrder, PlaceOrder, Reason
from bot.core.events import OrderType, Outcome, PositionRow, Side
from bot.upstox.auth import Token
from bot.upstox.line import Access
from bot.upstox.reconnect import AuthorizeFailed
from bot.upstox.rest import Hosts, UpstoxRest
from bot.upstox.wire_answers import ReadFailed
from tests.loopback import (
    CountingClock,
    answer,
    error,
    hang,
    raw_serving,
    self_signed,
    serving,
    success,
    unused_port,
)

TRUST = httpx.create_ssl_context()  # made once: loading the roots takes longer than most of these tests
IMPATIENT = 0.5  # seconds for a call that will hang; enough for one that will not, on a busy machine
SECRET = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0LWNsYWltcw.c2lnbmF0dXJl"
KEY = "NSE_FO|45450"
SEEN = Decision(1, 12345, 0.0, 0.0, 0.0, 0.7)
ENTRY = PlaceOrder("d1r1n1", KEY, Side.BUY, OrderType.LIMIT, 75, 76355, 0, "D", Reason.ENTRY, SEEN)
EXIT = ENTRY._replace(side=Side.SELL, reason=Reason.SIGNAL_EXIT)
MODIFY = ModifyOrder("d1r1n1", "2610041", OrderType.LIMIT, 75, 70000, 0, Reason.SIGNAL_EXIT)
CANCEL = CancelOrder("d1r1n1", "2610041", "timeout")
PLACE, AMEND, REVOKE = "/v3/order/place", "/v3/order/modify", "/v3/order/cancel"
BOOK, POSITIONS = "/v2/order/retrieve-all", "/v2/portfolio/short-term-positions"
HTML = "<html><title>Attention Required! | Cloudflare</title>error 1010</html>"
ROW = {"order_id": "1", "status": "open", "transaction_type": "BUY", "instrument_token": KEY, "tag": "t"}


@contextlib.asynccontextmanager
async def client(base, orders=None, **settings):
    clock = CountingClock()
    settings = {"total_seconds": 2.0, "trust": TRUST, **settings}
    settings.setdefault("connect_seconds", settings["total_seconds"] * 0.9)
    rest = UpstoxRest(clock, Token(SECRET), Hosts(base, orders or base), **settings)
    try:
        yield rest, clock
    finally:
        await rest.aclose()
        assert clock.under_way == 0


def calls(rest):
    return {
        PLACE: lambda: rest.place(EXIT),
        AMEND: lambda: rest.modify(MODIFY),
        REVOKE: lambda: rest.cancel(CANCEL),
    }


# ---- what goes out -----


async def test_the_three_order_calls_as_the_server_sees_them():
    async with serving() as server, client(server.base, algo_name="My Algo") as (rest, clock):
        server.on(PLACE, success({"order_ids": ["2610041"]}))
        server.on(AMEND, success({"order_id": "2610041"}))
        server.on(REVOKE, success({"order_id": "2610041"}))
        for call in calls(rest).values():
            result = await call()
            assert (result.outcome, result.order_ids, result.code) == (Outcome.ACCEPTED, ("2610041",), "")
        place, modify, cancel = server.sent
        assert (place.method, place.path) == ("POST", PLACE)
        assert place.body["tag"] == "d1r1n1"
        assert (modify.method, modify.path, modify.body["order_id"]) == ("PUT", AMEND, "2610041")
        assert (cancel.method, cancel.path, cancel.query) == ("DELETE", REVOKE, {"order_id": "2610041"})
        assert cancel.body == {}
        for sent in server.sent:
            assert sent.headers["authorization"] == f"Bearer {SECRET}"
            assert sent.headers["user-agent"] == "kalman-options-bot"
            assert sent.headers["content-type"] == sent.headers["accept"] == "application/json"
            assert sent.headers["x-algo-name"] == "My Algo"
        assert clock.departures == 3


async def test_orders_and_reads_go_to_their_own_hosts_and_the_algo_name_only_with_orders():
    async with (
        serving() as reads,
        serving() as orders,
        client(reads.base, orders.base, algo_name="A") as (rest, _),
    ):
        reads.on(BOOK, success([]))
        orders.on(PLACE, success({"order_ids": ["1"]}))
        await rest.place(ENTRY)
        assert await rest.order_book() == ()
        assert [sent.path for sent in reads.sent] == [BOOK]
        assert [sent.path for sent in orders.sent] == [PLACE]
        assert "x-algo-name" not in reads.sent[0].headers


async def test_a_new_token_is_used_from_the_next_request_on():
    async with serving() as server:
        server.on("/v2/user/profile", error(401, "UDAPI100050", "Invalid token"), success({"user_id": "AB"}))
        token = Token("yesterdays-token")
        rest = UpstoxRest(CountingClock(), token, Hosts(server.base, server.base), trust=TRUST)
        with pytest.raises(ReadFailed) as failed:
            await rest.profile()
        assert (failed.value.reason, failed.value.code) == ("auth", "UDAPI100050")
        assert rest.reads_access is Access.AUTH_REQUIRED
        token.replace("todays-token")
        assert await rest.profile() == {"user_id": "AB"}
        assert rest.reads_access is Access.OK
        assert [sent.headers["authorization"] for sent in server.sent] == [
            "Bearer yesterdays-token",
            "Bearer todays-token",
        ]
        await rest.aclose()


async def test_a_proxy_in_the_environment_does_not_come_between(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    async with serving() as server, client(server.base) as (rest, _):
        server.on(BOOK, success([ROW]))
        assert [order.order_id for order in await rest.order_book()] == ["1"]


# ---- how each failure of an order call ends, and that it is sent once -----

ENDINGS = {
    "the broker's refusal": (error(400, "UDAPI1052"), Outcome.REFUSED, "UDAPI1052"),
    "a code nobody knows": (error(400, "UDAPI7777"), Outcome.UNKNOWN, "UDAPI7777"),
    "an expired token": (error(401, "UDAPI100050"), Outcome.REFUSED, "UDAPI100050"),
    "a foreign address": (error(403, "UDAPI1154"), Outcome.REFUSED, "UDAPI1154"),
    "the proxy's page": (answer(403, HTML, "text/html"), Outcome.REFUSED, "HTTP_403"),
    "too many requests": (error(429, "UDAPI10005"), Outcome.REFUSED, "UDAPI10005"),
    "a server error": (error(500, "UDAPI100500"), Outcome.UNKNOWN, "UDAPI100500"),
    "a bad gateway": (answer(502, HTML, "text/html"), Outcome.UNKNOWN, "HTTP_502"),
    "an empty 400": (answer(400), Outcome.UNKNOWN, "HTTP_400"),
    "an empty 200": (answer(200), Outcome.UNKNOWN, "HTTP_200"),
    "a page for an answer": (answer(200, HTML, "text/html"), Outcome.UNKNOWN, "HTTP_200"),
    "a success without an id": (success({"order_ids": []}), Outcome.UNKNOWN, "HTTP_200"),
    "silence": (hang(), Outcome.UNKNOWN, "TIMEOUT"),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_each_ending_of_each_order_call_and_never_a_second_request(name):
    say, outcome, code = ENDINGS[name]
    async with serving() as server, client(server.base, total_seconds=IMPATIENT) as (rest, clock):
        for path in (PLACE, AMEND, REVOKE):
            server.on(path, say)
        for result in await asyncio.gather(*(call() for call in calls(rest).values())):
            assert (result.outcome, result.code, result.order_ids) == (outcome, code, ())
        await asyncio.sleep(0.02)
        assert sorted(sent.path for sent in server.sent) == sorted([PLACE, AMEND, REVOKE])
        assert clock.departures == 3


async def test_a_redirect_of_an_order_is_not_followed():
    async with serving() as server, client(server.base) as (rest, _):

        async def elsewhere(_sent):
            return Response(status_code=307, headers={"location": f"{server.base}/elsewhere?code=s3cr3t"})

        server.on(PLACE, elsewhere)
        result = await rest.place(EXIT)
        assert (result.outcome, result.code) == (Outcome.UNKNOWN, "HTTP_307")
        assert len(server.sent) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=["nothing", "torn body", "not gzip", "not http"],
)
async def test_a_lost_reply_is_unknown_and_sent_once(reply):
    async with raw_serving(reply) as server, client(server.base) as (rest, _):
        for call in calls(rest).values():
            result = await call()
            assert (result.outcome, result.code) == (Outcome.UNKNOWN, "LOST")
        assert server.requests == 3


async def test_a_connection_that_died_idle_is_not_used_for_an_order():
    """The server closes after each answer without saying so; the next order finds a connection of its own."""
    body = b'{"status":"success","data":{"order_ids":["1"]}}'
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    async with raw_serving(reply) as server, client(server.base) as (rest, _):
        for _ in range(3):
            assert (await rest.place(EXIT)).outcome is Outcome.ACCEPTED
            await asyncio.sleep(0.01)
        assert (server.requests, server.connections) == (3, 3)


async def test_orders_go_over_ipv4_only():
    """The same IPv6 server: reads reach it, orders do not (upstox §8.16: the order host hangs over IPv6)."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    body = b'{"status":"success","data":[]}'
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    try:
        serving_six = raw_serving(reply, host="::1")
        async with serving_six as server, client(server.base) as (rest, _):
            assert await rest.order_book() == ()
            assert (await rest.place(EXIT)).code == "NOT_SENT"
            assert server.requests == 1
    except OSError as no_six:
        pytest.skip(f"no IPv6 loopback here: {no_six}")


async def test_refused_connection_and_unknown_host_are_definite():
    for base in (f"http://127.0.0.1:{unused_port()}", "http://no-such-host.invalid"):
        async with client(base) as (rest, clock):
            for call in calls(rest).values():
                result = await call()
                assert (result.outcome, result.code, result.message) == (
                    Outcome.REFUSED,
                    "NOT_SENT",
                    "CONNECT",
                )
            assert clock.departures == 3


async def test_a_handshake_that_never_ends_is_definite_but_a_silent_server_is_not():
    """The same silence, before and after bytes of the order may have left."""
    async with raw_serving(b"", read=False) as server:
        secure = server.base.replace("http:", "https:")
        async with client(secure, connect_seconds=0.1) as (rest, _):
            result = await rest.place(EXIT)
            assert (result.outcome, result.code) == (Outcome.REFUSED, "NOT_SENT")
        async with client(server.base, total_seconds=IMPATIENT) as (rest, _):
            result = await rest.place(EXIT)
            assert (result.outcome, result.code) == (Outcome.UNKNOWN, "TIMEOUT")


async def test_a_server_with_a_certificate_nobody_vouches_for_never_sees_the_order(tmp_path):
    placed = b'{"status":"success","data":{"order_ids":["1"]}}'
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(placed), placed)
    own, trust = self_signed(tmp_path)
    async with raw_serving(reply, tls=own) as server:
        async with client(server.base) as (rest, _):
            result = await rest.place(EXIT)
            assert (result.outcome, result.code) == (Outcome.REFUSED, "NOT_SENT")
        assert server.requests == 0
        async with client(server.base, trust=trust) as (rest, _):
            assert (await rest.place(EXIT)).outcome is Outcome.ACCEPTED


async def test_the_total_time_holds_against_a_server_that_drips():
    """Each byte comes well within a read timeout; only a limit on the whole ends it (hazards A4)."""

    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + b"x" * 9999:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.005)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with client(base, total_seconds=0.3) as (rest, _):
        started = time.monotonic()
        assert (await rest.cancel(CANCEL)).code == "TIMEOUT"
        assert 0.25 < time.monotonic() - started < 3
    server.close()
    await asyncio.sleep(0.05)
    await server.wait_closed()


async def test_of_two_addresses_an_order_does_not_wait_for_the_one_that_is_silent(monkeypatch):
    """As a host with several machines behind it, one of which is gone (RFC 8305)."""
    silent = "127.0.0.9"
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def both(_host, port, **_more):
        inet = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*inet, (silent, port)), (*inet, ("127.0.0.1", port))]

    async def hanging(sock, address):
        await (asyncio.sleep(60) if address[0] == silent else connect(sock, address))

    async with (
        serving() as server,
        client(server.base.replace("127.0.0.1", "localhost")) as (rest, _),
    ):
        monkeypatch.setattr(loop, "getaddrinfo", both)
        monkeypatch.setattr(loop, "sock_connect", hanging)
        server.on(PLACE, success({"order_ids": ["1"]}))
        started = time.monotonic()
        assert (await rest.place(EXIT)).outcome is Outcome.ACCEPTED
        assert time.monotonic() - started < 0.8


async def test_nothing_leaves_a_line_that_was_closed_while_it_connected(monkeypatch):
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def late(sock, address):
        await asyncio.sleep(0.1)
        await connect(sock, address)

    async with serving() as server, client(server.base) as (rest, _):
        monkeypatch.setattr(loop, "sock_connect", late)
        placing = asyncio.ensure_future(rest.place(EXIT))
        await asyncio.sleep(0.02)
        await rest.aclose()
        assert (await placing).code == "NOT_SENT"
        await asyncio.sleep(0.05)
        assert not server.sent


async def test_a_date_that_no_calendar_has_spoils_no_answer():
    body = b'{"status":"success","data":{"order_ids":["1"]}}'
    for date in (b"Thu, 99 Foo 2026", b"Mon, 30 Nov 2026 09:14:00 +999999999999999999999", b"\xff"):
        reply = b"HTTP/1.1 200 OK\r\ndate: %s\r\ncontent-length: %d\r\n\r\n%s" % (date, len(body), body)
        async with raw_serving(reply) as server, client(server.base) as (rest, _):
            assert (await rest.place(EXIT)).outcome is Outcome.ACCEPTED
            assert rest.clock_skew is None


async def test_a_hanging_order_delays_no_other_call():
    async with serving() as server, client(server.base, total_seconds=1.0) as (rest, _):
        server.on(PLACE, hang())
        server.on(REVOKE, success({"order_id": "2610041"}))
        placing = asyncio.create_task(rest.place(ENTRY))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        assert (await rest.cancel(CANCEL)).outcome is Outcome.ACCEPTED
        assert time.monotonic() - started < 0.8
        assert (await placing).code == "TIMEOUT"


async def test_entries_give_way_to_exits_and_are_refused_rather_than_sent_late():
    """Thirty entries at once: three go, the rest wait, exits pass them by; woken too late, none goes."""
    clock = StandingClock()
    async with serving() as server:
        server.on(PLACE, success({"order_ids": ["1"]}))
        server.on(REVOKE, success({"order_id": "2610041"}))
        rest = UpstoxRest(clock, Token(SECRET), Hosts(server.base, server.base), trust=TRUST)
        entries = [asyncio.create_task(rest.place(ENTRY)) for _ in range(30)]
        await asyncio.sleep(0.1)
        assert [entry.done() for entry in entries] == [True] * 3 + [False] * 27
        assert (await rest.place(EXIT)).outcome is Outcome.ACCEPTED
        assert (await rest.cancel(CANCEL)).outcome is Outcome.ACCEPTED
        clock.move(10)
        async with asyncio.timeout(5):
            results = await asyncio.gather(*entries)
        assert {result.outcome for result in results[3:]} == {Outcome.REFUSED}
        assert {result.code for result in results[3:]} == {"LOCAL_LIMIT"}
        assert len(server.sent) == 3 + 2
        await rest.aclose()


class StandingClock(CountingClock):
    """Time stands until told to move; sleepers then wake, whatever they asked for."""

    def __init__(self):
        super().__init__()
        self.time = 10**18
        self.moved = asyncio.Event()

    def now(self):
        return self.time

    monotonic = now

    async def sleep_until(self, _at):
        await self.moved.wait()

    def move(self, seconds):
        self.time += seconds * 10**9
        self.moved.set()
        self.moved.clear()


# ---- reads -----


async def test_book_positions_trades_and_funds_come_typed():
    trade = {
        "order_id": "1",
        "trade_id": "2",
        "transaction_type": "SELL",
        "quantity": 75,
        "average_price": 100.05,
    }
    async with serving() as server, client(server.base) as (rest, clock):
        server.on(BOOK, success([ROW]))
        server.on(POSITIONS, success([{"instrument_token": KEY, "product": "D", "quantity": -75}]))
        server.on("/v2/order/trades/get-trades-for-day", success([trade]))
        server.on("/v3/user/get-funds-and-margin", success({"available_to_trade": {"total": 5.5}}))
        before = time.time_ns()
        (order,) = await rest.order_book()
        assert (order.order_id, order.tag, order.instrument) == ("1", "t", KEY)
        assert before <= order.at <= time.time_ns() + clock.skipped
        assert await rest.positions() == (PositionRow(KEY, "D", -75),)
        (sold,) = await rest.trades_for_day()
        assert (sold.price, sold.quantity, sold.side) == (10005, 75, Side.SELL)
        assert await rest.funds() == {"available_to_trade": {"total": 5.5}}


async def test_a_read_is_tried_once_more_when_the_failure_may_pass():
    async with serving() as server, client(server.base, total_seconds=IMPATIENT) as (rest, _):
        server.on(BOOK, error(500, "UDAPI100500"), success([ROW]))
        server.on(POSITIONS, hang(), success([]))
        assert len(await rest.order_book()) == 1
        assert await rest.positions() == ()
        assert [sent.path for sent in server.sent] == [BOOK, BOOK, POSITIONS, POSITIONS]


@pytest.mark.parametrize(
    ("say", "reason", "requests"),
    [
        (error(401, "UDAPI100050"), "auth", 1),
        (error(429, "UDAPI10005"), "rate", 1),
        (error(423, "UDAPI100072"), "shut", 1),
        (answer(400), "refused", 1),
        (answer(200, HTML, "text/html"), "garbled", 1),
        (success(None), "garbled", 1),
        (success([{"order_id": "1"}]), "garbled", 1),
        (answer(503, HTML, "text/html"), "server", 2),
    ],
)
async def test_a_read_that_fails_says_why_and_gives_no_empty_book(say, reason, requests):
    async with serving() as server, client(server.base) as (rest, _):
        server.on(BOOK, say)
        with pytest.raises(ReadFailed) as failed:
            await rest.order_book()
        assert failed.value.reason == reason
        assert len(server.sent) == requests


async def test_an_answer_larger_than_any_should_be_is_not_kept(monkeypatch):
    monkeypatch.setattr("bot.upstox.connection.BODY_BYTES_MAX", 1000)
    async with serving() as server, client(server.base) as (rest, _):
        server.on(BOOK, success([{**ROW, "status_message": "x" * 2000}]))
        with pytest.raises(ReadFailed) as failed:
            await rest.order_book()
        assert (failed.value.reason, len(server.sent)) == ("garbled", 1)


async def test_authorize_gives_the_address_of_either_spelling_and_asks_for_orders_only():
    async with serving() as server, client(server.base) as (rest, _):
        market, portfolio = "/v3/feed/market-data-feed/authorize", "/v2/feed/portfolio-stream-feed/authorize"
        server.on(
            market, success({"authorized_redirect_uri": "ws://x/1?code=a", "authorizedRedirectUri": "ws://y"})
        )
        server.on(portfolio, success({"authorizedRedirectUri": "wss://x/2?code=b"}))
        assert await rest.authorize_market() == "ws://x/1?code=a"
        assert await rest.authorize_portfolio() == "wss://x/2?code=b"
        assert server.sent[1].query == {"update_types": "order"}


@pytest.mark.parametrize(
    ("say", "status", "code"),
    [
        (error(401, "UDAPI100050"), 401, "UDAPI100050"),
        (answer(403, HTML, "text/html"), 403, "HTTP_403"),
        (answer(500), 500, "HTTP_500"),
        (success({}), 200, "NO_ADDRESS"),
        (success({"authorized_redirect_uri": "https://x/?code=s3cr3t"}), 200, "NO_ADDRESS"),
        (success([]), 200, ""),
        (hang(), None, "TIMEOUT"),
    ],
)
async def test_a_failed_authorize_tells_status_and_code_at_once(say, status, code):
    async with serving() as server, client(server.base, total_seconds=IMPATIENT) as (rest, _):
        server.on("/v3/feed/market-data-feed/authorize", say)
        with pytest.raises(AuthorizeFailed) as failed:
            await rest.authorize_market()
        assert (failed.value.status, failed.value.code) == (status, code)
        assert len(server.sent) == 1
        assert "s3cr3t" not in str(failed.value)


# ---- secrets -----


async def test_no_token_and_no_single_use_address_in_any_text(caplog):
    """Results, reprs, logs of every library at DEBUG, exceptions with their chain; an echoing server too."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)  # else asyncio says nothing
    code = "c0de-of-one-use"
    texts = []
    async with serving() as server, client(server.base, total_seconds=IMPATIENT) as (rest, _):

        async def echo(sent):
            return await error(400, "UDAPI1052", f"you sent {sent.headers['authorization']}")(sent)

        for say in (echo, hang(), error(401, "UDAPI100050"), answer(502, HTML)):
            server.on(PLACE, say)
            texts.append(repr(await rest.place(EXIT)))
        for say in (echo, error(401, "UDAPI100050"), answer(502, HTML)):
            server.on(BOOK, say)
            with pytest.raises(ReadFailed) as failed:
                await rest.order_book()
            texts += traceback.format_exception(failed.value)
        address = f"https://x/?code={code}"
        server.on("/v3/feed/market-data-feed/authorize", success({"authorized_redirect_uri": address}))
        with pytest.raises(AuthorizeFailed) as refused:
            await rest.authorize_market()
        texts += traceback.format_exception(refused.value)
        texts += [repr(rest), repr(vars(rest)), repr(vars(rest._orders))]
    async with client(f"http://127.0.0.1:{unused_port()}") as (rest, _):
        texts.append(repr(await rest.place(EXIT)))
    everything = "\n".join([*texts, caplog.text])
    assert "you sent Bearer ***" in everything
    assert "asyncio" in caplog.text  # the libraries did log
    for secret in (SECRET, code):
        assert secret not in everything
