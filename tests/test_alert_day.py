"""Whole days of the demo through the real rules: what Prometheus would see every 5 s, judged by promtool.

On the calm day only the Watchdog fires; on the eventful one exactly what its script must cause.
"""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bot.assemble import demo
from bot.assemble.day import trade
from bot.assemble.plan import Desk, Plan
from bot.core.events import Heartbeat
from bot.core.units import SECOND
from bot.run.ports import Turn
from bot.telemetry.metrics import Metrics
from tests.test_alert_rules import RULES

PROMTOOL = shutil.which("promtool")
SCRAPE = 5
AFTERWARDS = 720  # scrapes of a bot that has gone home: an hour, and the archive was not forgotten
PIECE, OVERLAP = 960, 200  # scrapes; the longest `for` is 15 minutes
# Without the stopwatch: it times the machine of the test, not the day.
WANTED = set(re.findall(r"\bbot_\w+", RULES.read_text())) - {"bot_model_inference_seconds_bucket"}
pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: apt-get install prometheus"),
]


class Scraper:
    """An observer that keeps, every 5 s of the day, what the rules would read."""

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {}
        self.scrapes = 0
        self._metrics: Metrics | None = None

    def ready(self, desk: Desk) -> None:
        self._metrics = desk.metrics

    def hear(self, turn: Turn) -> None:
        if isinstance(turn.event, Heartbeat) and not turn.event.at // SECOND % SCRAPE:
            self.scrape()

    def scrape(self) -> None:
        """What stands there now. Nothing before the bot is up."""
        if self._metrics is None:
            return
        for family in self._metrics.collect():
            for sample in family.samples:
                if sample.name in WANTED:
                    labels = ",".join(f'{k}="{v}"' for k, v in sample.labels.items())
                    key = f'{sample.name}{{{labels}{"," if labels else ""}instance="bot:9100",job="bot"}}'
                    self.columns.setdefault(key, [math.nan] * self.scrapes).append(sample.value)
        self.scrapes += 1


def fired(tmp_path: Path, scraper: Scraper) -> list[str]:
    """Names of the alerts that fired at any time of the day or the hour after it.

    The day goes through promtool in pieces that overlap: rules look hours back, and its cost is quadratic.
    """
    columns = {key: [*values, *[None] * AFTERWARDS] for key, values in scraper.columns.items()}
    columns['up{instance="bot:9100",job="bot"}'] = [1.0] * scraper.scrapes + [0.0] * AFTERWARDS
    length = scraper.scrapes + AFTERWARDS
    pieces = [
        range(first, min(first + PIECE, length)) for first in range(0, length - OVERLAP, PIECE - OVERLAP)
    ]
    tests = [
        {
            "interval": f"{SCRAPE}s",
            "input_series": [
                {"series": key, "values": packed(values[piece.start : piece.stop])}
                for key, values in columns.items()
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[9h]))',
                    "eval_time": f"{(len(piece) - 1) * SCRAPE}s",
                    "exp_samples": [],  # promtool says what it got instead
                }
            ],
        }
        for piece in pieces
    ]
    file = tmp_path / "day.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "5s", "tests": tests}))
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert said.count("got:") == len(pieces), said
    return sorted(set(re.findall(r'alertname="(\w+)"', said)))


def packed(values: Sequence[float | None]) -> str:
    """promtool's notation, equal values in a row together. None: the target is gone."""
    words = []
    for value, run in groupby(values, key=lambda value: "gone" if _nothing(value) else repr(value)):
        count = sum(1 for _ in run)
        if value == "gone":  # promtool has no word for NaN; no comparison holds for it either way
            words += ["stale", *([f"_x{count - 1}"] if count > 1 else [])]
        else:
            words.append(f"{value}x{count - 1}" if count > 1 else value)
    return " ".join(words)


def _nothing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, calm: bool) -> Scraper:
    scraper = Scraper()

    async def watched(plan: Plan, stop: Any) -> Any:
        plan = replace(plan, observers=(*plan.observers, scraper), on_ready=scraper.ready)
        return await trade(plan, stop)

    monkeypatch.setattr(demo, "trade", watched)
    options = demo.DemoOptions((), 7, calm, None, tmp_path / "demo", picture=False)
    assert demo.run_demo(options, Console(quiet=True)) == 0
    for _ in range(2):  # the bot stays up for two scrapes after it closed the books; no heartbeat comes then
        scraper.scrape()
    return scraper


def test_on_a_calm_day_only_the_watchdog_fires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fired(tmp_path, a_day(tmp_path, monkeypatch, calm=True)) == ["Watchdog"]


def test_on_the_eventful_day_exactly_its_script_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slides end in stop-losses; the lost connection is back within a second and pages nobody."""
    assert fired(tmp_path, a_day(tmp_path, monkeypatch, calm=False)) == ["StopLossTriggered", "Watchdog"]
