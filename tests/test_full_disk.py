"""A real process on a real disk that fills up: a small tmpfs, full to the last byte while a position is held.

The twin's ledger is the judge. Mounting wants root; without it these tests skip, and say so.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bot.assemble.control import ask
from bot.core.units import SECOND
from tests.conftest import at
from tests.shell import Shell, until
from tests.test_killed_processes import BUSY, ended, judged
from tests.twin_thread import TwinThread

SPEED = 10.0
SIZE = "256m"  # with less than 200 MiB free the preflight says no

pytestmark = pytest.mark.component


@pytest.fixture
def twin() -> Iterator[TwinThread]:
    with TwinThread(starts_at=at("09:20:00"), speed=SPEED) as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "bot"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a tmpfs can't be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Not one byte is left."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * (1 << 20)):
            pass
    assert os.statvfs(disk).f_bavail == 0
    return filler


def entries(twin: TwinThread) -> int:
    return sum(row.side == "BUY" for row in twin.exchange.orders())


def test_a_disk_that_fills_up_in_a_position_costs_no_exit_and_a_freed_one_no_record(
    disk: Path, twin: TwinThread
) -> None:
    shell = Shell(disk, twin, **BUSY)
    with shell.bot() as running:
        until(shell.ready)
        until(twin.position)
        filler = fill(disk)
        until(lambda: not twin.position(), 60.0)  # sold by its own rule, or its stop
        until(lambda: ask(disk / "data", "state")["halted"] == "journal_failed")
        before, later = entries(twin), twin.clock.now() + 60 * SECOND
        until(lambda: twin.clock.now() > later)
        assert entries(twin) == before, "no entry whose record could not be written"
        assert running.poll() is None
        filler.unlink()
        running.terminate()
        said, _ = running.communicate(timeout=60)
        assert running.returncode == 0, said
    judged(twin, disk)
    ended(shell, twin)
    judged(twin, disk)


def test_a_disk_that_stays_full_is_no_good_end(disk: Path, twin: TwinThread) -> None:
    """Told to stop it sells what it holds, and says with its exit code that the books are not on disk."""
    shell = Shell(disk, twin, **BUSY)
    with shell.bot() as running:
        until(shell.ready)
        until(twin.position)
        filler = fill(disk)
        running.terminate()
        said, _ = running.communicate(timeout=60)
        assert not twin.position()
        assert running.returncode != 0, said
    filler.unlink()
    ended(shell, twin)
    judged(twin, disk)
