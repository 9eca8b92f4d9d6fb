"""What meets every tick and every order, as machine code: the very same sources through mypyc, unchanged.

Into a copy of the package, so that no stale binary ever hides a source of the checkout. The plain sources
stay the reference: `make test-compiled` holds the copy to all of their tests. The image runs the copy; a
checkout runs the sources. Needs a C compiler, Python's headers, and a minute or two.

    python infra/compile.py bot build/compiled              (make compile)
"""

import os
import shutil
import sys
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

# One group: only within a group do calls and attributes become direct. Not here: records (events, commands),
# because mypyc loses the annotations by which the journal reads them back; what inherits from a library's
# classes, or is inherited from by what stays Python.
COMPILED = (
    # from tick to decision, and from the broker's word to the next order
    "bot/core/abstention.py",
    "bot/core/account.py",
    "bot/core/books.py",
    "bot/core/broker_words.py",
    "bot/core/charges.py",
    "bot/core/desk.py",
    "bot/core/engine.py",
    "bot/core/execution.py",
    "bot/core/exposure.py",
    "bot/core/forecast.py",
    "bot/core/guards.py",
    "bot/core/kalman.py",
    "bot/core/leaving.py",
    "bot/core/model_range.py",
    "bot/core/notices.py",
    "bot/core/operator.py",
    "bot/core/orders.py",
    "bot/core/reconcile.py",
    "bot/core/risk.py",
    "bot/core/session.py",
    "bot/core/stops.py",
    "bot/core/strategy.py",
    "bot/core/units.py",
    "bot/run/step.py",
    "bot/upstox/wire_market.py",
    "bot/upstox/wire_orders.py",
    # what is told of each turn
    "bot/assemble/view.py",
    "bot/storage/records.py",
    "bot/telemetry/buckets.py",
    "bot/telemetry/log_observer.py",
    "bot/telemetry/metrics.py",
    "bot/telemetry/recent.py",
    "bot/telemetry/redact.py",
    # what backtests, the twin and simulated days are spent in
    "bot/research/direct_day.py",
    "bot/research/direct_words.py",
    "bot/sim/back_office.py",
    "bot/sim/book.py",
    "bot/sim/exchange.py",
    "bot/sim/market.py",
    "bot/sim/venue.py",
    "bot/simulate/checks.py",
    "bot/simulate/network.py",
    "bot/twin/board.py",
    "bot/twin/floor.py",
    "bot/twin/painter.py",
    "bot/twin/sockets.py",
)


def main(sources: Path, target: Path) -> None:
    """Copy the package `sources` into `target` and compile there, in place."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(sources, target / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    os.chdir(target)
    setup(
        name="kalman-options-bot-compiled",
        packages=[],
        ext_modules=mypycify(
            ["--ignore-missing-imports", *COMPILED],
            opt_level="3",
            debug_level="0",
        ),
        script_args=["--quiet", "build_ext", "--inplace"],
    )
    shutil.rmtree("build")  # objects and C, of no use any more


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
