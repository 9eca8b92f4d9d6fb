"""How many ticks a second can one core receive and decide on? Over a real socket, as fast as it reads.

A process of its own plays the broker; this one receives as the bot does (feed, decoder, filter, shipped
model at every tick, strategy, metrics): instruments.py with a broker that never waits. Run: `make bench`.
"""

import json
import os
import platform
import sys

from benchmarks.instruments import measure

COUNT = 10


def main() -> int:
    sys.stderr.write(f"{COUNT} instruments, as fast as they are read\n")
    found = measure(COUNT, 0)
    result = {
        "instruments": COUNT,
        **found,
        "machine": f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
