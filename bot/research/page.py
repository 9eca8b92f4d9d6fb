"""A report as one HTML file that needs no network: what a day's page holds, and how it is written.

It lays out what it is given and computes nothing of trading. The charts are uPlot's (MIT), which stands in
the page with its licence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import orjson

from bot.research.page_svg import Range, bars, histogram, ranges

Tone = Literal["", "good", "warn", "bad"]
PROBABILITY_EDGES: Final = tuple(n / 20 for n in range(21))
HOLD_EDGES: Final = (0, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 1e9)
_HOLD_LABELS: Final = ("<2s", "<5", "<10", "<20", "<30", "<1m", "<2", "<5", "<10", "<30m", "more")


class Tile(NamedTuple):
    label: str
    value: str
    note: str = ""
    tone: Tone = ""


class Mark(NamedTuple):
    """A fill on the price: seconds since the epoch, rupees, the reason's word."""

    at: float
    price: float
    kind: str


class Step(NamedTuple):
    """After a round trip: seconds since the epoch, rupees realized so far."""

    at: float
    gross: float
    net: float


@dataclass
class DayPage:
    """One day (of one instrument). Times in ns since the epoch, prices in rupees, `at` in order."""

    heading: str
    subtitle: str
    verdict: str
    open_verdict: bool  # nothing is shown either way: amber, not red
    badges: list[tuple[str, Tone]]
    tiles: list[Tile]
    at: Sequence[int] = ()
    price: Sequence[float] = ()
    estimate: Sequence[float] = ()
    marks: list[Mark] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    charges: dict[str, float] = field(default_factory=dict)
    charges_note: str = ""
    probabilities: Sequence[float] = ()
    threshold: float | None = None
    holds: Sequence[float] = ()  # seconds
    arms: list[Range] = field(default_factory=list)
    arms_words: list[str] = field(default_factory=list)
    trips: list[tuple[str, ...]] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    notes_title: str = "What is wrong with the data, and what was done about it"
    banner: str = ""


TRIP_COLUMNS: Final = (
    *("in", "out", "held", "units", "bought at", "sold at", "gross ₹", "charges ₹", "net ₹", "p", "left by"),
)


def write_page(path: Path, title: str, lead: str, days: Sequence[DayPage], table: str = "") -> None:
    """Write the file. `lead` and `table` are HTML; everything in `days` is text."""
    sections = "".join(_section(f"day{number}", day) for number, day in enumerate(days))
    page = _asset("report.js"), _asset("report.css"), _asset("uPlot.iife.min.js"), _asset("uPlot.min.css")
    script, style, uplot, uplot_style = page
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{uplot_style}{style}</style></head><body><main><h1>{escape(title)}</h1>{lead}{table}"
        f"{sections}<footer>Made by kalman-options-bot. Not advice; no promise. Charts: uPlot, drawn in this "
        f"file without a network.<pre>{escape(_asset('uPlot-LICENSE.txt'))}</pre></footer></main>"
        f"<script>{uplot}</script><script>{script}</script></body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")


def _asset(name: str) -> str:
    return (files("bot.research") / "page_assets" / name).read_text(encoding="utf-8")


def _section(name: str, day: DayPage) -> str:
    badges = "".join(f'<span class="badge {tone}">{escape(text)}</span>' for text, tone in day.badges)
    tiles = "".join(
        f'<div class="tile"><span>{escape(tile.label)}</span><b class="{_sign(tile.tone)}">'
        f"{escape(tile.value)}</b><span>{escape(tile.note)}</span></div>"
        for tile in day.tiles
    )
    banner = f'<div class="banner">{escape(day.banner)}</div>' if day.banner else ""
    tone = "verdict open" if day.open_verdict else "verdict"
    return (
        f'<section id="{name}"><h2>{escape(day.heading)}</h2>'
        f'<p class="dim">{escape(day.subtitle)}</p>{banner}'
        f'<p class="{tone}">{escape(day.verdict)}</p><p>{badges}</p><div class="tiles">{tiles}</div>'
        f"{_arms(day)}{_charts(day)}{_stills(day)}{_trips(day)}{_facts(day)}"
        f'<script type="application/json" data-day="{name}">{_data(day)}</script></section>'
    )


def _sign(tone: Tone) -> str:
    return {"bad": "neg", "good": "pos"}.get(tone, "")


def _arms(day: DayPage) -> str:
    if not day.arms:
        return ""
    words = "".join(f"<li>{escape(word)}</li>" for word in day.arms_words)
    title = "<h3>Net per trade, ₹, with 95 % intervals: is the model better than chance?</h3>"
    return f"{title}{ranges(day.arms)}<ul>{words}</ul>"


def _charts(day: DayPage) -> str:
    parts = []
    if day.at:
        parts.append(
            "<h3>Price, estimate and fills (drag to zoom, wheel to zoom, double-click for the whole day)</h3>"
            '<p class="key"><i style="background:#afb8c1"></i>last price<i style="background:#1f2328"></i>'
            'Kalman estimate<i style="background:#1a7f37"></i>entry ▲<i style="background:#0969da"></i>'
            'signal exit ▼<i style="background:#cf222e"></i>stop-loss ✕'
            '<i style="background:#8250df"></i>flatten ■</p>'
            '<div class="chart price"></div>'
        )
    if day.steps:
        parts.append(
            '<h3>Realized, gross and net of charges</h3><div class="chart equity"></div>'
            '<h3>Drawdown of the net result</h3><div class="chart drawdown"></div>'
        )
    return "".join(parts)


def _stills(day: DayPage) -> str:
    parts = []
    if day.charges:
        note = f'<p class="dim">{escape(day.charges_note)}</p>' if day.charges_note else ""
        parts.append(f"<div><h3>Charges by component</h3>{bars(day.charges)}{note}</div>")
    if len(day.holds):
        picture = histogram(day.holds, HOLD_EDGES, _HOLD_LABELS)
        parts.append(f"<div><h3>How long positions were held</h3>{picture}</div>")
    if len(day.probabilities):
        labels = tuple(f"{edge:.2f}" if n % 2 == 0 else "" for n, edge in enumerate(PROBABILITY_EDGES[:-1]))
        picture = histogram(day.probabilities, PROBABILITY_EDGES, labels, day.threshold)
        parts.append(f"<div><h3>The model's probability, where it was asked</h3>{picture}</div>")
    return f'<div class="grid">{"".join(parts)}</div>' if parts else ""


def _trips(day: DayPage) -> str:
    if not day.trips:
        return ""
    head = "".join(f"<th>{escape(column)}</th>" for column in TRIP_COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in trip) + "</tr>" for trip in day.trips
    )
    return f'<h3>Round trips</h3><div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _facts(day: DayPage) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="left">{escape(value)}</td></tr>' for name, value in day.facts
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in day.notes)
    notes = f"<h3>{escape(day.notes_title)}</h3><ul>{notes}</ul>" if notes else ""
    return f"<h3>So that nobody is fooled</h3><table>{rows}</table>{notes}"


def _data(day: DayPage) -> str:
    """The series as differences of whole milliseconds and paise: a fifth of the size."""
    ends = [*(step.at for step in day.steps), *(at / 1e9 for at in (*day.at[:1], *day.at[-1:]))] or [0.0, 1.0]
    first = min(ends)
    nets = [0.0, *(step.net for step in day.steps)]
    peaks: list[float] = []
    for net in nets:
        peaks.append(max(net, peaks[-1] if peaks else 0.0))
    last = max(ends)
    data: dict[str, Any] = {
        "from": first,
        "until": last if last > first else first + 1,
        "at": _differences([round((at / 1e9 - first) * 1000) for at in day.at]),
        "price": _differences([round(price * 100) for price in day.price]),
        "estimate": _differences([round(price * 100) for price in day.estimate]),
        "marks": [list(mark) for mark in day.marks],
        "equity": {
            "at": [first, *(step.at for step in day.steps), last],
            "gross": _to_end([0.0, *(step.gross for step in day.steps)]),
            "net": _to_end(nets),
            "drawdown": _to_end([net - peak for net, peak in zip(nets, peaks, strict=True)]),
        },
    }
    return orjson.dumps(data).decode().replace("</", "<\\/")


def _to_end(values: list[float]) -> list[float]:
    rounded = [round(value, 2) for value in values]
    return [*rounded, rounded[-1]]


def _differences(values: list[int]) -> list[int]:
    return values[:1] + [after - before for before, after in pairwise(values)]
