"""The bot as processes against the twin (run, flatten, resume, SIGKILL), judged by the ledger of the twin."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from bot.twin.server import TOKEN
from tests.conftest import at
from tests.moto_server import Moto, point_boto3
from tests.test_preflight import TEXT
from tests.test_settings import write
from tests.twin_thread import TwinThread

ROOT = Path(__file__).parents[1]
SPEED = 20.0


class Shell:
    """One folder, one settings file; commands of the bot in it."""

    def __init__(self, folder: Path, twin: TwinThread, **more: str) -> None:
        folder.mkdir(exist_ok=True)
        self._config = write(folder, TEXT)
        self._environ = os.environ | {
            "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200",
            "BOT_LIVE_ACCESS_TOKEN": TOKEN,
            "BOT_BROKER__API_HOST": twin.rest, "BOT_BROKER__ORDER_HOST": twin.rest,
            "BOT_DATA__FOLDER": str(folder / "data"), "BOT_ARCHIVE__ROOT": str(folder / "archive"),
            "BOT_MODEL__PATH": str(ROOT / "models" / "trade_classifier.tflite"), "BOT_TELEMETRY__PORT": "0",
            "BOT_STRATEGY__THRESHOLD": "0.01", "BOT_STRATEGY__WARMUP_TICKS": "20",
            "BOT_PROCESS__CRASH_LOOP_BOOTS": "0",
        } | more  # fmt: skip

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "bot", *words, "--config", str(self._config)],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def say(self, *words: str) -> tuple[int, str]:
        """Run to its end: the exit code, and all it said."""
        process = self.start(*words)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    @contextmanager
    def bot(self) -> "Iterator[subprocess.Popen[str]]":
        """`bot run` beside us; killed at the end, unless it ended by itself."""
        process = self.start("run")
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=20)


@pytest.fixture
def twin() -> Iterator[TwinThread]:
    with TwinThread(starts_at=at("09:20:00"), speed=SPEED) as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path, twin: TwinThread) -> Shell:
    return Shell(tmp_path, twin)


def until(what: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def test_flatten_asks_the_running_bot_which_goes_on_and_enters_again_when_told(
    twin: TwinThread, shell: Shell
) -> None:
    with shell.bot() as running:
        until(twin.position)
        code, said = shell.say("run")
        assert (code, "another bot works here" in said) == (3, True), said
        code, said = shell.say("flatten", "--yes")
        assert code == 0, said
        assert "The running bot was asked" in said
        assert "Flat." in said
        assert twin.position() == 0
        orders = twin.orders()
        time.sleep(30 / SPEED)
        assert (twin.position(), twin.orders()) == (0, orders), "no entry until a person says so"
        assert running.poll() is None
        assert shell.say("resume")[0] == 0
        until(twin.position)


def test_a_bot_killed_in_a_position_is_sold_by_flatten_from_its_journal(
    twin: TwinThread, shell: Shell
) -> None:
    with shell.bot() as running:
        until(twin.position)
        running.send_signal(signal.SIGKILL)
        running.wait(10)
    assert twin.position() > 0
    code, said = shell.say("flatten", "--yes")
    assert code == 0, said
    assert "Flat." in said
    assert twin.position() == 0
    code, said = shell.say("resume")
    assert code == 3, said
    assert "no bot runs" in said


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Moto, str]]:
    """A real S3 server and a bucket in it."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed: no S3 to test against")
    server = Moto()
    server.start()
    point_boto3(monkeypatch, server.address)
    boto3.client("s3").create_bucket(
        Bucket="days", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"}
    )
    yield server, "s3://days/bot"
    server.stop()


@pytest.mark.component
def test_one_bot_an_account_and_s3_away_in_a_position_ends_entries_and_no_exit(
    tmp_path: Path, twin: TwinThread, bucket: tuple[Moto, str]
) -> None:
    """Two machines (folders), one account: the second is refused while the first lives. Then S3 goes away."""
    server, root = bucket
    leased = {"BOT_ARCHIVE__ROOT": root, "BOT_PROCESS__LEASE_SECONDS": "60"}
    first, second = (Shell(tmp_path / name, twin, **leased) for name in ("first", "second"))
    with first.bot() as running:
        until(twin.position)
        code, said = second.say("run")
        assert code == 3, said
        assert "another bot holds the lease" in said
        until(twin.position)
        server.stop()
        until(lambda: not twin.position())
        time.sleep(60 / SPEED)  # the lease has run out
        until(lambda: not twin.position())
        orders = twin.orders()
        time.sleep(60 / SPEED)
        assert twin.orders() == orders, "no entry without the lease"
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=30)
        assert running.returncode == 0, said
        assert "LeaseLost" in said
    assert twin.position() == 0
