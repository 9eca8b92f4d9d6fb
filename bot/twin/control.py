"""The twin's own door, which Upstox does not have: faults on command, and what the twin thinks of its client.

    curl -d 'drop market' http://127.0.0.1:8765/twin/faults     one fault a line, now, in a script's words
    curl http://127.0.0.1:8765/twin/faults                      what rages, what was refused
    curl http://127.0.0.1:8765/twin/clock                       {now_ns, speed}: what time it is here

Only this machine gets in, and no web page: a browser says where a page comes from, and is refused.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.twin.faults import Fault, FaultKind
from bot.twin.floor import Floor
from bot.twin.script import ScriptRefused, read_commands

PATH: Final = "/twin/faults"
CLOCK_PATH: Final = "/twin/clock"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})

Inject = Callable[[Fault], Awaitable[None]]


def control_routes(floor: Floor, inject: Inject) -> list[Route]:
    """GET and POST of the control address."""

    async def show(request: Request) -> Response:
        if not _ours(request):
            return _said({"problems": ["only this machine, and no web page"]}, HTTPStatus.FORBIDDEN)
        return _said(_state(floor))

    async def command(request: Request) -> Response:
        if not _ours(request):
            return _said({"problems": ["only this machine, and no web page"]}, HTTPStatus.FORBIDDEN)
        try:
            text = (await request.body()).decode(errors="replace")
            faults = read_commands(text, floor.clock.now())
            for fault in faults:
                await inject(fault)
        except ScriptRefused as refused:
            return _said({"problems": refused.problems}, HTTPStatus.BAD_REQUEST)
        return _said({"happened": [_words(fault.kind) for fault in faults]} | _state(floor))

    async def clock(request: Request) -> Response:
        if not _ours(request):
            return _said({"problems": ["only this machine, and no web page"]}, HTTPStatus.FORBIDDEN)
        return _said({"now_ns": floor.clock.now(), "speed": getattr(floor.clock, "speed", 1.0)})

    return [
        Route(CLOCK_PATH, clock, methods=["GET"]),
        Route(PATH, show, methods=["GET"]),
        Route(PATH, command, methods=["POST"]),
    ]


def _state(floor: Floor) -> dict[str, Any]:
    return {
        "raging": [_words(kind) for kind in floor.faults.raging(floor.clock.now())],
        "refused": dict(floor.refused),
    }


def _words(kind: FaultKind) -> str:
    return kind.value.replace("_", " ")


def _ours(request: Request) -> bool:
    return request.client is not None and request.client.host in LOOPBACK and "origin" not in request.headers


def _said(body: dict[str, Any], status: int = HTTPStatus.OK) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
