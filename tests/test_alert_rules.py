"""Alert rules, with promtool: each fires for its cause, and none at night, on a holiday, or for a restart."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.telemetry.catalogue import ALERT_NAMES, CHECKS, HALT_REASONS, all_metrics
from tests.alert_cases import CASES, CLOSE, OPEN, healthy, series

ROOT = Path(__file__).parents[1]
RULES = ROOT / "infra" / "prometheus" / "rules" / "alerts.yml"
PROMTOOL = shutil.which("promtool")
ALWAYS = {"Watchdog"}
wants_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing: apt-get install prometheus"
)


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def judge(folder: Path, *tests: dict[str, Any]) -> None:
    """Run promtool on these tests; they must pass."""
    file = folder / "cases.yml"
    file.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "5s", "tests": list(tests)})
    )
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def world(name: str, told: dict[str, str], *, at_seconds: int, firing: set[str]) -> dict[str, Any]:
    """Which alerts fire at that second: exactly these."""
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(firing)]
    return {
        "name": name,
        "interval": "5s",
        "input_series": [{"series": key, "values": values} for key, values in told.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0',
                "eval_time": f"{at_seconds}s",
                "exp_samples": expected,
            }
        ],
    }


@pytest.mark.component
@wants_promtool
def test_each_rule_fires_for_its_cause_alone(tmp_path: Path) -> None:
    judge(
        tmp_path,
        *(
            world(
                case.alert,
                healthy(case.state, case.clock) | case.cause,
                at_seconds=case.at_seconds + 5,
                firing=ALWAYS | {case.alert, *case.also},
            )
            for case in CASES
        ),
    )


@pytest.mark.component
@wants_promtool
def test_none_fires_at_night_whatever_the_bot_says(tmp_path: Path) -> None:
    """A bot after its day: closed, archived, and the very same causes. (A position held then is a page.)"""
    for_the_night = {"PositionAfterFlattenDeadline", "ArchiveMissing"}
    judge(
        tmp_path,
        *(
            world(
                f"{case.alert} at night",
                healthy("closed", CLOSE + 60) | case.cause | OWNS_NOTHING,
                at_seconds=case.at_seconds + 5,
                firing=ALWAYS,
            )
            for case in CASES
            if case.alert not in for_the_night
        ),
    )


OWNS_NOTHING = {series("bot_position_quantity", instrument="NSE_FO|45450"): "0x800"}


@pytest.mark.component
@wants_promtool
def test_a_holiday_is_quiet_though_nothing_answers(tmp_path: Path) -> None:
    """No bot at all: only `up` says so."""
    judge(tmp_path, world("holiday", {series("up"): "0x800"}, at_seconds=3600, firing=ALWAYS))


@pytest.mark.component
@wants_promtool
def test_a_calm_hour_and_a_restart_in_it_are_quiet(tmp_path: Path) -> None:
    """The bot is away for two scrapes; its counters begin again at 0, the day's stops and all."""
    calm = healthy("open", OPEN + 3600)
    away = {key: values_with_a_gap(values) for key, values in calm.items()}
    away[series("up")] = "1x100 0 0 1x690"
    away[series("bot_stop_losses_total", instrument="NSE_FO|45450")] = "3x100 _ _ 0x690"
    away[series("bot_feed_reconnects_total", reason="close")] = "4x100 _ _ 0x690"
    away[series("bot_alerts_total", severity="page", name="ExitRejected")] = "2x100 _ _ 0x690"
    judge(
        tmp_path,
        *(world("calm", calm, at_seconds=second, firing=ALWAYS) for second in (5, 1800, 3600)),
        *(world("restart", away, at_seconds=second, firing=ALWAYS) for second in (505, 510, 515, 520, 900)),
    )  # fmt: skip


def values_with_a_gap(values: str) -> str:
    """`1x800` → the same, with two scrapes missing in its middle."""
    start, _, count = values.partition("x")
    if "+" not in start:
        return f"{start}x100 _ _ {start}x{int(count) - 110}"
    first, step = start.split("+")
    return f"{start}x100 _ _ {int(first) + 103 * int(step)}+{step}x{int(count) - 110}"


@pytest.mark.component
@wants_promtool
def test_the_first_stop_of_the_day_pages_and_the_page_reads_well(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.alert == "StopLossTriggered")
    rule = ALERTS["StopLossTriggered"]
    labels = {"severity": "page", "area": "strategy", "kind": "event", "session": "2026-09-16", **case.labels}
    said = {
        "summary": "Stop-loss: NIFTY 25000 CE at ₹250.50, trade ₹-3300 net, day ₹-3310 net.",
        "todo": rule["annotations"]["todo"],
        "runbook": "docs/runbook.md#stoplosstriggered",
    }
    test = world(
        "first stop", healthy("open", case.clock) | case.cause, at_seconds=65, firing=ALWAYS | {case.alert}
    )
    test["alert_rule_test"] = [
        {
            "alertname": case.alert,
            "eval_time": "65s",
            "exp_alerts": [
                {"exp_labels": {"instance": "bot:9100", "job": "bot", **labels}, "exp_annotations": said}
            ],
        }
    ]
    judge(tmp_path, test)


@pytest.mark.component
@wants_promtool
def test_the_configuration_is_accepted() -> None:
    config = ROOT / "infra" / "prometheus" / "prometheus.yml"
    done = subprocess.run(
        [str(PROMTOOL), "check", "config", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- what needs no promtool -----------------------------------------------------------------------------


def test_every_rule_has_a_case() -> None:
    assert {case.alert for case in CASES} == ALERTS.keys() - ALWAYS


def test_every_rule_says_how_bad_it_is_and_what_to_do_and_links_to_the_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"page", "warn", "none"}, name
        said = rule["annotations"]
        assert said["summary"].strip(), name
        assert said["todo"].strip(), name
        assert said["runbook"] == f"docs/runbook.md#{name.lower()}"
        assert name in headings
        if name not in ALWAYS:
            assert re.search(r"bot:market_open|bot:session_expected|bot_session_state", rule["expr"]), name
            assert "hour(" not in rule["expr"]
            assert "session" in rule["labels"], name
    assert set(headings) == ALERTS.keys(), "no alert without a rule"


def test_every_metric_and_label_value_of_a_rule_exists_in_the_bot() -> None:
    known = {metric.name for metric in all_metrics()}
    known |= {f"{metric.name}_bucket" for metric in all_metrics() if metric.buckets}
    values = {"check": CHECKS, "reason": HALT_REASONS, "name": ALERT_NAMES}
    for rule in rules():
        text = rule["expr"] + json.dumps(rule.get("annotations", {})) + json.dumps(rule.get("labels", {}))
        for name in re.findall(r"\bbot_\w+", text):
            assert name in known, name
        for label, _, told in re.findall(r'\b(check|reason|name)(=~?|!=|!~)\\?"([^"\\]+)', rule["expr"]):
            assert set(told.split("|")) <= set(values[label]), (label, told)
        for recorded in re.findall(r"\bbot:\w+", text):
            assert recorded in {rule.get("record") for rule in rules()}, recorded


def test_the_metrics_page_is_that_of_the_catalogue() -> None:
    from bot.telemetry.metrics_doc import page

    assert (ROOT / "docs" / "metrics.md").read_text() == page(), "run `make docs`"
