"""Our backtest beside NautilusTrader's: the same rule (no model), the same ticks, each in its own process.

In turn, several times; compared by the CPU time of the run alone (data are loaded before the clock starts)
and by peak memory. Orders differ where the engines do: NautilusTrader's matching, stops and latency are its
own, so the round trips are near each other and not equal. Run: `make nautilus-env`, then `python -m
benchmarks.against_nautilus [FILE]` (a recorded file instead of the synthetic day); `make bench` does both.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.backtest_rate import CONTRACT, synthetic
from bot.core.events import Tick
from bot.core.session import Session
from bot.research.recording import load

ROOT = Path(__file__).parents[1]
THEIRS = ROOT / ".venv-nautilus" / "bin" / "python"
RUNS = 5
FASTER_MIN, MEMORY_MAX = 1.5, 0.5


def ticks_of(path: Path | None) -> tuple[list[Tick], int]:
    """The ticks, and the units of a lot."""
    if path is None:
        return synthetic(Session.on(date(2026, 9, 16))), CONTRACT.lot
    (day,) = load(path)
    ticks = [event for event in day.ticks if isinstance(event, Tick) and event.bid and event.ask]
    return ticks, day.contracts[0].lot


def told(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def summed(runs: list[dict[str, float]]) -> dict[str, float]:
    cpu = min(run["cpu_seconds"] for run in runs)
    return {
        "ticks_per_cpu_second_best": round(runs[0]["ticks"] / cpu),
        "round_trips": runs[0]["round_trips"],
        "peak_memory_mb": round(max(run["peak_memory_mb"] for run in runs), 1),
    }


def main() -> int:
    if not THEIRS.exists():
        sys.stderr.write(
            "NautilusTrader is not installed here: `make nautilus-env` brings it. Not compared.\n"
        )
        return 0
    ticks, lot = ticks_of(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with TemporaryDirectory(prefix="bench-") as folder:
        file = str(Path(folder) / "ticks.npy")
        columns = [(t.at, t.ltp, t.ltq, t.bid, t.ask, t.bid_quantity, t.ask_quantity) for t in ticks]
        np.save(file, np.array(columns, dtype=np.int64))
        for number in range(RUNS):
            sys.stderr.write(f"run {number + 1} of {RUNS}\n")
            ours.append(told([sys.executable, "benchmarks/rule_day.py", file, str(lot)]))
            theirs.append(told([str(THEIRS), "benchmarks/nautilus_day.py", file, str(lot)]))
    faster = statistics.median(b["cpu_seconds"] / a["cpu_seconds"] for a, b in zip(ours, theirs, strict=True))
    result: dict[str, Any] = {
        "ticks": len(ticks),
        "ours": summed(ours),
        "nautilus_trader": summed(theirs),
        "faster_median_of_pairs": round(faster, 2),
        "faster_limit": FASTER_MIN,
        "machine": f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
    }
    share = result["ours"]["peak_memory_mb"] / result["nautilus_trader"]["peak_memory_mb"]
    result |= {"memory_share": round(share, 2), "memory_share_limit": MEMORY_MAX}
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if faster >= FASTER_MIN and share <= MEMORY_MAX else 1


if __name__ == "__main__":
    raise SystemExit(main())
