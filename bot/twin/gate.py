"""The door of the REST server: counts calls for the clock, says the twin's Date, and can lose a reply.

It knows ASGI and the Clock port; it does not know what is asked. A call that comes in has arrived, and its
answer departs: between the two only the twin's own waiting moves the lockstep clock. A client that hangs up
gets no answer, so the hang-up itself departs: its own timeout has already counted the end of the wait.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.core.units import SECOND
from bot.run.ports import Clock

CALL: Final = "twin.call"  # where a request's scope carries its `CallFate`
BODY_BYTES_MAX: Final = 1 << 20


class CallFate:
    """What a handler decides about its own answer, beyond saying it."""

    __slots__ = ("lost",)

    def __init__(self) -> None:
        self.lost = False  # the answer is never sent: the connection breaks instead


class Gate:
    """ASGI around ASGI. `hang_up(client)` breaks the connection of that (host, port)."""

    def __init__(self, app: ASGIApp, clock: Clock, hang_up: Callable[[tuple[str, int]], None]) -> None:
        self._app, self._clock, self._hang_up = app, clock, hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        assert scope["type"] == "http"
        self._clock.arrived()
        call = _Call(self._clock)
        fate = scope[CALL] = CallFate()
        watch: asyncio.Task[None] | None = None
        try:
            body = await _body_of(receive)
            if body is None:
                return  # hung up before it was asked
            watch = asyncio.create_task(_until_gone(receive, call))

            async def speak(message: Message) -> None:
                if fate.lost:
                    if not call.ended:
                        call.end()
                        self._hang_up(scope["client"])
                    return
                if message["type"] == "http.response.start":
                    call.end()
                    message["headers"] = [*message["headers"], (b"date", _date(self._clock.now() // SECOND))]
                await send(message)

            await self._app(scope, _replay(body), speak)
            if fate.lost:
                await watch  # until the server has seen the end of the connection
        finally:
            call.end()
            if watch is not None:
                watch.cancel()
                await asyncio.wait({watch})


@lru_cache(maxsize=4)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


class _Call:
    """Whether the client still waits. Ends once, however it ends."""

    __slots__ = ("_clock", "ended")

    def __init__(self, clock: Clock) -> None:
        self._clock, self.ended = clock, False

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self._clock.departed()


async def _until_gone(receive: Receive, call: _Call) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    call.end()


async def _body_of(receive: Receive) -> bytes | None:
    """The body, cut off where it is longer than any request should be; None when the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        if len(body) < BODY_BYTES_MAX:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes) -> Receive:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
