"""Pages of traded days out of the archive's files: one day, several, and what cannot be drawn."""

from pathlib import Path

from typer.testing import CliRunner

from bot.__main__ import app
from tests.conftest import DAY
from tests.days import ShortDay

CLI = CliRunner()


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


def test_a_day_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    for what in ("2026-09-16", "2026-W38", "yesterday", str(tmp_path)):
        done = CLI.invoke(app, ["report", what, "--archive", str(tmp_path)])
        assert done.exit_code == 2
        assert "Traceback" not in done.output
