"""The bot as processes against the twin (run, flatten, resume, SIGKILL), judged by the ledger of the twin."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.conftest import at
from tests.moto_server import Moto, point_boto3
from tests.shell import Shell, until
from tests.twin_thread import TwinThread

SPEED = 20.0


@pytest.fixture
def twin() -> Iterator[TwinThread]:
    with TwinThread(starts_at=at("09:20:00"), speed=SPEED) as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path, twin: TwinThread) -> Shell:
    return Shell(tmp_path, twin)


def test_flatten_asks_the_running_bot_which_enters_again_when_told_unless_a_kill_file_forbids_it(
    tmp_path: Path, twin: TwinThread, shell: Shell
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
        kill = tmp_path / "data" / "KILL"
        kill.touch()
        assert shell.say("flatten", "--yes")[0] == 0
        code, said = shell.say("resume")
        assert (code, "kill_file" in said) == (1, True), said


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
