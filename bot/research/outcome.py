"""What a day (or a backtest) came to: round trips out of fills, sums, intervals. Pure; knows no file.

Money in paise unless a name says rupees or points (rupees of premium per unit).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np

from bot.core.charges import Charges, in_rupees
from bot.core.commands import Reason, RecordFill
from bot.core.events import Side
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity

RESAMPLES: Final = 2_000
CONFIDENCE: Final = 0.95


class Trip(NamedTuple):
    """Flat → long → flat in one instrument."""

    instrument: InstrumentKey
    opened_at: Nanos
    closed_at: Nanos
    quantity: Quantity
    bought: Paise
    sold: Paise
    net: Paise
    reason: Reason  # why it was left
    probability: float  # at the entry; NaN when not known

    @property
    def gross(self) -> Paise:
        return self.sold - self.bought

    @property
    def points(self) -> float:
        """Gross, rupees per unit."""
        return self.gross / self.quantity / 100


def trips_of(fills: Iterable[RecordFill]) -> tuple[Trip, ...]:
    """The round trips among `fills`, in order of their end. What is still open is none."""
    parts: dict[InstrumentKey, list[RecordFill]] = {}
    trips = []
    for fill in fills:
        trip = parts.setdefault(fill.instrument, [])
        trip.append(fill)
        if fill.side is Side.SELL and fill.position_after <= 0:
            del parts[fill.instrument]
            buys = [part for part in trip if part.side is Side.BUY]
            sells = [part for part in trip if part.side is Side.SELL]
            if not buys:  # bought on another day
                continue
            trips.append(
                Trip(
                    instrument=fill.instrument,
                    opened_at=buys[0].at,
                    closed_at=fill.at,
                    quantity=sum(part.quantity for part in buys),
                    bought=sum(part.value for part in buys),
                    sold=sum(part.value for part in sells),
                    net=sum(part.realized_pnl_net for part in trip),
                    reason=fill.reason,
                    probability=buys[0].decision.probability,
                )
            )
    return tuple(trips)


class Interval(NamedTuple):
    """A mean with its 95 % interval, rupees; None when there is nothing (or too little) to say it of."""

    mean: float | None
    low: float | None
    high: float | None

    def rounded(self) -> dict[str, float | None]:
        return {name: None if value is None else round(value, 2) for name, value in self._asdict().items()}


def block_bootstrap(nets: Sequence[float], seed: int = 7) -> Interval:
    """Mean of `nets` (in order of time) and its interval by a circular block bootstrap: trades of one hour
    are no independent witnesses. Blocks of ⌈n^⅓⌉ trades.
    """
    count = len(nets)
    if count == 0:
        return Interval(None, None, None)
    values = np.asarray(nets, dtype=np.float64)
    if count < 5:  # an interval of so few would be a joke
        return Interval(float(values.mean()), None, None)
    block = int(np.ceil(count ** (1 / 3)))
    starts = np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, -(-count // block)))
    index = (starts[:, :, None] + np.arange(block)) % count
    means = values[index.reshape(RESAMPLES, -1)[:, :count]].mean(axis=1)
    edge = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (edge, 1 - edge))
    return Interval(float(values.mean()), float(low), float(high))


@dataclass(frozen=True)
class Outcome:
    """One recorded day, traded. `charges`: rupees by component; `seconds`: how long the run took."""

    name: str
    day: date
    spread: str
    model: str
    ticks: int
    seconds: float
    fills: tuple[RecordFill, ...]
    charges: dict[str, float]
    charges_total: Paise
    spread_lost: float  # paise, against the mid at each fill
    unclosed: Quantity = 0
    unclosed_value: Paise = 0  # at the last bid
    refused: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()
    in_sample: bool | None = None  # None: no model
    trips: tuple[Trip, ...] = ()
    card_since: date | None = None  # the rate card in force
    session_seconds: float = 0.0  # from the first tick used to the last


def charges_in_rupees(charges: Charges) -> dict[str, float]:
    """By component."""
    return {name: in_rupees(value) for name, value in charges._asdict().items()}


def figures(outcomes: Sequence[Outcome], threshold: float, rel_diff: str) -> dict[str, Any]:
    """What `backtest --json` prints (contract: *JSON outputs*) of one day or of several together."""
    trips = [trip for outcome in outcomes for trip in outcome.trips]
    nets = [trip.net / 100 for trip in trips]
    fills = [fill for outcome in outcomes for fill in outcome.fills]
    spreads = {outcome.spread for outcome in outcomes}
    models = {outcome.model for outcome in outcomes}
    gross = sum(fill.realized_pnl_net + fill.charges for fill in fills)
    charges = sum(fill.charges for fill in fills)
    return {
        "ticks": sum(outcome.ticks for outcome in outcomes),
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 3),
        "trades": len(trips),
        "gross_points": round(sum(trip.points for trip in trips), 4),
        "gross_rupees": round(gross / 100, 2),
        "charges_rupees": round(charges / 100, 2),
        "spread_rupees": round(sum(outcome.spread_lost for outcome in outcomes) / 100, 2),
        "net_rupees": round((gross - charges) / 100, 2),
        "net_per_trade": block_bootstrap(nets).rounded(),
        "hit_rate_net": round(sum(net > 0 for net in nets) / len(nets), 4) if nets else None,
        "stops": sum(trip.reason is Reason.STOP_LOSS for trip in trips),
        "flattens": sum(trip.reason is Reason.END_OF_DAY for trip in trips),
        "unclosed": sum(outcome.unclosed > 0 for outcome in outcomes),
        "spread": "quoted" if spreads == {"quoted"} else "assumed",
        "model": models.pop() if len(models) == 1 else "",
        "threshold": threshold,
        "rel_diff": rel_diff,
    }


def verdict(interval: Interval) -> str:
    """The net result per trade in words nobody can misread."""
    match interval:
        case Interval(mean=None):
            return "No trade: nothing earned, nothing lost."
        case Interval(low=None):
            return "Fewer than five trades: they prove nothing."
        case Interval(low=low, high=high) if low is not None and high is not None:
            if high < 0:
                return (
                    "No edge after costs: the whole 95 % interval of the net result per trade is below zero."
                )
            if low <= 0:
                return "No edge shown: the 95 % interval of the net result per trade includes zero."
    return (
        "Above zero on this data. That is not proof: one file, one day and chosen settings flatter; look for "
        "leakage first, then test on days nobody has seen."
    )


def drawdown(nets: Sequence[float]) -> float:
    """The deepest fall of the running sum from its highest point, ≥ 0."""
    total = peak = deepest = 0.0
    for net in nets:
        total += net
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return deepest
