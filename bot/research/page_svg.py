"""Small still pictures of a report as inline SVG: bars, histograms, intervals. Strings in, strings out."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Final, NamedTuple

WIDTH: Final = 380
_INK, _BAR, _BAD, _LINE = "#1f2328", "#54aeff", "#cf222e", "#d8dee4"
_ROW: Final = 26


class HeatCell(NamedTuple):
    """A square of a heat map: its value decides the colour, `note` stands under it."""

    value: float
    note: str


class Range(NamedTuple):
    """A labelled mean with its interval; None where there is none."""

    label: str
    mean: float | None
    low: float | None
    high: float | None
    note: str


def bars(values: Mapping[str, float], unit: str = "₹") -> str:
    """Horizontal bars, the longest fills the width."""
    top = max(values.values(), default=0.0) or 1.0
    total = sum(values.values())
    rows = []
    for number, (name, value) in enumerate(values.items()):
        y = number * _ROW
        length = 130 * value / top
        share = f" · {100 * value / total:.0f} %" if total else ""
        rows.append(
            f'<text x="92" y="{y + 17}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="100" y="{y + 5}" width="{max(length, 0.5):.1f}" height="16" rx="2" fill="{_BAR}"/>'
            f'<text x="{106 + length:.1f}" y="{y + 17}" class="dim">{unit}{value:,.2f}{share}</text>'
        )
    return _svg(len(values) * _ROW, rows)


def histogram(
    values: Sequence[float],
    edges: Sequence[float],
    labels: Sequence[str],
    mark: float | None = None,
    mark_name: str = "threshold",
) -> str:
    """Counts of `values` between `edges` (one more than `labels`); `mark`: a line at this value."""
    counts = [sum(low <= value < high for value in values) for low, high in pairwise(edges)]
    top, height = max(counts, default=0) or 1, 150
    step = (WIDTH - 30) / len(counts)
    parts = [f'<line x1="15" x2="{WIDTH - 15}" y1="{height}" y2="{height}" stroke="{_LINE}"/>']
    for number, (count, label) in enumerate(zip(counts, labels, strict=True)):
        x, tall = 15 + number * step, (height - 20) * count / top
        parts.append(
            f'<rect x="{x + 1:.1f}" y="{height - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}"'
            f' fill="{_BAR}"><title>{escape(label)}: {count}</title></rect>'
        )
        if count:
            parts.append(
                f'<text x="{x + step / 2:.1f}" y="{height - tall - 4:.1f}" text-anchor="middle" class="dim"'
                f' style="font-size:10px">{count}</text>'
            )
        parts.append(
            f'<text x="{x + step / 2:.1f}" y="{height + 15}" text-anchor="middle" class="dim"'
            f' style="font-size:10px">{escape(label)}</text>'
        )
    if mark is not None and edges[0] <= mark <= edges[-1]:
        x = 15 + (WIDTH - 30) * (mark - edges[0]) / (edges[-1] - edges[0])
        late = x > WIDTH - 90  # its words would leave the picture
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{height}" stroke="{_BAD}" stroke-dasharray="4 3"/>'
            f'<text x="{x + (-4 if late else 4):.1f}" y="16" text-anchor="{"end" if late else "start"}"'
            f' style="fill:{_BAD};font-size:11px">{mark_name} {mark:.3g}</text>'
        )
    return _svg(height + 22, parts)


def ranges(rows: Sequence[Range]) -> str:
    """Means with their intervals on one axis, zero marked."""
    known = [v for row in rows for v in (row.mean, row.low, row.high) if v is not None] + [0.0]
    low, high = min(known), max(known)
    pad = (high - low) * 0.08 or 1.0
    low, high = low - pad, high + pad
    left, right = 150.0, 690.0

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    height = len(rows) * 34 + 8
    zero = f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{height - 4}"'
    parts = [f'{zero} stroke="{_INK}" stroke-dasharray="2 3"/>']
    for number, row in enumerate(rows):
        y = number * 34 + 20
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(row.label)}</text>')
        if row.low is not None and row.high is not None:
            parts.append(
                f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y}" y2="{y}" stroke="{_BAR}" '
                'stroke-width="6" stroke-linecap="round"/>'
            )
        if row.mean is not None:
            parts.append(f'<circle cx="{x(row.mean):.1f}" cy="{y}" r="5" fill="{_INK}"/>')
        parts.append(f'<text x="{right + 12}" y="{y + 4}" class="dim">{escape(row.note)}</text>')
    return _svg(height + 18, [*parts, _zero(x(0), height + 12)], width=1060)


def heat_map(
    grid: Sequence[Sequence[HeatCell | None]],
    columns: Sequence[str],
    rows: Sequence[str],
    axes: tuple[str, str],
    scale: float,
) -> str:
    """Squares from red (−`scale`) over white (0) to blue (+`scale`); the number stands in each. `axes`: what
    `columns` and `rows` are values of. None: nothing there.
    """
    wide, tall, left, top = 84, 42, 76, 40
    parts = [
        f'<text x="{left}" y="12" class="dim">{escape(axes[0])} →</text>',
        f'<text x="0" y="{top - 8}" class="dim">{escape(axes[1])} ↓</text>',
    ]
    for number, name in enumerate(columns):
        x = left + (number + 0.5) * wide
        parts.append(f'<text x="{x}" y="{top - 8}" text-anchor="middle">{escape(name)}</text>')
    for row, (name, cells) in enumerate(zip(rows, grid, strict=True)):
        y = top + row * tall
        parts.append(f'<text x="{left - 10}" y="{y + 25}" text-anchor="end">{escape(name)}</text>')
        for column, cell in enumerate(cells):
            if cell is not None:
                parts.append(_square(left + column * wide, y, (wide, tall), cell, scale))
    return _svg(top + len(rows) * tall, parts, width=left + len(columns) * wide)


def _square(x: int, y: int, size: tuple[int, int], cell: HeatCell, scale: float) -> str:
    red_or_blue = (207, 34, 46) if cell.value < 0 else (9, 105, 218)
    share = 0.8 * min(abs(cell.value) / scale, 1.0) if scale else 0.0  # never so dark that no ink shows
    colour = ",".join(str(round(255 + (part - 255) * share)) for part in red_or_blue)
    middle = x + size[0] / 2
    return (
        f'<rect x="{x + 1}" y="{y + 1}" width="{size[0] - 2}" height="{size[1] - 2}" rx="2"'
        f' fill="rgb({colour})"/>'
        f'<text x="{middle}" y="{y + 19}" text-anchor="middle">{cell.value:,.0f}</text>'
        f'<text x="{middle}" y="{y + 33}" text-anchor="middle" style="font-size:10px">'
        f"{escape(cell.note)}</text>"
    )


def _zero(x: float, y: float) -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="middle" class="dim" style="font-size:11px">₹0</text>'


def _svg(height: float, parts: Sequence[str], width: int = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="100%" role="img" '
        f'style="max-width:{width}px">{"".join(parts)}</svg>'
    )
