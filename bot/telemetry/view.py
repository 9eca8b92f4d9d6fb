"""What telemetry is shown of the bot: numbers, read when somebody looks. It can change nothing."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bot.core.charges import NO_CHARGES, Charges
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity

_NAN = float("nan")


class InstrumentState(NamedTuple):
    """One instrument right now. Prices in paise, 0 when not known; estimate and velocity in rupees."""

    instrument: InstrumentKey
    ticks_total: int = 0
    tick_at: Nanos = 0
    ltp: Paise = 0
    estimate: float = _NAN
    velocity: float = _NAN
    position: Quantity = 0
    entry_price: float = 0.0  # paise per unit; read while position > 0
    stop_price: float = 0.0  # same
    name: str = ""  # for people
    quantity: Quantity = 0  # of an entry
    lot: Quantity = 0
    stop_risk: Paise = 0  # what a stop-loss at its trigger costs
    stop_resting: bool = False  # a stop order is known to rest at the broker
    exit_started_at: Nanos = 0  # of the exit under way; 0: none


class DayState(NamedTuple):
    """The bot right now. Money in paise, instants in ns since the epoch, 0: never or not known."""

    session_state: str  # a core.session.Phase, or catalogue.NO_SESSION
    ready: bool
    reason: str = ""  # why not ready
    halted: str = ""  # why entries are over, "" while they are not
    open_at: Nanos = 0
    flatten_at: Nanos = 0
    close_at: Nanos = 0
    orders_open: int = 0
    orders_unknown: int = 0
    realized: Paise = 0  # gross
    unrealized: Paise = 0
    charges: Paise = 0
    charges_by_component: Charges = NO_CHARGES
    daily_loss_limit: Paise | None = None
    decode_errors: int = 0
    token_expires_at: Nanos = 0
    archived_at: Nanos = 0
    observer_failures: int = 0
    log_lines_dropped: int = 0
    heartbeat_age_seconds: float = 0.0  # since the engine last handled a heartbeat
    mode: str = ""
    version: str = ""
    model: str = ""
    day: str = ""  # 2026-09-16
    now: Nanos = 0  # by the bot's clock
    checks: tuple[tuple[str, bool], ...] = ()  # what was checked this morning, by catalogue.CHECKS


class View(Protocol):
    """Supplied by whoever assembles the bot. Called on the event loop; must be quick and must not raise."""

    def day(self) -> DayState: ...

    def instruments(self) -> Sequence[InstrumentState]: ...
