"""The morning token: asked for, approved, posted unsigned to an open door, kept, proven, used; and every way
in which somebody else could try to hand us one. Secrets Manager is moto's, over HTTP; the rest is real.
"""

import asyncio
import base64
import hashlib
import http.server
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bot.assemble.courier import Courier
from bot.assemble.live import run_live
from bot.core.units import MILLISECOND
from bot.run.live import WallClock
from bot.settings import Settings, SettingsRefused, load
from bot.storage.token_source import TokenSourceFailed, ask_for_token, read_token
from bot.telemetry.logs import Logs
from bot.twin.server import TOKEN
from infra.lambdas import request, webhook
from infra.lambdas.package import package
from tests.conftest import at
from tests.moto_server import Moto, point_boto3
from tests.test_settings import GOOD, write
from tests.twin_thread import TwinThread

NOW_MS = at("08:05:00") // MILLISECOND
PATH = "a-path-of-256-random-bits"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJBQjEyMzQifQ.c2lnbmF0dXJlLW9mLXRoZS1icm9rZXI"
few = effort(max_examples=60, deadline=None)
MODEL = Path(__file__).parents[1] / "models" / "trade_classifier.tflite"


def word(**changes: object) -> dict[str, object]:
    """What Upstox posts when the owner approved (upstox §2.3)."""
    told: dict[str, object] = {
        "client_id": "our-client",
        "user_id": "AB1234",
        "access_token": JWT,
        "token_type": "Bearer",
        "issued_at": str(NOW_MS),
        "expires_at": str(NOW_MS + 19 * webhook.HOUR_MS),
        "message_type": "access_token",
    }
    return {key: value for key, value in (told | changes).items() if value is not None}


def event(body: object, *, path: str = PATH, method: str = "POST") -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"rawPath": f"/{path}", "requestContext": {"http": {"method": method}}, "body": text}


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    server = Moto()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def lambdas(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The Lambdas' environment, with an AWS that can't be reached: whoever stores anything fails. A mark."""
    point_boto3(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    mark = hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    for name, value in {
        "UPSTOX_CLIENT_ID": "our-client",
        "UPSTOX_USER_ID": "AB1234",
        "PATH_SHA256": hashlib.sha256(PATH.encode()).hexdigest(),
        "TOKEN_SECRET": f"{mark}/token",
        "APP_SECRET": f"{mark}/app",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(webhook, "_now_ms", lambda: NOW_MS)
    return mark


@pytest.fixture
def secrets(moto: Moto, lambdas: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Secrets Manager with `app` and an empty `token`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.address)
    client = boto3.client("secretsmanager")
    client.create_secret(Name=f"{lambdas}/token")
    client.create_secret(Name=f"{lambdas}/app", SecretString='{"client_secret": "the-app-secret"}')
    return client


def kept() -> str:
    return read_token(f"secretsmanager:{os.environ['TOKEN_SECRET']}")


# ---- the open door ----


def test_an_approved_token_is_kept_with_its_times_and_nothing_else(secrets: Any) -> None:
    assert kept() == "", "made empty"
    extra = {"note": "fields the broker may add one day"}
    assert webhook.handle(event(word() | extra)) == {"statusCode": 200, "body": ""}
    value = json.loads(secrets.get_secret_value(SecretId=os.environ["TOKEN_SECRET"])["SecretString"])
    expected = {"access_token": JWT, "issued_at_ms": NOW_MS, "expires_at_ms": NOW_MS + 19 * webhook.HOUR_MS}
    assert value == expected
    assert kept() == JWT
    encoded = event(base64.b64encode(json.dumps(word()).encode()).decode()) | {"isBase64Encoded": True}
    assert webhook.handle(encoded)["statusCode"] == 200


HOSTILE = {
    "another path": (event(word(), path="guess"), 404),
    "a longer path": (event(word(), path=PATH + "/x"), 404),
    "a GET": (event(word(), method="GET"), 404),
    "no JSON": (event("{" * 10), 400),
    "nested without end": (event("[" * 15_000), 400),
    "an array": (event([word()]), 400),
    "nothing": (event(""), 400),
    "too large": (event(word(note="x" * 17_000)), 413),
    "bad base64": (event("%%%") | {"isBase64Encoded": True}, 400),
    "another client": (event(word(client_id="another")), 403),
    "another user": (event(word(user_id="ZZ9999")), 403),
    "no user": (event(word(user_id=None)), 403),
    "another message": (event(word(message_type="order")), 400),
    "no bearer": (event(word(token_type="Basic")), 400),
    "no token": (event(word(access_token=None)), 400),
    "a token with a line": (event(word(access_token=JWT + "\r\nX-Evil: 1")), 400),
    "a token that is a number": (event(word(access_token=17)), 400),
    "a token too long": (event(word(access_token="x" * 9_000)), 400),
    "expired": (event(word(expires_at=str(NOW_MS - 1))), 400),
    "dies within the hour": (event(word(expires_at=str(NOW_MS + 60_000))), 400),
    "lives for ever": (event(word(expires_at="9999999999999")), 400),
    "seconds, not milliseconds": (event(word(expires_at=str(NOW_MS // 1000))), 400),
    "a replay of yesterday": (event(word(issued_at=str(NOW_MS - 24 * webhook.HOUR_MS))), 400),
    "made tomorrow": (event(word(issued_at=str(NOW_MS + webhook.HOUR_MS))), 400),
    "Arabic digits": (event(word(issued_at="١٢٣٤٥٦٧٨٩٠١٢٣")), 400),
}


@pytest.mark.parametrize(("hostile", "status"), HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_else_comes_is_refused_and_stores_nothing(
    lambdas: str, hostile: dict[str, Any], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert webhook.handle(hostile) == {"statusCode": status, "body": ""}
    said = capsys.readouterr().out
    for private in (JWT, PATH, "our-client", "AB1234", "guess", "another"):
        assert private not in said, "nothing of what came in is logged"


LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=40)
JSON = LEAF | st.lists(LEAF, max_size=3) | st.dictionaries(st.sampled_from(list(word())), LEAF, max_size=9)


@few
@given(st.binary() | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_no_body_makes_it_fall_or_hands_over_a_token(body: bytes) -> None:
    with pytest.raises(webhook.Refused):
        webhook.judge(body, "our-client", "AB1234", NOW_MS)


@few
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(word(), JSON)))
def test_no_single_field_can_be_bent(changes: dict[str, object]) -> None:
    told = word(**changes)
    try:
        handed = webhook.judge(json.dumps(told).encode(), "our-client", "AB1234", NOW_MS)
    except webhook.Refused:
        return
    assert handed.access_token == told["access_token"]
    assert (told["client_id"], told["user_id"]) == ("our-client", "AB1234")


def test_the_package_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = package(tmp_path / "a" / "token.zip"), package(tmp_path / "b" / "token.zip")
    assert first.read_bytes() == second.read_bytes()


# ---- asking ----


class Upstox(http.server.BaseHTTPRequestHandler):
    """The one call of the login host; `answer` is (status, body)."""

    answer: tuple[int, bytes] = (200, b"")
    asked: list[tuple[str, bytes]] = []  # noqa: RUF012 - one server a test

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, body))
        status, answer = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def upstox(secrets: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Upstox]]:
    handler = type("Handler", (Upstox,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("UPSTOX_API", f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_request_is_the_documented_call(upstox: type[Upstox], capsys: pytest.CaptureFixture[str]) -> None:
    upstox.answer = (200, b'{"status":"success","data":{"authorization_expiry":"1789500000000"}}')
    assert request.handle({}) == {"approve_until_ms": "1789500000000"}
    assert upstox.asked == [
        ("/v3/login/auth/token/request/our-client", b'{"client_secret": "the-app-secret"}')
    ]
    assert "the-app-secret" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b'{"status":"error"}', "HTTP 401"),
        (200, b"<html>", "could not be asked"),
        (200, b"[]", "no object"),
        (200, b'{"status":"success","data":{}}', "authorization_expiry"),
    ],
)
def test_a_request_that_was_not_taken_raises_so_that_the_alarm_speaks(
    upstox: type[Upstox], status: int, body: bytes, words: str
) -> None:
    upstox.answer = (status, body)
    with pytest.raises(request.NotAsked, match=words) as failed:
        request.handle({})
    assert "the-app-secret" not in repr(failed.value)


def test_an_app_secret_of_another_shape_says_what_to_run(secrets: Any) -> None:
    secrets.put_secret_value(SecretId=os.environ["APP_SECRET"], SecretString="the-app-secret")
    with pytest.raises(request.NotAsked, match="infra/deploy --secrets") as failed:
        request.handle({})
    assert "the-app-secret" not in repr(failed.value)


# ---- the source, as the bot reads it ----


@pytest.mark.parametrize("content", ["{broken", "{}", '{"access_token": 7}', "x" * 20_000])
def test_a_damaged_secret_is_said_without_its_content(secrets: Any, content: str) -> None:
    secrets.put_secret_value(SecretId=os.environ["TOKEN_SECRET"], SecretString=content)
    with pytest.raises(TokenSourceFailed, match="secretsmanager:") as failed:
        kept()
    assert "xxx" not in str(failed.value)


def test_a_source_of_no_kind_and_an_unreachable_aws_are_said(
    moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in ("nowhere", "file:x", "secretsmanager:"):
        with pytest.raises(ValueError, match="token source"):
            read_token(source)
    with pytest.raises(ValueError, match="lambda:NAME"):
        ask_for_token("sqs:x")
    point_boto3(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(TokenSourceFailed, match="not reached"):
        read_token("secretsmanager:options-bot/token")
    point_boto3(monkeypatch, moto.address)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(TokenSourceFailed, match="ResourceNotFound"):
        ask_for_token("lambda:not-there")


def test_settings_take_a_source_instead_of_a_token_and_refuse_nonsense(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    chosen = load(path, {"BOT_BROKER__TOKEN_SOURCE": "secretsmanager:options-bot/token"})
    assert chosen.broker.token_source == "secretsmanager:options-bot/token"
    with pytest.raises(SettingsRefused, match=r"broker\.token_source"):
        load(path, {"BOT_BROKER__TOKEN_SOURCE": "s3:x"})


# ---- the bot's morning ----


def settings(folder: Path, rest: str, **environ: str) -> Settings:
    text = GOOD.replace("1800", "1755").replace("= 75", "= 65")
    return load(
        write(folder, text),
        {
            "BOT_DATA__FOLDER": str(folder / "data"),
            "BOT_ARCHIVE__ROOT": str(folder / "archive"),
            "BOT_MODEL__PATH": str(MODEL),
            "BOT_TELEMETRY__PORT": "0",
            "BOT_BROKER__API_HOST": rest,
            "BOT_BROKER__ORDER_HOST": rest,
            "BOT_STRATEGY__THRESHOLD": "0.01",
            "BOT_BROKER__TOKEN_SOURCE": f"secretsmanager:{os.environ['TOKEN_SECRET']}",
        }
        | environ,
    )


def put(secrets: Any, token: str) -> None:
    secrets.put_secret_value(
        SecretId=os.environ["TOKEN_SECRET"], SecretString=json.dumps({"access_token": token})
    )


def test_a_token_the_broker_does_not_know_is_never_traded_with(
    secrets: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(secrets, JWT)
    with TwinThread(starts_at=at("09:20:00"), speed=30) as twin:
        clock = twin.clock  # one clock for both: a slow start is no skew
        assert run_live(settings(tmp_path, twin.rest), verbose=False, clock=clock) == 3
        assert twin.traded() == 0
    said = capsys.readouterr().out
    assert '"event":"token_refused"' in said
    assert '"name":"NoToken"' in said, "infra/terraform/watch.tf looks for these words"
    assert JWT not in said


async def test_the_courier_asks_once_at_0840_when_nothing_came_and_brings_what_comes(
    secrets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = settings(
        tmp_path, "http://127.0.0.1:9", BOT_BROKER__TOKEN_REQUEST="lambda:options-bot-token-request"
    )
    clock = WallClock(starts_at=at("08:39:30"), speed=30)
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(
        "bot.assemble.courier.ask_for_token", lambda target: asked.append((target, clock.now()))
    )
    logs = Logs(clock.now)
    running = asyncio.ensure_future(Courier(chosen, clock).run(at("09:15:00"), logs))
    await asyncio.sleep(3)  # a minute and a half
    assert [target for target, _ in asked] == ["lambda:options-bot-token-request"]
    assert asked[0][1] >= at("08:40:00")
    put(secrets, JWT)
    for _ in range(100):
        if chosen.token_file.exists():
            break
        await asyncio.sleep(0.05)
    running.cancel()
    logs.close()
    assert chosen.token_file.read_text().strip() == JWT
    assert chosen.token_file.stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr().out
    assert '"event":"token_brought"' in said
    assert JWT not in said


def test_a_new_token_in_the_secret_is_used_while_the_bot_trades(
    secrets: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(secrets, TOKEN)
    with TwinThread(starts_at=at("09:20:00"), speed=30) as twin:

        def renew_then_terminate() -> None:
            twin.wait_long(seconds=40)
            assert twin.twin is not None
            twin.twin._floor.access.issue("another-token-of-today", at("09:20:00"))
            put(secrets, "another-token-of-today")
            threading.Event().wait(3)
            os.kill(os.getpid(), signal.SIGTERM)

        renewer = threading.Thread(target=renew_then_terminate)
        renewer.start()
        clock = twin.clock  # one clock for both: a slow start is no skew
        code = run_live(settings(tmp_path, twin.rest), verbose=False, clock=clock)
        renewer.join()
        assert (code, twin.position()) == (0, 0)
    said = capsys.readouterr().out
    assert '"event":"token_replaced"' in said
    assert "another-token-of-today" not in said


def test_the_bot_proves_the_secrets_token_by_a_real_call_and_trades_with_it(
    secrets: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(secrets, TOKEN)
    with TwinThread(starts_at=at("09:20:00"), speed=30) as twin:

        def terminate() -> None:
            twin.wait_long(seconds=40)
            os.kill(os.getpid(), signal.SIGTERM)

        killer = threading.Thread(target=terminate)
        killer.start()
        clock = twin.clock  # one clock for both: a slow start is no skew
        code = run_live(settings(tmp_path, twin.rest), verbose=False, clock=clock)
        killer.join()
        assert (code, twin.position(), twin.traded() > 0) == (0, 0, True)
    said = capsys.readouterr().out
    assert '"event":"token_accepted"' in said
    assert TOKEN not in said


# ---- from the request to the first order, with the twin in Upstox's place ----


@pytest.fixture
def door() -> Iterator[str]:
    """The function URL: an HTTP server that turns a request into Lambda's event. Gives the open address."""

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer = webhook.handle(event(body, path=self.path.strip("/")))
            self.send_response(answer["statusCode"])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{PATH}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_asked_approved_posted_kept_proven_and_traded_with(
    secrets: Any,
    door: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    login = pytest.importorskip("bot.twin.login", reason="the twin of this checkout has no login yet")
    with TwinThread(starts_at=at("09:20:00"), speed=30) as twin:
        assert twin.twin is not None
        app = login.App(client_id="our-client", client_secret="the-app-secret", notifier_url=door)
        floor: Any = twin.twin._floor
        floor.login.app = app
        clock = twin.clock  # one clock for both: a slow start is no skew
        monkeypatch.setattr(webhook, "_now_ms", lambda: clock.now() // MILLISECOND)
        monkeypatch.setenv("UPSTOX_USER_ID", floor.login._user)
        monkeypatch.setenv("UPSTOX_API", twin.rest)
        assert request.handle({})["approve_until_ms"].isdigit()
        for _ in range(200):
            if kept():
                break
            threading.Event().wait(0.05)
        token = kept()
        assert token.count(".") == 2, "the approved JWT lies in Secrets Manager"

        def terminate() -> None:
            twin.wait_long(seconds=40)
            os.kill(os.getpid(), signal.SIGTERM)

        killer = threading.Thread(target=terminate)
        killer.start()
        code = run_live(settings(tmp_path, twin.rest), verbose=False, clock=clock)
        killer.join()
        assert (code, twin.position(), twin.traded() > 0) == (0, 0, True)
    said = capsys.readouterr().out
    assert token not in said
    assert "the-app-secret" not in said
