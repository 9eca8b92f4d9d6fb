"""The twin's two WebSockets: who is connected, what they want, and every frame that leaves (upstox §3, §4).

It knows links and bytes; what a frame says comes from boards and rows. Its rule for the lockstep clock: a
frame departs when it is sent, one thing is said at a time, and nothing else before it is dealt with.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import orjson
from websockets.asyncio.connection import broadcast
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from bot.core.units import MILLISECOND, InstrumentKey, Nanos
from bot.twin.access import Stream, Ticket
from bot.twin.answers import Answer, Json, Refused
from bot.twin.board import Board
from bot.twin.faults import FaultKind
from bot.twin.floor import Floor
from bot.twin.rest_app import ENTRY_PATHS, update_types
from bot.upstox import market_feed_pb2 as pb
from bot.upstox import wire_market as wire

FEED_PATHS: Final = {
    "/market-data-feeder/v3/upstox-developer-api/feeds": Stream.MARKET,
    "/upstox-developer-api/order-updates/feed": Stream.PORTFOLIO,
}
PATH_OF: Final = {stream: path for path, stream in FEED_PATHS.items()}
PING_SECONDS: Final = 20
BACKLOG_BYTES_MAX: Final = 8 << 20  # a client that does not read is dropped; it must not fill the memory
REQUEST_BYTES_MAX: Final = 1 << 20

# The library tells of every connection, with its address; only what goes wrong is worth a line.
_log = logging.getLogger("bot.twin.sockets")
_log.setLevel(logging.WARNING)

Wanted: TypeAlias = dict[str, list["Link"]]  # mode → who listens in it


class Link:
    """One client's connection. `modes`: what it wants of which instrument."""

    __slots__ = ("connection", "modes", "new", "silent_until", "ticket", "unheard")

    def __init__(self, connection: ServerConnection, ticket: Ticket) -> None:
        self.connection, self.ticket = connection, ticket
        self.modes: dict[InstrumentKey, str] = {}
        self.new: set[InstrumentKey] = set()  # wanted, but nothing was known of them yet
        self.silent_until: Nanos = 0
        self.unheard = 0  # frames that departed and are not known to have been dealt with

    @property
    def open(self) -> bool:
        return self.connection.state is State.OPEN


class Sockets:
    """`turn` is held while something is said."""

    def __init__(self, floor: Floor) -> None:
        self.turn = asyncio.Lock()
        self.links: list[Link] = []
        self.ignored_texts = 0  # text frames of clients: requests must be binary (upstox §3.2)
        self._floor, self._clock = floor, floor.clock
        self._tickets: dict[ServerConnection, Ticket] = {}
        self._wanted: dict[InstrumentKey, Wanted] = {}
        self._deaf: list[ServerConnection] = []  # half open, until the twin stops
        self._held: list[tuple[str, str]] = []  # the update that waits for the next one (shuffled on command)
        self._server: Server | None = None
        self._base = ""

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen. Returns the port. Raises OSError when it is taken."""
        self._server = await serve(
            self._handle,
            host,
            port,
            process_request=self._admit,
            compression=None,
            ping_interval=PING_SECONDS,
            ping_timeout=None,
            max_size=REQUEST_BYTES_MAX,
            ssl=tls,
            logger=_log,
        )
        bound = int(next(iter(self._server.sockets)).getsockname()[1])
        self._base = f"{'wss' if tls else 'ws'}://{host}:{bound}"
        return bound

    async def stop(self) -> None:
        """The end: every connection breaks, and nobody counts it any more."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        for link in self.links:
            link.unheard = 0
            link.connection.transport.abort()
        for connection in self._deaf:
            connection.transport.abort()
        await self._server.wait_closed()

    def address(self, stream: Stream, types: frozenset[str]) -> str:
        """A single-use address."""
        query = self._floor.access.ticket(stream, types, self._clock.now())
        return f"{self._base}{PATH_OF[stream]}?{query}"

    # ---- what the twin says: the caller holds `turn` --------------------------------------------------

    async def show(self, board: Board) -> None:
        """What just happened on a board, to all who want it."""
        wanted = self._wanted.get(board.key)
        if not wanted:
            return
        now = self._clock.now()
        millis = now // MILLISECOND
        for mode, links in wanted.items():
            new = [link for link in links if board.key in link.new]
            if new:
                await self._introduce(board, new, mode)
            loud = [link for link in links if link.silent_until <= now and link not in new]
            if not loud:
                continue
            for frame in board.frames:
                data = board.encode(frame, mode, millis)
                if data is not None:
                    await self.send(loud, data)

    async def tell_market_state(self, links: Iterable[Link] | None = None) -> None:
        """market_info, to those given or to all market links."""
        now = self._clock.now()
        info = pb.FeedResponse(type=pb.market_info, currentTs=now // MILLISECOND)
        states: Any = info.marketInfo.segmentStatus  # its stub does not take what `Value` gives
        for segment, state in self._floor.hours.states(now).items():
            states[segment] = pb.MarketStatus.Value(state)
        chosen = self._of(Stream.MARKET) if links is None else links
        loud = [link for link in chosen if link.silent_until <= now]
        await self.send(loud, info.SerializeToString(deterministic=True))

    async def tell_portfolio(self, update: Json) -> None:
        """One update to those who asked for its kind: JSON in a text frame (upstox §4)."""
        now_said = (str(update["update_type"]), orjson.dumps(update).decode())
        if not self._floor.faults.rages(FaultKind.SHUFFLE_PORTFOLIO, self._clock.now()):
            told, self._held = [*self._held, now_said], []
        elif not self._held:
            told, self._held = [], [now_said]
        else:
            told, self._held = [now_said, *self._held] * 2, []
        for kind, data in told:
            links = [link for link in self._of(Stream.PORTFOLIO) if kind in link.ticket.update_types]
            await self.send(links, data)

    async def drop(self, stream: Stream) -> None:
        """Break the connections of one kind, without a close frame (1006). Each end departs like a frame."""
        for link in self._of(stream):
            if link.open:
                self._clock.departed()
            self.links.remove(link)
            link.connection.transport.abort()
        self._index()
        await self._clock.quiet()

    def deafen(self, stream: Stream) -> None:
        """The connections of one kind are half open from now on: nothing is read, answered, said or ended.

        For the wall clock: nobody could count what is lost on such a line.
        """
        for link in self._of(stream):
            self.links.remove(link)
            self._deaf.append(link.connection)
            link.connection.transport.pause_reading()
            if link.connection.keepalive_task is not None:
                link.connection.keepalive_task.cancel()
        self._index()

    def stall(self, until: Nanos) -> None:
        """The market links of now say nothing until then. Their pongs go on; a new link is not affected."""
        for link in self._of(Stream.MARKET):
            link.silent_until = until

    # ---- inside --------------------------------------------------------------------------------------

    def _of(self, stream: Stream) -> list[Link]:
        return [link for link in self.links if link.ticket.stream is stream]

    async def send(self, links: Sequence[Link], data: bytes | str) -> None:
        """To all at once and without waiting for a slow one; then until everything is dealt with."""
        sent = []
        for link in links:
            if not link.open:
                continue
            if link.connection.transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
                link.connection.transport.abort()
                continue
            self._clock.departed()
            link.unheard += 1
            sent.append(link)
        broadcast([link.connection for link in sent], data)
        await self._clock.quiet()
        for link in sent:
            link.unheard = 0

    async def _introduce(self, board: Board, links: list[Link], mode: str) -> None:
        for link in links:
            link.new.discard(board.key)
        await self._snapshot(links, [board], mode)

    async def _snapshot(self, links: list[Link], boards: Sequence[Board], mode: str) -> None:
        """initial_feed: all that is known (upstox §3.4)."""
        now = self._clock.now()
        response = pb.FeedResponse(type=pb.initial_feed, currentTs=now // MILLISECOND)
        for board in boards:
            board.write_snapshot(response.feeds[board.key], mode)
        await self.send([link for link in links if link.silent_until <= now], response.SerializeToString())

    def _index(self) -> None:
        self._wanted = {}
        for link in self.links:
            for key, mode in link.modes.items():
                self._wanted.setdefault(key, {}).setdefault(mode, []).append(link)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The handshake: a single-use address opens, an entry address redirects (upstox §3.1)."""
        parts = urlsplit(request.path)
        query = dict(parse_qsl(parts.query))
        try:
            if parts.path in ENTRY_PATHS:
                uri = self._redirect(ENTRY_PATHS[parts.path], query, request.headers.get("Authorization", ""))
                return _reply(Answer({}, HTTPStatus.TEMPORARY_REDIRECT), Location=uri)
            ticket = self._ticket(parts.path, query.get("code", ""))
            if self._floor.faults.on_handshake():
                uri = self.address(ticket.stream, ticket.update_types)
                return _reply(Answer({}, HTTPStatus.TEMPORARY_REDIRECT), Location=uri)
            self._tickets[connection] = ticket
        except Refused as no:
            self._floor.note(no)
            return _reply(no.answer)
        return None

    def _redirect(self, stream: Stream, query: dict[str, str], authorization: str) -> str:
        now = self._clock.now()
        self._floor.faults.check(now, order=False)
        self._floor.access.check(authorization, now)
        return self.address(stream, update_types(query))

    def _ticket(self, path: str, code: str) -> Ticket:
        now, stream = self._clock.now(), FEED_PATHS.get(path)
        if stream is None:
            raise Refused(HTTPStatus.NOT_FOUND, "UDAPI100060", "Resource not Found")
        ticket = self._floor.access.redeem(stream, code, now)
        no = Refused(HTTPStatus.FORBIDDEN, "UDAPI100050", "Invalid token used to access API")
        no.injected = self._floor.faults.rages(FaultKind.REFUSE_HANDSHAKE, now)
        if ticket is None or no.injected:
            raise no
        return ticket

    async def _handle(self, connection: ServerConnection) -> None:
        link = Link(connection, self._tickets.pop(connection))
        try:
            async with self.turn:
                if link.ticket.stream is Stream.MARKET:
                    await self.tell_market_state([link])
                self.links.append(link)
            async for message in connection:
                if link.ticket.stream is not Stream.MARKET:
                    continue  # nothing is asked of this stream (upstox §4)
                if isinstance(message, str):
                    self.ignored_texts += 1
                else:
                    await self._asked(link, message)
        except ConnectionClosed:
            pass  # without a close frame: theirs or ours, it is over
        finally:
            if link in self.links:  # not dropped by us
                self.links.remove(link)
                self._index()
            if connection.protocol.close_rcvd is None:
                # They left without a word, so what was under way to them is lost. One who says goodbye reads
                # on until the end, and deals with all of it.
                for _ in range(link.unheard):
                    self._clock.arrived()
            link.unheard = 0

    async def _asked(self, link: Link, message: bytes) -> None:
        """sub, change_mode or unsub. A repeated sub is ignored: nothing new is sent (upstox §3.2)."""
        try:
            request = wire.parse_request(message)
            wanted = link.modes | dict.fromkeys(request.keys, request.mode)
            if request.method != "unsub":
                modes = list(wanted.values())
                wire.check_limits({mode: modes.count(mode) for mode in set(modes)})
        except ValueError as error:  # how it is said is a third party's word (upstox §3.2)
            failure = {"status": "failed", "method": "", "error": {"message": str(error)}}
            async with self.turn:
                await self.send([link], orjson.dumps(failure).decode())
            return
        if request.method == "unsub":
            for key in request.keys:
                link.modes.pop(key, None)
                link.new.discard(key)
            self._index()
            return
        async with self.turn:
            changed = [key for key in dict.fromkeys(request.keys) if self._changes(link, key, request)]
            link.modes |= dict.fromkeys(changed, request.mode)
            self._index()
            boards = [self._floor.boards[key] for key in changed if key in self._floor.boards]
            known = [board for board in boards if board.known]
            link.new.update(key for key in changed if key not in {board.key for board in known})
            if known:
                await self._snapshot([link], known, request.mode)

    @staticmethod
    def _changes(link: Link, key: InstrumentKey, request: wire.Request) -> bool:
        before = link.modes.get(key)
        return before != request.mode and (request.method == "sub" or before is not None)


def _reply(answer: Answer, **headers: str) -> Response:
    body = orjson.dumps(answer.body)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    status = HTTPStatus(answer.status)
    return Response(status, status.phrase, Headers(fields | headers), body)
