"""Dashboards: the committed JSON is the code's; ids, units, places and metrics are right, and the types."""

import json
import os
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from bot.telemetry.catalogue import Kind, all_metrics
from grafana.boards import NOT_SHOWN, NOTES, all_boards
from grafana.build import FOLDER, rendered
from tests.dashboards import executable, expressions, plain

ROOT = Path(__file__).parents[1]
BOARDS = [plain(board) for board in all_boards()]
TYPES = Path(os.environ.get("GRAFANA_TYPES", ROOT / "build" / "grafana-types"))
EVERY_EXPRESSION = [expr for board in all_boards() for expr in expressions(board)]


def ids(board: dict[str, Any]) -> str:
    return str(board["uid"])


def test_the_committed_json_is_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == rendered(), "run `make docs`"


def test_there_are_the_five() -> None:
    titles = [board["title"] for board in BOARDS]
    assert titles == ["Trading now", "Feed and latency", "Model", "Operations", "Day review"]
    assert len({board["uid"] for board in BOARDS}) == 5


@pytest.mark.parametrize("board", BOARDS, ids=ids)
def test_ids_and_refs_are_unique_and_every_panel_has_unit_title_and_source(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["id"] > 0
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert all(refs)
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
    (variable,) = board["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )


@pytest.mark.parametrize("board", BOARDS, ids=ids)
def test_no_panel_overlaps_another_or_leaves_the_grid(board: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


@pytest.mark.parametrize("expr", sorted({*EVERY_EXPRESSION, *(expr for _, _, expr in NOTES)}))
def test_every_expression_is_promql(expr: str) -> None:
    assert promql_parser.parse(executable(expr)) is not None


def test_every_metric_of_a_dashboard_exists_and_every_metric_is_on_one_or_listed_as_not() -> None:
    text = " ".join([*EVERY_EXPRESSION, *(expr for _, _, expr in NOTES)])
    used = set(re.findall(r"\bbot_\w+", text))
    known = {metric.name for metric in all_metrics()}
    histograms = {metric.name for metric in all_metrics() if metric.kind is Kind.HISTOGRAM}
    base = {re.sub(r"_(bucket|count|sum)$", "", name) for name in used if name not in known}
    assert base <= histograms
    shown = (used & known) | base
    assert shown.isdisjoint(NOT_SHOWN)
    assert shown | NOT_SHOWN.keys() == known
    assert all(NOT_SHOWN.values())


def test_annotations_mark_entries_exits_stops_and_reconnects() -> None:
    trading = next(board for board in BOARDS if board["uid"] == "bot-trading")
    told = {note["name"]: note for note in trading["annotations"]["list"]}
    assert set(told) == {"Entries", "Exits", "Stops", "Reconnects"}
    assert all(note["enable"] and note["iconColor"] and note["expr"] for note in told.values())
    assert all(note["datasource"]["uid"] == "${datasource}" for note in told.values())


def test_provisioning_shows_them_without_a_click() -> None:
    folder = ROOT / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards" / "bot.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"]
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert source["jsonData"]["timeInterval"] == "5s", "the scrape interval: $__rate_interval stands on it"


# JSON holds an enum's value, which TypeScript takes for no enum: compare with the values' texts.
PLAIN = """import type { Dashboard } from '@grafana/schema';
type Plain<T> = T extends string ? `${T}` : T extends (infer U)[] ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""


def without_extras(board: dict[str, Any]) -> dict[str, Any]:
    """Without what belongs to the datasource, or to another kind of variable: not in Grafana's types."""
    copy: dict[str, Any] = json.loads(json.dumps(board))
    for note in copy["annotations"]["list"]:
        del note["expr"]
    for variable in copy["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    return copy


@pytest.mark.component
def test_grafanas_own_types_accept_them(tmp_path: Path) -> None:
    """@grafana/schema and tsc: unknown fields and wrong types fail. No Grafana server was run."""
    compiler = TYPES / "node_modules" / ".bin" / "tsc"
    if not compiler.exists() or shutil.which("node") is None:
        pytest.skip(
            "Grafana's types are missing: .ci/install-watch installs them (npm) in build/grafana-types"
        )
    source = PLAIN + "".join(
        f"export const board{number}: Plain<Partial<Dashboard>> = {json.dumps(without_extras(board))};\n"
        for number, board in enumerate(BOARDS)
    )
    file = TYPES / f"boards-{tmp_path.name}.ts"
    file.write_text(source)
    options = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "node", "--module", "esnext"]
    try:
        done = subprocess.run(
            [str(compiler), *options, file.name], cwd=TYPES, capture_output=True, text=True, check=False
        )
    finally:
        file.unlink()
    assert done.returncode == 0, done.stdout
