"""The doors between the core and the world. Every adapter, real or simulated, fits one of these."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from bot.core.commands import CancelOrder, Command, ModifyOrder, PlaceOrder
from bot.core.events import Event
from bot.core.forecast import Forecast
from bot.core.units import Nanos

Sink: TypeAlias = Callable[[Event], None]  # where adapters put what happened; never blocks
OrderCommand: TypeAlias = PlaceOrder | ModifyOrder | CancelOrder


class Clock(Protocol):
    """The only source of time outside `core`.

    `departed`/`arrived` count messages on their way over real wires (or work on a thread). The wall clock
    ignores them; the lockstep clock stands still while any is under way.
    """

    def now(self) -> Nanos:
        """Wall time, nanoseconds since the epoch."""
        ...

    def monotonic(self) -> Nanos:
        """Monotonic time, nanoseconds."""
        ...

    async def sleep_until(self, at: Nanos) -> None:
        """Return at wall time `at`, or at once when it has passed."""
        ...

    def departed(self) -> None:
        """A message left for the other side."""
        ...

    def arrived(self) -> None:
        """…and was taken in."""
        ...

    async def quiet(self) -> None:
        """Return when everything sent so far was taken in and dealt with. At once on the wall clock."""
        ...


class Turn(NamedTuple):
    """One turn of the crank, as observers get it. They hear; they never answer."""

    event: Event
    forecast: Forecast | None  # of this event, when it was an accepted tick
    commands: Sequence[Command]
    seconds: float  # time spent deciding


class Observer(Protocol):
    def hear(self, turn: Turn) -> None:
        """Note what happened. Must not block; one that raises is cut off and counted."""
        ...


class Feed(Protocol):
    """A market data source. Puts Tick, Quote, FrameSeen, SegmentStatus, FeedUp, FeedDown into its sink."""

    async def run(self) -> None:
        """Deliver until cancelled; reconnects by itself for as long as the session lasts."""
        ...


class Broker(Protocol):
    """Where orders go. Calls return when the network is done; what came of them is put into the sink: one
    SendOutcome an order command, BrokerSnapshot or SnapshotFailed for `ask_snapshot`, OrderReport any time.
    Never raises for anything the world did.
    """

    async def send(self, command: OrderCommand) -> None: ...

    async def ask_snapshot(self) -> None: ...

    async def run(self) -> None:
        """Listen to the order stream until cancelled."""
        ...


class Journal(Protocol):
    """What outlives the process. `commit` is called on a thread of its own and returns when it is on disk."""

    def commit(self, records: Sequence["Record"]) -> None: ...

    def read(self) -> Sequence["Record"]: ...


class Record(NamedTuple):
    """One line of the journal. `kind` names the record's class; `body` is its JSON."""

    at: Nanos
    kind: str
    body: str
