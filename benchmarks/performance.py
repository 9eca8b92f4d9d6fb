"""Runs the benchmarks one after another and writes docs/performance.md: the figures, and of what machine.

Each is a process of its own that prints JSON, and exits with 1 where a limit is broken. Ratios are measured
side by side in one run; absolute figures are this machine's. Run: `make bench`, on a machine that does
nothing else.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console

from bot.core.units import IST

ROOT = Path(__file__).parents[1]
COMPILED = ROOT / "build" / "compiled"
PAGE = ROOT / "docs" / "performance.md"
Json = dict[str, Any]
Row = tuple[str, str, str]  # what, how much, the limit ("" for none)


class Bench(NamedTuple):
    """`rows` turns the JSON into lines of the table. `compiled`: on the machine code that the image runs."""

    title: str
    module: str
    rows: Callable[[Json], list[Row]]
    compiled: bool = False


def _decision(found: Json) -> list[Row]:
    return [
        ("wire bytes → decision, p50 / p99", _us(found["whole"]), ""),
        ("of it bare protobuf parse", _us(found["parse"]), ""),
        ("of it bare model invoke", _us(found["invoke"]), ""),
        (
            "all that is ours, in bare parses (p50)",
            f"{found['overhead_in_parses_p50']:.2f} ×",
            f"≤ {found['limit']} ×",
        ),
    ]


def _plainly(found: Json) -> list[Row]:
    return [
        ("wire bytes → decision, p50 / p99", _us(found["whole"]), ""),
        ("all that is ours, in bare parses (p50)", f"{found['overhead_in_parses_p50']:.2f} ×", ""),
    ]


def _startup(found: Json) -> list[Row]:
    limits = found["limits"]
    return [
        (
            "nothing → a verified model (median)",
            f"{found['ready_seconds_median']:.2f} s",
            f"≤ {limits['ready_seconds']} s",
        ),
        ("peak memory", f"{found['peak_mb_max']:.0f} MB", f"≤ {limits['peak_mb']:.0f} MB"),
    ]


def _observers(found: Json) -> list[Row]:
    return [
        ("metrics, logs and the page, per tick", f"{found['all_us_a_tick']} µs", f"≤ {found['limit_us']} µs")
    ]


def _instruments(found: Json) -> list[Row]:
    return [
        (
            f"{one['instruments']} instruments × {one['ticks_per_second_each']} ticks/s",
            f"{one['core_share']:.1%} of a core",
            f"≤ {one['core_share_limit']:.0%}" if "core_share_limit" in one else "",
        )
        for one in found["cases"]
    ]


def _receive(found: Json) -> list[Row]:
    return [("ticks received and decided on, one core", f"{found['ticks_per_second']:,.0f} a second", "")]


def _orders(found: Json) -> list[Row]:
    tick, disk = found["tick_to_order"], found["journal_commit"]
    return [
        (
            f"tick bytes in → order bytes out, p50 / p99 / p99.9 of {tick['count']}",
            _ms(tick),
            f"p99 ≤ {found['limit_p99_ms']} ms",
        ),
        (f"the journal's commit in that run, of {disk['count']}", _ms(disk), ""),
    ]


def _backtest(found: Json) -> list[Row]:
    return [
        (
            f"a synthetic day, {found['fills']} fills",
            f"{found['ticks_per_cpu_second_best_of_5']:,} ticks a CPU second",
            f"≥ {found['limit']:,}",
        ),
        ("peak memory", f"{found['peak_memory_mb']} MB", ""),
    ]


def _nautilus(found: Json) -> list[Row]:
    ours, theirs = found["ours"], found["nautilus_trader"]
    return [
        (f"ours, {ours['round_trips']} round trips", _rate(ours), ""),
        (f"NautilusTrader, {theirs['round_trips']} round trips", _rate(theirs), ""),
        ("as fast (median of pairs)", f"{found['faster_median_of_pairs']} ×", f"≥ {found['faster_limit']} ×"),
        ("memory beside theirs", f"{found['memory_share']:.0%}", f"≤ {found['memory_share_limit']:.0%}"),
    ]


def _first_way(found: Json) -> list[Row]:
    first = found["first_way"]
    return [
        ("ours, bytes → decision, p50 / p99", _us(found["ours"]), ""),
        ("dictionary + numpy filter + Keras predict", _us(first["whole"]), ""),
        ("of it the dictionary", _us(first["dictionary"]), ""),
        ("of it the filter", _us(first["filter"]), ""),
        ("as fast (p50)", f"{found['times_as_fast_p50']:,} ×", ""),
    ]


def _monitoring(found: Json) -> list[Row]:
    lag, limit = found["loop_lag_max_seconds"] * 1000, found["limit_seconds"] * 1000
    return [("loop lag with nobody taking logs and metrics, max", f"{lag:.0f} ms", f"≤ {limit:.0f} ms")]


def _unlimited(rows: Callable[[Json], list[Row]]) -> Callable[[Json], list[Row]]:
    """The same from the sources: the limits are the image's."""
    return lambda found: [(what, how_much, "") for what, how_much, _ in rows(found)]


def _us(one: Json) -> str:
    return f"{one['p50_us']:,.0f} / {one['p99_us']:,.0f} µs"


def _ms(one: Json) -> str:
    return f"{one['p50_ms']:.1f} / {one['p99_ms']:.1f} / {one['p999_ms']:.1f} ms"


def _rate(one: Json) -> str:
    return f"{one['ticks_per_cpu_second_best']:,} ticks a CPU second, {one['peak_memory_mb']:.0f} MB"


BENCHES: Final = (
    Bench("Decision path, as the image runs it (compiled)", "decision_path", _decision, compiled=True),
    Bench("Decision path, from the sources", "decision_path", _plainly),
    Bench("Start", "startup", _startup),
    Bench("Being watched", "observers", _observers),
    Bench("Watched by nobody", "monitoring_down", _monitoring),
    Bench("Growth with instruments and rates (a real WebSocket)", "instruments", _instruments),
    Bench("As fast as it can read (a real WebSocket, 10 instruments)", "receive_rate", _receive),
    Bench(
        "An order, as the image runs it (the twin over real sockets, the journal on disk)",
        "order_latency",
        _orders,
        compiled=True,
    ),
    Bench(
        "Backtest, shipped model and full engine, as the image runs it",
        "backtest_rate",
        _backtest,
        compiled=True,
    ),
    Bench(
        "Backtest, shipped model and full engine, from the sources", "backtest_rate", _unlimited(_backtest)
    ),
    Bench(
        "Backtest beside NautilusTrader, rule only, same ticks, as the image runs it",
        "against_nautilus",
        _nautilus,
        compiled=True,
    ),
    Bench(
        "Backtest beside NautilusTrader, rule only, same ticks, from the sources",
        "against_nautilus",
        _unlimited(_nautilus),
    ),
    Bench("Beside the first implementation's way", "first_way", _first_way),
)


def machine() -> str:
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    names = [row.split(":")[1].strip() for row in rows if row.startswith("model name")]
    model = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} × {model}, {memory:.0f} GB, {platform.system()}, Python {python}"


def measured(bench: Bench) -> tuple[Json | None, bool]:
    """Its JSON (None: not to be had here, and it said why), and whether its limits held."""
    path = os.pathsep.join([*([str(COMPILED)] if bench.compiled else []), str(ROOT)])
    # As a file: `-m` would put the folder of the sources before the compiled copy.
    done = subprocess.run(
        [sys.executable, f"benchmarks/{bench.module}.py"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if not done.stdout.strip():
        return None, done.returncode == 0
    found: Json = json.loads(done.stdout)
    return found, done.returncode == 0


def page(parts: list[str], load: float) -> str:
    when = datetime.now(IST)
    return "\n".join(
        [
            "# Performance",
            "",
            "Written by `make bench` (`benchmarks/performance.py`), each part by the command it names.",
            "Ratios are measured side by side in one run; absolute figures are those of this machine.",
            "",
            f"{machine()}. {when:%d %b %Y}; load before the run {load:.1f}.",
            "",
            *parts,
        ]
    )


def part(bench: Bench, found: Json | None) -> str:
    # As a file: `-m` would put the folder of the sources before the compiled copy.
    compiled = f"PYTHONPATH={COMPILED.relative_to(ROOT)}:. python benchmarks/{bench.module}.py"
    command = compiled if bench.compiled else f"python -m benchmarks.{bench.module}"
    lines = [f"## {bench.title}", "", f"`{command}`", ""]
    if found is None:
        return "\n".join([*lines, "Not measured: what it compares with is not installed here.", ""])
    lines += ["| | | limit |", "|---|---|---|"]
    lines += [f"| {what} | {how_much} | {limit} |" for what, how_much, limit in bench.rows(found)]
    return "\n".join([*lines, ""])


def main() -> int:
    console, load, parts, broken = Console(stderr=True), os.getloadavg()[0], list[str](), list[str]()
    chosen = [bench for bench in BENCHES if not sys.argv[1:] or bench.module in sys.argv[1:]]
    for number, bench in enumerate(chosen, start=1):
        console.print(f"[bold]{number} of {len(chosen)}[/bold]  {bench.title}")
        if bench.compiled and not COMPILED.exists():
            found, held = None, True
        else:
            found, held = measured(bench)
        parts.append(part(bench, found))
        limited = found is None or any(limit for _, _, limit in bench.rows(found))
        if limited and not held:
            broken.append(bench.title)
            console.print("[red]  a limit is broken[/red]")
    written = page(parts, load)
    if len(chosen) == len(BENCHES):
        PAGE.write_text(written, encoding="utf-8")
    else:  # a part of it is no page
        sys.stdout.write(written)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
