"""The folder's lock, between real processes: held by a living one, let go of by a dead one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.storage.lock import LOCK_NAME, FolderLock, FolderTaken

HOLDER = """
import sys, time
from pathlib import Path
from bot.storage.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.take("mode live")
print("held", flush=True)
time.sleep(60)
"""


def test_a_living_bot_keeps_others_out_and_a_killed_one_does_not(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FolderTaken, match=rf"pid {holder.pid} on .*, mode live\).*another"):
            FolderLock(tmp_path).take("mode live")
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    FolderLock(tmp_path).take("mode live")


def test_it_can_be_taken_again_once_released_and_the_file_may_stay(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take("a long description of the first " * 3)
    first.release()
    first.release()
    second.take("the second")
    assert "first" not in (tmp_path / LOCK_NAME).read_text()
    second.release()
