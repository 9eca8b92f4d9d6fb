"""A scripted HTTP server on loopback for the tests of the order side: real sockets, told what to say.

Every request is counted with its headers and body, so that a test can prove how often something was sent.
"""

import asyncio
import atexit
import contextlib
import functools
import json
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

METHODS = ["GET", "POST", "PUT", "DELETE"]


class Sent(NamedTuple):
    """A request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any  # decoded JSON, None when there was no body


Say = Callable[[Sent], Awaitable[Response]]


def answer(status: int, body: object = b"", kind: str = "application/json") -> Say:
    """Always the same: JSON of `body`, or the bytes or text as they are."""
    content = body if isinstance(body, bytes | str) else json.dumps(body)

    async def say(_sent: Sent) -> Response:
        return Response(content, status, media_type=kind)

    return say


def hang(seconds: float = 30.0) -> Say:
    async def say(_sent: Sent) -> Response:
        await asyncio.sleep(seconds)
        return Response(b"late")

    return say


def success(data: object) -> Say:
    return answer(200, {"status": "success", "data": data})


def error(status: int, code: str, message: str = "no") -> Say:
    both = {
        "errorCode": code,
        "error_code": code,
        "message": message,
        "propertyPath": None,
        "invalidValue": None,
    }
    return answer(status, {"status": "error", "errors": [both]})


class Script:
    """What a server says, by path, and what it was sent."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.sent: list[Sent] = []
        self.says: dict[str, list[Say]] = {}

    def on(self, path: str, *says: Say) -> None:
        """Say these in turn; the last one for ever."""
        self.says[path] = list(says)

    async def respond(self, request: Request, path: str) -> Response:
        raw = await request.body()
        body = json.loads(raw) if raw else None
        sent = Sent(request.method, path, dict(request.query_params), dict(request.headers), body)
        self.sent.append(sent)
        says = self.says.get(path) or [error(404, "UDAPI100060", "Resource not Found")]
        say = says.pop(0) if len(says) > 1 else says[0]
        return await say(sent)


_scripts: dict[str, Script] = {}


@functools.cache
def _address() -> str:
    """One server for all tests, on a thread of its own; each test has its prefix there."""

    async def respond(request: Request) -> Response:
        script = _scripts[request.path_params["script"]]
        return await script.respond(request, "/" + request.path_params["path"])

    app = Starlette(routes=[Route("/{script}/{path:path}", respond, methods=METHODS)])
    # The protocol is named so that asyncio sets TCP_NODELAY on what it accepts; else each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)  # before anybody knows the address, so that no first request is refused
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical", log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()

    def stop() -> None:
        # Answers that hang on purpose are cut off now; uvicorn would print each as an error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        server.should_exit = server.force_exit = True
        thread.join(5)

    atexit.register(stop)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Script]:
    """A Script behind a real server; `base` is its address."""
    name = f"s{len(_scripts)}"
    script = _scripts[name] = Script(f"{_address()}/{name}")
    yield script


class Raw:
    """A bare TCP server: reads a whole request, then does what `reply` says with the connection."""

    def __init__(self) -> None:
        self.base = ""
        self.requests = 0
        self.connections = 0


@contextlib.asynccontextmanager
async def raw_serving(
    reply: bytes, *, read: bool = True, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Raw]:
    """Says `reply` after one request and closes. `read=False`: accepts, never reads, never speaks."""
    raw = Raw()
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw.connections += 1
        if not read:
            held.append(writer)
            return
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
            raw.requests += 1
            writer.write(reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    name = f"[{host}]" if ":" in host else host
    raw.base = f"http{'s' if tls else ''}://{name}:{server.sockets[0].getsockname()[1]}"
    try:
        yield raw
    finally:
        for writer in held:
            writer.close()
        server.close()
        await server.wait_closed()


def self_signed(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for 127.0.0.1 with a certificate of its own, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "loopback.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


def unused_port() -> int:
    """A port nobody listens on, below those that the system gives to neighbours' connections."""
    chance = random.SystemRandom()  # no seed: each worker asks for others
    while True:
        port = chance.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class CountingClock:
    """The wall clock, but nobody has to sleep: time is put forward. Counts what is under way."""

    def __init__(self) -> None:
        self.under_way = 0
        self.departures = 0
        self.skipped = 0

    def now(self) -> int:
        return time.time_ns() + self.skipped

    def monotonic(self) -> int:
        return time.monotonic_ns() + self.skipped

    async def sleep_until(self, at: int) -> None:
        self.skipped += max(0, at - self.now())
        await asyncio.sleep(0)

    def departed(self) -> None:
        self.under_way += 1
        self.departures += 1

    def arrived(self) -> None:
        self.under_way -= 1
        assert self.under_way >= 0

    async def quiet(self) -> None:
        pass
