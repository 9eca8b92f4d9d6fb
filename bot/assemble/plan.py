"""What a mode decides of a day (`Plan`), and the running day as others see it (`Lines`, `Desk`)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bot.assemble.broker import DayBroker, Sandbox
from bot.assemble.view import DayView
from bot.core.engine import Engine
from bot.core.rules import Contract, Rules
from bot.core.session import Session
from bot.core.units import InstrumentKey
from bot.run.crash_loop import NEVER, CrashLoop
from bot.run.ports import Clock, Observer, Sink
from bot.storage.journal import DayJournal, SqliteJournal
from bot.storage.model import LoadedModel
from bot.telemetry.logs import Logs
from bot.telemetry.metrics import Metrics
from bot.upstox.auth import Token
from bot.upstox.feed import MarketFeed
from bot.upstox.rest import Hosts, UpstoxRest


@dataclass(frozen=True)
class Plan:
    """What a mode decided."""

    mode: str
    clock: Clock
    session: Session
    contracts: tuple[Contract, ...]
    rules: Rules
    model: LoadedModel
    hosts: Hosts
    token: Token
    data_folder: Path
    archive_root: str
    logs: Logs
    telemetry: tuple[str, int] | None = None  # host, port
    alertmanager: str = ""  # where the morning and evening messages go, too
    checks: tuple[tuple[str, bool], ...] = ()  # what was looked at before the day: (check, passed)
    public_settings: dict[str, Any] = field(default_factory=dict)
    observers: tuple[Observer, ...] = ()
    algo_name: str = ""
    companions: tuple[
        InstrumentKey, ...
    ] = ()  # lively keys, subscribed to tell a quiet option from a dead feed
    sandbox: Sandbox | None = None  # where mode sandbox posts its copies
    verbose: bool = False
    taped: bool = True  # a simulated day is repeated by its seed
    no_entries: str = ""  # why, when the day may only be watched (and old positions sold)
    hold_on_stop: bool = False  # SIGTERM leaves a position to its stop at the exchange
    crash_loop: CrashLoop = NEVER
    writer: str = ""  # stands in our tags, where other bots of the same account may write theirs: two letters
    jitter_seed: int | None = None  # None: the system's randomness
    on_ready: Callable[["Desk"], None] = lambda _: None
    open_journal: Callable[[Path], DayJournal] = SqliteJournal  # a simulated day has a disk of its own
    phase: Callable[[str], None] = lambda _: None  # told of what comes after the close: reconcile, archive, …
    beside: Callable[["Lines"], Awaitable[None]] | None = None  # runs as long as the day


class Lines(NamedTuple):
    """The running day as those see it who look after its access beside it."""

    put: Sink  # events for the engine
    rest: UpstoxRest
    renew: Callable[[], None]  # let the sockets try a new token at once
    checked: Callable[[tuple[tuple[str, bool], ...]], None]  # (check, passed): for those who watch


class Desk(NamedTuple):
    """The assembled day, for those who watch it from inside the process (the demo's summary, tests)."""

    engine: Engine
    feed: MarketFeed
    broker: DayBroker
    view: DayView
    ops_port: int  # 0: no endpoints
    metrics: Metrics
