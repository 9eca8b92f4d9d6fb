"""Pages of traded days out of the archive's files: one day, several, and what cannot be drawn."""

import re
from pathlib import Path

from typer.testing import CliRunner

from bot.__main__ import app
from bot.core.events import Tick
from bot.core.session import Session
from bot.core.units import SECOND
from bot.research.dataset import Heard, load, tape_of
from bot.research.duel import compared
from bot.sim.market import SyntheticMarket
from bot.storage.model import load_model
from tests.conftest import DAY, KEY
from tests.days import ShortDay

CLI = CliRunner()
MODELS = Path(__file__).parents[1] / "models"


def test_a_day_of_the_archive_becomes_a_page_with_its_trades_and_its_certificate(tmp_path: Path) -> None:
    day = ShortDay(tmp_path).run()
    archive = tmp_path / "archive"
    done = CLI.invoke(app, ["report", DAY.isoformat(), "--archive", str(archive)])
    assert done.exit_code == 0, done.output
    page = next(archive.rglob("report-*.html")).read_text()
    assert "identical" in page
    assert "Charges by component" in page
    assert page.count("<tr>") > len(day.result.fills) // 2
    assert 'src="' not in page
    week = CLI.invoke(
        app, ["report", "2026-W38", "--archive", str(archive), "--out", str(tmp_path / "w.html")]
    )
    assert week.exit_code == 0, week.output
    assert (tmp_path / "w.html").exists()

    (taught,) = load(next(archive.rglob("tape-*")))
    assert (taught.instrument, taught.day) == (KEY, DAY.isoformat()), "a day's tape teaches a model"
    assert len(taught.rises) > 100

    both = ("report", DAY.isoformat(), "--archive", str(archive), "--out", str(tmp_path / "both.html"))
    done = CLI.invoke(app, [*both, "--challenger", str(MODELS)])
    assert done.exit_code == 0, done.output
    rows = re.findall(
        r"(champion|challenger) \w{12}</td><td[^>]*>([^<]*)", (tmp_path / "both.html").read_text()
    )
    assert [name for name, _ in rows] == ["champion", "challenger"]
    assert rows[0][1] == rows[1][1], "the same model says the same"
    assert CLI.invoke(app, [*both, "--challenger", str(tmp_path / "none")]).exit_code == 2


def test_a_challenger_is_judged_on_the_ticks_that_came() -> None:
    """A model that sees the future shines; one that always says the same is chance; neither trades."""
    ours = load_model(MODELS, rel_diff=None)
    session = Session.on(DAY)
    market = SyntheticMarket(
        KEY, tick=5, lot=65, seed=3, opens_at=session.open_at, closes_at=session.open_at + 3600 * SECOND
    )
    ticks = [
        Tick(move.at, move.at, KEY, move.ltp, 1, 0, move.bid, move.ask, 1, 1, 0)
        for move in market
        if move.bid
    ]
    tape = tape_of(tuple(Heard(tick.at, tick.ltp) for tick in ticks), "", KEY, "")
    truth = iter(tape.rises)
    prophet = ours._replace(classifier=lambda _: 0.9 if next(truth) else 0.1)
    parrot = ours._replace(classifier=lambda _: 0.3)
    (rows,) = compared(ticks, DAY, [("prophet", prophet), ("parrot", parrot), ("ours", ours)]).values()
    said = {title.split()[0]: text for title, text in rows}
    assert "AUC 1.000" in said["prophet"]
    assert "AUC 0.500" in said["parrot"]
    assert "at 0.63: none" in said["parrot"]
    assert "AUC 0.5" in said["ours"]
    few = compared(ticks[:300], DAY, [("ours", ours)])
    assert "nothing to judge" in few[KEY][0][1]


def test_a_day_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    for what in ("2026-09-16", "2026-W38", "yesterday", str(tmp_path)):
        done = CLI.invoke(app, ["report", what, "--archive", str(tmp_path)])
        assert done.exit_code == 2
        assert "Traceback" not in done.output
