"""The market feed: subscribes when the socket opens, decodes what comes, and puts it into the sink.

It knows neither when to reconnect (reconnect.py) nor what a frame means (wire_market.py) nor the strategy.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from bot.core.events import FeedDown, FeedUp, FrameSeen
from bot.core.units import InstrumentKey, Nanos
from bot.run.ports import Clock, Sink
from bot.upstox.reconnect import DownReason, Limits, State
from bot.upstox.stream import Authorizer, Send, Stream, Unintelligible
from bot.upstox.stuck import StuckKeys
from bot.upstox.wire_market import MarketDecoder, check_limits, subscribe_request

_TEXT_KEPT = 200


class MarketFeed:
    """The Feed port over Upstox's V3 socket. Counters of the frames are the decoder's."""

    def __init__(
        self,
        clock: Clock,
        sink: Sink,
        authorize: Authorizer,
        decoder: MarketDecoder,
        keys: Sequence[InstrumentKey],
        mode: str = "full",
        *,
        jitter: Callable[[], float],
        companions: Sequence[InstrumentKey] = (),
        limits: Limits = Limits(),  # noqa: B008 - immutable
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`companions`: lively keys (an index), subscribed as ltpc, whose frames tell a quiet instrument from
        a dead feed. Raises ValueError when a connection may not carry so many keys.
        """
        if not keys:
            raise ValueError("a feed needs an instrument to subscribe")
        self._subscriptions: dict[str, list[InstrumentKey]] = {}
        self._settle(dict.fromkeys(keys, mode) | {key: "ltpc" for key in companions if key not in keys})
        self._clock = clock
        self._sink = sink
        self._decoder = decoder
        self._requests = count(1)
        self._stuck = StuckKeys()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._stream = Stream(clock, authorize, self, jitter=jitter, limits=limits, trust=trust)
        self.text_frames = 0  # the V3 feed has none, but some clients know them as refusals (upstox §3.2)
        self.last_text = ""

    async def run(self) -> None:
        """Deliver until cancelled; reconnects by itself."""
        await self._stream.run()

    def arm(self, on: bool) -> None:
        """In session (True) silence is judged, by two clocks. Frames: 5 s of silence is suspect, 13.5 s ends
        the connection. Ticks: a key that is still for 30 s while other frames come is subscribed anew.
        """
        self._stream.arm(on)
        self._stuck.arm(on, self._clock.monotonic())

    def renew(self) -> None:
        """There is a new token: try it at once."""
        self._stream.renew()

    @property
    def state(self) -> State:
        """`auth_required`: only a new token helps."""
        return self._stream.state

    @property
    def lost_total(self) -> dict[DownReason, int]:
        """How often the connection was lost, by reason."""
        return self._stream.lost_total

    @property
    def last_failure(self) -> str:
        """Why the last attempt to connect failed, in our words, without secrets."""
        return self._stream.last_failure

    async def subscribe(self, mode: str, keys: Sequence[InstrumentKey]) -> None:
        """Ask for more, on this connection and every later one; `mode` of a key already ours is changed.

        Raises ValueError when a connection may not carry so many keys.
        """
        before = {key: each for each, some in self._subscriptions.items() for key in some}
        wanted = before | dict.fromkeys(keys, mode)
        fresh = [key for key in dict.fromkeys(keys) if key not in before]
        changed = [key for key in dict.fromkeys(keys) if before.get(key, mode) != mode]
        self._settle(wanted)
        self._decoder.add(keys)
        for method, some in (("sub", fresh), ("change_mode", changed)):
            if some:
                await self._stream.send(self._request(method, mode, some))

    async def unsubscribe(self, keys: Sequence[InstrumentKey]) -> None:
        """Ask for less. What is under way of these keys is still delivered."""
        gone = frozenset(keys)
        ours = {key: mode for mode, some in self._subscriptions.items() for key in some}
        self._settle({key: mode for key, mode in ours.items() if key not in gone})
        if known := [key for key in dict.fromkeys(keys) if key in ours]:
            await self._stream.send(self._request("unsub", "", known))

    async def resubscribe(self, key: InstrumentKey) -> bool:
        """For a key that is stuck while others move: a repeated `sub` may be ignored, `unsub` + `sub` is not
        (upstox §3.2). False when there is no connection, or the key is not ours.
        """
        for mode, keys in self._subscriptions.items():
            if key in keys:
                return await self._stream.send(self._request("unsub", "", [key])) and await self._stream.send(
                    self._request("sub", mode, [key])
                )
        return False

    async def on_open(self, send: Send) -> None:
        """The stream's word: a new connection, which knows nothing of us."""
        self._decoder.opened()
        self._stuck.opened(self._clock.monotonic())
        for mode, keys in self._subscriptions.items():
            await send(self._request("sub", mode, keys))
        self._sink(FeedUp(self._clock.now(), self._clock.monotonic()))

    def on_message(self, data: bytes | str) -> bool:
        """The stream's word: one message. On the path of every tick."""
        at, mono = self._clock.now(), self._clock.monotonic()
        if isinstance(data, str):
            self.text_frames += 1
            self.last_text = data[:_TEXT_KEPT]
            self._sink(FrameSeen(at, mono))
            return True
        events = self._decoder.decode(data, at, mono)
        for event in events:
            self._sink(event)
        if mono >= self._stuck.look_at:
            self._unstick(mono)
        if not events and self._decoder.flooded:
            raise Unintelligible
        return bool(events)

    def on_closed(self, reason: DownReason) -> None:
        """The stream's word: no connection."""
        self._sink(FeedDown(self._clock.now(), self._clock.monotonic(), reason))

    @property
    def resubscribed_total(self) -> Mapping[InstrumentKey, int]:
        """How often a key was stuck and asked for anew."""
        return self._stuck.total

    def _unstick(self, mono: Nanos) -> None:
        """On a frame, a few times a minute: which of our instruments did the others leave behind?"""
        heard = {key: self._decoder.heard_mono(key) for key in self._decoder.instruments}
        for key in self._stuck.look(mono, heard):
            task = asyncio.ensure_future(self.resubscribe(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _settle(self, modes: Mapping[InstrumentKey, str]) -> None:
        """Remember what we want, by mode; it is said again on every new connection."""
        settled: dict[str, list[InstrumentKey]] = {}
        for key, mode in modes.items():
            settled.setdefault(mode, []).append(key)
        check_limits({mode: len(keys) for mode, keys in settled.items()})
        self._subscriptions = settled

    def _request(self, method: str, mode: str, keys: Sequence[InstrumentKey]) -> bytes:
        return subscribe_request(f"feed-{next(self._requests)}", method, mode, keys)
