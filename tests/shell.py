"""The bot as a person starts it: processes with settings of their own, against a twin."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.assemble.control import NobodyAnswers, ask
from bot.twin.server import TOKEN
from tests.test_preflight import TEXT
from tests.test_settings import write
from tests.twin_thread import TwinThread

ROOT = Path(__file__).parents[1]


class Shell:
    """One folder, one settings file; commands of the bot in it."""

    def __init__(self, folder: Path, twin: TwinThread, **more: str) -> None:
        folder.mkdir(exist_ok=True)
        self._config, self._data = write(folder, TEXT), folder / "data"
        self._environ = os.environ | {
            "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200",
            "BOT_LIVE_ACCESS_TOKEN": TOKEN,
            "BOT_BROKER__API_HOST": twin.rest, "BOT_BROKER__ORDER_HOST": twin.rest,
            "BOT_DATA__FOLDER": str(self._data), "BOT_ARCHIVE__ROOT": str(folder / "archive"),
            "BOT_MODEL__PATH": str(ROOT / "models" / "trade_classifier.tflite"), "BOT_TELEMETRY__PORT": "0",
            "BOT_STRATEGY__THRESHOLD": "0.01", "BOT_STRATEGY__WARMUP_TICKS": "20",
            "BOT_PROCESS__CRASH_LOOP_BOOTS": "0",
        } | more  # fmt: skip

    def start(self, *words: str, program: str = "") -> "subprocess.Popen[str]":
        """`program`: Python to run instead of `bot` itself."""
        runs = ["-c", program] if program else ["-m", "bot"]
        return subprocess.Popen(
            [sys.executable, *runs, *words, "--config", str(self._config)],
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

    def ready(self) -> bool:
        """Has the running bot read the broker's books, by its own word?"""
        try:
            return bool(ask(self._data, "state")["ready"])
        except NobodyAnswers:
            return False

    @contextmanager
    def bot(self) -> "Iterator[subprocess.Popen[str]]":
        """`bot run` beside us; killed at the end, unless it ended by itself."""
        process = self.start("run")
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=20)


def until(what: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
