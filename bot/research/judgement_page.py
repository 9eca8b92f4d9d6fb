"""What `bot evaluate` shows: cells of a table, and in HTML the reliability plot and the threshold curve.

Figures in, words and pictures out; it computes none.
"""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from bot.research.judgement import Bin, CurvePoint

HEAD: Final = (
    *("tape", "windows", "base rate", "AUC (95 %)", "Brier skill", "ECE", "coverage", "precision", "lift"),
    *("AUC by volatility", "net a trade", "without the model"),
)
_W, _H, _PAD = 380, 300, 40
_INK, _BAR, _BAD, _LINE = "#1f2328", "#54aeff", "#cf222e", "#d8dee4"


def cells(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    auc, net = found["auc"], found["net"]
    return (
        f"{name} (taught it)" if found["taught"] and name != "pooled" else name,
        f"{found['n']:,}",
        f"{found['base_rate']:.3f}",
        f"{auc['value']:.3f} ({auc['low']:.3f}–{auc['high']:.3f})",
        f"{found['brier_skill']:+.3f}",
        f"{found['ece']:.3f}",
        f"{found['coverage']:.2%}",
        _share(found["precision_at_threshold"]),
        _number(found["lift"]),
        f"{found['baselines']['volatility_auc']:.3f}",
        _money(net and net["net_per_trade_rupees"], net and net["trades"]),
        _money(net and net["net_per_trade_unfiltered_rupees"], net and net["trades_unfiltered"]),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _money(interval: dict[str, float | None] | None, trades: int | None) -> str:
    if not interval or interval["mean"] is None:
        return "–"
    if interval["low"] is None:
        return f"₹{interval['mean']:.0f} of {trades}"
    return f"₹{interval['mean']:.0f} ({interval['low']:.0f}…{interval['high']:.0f}) of {trades}"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in HEAD)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div style="overflow-x:auto"><table><tr>{head}</tr>{body}</table></div>'


def lead(words: Sequence[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in words)


def pictures(bins: Sequence[Bin], curve: Sequence[CurvePoint], threshold: float) -> str:
    """HTML: both plots, each with a sentence that says how to read it."""
    return (
        "<h2>Are the probabilities true?</h2><p>On the line, what was said came as often as said; a dot's "
        f"size is how often it was said.</p>{reliability(bins)}<h2>What a threshold would choose</h2>"
        "<p>Blue: the share of windows chosen. Red: how often the price then rose. The bot's threshold, "
        f"{threshold:g}, is marked.</p>{curves(curve, threshold)}"
    )


def reliability(bins: Sequence[Bin]) -> str:
    """Said against came, both 0 to 1."""
    most = max((each.n for each in bins), default=1)
    dots = [
        f'<circle cx="{_x(each.said):.1f}" cy="{_y(each.came):.1f}" r="{2 + 8 * (each.n / most) ** 0.5:.1f}" '
        f'fill="{_BAR}" fill-opacity="0.7"><title>said {each.said:.3f}, came {each.came:.3f}, {each.n:,} '
        "windows</title></circle>"
        for each in bins
    ]
    return _svg([_line(_x(0), _x(1), f'stroke="{_LINE}"'), *_axes("said", "came"), *dots])


def curves(points: Sequence[CurvePoint], threshold: float) -> str:
    """Coverage and precision over the threshold."""
    low, high = points[0].threshold, points[-1].threshold

    def across(value: float) -> float:
        return _x((value - low) / (high - low))

    chosen = " ".join(f"{across(each.threshold):.1f},{_y(each.coverage):.1f}" for each in points)
    right = " ".join(
        f"{across(each.threshold):.1f},{_y(each.precision):.1f}"
        for each in points
        if each.precision is not None
    )
    mark = across(threshold)
    return _svg(
        [
            *_axes(f"threshold, {low:g} to {high:g}", "share"),
            _line(mark, mark, f'stroke="{_INK}" stroke-dasharray="4 3"'),
            f'<polyline points="{chosen}" fill="none" stroke="{_BAR}" stroke-width="2"/>',
            f'<polyline points="{right}" fill="none" stroke="{_BAD}" stroke-width="2"/>',
        ]
    )


def _x(share: float) -> float:
    return _PAD + share * (_W - 2 * _PAD)


def _y(share: float) -> float:
    return _H - _PAD - share * (_H - 2 * _PAD)


def _line(below: float, above: float, style: str) -> str:
    """From the bottom of the picture to its top."""
    return f'<line x1="{below:.1f}" y1="{_y(0)}" x2="{above:.1f}" y2="{_y(1)}" {style}/>'


def _axes(below: str, beside: str) -> list[str]:
    return [
        f'<path d="M{_x(0)},{_y(1)}V{_y(0)}H{_x(1)}" fill="none" stroke="{_LINE}"/>',
        f'<text x="{_W / 2}" y="{_H - 8}" text-anchor="middle" font-size="12" fill="{_INK}">{below}</text>',
        f'<text x="{_PAD}" y="{_PAD - 14}" font-size="12" fill="{_INK}">{beside}</text>',
        f'<text x="{_PAD - 6}" y="{_y(1) + 4}" text-anchor="end" font-size="11" fill="{_INK}">1</text>',
        f'<text x="{_PAD - 6}" y="{_y(0) + 4}" text-anchor="end" font-size="11" fill="{_INK}">0</text>',
    ]


def _svg(parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {_W} {_H}" width="100%" style="max-width:{_W}px"'
    return f'<svg {size} role="img">{"".join(parts)}</svg>'
