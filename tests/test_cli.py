"""The command line as a tired user meets it: bad input gets a sentence and exit code 2, never a traceback."""

import gzip
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.live import LiveRefused, run_live
from bot.core.units import ist_nanos
from bot.run.live import WallClock
from bot.settings import Settings, load
from bot.storage.lock import FolderLock
from bot.twin.server import TOKEN
from tests.conftest import at
from tests.test_settings import GOOD, write
from tests.tokens import EXPIRED
from tests.twin_thread import TwinThread

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "trade_classifier.tflite"


def invoke(*arguments: str, exit_code: int = 2) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def settings(folder: Path, text: str = GOOD, **environ: str) -> Settings:
    base = {
        "BOT_LIVE_ACCESS_TOKEN": TOKEN,
        "BOT_DATA__FOLDER": str(folder / "data"),
        "BOT_ARCHIVE__ROOT": str(folder / "archive"),
        "BOT_MODEL__PATH": str(MODEL),
        "BOT_TELEMETRY__PORT": "0",
        "BOT_BROKER__ORDER_HOST": "http://127.0.0.1:9",
        "BOT_BROKER__API_HOST": "http://127.0.0.1:9",  # nobody listens there: no test asks the real broker
    }
    return load(write(folder, text), base | environ)


def test_help_teaches() -> None:
    said = invoke("--help", exit_code=0)
    assert "bot demo" in said
    for command in ("demo", "run", "twin", "train"):
        assert command in said
        assert invoke(command, "--help", exit_code=0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "none.csv"),
        ("empty.csv", b"", "empty.csv"),
        ("headerless.csv", b"2025-08-05 09:24:52,BSE_INDEX|SENSEX,80832.95\n" * 3, "line 1"),
        ("broken.csv", b"timestamp,instrument,ltp\n2025-08-05 09:24:52,NSE_FO|1,abc\n", "line 2"),
        ("cut.csv.gz", gzip.compress(b"timestamp,instrument,ltp\n" * 5000, mtime=0)[:60], "cut.csv.gz"),
        ("noise.bin", bytes(range(256)) * 8, "noise.bin"),
        ("feeds.json", b'[{"fullFeed": ', "feeds.json"),
    ],
)
def test_an_unreadable_tick_file_is_named_with_its_line(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = invoke("demo", str(tmp_path / name), "--out", str(tmp_path / "out"))
    assert words in said


def test_the_demo_never_empties_a_folder_it_did_not_make(tmp_path: Path) -> None:
    mine = tmp_path / "synthetic-seed-7" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    assert "not made by a demo" in invoke("demo", "--out", str(tmp_path))
    assert mine.read_text() == "years of work"


def test_wrong_settings_are_all_listed_with_exit_code_2(tmp_path: Path) -> None:
    path = write(tmp_path, '[strategy]\nthreshold = 2\n[session]\nopen = "x"\n')
    said = invoke("run", "--config", str(path))
    for key in ("strategy.threshold", "session.open", "instruments"):
        assert key in said


def test_an_empty_file_is_told_all_it_lacks(tmp_path: Path) -> None:
    said = invoke("run", "--config", str(write(tmp_path, "")))
    for key in ("[[instruments]]", "daily_loss_rupees", "accept_no_edge", "BOT_LIVE_ACCESS_TOKEN"):
        assert key in said


def test_settings_that_are_missing_say_where_to_begin(tmp_path: Path) -> None:
    assert "bot.example.toml" in invoke("run", "--config", str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("day", "code"),
    [("2026-10-02", 0), ("2026-10-03", 0), ("2026-11-08", 0), ("2028-01-03", 3)],
    ids=["holiday", "saturday", "muhurat, not asked for", "a year nobody covers"],
)
def test_days_without_a_session_say_why(
    tmp_path: Path, day: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = WallClock(starts_at=ist_nanos(date.fromisoformat(day), time(9)))
    assert run_live(settings(tmp_path), verbose=False, clock=clock) == code
    assert "no_session" in capsys.readouterr().out


def test_in_december_a_year_nobody_covers_is_announced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = WallClock(starts_at=ist_nanos(date(2026, 12, 15), time(16)))
    assert run_live(settings(tmp_path), verbose=False, clock=clock) == 0
    assert "2027 is not covered" in capsys.readouterr().out


def test_a_weekend_and_an_evening_have_no_session(tmp_path: Path) -> None:
    sunday = WallClock(starts_at=at("09:00:00") + 4 * 86_400 * 1_000_000_000)
    assert run_live(settings(tmp_path), verbose=False, clock=sunday) == 0
    assert run_live(settings(tmp_path), verbose=False, clock=WallClock(starts_at=at("16:00:00"))) == 0


def test_an_expired_token_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LiveRefused, match="expired at 2023-11-15") as refused:
        run_live(
            settings(tmp_path, BOT_LIVE_ACCESS_TOKEN=EXPIRED),
            verbose=False,
            clock=WallClock(starts_at=at("09:00:00")),
        )
    assert EXPIRED not in str(refused.value)


def test_a_damaged_model_is_refused_in_words(tmp_path: Path) -> None:
    damaged = tmp_path / "model.tflite"
    content = bytearray(MODEL.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (tmp_path / "passport.json").write_text((MODEL.parent / "passport.json").read_text())
    with pytest.raises(LiveRefused, match=r"model\.tflite"):
        run_live(
            settings(tmp_path, BOT_MODEL__PATH=str(damaged)),
            verbose=False,
            clock=WallClock(starts_at=at("09:00:00")),
        )


@pytest.fixture
def twin() -> Iterator[TwinThread]:
    with TwinThread(starts_at=at("09:20:00"), speed=30) as running:
        yield running


def test_a_second_bot_in_the_same_folder_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "data")
    lock.take("mode paper")
    try:
        with pytest.raises(LiveRefused, match=rf"another bot works here \(pid {os.getpid()} .*mode paper\)"):
            run_live(settings(tmp_path), verbose=False, clock=WallClock(starts_at=at("09:00:00")))
    finally:
        lock.release()


def test_an_occupied_port_is_refused_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LiveRefused, match=f"{port} is taken"):
            run_live(
                settings(tmp_path, BOT_TELEMETRY__PORT=str(port)),
                verbose=False,
                clock=WallClock(starts_at=at("09:20:00")),
            )


def test_bot_run_trades_against_the_twin_on_the_wall_clock_and_sigterm_ends_it_flat(
    tmp_path: Path, twin: TwinThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """The very main of the container, 30 times faster than life: join late, trade, SIGTERM in a position.
    SIGUSR1 before it ends entries, and nothing else.
    """
    chosen = settings(
        tmp_path,
        GOOD.replace("freeze_quantity = 1800", "freeze_quantity = 1755")
        .replace("quantity = 75", "quantity = 65")
        .replace("lot = 75", "lot = 65"),
        BOT_BROKER__API_HOST=twin.rest,
        BOT_BROKER__ORDER_HOST=twin.rest,
        BOT_STRATEGY__THRESHOLD="0.01",
    )

    def terminate() -> None:
        twin.wait_long(seconds=40)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=terminate)
    killer.start()
    code = run_live(chosen, verbose=True, clock=twin.clock)
    killer.join()
    assert code == 0
    assert twin.position() == 0
    assert twin.traded() > 0
    said = capsys.readouterr().out
    assert '"event":"tick"' in said
    assert '"reason":"OPERATOR"' in said
    assert '"action":"STOP_ENTRIES","reason":"kill_signal"' in said
    rows = (tmp_path / "data" / "trades-2026-09-16.csv").read_text().splitlines()
    assert len(rows) >= 3


def test_the_module_runs_as_the_readme_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot", "twin", "--at", "25:00"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "time of day" in done.stderr


def test_a_demos_telemetry_address_that_makes_no_sense_or_is_taken_is_refused(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    for address in ("9100", "127.0.0.1:metrics", "127.0.0.1:70000"):
        assert "HOST:PORT" in invoke("demo", "--telemetry", address, "--out", out)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "is taken" in invoke("demo", "--no-picture", "--telemetry", address, "--out", out)
