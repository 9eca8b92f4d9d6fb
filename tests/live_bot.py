"""`bot run` as a process of its own on a clock that is set: what the monitoring tests watch and kill."""

import sys
import time
from pathlib import Path

from bot.assemble.live import run_live
from bot.run.live import WallClock
from bot.settings import load

if __name__ == "__main__":
    config, starts_at, since = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    starts_at += time.time_ns() - since  # this process took a while to get here
    raise SystemExit(run_live(load(config), verbose=True, clock=WallClock(starts_at=starts_at)))
