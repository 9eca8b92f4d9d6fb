"""Lines to a stream from a thread of its own: whoever writes them never waits for who reads them."""

import threading
from collections import deque
from typing import Final, TextIO

_CAPACITY_LINES: Final = 4096


class DirectWriter:
    """For a stream in memory, which nobody waits for: each line at once, on the caller's thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.dropped = 0

    def put(self, line: str) -> None:
        self._stream.write(line + "\n")

    def close(self, timeout_seconds: float) -> None:
        """Nothing waits to be written."""


class LineWriter:
    """A bounded queue and the thread that empties it. A full queue loses its oldest line, and counts it."""

    def __init__(self, stream: TextIO, capacity: int = _CAPACITY_LINES) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque(maxlen=capacity)
        self._something = threading.Condition()
        self._closed = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        with self._something:
            if self._closed:
                self.dropped += 1
                return
            self.dropped += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(line)
            self._something.notify()

    def close(self, timeout_seconds: float) -> None:
        """Let the thread finish; a stream that takes nothing is left behind after the timeout."""
        with self._something:
            self._closed = True
            self._something.notify()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._something:
                while not self._waiting and not self._closed:
                    self._something.wait()
                lines = list(self._waiting)
                self._waiting.clear()
                over = self._closed
            if lines:
                self._write(lines)
            if over:
                return

    def _write(self, lines: list[str]) -> None:
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe, a closed file: nobody is left to tell
            self.dropped += len(lines)
