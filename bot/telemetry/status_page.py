"""The status page at `/`: one HTML text without scripts, fit for a phone. It shows; it can change nothing."""

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from typing import Final

from bot.core.units import Nanos, ist, rupees_text
from bot.telemetry.recent import Recent, Sample
from bot.telemetry.view import DayState, InstrumentState, View

_REFRESH_SECONDS: Final = 5
_STYLE: Final = """
:root{color-scheme:light dark;--good:#1a7f37;--bad:#cf222e;--dim:#6e7781}
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;max-width:42rem;padding:.8rem}
h1{font-size:1.2rem;margin:.2rem 0}h2{font-size:1rem;margin:1.2rem 0 .3rem}
.big{font-size:1.6rem;font-weight:600}.dim{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}
table{border-collapse:collapse;width:100%}td,th{padding:.2rem .5rem .2rem 0;text-align:left;font-weight:400}
td.n{text-align:right;font-variant-numeric:tabular-nums}tr+tr{border-top:1px solid #8884}
svg{width:100%;height:7rem}.scroll{overflow-x:auto}
"""


def page(view: View, recent: Recent) -> str:
    """The whole page. Everything that came from outside is escaped."""
    day = view.day()
    states = view.instruments()
    parts = [
        f"<h1>{escape(day.mode)} · {escape(day.day)} <span class=dim>{_clock(day.now)} IST</span></h1>",
        _state(day),
        *(_instrument(state) for state in states),
        _chart(recent.samples),
        _money(day),
        _table("Today's trades", ("time", "side", "why", "qty", "price", "net"), _fills(recent)),
        _table("Guards that said no", ("guard", "times"), _guards(recent)),
        _table("Alerts", ("time", "", ""), _alerts(recent)),
        '<p class=dim><a href="/metrics">metrics</a> · <a href="/readyz">readyz</a></p>',
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">'
        f"<title>bot: {escape(day.session_state)}</title>"
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def _state(day: DayState) -> str:
    fine = day.ready and not day.halted
    words = "ready" if fine else f"no entries: {day.halted or day.reason}"
    phase = day.session_state.replace("_", " ")
    colour = "good" if fine else "bad"
    return (
        f"<p id=state class=big>{escape(phase)} <span class={colour}>{escape(words)}</span></p>"
        f"<p class=dim>flatten {_clock(day.flatten_at)} · close {_clock(day.close_at)} · "
        f"{day.orders_open} orders open, {day.orders_unknown} in doubt</p>"
    )


def _instrument(state: InstrumentState) -> str:
    name = escape(state.name or state.instrument)
    seen = f"{state.estimate:.2f}" if isfinite(state.estimate) else "–"
    holds = "flat"
    if state.position:
        distance = rupees_text(round(state.ltp - state.stop_price))
        entry = rupees_text(round(state.entry_price))
        holds = f"<b>{state.position}</b> units at ₹{entry}, stop ₹{distance} away"
    price = rupees_text(state.ltp) if state.ltp else "–"
    return (
        f"<h2>{name}</h2><p class=position><span class=big>₹{price}</span> "
        f"<span class=dim>estimate {seen}</span><br>{holds}</p>"
    )


def _money(day: DayState) -> str:
    net = day.realized + day.unrealized - day.charges
    limit = "no limit" if day.daily_loss_limit is None else f"limit −₹{rupees_text(day.daily_loss_limit)}"
    return (
        f"<p id=net><span class='big {'bad' if net < 0 else 'good'}'>₹{rupees_text(net)}</span> net today "
        f"<span class=dim>(realized {rupees_text(day.realized)}, open {rupees_text(day.unrealized)}, "
        f"charges {rupees_text(day.charges)}; {limit})</span></p>"
    )


def _chart(samples: Sequence[Sample]) -> str:
    """Price and estimate of the last minutes as two lines."""
    known = [value for sample in samples for value in sample if isfinite(value)]
    if len(samples) < 2 or not known:
        return ""
    low, high = min(known), max(known)
    scale = 90 / ((high - low) or 1.0)
    lines = []
    for number, colour in ((0, "#8c959f"), (1, "#0969da")):
        points = " ".join(
            f"{index * 600 / (len(samples) - 1):.1f},{95 - (sample[number] - low) * scale:.1f}"
            for index, sample in enumerate(samples)
            if isfinite(sample[number])
        )
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>')
    return (
        f'<svg viewBox="0 0 600 100" preserveAspectRatio="none">{"".join(lines)}</svg><p class=dim>'
        f"last {len(samples)} s: price grey, estimate blue, ₹{low:.2f} to ₹{high:.2f}</p>"
    )


def _fills(recent: Recent) -> Iterable[tuple[str, ...]]:
    for fill in reversed(recent.fills):
        price = rupees_text(round(fill.value / fill.quantity))
        net = rupees_text(fill.realized_pnl_net)
        why = fill.reason.value.replace("_", " ").lower()
        yield _clock(fill.at), fill.side.value, why, str(fill.quantity), price, net


def _guards(recent: Recent) -> Iterable[tuple[str, ...]]:
    for guard, times in sorted(recent.refused.items(), key=lambda item: -item[1]):
        yield guard.replace("_", " "), str(times)


def _alerts(recent: Recent) -> Iterable[tuple[str, ...]]:
    for at, alert in reversed(recent.alerts):
        yield _clock(at), alert.name, alert.text


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    head = "".join(f"<th class=dim>{escape(text)}</th>" for text in heads)
    shown = (
        f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>" if body else "<p class=dim>none</p>"
    )
    return f"<h2>{escape(title)}</h2>{shown}"


def _cell(text: str) -> str:
    number = text.lstrip("-−").replace(",", "").replace(".", "").isdigit()
    return f"<td{' class=n' if number else ''}>{escape(text)}</td>"


def _clock(at: Nanos) -> str:
    return f"{ist(at):%H:%M:%S}" if at else "–"
