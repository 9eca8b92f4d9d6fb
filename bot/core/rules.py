"""The numbers the owner may turn, as the core sees them: validated elsewhere, frozen here.

Defaults are the mission's; each guard's reason stands in docs/decisions.md.
"""

from dataclasses import dataclass

from bot.core.forecast import WARMUP_TICKS, RelDiff
from bot.core.units import InstrumentKey, Paise, Quantity


@dataclass(frozen=True, slots=True)
class Contract:
    """One tradable option as the instrument master describes it, and how much of it we trade."""

    key: InstrumentKey
    quantity: Quantity  # units; a multiple of `lot`
    lot: Quantity
    tick: Paise
    freeze_quantity: Quantity
    exchange: str  # NSE | BSE
    name: str = ""  # trading symbol, for people

    @property
    def segment(self) -> str:
        return self.key.partition("|")[0]


@dataclass(frozen=True, slots=True)
class StrategyRules:
    threshold: float = 0.63
    rel_diff: RelDiff = RelDiff.PRICE_MINUS_ESTIMATE
    band: float | None = None  # entry only while |rel_diff| < band; None: off
    warmup_ticks: int = WARMUP_TICKS
    use_model: bool = True  # False: the entry rule without the classifier (backtest --filter none)
    taught_bps: tuple[float, float] | None = None  # the markets that taught the model (model_range.py)


@dataclass(frozen=True, slots=True)
class OrderRules:
    product: str = "D"
    entry_ticks: int = 1  # entry limit = ask + this many ticks
    entry_timeout_seconds: float = 2.0
    exit_ticks: int = 5  # exit limit = bid − max(this many ticks, 0.5 %)
    exit_reprice_seconds: float = 1.0
    exit_modifies_max: int = 20
    exit_settle_seconds: float = 8.0  # an unknown exit is decided again after this
    entry_settle_seconds: float = 90.0  # an unknown entry is given up after this (late acceptance: 5–90 s)


@dataclass(frozen=True, slots=True)
class RiskRules:
    stop_loss: Paise = 50_00
    entries_per_day: int = 20
    entries_per_minute: int = 6
    stops_per_day: int = 3
    cooldown_seconds: float = 300.0  # after a stop-loss
    premium_min: Paise = 60_00  # at ₹50.05 and below no valid stop exists
    premium_max: Paise | None = None
    spread_max_bps: float = 100.0
    daily_loss: Paise | None = None  # realized + unrealized at the bid − charges; None: no limit
    charges_per_day: Paise | None = None
    capital: Paise | None = None  # an entry with its charges may not cost more
    funds_wanted: bool = False  # …nor more than the broker's funds; unknown funds are none (live)
    tick_lag_max_seconds: float = 2.0  # behind the feed's own clock
    last_trade_max_seconds: float = 60.0  # messages without a trade: the price is a memory
    clock_skew_max_seconds: float = 5.0  # our clock against the broker's
    guards: bool = True  # False: backtests without --guards

    def __post_init__(self) -> None:
        assert self.stop_loss > 0, "a stop of nothing would exit every tick"


@dataclass(frozen=True, slots=True)
class Rules:
    strategy: StrategyRules = StrategyRules()
    orders: OrderRules = OrderRules()
    risk: RiskRules = RiskRules()
