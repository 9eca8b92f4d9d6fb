"""The whole training on ticks whose truth is known: where there is no edge none is found, a planted one is.

Without these, a good figure on a market could be a leak. Needs TensorFlow (`make train-env`).
"""

import csv
import json
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bot.core.session import Session
from bot.core.units import SECOND, ist
from bot.sim.market import SyntheticMarket
from bot.storage.model import Passport
from tests.conftest import KEY

pytestmark = pytest.mark.component

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-train" / "bin" / "python"
TAUGHT = [date(2026, 9, 14), date(2026, 9, 15), date(2026, 9, 16)]
UNSEEN = date(2026, 9, 17)
HOURS = 3
EDGE = 0.5  # of the mid's last return; the bounce of last prices hides part of it


def written(folder: Path, day: date, edge: float) -> Path:
    session = Session.on(day)
    market = SyntheticMarket(
        KEY,
        tick=5,
        lot=65,
        seed=day.toordinal(),
        opens_at=session.open_at,
        closes_at=session.open_at + HOURS * 3600 * SECOND,
        edge=edge,
    )
    path = folder / f"synthetic-{day}.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["timestamp", "instrument", "ltp"])
        rows.writerows(
            [f"{ist(move.at):%Y-%m-%d %H:%M:%S.%f}", KEY, move.ltp / 100] for move in market if move.bid
        )
    return path


def said(folder: Path, *arguments: str) -> str:
    environ = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [str(PYTHON), "-m", "bot", *arguments],
        capture_output=True,
        text=True,
        env=environ,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def taught(folder: Path, edge: float) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(pooled figures with each day left out, what evaluating an unseen day says, the same as JSON)."""
    if not PYTHON.exists():
        pytest.skip("TensorFlow is not here (.venv-train): run `make train-env`")
    files = [str(written(folder, day, edge)) for day in TAUGHT]
    said(folder, "train", *files, "--out", "model")
    passport = Passport.from_json((folder / "model" / "passport.json").read_text())
    unseen = str(written(folder, UNSEEN, edge))
    words = said(folder, "evaluate", "model", unseen, "--json", "figures.json")
    figures = json.loads((folder / "figures.json").read_text())
    return dict(passport.figures["leave_day_out"]["pooled"]), words, figures["pooled"]


def test_on_martingale_ticks_training_finds_no_edge_and_says_so(tmp_path: Path) -> None:
    left_out, words, unseen = taught(tmp_path, edge=0.0)
    assert left_out["auc"]["value"] <= 0.56
    assert unseen["auc"]["value"] <= 0.56
    assert "no edge" in words


def test_a_planted_edge_is_found_on_days_never_seen(tmp_path: Path) -> None:
    left_out, words, unseen = taught(tmp_path, edge=EDGE)
    assert left_out["auc"]["value"] >= 0.65
    assert unseen["auc"]["value"] >= 0.65
    assert "no edge" not in words
