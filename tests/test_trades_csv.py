"""The day's CSV: the contract's columns, exact money, one row a fill whatever happens to process and disk."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.commands import Decision, Reason, RecordFill
from bot.core.events import Side
from bot.core.units import IST, nanos_of
from bot.run.ports import Record
from bot.storage.journal import SqliteJournal, journal_path
from bot.storage.records import boot_record, record_of
from bot.storage.trades import COLUMNS, TradeRow, TradesCsv, TradesFailed, rows_of, summary, trades_path

REPOSITORY = Path(__file__).parents[1]
DAY = date(2026, 9, 16)
AT = nanos_of(datetime(2026, 9, 16, 9, 31, 5, 123_456, IST))
NAN = float("nan")
CONTRACT_COLUMNS = (
    "time_ist,instrument,side,reason,quantity,price,decision_price,estimate,velocity,rel_diff,probability,"
    "slippage,charges,realized_pnl_net,position_after,order_id,exchange_order_id,trade_id,exchange_time,product,"
    "tag,model,config"
)
BUY = RecordFill(
    at=AT,
    instrument="NSE_FO|51414",
    side=Side.BUY,
    reason=Reason.ENTRY,
    quantity=75,
    value=75 * 452_35,
    decision=Decision(AT, 452_30, 452.5, -0.031, -0.000442, 0.71),
    slippage=75 * 5,
    charges=27_41,
    realized_pnl_net=-27_41,
    position_after=75,
    order_id="260916000000001",
    exchange_order_id="1100000000000001",
    exchange_time="2026-09-16 09:31:05",
    product="D",
    tag="k260916r1n1",
)
SELL = BUY._replace(
    at=AT + 60_000_000_000,
    side=Side.SELL,
    reason=Reason.STOP_LOSS,
    value=75 * 401_00,
    slippage=75 * 130,
    charges=70_00,
    realized_pnl_net=75 * (401_00 - 452_35) - 70_00,
    position_after=0,
    order_id="260916000000002",
    tag="k260916r1n2",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return trades_path(tmp_path / "data", DAY)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def row(fill: RecordFill) -> TradeRow:
    return TradeRow(fill, "m1", "c1")


def made(path: Path, *fills: RecordFill) -> TradesCsv:
    trades = TradesCsv(path)
    trades.rewrite(map(row, fills))
    return trades


# --- what a row says ------------------------------------------------------------------------------------


def test_the_columns_are_the_contracts_and_stand_there_on_a_day_without_trades(path: Path) -> None:
    made(path)
    assert path.name == "trades-2026-09-16.csv"
    assert path.read_text() == CONTRACT_COLUMNS + "\n"


def test_a_row_to_the_last_character(path: Path) -> None:
    trades = made(path)
    trades.append(BUY, model="first-3f2a", config="9c11")
    assert path.read_text().splitlines()[1] == (
        "2026-09-16T09:31:05.123+05:30,NSE_FO|51414,BUY,ENTRY,75,452.35,452.30,452.500000,-0.031000,-0.000442,"
        "0.710000,3.75,27.41,-27.41,75,260916000000001,1100000000000001,,2026-09-16 09:31:05,D,k260916r1n1,"
        "first-3f2a,9c11"
    )


def test_what_was_not_known_is_empty_and_text_of_others_cannot_break_the_row(path: Path) -> None:
    trades = made(path)
    odd = BUY._replace(
        decision=Decision(0, 0, NAN, NAN, NAN, NAN), exchange_time='a,"b"\nc\r', order_id="\ud800x"
    )
    trades.append(odd, model="", config="", trade_id="T9")
    (found,) = read(path)
    assert [
        found[name] for name in ("decision_price", "estimate", "velocity", "rel_diff", "probability")
    ] == [""] * 5
    assert found["exchange_time"] == 'a,"b"\nc\r'
    assert found["trade_id"] == "T9"
    assert tuple(found) == COLUMNS


@given(st.integers(1, 10**9), st.integers(1, 5000))
def test_the_price_is_the_average_exact_or_to_four_decimals(value: int, quantity: int) -> None:
    from bot.storage.trades import _price

    text = _price(value, quantity)
    exact = Decimal(value) / quantity / 100
    decimals = len(text.partition(".")[2])
    assert decimals == (2 if value % quantity == 0 else 4)
    assert Decimal(text) == exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


@given(st.integers(-(10**12), 10**12))
def test_money_is_exact(amount: int) -> None:
    from bot.storage.trades import _rupees

    assert Decimal(_rupees(amount)) == Decimal(amount) / 100


# --- crashes and full disks -----------------------------------------------------------------------------


def test_a_restart_rebuilds_the_file_from_the_journal_and_doubles_nothing(path: Path, tmp_path: Path) -> None:
    """The first run journals two fills and dies before the second row; the torn row is on disk."""
    journal = SqliteJournal(journal_path(tmp_path, DAY))
    journal.commit([boot_record(AT, model="m1", config="c1"), record_of(AT, BUY)])
    trades = made(path)
    trades.append(BUY, model="m1", config="c1")
    journal.commit([record_of(AT, SELL)])
    with path.open("a") as torn:
        torn.write("2026-09-16T09:32:05.123+05:30,NSE_FO|51414,SE")
    again = TradesCsv(path)
    again.rewrite(rows_of(journal.read()))
    again.append(SELL, model="m1", config="c1")  # told once more: the same fill, not another
    assert [(found["side"], found["model"], found["config"]) for found in read(path)] == [
        ("BUY", "m1", "c1"),
        ("SELL", "m1", "c1"),
    ]
    journal.close()


def test_each_fill_carries_the_model_and_configuration_of_its_own_boot() -> None:
    day: list[Record] = [
        boot_record(1, model="m1", config="c1"),
        record_of(2, BUY),
        boot_record(3, model="m2", config="c2"),
        record_of(4, SELL),
    ]
    assert [(made.fill.side, made.model, made.config) for made in rows_of(day)] == [
        (Side.BUY, "m1", "c1"),
        (Side.SELL, "m2", "c2"),
    ]


def test_equal_looking_partial_fills_are_both_written(path: Path) -> None:
    trades = made(path)
    trades.append(BUY._replace(quantity=25, value=25 * 452_35, position_after=25), model="", config="")
    trades.append(BUY._replace(quantity=25, value=25 * 452_35, position_after=50), model="", config="")
    assert [found["position_after"] for found in read(path)] == ["25", "50"]


def test_rows_of_a_lost_journal_stay_until_their_order_is_heard_of_again(path: Path) -> None:
    made(path, BUY, SELL)
    lost = made(path)  # the journal is gone: it knows of no fill
    assert [found["tag"] for found in read(path)] == [BUY.tag, SELL.tag]
    lost.append(
        BUY._replace(at=AT + 5, reason=Reason.RECOVERY), model="", config=""
    )  # adopted from the broker
    assert [(found["tag"], found["reason"]) for found in read(path)] == [
        (SELL.tag, "STOP_LOSS"),
        (BUY.tag, "RECOVERY"),
    ]


def test_a_row_whose_journal_record_failed_survives_a_restart(path: Path) -> None:
    """The disk refused the journal's second record and took the CSV's row; the broker then tells it again."""
    part = BUY._replace(quantity=25, value=25 * 452_35, position_after=25)
    rest = BUY._replace(at=AT + 1_000_000_000, quantity=50, value=50 * 452_35)
    made(path, part).append(rest, model="m1", config="c1")
    again = made(path, part)
    again.rewrite([row(part)])  # however often
    assert [found["quantity"] for found in read(path)] == ["50", "25"]
    again.append(rest._replace(at=AT + 60_000_000_000), model="m1", config="c1")
    assert [found["quantity"] for found in read(path)] == ["25", "50"]


def test_rows_before_the_damage_of_a_file_survive_it(path: Path) -> None:
    made(path, BUY)
    with path.open("a") as file:
        file.write('"' + "x" * 200_000)
    made(path)
    assert [found["tag"] for found in read(path)] == [BUY.tag]


def test_what_is_learnt_of_a_trade_at_the_end_of_the_day_replaces_its_row(path: Path) -> None:
    trades = made(path, BUY)
    trades.rewrite([row(BUY._replace(exchange_time="later"))._replace(trade_id="T1")])
    assert [(found["trade_id"], found["exchange_time"]) for found in read(path)] == [("T1", "later")]


def test_a_failed_row_is_kept_and_written_with_the_next(path: Path) -> None:
    trades = made(path, BUY)
    shutil.rmtree(path.parent)
    path.parent.touch()  # a file where the folder was: every write fails
    with pytest.raises(TradesFailed, match="journal has the fills"):
        trades.append(SELL, model="m1", config="c1")
    with pytest.raises(TradesFailed):
        trades.settle()
    path.parent.unlink()
    trades.append(SELL._replace(tag="k260916r1n3"), model="m1", config="c1")
    assert [found["tag"] for found in read(path)] == [BUY.tag, SELL.tag, "k260916r1n3"]


def test_settle_writes_what_failed_and_touches_nothing_when_all_is_well(path: Path) -> None:
    trades = made(path, BUY)
    before = path.stat()
    trades.settle()
    assert path.stat() == before
    path.parent.rename(path.parent.with_name("away"))
    with pytest.raises(TradesFailed):
        trades.append(SELL, model="m1", config="c1")
    trades.settle()
    assert len(read(path)) == 2


def test_kill_nine_amid_appends_leaves_every_acknowledged_row(path: Path) -> None:
    child = textwrap.dedent("""
        import sys
        from pathlib import Path
        from tests.test_trades_csv import BUY, made
        trades = made(Path(sys.argv[1]))
        count = 0
        while True:
            count += 1
            trades.append(BUY._replace(tag=f"t{count}"), model="m", config="c")
            print(count, flush=True)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", child, str(path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(60)]
    os.kill(process.pid, signal.SIGKILL)
    said += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    acknowledged = int([line for line in said if line.endswith("\n")][-1])
    found = [line["tag"] for line in read(path) if line["config"] == "c"]
    assert found[:acknowledged] == [f"t{i}" for i in range(1, acknowledged + 1)]
    assert len(found) <= acknowledged + 1


# --- the sums -------------------------------------------------------------------------------------------


def test_a_day_without_fills_sums_to_nothing() -> None:
    nothing = summary([])
    assert nothing.trades == nothing.net == nothing.worst_slippage == nothing.worst_trade == 0
    assert nothing.holding == ()


def test_the_sums_of_a_day_with_a_stop_a_winner_in_parts_and_an_open_position() -> None:
    other = "BSE_FO|1"
    half = SELL._replace(
        reason=Reason.END_OF_DAY,
        quantity=25,
        value=25 * 500_00,
        charges=30_00,
        slippage=-10_00,
        position_after=50,
    )
    fills = [
        BUY,
        SELL,
        BUY._replace(tag="k3"),
        half._replace(tag="k4", realized_pnl_net=25 * (500_00 - 452_35) - 30_00),
        half._replace(
            tag="k5", quantity=50, value=50 * 500_00, realized_pnl_net=50 * 47_65 - 30_00, position_after=0
        ),
        BUY._replace(tag="k6", instrument=other, position_after=150),
    ]
    day = summary(fills)
    assert (day.fills, day.trades, day.wins, day.stops, day.flattens) == (6, 2, 1, 1, 1)
    gross = 75 * (401_00 - 452_35) + 75 * (500_00 - 452_35)
    charges = 3 * 27_41 + 70_00 + 2 * 30_00
    assert (day.gross, day.charges, day.net) == (gross, charges, gross - charges)
    assert day.worst_slippage == 75 * 130
    assert day.slippage == 3 * 75 * 5 + 75 * 130 - 2 * 10_00
    assert day.worst_trade == 75 * (401_00 - 452_35) - 70_00 - 27_41
    assert day.best_trade == 75 * 47_65 - 2 * 30_00 - 27_41
    assert day.turnover == 3 * 75 * 452_35 + 75 * 401_00 + 75 * 500_00
    assert day.holding == ((other, 150),)
