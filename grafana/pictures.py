"""Pictures of dashboards from a real Prometheus, for README and docs: the panels' own expressions, drawn.

Not Grafana's drawing: no Grafana server was run. `python -m grafana.pictures URL --minutes 5 --out docs`
"""

import argparse
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.boards import feed, model, trading

_STEP_SECONDS: Final = 5
_COLUMNS: Final = 2
_VARIABLES: Final = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "5m"}


def draw(url: str, board: Dashboard, minutes: float, out: Path) -> Path:
    """The time series panels of one dashboard over the last minutes, as a PNG. Returns its path."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = list(json.loads(JSONEncoder().encode(board))["panels"])
    panels = [panel for panel in panels if panel["type"] == "timeseries"][:6]
    rows = -(-len(panels) // _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(12, 2.7 * rows), squeeze=False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        for target in panel["targets"]:
            for series in _range(url, target["expr"], minutes):
                at = [datetime.fromtimestamp(t, ZoneInfo("Asia/Kolkata")) for t, _ in series["values"]]
                values = [float(value) for _, value in series["values"]]
                axis.plot(at, values, linewidth=1, label=_name(target.get("legendFormat", ""), series))
        axis.set_title(panel["title"], loc="left", fontsize=10)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25)
        if axis.has_data():
            axis.legend(fontsize=7, frameon=False, loc="upper left")
    for axis in list(axes.flat)[len(panels) :]:
        axis.axis("off")
    figure.suptitle(f"{board.title} (panels' own expressions on a real Prometheus)", x=0.01, ha="left")
    figure.autofmt_xdate()
    figure.tight_layout()
    path = out / f"{board.uid}.png"
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return path


def _range(url: str, expr: str, minutes: float) -> Iterable[dict[str, Any]]:
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    end = time.time()
    query = {"query": expr, "start": end - minutes * 60, "end": end, "step": _STEP_SECONDS}
    address = f"{url}/api/v1/query_range?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - the caller's own Prometheus
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def _name(legend: str, series: dict[str, Any]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: series["metric"].get(found.group(1), ""), legend)


def main() -> None:
    """Draw what a reader wants to see first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of a Prometheus that has scraped a bot")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    chosen = parser.parse_args()
    for board in (trading(), feed(), model()):
        print(draw(chosen.url, board, chosen.minutes, chosen.out))


if __name__ == "__main__":
    main()
