"""`bot login` and `bot token`: the dialog over real sockets, a token kept 0600, proven, and never shown."""

import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner, Result

from bot.__main__ import app
from bot.assemble.access import NOBODY, AccessSettings, TokenRefused, first_token, load_access, verify
from bot.assemble.login import login
from bot.run.live import WallClock
from bot.settings import SettingsRefused
from bot.storage.token_file import TokenFileRefused, read_token, write_token
from bot.twin.server import TOKEN
from bot.upstox.login import LoginRefused
from bot.upstox.rest import Hosts
from tests.conftest import at
from tests.loopback import error, serving, unused_port
from tests.tokens import EXPIRED
from tests.twin_thread import TwinThread

SECRET = "app-secret-canary"
QUIET = Console(quiet=True)


class Dialog:
    """Login page, token endpoint and profile of a broker with one app and one user."""

    def __init__(self) -> None:
        self.exchanged: list[dict[str, str]] = []
        self.cancelled = False
        self.app = Starlette(
            routes=[
                Route("/v2/login/authorization/dialog", self._page),
                Route("/v2/login/authorization/token", self._exchange, methods=["POST"]),
                Route("/v2/user/profile", self._profile),
            ]
        )

    async def _page(self, request: Request) -> Response:
        query = request.query_params
        word = "error=access_denied" if self.cancelled else "code=once"
        return RedirectResponse(f"{query['redirect_uri']}?{word}&state={query['state']}")

    async def _exchange(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        self.exchanged.append({name: values[0] for name, values in form.items()})
        if form["client_secret"] != [SECRET]:
            error = {"errorCode": "UDAPI100016", "message": "Invalid Credentials"}
            return JSONResponse({"status": "error", "errors": [error]}, 401)
        return JSONResponse({"access_token": "fresh-token", "user_id": "AB1234", "broker": "UPSTOX"})

    async def _profile(self, request: Request) -> Response:
        if request.headers["authorization"] != "Bearer fresh-token":
            return JSONResponse({"status": "error", "errors": [{"errorCode": "UDAPI100050"}]}, 401)
        data = {"user_id": "AB1234", "user_name": "A TRADER", "is_active": True}
        return JSONResponse({"status": "success", "data": data})


@contextmanager
def serving_app(served: Starlette) -> Iterator[str]:
    """The app on a thread; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(served, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture
def dialog() -> Iterator[tuple[Dialog, str]]:
    broker = Dialog()
    with serving_app(broker.app) as address:
        yield broker, address


def access_to(address: str, folder: Path) -> AccessSettings:
    return load_access(
        None,
        {
            "BOT_BROKER__API_HOST": address,
            "BOT_DATA__FOLDER": str(folder),
            "BOT_LOGIN__API_KEY": "the-app",
            "BOT_LOGIN__REDIRECT_URI": f"http://127.0.0.1:{unused_port()}/login",
        },
    )


def browser(address: str) -> None:
    """What a person's browser does: open the page, follow where it leads."""
    httpx.get(address, follow_redirects=True, timeout=5).raise_for_status()


def test_a_login_brings_a_proven_token_into_a_file_for_the_owner_alone(
    dialog: tuple[Dialog, str], tmp_path: Path
) -> None:
    broker, address = dialog
    access = access_to(address, tmp_path)
    console = Console(record=True, quiet=False, width=200)
    with console.capture() as said:
        assert login(access, SECRET, console, open_page=browser) == 0
    assert read_token(tmp_path / "access_token") == "fresh-token"
    assert stat.S_IMODE((tmp_path / "access_token").stat().st_mode) == 0o600
    assert broker.exchanged == [
        {
            "code": "once",
            "client_id": "the-app",
            "client_secret": SECRET,
            "redirect_uri": access.login.redirect_uri,
            "grant_type": "authorization_code",
        }
    ]
    assert "AB1234" in said.get()
    assert "fresh-token" not in said.get()
    assert SECRET not in said.get()


def test_an_answer_to_another_login_is_turned_away_and_the_right_one_still_counts(
    dialog: tuple[Dialog, str], tmp_path: Path
) -> None:
    access = access_to(dialog[1], tmp_path)
    forged: list[int] = []

    def attacked(address: str) -> None:
        stranger = f"{access.login.redirect_uri}?code=theirs&state=guessed"
        forged.append(httpx.get(stranger, timeout=5).status_code)
        forged.append(httpx.get(access.login.redirect_uri.replace("/login", "/favicon.ico")).status_code)
        browser(address)

    assert login(access, SECRET, QUIET, open_page=attacked) == 0
    assert forged == [400, 404]
    assert [sent["code"] for sent in dialog[0].exchanged] == ["once"]


def test_a_refused_exchange_is_asked_once_and_says_what_to_do(
    dialog: tuple[Dialog, str], tmp_path: Path
) -> None:
    with pytest.raises(LoginRefused, match="copy both again") as refused:
        login(access_to(dialog[1], tmp_path), "wrong-secret", QUIET, open_page=browser)
    assert len(dialog[0].exchanged) == 1
    assert "wrong-secret" not in str(refused.value)
    assert not (tmp_path / "access_token").exists()


def test_a_cancelled_login_and_a_taken_port_are_said(dialog: tuple[Dialog, str], tmp_path: Path) -> None:
    dialog[0].cancelled = True
    with pytest.raises(LoginRefused, match="cancelled"):
        login(access_to(dialog[1], tmp_path), SECRET, QUIET, open_page=browser)
    taken = access_to(dialog[1], tmp_path)
    port = urlsplit(dialog[1]).port
    wanted = taken.login.model_copy(update={"redirect_uri": f"http://127.0.0.1:{port}/"})
    taken = replace(taken, login=wanted)
    with pytest.raises(LoginRefused, match="end what uses it"):
        login(taken, SECRET, QUIET, open_page=browser)


def test_a_redirect_to_another_machine_is_refused(dialog: tuple[Dialog, str], tmp_path: Path) -> None:
    access = load_access(
        None, {"BOT_LOGIN__REDIRECT_URI": "https://example.com/login", "BOT_DATA__FOLDER": str(tmp_path)}
    )
    with pytest.raises(LoginRefused, match=r"http://127\.0\.0\.1:8910/login"):
        login(access, SECRET, QUIET, open_page=browser)


# ---- bot token ---------------------------------------------------------------------------------------


@pytest.fixture
def twin() -> Iterator[TwinThread]:
    with TwinThread(starts_at=at("09:20:00"), speed=1) as running:
        yield running


def bot(folder: Path, twin: TwinThread | None, *arguments: str, stdin: str = "", **environ: str) -> Result:
    names = {"BOT_DATA__FOLDER": str(folder)} | environ
    if twin is not None:
        names["BOT_BROKER__API_HOST"] = twin.rest
    result = CliRunner().invoke(app, list(arguments), input=stdin, env=names)
    assert "Traceback" not in result.output
    return result


def test_a_token_from_a_pipe_is_proven_kept_and_not_shown(tmp_path: Path, twin: TwinThread) -> None:
    done = bot(tmp_path, twin, "token", "set", stdin=f"{TOKEN}\n")
    assert done.exit_code == 0, done.output
    kept = tmp_path / "access_token"
    assert read_token(kept) == TOKEN
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    shown = bot(tmp_path, twin, "token", "show")
    assert shown.exit_code == 0
    assert "TWIN01" in shown.output
    assert TOKEN not in done.output + shown.output


def test_a_wrong_token_is_refused_and_the_old_one_stays(tmp_path: Path, twin: TwinThread) -> None:
    write_token(tmp_path / "access_token", TOKEN)
    done = bot(tmp_path, twin, "token", "set", stdin="not-the-one\n")
    assert done.exit_code == 1
    assert "bot login" in " ".join(done.output.split())
    assert "not-the-one" not in done.output
    assert read_token(tmp_path / "access_token") == TOKEN


@pytest.mark.parametrize(
    ("text", "words"), [("", "empty"), ("two words", "characters"), (EXPIRED, "expired at 2023-11-15")]
)
def test_what_can_be_no_token_is_refused_without_asking(tmp_path: Path, text: str, words: str) -> None:
    done = bot(tmp_path, None, "token", "set", stdin=text, BOT_BROKER__API_HOST="http://127.0.0.1:1")
    assert done.exit_code == 1
    assert words in done.output
    assert not (tmp_path / "access_token").exists()


def test_offline_it_is_kept_unseen(tmp_path: Path) -> None:
    done = bot(tmp_path, None, "token", "set", "--offline", stdin="unseen")
    assert done.exit_code == 0
    assert "not verified" in done.output
    assert bot(tmp_path, None, "token", "show", "--offline").exit_code == 0


def test_no_token_and_no_app_say_what_to_do(tmp_path: Path) -> None:
    shown = bot(tmp_path, None, "token", "show")
    assert shown.exit_code == 1
    assert "bot login" in shown.output
    asked = bot(tmp_path, None, "login")
    assert asked.exit_code == 2
    assert "login.api_key" in asked.output


def test_a_secret_in_the_file_is_refused_without_repeating_it(tmp_path: Path) -> None:
    file = tmp_path / "bot.toml"
    file.write_text('[login]\napi_key = "k"\napi_secret = "canary"\n')
    with pytest.raises(SettingsRefused, match="BOT_LOGIN__API_SECRET") as refused:
        load_access(file, {})
    assert "canary" not in str(refused.value)


def test_the_environments_token_goes_first_unless_it_says_that_it_is_dead(tmp_path: Path) -> None:
    write_token(tmp_path / "access_token", "kept")

    def first(environment: str) -> tuple[str, str]:
        names = {"BOT_DATA__FOLDER": str(tmp_path), "BOT_LIVE_ACCESS_TOKEN": environment}
        return first_token(load_access(None, names), at("09:00:00"))

    assert first("fresh") == ("fresh", "environment")
    assert first(EXPIRED) == ("kept", "file")
    assert first("") == ("kept", "file")


def test_a_token_file_is_replaced_whole_and_never_read_when_open_to_all(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "token"
    assert read_token(file) == ""
    write_token(file, "first")
    write_token(file, "second")
    assert read_token(file) == "second"
    assert [path.name for path in file.parent.iterdir()] == ["token"]
    file.chmod(0o604)
    with pytest.raises(TokenFileRefused, match="chmod 600"):
        read_token(file)


async def test_an_analytics_token_that_may_not_read_the_profile_does_where_no_orders_are_sent() -> None:
    async with serving() as server:
        server.on("/v2/user/profile", error(403, "UDAPI1154"))
        hosts = Hosts(server.base, server.base)
        assert await verify(WallClock(), hosts, "analytics", read_only=True) == NOBODY
        with pytest.raises(TokenRefused, match="not the registered") as refused:
            await verify(WallClock(), hosts, "analytics")
        assert refused.value.passing
