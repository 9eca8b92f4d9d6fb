"""`bot preflight`: each bad setting is found, named, and answered with what to do; over real sockets.

The broker is the twin on a thread, or a scripted server where the twin can't be bad in that way.
"""

import asyncio
import gzip
import json
import os
from collections.abc import Iterator
from datetime import date
from datetime import time as day_time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.preflight.broker_checks import judge_address
from bot.assemble.preflight.command import open_ground, run_preflight
from bot.assemble.preflight.examine import examine
from bot.assemble.preflight.finding import CHECKS, Finding, Verdict, go, unsafe
from bot.assemble.preflight.machine_checks import check_disk
from bot.core.calendar import HEADER
from bot.core.charges import card_on
from bot.core.events import Outcome
from bot.core.exposure import exposure
from bot.core.rules import OrderRules, RiskRules
from bot.core.units import SECOND, ist_nanos
from bot.run.live import WallClock
from bot.sim.orders import ExchangeRules
from bot.storage.archive_probe import probe
from bot.twin.faults import Fault, FaultKind
from bot.twin.server import TOKEN
from bot.upstox.auth import Token
from bot.upstox.wire_answers import CallResult
from tests.conftest import DAY, at
from tests.loopback import unused_port
from tests.test_cli import settings
from tests.test_instruments import INDEX, listed
from tests.test_settings import GOOD
from tests.twin_thread import TwinThread

TEXT = (
    GOOD.replace("freeze_quantity = 1800", "freeze_quantity = 1755")
    .replace("quantity = 75", "quantity = 65")
    .replace("lot = 75", "lot = 65")
)
START = "09:20:00"
SPEED = 6.0  # times life: the bot's own rate limit waits for a second a read


class Shifted(WallClock):
    """The twin's own clock, off by so many nanoseconds: one time for both, however busy the machine."""

    def __init__(self, clock: WallClock, off: int) -> None:
        super().__init__(starts_at=clock.now() + off, speed=SPEED)


class Heard(NamedTuple):
    """A preflight's JSON."""

    code: int
    body: dict[str, Any]
    text: str

    def __getitem__(self, check: str) -> dict[str, Any]:  # type: ignore[override]
        return next(row for row in self.body["checks"] if row["check"] == check)


class Room:
    """A folder, a twin and a master; `ask` runs a preflight as a program hears it."""

    def __init__(self, folder: Path, twin: TwinThread, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.twin, self._capsys = folder, twin, capsys
        self.master = folder / "master.json.gz"
        self.skew = 0
        self.write_master(listed(token="45450"))

    def write_master(self, row: dict[str, Any]) -> None:
        rows = [INDEX, listed(token="1"), row]
        self.master.write_bytes(gzip.compress(json.dumps(rows).encode()))

    def ask(self, text: str = TEXT, **environ: str) -> Heard:
        chosen = settings(
            self.folder,
            text,
            **{
                "BOT_BROKER__API_HOST": self.twin.rest,
                "BOT_BROKER__ORDER_HOST": self.twin.rest,
                "BOT_DATA__INSTRUMENT_MASTER": str(self.master),
            }
            | environ,
        )
        code = run_preflight(chosen, Console(), clock=Shifted(self.twin.clock, self.skew))
        text = self._capsys.readouterr().out
        return Heard(code, json.loads(text), text)

    def inject(self, kind: FaultKind, seconds: float = 60) -> None:
        self.twin.call(lambda twin: twin.inject(Fault(at(START), kind, seconds=seconds)))


@pytest.fixture
def room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Room]:
    with TwinThread(starts_at=at(START), speed=SPEED) as twin:
        yield Room(tmp_path, twin, capsys)


def test_all_is_well_says_go_with_every_check_and_leaves_nothing_behind(room: Room) -> None:
    heard = room.ask()
    assert heard.code == 0, heard.text
    assert heard.body["go"] is True
    assert [row["check"] for row in heard.body["checks"]] == list(CHECKS)
    assert {row["verdict"] for row in heard.body["checks"]} == {"ok"}, heard.text
    assert "₹" in heard["feed"]["said"]
    assert "stop costs ₹" in heard["funds"]["said"]
    assert TOKEN not in heard.text
    assert not [path for path in (room.folder / "archive").rglob("*") if path.is_file()]
    assert room.twin.orders() == 0  # nothing was placed


def test_before_the_open_the_feed_says_that_the_market_is_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TwinThread(starts_at=at("08:50:00"), speed=SPEED) as twin:
        heard = Room(tmp_path, twin, capsys).ask()
    assert heard.code == 0
    assert "the market is closed" in heard["feed"]["said"]
    assert heard["funds"]["verdict"] == "warn"  # nothing has traded: no price


def test_a_dead_token_is_a_no_go_and_nothing_else_is_asked_with_it(room: Room) -> None:
    heard = room.ask(BOT_LIVE_ACCESS_TOKEN="not-the-one")
    assert heard.code == 3
    assert heard["token"]["verdict"] == "no_go"
    assert "bot login" in heard["token"]["advice"]
    assert heard["address"]["said"].startswith("not asked")
    assert heard["clock"]["verdict"] == "ok"  # even a refusal carries the time
    assert heard["model"]["verdict"] == "ok"
    assert "not-the-one" not in heard.text


def test_no_token_at_all_says_where_it_was_looked_for(room: Room) -> None:
    kept = room.folder / "nowhere"
    heard = room.ask(BOT_LIVE_ACCESS_TOKEN="", BOT_BROKER__TOKEN_FILE=str(kept))
    assert heard.code == 3
    assert str(kept) in heard["token"]["said"]
    assert "bot token set" in heard["token"]["advice"]


def test_a_token_file_that_everybody_may_read_is_refused(room: Room) -> None:
    kept = room.folder / "token"
    kept.write_text(TOKEN)
    kept.chmod(0o644)
    heard = room.ask(BOT_LIVE_ACCESS_TOKEN="", BOT_BROKER__TOKEN_FILE=str(kept))
    assert "chmod 600" in heard["token"]["advice"]
    assert TOKEN not in heard.text
    kept.chmod(0o600)
    assert room.ask(BOT_LIVE_ACCESS_TOKEN="", BOT_BROKER__TOKEN_FILE=str(kept)).code == 0


def test_an_address_that_is_not_registered_is_a_no_go_though_reads_work(room: Room) -> None:
    room.inject(FaultKind.WRONG_ADDRESS)
    heard = room.ask()
    assert heard.code == 3
    assert heard["token"]["verdict"] == "ok"
    assert heard["address"]["verdict"] == "no_go"
    assert "Register this machine's public IPv4" in heard["address"]["advice"]


def test_an_order_host_that_is_not_there_is_a_no_go(room: Room) -> None:
    heard = room.ask(BOT_BROKER__ORDER_HOST=f"http://127.0.0.1:{unused_port()}")
    assert heard["address"]["verdict"] == "no_go"
    assert "firewall" in heard["address"]["advice"]


@pytest.mark.parametrize(
    ("code", "verdict", "words"),
    [
        ("UDAPI100010", Verdict.OK, "lets this machine in"),
        ("UDAPI1154", Verdict.NO_GO, "Register"),
        ("UDAPI100050", Verdict.NO_GO, "new token"),
        ("UDAPI1156", Verdict.NO_GO, "algo_name"),
        ("UDAPI100074", Verdict.WARN, "05:30"),
        ("UDAPI10005", Verdict.WARN, "a minute"),
        ("HTTP_403", Verdict.NO_GO, "proxy"),
        ("TIMEOUT", Verdict.NO_GO, "IPv4"),
        ("UDAPI999", Verdict.WARN, "UDAPI999"),
    ],
)
def test_each_answer_to_the_probe_of_the_address_is_read(code: str, verdict: Verdict, words: str) -> None:
    found = judge_address(CallResult(Outcome.REFUSED, (), code, "said the broker"))
    assert found.verdict is verdict
    assert words in f"{found.said} {found.advice}"


def test_a_year_without_a_calendar_is_a_no_go(room: Room) -> None:
    chosen = settings(room.folder, TEXT, BOT_BROKER__API_HOST=room.twin.rest)
    clock = WallClock(starts_at=ist_nanos(date(2028, 1, 3), day_time(9, 0)))

    async def ask() -> list[Finding]:
        async with open_ground(chosen, clock, Token(TOKEN)) as ground:
            return await examine(ground, leave_out=set(CHECKS) - {"token", "calendar"})

    found = asyncio.run(ask())[-1]
    assert (found.check, found.verdict) == ("calendar", Verdict.NO_GO)
    assert "bot calendar fetch" in found.advice


def test_a_calendar_that_differs_from_the_broker_is_a_no_go(room: Room) -> None:
    data = room.folder / "data"
    data.mkdir()
    (data / "calendar.csv").write_text(shut_on_the_day())
    heard = room.ask()
    assert heard.code == 3, heard.text
    assert heard["calendar"]["verdict"] == "no_go"
    assert "calendar.csv" in heard["calendar"]["advice"]


def shut_on_the_day() -> str:
    """An owner's calendar that calls the twin's day a holiday."""
    return f"{','.join(HEADER)}\nclosed,{DAY.isoformat()},,,a day of mourning,a circular,high\n"


@pytest.mark.parametrize(
    ("row", "check", "words"),
    [
        (listed(token="45450", lot_size=50), "lot and freeze", "lot"),
        (listed(token="45450", freeze_quantity=1170.0), "lot and freeze", "freeze_quantity"),
        (listed(token="99"), "instrument", "has expired, or never was"),
        (listed(token="45450", underlying_type="EQUITY"), "instrument", "share"),
    ],
    ids=["lot", "freeze", "not listed", "share option"],
)
def test_settings_that_are_not_the_exchanges_are_a_no_go(
    room: Room, row: dict[str, Any], check: str, words: str
) -> None:
    room.write_master(row)
    heard = room.ask()
    assert heard.code == 3, heard.text
    assert heard[check]["verdict"] == "no_go"
    assert words in heard[check]["said"]
    assert "[[instruments]]" in heard[check]["advice"]


def test_no_instrument_master_is_a_no_go(room: Room) -> None:
    heard = room.ask(BOT_DATA__INSTRUMENT_MASTER=str(room.folder / "none.gz"))
    assert heard["instrument"]["verdict"] == "no_go"
    assert "instrument master" in heard["instrument"]["said"]


def test_too_little_money_for_one_position_is_a_no_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TwinThread(starts_at=at(START), speed=SPEED, rules=ExchangeRules(funds=5_000_00)) as twin:
        heard = Room(tmp_path, twin, capsys).ask()
    assert heard.code == 3
    assert heard["funds"]["verdict"] == "no_go", heard.text
    assert "fewer lots" in heard["funds"]["advice"]


def test_a_stop_above_the_days_limit_is_said(room: Room) -> None:
    heard = room.ask(TEXT.replace("daily_loss_rupees = 5000", "daily_loss_rupees = 1000"))
    assert heard["funds"]["verdict"] == "warn"
    assert "daily_loss_rupees" in heard["funds"]["advice"]


@pytest.mark.parametrize(("seconds", "verdict"), [(3, "warn"), (10, "no_go")])
def test_a_clock_that_is_off_is_said(room: Room, seconds: int, verdict: str) -> None:
    room.skew = seconds * SECOND
    heard = room.ask()
    assert heard["clock"]["verdict"] == verdict, heard.text
    assert "ahead" in heard["clock"]["said"]
    assert "NTP" in heard["clock"]["advice"]


def test_a_damaged_model_is_a_no_go(room: Room) -> None:
    (room.folder / "model.tflite").write_bytes(b"TFL3")
    heard = room.ask(BOT_MODEL__PATH=str(room.folder / "model.tflite"))
    assert heard["model"]["verdict"] == "no_go"
    assert heard["model"]["advice"]


@pytest.mark.parametrize(
    ("free", "verdict"), [(50 << 30, Verdict.OK), (500 << 20, Verdict.WARN), (100 << 20, Verdict.NO_GO)]
)
def test_a_disk_that_fills_up_is_said_in_time(tmp_path: Path, free: int, verdict: Verdict) -> None:
    found = check_disk(tmp_path / "data", free_bytes=free)
    assert found.verdict is verdict
    assert bool(found.advice) is (verdict is not Verdict.OK)


def test_a_data_folder_that_cannot_be_written_is_a_no_go(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, no folder")
    found = check_disk(tmp_path / "data")
    assert found.verdict is Verdict.NO_GO
    assert "[data] folder" in found.advice


def test_an_archive_that_takes_nothing_is_a_no_go_that_does_not_stop_entries(room: Room) -> None:
    (room.folder / "file").write_text("no folder")
    heard = room.ask(BOT_ARCHIVE__ROOT=str(room.folder / "file" / "archive"))
    assert heard.code == 3
    assert heard["archive"]["verdict"] == "no_go"
    assert "[archive] root" in heard["archive"]["advice"]


def test_the_probe_of_the_archive_removes_what_it_wrote_and_touches_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("a day")
    assert probe(str(tmp_path), "probe-1.txt") == ""
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept.txt"]


def test_a_feed_that_lets_nobody_in_is_a_no_go(room: Room) -> None:
    room.inject(FaultKind.REFUSE_HANDSHAKE)
    heard = room.ask()
    assert heard["feed"]["verdict"] == "no_go", heard.text
    assert "403" in heard["feed"]["said"]
    assert "two connections" in heard["feed"]["advice"]


def test_what_is_at_risk_is_counted_with_its_charges(contract: Any) -> None:
    card = card_on(DAY, "NSE")
    seen = exposure(contract, 300_00, OrderRules(), RiskRules(), card)
    entry, stop = 300_05, 250_05
    assert seen.at_stop == 75 * 50_00 + card.round_trip(75 * entry, 75 * stop).total
    assert seen.cost > 75 * entry
    assert seen.at_stop < seen.at_gap < seen.everything


def test_a_harmless_no_go_is_no_reason_to_stay_out() -> None:
    harmless = Finding("archive", Verdict.NO_GO, "x", "y")
    assert not go([harmless])
    assert unsafe([harmless]) == ()
    assert unsafe([harmless, Finding("clock", Verdict.NO_GO, "x", "y")]) == ("clock",)


def test_on_a_terminal_it_is_a_table_with_marks_and_advice(room: Room) -> None:
    room.inject(FaultKind.WRONG_ADDRESS)
    chosen = settings(
        room.folder, TEXT, BOT_BROKER__API_HOST=room.twin.rest, BOT_BROKER__ORDER_HOST=room.twin.rest,
        BOT_DATA__INSTRUMENT_MASTER=str(room.master),
    )  # fmt: skip
    console = Console(force_terminal=True, width=100, record=True)
    assert run_preflight(chosen, console, clock=Shifted(room.twin.clock, 0)) == 3
    said = console.export_text()
    assert "✓" in said
    assert "✗ No go: address" in said
    assert "→ Register" in said
    assert TOKEN not in said


def test_wrong_settings_are_listed_with_exit_code_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["preflight", "--config", str(tmp_path / "none.toml")])
    assert result.exit_code == 2
    assert "bot.example.toml" in " ".join(result.output.split())
    assert os.environ.get("BOT_LIVE_ACCESS_TOKEN") is None  # these tests speak of no real account
