"""What a result must show so that nobody is fooled: each item stands in the report, with its figure."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from tests.test_backtest import synthetic_csv

CLI = CliRunner()


class Report:
    """The page as text, its table of facts, its tiles; and the figures of the same run."""

    def __init__(self, page: str, figures: dict[str, Any]) -> None:
        self.page, self.total, self.file = page, figures["total"], figures["files"][0]
        self.text = unescape(re.sub(r"<[^>]+>", " ", page.partition("<main>")[2].partition("<script")[0]))
        self.facts = {
            unescape(name): unescape(value)
            for name, value in re.findall(r'<tr><td>([^<]*)</td><td class="left">([^<]*)</td></tr>', page)
        }
        tile = r'<div class="tile"><span>([^<]*)</span><b[^>]*>([^<]*)</b><span>([^<]*)</span></div>'
        self.tiles = {name: (value, unescape(note)) for name, value, note in re.findall(tile, page)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("report")
    file = synthetic_csv(folder / "synthetic.csv")
    out = ("--json", str(folder / "o.json"), "--report", str(folder / "r.html"))
    done = CLI.invoke(
        app, ["backtest", str(file), "--threshold", "0.6", "--random-runs", "3", "--stop", "5", *out]
    )
    assert done.exit_code == 0, done.output
    return Report((folder / "r.html").read_text(), json.loads((folder / "o.json").read_text()))


def rupees(amount: float) -> str:
    return f"{'-' if amount < 0 else ''}₹{abs(amount):,.2f}"


def test_net_stands_beside_gross_and_charges(report: Report) -> None:
    for name in ("net", "gross", "charges"):
        assert report.tiles[name][0] == rupees(report.total[f"{name}_rupees"])
    assert report.total["trades"] > 5


def test_charges_by_component_with_the_day_of_the_card(report: Report) -> None:
    for name in ("brokerage", "STT", "exchange", "SEBI", "stamp duty", "GST"):
        assert re.search(rf">{name}</text>", report.page), name
    assert "The rate card of NSE in force since 01 Apr 2026." in report.text


def test_the_spread_says_where_it_comes_from(report: Report) -> None:
    assert f"{report.total['spread']} spread" in report.text
    assert report.facts["spread"].startswith(f"{report.total['spread']}; crossing it cost")


def test_trades_hit_rate_and_mean_with_its_interval_in_words(report: Report) -> None:
    trade = report.total["net_per_trade"]
    assert report.tiles["trades"][0] == str(report.total["trades"])
    assert report.tiles["trades"][1].endswith(f"won net ({100 * report.total['hit_rate_net']:.2f} %)")
    assert report.tiles["net a trade"][0] == rupees(trade["mean"])
    assert (
        report.tiles["net a trade"][1] == f"95 %: {trade['low']:,.2f} … {trade['high']:,.2f}, block bootstrap"
    )
    assert trade["high"] < 0
    assert "No edge after costs: the whole 95 % interval" in report.text


def test_the_four_ways_stand_side_by_side(report: Report) -> None:
    at = [
        report.page.index(f">{arm}</text>")
        for arm in ("no filter", "model", "random entry × 3", "do nothing")
    ]
    assert at == sorted(at)


def test_the_sample_the_fills_and_the_synthetic_banner(report: Report) -> None:
    assert "out-of-sample: the model never saw this file" in report.text
    assert report.facts["fills"].startswith("touch + 1 tick, part fills by the size shown")
    assert 'class="banner">SYNTHETIC' in report.page


def test_risk(report: Report) -> None:
    assert report.tiles["drawdown"][0].startswith("₹")
    assert report.tiles["worst trade"][0].startswith("-₹")
    assert re.fullmatch(r"[\d.]+ % of the time", report.facts["exposure"])
    assert report.facts["stop-losses, flattens"] == f"{report.total['stops']}, {report.total['flattens']}"
    assert (report.facts["still open at the end"] == "none") is (report.total["unclosed"] == 0)


def test_what_was_run_on_what(report: Report) -> None:
    assert report.facts["model"] == report.total["model"] != "none"
    assert report.facts["threshold, sign"] == "0.6, rel_diff = price-minus-estimate"
    assert report.facts["data"].startswith(f"sha256 {report.file['sha256'][:16]}…")
    assert report.facts["gaps"] == "0 over 60 s"
    assert re.fullmatch(r"\d+ % repeat the last price", report.facts["stale ticks"])


def test_turnover_and_charges_against_the_capital(report: Report) -> None:
    assert "× the capital" in report.facts["turnover"]
    assert re.fullmatch(r"[\d.]+ % in one day", report.facts["charges ÷ capital"])
    assert "the largest premium paid for one position" in report.facts["capital"]


def test_several_files_say_it_of_each_and_without_a_model_there_is_no_threshold(tmp_path: Path) -> None:
    files = [str(synthetic_csv(tmp_path / f"{name}.csv", until="09:25:00")) for name in "ab"]
    page = tmp_path / "r.html"
    done = CLI.invoke(app, ["backtest", *files, "--report", str(page), "--random-runs", "0"])
    assert done.exit_code == 0, done.output
    for words in ("<td>out-of-sample</td>", "<th>won net</th>", "<td>together</td>", "<th>spread</th>"):
        assert words in page.read_text()
    done = CLI.invoke(
        app, ["backtest", files[0], "--report", str(page), "--filter", "none", "--random-runs", "0"]
    )
    assert done.exit_code == 0, done.output
    assert Report(page.read_text(), json.loads(done.stdout)).facts["threshold, sign"].startswith("none, ")


def test_a_file_of_several_instruments_says_what_is_not_compared(tmp_path: Path) -> None:
    file = synthetic_csv(tmp_path / "two.csv", until="09:20:00")
    lines = file.read_text().splitlines()
    file.write_text(
        "\n".join([*lines, *(line.replace("NSE_FO|45450", "NSE_FO|2") for line in lines[1:])]) + "\n"
    )
    page = tmp_path / "r.html"
    done = CLI.invoke(app, ["backtest", str(file), "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert "several instruments: not compared with random entries" in page.read_text()
