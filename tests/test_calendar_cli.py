"""`bot calendar`: what is shown, what is fetched, and that nothing counts before a person said so."""

import asyncio
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.access import access_of, load_access
from bot.assemble.calendar import EXIT_DONE, EXIT_FAILED, fetch, show
from bot.storage import calendar_file
from bot.storage.token_file import write_token
from tests.loopback import error, serving, success
from tests.test_calendar import listed_as
from tests.test_cli import settings

TODAY = date(2026, 12, 28)


def test_show_names_every_day_with_its_source_and_warns_in_time(tmp_path: Path) -> None:
    lines = list(show(tmp_path, 2026, TODAY))
    assert any("Thu 2026-01-15  closed  municipal elections" in line for line in lines)
    assert any("special, not traded unless asked" in line for line in lines)
    assert lines[-1].startswith("! 2027 is not covered")
    assert list(show(tmp_path, 2028, date(2026, 6, 1))) == [
        "2028 is not covered: the bot does not trade in it. Run `bot calendar fetch`."
    ]
    said = CliRunner().invoke(app, ["calendar", "show", "--data", str(tmp_path)])
    assert said.exit_code == 0
    assert "2025" in said.output


async def fetched(tmp_path: Path, rows: object, *, accept: bool = False) -> tuple[int, list[str]]:
    """The command against a server that says `rows`; its code and its lines."""
    said: list[str] = []
    async with serving() as server:
        server.on(
            "/v2/market/holidays", success(rows) if isinstance(rows, list) else error(401, "UDAPI100050")
        )
        chosen = settings(tmp_path, BOT_BROKER__API_HOST=server.base)
        code = await asyncio.to_thread(
            fetch, access_of(chosen), chosen.data_folder, 2027, accept_it=accept, say=said.append, today=TODAY
        )
    return code, said


def next_year() -> list[dict[str, object]]:
    """The broker's list of 2026, as if it were of 2027."""
    rows = listed_as(calendar_file.packaged(), 2026)
    return [row | {"date": str(row["date"]).replace("2026", "2027"), "open_exchanges": []} for row in rows]


async def test_a_fetched_year_is_a_proposal_and_counts_only_when_accepted(tmp_path: Path) -> None:
    code, said = await fetched(tmp_path, next_year())
    assert code == EXIT_DONE
    assert any(line.startswith("+ ") for line in said)
    assert "Nothing has changed yet" in said[-1]
    data = tmp_path / "data"
    assert [path.name for path in data.iterdir()] == ["calendar-2027.proposed.csv"]
    assert not calendar_file.load(data).covers(date(2027, 1, 4))
    (data / "calendar-2027.proposed.csv").rename(data / "calendar.csv")
    assert calendar_file.load(data).covers(date(2027, 1, 4)), "a reviewed proposal is a calendar as it stands"
    (data / "calendar.csv").unlink()
    code, _ = await fetched(tmp_path, next_year(), accept=True)
    assert code == EXIT_DONE
    assert calendar_file.load(data).covers(date(2027, 1, 4))


@pytest.mark.parametrize(("rows", "words"), [([], "it is empty"), (None, "Is today's token set?")])
async def test_a_list_that_is_not_there_writes_nothing(tmp_path: Path, rows: object, words: str) -> None:
    code, said = await fetched(tmp_path, rows)
    assert code == EXIT_FAILED
    assert any(words in line for line in said), said
    assert not (tmp_path / "data").exists()


def test_fetch_wants_no_instrument_and_no_limit_and_says_when_there_is_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A calendar is looked after in December, by somebody who may not trade yet."""
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["calendar", "fetch"])
    assert said.exit_code == EXIT_FAILED
    assert "no token" in said.output
    assert "bot login" in said.output
    assert "Traceback" not in said.output


async def test_fetch_uses_the_token_that_login_kept(tmp_path: Path) -> None:
    write_token(tmp_path / "access_token", "kept-by-login")
    said: list[str] = []
    async with serving() as server:
        server.on("/v2/market/holidays", success(next_year()))
        access = load_access(None, {"BOT_BROKER__API_HOST": server.base, "BOT_DATA__FOLDER": str(tmp_path)})
        code = await asyncio.to_thread(
            fetch, access, tmp_path, 2027, accept_it=False, say=said.append, today=TODAY
        )
    assert code == EXIT_DONE
    assert "Nothing has changed yet" in said[-1]
