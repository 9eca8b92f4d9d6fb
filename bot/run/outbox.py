"""What a turn leaves behind: first the journal (on disk), then the world. Never on the decision path.

decide → journal (committed) → send. An exit waits for the disk at most 50 ms and then goes anyway; an
entry whose record cannot be written is not sent at all. Every call to the broker is a task of its own:
one that hangs delays nothing but itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from bot.core.commands import (
    Alert,
    AskSnapshot,
    CancelOrder,
    Command,
    EntriesEnded,
    ModifyOrder,
    NoTrade,
    PlaceOrder,
    Reason,
    RecordFill,
)
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
from bot.core.units import Nanos
from bot.run.ports import Broker, Clock, Journal, OrderCommand, Record, Sink

EXIT_WAITS_SECONDS = 0.05
ENTRY_WAITS_SECONDS = 1.0  # then its price is of the past

Kept: TypeAlias = (
    PlaceOrder
    | ModifyOrder
    | CancelOrder
    | OrderReport
    | SendOutcome
    | RecordFill
    | Alert
    | Operator
    | NoTrade
    | EntriesEnded
)
Acting: TypeAlias = PlaceOrder | ModifyOrder | CancelOrder | AskSnapshot
Written: TypeAlias = "asyncio.Future[bool] | None"  # the disk's work on an order's record; None: it has none
Encode: TypeAlias = Callable[[Kept], tuple[str, str]]  # a record's kind and its JSON body
WriteFills: TypeAlias = Callable[[Sequence[RecordFill]], None]
_KEPT = (PlaceOrder, ModifyOrder, CancelOrder, RecordFill, Alert, NoTrade, EntriesEnded)
_ACTING = (PlaceOrder, ModifyOrder, CancelOrder, AskSnapshot)
_TELLING = frozenset({OrderReport, SendOutcome, Operator})  # kept though nothing came of them (`_heard`)


class Outbox:
    """Feeds the journal and the broker, in the order of the turns."""

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
        self._calls: asyncio.TaskGroup | None = None  # while `run` runs
        self._early: list[tuple[Acting, Written]] = []  # asked for before
        self._disk = ThreadPoolExecutor(1, "disk")  # one thread: commits stay in order
        self._writing = 0  # batches on their way to the disk
        self._failing = False  # the last one did not get there

    def put(self, event: Event, commands: list[Command]) -> None:
        """Take what a turn left: records of what was heard, then what was decided."""
        if not commands and type(event) not in _TELLING:
            return  # nearly every turn
        kept = _heard(event, commands)
        kept += [c for c in commands if isinstance(c, _KEPT)]
        written = self._submit(event.at, kept) if kept else None
        for command in commands:
            if not isinstance(command, _ACTING):
                continue
            if self._calls is None:
                self._early.append((command, written))
            else:
                self._act(self._calls, command, written)

    async def run(self) -> None:
        """Work until cancelled. A call that raises is our bug: it ends the whole group, and the process."""
        async with asyncio.TaskGroup() as calls:
            self._calls = calls
            try:
                for command, written in self._early:
                    self._act(calls, command, written)
                await asyncio.get_running_loop().create_future()  # until cancelled
            finally:
                self._calls = None

    async def drain(self) -> None:
        """Wait until the disk has everything (calls may still be open). Used at the end of the day."""
        while self._writing:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Let the disk finish."""
        self._disk.shutdown(wait=True)

    # ---- inside --------------------------------------------------------------------------------------

    def _act(self, calls: asyncio.TaskGroup, command: Acting, written: Written) -> None:
        if isinstance(command, AskSnapshot):
            calls.create_task(self._broker.ask_snapshot())
        else:
            assert written is not None, "an order without a record"
            calls.create_task(self._send(command, written))

    def _submit(self, at: Nanos, kept: list[Kept]) -> "asyncio.Future[bool]":
        """To the disk's thread, behind what is already there; nobody waits here. False: not on disk."""
        records = [Record(at, *self._encode(item)) for item in kept]
        fills = [item for item in kept if isinstance(item, RecordFill)]
        self._writing += 1
        self._clock.departed()
        work = asyncio.get_running_loop().run_in_executor(self._disk, self._commit, records, fills)
        work.add_done_callback(self._written)
        return work

    def _written(self, work: "asyncio.Future[bool]") -> None:
        self._writing -= 1
        self._clock.arrived()
        failed = not work.cancelled() and not work.result()
        if failed and not self._failing:  # said once: that word wants a record, too
            now, mono = self._clock.now(), self._clock.monotonic()
            self._sink(Operator(now, mono, OperatorAction.STOP_ENTRIES, "journal_failed"))
        self._failing = failed

    async def _send(self, command: OrderCommand, written: "asyncio.Future[bool]") -> None:
        """An exit waits 50 ms for its record and goes. An entry goes with its record, soon, or not at all."""
        exiting = _is_exit(command)
        await asyncio.wait({written}, timeout=EXIT_WAITS_SECONDS if exiting else ENTRY_WAITS_SECONDS)
        if exiting or (written.done() and written.result()):
            await self._broker.send(command)
            return
        now, mono = self._clock.now(), self._clock.monotonic()
        text = "the journal was not written in time, so this entry was not sent"
        self._sink(SendOutcome(now, mono, command.tag, Act.PLACE, Outcome.REFUSED, "", "NOT_JOURNALED", text))

    def _commit(self, records: list[Record], fills: list[RecordFill]) -> bool:
        """On the disk's thread. A failure is an event, not an end: the broker remains the truth.

        Fills go to the CSV even when the journal is gone: what was filled is in the CSV, whatever happens.
        """
        if fills:
            self._write_fills(fills)
        try:
            self._journal.commit(records)
        except Exception as error:  # noqa: BLE001 - disk full, EIO, a lost volume: all end entries, none ends exits
            self._on_failed("journal", error)
            return False
        return True


def _is_exit(command: OrderCommand) -> bool:
    """Everything but an entry: a stop, an exit, the cover of a short, a change to any of them."""
    if not isinstance(command, PlaceOrder):
        return True
    return command.side is Side.SELL or command.reason is not Reason.ENTRY


def _heard(event: Event, commands: Sequence[Command]) -> list[Kept]:
    """The broker's words worth keeping. A snapshot is kept row by row, when it taught us something."""
    if isinstance(event, OrderReport):
        # "validation pending" and its like teach nothing that a restart could not ask for.
        telling = event.filled_quantity > 0 or word_of(event.status) is not Word.WORKING
        return [event] if telling else []
    if isinstance(event, SendOutcome | Operator):
        return [event]
    if isinstance(event, BrokerSnapshot) and commands:
        # One without a tag may be what positions/exit made: its id tells (core/account.py).
        return [row for row in event.orders if row.tag or row.filled_quantity]
    return []
