"""Secrets of a real process are found nowhere: its words, pages, files, archive, its last traceback."""

import gzip
import re
import signal
import time
from pathlib import Path

import httpx

from bot.core.events import Act
from bot.twin.faults import Fault, FaultKind
from tests.conftest import at
from tests.loopback import unused_port
from tests.shell import Shell, until
from tests.twin_thread import TwinThread

TOKEN = "eyJ0eXAi.c4n4ry-of-the-token.s1gnature"
API_SECRET = "c4n4ry-of-the-app"
SANDBOX = "c4n4ry-of-the-sandbox"
SINGLE_USE = re.compile(r"requestId=|[?&]code=")  # of an authorised address: whoever reads it hears the feed
FAULTS = [
    (FaultKind.DROP_MARKET, 0.0), (FaultKind.DROP_PORTFOLIO, 0.0), (FaultKind.REFUSE_HANDSHAKE, 5.0),
    (FaultKind.REDIRECT_HANDSHAKE, 0.0), (FaultKind.DROP_MARKET, 0.0), (FaultKind.BLOCKED, 5.0),
    (FaultKind.DOWN, 5.0), (FaultKind.UNAUTHORIZED, 5.0),
]  # fmt: skip
CRASH = """
import bot.upstox.rest as rest
async def trades(self):
    raise RuntimeError(f"what nobody foresaw, with {self._token()}")
rest.UpstoxRest.order_book = trades
from bot.__main__ import app
app()
"""


def secrets_in(text: str) -> list[str]:
    found = [secret for secret in (TOKEN, API_SECRET, SANDBOX, "c4n4ry") if secret in text]
    return found + SINGLE_USE.findall(text)


def of_files(folder: Path) -> dict[str, list[str]]:
    """By file: what it holds of them; compressed ones are opened."""
    told = {}
    for path in folder.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            told[path.name] = secrets_in(
                (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("latin1")
            )
    return told


def test_a_day_with_refusals_and_lost_lines_writes_no_secret_anywhere(tmp_path: Path) -> None:
    port = unused_port()
    with TwinThread(starts_at=at("09:20:00"), speed=20.0, token=TOKEN) as twin:
        shell = Shell(
            tmp_path,
            twin,
            BOT_LIVE_ACCESS_TOKEN=TOKEN,
            BOT_LOGIN__API_SECRET=API_SECRET,
            BOT_SANDBOX_ACCESS_TOKEN=SANDBOX,
            BOT_TELEMETRY__PORT=str(port),
        )
        process = shell.start("run", "-v")
        until(shell.ready)
        until(twin.position)
        for kind, seconds in FAULTS:
            twin.inject(Fault(0, kind, seconds, Act.PLACE))
            time.sleep(0.3)
        pages = [httpx.get(f"http://127.0.0.1:{port}{path}").text for path in ("/", "/metrics", "/readyz")]
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert "feed_down" in said
    assert len(said) > 2000
    assert [secrets_in(text) for text in (said, *pages)] == [[]] * 4
    files = of_files(tmp_path)
    assert {"journal-2026-09-16.sqlite", "trades-2026-09-16.csv"} <= files.keys()
    assert not {name: found for name, found in files.items() if found}


def test_a_crash_with_the_token_in_its_words_tells_where_and_not_the_token(tmp_path: Path) -> None:
    with TwinThread(starts_at=at("09:20:00"), speed=20.0, token=TOKEN) as twin:
        shell = Shell(tmp_path, twin, BOT_LIVE_ACCESS_TOKEN=TOKEN)
        process = shell.start("run", program=CRASH)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "what nobody foresaw" in said
    assert "RuntimeError" in said
    assert not secrets_in(said), said
