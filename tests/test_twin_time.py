"""Practising with the twin from the command line: its time, its login, its settings, in `bot`'s own words."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from bot.assemble.access import load_access
from bot.assemble.login import login, show_token
from bot.assemble.twin_time import clock_for
from bot.core.units import SECOND
from bot.run.live import WallClock
from bot.storage.token_file import read_token
from bot.twin.login import App
from bot.upstox.login import LoginRefused
from tests.conftest import at
from tests.loopback import unused_port
from tests.twin_thread import TwinThread

ROOT = Path(__file__).parents[1]


def browser(address: str) -> None:
    """What a person's browser does: open the page, follow where it leads."""
    httpx.get(address, follow_redirects=True, timeout=5).raise_for_status()


def test_against_a_twin_it_is_the_twins_time_at_the_twins_speed() -> None:
    with TwinThread(starts_at=at("09:20:00"), speed=30) as twin:
        clock = clock_for(twin.rest)
        assert abs(clock.now() - twin.clock.now()) < 30 * SECOND
        time.sleep(0.5)
        assert abs(clock.now() - twin.clock.now()) < 30 * SECOND, "it runs as fast"


@pytest.mark.parametrize("host", ["https://api.upstox.com", "http://127.0.0.1:9"])
def test_the_broker_is_not_asked_and_a_twin_that_is_away_leaves_the_walls_time(host: str) -> None:
    assert abs(clock_for(host).now() - WallClock().now()) < 5 * SECOND


def test_bot_login_takes_the_twins_own_dialog_and_the_token_works(tmp_path: Path) -> None:
    """Dialog, code, exchange and profile are the twin's; by the wall's clock its token died long ago."""
    with TwinThread(starts_at=at("09:20:00"), speed=1) as twin:
        access = load_access(
            None,
            {
                "BOT_BROKER__API_HOST": twin.rest,
                "BOT_DATA__FOLDER": str(tmp_path),
                "BOT_LOGIN__API_KEY": App().client_id,
                "BOT_LOGIN__REDIRECT_URI": f"http://127.0.0.1:{unused_port()}/login",
            },
        )
        console = Console(width=200)
        with console.capture() as said:
            assert login(access, App().client_secret, console, open_page=browser) == 0
            assert show_token(access, console, offline=False) == 0
        token = read_token(tmp_path / "access_token")
        assert token.count(".") == 2
        assert token not in said.get()
        assert "accepted for TWIN01" in said.get()
        with pytest.raises(LoginRefused, match=r"Invalid Credentials|UDAPI100016"):
            login(access, "another-secret", Console(quiet=True), open_page=browser)


@contextmanager
def bot(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", *arguments],
        cwd=folder,
        env=environment | {"BOT_MODEL__PATH": str(ROOT / "models" / "trade_classifier.tflite")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_the_settings_the_twin_writes_lead_preflight_and_run_to_it(tmp_path: Path) -> None:
    twin = ("twin", "--port", "0", "--at", "15:00", "--settings", "twin.toml")
    with bot(tmp_path, *twin) as serving:
        assert serving.stdout is not None
        heard = [serving.stdout.readline() for _ in range(14)]
        assert any("bot run --config twin.toml" in line for line in heard), heard
        with bot(tmp_path, "token", "set", "--config", "twin.toml") as keeping:
            said, _ = keeping.communicate("twin-token", timeout=30)
        assert "accepted for TWIN01" in said
        with bot(tmp_path, "preflight", "--config", "twin.toml") as looking:
            said, _ = looking.communicate(timeout=60)
        assert looking.returncode == 0, said
        assert '"go": true' in said
