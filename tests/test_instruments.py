"""The instrument master: streamed in a child process, refused when not whole, small in our own memory."""

import asyncio
import gzip
import json
import os
import stat
import subprocess
import sys
import textwrap
from datetime import date, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.rules import RiskRules
from bot.core.selection import ContractRefused, Touch, Wish, choose, shortlist
from bot.core.units import ist_nanos
from bot.upstox import instruments
from bot.upstox.instrument_file import MasterDamaged, build, main, option, rows
from bot.upstox.instruments import CACHE_NAME, Master, MasterRefused, Wanted, fresh, load, ready, refresh
from tests.loopback import CountingClock, answer, hang, raw_serving, serving, unused_port

DAY = date(2026, 9, 16)
EXPIRY = date(2026, 9, 22)
MASTER = "instruments_complete_2025-11.json.gz"
MEMORY_MAX = 128 << 20
NIFTY = Wanted(frozenset({"NIFTY"}))
INDEX = {
    "segment": "NSE_INDEX",
    "name": "Nifty 50",
    "exchange": "NSE",
    "instrument_type": "INDEX",
    "instrument_key": "NSE_INDEX|Nifty 50",
    "exchange_token": "26000",
    "trading_symbol": "NIFTY",
}


def listed(strike=25000, kind="CE", expiry=EXPIRY, token=None, **changes) -> dict:
    """A row as the master writes it (upstox §6.6)."""
    token = token or str(strike + (1 if kind == "PE" else 0))
    return {
        "weekly": True,
        "segment": "NSE_FO",
        "name": "NIFTY",
        "exchange": "NSE",
        "expiry": ist_nanos(expiry, time(23, 59, 59)) // 1_000_000,
        "instrument_type": kind,
        "underlying_symbol": "NIFTY",
        "underlying_key": "NSE_INDEX|Nifty 50",
        "underlying_type": "INDEX",
        "instrument_key": f"NSE_FO|{token}",
        "lot_size": 65,
        "freeze_quantity": 1755.0,
        "exchange_token": token,
        "minimum_lot": 65,
        "tick_size": 5.0,
        "trading_symbol": f"NIFTY {strike} {kind}",
        "strike_price": float(strike),
    } | changes


SHARE = listed(
    1400,
    token="59314",
    underlying_symbol="RELIANCE",
    underlying_type="EQUITY",
    trading_symbol="RELIANCE 1400 CE",
)
FUTURE = listed(0, "FUT", token="53001", trading_symbol="NIFTY FUT 29 SEP 26")
SENSEX = listed(80_000, token="8", segment="BSE_FO", exchange="BSE", underlying_symbol="SENSEX", lot_size=20)
EQUITY = {
    "segment": "NSE_EQ",
    "instrument_key": "NSE_EQ|INE118H01025",
    "instrument_type": "EQ",
    "name": "BSE }]{",
}
BROKEN = listed(26_000, lot_size=None)
ROWS = [EQUITY, INDEX, listed(), listed(25_050), listed(kind="PE"), SHARE, FUTURE, SENSEX]
PLAIN = json.dumps(ROWS, ensure_ascii=False).encode()
PACKED = gzip.compress(PLAIN, mtime=0)


class At(CountingClock):
    """Stands at 09:00 of the day."""

    def now(self) -> int:
        return ist_nanos(DAY, time(9)) + self.skipped


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "master.json.gz"
    path.write_bytes(PACKED)
    return path


def master_of(rows_, tmp_path, wanted=NIFTY, at="08:00") -> Master:
    """Through the reader and the cache, in this process."""
    fetched_at = ist_nanos(DAY, time.fromisoformat(at))
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows_))
    (tmp_path / CACHE_NAME).write_bytes(build(path, "test", fetched_at, wanted.underlyings, wanted.keys))
    return load(tmp_path / CACHE_NAME)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def cut(content: bytes, sizes) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(content[at : at + size])
        at += size
    return [piece for piece in [*pieces, content[at:]] if piece]


# ---- the stream -----


@given(st.sampled_from([PLAIN, PACKED]), st.lists(st.integers(1, 400), max_size=20))
def test_however_the_bytes_arrive_the_rows_are_the_same(content, sizes):
    assert list(rows(iter(cut(content, sizes)))) == ROWS


def test_spaces_and_letters_of_several_bytes_are_no_hindrance():
    text = json.dumps([{"name": "₹ – ए"}, {"a": [1, {"b": "]"}]}], indent=4, ensure_ascii=False)
    pieces = [bytes([byte]) for byte in f"\r\n {text} \n".encode()]
    assert list(rows(iter(pieces))) == json.loads(text)


@given(st.data())
@settings(max_examples=60)
def test_a_master_cut_off_anywhere_is_refused_and_never_half_used(data):
    content = data.draw(st.sampled_from([PLAIN, PACKED]))
    end = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(MasterDamaged):
        list(rows(iter(cut(content[:end], [100]))))


@given(place=st.integers(10, len(PACKED) - 9), change=st.integers(1, 255))
@settings(max_examples=60)
def test_one_wrong_byte_in_the_packed_file_is_noticed(place, change):
    """Also where it would still be JSON: the checksum is always looked at."""
    damaged = bytearray(PACKED)
    damaged[place] ^= change
    with pytest.raises(MasterDamaged):
        list(rows(iter([bytes(damaged)])))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>", "web page"),
        (gzip.compress(b"<html>", mtime=0), "web page"),
        (b'{"status": "error"}', "not a JSON array"),
        (b"[1, 2]", "not a list of instruments"),
        (b"[]trailing", "more after its end"),
        (b'[{"a": 1} rubbish' + b" " * 300_000 + b"]", "not JSON"),
        (b'[{"a": "\xff\xfe"}]', "not UTF-8"),
        (PACKED + b"tail", "more after its end"),
    ],
)
def test_what_is_no_master_is_named(content, words):
    with pytest.raises(MasterDamaged, match=words):
        list(rows(iter(cut(content, [7, 50_000, 200_000]))))


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr("bot.upstox.instrument_file._UNPACKED_BYTES_MAX", 1 << 20)
    with pytest.raises(MasterDamaged, match="far more"):
        list(rows(iter([gzip.compress(b"[" + b" " * (2 << 20) + b"]")])))


# ---- what is kept -----


def test_only_wanted_options_and_indices_are_kept(tmp_path):
    master = master_of(ROWS, tmp_path, Wanted(frozenset({"NIFTY"}), frozenset({"NSE_FO|59314"})))
    assert set(master.options) == {"NSE_FO|25000", "NSE_FO|25050", "NSE_FO|25001", "NSE_FO|59314"}
    assert master.indices == {"NSE_INDEX|Nifty 50": "NIFTY"}
    assert (master.known, master.rows) == (("NIFTY", "SENSEX"), len(ROWS))
    assert master.index_of("NIFTY") == "NSE_INDEX|Nifty 50"
    assert len(master.options_on("NIFTY")) == 3


def test_a_row_is_read_as_the_exchange_means_it(tmp_path):
    made = master_of(ROWS, tmp_path).option("NSE_FO|25001")
    assert (made.strike, made.expiry, made.lot, made.tick, made.freeze_quantity) == (
        25_000_00,
        EXPIRY,
        65,
        5,
        1755,
    )
    assert (made.underlying, made.option_type, made.exchange, made.on_index) == ("NIFTY", "PE", "NSE", True)
    ten_paise = option(listed(tick_size=10.0))
    assert ten_paise.tick == 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lot_size": 0}, "lot_size 0 is out of all bounds"),
        ({"tick_size": 0.25}, "tick_size 0.25 is not a whole number"),
        ({"freeze_quantity": -1.0}, "freeze_quantity"),
        ({"freeze_quantity": float("inf")}, "inf is out of all bounds"),
        ({"strike_price": 0.0}, "strike_price"),
        ({"expiry": None}, "expiry is missing"),
        ({"expiry": 1 << 80}, "expiry .* is out of all bounds"),
        ({"trading_symbol": ["?"]}, "trading_symbol is missing"),
        ({"lot_size": True}, "lot_size is missing"),
    ],
)
def test_a_wanted_row_that_can_not_be_used_is_refused_by_name_and_the_others_stay(tmp_path, change, words):
    master = master_of([listed(25_100, token="7") | change, *ROWS], tmp_path)
    assert "NSE_FO|25000" in master.options
    with pytest.raises(ContractRefused, match=f"NSE_FO.7: its row in .* can't be used: .*{words}"):
        master.contract_of("NSE_FO|7", 65, DAY)


def test_each_key_that_is_no_index_option_is_refused_with_what_it_is(tmp_path):
    wanted = Wanted(frozenset(), frozenset({"NSE_FO|59314", "NSE_FO|53001", "NSE_FO|99999", "NSE_FO|25000"}))
    master = master_of(ROWS, tmp_path, wanted)
    assert master.contract_of("NSE_FO|25000", None, DAY).quantity == 65
    for key, words in {
        "NSE_FO|59314": "settled by delivering shares",
        "NSE_FO|53001": "NIFTY FUT 29 SEP 26, a FUT of NSE_FO: only options",
        "NSE_FO|99999": "is not in the instrument master of 2026-09-16 08:00: it has expired, or never was",
    }.items():
        with pytest.raises(ContractRefused) as refused:
            master.contract_of(key, 65, DAY)
        assert words in str(refused.value)


def test_an_unknown_underlying_is_answered_with_those_there_are(tmp_path):
    master = master_of(ROWS, tmp_path, Wanted(frozenset({"NIFTY50"})))
    with pytest.raises(ContractRefused, match="NIFTY50 has no index options; there are: NIFTY, SENSEX"):
        master.options_on("NIFTY50")


def test_an_index_that_is_not_quoted_is_said(tmp_path):
    with pytest.raises(ContractRefused, match="is not in the instrument master"):
        master_of([row for row in ROWS if row is not INDEX], tmp_path).index_of("NIFTY")


def test_a_master_without_index_options_is_no_master(tmp_path):
    with pytest.raises(MasterDamaged, match="no index options"):
        master_of([EQUITY, SHARE, FUTURE], tmp_path)
    with pytest.raises(MasterDamaged, match="no instrument_key"):
        master_of([{"a": 1}], tmp_path)


def test_a_master_that_lists_the_past_is_pointed_out(tmp_path):
    master = master_of(ROWS, tmp_path)
    assert master.warnings(EXPIRY) == ()
    assert "expired on 2026-09-22" in master.warnings(EXPIRY + timedelta(days=1))[0]
    assert "expires today" in master.expiry_warning("NSE_FO|25000", EXPIRY, 0)


# ---- the child and the cache -----


async def test_the_child_reads_and_the_cache_serves_for_the_day(tmp_path, source):
    clock = At()
    master = await ready(clock, NIFTY, tmp_path / "data", str(source))
    assert set(master.options) == {"NSE_FO|25000", "NSE_FO|25050", "NSE_FO|25001"}
    assert clock.departures == 1
    assert clock.under_way == 0
    source.unlink()  # from here on the cache must do
    assert await ready(clock, NIFTY, tmp_path / "data", str(source)) == master
    assert names(tmp_path / "data") == [CACHE_NAME]  # nothing half-written stays
    with pytest.raises(MasterRefused, match="without today's"):
        await ready(clock, Wanted(frozenset({"SENSEX"})), tmp_path / "data", str(source))


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 0}', b"[]", b'{"version": 1}', b"\xff"])
async def test_a_damaged_cache_is_made_anew(tmp_path, source, content):
    (tmp_path / CACHE_NAME).write_bytes(content)
    with pytest.raises(MasterRefused):
        load(tmp_path / CACHE_NAME)
    if content == b"{":
        assert (await ready(At(), NIFTY, tmp_path, str(source))).options


@pytest.mark.parametrize(
    ("fetched", "now", "good"),
    [
        ("08:00", "09:00", True),
        ("05:00", "09:00", False),
        ("05:00", "05:30", True),
        ("09:30", "09:00", False),
    ],
)
def test_a_cache_is_good_for_its_day_once_the_days_master_is_out(tmp_path, fetched, now, good):
    master = master_of(ROWS, tmp_path, at=fetched)
    assert fresh(master, NIFTY, ist_nanos(DAY, time.fromisoformat(now))) is good
    assert not fresh(master, NIFTY, ist_nanos(DAY + timedelta(days=1), time(9)))
    assert not fresh(master, Wanted(keys=frozenset({"NSE_FO|1"})), ist_nanos(DAY, time.fromisoformat(now)))


async def test_it_is_downloaded_over_http(tmp_path):
    async with serving() as server:
        server.on("/complete.json.gz", answer(200, PACKED, "application/gzip"))
        master = await ready(At(), NIFTY, tmp_path, f"{server.base}/complete.json.gz")
        assert len(server.sent) == 1
        assert "authorization" not in server.sent[0].headers
    assert len(master.options) == 3
    assert names(tmp_path) == [CACHE_NAME]


async def test_each_bad_answer_of_the_server_is_a_sentence_and_leaves_the_old_cache(tmp_path, capsys):
    """The child's `main`, on a thread here: starting six interpreters proves no more."""
    cache = tmp_path / CACHE_NAME
    cache.write_text("yesterday's")
    async with (
        serving() as server,
        raw_serving(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + PACKED) as torn,
    ):
        server.on("/gone", answer(404, "no"))
        server.on("/html", answer(200, "<html>Cloudflare</html>", "text/html"))
        server.on("/half", answer(200, PACKED[:-20], "application/gzip"))
        cases = {
            f"{server.base}/gone": "the server answered with HTTP 404",
            f"{server.base}/html": "web page",
            f"{server.base}/half": "cut off",
            f"{torn.base}/torn": "can't be downloaded: RemoteProtocolError",
            f"http://127.0.0.1:{unused_port()}/": "can't be downloaded: ConnectError",
            "http://host:port/": "the address is wrong",
            str(tmp_path / "none.json.gz"): "No such file",
        }
        for source, words in cases.items():
            asked = ["--source", source, "--cache", str(cache), "--at", "1", "--underlying", "NIFTY"]
            assert await asyncio.to_thread(main, asked) == 1
            said = capsys.readouterr().out
            assert said.startswith(f"{source}: ")
            assert words in said
    assert cache.read_text() == "yesterday's"
    assert names(tmp_path) == [CACHE_NAME]


async def test_what_the_child_complains_of_becomes_a_refusal_that_says_what_to_do(tmp_path):
    nowhere = str(tmp_path / "none.json.gz")
    with pytest.raises(MasterRefused) as refused:
        await refresh(At(), NIFTY, tmp_path / CACHE_NAME, nowhere, seconds=30)
    assert str(refused.value).startswith(f"instrument master: {nowhere}: [Errno 2] No such file")
    assert "nothing is traded without today's. Try again" in str(refused.value)


def children() -> set[str]:
    listing = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, check=False
    )
    return {line for line in listing.stdout.decode().splitlines() if "instrument_file" in line}


async def test_a_child_that_takes_too_long_or_is_no_longer_wanted_is_ended(tmp_path):
    async with serving() as server:
        server.on("/slow", hang())
        with pytest.raises(MasterRefused, match=r"not read within 0\.3 s"):
            await refresh(At(), NIFTY, tmp_path / CACHE_NAME, f"{server.base}/slow", seconds=0.3)
        clock = At()
        unwanted = asyncio.create_task(
            refresh(clock, NIFTY, tmp_path / CACHE_NAME, f"{server.base}/slow", seconds=30)
        )
        while not children():
            await asyncio.sleep(0.02)
        unwanted.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unwanted
    assert not children()
    assert clock.under_way == 0


async def test_the_child_sees_no_secret_and_a_crash_of_it_is_told(tmp_path, monkeypatch):
    """The interpreter is replaced by one that shows its environment and dies as a crash would."""
    shown = tmp_path / "environment"
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nenv > {shown}\necho 'MemoryError: no' >&2\nexit 137\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setenv("BOT_LIVE_ACCESS_TOKEN", "the-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-key")
    with pytest.raises(MasterRefused, match="ended with 137 MemoryError: no"):
        await refresh(At(), NIFTY, tmp_path / CACHE_NAME, "anywhere", seconds=10)
    assert "PATH=" in shown.read_text()
    assert "the-" not in shown.read_text()


# ---- the real master -----

MEASURED = textwrap.dedent(
    """
    import asyncio, json, sys
    from datetime import date
    from pathlib import Path

    import bot.assemble.live  # everything that runs in a live day is loaded
    from bot.core.forecast import RelDiff
    from bot.run.live import WallClock
    from bot.storage.model import load_model
    from bot.upstox.instruments import Wanted, ready

    def peak(pid="self"):
        # VmHWM and not ru_maxrss: that one starts with the peak of the process that started us.
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10

    async def read():
        reading = asyncio.ensure_future(ready(WallClock(), wanted, Path(sys.argv[2]), sys.argv[1]))
        child = 0
        while not reading.done():
            for task in Path("/proc/self/task").iterdir():
                for pid in (task / "children").read_text().split():
                    try:
                        child = max(child, peak(pid))
                    except (OSError, IndexError):
                        pass  # ended meanwhile
            await asyncio.sleep(0.02)
        return reading.result(), child

    wanted = Wanted(frozenset({"NIFTY", "BANKNIFTY", "SENSEX"}), frozenset({"NSE_FO|51414"}))
    model = load_model(Path("models/trade_classifier.tflite"), rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)
    before = peak()
    master, child = asyncio.run(read())
    print(json.dumps({"before": before, "after": peak(), "child": child, "seconds": master.seconds,
                      "rows": master.rows, "options": len(master.options)}))
    """
)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="memory is read from Linux's /proc")
def test_the_bot_stays_within_128_mb_while_the_whole_real_master_is_read(recorded, tmp_path, record_property):
    """A live bot's process, model and all, reads 127,000 rows in its child; both peaks are the kernel's."""
    command = [sys.executable, "-c", MEASURED, str(recorded / "reference" / MASTER), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    record_property("figures", figures)
    print(figures)
    assert figures["rows"] == 126_978
    assert figures["options"] == 5_819
    assert figures["after"] <= MEMORY_MAX
    assert figures["child"] <= 64 << 20
    assert figures["child"] > 10 << 20, "the child was measured"


def test_lots_and_freezes_of_the_real_master_differ_by_expiry_as_the_table_says(recorded, tmp_path):
    """BANKNIFTY: 35/595 in December 2025, 30/600 in January 2026; and a choice on the real chain."""
    wanted = Wanted(frozenset({"BANKNIFTY"}), frozenset({"NSE_FO|51414"}))
    content = build(recorded / "reference" / MASTER, "real", 1, wanted.underlyings, wanted.keys)
    (tmp_path / CACHE_NAME).write_bytes(content)
    master = load(tmp_path / CACHE_NAME)
    assert not master.unreadable
    by_expiry = {one.expiry: (one.lot, one.freeze_quantity, one.tick) for one in master.options.values()}
    assert by_expiry[date(2025, 12, 30)] == (35, 595, 5)
    assert by_expiry[date(2026, 1, 27)] == (30, 600, 5)
    day = date(2025, 12, 15)
    made = master.contract_of("NSE_FO|51414", 595, day)
    assert (made.name, made.exchange, made.segment) == ("BANKNIFTY 59000 CE 30 DEC 25", "NSE", "NSE_FO")
    wish = Wish("BANKNIFTY", "PE")
    candidates = shortlist(master.options_on("BANKNIFTY"), wish, 59_310_00, day)
    touches = {one.key: Touch(600_00, 601_00) for one in candidates}
    chosen = choose(candidates, touches, wish, 59_310_00, day, RiskRules())
    assert (chosen.option.strike, chosen.option.expiry) == (59_300_00, date(2025, 12, 30))


def test_the_address_is_the_brokers_and_needs_no_login():
    assert instruments.SOURCE.startswith("https://assets.upstox.com/")
