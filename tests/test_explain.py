"""`bot explain`: a minute in words, over real journals and a real day against the twin."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.explain import document, minute_of, run_explain, told
from bot.core.commands import NOT_DECIDED, Alert, Decision, NoTrade, Severity
from bot.core.events import Operator, OperatorAction
from bot.core.units import SECOND
from bot.run.ports import Record
from bot.storage import records
from bot.storage.archive import LocalStore
from bot.storage.journal import SqliteJournal, journal_path
from tests.conftest import DAY, KEY, at
from tests.days import Running, ShortDay

DAY_TEXT = DAY.isoformat()
SEEN = Decision(at("10:32:58"), 245_30, 245.12, -0.03, 0.000734, 0.41)


def no_trade(since: str, until: str, looks: str, **changes: Any) -> NoTrade:
    plain = NoTrade(
        at(since), at(until), KEY, looks, "", "", 0, 245_25, 245_35, 900, float("nan"), 0.63, SEEN
    )  # fmt: skip
    return plain._replace(**changes)


def journal(folder: Path, *things: Any, boots: tuple[str, ...] = ("09:00:00",)) -> Path:
    """A journal on disk, in the order of time."""
    rows = [records.boot_record(at(boot), mode="live") for boot in boots]
    rows += [
        thing
        if isinstance(thing, Record)
        else records.record_of(getattr(thing, "until", 0) or thing.at, thing)
        for thing in things
    ]
    made = SqliteJournal(journal_path(folder, DAY))
    made.commit(sorted(rows, key=lambda row: row.at))
    made.close()
    return folder


def explained(minute: str, folder: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["explain", DAY_TEXT, minute, "--from", str(folder), *options])
    assert done.exit_code == 0, done.output
    return done.output


def spoken(minute: str, folder: Path) -> str:
    """As on a terminal."""
    console = Console(force_terminal=True, width=400, no_color=True, record=True)
    assert run_explain(DAY_TEXT, minute, [str(folder)], console) == 0
    return console.export_text()


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["explain", *arguments])
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


# ---- over a journal -----


def test_a_quiet_minute_says_what_was_seen_and_why_nothing_was_bought(tmp_path: Path) -> None:
    looks = "not_falling=31 above_estimate=20 model=9"
    said = spoken("10:32", journal(tmp_path, no_trade("10:32:00", "10:33:00", looks, best=0.58)))
    assert "2026-09-16 10:32 IST: nothing was traded, mostly because the price was not falling" in said
    assert "At 10:32:58 it saw ₹245.30 (bid 245.25, ask 245.35), 0.073% above its estimate 245.12" in said
    assert "in 31 of 60 looks" in said
    assert "at best it gave 0.58, 0.63 is wanted" in said


def test_a_guard_that_refused_is_named_with_its_setting_and_how_often(tmp_path: Path) -> None:
    folder = journal(
        tmp_path,
        no_trade("10:32:00", "10:32:20", "cooldown=20", refused="cooldown=4"),
        no_trade("10:32:20", "10:33:00", "model=40", refused="spread=2"),
    )
    said = spoken("10:32", folder)
    assert "10:32:00–10:32:20 not bought: it was cooling down after a stop-loss" in said
    assert "(risk.cooldown_seconds). It wanted to buy 4 ×." in said
    assert "It wanted to buy, but the spread was too wide (risk.spread_max_bps) (2 ×)." in said


def test_the_kill_file_is_told_with_the_moment_it_came(tmp_path: Path) -> None:
    folder = journal(
        tmp_path,
        Operator(at("10:32:10"), 0, OperatorAction.STOP_ENTRIES, "kill_file"),
        Record(at("10:32:10"), *records.encode(Alert(Severity.WARN, "EntriesStopped", "No more entries."))),
        no_trade("10:32:10", "10:33:00", "stopped=50", detail="kill_file"),
    )
    said = spoken("10:32", folder)
    assert "10:32:10 stop entries: kill_file" in said
    assert "the kill file was there" in said


def test_before_the_first_price_nothing_is_made_up(tmp_path: Path) -> None:
    early = no_trade("10:32:00", "10:33:00", "phase=60", detail="before", bid=0, ask=0, seen=NOT_DECIDED)
    said = spoken("10:32", journal(tmp_path, early))
    assert "the market was not open yet" in said
    assert "It had seen no price yet." in said


@pytest.mark.parametrize(
    ("minute", "boots", "words"),
    [
        ("08:30", ("09:00:00",), "not running yet: it was started at 09:00:00"),
        ("10:40", ("09:00:00", "10:45:10"), "its last word before was at 10:33:00, and it was started again"),
        ("11:00", ("09:00:00",), "The journal ends at 10:33:00"),
        ("16:00", ("09:00:00",), "day was over: it was closed at 15:40:05"),
    ],
)
def test_a_minute_without_a_look_says_why(
    tmp_path: Path, minute: str, boots: tuple[str, ...], words: str
) -> None:
    things: list[Any] = [no_trade("10:32:00", "10:33:00", "model=60")]
    if minute == "16:00":
        things.append(records.end_record(at("15:40:05"), 0))
    said = spoken(minute, journal(tmp_path, *things, boots=boots))
    assert words in said


def test_a_journal_of_an_older_version_is_read_and_says_that_it_keeps_no_reasons(tmp_path: Path) -> None:
    assert "keeps no reasons" in spoken("10:32", journal(tmp_path))


def test_a_pipe_gets_one_json_document_and_json_is_the_same_on_demand(tmp_path: Path) -> None:
    folder = journal(tmp_path, no_trade("10:32:00", "10:33:00", "model=60", best=0.58))
    found = json.loads(explained("10:32", folder))
    assert found == json.loads(explained("10:32", folder, "--json"))
    (only,) = found["instruments"]
    (interval,) = only["intervals"]
    assert (interval["looks"], interval["best_probability"]) == ({"model": 60}, 0.58)
    assert interval["saw"]["price"] == 245.30
    assert (found["mode"], found["zone"]) == ("live", "Asia/Kolkata")


def test_what_was_asked_wrongly_is_answered_with_how_to_ask(tmp_path: Path) -> None:
    assert "16.09.2026: is no day. Write it like 2026-09-16." in refused("16.09.2026", "25:00")
    assert "25:00: is no minute. Write it like 10:32" in refused("16.09.2026", "25:00")
    assert "9:5: is no minute" in refused(DAY_TEXT, "9:5")
    assert "Was it a trading day?" in refused(DAY_TEXT, "10:32", "--from", str(tmp_path))


def test_a_damaged_journal_is_not_explained(tmp_path: Path) -> None:
    journal_path(tmp_path, DAY).write_bytes(b"no database at all" * 100)
    assert "damaged" in refused(DAY_TEXT, "10:32", "--from", str(tmp_path))


def test_a_past_day_is_found_in_the_archive_by_the_settings(tmp_path: Path) -> None:
    """The data folder was emptied; bot.toml is unfinished, and nothing is traded."""
    folder = journal(tmp_path / "day", no_trade("10:32:00", "10:33:00", "model=60"))
    kept = tmp_path / "archive" / "2026" / "09" / "16"
    kept.mkdir(parents=True)
    shutil.move(journal_path(folder, DAY), kept)
    config = tmp_path / "bot.toml"
    config.write_text(f'[data]\nfolder = "{tmp_path / "data"}"\n[archive]\nroot = "{tmp_path / "archive"}"\n')
    done = CliRunner().invoke(app, ["explain", DAY_TEXT, "10:32", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["journal"].startswith(str(kept))
    config.write_text("[data]\nfolder = 7\n")
    assert "[data] or [archive]: folder" in refused(DAY_TEXT, "10:32", "--config", str(config))


def test_the_archive_gives_back_what_it_holds_and_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "root" / "2026").mkdir(parents=True)
    (tmp_path / "root" / "2026" / "a").write_bytes(b"kept")
    store = LocalStore(tmp_path / "root")
    assert store.fetch("2026/a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"kept"
    assert not store.fetch("2026/b", tmp_path / "other")


# ---- over a day -----


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of an hour against the twin, killed at 09:20:30 and begun again."""
    folder = tmp_path_factory.mktemp("day")

    async def kill(running: Running) -> None:
        await running.until("09:20:30")
        running.kill_and_restart()

    ShortDay(folder, meanwhile=kill).run()
    return folder


def test_every_minute_of_a_day_is_told_though_the_bot_was_killed_in_it(day: Path) -> None:
    for minute in range(10, 30):
        said = json.loads(explained(f"09:{minute}", day))
        assert not said["gap"], said
        assert said["instruments"]
    assert "start 2 of the day" in explained("09:20", day)
    assert "the market was not open yet" in explained("09:12", day)
    assert "the filter was warming up" in explained("09:15", day)
    assert "the entry cut-off had passed" in explained("09:27", day)


def test_a_trade_is_told_with_its_order_its_stop_and_what_it_brought(day: Path) -> None:
    whole = " ".join(explained(f"09:{minute}", day) for minute in range(16, 26))
    for words in (
        "asked to buy 65 units at ₹",
        "bought 65 units at ₹",
        "placed the protective stop: sells 65",
        "turned the stop into a sale",
        "Net of its charges",
        "it held a position already",
    ):
        assert words in whole, words


def test_reasons_are_a_small_part_of_the_journal(day: Path) -> None:
    kept = SqliteJournal(journal_path(day / "data", DAY)).read()
    reasons = [row for row in kept if row.kind == NoTrade.__name__]
    assert len(reasons) <= 20 + 5 * sum(row.kind == "PlaceOrder" for row in kept)
    assert max(len(row.body) for row in reasons) < 800


def test_the_day_s_archive_tells_the_same_as_its_data_folder(day: Path) -> None:
    here = json.loads(explained("09:22", day / "data"))
    there = json.loads(explained("09:22", day / "archive"))
    assert here.pop("journal") != there.pop("journal")
    assert here == there


def test_told_and_document_agree_on_the_verdict(day: Path) -> None:
    kept = SqliteJournal(journal_path(day / "data", DAY)).read()
    for minute in range(10, 30):
        found = minute_of(kept, at("09:00:00") + minute * 60 * SECOND)
        assert told(found)[0].endswith(document(found, DAY_TEXT, f"09:{minute}", "")["verdict"])
