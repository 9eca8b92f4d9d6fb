"""`bot evaluate`: the figures, what stands beside them, and words that promise nothing."""

import csv
import json
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bot.core.session import Session
from bot.core.units import ist
from bot.research.evaluate import Judged, score
from bot.research.judgement import (
    FileJudged,
    baselines_of,
    curve_of,
    reliability_of,
    to_dict,
    tradable_of,
    volatility_of,
    words,
)
from bot.sim.market import SyntheticMarket
from tests.conftest import KEY
from tests.test_cli import invoke

MODEL = Path(__file__).parents[1] / "models"
KEYS = {
    *("n", "base_rate", "auc", "brier", "brier_skill", "ece", "coverage", "precision_at_threshold", "lift"),
    *("baselines", "net", "taught"),
}


def judged(p: Sequence[float], y: Sequence[bool], **more: object) -> FileJudged:
    tape = Judged("tape", np.array(p, dtype=np.float32), np.array(y))
    made = FileJudged("tape", False, tape, np.zeros(len(p)), None, None)
    return made._replace(**more)


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour without any memory in it: nothing can be known of it."""
    session = Session.on(date(2026, 9, 16))
    path = tmp_path_factory.mktemp("ticks") / "martingale.csv"
    end = session.open_at + 3600 * 10**9
    market = SyntheticMarket(
        KEY, tick=5, lot=65, seed=5, opens_at=session.open_at, closes_at=session.close_at
    )
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["timestamp", "instrument", "ltp", "bid_price", "ask_price", "bid_qty", "ask_qty", "ltq"]
        )
        for move in market:
            if move.bid and session.open_at < move.at < end:
                prices = [price / 100 for price in (move.ltp, move.bid, move.ask)]
                when = f"{ist(move.at):%Y-%m-%d %H:%M:%S.%f}"
                rows.writerow([when, KEY, *prices, move.bid_quantity, move.ask_quantity, move.ltq])
    return path


def test_the_contracts_figures_by_file_and_pooled_and_pictures_without_a_network(
    ticks: Path, tmp_path: Path
) -> None:
    out, page = tmp_path / "out.json", tmp_path / "page.html"
    said = invoke("evaluate", str(MODEL), str(ticks), "--json", str(out), "--report", str(page), exit_code=0)
    found = json.loads(out.read_text())
    assert set(found["pooled"]) == set(found["files"]["martingale"]) == KEYS
    assert set(found["pooled"]["auc"]) == {"value", "low", "high"}
    assert len(found["curve"]) == 41
    assert found["pooled"]["taught"] is False
    assert found["pooled"]["net"]["trades_unfiltered"] > found["pooled"]["net"]["trades"]
    assert "Net of charges" in said
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "https://" not in text.split("<script>")[0]


def test_what_cannot_be_read_or_is_no_model_is_said(ticks: Path, tmp_path: Path) -> None:
    assert "trade_classifier.tflite" in invoke("evaluate", str(tmp_path), str(ticks))
    assert "none.csv" in invoke("evaluate", str(MODEL), str(tmp_path / "none.csv"))


def test_chance_is_called_no_edge_and_too_good_is_called_a_leak() -> None:
    rng = np.random.default_rng(3)
    y = rng.random(6000) < 0.4
    noise, seen = judged(rng.random(6000), y), judged(np.where(y, 0.9, 0.1), y)
    assert any("no edge" in text for text in words(score([noise.judged], 0.63, 1), None, []))
    assert any("leak" in text for text in words(score([seen.judged], 0.63, 1), None, []))


def test_baselines_know_only_the_windows_wildness_or_nothing() -> None:
    rng = np.random.default_rng(4)
    wild = rng.random(5000)
    y = rng.random(5000) < wild
    file = judged(rng.random(5000), y, volatility=wild)
    found = baselines_of([file], score([file.judged], 0.63, 1), 1)
    assert found.volatility_auc > 0.8
    assert found.volatility_lift is not None
    assert found.volatility_lift > 1.3
    assert abs(found.shuffled_auc - 0.5) < 0.05


def test_volatility_is_the_rms_of_the_moves_in_basis_points() -> None:
    windows = np.zeros((2, 10, 3), dtype=np.float32)
    windows[0, :, 0] = 200.0
    windows[1, :, 0] = [200.0, 202.0] * 5  # a move of 2 at each step
    assert volatility_of(windows) == pytest.approx([0.0, 2 / 202 * 10_000])


def test_curve_and_reliability_add_up() -> None:
    rng = np.random.default_rng(5)
    p = rng.random(4000)
    file = judged(p, rng.random(4000) < p)
    curve = curve_of([file])
    assert all(one.coverage >= two.coverage for one, two in pairwise(curve))
    bins = reliability_of([file])
    assert sum(each.n for each in bins) == 4000
    assert max(abs(each.said - each.came) for each in bins) < 0.1


def test_net_is_that_of_the_files_that_can_be_traded() -> None:
    y = [True, False] * 50
    alone, traded = (
        judged([0.5] * 100, y),
        judged([0.5] * 100, y, nets=(-10.0, 4.0), nets_unfiltered=(1.0,) * 9),
    )
    assert tradable_of([alone]) is None
    assert to_dict([alone], 0.63, 1)["net"] is None
    found = tradable_of([alone, traded])
    assert found is not None
    assert (found.trades, found.trades_unfiltered, found.filtered.mean) == (2, 9, -3.0)
