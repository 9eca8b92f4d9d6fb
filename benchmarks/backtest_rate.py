"""Ticks a second and peak memory of the backtest: the shipped model and the full engine, one core.

Ticks are made and held before the clock starts; reading a file is not counted. Run:
`python -m benchmarks.backtest_rate [FILE]` (a recorded file instead of the synthetic day).
"""

import json
import platform
import resource
import sys
import time
from datetime import date
from pathlib import Path

from bot.core.events import Tick
from bot.core.forecast import RelDiff
from bot.core.rules import Contract, RiskRules, Rules
from bot.core.session import Session
from bot.research.direct_day import DirectDay
from bot.research.lazy import lazy
from bot.research.recording import load
from bot.sim.market import SyntheticMarket
from bot.storage.model import load_model

MODEL = Path(__file__).parents[1] / "models" / "trade_classifier.tflite"
CONTRACT = Contract("NSE_FO|45450", 65, 65, 5, 1755, "NSE")
RUNS = 5
LIMIT = 100_000  # ticks a CPU second, as the image runs it


def synthetic(session: Session) -> list[Tick]:
    market = SyntheticMarket(
        CONTRACT.key, tick=5, lot=65, seed=7, opens_at=session.open_at, closes_at=session.close_at
    )
    return [
        Tick(m.at, m.at, CONTRACT.key, m.ltp, m.ltq, m.ltt, m.bid, m.ask, m.bid_quantity, m.ask_quantity, 0)
        for m in market
        if m.bid
    ]


def main() -> int:
    contracts: tuple[Contract, ...] = (CONTRACT,)
    session = Session.on(date(2026, 9, 16))
    if len(sys.argv) > 1:
        (day,) = load(Path(sys.argv[1]))
        session, contracts, ticks = Session.on(day.day), day.contracts, list(day.ticks)
    else:
        ticks = synthetic(session)
    model = load_model(MODEL, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE).classifier
    wall, cpu, fills = [], [], 0
    for _ in range(RUNS):
        run = DirectDay(contracts, Rules(risk=RiskRules(guards=False)), session, lazy(model))
        began, began_cpu = time.perf_counter(), time.process_time()
        run.run(ticks)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
        fills = len(run.fills)
    result = {
        "ticks": len(ticks),
        "fills": fills,
        "ticks_per_second_best_of_5": round(len(ticks) / min(wall)),
        "ticks_per_cpu_second_best_of_5": round(len(ticks) / min(cpu)),
        "limit": LIMIT,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if len(ticks) / min(cpu) >= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
