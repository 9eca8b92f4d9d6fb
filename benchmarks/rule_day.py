"""Our side of against_nautilus.py: the backtest's engine and exchange over a file of ticks, rule only.

Run by against_nautilus.py in a process of its own, so that its memory is its own.
"""

import json
import resource
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

from bot.core.events import Side, Tick
from bot.core.rules import Contract, RiskRules, Rules, StrategyRules
from bot.core.session import Session
from bot.core.units import ist
from bot.research.direct_day import DirectDay


def main() -> int:
    rows, lot = np.load(Path(sys.argv[1])).tolist(), int(sys.argv[2])
    contract = Contract("NSE_FO|45450", lot, lot, 5, 20 * lot, "NSE")
    ticks = [
        Tick(at, at, contract.key, ltp, ltq, at, bid, ask, bid_quantity, ask_quantity, 0)
        for at, ltp, ltq, bid, ask, bid_quantity, ask_quantity in rows
    ]
    day: date = ist(ticks[0].at).date()
    rules = Rules(StrategyRules(use_model=False), risk=RiskRules(guards=False))
    run = DirectDay([contract], rules, Session.on(day), lambda _: 0.0)
    began, began_cpu = time.perf_counter(), time.process_time()
    run.run(ticks)
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    result = {
        "ticks": len(ticks),
        "round_trips": sum(fill.side is Side.SELL and not fill.position_after for fill in run.fills),
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
