"""The small HTTP server that Prometheus, the container engine and people look at.

`/metrics`, `/healthz` (the loop turns), `/readyz` (it trades, and if not, why), `/` for people. Read-only,
loopback unless told otherwise, on the bot's own event loop. Starlette and uvicorn are loaded when it starts.
"""

import errno
import socket
from typing import TYPE_CHECKING, Final

import orjson

from bot.telemetry.metrics import CONTENT_TYPE, Metrics
from bot.telemetry.recent import Recent
from bot.telemetry.status_page import page
from bot.telemetry.view import View

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from uvicorn import Server

HEARTBEAT_AGE_MAX_SECONDS: Final = 10.0  # heartbeats come once a second
_CLOSING_SECONDS: Final = 2  # a client that does not hang up is cut off
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "cache-control": "no-store",
}
_ADVICE: Final = {
    errno.EADDRINUSE: "is taken. Is another bot running? Stop it, or set [telemetry] port to a free one.",
    errno.EACCES: "may not be used by this process. Set [telemetry] port to 1024 or above.",
    errno.EADDRNOTAVAIL: "is no address of this machine. Set [telemetry] host to 127.0.0.1 or one that is.",
}


class PortTaken(Exception):
    """The server can't listen there. The text says why and what to do; shown as it stands."""


class OpsServer:
    """Serves `metrics` and `view` from `start` to `stop`. Port 0 takes a free one; `port` tells which."""

    def __init__(
        self,
        metrics: Metrics,
        view: View,
        host: str = "127.0.0.1",
        port: int = 9100,
        recent: Recent | None = None,
    ) -> None:
        self._metrics = metrics
        self._view = view
        self._recent = recent or Recent(view)
        self.host = host
        self.port = port
        self.scrapes = 0  # answers to /metrics
        self._server: Server | None = None

    async def start(self) -> None:
        """Listen. Raises PortTaken."""
        import uvicorn

        assert self._server is None, "started twice"
        listener = _listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app(),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_CLOSING_SECONDS,
        )
        config.load()
        server = uvicorn.Server(config)
        # As Server.serve does, without its signal handlers (the bot has its own) and without its main loop
        # (it only ticks, and would run a lockstep clock for ever).
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        self._server = server

    async def stop(self) -> None:
        """Stop listening; answers under way are finished. Harmless when it never started."""
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()

    def _app(self) -> "Starlette":
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import Response
        from starlette.routing import Route

        def answer(status: int, **body: object) -> Response:
            return Response(orjson.dumps(body), status, media_type="application/json")

        async def metrics(_: Request) -> Response:
            self.scrapes += 1
            return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

        async def healthz(_: Request) -> Response:
            """Answering proves that the loop turns; the heartbeat proves that the engine does."""
            age = self._view.day().heartbeat_age_seconds
            alive = age <= HEARTBEAT_AGE_MAX_SECONDS
            return answer(200 if alive else 503, alive=alive, heartbeat_age_seconds=age)

        async def readyz(_: Request) -> Response:
            day = self._view.day()
            return answer(
                200 if day.ready else 503,
                ready=day.ready,
                reason=day.reason,
                session=day.session_state,
                halted=day.halted,
                mode=day.mode,
            )

        async def status(_: Request) -> Response:
            return Response(page(self._view, self._recent), media_type="text/html", headers=_PAGE_HEADERS)

        return Starlette(
            routes=[
                Route("/", status),
                Route("/metrics", metrics),
                Route("/healthz", healthz),
                Route("/readyz", readyz),
            ]
        )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Saying TCP makes asyncio turn Nagle's algorithm off; else an answer in two pieces waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A port that a dead bot left in TIME_WAIT may be taken; one that is listened on may not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        advice = _ADVICE.get(error.errno or 0, f"can't be listened on ({error}). Set [telemetry] host, port.")
        raise PortTaken(f"{host}:{port} {advice}") from error
    listener.setblocking(False)
    return listener
