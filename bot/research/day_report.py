"""A traded day as a page: from the archive's files, or straight out of the demo.

What was traded is the journal's word, what the market did is the tape's. It computes sums only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from math import isnan
from pathlib import Path

from bot.core.charges import NO_CHARGES, Charges, NoRateCard, card_on
from bot.core.commands import Alert, RecordFill
from bot.core.units import InstrumentKey, segment_of
from bot.research.outcome import block_bootstrap, charges_in_rupees, trips_of, verdict
from bot.research.page import DayPage, write_page
from bot.research.report import (
    component_names,
    exposure_of,
    marks_of,
    money_facts,
    steps_of,
    synthetic_banner,
    tiles,
    trip_rows,
)

LEAD = "<p>What was traded, by the bot's journal; what the market did, by its tape. Net beside gross.</p>"


@dataclass
class Line:
    """One instrument's day: instants in ns, rupees. `probability` may be empty."""

    at: Sequence[int]
    price: Sequence[float]
    estimate: Sequence[float]
    probability: Sequence[float] = ()


@dataclass
class TradedDay:
    """All that is known of a day that was traded."""

    day: date
    title: str
    fills: tuple[RecordFill, ...]
    lines: dict[InstrumentKey, Line] = field(default_factory=dict)
    facts: list[tuple[str, str]] = field(default_factory=list)
    alerts: tuple[Alert, ...] = ()
    threshold: float | None = None
    exchanges: dict[InstrumentKey, str] = field(default_factory=dict)
    models: dict[InstrumentKey, list[tuple[str, str]]] = field(default_factory=dict)  # judged on the day


def write_days(path: Path, title: str, days: Sequence[TradedDay]) -> None:
    """One page for one day, or for a week of them with a table of the days before."""
    pages = [page for day in days for page in pages_of(day)]
    write_page(path, title, LEAD, pages, _week(days) if len(days) > 1 else "")


def pages_of(day: TradedDay) -> list[DayPage]:
    """A page an instrument; one without charts when nothing was heard and nothing traded."""
    keys = list(dict.fromkeys([*day.lines, *(fill.instrument for fill in day.fills)]))
    return [_page(day, key) for key in keys] or [_page(day, "")]


def _page(day: TradedDay, key: InstrumentKey) -> DayPage:
    fills = tuple(fill for fill in day.fills if fill.instrument == key)
    trips = trips_of(fills)
    interval = block_bootstrap([trip.net / 100 for trip in trips])
    line = day.lines.get(key) or Line((), (), ())
    said = verdict(interval)
    charges, since = _charges(day, key, fills)
    seconds = (line.at[-1] - line.at[0]) / 1e9 if len(line.at) > 1 else 0.0
    held = fills[-1].position_after if fills else 0
    return DayPage(
        heading=f"{key or 'nothing heard'} · {day.day:%a %d %b %Y}",
        subtitle=day.title,
        verdict=said,
        open_verdict=not said.startswith("No edge after"),
        badges=[("one day proves nothing", "warn")],
        tiles=tiles(fills, trips, interval),
        at=line.at,
        price=line.price,
        estimate=line.estimate,
        marks=marks_of(fills),
        steps=steps_of(trips),
        charges=component_names(charges_in_rupees(charges)) if fills else {},
        charges_note=since,
        probabilities=[p for p in line.probability if p and not isnan(p)],
        threshold=day.threshold,
        holds=[(trip.closed_at - trip.opened_at) / 1e9 for trip in trips],
        trips=trip_rows(trips),
        facts=[
            *money_facts(fills, trips),
            ("exposure", exposure_of(trips, seconds)),
            ("still open at the end", f"{held} units" if held else "none"),
            *day.facts,
            *day.models.get(key, ()),
        ],
        notes=[f"{alert.name}: {alert.text}" for alert in day.alerts],
        notes_title="What the bot had to say",
        banner=synthetic_banner(day.title),
    )


def _charges(day: TradedDay, key: InstrumentKey, fills: Sequence[RecordFill]) -> tuple[Charges, str]:
    """By component, of the card that was in force, and which one that was."""
    exchange = day.exchanges.get(key) or ("BSE" if segment_of(key).startswith("BSE") else "NSE")
    try:
        card = card_on(day.day, exchange)
    except NoRateCard as none:
        return NO_CHARGES, str(none)
    total, heard = NO_CHARGES, set[str]()
    for fill in fills:
        first = fill.tag not in heard
        heard.add(fill.tag)
        total = total.plus(card.fill_charges(fill.side, fill.value, first_fill_of_order=first))
    return total, f"The rate card of {exchange} in force since {card.since:%d %b %Y}."


def _week(days: Sequence[TradedDay]) -> str:
    rows, total = [], [0, 0, 0, 0]
    nets: list[float] = []
    for day in days:
        trips = trips_of(day.fills)
        nets.extend(trip.net / 100 for trip in trips)
        net = sum(fill.realized_pnl_net for fill in day.fills)
        charges = sum(fill.charges for fill in day.fills)
        sums = [len(trips), net + charges, charges, net]
        total = [a + b for a, b in zip(total, sums, strict=True)]
        rows.append(_row(f"{day.day:%a %d %b}", sums))
    said = verdict(block_bootstrap(nets))
    tone = "" if said.startswith("No edge after") else " open"
    names = "".join(f"<th>{name}</th>" for name in ("day", "trades", "gross ₹", "charges ₹", "net ₹"))
    body = "".join(rows) + _row("together", total)
    return f'<p class="verdict{tone}">{said}</p><table><tr>{names}</tr>{body}</table>'


def _row(name: str, sums: Sequence[int]) -> str:
    trades, gross, charges, net = sums
    tone = "neg" if net < 0 else "pos"
    return (
        f"<tr><td>{name}</td><td>{trades}</td><td>{gross / 100:,.2f}</td><td>{charges / 100:,.2f}</td>"
        f'<td class="{tone}">{net / 100:,.2f}</td></tr>'
    )
