"""A sweep as one page that needs no network: heat maps, the luck line, tables. It computes no trade."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import product
from pathlib import Path
from typing import Any, Final

from bot.research.page import write_page
from bot.research.page_svg import HeatCell, Range, heat_map, histogram, ranges
from bot.research.sweep import Trial

PARAMETERS: Final = tuple(Trial.__dataclass_fields__)
_PANELS_MAX: Final = 12
_ROWS_MAX: Final = 60
_BINS: Final = 16
_COLUMNS: Final = (
    *("trades", "gross ₹", "charges ₹", "net ₹", "net a trade ₹ (95 %)", "won net", "stops", "unclosed"),
    *("in-sample", "Sharpe"),
)

LEAD: Final = (
    "<p>Each setting is the bot's own engine over the same recorded files, charges and spread paid. The more "
    "settings are tried, the better the best looks, whether or not any is worth something: the number of "
    "trials and the deflated Sharpe ratio (Bailey and López de Prado, 2014) stand beside it. Sharpe ratios "
    "are of the realized net result of a quarter of an hour, not annualized.</p>"
)


def write_sweep(path: Path, result: Mapping[str, Any]) -> None:
    """The page of `bot sweep`. `result` as written to sweep.json."""
    settings, files = result["settings"], result["files"]
    title = f"Sweep · {len(settings)} settings × {len(files)} files"
    body = "".join((_verdict(result), _tiles(result), _pictures(result), _settings(settings), _files(result)))
    write_page(path, title, LEAD, [], body)


def _verdict(result: Mapping[str, Any]) -> str:
    best = result["best"]
    believed = best["deflated"] is not None and best["deflated"] >= 0.95 and best["sharpe"] > 0
    synthetic = any(
        "synthetic" in file["file"].lower() or any(note.startswith("SYNTHETIC") for note in file["notes"])
        for file in result["files"]
    )
    banner = '<div class="banner">SYNTHETIC ticks: made up, with no edge in them.</div>' if synthetic else ""
    return f'{banner}<p class="verdict{" open" if believed else ""}">{escape(best["words"])}</p>'


def _tiles(result: Mapping[str, Any]) -> str:
    best, settings = result["best"], result["settings"]
    first = settings[0]
    deflated = "–" if best["deflated"] is None else f"{100 * best['deflated']:.1f} %"
    alone = "" if best["alone"] is None else f"alone it would seem {100 * best['alone']:.1f} %"
    sharpes = f"luck alone shows {_number(best['expected_of_luck'], 4)}"
    rows = (
        ("trials", f"{result['trials']}", f"{len(settings)} here, the rest earlier"),
        ("best Sharpe ratio", _number(best["sharpe"], 4), sharpes),
        ("deflated Sharpe ratio", deflated, alone),
        ("best: net", _rupees(first["net_rupees"]), f"gross {_rupees(first['gross_rupees'])}"),
        ("best: charges", _rupees(first["charges_rupees"]), f"{first['trades']} trades"),
        ("above zero", f"{result['above_zero']} of {len(settings)}", "settings, net of all costs"),
        ("median setting", _rupees(result["median_net_rupees"]), "net: what picking blindly gives"),
        ("observations", f"{result['observations']}", f"of {result['observation_seconds'] // 60} minutes"),
    )
    tiles = "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b>'
        f"<span>{escape(note)}</span></div>"
        for name, value, note in rows
    )
    return f'<div class="tiles">{tiles}</div>'


# ---- pictures ---------------------------------------------------------------------------------------------


def varied(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The parameters with more than one value, most values first."""
    counts = {name: len({setting[name] for setting in settings}) for name in PARAMETERS}
    return sorted((name for name in PARAMETERS if counts[name] > 1), key=lambda name: -counts[name])


def _pictures(result: Mapping[str, Any]) -> str:
    settings = result["settings"]
    names = varied(settings)
    parts = []
    if len(names) == 1:
        rows = [_range(setting, names[0]) for setting in sorted(settings, key=lambda s: _order(s[names[0]]))]
        parts.append(f"<h3>Net per trade, ₹, by {names[0]}, with 95 % intervals</h3>{ranges(rows)}")
    elif names:
        parts.append(_panels(settings, names[0], names[1], names[2:]))
    sharpes = [setting["sharpe"] for setting in settings if setting["sharpe"] is not None]
    if len(sharpes) > 1:  # then the luck is known
        parts.append(_luck(sharpes, result["best"]["expected_of_luck"]))
    return "".join(parts)


def _range(setting: Mapping[str, Any], name: str) -> Range:
    return Range(
        f"{name} {_text(setting[name])}",
        setting["net_per_trade"],
        setting["net_per_trade_low"],
        setting["net_per_trade_high"],
        f"{setting['trades']} trades, net {_rupees(setting['net_rupees'])}",
    )


def _panels(settings: Sequence[Mapping[str, Any]], x: str, y: str, others: Sequence[str]) -> str:
    """A heat map for each combination of the other parameters, on one scale of colours."""
    scale = max(abs(setting["net_rupees"]) for setting in settings)
    values = {name: sorted({s[name] for s in settings}, key=_order) for name in (x, y, *others)}
    panels = []
    for combination in product(*(values[name] for name in others)):
        found = {
            (setting[y], setting[x]): HeatCell(setting["net_rupees"], f"{setting['trades']} trades")
            for setting in settings
            if all(setting[name] == value for name, value in zip(others, combination, strict=True))
        }
        if found:
            words = ", ".join(
                f"{name} {_text(value)}" for name, value in zip(others, combination, strict=True)
            )
            columns = [value for value in values[x] if any(column == value for _, column in found)]
            rows = [value for value in values[y] if any(row == value for row, _ in found)]
            grid = [[found.get((row, column)) for column in columns] for row in rows]
            names = [_text(value) for value in columns], [_text(value) for value in rows]
            panels.append(f"<div><h3>{escape(words)}</h3>{heat_map(grid, *names, (x, y), scale)}</div>")
    left = len(panels) - _PANELS_MAX
    more = f'<p class="dim">and {left} more combinations: see settings.csv</p>' if left > 0 else ""
    return (
        f"<h3>Net result, ₹, by {x} and {y}: a setting worth something has neighbours worth something</h3>"
        f'<div class="grid">{"".join(panels[:_PANELS_MAX])}</div>{more}'
    )


def _luck(sharpes: Sequence[float], luck: float) -> str:
    low, high = min(*sharpes, luck, 0.0), max(*sharpes, luck, 0.0)
    step = (high - low) * 1.02 / _BINS or 1.0
    edges = [low + number * step for number in range(_BINS + 1)]
    labels = tuple(f"{edge:.2f}" if number % 3 == 0 else "" for number, edge in enumerate(edges[:-1]))
    picture = histogram(sharpes, edges, labels, luck, "luck")
    return (
        "<h3>Sharpe ratios of all settings; the line: what the best of as many worthless ones is expected to "
        f"show</h3>{picture}"
    )


# ---- tables -----------------------------------------------------------------------------------------------


def _settings(settings: Sequence[Mapping[str, Any]]) -> str:
    names = varied(settings) or ["threshold"]
    head = "".join(f"<th>{escape(name)}</th>" for name in (*names, *_COLUMNS))
    rows = "".join(_row(setting, names) for setting in settings[:_ROWS_MAX])
    left = len(settings) - _ROWS_MAX
    more = f'<p class="dim">and {left} more in settings.csv</p>' if left > 0 else ""
    return f"<h3>Settings, by Sharpe ratio</h3><table><tr>{head}</tr>{rows}</table>{more}"


def _row(setting: Mapping[str, Any], names: Sequence[str]) -> str:
    low, high = setting["net_per_trade_low"], setting["net_per_trade_high"]
    between = "" if low is None else f" ({low:,.2f} … {high:,.2f})"
    won = "–" if setting["hit_rate_net"] is None else f"{100 * setting['hit_rate_net']:.0f} %"
    tone = "neg" if setting["net_rupees"] < 0 else "pos"
    cells = (
        *(_text(setting[name]) for name in names),
        f"{setting['trades']}",
        f"{setting['gross_rupees']:,.2f}",
        f"{setting['charges_rupees']:,.2f}",
        f"{setting['net_rupees']:,.2f}",
        _number(setting["net_per_trade"], 2) + between,
        won,
        f"{setting['stops']}",
        f"{setting['unclosed']}",
        f"{setting['in_sample_files']} of {setting['files']} files",
        _number(setting["sharpe"], 4),
    )
    marked = len(names) + 3
    return (
        "<tr>"
        + "".join(
            f'<td class="{tone}">{escape(cell)}</td>' if number == marked else f"<td>{escape(cell)}</td>"
            for number, cell in enumerate(cells)
        )
        + "</tr>"
    )


def _files(result: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(file['file'])}</td><td>{escape(', '.join(file['days']))}</td>"
        f"<td>{file['ticks']:,}</td><td>{escape(file['spread'])}</td><td>{escape(file['data'][:23])}…</td>"
        f'<td class="left">{escape("; ".join(file["notes"]))}</td></tr>'
        for file in result["files"]
    )
    common = "".join(
        f'<tr><td>{escape(name)}</td><td class="left">{escape(value)}</td></tr>'
        for name, value in result["common"].items()
    )
    return (
        f"<h3>The same for all</h3><table>{common}</table><h3>Files</h3><table><tr><th>file</th><th>days</th>"
        f'<th>ticks</th><th>spread</th><th>content</th><th class="left">what is wrong with it, and what '
        f"was done</th></tr>{rows}</table>"
    )


def _order(value: Any) -> tuple[bool, Any]:
    return value is not None, value if value is not None else 0


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"


def _rupees(value: float | None) -> str:
    return "–" if value is None else f"{'-' if value < 0 else ''}₹{abs(value):,.2f}"
