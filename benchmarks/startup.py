"""From nothing to ready: what a live start imports and loads, in a process of its own.

Prints peak memory and seconds to a verified model, and fails when TensorFlow, pandas or scikit-learn came
along, or a limit is broken. Run: `make bench`.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 5
MEMORY_MAX_MB = 96.0
READY_MAX_SECONDS = 1.0
CHILD = """
import time; began = time.perf_counter()
import json, resource, sys
from pathlib import Path
import bot.__main__, bot.assemble.live, bot.settings
from bot.core.forecast import RelDiff
from bot.storage.model import load_model
import numpy as np
model = load_model(Path("models/trade_classifier.tflite"), rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)
model.classifier(np.zeros((1, 10, 3), dtype=np.float32))
import starlette.applications, uvicorn
seconds = time.perf_counter() - began
heavy = sorted({"tensorflow", "pandas", "sklearn", "matplotlib"} & set(sys.modules))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peak_mb": peak, "heavy": heavy}))
"""


def main() -> int:
    runs = []
    for _ in range(RUNS + 1):  # the first warms the file cache
        done = subprocess.run(
            [sys.executable, "-c", CHILD], cwd=ROOT, capture_output=True, text=True, check=True
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    runs = runs[1:]
    seconds = sorted(run["seconds"] for run in runs)
    result = {
        "runs": RUNS,
        "ready_seconds_median": round(seconds[RUNS // 2], 3),
        "peak_mb_max": round(max(run["peak_mb"] for run in runs), 1),
        "heavy_imports": sorted({name for run in runs for name in run["heavy"]}),
        "limits": {"ready_seconds": READY_MAX_SECONDS, "peak_mb": MEMORY_MAX_MB},
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    within = result["ready_seconds_median"] <= READY_MAX_SECONDS and result["peak_mb_max"] <= MEMORY_MAX_MB
    return 0 if within and not result["heavy_imports"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
