"""The twin's calls gone wrong: answers that are none, answers of before, calls that are lost on their way.

ASGI around ASGI. Which trouble is upon a call is the twin's to say (twin_box.py).
"""

from http import HTTPStatus
from typing import Final, Protocol

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.simulate.troubles import AWAY, Kind
from bot.twin.gate import CALL

_BOOK: Final = "/v2/order/retrieve-all"
_STALE_READS: Final = (_BOOK, "/v2/portfolio/short-term-positions")
_EXIT: Final = "/v2/order/positions/exit"


class Troubled(Protocol):
    """What a call asks of the twin."""

    ours_without_tag: set[str]

    @property
    def troubled(self) -> bool: ...
    def lasts(self, kind: Kind) -> bool: ...
    def used(self, kind: Kind) -> bool: ...
    def on_away(self, seconds: float) -> None: ...
    def just_placed(self) -> str: ...


class Tampered:
    """ASGI around ASGI: answers that are none, and answers of before."""

    def __init__(self, app: ASGIApp, twin: Troubled) -> None:
        self._app, self._twin = app, twin
        self._fresh: dict[str, list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        twin, path = self._twin, scope["path"]
        if not twin.troubled:
            await self._pass_on(scope, receive, send)
            return
        acting = path.startswith("/v3/order/") and scope["method"] != "GET"
        if twin.lasts(Kind.CALLS_503):
            await _say(send, HTTPStatus.SERVICE_UNAVAILABLE, b'{"status":"error","errors":[]}')
        elif twin.lasts(Kind.HTML):
            await _say(send, HTTPStatus.OK, b"<html><body>maintenance</body></html>", b"text/html")
        elif twin.lasts(Kind.WRONG_SCHEMA) and not acting:
            await _say(send, HTTPStatus.OK, b'{"status":"success","data":{"surprise":[1]}}')
        elif acting and twin.used(Kind.DONE_BUT_500):
            twin.on_away(AWAY[Kind.DONE_BUT_500])
            await self._answer(scope, receive)
            await _say(send, HTTPStatus.INTERNAL_SERVER_ERROR, b"{}")
        elif acting and twin.used(Kind.REQUEST_LOST):
            twin.on_away(AWAY[Kind.REQUEST_LOST])
            scope[CALL].lost = True
            await _say(send, HTTPStatus.OK, b"")
        elif twin.lasts(Kind.BOOK_LACKS) and path == _BOOK and (order_id := twin.just_placed()):
            for message in _without(order_id, await self._answer(scope, receive)):
                await send(message)
        elif twin.lasts(Kind.BOOK_STALE) and path in self._fresh:
            for message in self._fresh[path]:
                await send(dict(message))
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        messages = await self._answer(scope, receive)
        if path in _STALE_READS:
            self._fresh[path] = messages
        if messages[0]["status"] == HTTPStatus.OK and path == _EXIT:
            body = b"".join(message.get("body", b"") for message in messages[1:])
            self._twin.ours_without_tag.update(orjson.loads(body)["data"]["order_ids"])
        for message in messages:
            await send(dict(message))

    async def _answer(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(dict(message))

        await self._app(scope, receive, keep)
        return messages


def _without(order_id: str, messages: list[Message]) -> list[Message]:
    """An answer of the order book in which this order is not there yet."""
    if messages[0]["status"] != HTTPStatus.OK:
        return messages
    book = orjson.loads(b"".join(message.get("body", b"") for message in messages[1:]))
    book["data"] = [row for row in book["data"] if row["order_id"] != order_id]
    head, body = dict(messages[0]), orjson.dumps(book)
    head["headers"] = [header for header in head["headers"] if header[0] != b"content-length"]
    head["headers"].append((b"content-length", b"%d" % len(body)))
    return [head, {"type": "http.response.body", "body": body}]


async def _say(send: Send, status: HTTPStatus, body: bytes, kind: bytes = b"application/json") -> None:
    await send({"type": "http.response.start", "status": int(status), "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})
