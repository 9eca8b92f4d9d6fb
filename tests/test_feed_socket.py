"""The market feed over real sockets: it comes back from every end, in time, and says why.

Most run on the lockstep clock (real sockets, virtual time): the seconds are exact and cost nothing, and each
test ends with every message accounted for, or the clock would stand still for ever.
"""

import asyncio
import logging
import random
from http import HTTPStatus

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from bot.core.events import FeedDown, FeedUp, FrameSeen, Quote, SegmentStatus, Tick
from bot.core.units import SECOND
from bot.run.live import WallClock
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.upstox.feed import MarketFeed
from bot.upstox.reconnect import AuthorizeFailed, State
from bot.upstox.wire_market import MarketDecoder, encode_feed_response, parse_request
from tests.conftest import at
from tests.loopback import self_signed

KEY, INDEX = "NSE_FO|45450", "NSE_INDEX|Nifty 50"
SECRET = "c0de-that-opens-the-feed"
MARKET_INFO = encode_feed_response(
    {"type": "market_info", "marketInfo": {"segmentStatus": {"NSE_FO": "NORMAL_OPEN"}}, "currentTs": 1}
)


def tick_frame(ltp, kind="live_feed", key=KEY):
    levels = [{"bidQ": 75, "bidP": ltp - 0.05, "askQ": 75, "askP": ltp + 0.05}]
    market = {"ltpc": {"ltp": ltp, "ltt": 5, "ltq": 75, "cp": 1.0}, "marketLevel": {"bidAskQuote": levels}}
    return encode_feed_response(
        {"type": kind, "feeds": {key: {"fullFeed": {"marketFF": market}}}, "currentTs": 5}
    )


class Peer:
    """The broker's side: single-use addresses, then `talk(peer, connection)`, one function a connection."""

    def __init__(self, clock, *talks, context=None):
        self.clock = clock
        self.context = context
        self.talks = list(talks)
        self.authorized_at = []
        self.refusals = []  # of authorize: statuses to answer, first come first served
        self.handshakes = []  # of the handshake: likewise; None lets it pass
        self.requests = []
        self.used = set()

    async def authorize(self):
        self.authorized_at.append(self.clock.monotonic())
        if self.refusals and (status := self.refusals.pop(0)):
            raise AuthorizeFailed(status, "UDAPI100050")
        scheme = "wss" if self.context else "ws"
        return f"{scheme}://127.0.0.1:{self.port}/feed?requestId={len(self.authorized_at)}&code={SECRET}"

    def greet(self, connection, request):
        if request.path in self.used:
            return connection.respond(HTTPStatus.FORBIDDEN, "used")
        self.used.add(request.path)
        if self.handshakes and (status := self.handshakes.pop(0)):
            response = connection.respond(HTTPStatus(status), "no")
            if status == HTTPStatus.TEMPORARY_REDIRECT:
                response.headers["Location"] = f"/elsewhere?code={SECRET}"
            return response
        return None

    async def serve(self, connection):
        talk = self.talks.pop(0) if len(self.talks) > 1 else self.talks[0]
        await talk(self, connection)
        await connection.wait_closed()

    async def hear(self, connection):
        self.requests.append(parse_request(await connection.recv(decode=False)))

    async def say(self, connection, *frames):
        for frame in frames:
            self.clock.departed()
            try:
                await connection.send(frame)
            except ConnectionClosed:
                self.clock.arrived()  # it never left
                return

    def drop(self, connection):
        if connection.state.name != "OPEN":
            return  # the other side was first: it counts
        self.clock.departed()
        connection.transport.abort()

    async def __aenter__(self):
        self.server = await serve(
            self.serve, "127.0.0.1", None, process_request=self.greet, ping_interval=None, ssl=self.context,
        )  # fmt: skip
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()


def make_feed(peer, sink, **options):
    options = {"jitter": random.Random(1).random} | options
    decoder = MarketDecoder([KEY])
    put = sink.append if isinstance(sink, list) else sink
    return MarketFeed(peer.clock, put, peer.authorize, decoder, [KEY], **options), decoder


async def until(condition, *, clock, seconds=60):
    """Wait by the given clock, in small steps, for something to be so."""
    give_up = clock.monotonic() + seconds * SECOND
    while not condition():
        assert clock.monotonic() < give_up, "it never came to be"
        await clock.sleep_until(clock.now() + SECOND // 20)


class running:  # noqa: N801 - reads as a verb
    """The feed runs inside the block and is told to stop at its end."""

    def __init__(self, feed):
        self.feed = feed

    async def __aenter__(self):
        self.task = asyncio.get_running_loop().create_task(self.feed.run())
        return self.task

    async def __aexit__(self, *_):
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


def lockstep(scene):
    """Run a scene in virtual time; afterwards nothing may be under way."""
    loop = LockstepLoop()
    try:
        loop.run_until_complete(scene(LockstepClock(loop, at("09:15:00"))))
        assert loop.lockstep.under_way == 0, "messages departed and were never counted as arrived"
    finally:
        loop.close()


def of(events, *kinds):
    return [event for event in events if isinstance(event, kinds)]


async def one_tick(peer, connection):
    await peer.hear(connection)
    await peer.say(connection, tick_frame(100.0))


# ---- the way up --------------------------------------------------------------------------------------


def test_it_subscribes_in_binary_and_delivers_in_order():
    """Up, the market's state, the snapshot as a quote, ticks; stamped by the clock that was given."""

    async def talk(peer, connection):
        await peer.say(connection, MARKET_INFO)
        await peer.hear(connection)
        await peer.say(connection, tick_frame(99.0, "initial_feed"), tick_frame(100.0), tick_frame(100.05))

    async def scene(clock):
        events = []
        async with Peer(clock, talk) as peer:
            feed, decoder = make_feed(peer, events)
            async with running(feed):
                await until(lambda: len(events) == 5, clock=clock)
                assert feed.state is State.OPEN
        assert [type(event) for event in events] == [FeedUp, SegmentStatus, Quote, Tick, Tick]
        assert [tick.ltp for tick in of(events, Tick)] == [10000, 10005]
        assert {event.at for event in events} == {at("09:15:00")}  # handshakes took no virtual time
        (request,) = peer.requests
        assert (request.method, request.mode, request.keys) == ("sub", "full", (KEY,))
        assert decoder.frames == 4

    lockstep(scene)


def test_companions_are_subscribed_beside_and_only_prove_life():
    async def talk(peer, connection):
        await peer.hear(connection)
        await peer.hear(connection)
        await peer.say(connection, tick_frame(25_000.0, key=INDEX), '{"status":"failed"}')

    async def scene(clock):
        events = []
        async with Peer(clock, talk) as peer:
            feed, _ = make_feed(peer, events, companions=[INDEX])
            async with running(feed):
                await until(lambda: len(events) == 3, clock=clock)
        assert [(asked.mode, asked.keys) for asked in peer.requests] == [("full", (KEY,)), ("ltpc", (INDEX,))]
        assert [type(event) for event in events] == [FeedUp, FrameSeen, FrameSeen]
        assert (feed.text_frames, feed.last_text) == (1, '{"status":"failed"}')

    lockstep(scene)


def test_a_stuck_key_is_left_and_asked_for_again():
    """A repeated `sub` may be ignored, `unsub` + `sub` is not (upstox §3.2). Without a socket it says no."""

    async def talk(peer, connection):
        for _ in range(3):
            await peer.hear(connection)

    async def scene(clock):
        events = []
        async with Peer(clock, talk) as peer:
            feed, _ = make_feed(peer, events)
            assert not await feed.resubscribe(KEY)
            async with running(feed):
                await until(lambda: events, clock=clock)
                assert await feed.resubscribe(KEY)
                assert not await feed.resubscribe("NSE_FO|1")
                await until(lambda: len(peer.requests) == 3, clock=clock)
        assert [(asked.method, asked.mode) for asked in peer.requests[1:]] == [("unsub", ""), ("sub", "full")]

    lockstep(scene)


def test_more_keys_than_a_connection_carries_are_refused_at_once():
    decoder = MarketDecoder([KEY])
    many = [f"NSE_FO|{number}" for number in range(2001)]
    for keys, mode in ((many, "full"), ([KEY], "fuller"), ([], "full")):
        with pytest.raises(ValueError):
            MarketFeed(None, None, None, decoder, keys, mode, jitter=random.Random(1).random)


def test_more_is_subscribed_changed_and_left_and_a_new_connection_asks_for_the_rest():
    """All modes and methods, over a real socket; what is wanted now is what a reconnect asks for."""
    other, third = "NSE_FO|2", "NSE_FO|3"

    async def talk(peer, connection):
        for _ in range(6):
            await peer.hear(connection)
        peer.drop(connection)

    async def again(peer, connection):
        for _ in range(2):
            await peer.hear(connection)
        await peer.say(connection, tick_frame(100.0, key=other))

    async def scene(clock):
        events = []
        async with Peer(clock, talk, again) as peer:
            feed, decoder = make_feed(peer, events)
            async with running(feed):
                await until(lambda: events, clock=clock)
                await feed.subscribe("option_greeks", [other])
                await feed.subscribe("full_d30", [third])
                await feed.subscribe("ltpc", [other, KEY])
                await feed.unsubscribe([third, "NSE_FO|4"])
                await feed.subscribe("full", [KEY])
                await until(lambda: of(events, Tick), clock=clock)
                many = [f"NSE_FO|{5000 + number}" for number in range(2000)]
                with pytest.raises(ValueError, match="at most 1500"):
                    await feed.subscribe("full", many)
        asked = [(request.method, request.mode, request.keys) for request in peer.requests]
        assert asked == [
            ("sub", "full", (KEY,)),
            ("sub", "option_greeks", (other,)),
            ("sub", "full_d30", (third,)),
            ("change_mode", "ltpc", (other, KEY)),
            ("unsub", "", (third,)),
            ("change_mode", "full", (KEY,)),
            ("sub", "full", (KEY,)),
            ("sub", "ltpc", (other,)),
        ]
        assert decoder.instruments == (KEY, other, third)

    lockstep(scene)


def test_a_key_that_stands_still_while_the_index_moves_is_asked_for_anew_in_session_only():
    """Stuck for 30 s: `unsub` + `sub`; still stuck: twice as long until the next time; then it moves."""

    async def talk(peer, connection):
        await peer.hear(connection)
        await peer.hear(connection)

        async def lively():
            for number in range(400):
                await peer.say(connection, tick_frame(25_000.0 + number, key=INDEX))
                if number == 140:
                    await peer.say(connection, tick_frame(100.0))
                await peer.clock.sleep_until(peer.clock.now() + SECOND)

        beside = asyncio.ensure_future(lively())
        for _ in range(6):
            await peer.hear(connection)
            peer.heard_at.append(peer.clock.monotonic() // SECOND)
        await beside

    async def scene(clock):
        events = []
        async with Peer(clock, talk) as peer:
            peer.heard_at = []
            feed, _ = make_feed(peer, events, companions=[INDEX])
            async with running(feed):
                await clock.sleep_until(at("09:16:00"))
                assert peer.heard_at == []
                feed.arm(True)
                await clock.sleep_until(at("09:20:00"))
                feed.arm(False)
                await clock.sleep_until(at("09:21:30"))
        # Armed at 60 s; the key moves at 140 s, which ends the longer patience.
        assert peer.heard_at == [90, 90, 170, 170, 230, 230]
        assert [(each.method, each.keys) for each in peer.requests[2:]] == [
            ("unsub", (KEY,)), ("sub", (KEY,)),
        ] * 3  # fmt: skip
        assert feed.resubscribed_total == {KEY: 3}
        assert len(peer.authorized_at) == 1

    lockstep(scene)


# ---- ends and returns --------------------------------------------------------------------------------


def test_after_a_drop_it_is_back_with_a_fresh_address_and_subscription():
    """TCP reset after a tick: one FeedDown, a rest of at most half a second, everything asked for again."""

    async def talk(peer, connection):
        await one_tick(peer, connection)
        await peer.clock.sleep_until(peer.clock.now() + 10 * SECOND)
        peer.drop(connection)

    async def scene(clock):
        events = []
        async with Peer(clock, talk, one_tick) as peer:
            feed, _ = make_feed(peer, events)
            async with running(feed):
                await until(lambda: len(of(events, FeedUp)) == 2, clock=clock)
                await until(lambda: len(of(events, Tick)) == 2, clock=clock)
        assert [type(event) for event in events] == [FeedUp, Tick, FeedDown, FeedUp, Tick]
        down = events[2]
        assert (down.reason, down.mono) == ("close", 10 * SECOND)
        assert SECOND // 4 <= peer.authorized_at[1] - down.mono <= SECOND // 2
        assert len(peer.requests) == len(peer.used) == 2
        assert feed.lost_total["close"] == 1

    lockstep(scene)


def test_what_came_before_the_end_is_delivered_before_the_end():
    """Three frames and a clean close at once: three ticks, then FeedDown."""

    async def talk(peer, connection):
        await peer.hear(connection)
        await peer.say(connection, tick_frame(100.0), tick_frame(101.0), tick_frame(102.0))
        peer.clock.departed()
        await connection.close()

    async def scene(clock):
        events = []
        async with Peer(clock, talk, one_tick) as peer:
            feed, _ = make_feed(peer, events)
            async with running(feed):
                await until(lambda: len(of(events, FeedUp)) == 2, clock=clock)
        assert [type(event) for event in events[:5]] == [FeedUp, Tick, Tick, Tick, FeedDown]
        assert events[4].reason == "close"

    lockstep(scene)


def test_a_silent_peer_that_answers_pings_is_left_in_time():
    """Connected, ponging, saying nothing: suspect at 5 s, a new attempt begun within 15 s of a frame."""

    async def scene(clock):
        events = []
        async with Peer(clock, one_tick) as peer:
            feed, _ = make_feed(peer, events)
            feed.arm(True)
            async with running(feed):
                await until(lambda: feed.state is State.SUSPECT, clock=clock)
                assert clock.monotonic() <= 5.05 * SECOND
                await until(lambda: len(peer.authorized_at) == 2, clock=clock)
                assert of(events, FeedDown) == [FeedDown(at("09:15:13.5"), 27 * SECOND // 2, "stall")]
                assert peer.authorized_at[1] <= 15 * SECOND
                await until(lambda: len(of(events, Tick)) == 2, clock=clock)
        assert feed.lost_total["stall"] == 1

    lockstep(scene)


def test_out_of_session_silence_is_borne():
    async def scene(clock):
        events = []
        async with Peer(clock, one_tick) as peer:
            feed, _ = make_feed(peer, events)
            async with running(feed):
                await clock.sleep_until(at("10:15:00"))
                assert feed.state is State.OPEN
        assert len(peer.authorized_at) == 1

    lockstep(scene)


def test_a_half_open_peer_is_found_by_its_missing_pong():
    """Nothing is read or answered any more, and no packet says so. Wall clock, twenty times as fast."""

    async def deaf(peer, connection):
        await one_tick(peer, connection)
        connection.transport.pause_reading()
        await asyncio.sleep(0.6)  # twelve of the clock's seconds; then the server's own end is tidied away
        connection.transport.abort()

    async def scene(clock):
        events = []
        async with Peer(clock, deaf, one_tick) as peer:
            feed, _ = make_feed(peer, events)
            feed.arm(True)
            async with running(feed):
                await until(lambda: len(of(events, FeedUp)) == 2, clock=clock)
            up, down = of(events, FeedUp)[0], of(events, FeedDown)[0]
            assert down.reason == "stall"
            assert 8 * SECOND <= down.mono - up.mono < 12 * SECOND

    asyncio.run(scene(WallClock(starts_at=at("09:15:00"), speed=20.0)))


def test_garbage_is_dropped_and_counted_while_good_frames_flow():
    frames = [tick_frame(100.0), b"\xff\xfe", tick_frame(101.0), tick_frame(102.0)[:-9], tick_frame(103.0)]

    async def talk(peer, connection):
        await peer.hear(connection)
        await peer.say(connection, *frames)

    async def scene(clock):
        events = []
        async with Peer(clock, talk) as peer:
            feed, decoder = make_feed(peer, events)
            async with running(feed):
                await until(lambda: decoder.frames == len(frames), clock=clock)
                assert feed.state is State.OPEN
        assert [tick.ltp for tick in of(events, Tick)] == [10000, 10100, 10300]
        assert not of(events, FeedDown, FrameSeen)
        assert decoder.decode_errors == 2

    lockstep(scene)


def test_a_flood_of_garbage_ends_the_connection():
    """More than 20 in 10 s: reconnect, for the reason "error". Garbage alone is no sign of life either."""

    async def talk(peer, connection):
        await peer.hear(connection)
        await peer.say(connection, *[b"\xff"] * 30)

    async def drip(peer, connection):
        await peer.hear(connection)
        for _ in range(10):
            await peer.clock.sleep_until(peer.clock.now() + 2 * SECOND)
            if connection.state.name == "OPEN":
                await peer.say(connection, b"\xff")

    async def scene(clock):
        events = []
        async with Peer(clock, talk, drip, one_tick) as peer:
            feed, decoder = make_feed(peer, events)
            feed.arm(True)
            async with running(feed):
                await until(lambda: of(events, Tick), clock=clock)
        downs, ups = of(events, FeedDown), of(events, FeedUp)
        assert [down.reason for down in downs] == ["error", "stall"]
        assert downs[1].mono - ups[1].mono < 14 * SECOND
        assert decoder.decode_errors > 30

    lockstep(scene)


def test_a_monstrous_message_ends_the_connection_and_an_oversized_one_does_not():
    async def talk(peer, connection):
        await peer.hear(connection)
        await peer.say(connection, bytes(3 << 19), tick_frame(100.0), bytes(3 << 20))

    async def scene(clock):
        events = []
        async with Peer(clock, talk, one_tick) as peer:
            feed, decoder = make_feed(peer, events)
            async with running(feed):
                await until(lambda: len(of(events, Tick)) == 2, clock=clock)
        assert [type(event) for event in events] == [FeedUp, Tick, FeedDown, FeedUp, Tick]
        assert events[2].reason == "error"
        assert decoder.decode_errors == 1

    asyncio.run(scene(WallClock(starts_at=at("09:15:00"), speed=20.0)))


@pytest.mark.parametrize(("status", "rest"), [(403, 5), (401, 30)])
@pytest.mark.parametrize("where", ["authorize", "handshake"])
def test_refusals_of_authority_are_said_once_and_retried_slowly(status, rest, where):
    """Twice refused, then let in: one FeedDown, slow attempts, each with an address of its own."""

    async def scene(clock):
        events = []
        async with Peer(clock, one_tick) as peer:
            feed, _ = make_feed(peer, events, jitter=lambda: 0.0)
            (peer.refusals if where == "authorize" else peer.handshakes).extend([status, status])
            async with running(feed):
                await until(lambda: of(events, FeedDown), clock=clock)
                assert feed.state is (State.AUTH_REQUIRED if status == 401 else State.RESTING)
                assert str(status) in feed.last_failure
                await until(lambda: of(events, Tick), clock=clock)
        assert [type(event) for event in events] == [FeedDown, FeedUp, Tick]
        assert events[0].reason == "auth"
        second = {403: 2 * rest, 401: rest}[status]
        assert peer.authorized_at == [0, rest * SECOND, (rest + second) * SECOND]

    lockstep(scene)


def test_a_redirect_of_the_address_is_followed():
    async def scene(clock):
        events = []
        async with Peer(clock, one_tick) as peer:
            peer.handshakes.append(307)
            feed, _ = make_feed(peer, events)
            async with running(feed):
                await until(lambda: of(events, Tick), clock=clock)
        assert [type(event) for event in events] == [FeedUp, Tick]
        assert len(peer.authorized_at) == 1

    lockstep(scene)


def test_an_absent_server_is_tried_until_it_is_back():
    """Minutes of refused connections: never gives up, one FeedDown, and back within 5 s of the server."""

    async def scene(clock):
        events = []
        peer = Peer(clock, one_tick)
        async with peer:
            pass  # only its port is needed: nobody listens there now
        feed, _ = make_feed(peer, events)
        port = peer.port
        async with running(feed):
            await clock.sleep_until(at("09:20:00"))
            assert len(peer.authorized_at) > 60
            assert [type(event) for event in events] == [FeedDown]
            server = await serve(peer.serve, "127.0.0.1", port, process_request=peer.greet)
            await until(lambda: of(events, Tick), clock=clock)
            assert of(events, FeedUp)[0].at <= at("09:20:05")
            server.close()
            clock.departed()
            await server.wait_closed()

    lockstep(scene)


def test_the_same_day_of_drops_and_stalls_is_the_same_to_the_nanosecond():
    """Over real sockets, twice: the lockstep clock waits for every message of ours and theirs."""

    async def talk(peer, connection):
        await peer.say(connection, MARKET_INFO)
        await peer.hear(connection)
        number = len(peer.requests)
        for step in range(20):
            await peer.say(connection, *[tick_frame(100.0 + step + part / 4) for part in range(1 + step % 3)])
            await peer.clock.sleep_until(peer.clock.now() + SECOND // 3)
        if number % 2:
            peer.drop(connection)

    def day():
        events = []

        async def scene(clock):
            async with Peer(clock, talk) as peer:
                feed, _ = make_feed(peer, events)
                feed.arm(True)
                async with running(feed):
                    await clock.sleep_until(at("09:20:00"))

        lockstep(scene)
        return events

    first = day()
    assert first == day()
    assert {down.reason for down in of(first, FeedDown)} == {"close", "stall"}
    assert len(of(first, Tick)) > 500


def test_the_clock_waits_until_the_other_side_has_our_first_words():
    """Sent is not received: a subscription still on the wire must hold virtual time."""

    class Counting(WallClock):
        under_way = 0

        def departed(self):
            self.under_way += 1

        def arrived(self):
            self.under_way -= 1

    async def talk(peer, connection):
        connection.transport.pause_reading()
        await peer.may_read.wait()
        connection.transport.resume_reading()
        await peer.hear(connection)

    async def scene(clock):
        events = []
        async with Peer(clock, talk) as peer:
            peer.may_read = asyncio.Event()
            feed, _ = make_feed(peer, events)
            async with running(feed):
                await until(lambda: of(events, FeedUp), clock=clock)
                await asyncio.sleep(0.05)
                waited_for = clock.under_way
                peer.may_read.set()
                assert waited_for == 1
                await until(lambda: peer.requests, clock=clock)
                await until(lambda: clock.under_way == 0, clock=clock)
            assert clock.under_way == 0

    asyncio.run(scene(Counting()))


# ---- trust and secrets -------------------------------------------------------------------------------


def test_a_certificate_nobody_vouches_for_is_refused_and_a_known_one_taken(tmp_path):
    """TLS is verified: no frame of a stranger is read, whatever the address said."""
    server_side, trust = self_signed(tmp_path)

    async def scene(clock):
        events = []
        async with Peer(clock, one_tick, context=server_side) as peer:
            feed, _ = make_feed(peer, events)
            async with running(feed):
                await until(lambda: of(events, FeedDown), clock=clock)
            assert "SSLCertVerificationError" in feed.last_failure
            assert not of(events, FeedUp, Tick)
            feed, _ = make_feed(peer, events, trust=trust)
            async with running(feed):
                await until(lambda: of(events, Tick), clock=clock)

    asyncio.run(scene(WallClock(starts_at=at("09:15:00"), speed=20.0)))


def test_no_proxy_out_of_the_environment_stands_between_us_and_the_broker(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def scene(clock):
        events = []
        async with Peer(clock, one_tick) as peer:
            feed, _ = make_feed(peer, events)
            async with running(feed):
                await until(lambda: of(events, Tick), clock=clock)

    lockstep(scene)


def test_the_secret_of_the_address_is_in_no_log_and_no_failure(caplog):
    """With every logger at DEBUG, through a success, a refusal, a redirect and a drop."""
    caplog.set_level(logging.DEBUG)

    async def talk(peer, connection):
        await one_tick(peer, connection)
        peer.drop(connection)

    async def scene(clock):
        events, failures = [], set()
        async with Peer(clock, talk) as peer:
            peer.handshakes.extend([500, 307, 403, None])
            feed, _ = make_feed(peer, lambda event: events.append(event) or failures.add(feed.last_failure))
            async with running(feed):
                await until(lambda: len(of(events, FeedUp)) == 3, clock=clock)
        assert failures == {"handshake: HTTP 500", "handshake: HTTP 403"}

    server_logger = logging.getLogger("websockets.server")
    server_logger.disabled = True  # the other side's log is not ours to keep
    try:
        lockstep(scene)
    finally:
        server_logger.disabled = False
    assert SECRET not in caplog.text


def test_a_mistake_of_ours_is_not_swallowed():
    """A sink that raises ends the run: the process fails and recovers, instead of trading half deaf."""

    async def scene(clock):
        def sink(event):
            if isinstance(event, Tick):
                raise RuntimeError("our mistake")  # noqa: TRY004

        async with Peer(clock, one_tick) as peer:
            feed = MarketFeed(clock, sink, peer.authorize, MarketDecoder([KEY]), [KEY], jitter=lambda: 0.0)
            with pytest.raises(ExceptionGroup) as caught:
                await feed.run()
            assert caught.group_contains(RuntimeError, match="our mistake")

    lockstep(scene)
