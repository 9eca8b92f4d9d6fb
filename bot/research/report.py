"""Outcomes → the pages of a report: which figure stands where, and the words beside it.

Everything of market.md §8 is said here: what a result must show so that nobody is fooled.
"""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any, Protocol

from bot.core.commands import Reason, RecordFill
from bot.core.units import Paise, ist, rupees
from bot.research.backtest import Arm, Series
from bot.research.outcome import Interval, Outcome, Trip, block_bootstrap, drawdown, verdict
from bot.research.page import DayPage, Mark, Step, Tile, write_page
from bot.research.page_svg import Range
from bot.research.recording import RecordedDay


class Told(Protocol):
    """One recorded day as a backtest gives it."""

    @property
    def recorded(self) -> RecordedDay: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def series(self) -> Series | None: ...
    @property
    def arms(self) -> tuple[Arm, ...]: ...


LEAD = (
    "<p>The bot's own engine over recorded ticks, with the simulated exchange: order latency, fills at the "
    "touch, part fills by the size shown, all charges. A backtest flatters: no order of ours moves the "
    "market here, and the settings were chosen by people who had seen such data.</p>"
)


def write_backtest(path: Path, days: Sequence[Told], result: dict[str, Any]) -> None:
    """The report of `bot backtest`."""
    title = "Backtest · " + (days[0].recorded.name if len(days) == 1 else f"{len(days)} recorded days")
    table = _together(result) if len(days) > 1 else ""
    write_page(path, title, LEAD, [_page(day, result) for day in days], table)


def _together(result: dict[str, Any]) -> str:
    head = ("file", "sample", "spread", "ticks", "trades", "won net", "gross", "charges", "net")
    rows = [*((row["file"], row) for row in result["files"]), ("together", result["total"])]
    body = "".join(
        f"<tr><td>{name}</td><td>{_sample(row)}</td><td>{row['spread']}</td><td>{row['ticks']:,}</td>"
        f"<td>{row['trades']}</td><td>{_share(row['hit_rate_net'] or 0.0, bool(row['trades']))}</td>"
        f"<td>{row['gross_rupees']:,.2f}</td><td>{row['charges_rupees']:,.2f}</td>"
        f'<td class="{"neg" if row["net_rupees"] < 0 else "pos"}">{row["net_rupees"]:,.2f}</td>'
        f"<td>{_interval(row['net_per_trade'])}</td></tr>"
        for name, row in rows
    )
    names = "".join(f"<th>{name}</th>" for name in (*head, "net a trade (95 %)"))
    said = verdict(Interval(**result["total"]["net_per_trade"]))
    tone = "" if said.startswith("No edge after") else " open"
    return f'<p class="verdict{tone}">{said}</p><table><tr>{names}</tr>{body}</table>'


def _sample(row: dict[str, Any]) -> str:
    if row["model"] == "none" or "in_sample" not in row:
        return "–"
    return "in-sample" if row["in_sample"] else "out-of-sample"


def _page(told: Told, result: dict[str, Any]) -> DayPage:
    outcome, recorded = told.outcome, told.recorded
    nets = [trip.net / 100 for trip in outcome.trips]
    interval = block_bootstrap(nets)
    said = verdict(interval)
    contract = recorded.contracts[0]
    page = DayPage(
        heading=f"{', '.join(c.key for c in recorded.contracts)} · {recorded.day:%d %b %Y}",
        subtitle=f"{recorded.name} · {outcome.ticks:,} ticks · {contract.quantity} units a trade, "
        f"lot {contract.lot}, {contract.exchange}",
        verdict=said,
        open_verdict=not said.startswith("No edge after"),
        badges=_badges(outcome, result),
        tiles=tiles(outcome.fills, outcome.trips, interval),
        charges=component_names(outcome.charges),
        charges_note=f"The rate card of {contract.exchange} in force since {outcome.card_since:%d %b %Y}.",
        holds=[(trip.closed_at - trip.opened_at) / 1e9 for trip in outcome.trips],
        facts=_facts(outcome, recorded, result),
        notes=list(outcome.notes),
        trips=trip_rows(outcome.trips),
        banner=synthetic_banner(recorded.name, outcome.notes),
    )
    if told.series is not None:
        series = told.series
        page.at, page.price, page.estimate = series.at, series.price, series.estimate
        page.probabilities = [p for p in series.probability if not isnan(p)]
        page.threshold = result["total"]["threshold"] if outcome.model != "none" else None
    page.marks, page.steps = marks_of(outcome.fills), steps_of(outcome.trips)
    if told.arms:
        page.arms, page.arms_words = [_range(arm) for arm in told.arms], _arms_words(told.arms)
    elif len(recorded.contracts) > 1:
        page.notes.append("several instruments: not compared with random entries (give a file an instrument)")
    return page


def component_names(charges: dict[str, float]) -> dict[str, float]:
    """As people write them."""
    written = {"stt": "STT", "sebi": "SEBI", "gst": "GST", "stamp": "stamp duty"}
    return {written.get(name, name): value for name, value in charges.items()}


def synthetic_banner(name: str, notes: Sequence[str] = ()) -> str:
    """Made-up ticks say so wherever they are shown."""
    if "synthetic" in name.lower() or any(note.startswith("SYNTHETIC") for note in notes):
        return "SYNTHETIC ticks: made up, with no edge in them. Nothing here says anything about a market."
    return ""


def tiles(fills: Sequence[RecordFill], trips: Sequence[Trip], interval: Interval) -> list[Tile]:
    """The figures at the top: net beside gross, always."""
    net = sum(fill.realized_pnl_net for fill in fills)
    charges = sum(fill.charges for fill in fills)
    nets = [trip.net / 100 for trip in trips]
    wins = sum(trip.net > 0 for trip in trips)
    turnover = sum(fill.value for fill in fills)
    between = (
        f"95 %: {interval.low:,.2f} … {interval.high:,.2f}, block bootstrap"
        if interval.low is not None and interval.high is not None
        else "too few for an interval"
    )
    return [
        Tile("net", _rupees(net), "gross − charges", "bad" if net < 0 else "good"),
        Tile("gross", _rupees(net + charges), "what the prices gave", "bad" if net + charges < 0 else ""),
        Tile("charges", _rupees(charges), f"{_share(charges, turnover)} of turnover"),
        Tile("trades", str(len(trips)), f"{wins} won net ({_share(wins, len(trips))})"),
        Tile("net a trade", "–" if interval.mean is None else _rupees(round(interval.mean * 100)), between),
        Tile("points a trade", _points(trips), "gross, rupees of premium per unit"),
        Tile("drawdown", f"₹{drawdown(nets):,.2f}", "of the realized net"),
        Tile(
            "worst trade",
            _rupees(min((t.net for t in trips), default=0)),
            f"best {_rupees(max((t.net for t in trips), default=0))}",
        ),
    ]


def marks_of(fills: Sequence[RecordFill]) -> list[Mark]:
    """Every fill on the price."""
    return [
        Mark(fill.at / 1e9, round(fill.value / fill.quantity / 100, 4), fill.reason.value) for fill in fills
    ]


def steps_of(trips: Sequence[Trip]) -> list[Step]:
    """Realized gross and net after each round trip."""
    steps, gross, net = [], 0, 0
    for trip in trips:
        gross, net = gross + trip.gross, net + trip.net
        steps.append(Step(trip.closed_at / 1e9, gross / 100, net / 100))
    return steps


def trip_rows(trips: Sequence[Trip]) -> list[tuple[str, ...]]:
    """The table of round trips."""
    return [
        (
            f"{ist(trip.opened_at):%H:%M:%S}",
            f"{ist(trip.closed_at):%H:%M:%S}",
            f"{(trip.closed_at - trip.opened_at) / 1e9:,.1f} s",
            str(trip.quantity),
            f"{trip.bought / trip.quantity / 100:,.2f}",
            f"{trip.sold / trip.quantity / 100:,.2f}",
            f"{rupees(trip.gross):,.2f}",
            f"{rupees(trip.gross - trip.net):,.2f}",
            f"{rupees(trip.net):,.2f}",
            "" if isnan(trip.probability) else f"{trip.probability:.3f}",
            trip.reason.value.lower().replace("_", " "),
        )
        for trip in trips
    ]


def capital_of(trips: Sequence[Trip]) -> Paise:
    """The largest premium paid for one position: what the day needed."""
    return max((trip.bought for trip in trips), default=0)


def exposure_of(trips: Sequence[Trip], seconds: float) -> str:
    """Share of the time something was owned."""
    held = sum(trip.closed_at - trip.opened_at for trip in trips) / 1e9
    return f"{100 * held / seconds:.1f} % of the time" if seconds else "–"


def money_facts(fills: Sequence[RecordFill], trips: Sequence[Trip]) -> list[tuple[str, str]]:
    """Turnover and charges against the capital, stops and flattens."""
    turnover, charges, capital = sum(f.value for f in fills), sum(f.charges for f in fills), capital_of(trips)
    stops = sum(trip.reason is Reason.STOP_LOSS for trip in trips)
    flattens = sum(trip.reason is Reason.END_OF_DAY for trip in trips)
    return [
        ("turnover", f"{_rupees(turnover)}, {turnover / capital:.1f} × the capital" if capital else "none"),
        ("capital", f"{_rupees(capital)}: the largest premium paid for one position"),
        ("charges ÷ capital", f"{_share(charges, capital)} in one day" if capital else "–"),
        ("stop-losses, flattens", f"{stops}, {flattens}"),
        ("slippage", f"{_rupees(sum(fill.slippage for fill in fills))} against the price at the decision"),
    ]


def _badges(outcome: Outcome, result: dict[str, Any]) -> list[tuple[str, Any]]:
    sample: tuple[str, str] = ("no model", "")
    if outcome.in_sample is not None:
        sample = ("in-sample: the model was trained on this file", "bad")
        if not outcome.in_sample:
            sample = ("out-of-sample: the model never saw this file", "good")
    spread = ("quoted spread", "good") if outcome.spread == "quoted" else ("assumed spread", "warn")
    guards = ("guards on", "") if result["guards"] else ("guards off: no limits but stop and flatten", "warn")
    return [sample, spread, guards, ("one day proves nothing", "warn")]


def _facts(outcome: Outcome, recorded: RecordedDay, result: dict[str, Any]) -> list[tuple[str, str]]:
    total = result["total"]
    unclosed = "none"
    if outcome.unclosed:
        unclosed = (
            f"{outcome.unclosed} units, worth {_rupees(outcome.unclosed_value)} at the last bid: not in net"
        )
    refused = ", ".join(f"{count} × {reason}" for reason, count in outcome.refused.most_common())
    gaps = f"{len(recorded.gaps)} over 60 s" + (
        f", longest {max(recorded.gaps):.0f} s" if recorded.gaps else ""
    )
    threshold = total["threshold"] if outcome.model != "none" else "none"
    spread = f"{outcome.spread}; crossing it cost {_rupees(round(outcome.spread_lost))}, within gross"
    if recorded.assumed:
        spread += (
            f"; assumed on {_share(recorded.assumed, outcome.ticks)} of the ticks (25 bps around the price)"
        )
    return [
        (
            "fills",
            f"{result['fills']}; calls take 20–80 ms, the exchange 25–110 ms more; seed {result['seed']}",
        ),
        ("spread", spread),
        *money_facts(outcome.fills, outcome.trips),
        ("exposure", exposure_of(outcome.trips, outcome.session_seconds)),
        ("still open at the end", unclosed),
        ("stop", f"₹{result['stop_rupees']:g} of premium per unit: a trigger, not a maximum loss"),
        ("entries refused", refused or "none"),
        ("model", outcome.model if outcome.model != "none" else "none: the entry rule alone"),
        ("threshold, sign", f"{threshold}, rel_diff = {total['rel_diff']}"),
        ("data", f"sha256 {recorded.sha256[:16]}…, {recorded.duplicates} duplicates dropped"),
        ("gaps", gaps),
        ("stale ticks", f"{100 * recorded.stale:.0f} % repeat the last price"),
    ]


def _range(arm: Arm) -> Range:
    if not arm.per_trade:
        return Range(
            arm.name, 0.0 if arm.name == "do nothing" else None, None, None, f"{arm.trades:g} trades"
        )
    if arm.name.startswith("random"):
        low, high = _percentiles(arm.per_trade)
        mean = sum(arm.per_trade) / len(arm.per_trade)
    else:
        mean, low, high = block_bootstrap(arm.per_trade)  # type: ignore[assignment]
    note = f"{arm.trades:,.0f} trades{' a run' if arm.name.startswith('random') else ''}, net ₹{arm.net:,.0f}"
    return Range(arm.name, mean, low, high, note)


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(0.025 * last)], ordered[round(0.975 * last)]


def _arms_words(arms: Sequence[Arm]) -> list[str]:
    """What the comparison says, in words."""
    by_name = {arm.name.split(" ×")[0]: arm for arm in arms}
    words = ["Doing nothing earned ₹0.00 and paid no charges: that is what any rule must beat."]
    model, chance = by_name.get("model"), by_name.get("random entry")
    if model is not None and model.per_trade and chance is not None and chance.per_trade:
        mean = sum(model.per_trade) / len(model.per_trade)
        better = sum(value >= mean for value in chance.per_trade) / len(chance.per_trade)
        words.append(
            f"{100 * better:.0f} % of the random-entry runs did as well as the model or better, a trade. "
            + (
                "The model is not told from chance here."
                if better > 0.05
                else "The entries are not pure chance."
            )
        )
    losing = [arm.name for arm in arms if arm.net < 0]
    if losing:
        words.append(f"Lost money after charges: {', '.join(losing)}.")
    return words


def _interval(trade: dict[str, float | None]) -> str:
    mean, low, high = trade["mean"], trade["low"], trade["high"]
    if mean is None:
        return "–"
    return f"{mean:,.2f}" if low is None or high is None else f"{mean:,.2f} ({low:,.2f} … {high:,.2f})"


def _points(trips: Sequence[Trip]) -> str:
    return f"{sum(trip.points for trip in trips) / len(trips):,.2f}" if trips else "–"


def _rupees(amount: Paise) -> str:
    return f"{'-' if amount < 0 else ''}₹{abs(amount) / 100:,.2f}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "–"
