"""One recorded day through the bot's own engine; and beside it the arms that keep a result honest.

It takes a prepared recording and gives figures back: reading files, progress and printing are others'.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from random import Random
from typing import Final, NamedTuple

from bot.core.charges import card_on, first_card_day
from bot.core.commands import Command, PlaceOrder, Refused
from bot.core.engine import Engine
from bot.core.events import Tick
from bot.core.forecast import Classifier, Forecast
from bot.core.rules import Rules
from bot.core.session import Session
from bot.core.units import Nanos, Paise
from bot.research.direct_day import DirectDay, MarketEvent
from bot.research.lazy import lazy
from bot.research.outcome import Outcome, charges_in_rupees, trips_of
from bot.research.recording import RecordedDay

RANDOM_RUNS: Final = 200
_BEFORE_ENTRY: Final = 3  # ticks heard before a random entry, so that a jump of the price is believed
_FORCED: Final = -1e-6
_NAN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to trade. `classifier` None: the entry rule alone (`model` is then "none")."""

    rules: Rules
    classifier: Classifier | None
    model: str
    trained_on: frozenset[str] = frozenset()  # sha256 of the files the model was trained on
    charges_day: date | None = None
    seed: int = 7
    every_tick: bool = False  # ask the model at each tick, for a trace


class TraceRow(NamedTuple):
    """One accepted tick and what came of it (contract: `--trace`)."""

    at: Nanos
    instrument: str
    forecast: Forecast
    decision: str


@dataclass(frozen=True)
class Series:
    """What a picture of the day needs, a number a tick: instants, prices and estimates in rupees.
    `probability` is NaN where the model was not asked.
    """

    at: "array[int]"
    price: "array[float]"
    estimate: "array[float]"
    probability: "array[float]"


class Arm(NamedTuple):
    """One way to enter. Rupees. `per_trade`: the net results of its trades (random: its runs' means)."""

    name: str
    trades: float
    net: float
    per_trade: tuple[float, ...]


class Watcher:
    """Keeps what a trace or a picture wants; costs nothing where neither is wanted."""

    def __init__(self, *, trace: bool) -> None:
        self.rows: list[TraceRow] = []
        self.series = Series(array("q"), array("d"), array("d"), array("d"))
        self.table: dict[tuple[Nanos, Paise], Forecast] = {}
        self._trace = trace
        self._leaving = False

    def hear(self, event: MarketEvent, engine: Engine, commands: Sequence[Command]) -> None:
        """After each event of the market."""
        forecast = engine.forecast
        if forecast is None or not isinstance(event, Tick):
            return
        series, probability = self.series, forecast.probability
        series.at.append(event.at)
        series.price.append(event.ltp / 100)
        series.estimate.append(forecast.estimate if forecast.tick > 10 else event.ltp / 100)
        # 0: the model was not asked.
        series.probability.append(probability or _NAN)
        self.table[event.at, event.ltp] = forecast
        if self._trace:
            desk = engine.desks[event.instrument]
            self.rows.append(TraceRow(event.at, event.instrument, forecast, self._decision(commands, desk)))
            self._leaving = desk.exit_reason is not None

    def _decision(self, commands: Sequence[Command], desk: object) -> str:
        for command in commands:
            if isinstance(command, PlaceOrder) and command.side == "BUY":
                return command.reason.value
            if isinstance(command, Refused):
                return f"refused:{command.reason}"
        reason = getattr(desk, "exit_reason", None)
        return str(reason.value) if reason is not None and not self._leaving else ""


def charges_day_of(day: date, exchange: str) -> date:
    """`day`, or that of the exchange's first known card for older recordings (which a note then says)."""
    return max(day, first_card_day(exchange))


def trade_day(
    recorded: RecordedDay,
    settings: Settings,
    *,
    watcher: Watcher | None = None,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Trade one recorded day. Raises NoRateCard."""
    notes = list(recorded.notes)
    charges_day = settings.charges_day
    if charges_day is None:
        charges_day = charges_day_of(recorded.day, recorded.contracts[0].exchange)
        if charges_day != recorded.day:
            notes.append(f"no rate card is known for that day: charges are those of {charges_day}")
    day = _made(recorded, settings, charges_day, watcher)
    began = time.perf_counter()
    day.run(recorded.ticks, progress=progress)
    seconds = time.perf_counter() - began
    return replace(
        _outcome(recorded, settings, day, seconds, notes),
        card_since=card_on(charges_day, recorded.contracts[0].exchange).since,
    )


def _made(recorded: RecordedDay, settings: Settings, charges_day: date, watcher: Watcher | None) -> DirectDay:
    rules, classifier = settings.rules, settings.classifier
    if classifier is None:
        rules = replace(rules, strategy=replace(rules.strategy, use_model=False))
        classifier = _silent
    elif not settings.every_tick:
        classifier = lazy(classifier)
    return DirectDay(
        recorded.contracts,
        rules,
        Session.on(recorded.day),
        classifier,
        seed=settings.seed,
        charges_day=charges_day,
        watch=watcher.hear if watcher else None,
    )


def _outcome(
    recorded: RecordedDay, settings: Settings, day: DirectDay, seconds: float, notes: list[str]
) -> Outcome:
    account = day.engine.account
    trips = trips_of(day.fills)
    return Outcome(
        name=recorded.name,
        day=recorded.day,
        spread=recorded.spread,
        model=settings.model,
        ticks=len(recorded.ticks),
        seconds=seconds,
        fills=tuple(day.fills),
        charges=charges_in_rupees(account.charged),
        charges_total=account.charges,
        spread_lost=sum(day.fill_spreads),
        unclosed=sum(max(holding.position, 0) for holding in account.holdings.values()),
        unclosed_value=day.unclosed_value,
        refused=day.refused,
        alerts=day.alerts,
        notes=tuple(notes),
        in_sample=None if settings.classifier is None else recorded.sha256 in settings.trained_on,
        trips=trips,
        session_seconds=(recorded.ticks[-1].at - recorded.ticks[0].at) / 1e9,
    )


def _silent(_: object) -> float:
    return 0.0


# ---- the arms beside it ------------------------------------------------------------------------------------


def compare(
    recorded: RecordedDay,
    settings: Settings,
    outcome: Outcome,
    watcher: Watcher,
    *,
    runs: int = RANDOM_RUNS,
    progress: Callable[[int], None] | None = None,
) -> tuple[Arm, ...]:
    """No filter, the model, random entries (as many as the model's, the same exits), and doing nothing.

    `watcher` is that of `outcome`'s run: the filter's path does not depend on trades, so it is used again.
    """
    none = trade_day(recorded, replace(settings, classifier=None, model="none", every_tick=False))
    arms = [_arm("no filter", none)]
    if settings.classifier is not None:
        arms.append(_arm("model", outcome))
    means, totals, counts = [], [], []
    candidates = _candidates(recorded, settings, watcher) if runs else []
    for number in range(runs):
        nets = _random_run(recorded, settings, watcher.table, candidates, max(len(outcome.trips), 1), number)
        counts.append(len(nets))
        totals.append(sum(nets))
        if nets:
            means.append(sum(nets) / len(nets))
        if progress is not None:
            progress(1)
    if runs:
        name = f"random entry × {runs}"
        arms.append(Arm(name, sum(counts) / runs, sum(totals) / runs, tuple(means)))
    arms.append(Arm("do nothing", 0, 0.0, ()))
    return tuple(arms)


def _arm(name: str, outcome: Outcome) -> Arm:
    nets = tuple(trip.net / 100 for trip in outcome.trips)
    return Arm(name, len(nets), sum(fill.realized_pnl_net for fill in outcome.fills) / 100, nets)


class _Playback:
    """In a forecaster's place: the path that was heard before, and a wish to enter at chosen ticks only."""

    def __init__(
        self, table: dict[tuple[Nanos, Paise], Forecast], entries: set[tuple[Nanos, Paise]], engine: Engine
    ) -> None:
        self._table, self._entries = table, entries
        self._holding = next(iter(engine.desks.values())).holding

    def hear(self, at: Nanos, ltp: Paise) -> Forecast:
        heard = self._table.get((at, ltp))
        if heard is None:
            return Forecast(0, ltp, ltp / 100, 0.0, 0.0, None)
        if self._holding.bought > self._holding.sold:
            return heard
        if (at, ltp) in self._entries:
            return heard._replace(velocity=_FORCED, rel_diff=_FORCED, probability=1.0)
        return heard._replace(velocity=0.0, probability=0.0)


def _candidates(recorded: RecordedDay, settings: Settings, watcher: Watcher) -> list[int]:
    """Where a random entry may fall: warm ticks before the entry cut-off."""
    session, table = Session.on(recorded.day), watcher.table
    warmup = settings.rules.strategy.warmup_ticks
    return [
        index
        for index, tick in enumerate(recorded.ticks)
        if session.open_at <= tick.at < session.entry_cutoff_at
        and (heard := table.get((tick.at, tick.ltp))) is not None
        and heard.tick >= warmup
    ]


def _random_run(
    recorded: RecordedDay,
    settings: Settings,
    table: dict[tuple[Nanos, Paise], Forecast],
    candidates: Sequence[int],
    entries: int,
    number: int,
) -> list[float]:
    """Net results of one run's trades, rupees. The ticks between a trade and the next entry are skipped."""
    rng = Random(f"{settings.seed}/random/{number}")  # noqa: S311
    chosen = sorted(rng.sample(candidates, min(entries, len(candidates))))
    marks = {(recorded.ticks[index].at, recorded.ticks[index].ltp) for index in chosen}
    charges_day = settings.charges_day or charges_day_of(recorded.day, recorded.contracts[0].exchange)
    day = _made(recorded, replace(settings, classifier=_silent), charges_day, None)
    for desk in day.engine.desks.values():
        desk.forecaster = _Playback(table, marks, day.engine)
    waiting = iter(chosen)
    coming = next(waiting, None)

    def next_entry(index: int) -> int:
        nonlocal coming
        while coming is not None and coming < index:
            coming = next(waiting, None)
        return len(recorded.ticks) if coming is None else coming - _BEFORE_ENTRY

    day.run(recorded.ticks, next_entry=next_entry)
    return [trip.net / 100 for trip in trips_of(day.fills)]
