"""The tick path as machine code: the very same sources through mypyc, none rewritten.

Into a copy of the package, so that no stale binary ever hides a source of the checkout. The plain sources
stay the reference: `make test-compiled` holds the copy to all of their tests. The image runs the copy; a
checkout runs the sources. Needs a C compiler and Python's headers.

    python infra/compile.py bot build/compiled              (make compile)
    python infra/compile.py bot build/soak simulated        (make soak: and what its days are spent in)
"""

import os
import shutil
import sys
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

# What a tick passes through, in one group: only within a group do calls and attributes become direct. Records
# (events, commands) stay Python: mypyc loses the annotations by which the journal reads them back.
TICK_PATH = (
    "bot/core/books.py",
    "bot/core/broker_words.py",
    "bot/core/desk.py",
    "bot/core/engine.py",
    "bot/core/forecast.py",
    "bot/core/kalman.py",
    "bot/core/operator.py",
    "bot/core/strategy.py",
    "bot/core/units.py",
    "bot/run/step.py",
    "bot/telemetry/buckets.py",
    "bot/upstox/wire_market.py",
)
# Beside it, for long ranges of simulated days: more of the engine, the exchange, the twin's boards, a judge.
SIMULATED = (
    "bot/core/account.py",
    "bot/core/execution.py",
    "bot/core/exposure.py",
    "bot/core/leaving.py",
    "bot/core/reconcile.py",
    "bot/core/risk.py",
    "bot/sim/back_office.py",
    "bot/sim/book.py",
    "bot/sim/exchange.py",
    "bot/sim/market.py",
    "bot/sim/venue.py",
    "bot/simulate/checks.py",
    "bot/simulate/network.py",
    "bot/telemetry/log_observer.py",
    "bot/telemetry/metrics.py",
    "bot/telemetry/recent.py",
    "bot/twin/board.py",
    "bot/twin/painter.py",
    "bot/upstox/wire_orders.py",
)


def main(sources: Path, target: Path, *, simulated: bool) -> None:
    """Copy the package `sources` into `target` and compile the tick path there, in place."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(sources, target / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    os.chdir(target)
    setup(
        name="kalman-options-bot-compiled",
        packages=[],
        ext_modules=mypycify(
            ["--ignore-missing-imports", *TICK_PATH, *(SIMULATED if simulated else ())],
            opt_level="3",
            debug_level="0",
        ),
        script_args=["--quiet", "build_ext", "--inplace"],
    )
    shutil.rmtree("build")  # objects and C, of no use any more


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), simulated="simulated" in sys.argv[3:])
