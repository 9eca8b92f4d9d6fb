"""`bot run` as a process of its own on a clock that is set: what the monitoring tests watch, kill and restart."""

import sys
from pathlib import Path

from bot.assemble.live import run_live
from bot.run.live import WallClock
from bot.settings import load

if __name__ == "__main__":
    config, starts_at = Path(sys.argv[1]), int(sys.argv[2])
    raise SystemExit(run_live(load(config), verbose=True, clock=WallClock(starts_at=starts_at)))
