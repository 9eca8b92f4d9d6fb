"""Does the synthetic market look like real ones? Its statistics beside their targets (market.md §7).

It makes ticks and measures them; it knows no engine, no order and no file.
"""

import json
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path
from typing import Final, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bot.core.units import ist_nanos
from bot.sim.market import SyntheticMarket, statistics

KEY: Final = "NSE_FO|51414"
DAY: Final = date(2026, 9, 16)


class Target(NamedTuple):
    """What one SENSEX option showed, and the range over four real files (or room for chance)."""

    real: str
    low: float
    high: float


TARGETS: Final = {
    "messages": Target("", 25_000, 32_000),
    "spacing_mean": Target("0.80 s", 0.72, 0.96),
    "spacing_p50": Target("1 s", 0.9, 1.1),
    "spacing_p90": Target("1 s", 0.9, 1.2),
    "spacing_p99": Target("2 s", 1.8, 2.2),
    "same_second": Target("31 %", 0.25, 0.35),
    "ltp_unchanged": Target("24 %", 0.20, 0.53),
    "rms_bps": Target("41", 17, 41),
    "move_p99_bps": Target("141", 90, 150),
    "move_p999_bps": Target("249", 150, 260),
    "move_max_bps": Target("517", 240, 517),
    "excess_kurtosis": Target("7.0", 4, 10),
    "ltp_autocorrelation_1": Target("-0.056", -0.12, -0.02),
    "ltp_autocorrelation_2": Target("-0.014", -0.05, 0.02),
    "mid_autocorrelation_1": Target("0.001", -0.02, 0.02),
    "spread_bps_median": Target("25", 23, 27),
    "at_ask": Target("31.5 %", 0.29, 0.34),
    "at_bid": Target("26.9 %", 0.245, 0.295),
    "elsewhere": Target("41.6 %", 0.39, 0.44),
    "minute_volatility_bps": Target("309", 123, 309),
    "u_shape": Target("1.5 to 2.5", 1.3, 2.9),  # measured on sixty minutes of edge: noisy
}


def market(seed: int) -> SyntheticMarket:
    """A whole day of one option, without incidents."""
    opens, closes = (ist_nanos(DAY, time(*at)) for at in ((9, 15), (15, 40)))
    return SyntheticMarket(KEY, tick=5, lot=35, seed=seed, opens_at=opens, closes_at=closes)


def outside(found: dict[str, float]) -> list[str]:
    """The names of statistics that left their range."""
    return [name for name, target in TARGETS.items() if not target.low <= found[name] <= target.high]


def check(seeds: Sequence[int], console: Console, json_out: Path | None) -> int:
    """Print each statistic of each day beside its target; 1 when one is outside."""
    progress = track(seeds, "making days", console=Console(stderr=True), transient=True)
    days = {seed: statistics(market(seed)) for seed in progress}
    table = Table(title="synthetic ticks, edge = 0", box=SIMPLE_HEAD, pad_edge=False, padding=0)
    for heading in ("statistic", "real", "range", *(f"seed {seed}" for seed in seeds)):
        table.add_column(heading, justify="left" if heading == "statistic" else "right", no_wrap=True)
    for name, target in TARGETS.items():
        cells = []
        for found in days.values():
            inside = target.low <= found[name] <= target.high
            text = f"{found[name]:.0f}" if found[name] >= 1000 else f"{found[name]:.3g}"
            cells.append(text if inside else f"[red]{text} ✗[/red]")
        table.add_row(name, target.real, f"{target.low:g} … {target.high:g}", *cells)
    console.print(table)
    failed = {seed: outside(found) for seed, found in days.items()}
    if json_out is not None:
        ranges = {name: target[1:] for name, target in TARGETS.items()}
        body = {"ranges": ranges, "days": days, "outside": failed}
        json_out.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return 1 if any(failed.values()) else 0
