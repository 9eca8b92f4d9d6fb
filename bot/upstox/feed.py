"""The market feed: subscribes when the socket opens, decodes what comes, and puts it into the sink.

It knows neither when to reconnect (reconnect.py) nor what a frame means (wire_market.py) nor the strategy.
"""

import ssl
from collections.abc import Callable, Sequence
from itertools import count

from bot.core.events import FeedDown, FeedUp, FrameSeen
from bot.core.units import InstrumentKey
from bot.run.ports import Clock, Sink
from bot.upstox.reconnect import DownReason, Limits, State
from bot.upstox.stream import Authorizer, Send, Stream, Unintelligible
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
        self._subscriptions: dict[str, list[InstrumentKey]] = {}
        for each_mode, some in ((mode, keys), ("ltpc", companions)):
            if some:
                self._subscriptions.setdefault(each_mode, []).extend(some)
        check_limits({each: len(some) for each, some in self._subscriptions.items()})
        if not keys:
            raise ValueError("a feed needs an instrument to subscribe")
        self._clock = clock
        self._sink = sink
        self._decoder = decoder
        self._requests = count(1)
        self._stream = Stream(clock, authorize, self, jitter=jitter, limits=limits, trust=trust)
        self.text_frames = 0  # the V3 feed has none, but some clients know them as refusals (upstox §3.2)
        self.last_text = ""

    async def run(self) -> None:
        """Deliver until cancelled; reconnects by itself."""
        await self._stream.run()

    def arm(self, on: bool) -> None:
        """In session (True) silence is judged: 5 s is suspect, 13.5 s ends the connection."""
        self._stream.arm(on)

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
        if not events and self._decoder.flooded:
            raise Unintelligible
        return bool(events)

    def on_closed(self, reason: DownReason) -> None:
        """The stream's word: no connection."""
        self._sink(FeedDown(self._clock.now(), self._clock.monotonic(), reason))

    def _request(self, method: str, mode: str, keys: Sequence[InstrumentKey]) -> bytes:
        return subscribe_request(f"feed-{next(self._requests)}", method, mode, keys)
