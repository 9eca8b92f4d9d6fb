"""The one reader of tick files: what it takes, what it drops, and the words it refuses with."""

import gzip
import json
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.core.events import Tick
from bot.core.units import ist_text
from bot.storage.ticks import TickFile, TickFileError, TickFileKind, read_feeds, read_ticks
from tests.conftest import RECORDED

HEADER = "timestamp,instrument,ltp,ltq,bid_price,ask_price,bid_qty,ask_qty"


def real(name: str) -> Path:
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"SKIPPED FOR LACK OF DATA: {name} is not at ../shared/data")
    return path


def written(folder: Path, *lines: str, name: str = "ticks.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def refusal(path: Path) -> TickFileError:
    with pytest.raises(TickFileError) as refused:
        list(TickFile(path))
    assert str(path) in str(refused.value)
    return refused.value


def feed(
    ltp: float | None, *, bid: float = 99.9, ask: float = 100.1, second: int = 0, key: str = "NSE_FO|1"
) -> Any:
    market: dict[str, Any] = {
        "marketLevel": {"bidAskQuote": [{"bidQ": "5", "bidP": bid, "askQ": "7", "askP": ask}, {}]}
    }
    if ltp is not None:
        market["ltpc"] = {"ltp": ltp, "ltt": "1765771373160", "ltq": "35", "cp": 90.0}
    return {
        "fullFeed": {"marketFF": market},
        "requestMode": "full_d5",
        "instrumentKey": key,
        "_insertion_time": f"2025-12-15 09:32:{second:02d}.113000",
    }


def recording(folder: Path, *feeds: Any) -> Path:
    path = folder / "feeds.json"
    path.write_text(json.dumps(list(feeds), indent=4))
    return path


# --- the real files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ticks", "duplicates", "quoted"),
    [
        ("ticks/BANKNIFTY_55800_PE_2025-08-01.csv.gz", 13_990, 896, 0),  # its ask column repeats the quantity
        ("ticks/SENSEX_index_2025-08-04.csv.gz", 12_670, 0, 0),
        ("ticks/SENSEX_index_2025-08-11.CSV.xls.gz", 12_743, 0, 0),  # a name that lies
        ("upstox_v3/NSE_FO_51414_2025-12-15.json.gz", 24_189, 1_717, 24_189),
        ("upstox_v3/NSE_FO_51510_2025-12-15.json.gz", 18_750, 614, 18_750),
    ],
)
def test_a_real_file_gives_every_tick_once(name: str, ticks: int, duplicates: int, quoted: int) -> None:
    """Rows = ticks + duplicates: nothing else is lost. A book that can't be true is not called a quote."""
    file = TickFile(real(name))
    assert sum(1 for _ in file) == ticks
    assert (file.ticks, file.duplicates, file.depth_only, file.quoted) == (ticks, duplicates, 0, quoted)


@pytest.mark.parametrize(
    "name",
    [
        "upstox_v3/NSE_EQ_INE118H01025_2025-12-15.json.gz",
        "upstox_v3/NSE_FO_51461_2025-12-15.json.gz",
        "upstox_v3/NSE_FO_51498_2025-12-15.json.gz",
        "upstox_v3/NSE_FO_51507_2025-12-15.json.gz",
        "wire/v3_full_d5_index_eq_fo_2025-11-27.json",
        "wire/v3_ltpc_41_equities_2025-10-08.json",
        "wire/v3_sequence_full_d5_ICICIBANK_2025-03-19.jsonl",
    ],
)
def test_every_real_recording_opens_and_names_its_instruments(name: str) -> None:
    file = TickFile(real(name))
    first = list(islice(file, 2000))
    assert file.kind is TickFileKind.RECORDED_V3
    assert all("|" in tick.instrument and tick.ltp > 0 and tick.ltt > 0 for tick in first)


@pytest.mark.parametrize(
    "name",
    [
        "ticks/SENSEX_index_2025-08-05_headerless.csv.gz",
        "ticks/NIFTY_index_2022-08-12.csv.gz",
        "ticks/NIFTY_index_2022-09-23.csv.gz",
        "ticks/NIFTY_index_2022-10-25.csv.gz",
        "ticks/NIFTY_index_2022-11-28.csv.gz",
        "ticks/NIFTY_FUT_depth_2025-12-29.csv.gz",
        "ticks/option_undated_kalman_output.csv.gz",
        "ticks/seed_log_2025-08-07_run2_head.log.gz",
    ],
)
def test_a_real_file_without_the_header_is_refused_at_line_one_with_what_to_add(name: str) -> None:
    error = refusal(real(name))
    assert error.line == 1
    assert "`timestamp`" in str(error)
    assert "`ltp`" in str(error)
    assert "Add that line" in str(error)


def test_real_files_that_hold_something_else_are_refused_in_words() -> None:
    assert "holds no ticks" in str(refusal(real("wire/v3_market_info_2025-03-19.json")))
    assert "no recorded feed" in str(refusal(real("wire/portfolio_stream_samples.json")))


def test_the_first_tick_of_a_real_recording_is_the_recorders() -> None:
    tick = next(read_ticks(real("upstox_v3/NSE_FO_51414_2025-12-15.json.gz")))
    assert ist_text(tick.at) == "2025-12-15T09:32:49.113+05:30"
    assert ist_text(tick.ltt) == "2025-12-15T09:32:53.160+05:30"  # the recorder's clock was slow
    assert (tick.instrument, tick.ltp, tick.ltq) == ("NSE_FO|51414", 76310, 35)


# --- what is a tick -------------------------------------------------------------------------------------


def test_a_csv_row_becomes_a_tick_in_paise_and_ist(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, "2025-08-01 12:25:32.0625,NSE_FO|66846,580.05,70,578.55,579.3,35,105")
    (tick,) = read_ticks(path)
    assert ist_text(tick.at) == "2025-08-01T12:25:32.062+05:30"
    assert tick.at % 1_000_000_000 == 62_500_000
    assert tick == Tick(tick.at, tick.at, "NSE_FO|66846", 58005, 70, 0, 57855, 57930, 35, 105, 0)


def test_prices_alone_are_enough_and_unknown_columns_are_ignored(tmp_path: Path) -> None:
    path = written(
        tmp_path, " LTP ,Timestamp,note", "100.05,2025-08-01T09:15:00+05:30,x", name="my.option.csv"
    )
    (tick,) = read_ticks(path)
    assert (tick.ltp, tick.bid, tick.ask, tick.instrument) == (10005, 0, 0, "my")
    assert next(read_ticks(path, "NSE_FO|7")).instrument == "NSE_FO|7"


def test_only_a_quoted_row_can_be_a_duplicate(tmp_path: Path) -> None:
    """A repeat of a row without quotes is a message that repeats the price: the strategy counts it."""
    bare = written(tmp_path, "timestamp,ltp", *["2025-08-01 12:25:32,580"] * 3, name="bare.csv")
    assert TickFile(bare).ticks == 1  # opening looks at one
    assert len(list(TickFile(bare))) == 3
    row, other = (
        "2025-08-01 12:25:32,{},580,70,578.5,579,35,70",
        "2025-08-01 12:25:32,{},580,70,578.5,579,35,105",
    )
    rows = [row, row, other, row]
    file = TickFile(written(tmp_path, HEADER, *[line.format("A") for line in rows]))
    assert (len(list(file)), file.duplicates) == (3, 1)


def test_duplicates_are_told_apart_by_instrument(tmp_path: Path) -> None:
    row = "2025-08-01 12:25:32,{},580,70,578.5,579,35,70"
    file = TickFile(written(tmp_path, HEADER, *[row.format(key) for key in "ABAB"]))
    assert ([tick.instrument for tick in file], file.duplicates) == (["A", "B"], 2)


def test_a_recorded_feed_that_repeats_is_dropped_whatever_the_recorders_clock_says(tmp_path: Path) -> None:
    file = TickFile(
        recording(tmp_path, feed(100.0), feed(100.0, second=1), feed(100.0, ask=100.2), feed(100.0))
    )
    assert [tick.ask for tick in file] == [10010, 10020, 10010]
    assert file.duplicates == 1


def test_depth_alone_moves_the_quotes_and_is_no_tick(tmp_path: Path) -> None:
    partial = {"fullFeed": {"marketFF": {"ltpc": {"ltp": 101.0}}}, "requestMode": "full_d5"}
    frame = {"feeds": {"NSE_FO|1": partial}, "currentTs": "1765771374000"}
    info = {"type": "market_info", "marketInfo": {}, "currentTs": "1765771374000"}
    file = TickFile(recording(tmp_path, feed(100.0), feed(None, bid=100.4, ask=100.6), info, frame))
    first, second = file
    assert file.depth_only == 1
    assert (first.bid, first.ask, first.bid_quantity, first.exchange_at) == (9990, 10010, 5, 0)
    assert (second.bid, second.ask, second.exchange_at) == (10040, 10060, 1765771374000 * 1_000_000)


def test_a_csv_row_of_quotes_alone_is_no_tick(tmp_path: Path) -> None:
    rows = ["2025-08-01 12:25:32,A,580,70,578.5,579,35,70", "2025-08-01 12:25:33,A,,,578.6,579,35,70"]
    file = TickFile(written(tmp_path, HEADER, *rows))
    assert (len(list(file)), file.depth_only) == (1, 1)


@pytest.mark.parametrize(
    ("quotes", "bid", "ask"),
    [
        ("578.5,579,35,70", 57850, 57900),
        ("578.5,35,35,35", 57850, 0),  # the quantity in the price's column
        ("35,579,35,70", 0, 57900),
        ("578.5,50,35,70", 57850, 0),  # crossed: the far side is the wrong one
        ("900,579,35,70", 0, 57900),
        (",,,", 0, 0),
        ("0,579,0,70", 0, 57900),
    ],
)
def test_a_quote_that_cannot_be_true_is_not_known(tmp_path: Path, quotes: str, bid: int, ask: int) -> None:
    file = TickFile(written(tmp_path, HEADER, f"2025-08-01 12:25:32,A,580,70,{quotes}"))
    assert [(tick.bid, tick.ask) for tick in file] == [(bid, ask)]
    assert file.quoted == (bid > 0 and ask > 0)


# --- by content, never by name --------------------------------------------------------------------------


def test_gzip_and_json_are_known_by_their_content(tmp_path: Path) -> None:
    text = f"{HEADER}\r\n2025-08-01 12:25:32,A,580,70,578.5,579,35,70\r\n"
    plain, packed, marked = tmp_path / "a.json.gz", tmp_path / "b.csv", tmp_path / "c.txt"
    plain.write_bytes(text.encode())
    packed.write_bytes(gzip.compress(text.encode()))
    marked.write_bytes(text.encode("utf-8-sig"))
    assert list(read_ticks(plain)) == list(read_ticks(packed)) == list(read_ticks(marked))
    feeds = tmp_path / "d.csv"
    feeds.write_bytes(gzip.compress(json.dumps([feed(100.0)]).encode()))
    assert TickFile(feeds).kind is TickFileKind.RECORDED_V3


def test_read_feeds_gives_the_recording_untouched(tmp_path: Path) -> None:
    rows = [feed(100.0), feed(100.0, second=1), feed(None, key="NSE_FO|2")]
    feeds = list(read_feeds(recording(tmp_path, *rows)))
    assert [(f.instrument, dict(f.feed)) for f in feeds] == [
        (row["instrumentKey"], {k: row[k] for k in ("fullFeed", "requestMode")}) for row in rows
    ]
    with pytest.raises(TickFileError, match="not a recording"):
        read_feeds(written(tmp_path, HEADER, "2025-08-01 12:25:32,A,580,70,578.5,579,35,70"))


def test_values_longer_than_a_read_are_put_together(tmp_path: Path) -> None:
    """Whole frames of many instruments span several reads; lines are still counted."""
    big = {
        "feeds": {f"NSE_FO|{i}": {"ltpc": {"ltp": 100.0 + i}} for i in range(20_000)},
        "currentTs": "1765771374000",
    }
    path = tmp_path / "frames.jsonl"
    path.write_text(f"{json.dumps(big)}\n{json.dumps(big)}\n{{")
    error = refusal(path)
    assert (error.line, "cut off" in error.problem) == (3, True)
    assert sum(1 for _ in islice(TickFile(path), 20_000)) == 20_000


# --- damage ---------------------------------------------------------------------------------------------

GOOD = "2025-08-01 12:25:32,A,580,70,578.5,579,35,70"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2025-08-01 12:25:32,A,580,70,578.5", "5 columns where the header names 8"),
        ("2025-08-01 12:25:32,A,,70,,,,", "`ltp` is missing"),
        ("2025-08-01 12:25:32,A,0,70,578.5,579,35,70", "`ltp` is 0"),
        ("2025-08-01 12:25:32,A,nan,70,578.5,579,35,70", "`ltp` is nan"),
        ("2025-08-01 12:25:32,A,1e999,70,578.5,579,35,70", "`ltp` is 1e999"),
        ("2025-08-01 12:25:32,A,five,70,578.5,579,35,70", "five"),
        ("yesterday,A,580,70,578.5,579,35,70", "the time `yesterday`"),
        ("2025-08-01 12:25:32,A,580,70,-1,579,35,70", "`bid_price` is -1"),
        ('2025-08-01 12:25:32,A,"580,70,578.5,579,35,70', "damaged"),
    ],
)
def test_a_damaged_row_is_named_by_its_line(tmp_path: Path, row: str, words: str) -> None:
    error = refusal(written(tmp_path, HEADER, GOOD, "", row))
    assert error.line == 4
    assert words in str(error)
    assert "line" in error.problem  # … Repair or delete this line.


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"hello": 1}, "no recorded feed"),
        ({"instrumentKey": "A"}, "_insertion_time"),
        ({"instrumentKey": "A", "_insertion_time": 5}, "no feed"),
        ({"instrumentKey": "A", "_insertion_time": "noon"}, "noon"),
        ({"instrumentKey": "A", "_insertion_time": "2025-12-15 09:32:49", "fullFeed": 7}, "damaged"),
        ({"feeds": {"A": {"ltpc": {"ltp": "much"}}}, "currentTs": "1"}, "damaged"),
        (17, "no feed"),
    ],
)
def test_a_damaged_feed_is_named_by_its_line(tmp_path: Path, value: Any, words: str) -> None:
    path = tmp_path / "feeds.json"
    path.write_text(f"[\n{json.dumps(feed(100.0))},\n{json.dumps(value)}\n]")
    error = refusal(path)
    assert error.line == 3
    assert words in str(error)


def test_what_is_cut_off_is_said_to_be(tmp_path: Path) -> None:
    lines = [HEADER, *(f"2025-08-01 12:25:32,A,{580 + i},70,578.5,579,35,70" for i in range(20_000))]
    packed = gzip.compress("\n".join(lines).encode())
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    assert "compressed file is damaged" in str(refusal(tmp_path / "cut.gz"))
    (tmp_path / "flip.gz").write_bytes(packed[:-6] + b"\x00\x00" + packed[-4:])
    assert "compressed file is damaged" in str(refusal(tmp_path / "flip.gz"))
    whole = json.dumps([feed(100.0), feed(101.0)])
    (tmp_path / "cut.json").write_text(whole[:-40])
    assert "cut off" in str(refusal(tmp_path / "cut.json"))
    (tmp_path / "open.json").write_text(whole[:-1])
    assert "not closed" in str(refusal(tmp_path / "open.json"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"timestamp,ltp\n", "holds no ticks"),
        (b"[]", "holds no ticks"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "not text"),
        (b"PK\x03\x04\xff\xfe\x00", "not text"),
        (b"SQLite format 3\x00" + bytes(100), "database"),
        (b"timestamp,ltp,ltp\n2025-08-01 12:25:32,1,2\n", "twice"),
    ],
)
def test_what_is_no_tick_file_is_refused_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert words in str(refusal(path))


def test_a_file_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    assert "can't be read" in str(refusal(tmp_path / "none.csv"))
    assert "can't be read" in str(refusal(tmp_path))


def test_opening_refuses_what_the_first_tick_would(tmp_path: Path) -> None:
    """So that no command starts a day and finds out later."""
    with pytest.raises(TickFileError):
        TickFile(written(tmp_path, "2025-08-01 12:25:32,580"))
    with pytest.raises(TickFileError):
        read_ticks(written(tmp_path, "2025-08-01 12:25:32,580"))


_PIECES = (
    b"timestamp,ltp\n", b"2025-08-01 12:25:32,580\n", b"[", b"]", b"{", b"}", b",", b'"', b"\x1f\x8b",
    b"\xff", b"\n", json.dumps(feed(100.0)).encode(), b'"instrumentKey"', b":", b"1e999", b"null", b"\x00",
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(_PIECES) | st.binary(max_size=20), max_size=12).map(b"".join), st.booleans())
@example(b'{"a":' * 3000, False)
def test_no_content_whatever_gives_a_traceback(tmp_path: Path, content: bytes, packed: bool) -> None:
    path = tmp_path / "any"
    path.write_bytes(gzip.compress(content) if packed else content)
    with suppress(TickFileError):
        assert all(tick.ltp > 0 for tick in TickFile(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 10_000_000), min_size=1, max_size=30))
def test_prices_arrive_to_the_paisa(tmp_path: Path, prices: list[int]) -> None:
    rows = [f"2025-08-01 12:25:{i:02d},{p // 100}.{p % 100:02d}" for i, p in enumerate(prices)]
    assert [tick.ltp for tick in read_ticks(written(tmp_path, "timestamp,ltp", *rows))] == prices
