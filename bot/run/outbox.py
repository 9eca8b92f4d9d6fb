"""What a turn leaves behind: first the journal (on disk), then the world. Never on the decision path.

decide → journal (committed) → send. An exit waits for the disk at most 50 ms and then goes anyway; an
entry whose record cannot be written is not sent at all. Every call to the broker is a task of its own:
one that hangs delays nothing but itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from bot.core.commands import Alert, AskSnapshot, CancelOrder, Command, ModifyOrder, PlaceOrder, RecordFill
from bot.core.events import (
    Act,
    BrokerSnapshot,
    Event,
    Operator,
    OperatorAction,
    OrderReport,
    Outcome,
    SendOutcome,
    Side,
)
from bot.core.orders import Word, word_of
from bot.run.ports import Broker, Clock, Journal, OrderCommand, Record, Sink

EXIT_WAITS_SECONDS = 0.05

Kept: TypeAlias = (
    PlaceOrder | ModifyOrder | CancelOrder | OrderReport | SendOutcome | RecordFill | Alert | Operator
)
Acting: TypeAlias = PlaceOrder | ModifyOrder | CancelOrder | AskSnapshot | RecordFill
Encode: TypeAlias = Callable[[Kept], tuple[str, str]]  # a record's kind and its JSON body
WriteFills: TypeAlias = Callable[[Sequence[RecordFill]], None]


class Outbox:
    """Feeds the journal and the broker from a queue of its own, in the order of the turns."""

    def __init__(
        self,
        clock: Clock,
        sink: Sink,
        journal: Journal,
        encode: Encode,
        write_fills: WriteFills,
        broker: Broker,
        on_failed: Callable[[str, Exception], None],
    ) -> None:
        self._clock = clock
        self._sink = sink
        self._journal = journal
        self._encode = encode
        self._write_fills = write_fills
        self._broker = broker
        self._on_failed = on_failed
        self._queue: asyncio.Queue[tuple[list[Record], list[Acting]]] = asyncio.Queue()
        self._disk = ThreadPoolExecutor(1, "disk")  # one thread: commits stay in order
        self._calls = 0
        self._broken = False  # the journal failed: entries are over for today
        self._busy = False

    def put(self, event: Event, commands: list[Command]) -> None:
        """Take what a turn left: records of what was heard, then what was decided."""
        kept = _heard(event, commands)
        kept += [
            c for c in commands if isinstance(c, PlaceOrder | ModifyOrder | CancelOrder | RecordFill | Alert)
        ]
        acting = [
            c
            for c in commands
            if isinstance(c, PlaceOrder | ModifyOrder | CancelOrder | AskSnapshot | RecordFill)
        ]
        if kept or acting:
            records = [Record(event.at, *self._encode(item)) for item in kept]
            self._queue.put_nowait((records, acting))

    @property
    def idle(self) -> bool:
        """Nothing to write and no call open."""
        return not self._busy and self._queue.empty() and not self._calls

    async def run(self) -> None:
        """Work until cancelled. A call that raises is our bug: it ends the whole group, and the process."""
        async with asyncio.TaskGroup() as calls:
            while True:
                records, commands = await self._queue.get()
                self._busy = True
                fills = [command for command in commands if isinstance(command, RecordFill)]
                written = await self._write(records, fills, urgent=any(_is_exit(c) for c in commands))
                for command in commands:
                    if isinstance(command, AskSnapshot):
                        calls.create_task(self._call(self._broker.ask_snapshot()))
                    elif isinstance(command, PlaceOrder | ModifyOrder | CancelOrder) and self._may_go(
                        command, written
                    ):
                        calls.create_task(self._call(self._broker.send(command)))
                self._busy = False

    async def drain(self) -> None:
        """Wait until the disk has everything (calls may still be open). Used at the end of the day."""
        while not self._queue.empty() or self._busy:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Let the disk finish."""
        self._disk.shutdown(wait=True)

    # ---- inside --------------------------------------------------------------------------------------

    async def _write(self, records: list[Record], fills: list[RecordFill], *, urgent: bool) -> bool:
        """Commit on the disk's thread. False: not on disk (yet, when urgent; or never)."""
        if not records:
            return True
        work = asyncio.get_running_loop().run_in_executor(self._disk, self._commit, records, fills)
        self._clock.departed()
        try:
            if urgent:
                await asyncio.wait({work}, timeout=EXIT_WAITS_SECONDS)
                if not work.done():
                    work.add_done_callback(self._late)
                    return False
            return await work
        finally:
            self._clock.arrived()

    def _commit(self, records: list[Record], fills: list[RecordFill]) -> bool:
        """On the disk's thread. A failure is an event, not an end: the broker remains the truth.

        Fills go to the CSV even when the journal is gone: what was filled is in the CSV, whatever happens.
        """
        if fills:
            self._write_fills(fills)
        try:
            self._journal.commit(records)
        except Exception as error:  # noqa: BLE001 - disk full, EIO, a lost volume: all end entries, none ends exits
            self._broken = True
            self._on_failed("journal", error)
            return False
        return True

    def _late(self, work: "asyncio.Future[bool]") -> None:
        if not work.cancelled() and not work.result():
            self._stop_entries()

    def _may_go(self, command: OrderCommand, written: bool) -> bool:
        """An entry goes only when its record is on disk."""
        if self._broken:
            self._stop_entries()
        if written or _is_exit(command):
            return True
        now, mono = self._clock.now(), self._clock.monotonic()
        text = "the journal cannot be written, so this entry was not sent"
        self._sink(SendOutcome(now, mono, command.tag, Act.PLACE, Outcome.REFUSED, "", "NOT_JOURNALED", text))
        return False

    def _stop_entries(self) -> None:
        self._sink(
            Operator(
                self._clock.now(), self._clock.monotonic(), OperatorAction.STOP_ENTRIES, "journal_failed"
            )
        )

    async def _call(self, call: Awaitable[None]) -> None:
        self._calls += 1
        try:
            await call
        finally:
            self._calls -= 1


def _is_exit(command: Command) -> bool:
    return isinstance(command, ModifyOrder | CancelOrder) or (
        isinstance(command, PlaceOrder) and command.side is Side.SELL
    )


def _heard(event: Event, commands: Sequence[Command]) -> list[Kept]:
    """The broker's words worth keeping. A snapshot is kept row by row, when it taught us something."""
    if isinstance(event, OrderReport):
        # "validation pending" and its like teach nothing that a restart could not ask for.
        telling = event.filled_quantity > 0 or word_of(event.status) is not Word.WORKING
        return [event] if telling else []
    if isinstance(event, SendOutcome | Operator):
        return [event]
    if isinstance(event, BrokerSnapshot) and commands:
        return [row for row in event.orders if row.tag]
    return []
