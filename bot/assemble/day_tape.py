"""A day's tape while it runs: every frame, event and decision, in the inbox's order; then its certificate.

It hears and never answers. What is recorded is enough to run the day again (replay.py).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from bot.assemble.replay import Certificate, certify
from bot.core.events import Event, FrameSeen, Quote, SegmentStatus, Tick
from bot.core.forecast import Classifier
from bot.core.rules import Contract, Rules
from bot.core.session import Session
from bot.core.units import InstrumentKey, Nanos
from bot.run.inbox import Inbox
from bot.run.ports import Record, Turn
from bot.storage.tape import EventPen, TapeWriter, commands_text, tapes_of
from bot.upstox.wire_market import MarketDecoder

_OF_FRAMES = Tick | Quote | FrameSeen | SegmentStatus  # what a frame says is in the frame


class DayTape:
    """An observer; `inbox` and `decoder` are the day's, with a pen; without a path it notes nothing."""

    def __init__(self, path: Path | None) -> None:
        self.writer = TapeWriter(path) if path else _NoWriter()
        self._taped = path is not None
        self.inbox: Inbox = _TapedInbox(self.writer) if self._taped else Inbox()
        self._turns = 0
        self._at: Nanos = 0
        self._mono: Nanos = 0

    def begin(
        self,
        at: Nanos,
        mono: Nanos,
        *,
        session: Session,
        contracts: Sequence[Contract],
        rules: Rules,
        run: int | str,
        model: str,
        no_entries: str,
        kept: Iterable[Record],
        facts: dict[str, Any],
    ) -> None:
        """The head of this incarnation: all that the engine was made of."""
        head = {
            "session": asdict(session),
            "contracts": [asdict(contract) for contract in contracts],
            "rules": asdict(rules),
            "run": run,
            "model": model,
            "no_entries": no_entries,
            "kept": [list(record) for record in kept],
            "facts": facts,
        }
        self.writer.put(b"H", at, mono, json.dumps(head, default=str).encode())

    def decoder(self, instruments: Iterable[InstrumentKey]) -> MarketDecoder:
        """The market decoder that notes each frame before reading it."""
        return MarketDecoder(instruments, _Tap(self.writer) if self._taped else None)

    def hear(self, turn: Turn) -> None:
        """Note what a turn decided. The number is the event's place in the inbox."""
        self._turns += 1
        if turn.commands and self._taped:
            self._at, self._mono = turn.event.at, turn.event.mono
            text = f"{self._turns} {commands_text(tuple(turn.commands))}"
            self.writer.put(b"C", self._at, self._mono, text.encode())

    def close(self) -> str:
        """End the tape; why it is not whole, "" when it is. Blocks for the disk."""
        self.writer.put(b"Z", self._at, self._mono, str(self._turns).encode())
        self.writer.close()
        return self.writer.problem

    def certify(
        self, folder: Path, day: date, classifier: Classifier, alive: Callable[[], object]
    ) -> list[Certificate]:
        """Close, run the day's tapes again, and write what came of it. Blocks; for a thread."""
        problem = self.close()
        found = [certify(path, classifier, alive) for path in tapes_of(folder, day)]
        if problem and found:
            found[-1] = found[-1]._replace(identical=False, differences=(problem,))
        body = json.dumps([certificate._asdict() for certificate in found], indent=2)
        certificate_path(folder, day).write_text(body + "\n")
        return found


def certificate_path(folder: Path, day: date) -> Path:
    """`certificate-2026-09-16.json`: a list, one object a tape."""
    return folder / f"certificate-{day.isoformat()}.json"


class _NoWriter:
    problem = ""

    def put(self, kind: bytes, at: Nanos, mono: Nanos, payload: bytes) -> None: ...

    def close(self) -> None: ...


class _TapedInbox(Inbox):
    def __init__(self, writer: TapeWriter | _NoWriter) -> None:
        super().__init__()
        self._writer = writer
        self._pen = EventPen()
        self._taken = 0

    def put(self, event: Event) -> None:
        super().put(event)
        if not isinstance(event, _OF_FRAMES):
            self._writer.put(b"E", event.at, event.mono, self._pen.text(event))

    def take(self) -> tuple[Event, bool]:
        event, newest = super().take()
        self._taken += 1
        if not newest:
            self._writer.put(b"B", event.at, event.mono, str(self._taken).encode())
        return event, newest


class _Tap:
    def __init__(self, writer: TapeWriter | _NoWriter) -> None:
        self._put = writer.put

    def opened(self) -> None:
        self._put(b"O", 0, 0, b"")

    def frame(self, frame: bytes, at: Nanos, mono: Nanos) -> None:
        self._put(b"F", at, mono, frame)
