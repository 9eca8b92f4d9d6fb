"""Each defect that recordings are known to have gets a clear verdict of `bot backtest`: accepted with a note,
or refused with file and line. All files are made here; their shapes are those of recordings met in the field.
"""

import json
from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.core.rules import Rules
from bot.core.session import Session
from bot.core.units import ist_nanos
from bot.research.direct_day import DirectDay
from bot.research.recording import load
from tests.conftest import DAY
from tests.test_backtest import FREE, eager

CLI = CliRunner()
KEY = "NSE_FO|51414"
FULL = "timestamp,instrument,ltp,ltq,bid_price,ask_price,bid_qty,ask_qty"


def clock(second: float, start: str = "09:20:00") -> str:
    """`second` after `start`, as recorders write it."""
    hour, minute, base = map(int, start.split(":"))
    total = hour * 3600 + minute * 60 + base + second
    whole = int(total)
    text = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{round((total - whole) * 1e6):06d}" if total != whole else text


def price(number: int) -> float:
    return 300 + (number * 7 % 11) * 0.05


class Feeds:
    """Recorded V3 feeds as a recorder prints them."""

    def __init__(self, key: str = KEY, *, clock_behind: float = 0.0) -> None:
        self.rows: list[dict[str, Any]] = []
        self._key, self._behind = key, clock_behind

    def add(self, second: float, ltp: float, *, bid: float | None = None, ask: float | None = None,
            traded: float | None = None, volume: int = 0) -> "Feeds":  # fmt: skip
        """`second` and `traded` are the exchange's; the recorder's clock may be behind."""
        traded = second - 0.3 if traded is None else traded
        midnight = ist_nanos(DAY, time(9, 20))
        ltt = midnight // 1_000_000 + round(traded * 1000)
        quotes = {
            "bidQ": "350", "bidP": ltp - 0.1 if bid is None else bid,
            "askQ": "420", "askP": ltp + 0.1 if ask is None else ask,
        }  # fmt: skip
        market = {
            "ltpc": {"ltp": ltp, "ltt": str(ltt), "ltq": "35", "cp": 290.0},
            "marketLevel": {"bidAskQuote": [quotes]},
            "vtt": str(volume),
        }
        self.rows.append(
            {
                "fullFeed": {"marketFF": market},
                "requestMode": "full_d5",
                "instrumentKey": self._key,
                "_insertion_time": f"2026-09-16 {clock(second - self._behind)}",
            }
        )
        return self


def feeds(**how: float) -> Feeds:
    made = Feeds(**how)
    for number in range(120):
        made.add(number + 0.5, price(number), volume=number * 35)
    return made


def wire(made: Feeds | list[dict[str, Any]]) -> str:
    return json.dumps(made.rows if isinstance(made, Feeds) else made)


def rows(seconds: range | list[int], *, start: str = "09:20:00", day: str = "2026-09-16") -> list[str]:
    return [
        f"{day} {clock(second, start)},{KEY},{price(n):.2f},35,"
        f"{price(n) - 0.1:.2f},{price(n) + 0.1:.2f},350,420"
        for n, second in enumerate(seconds)
    ]


def table(*lines: str, header: str = FULL) -> str:
    return "\n".join((header, *lines) if header else lines) + "\n"


def duplicates() -> str:
    made = feeds()
    for number in range(0, 100, 20):
        made.rows.insert(number + 1, dict(made.rows[number]))
    return wire(made)


def gaps() -> str:
    """40, 125, 92 and 75 s."""
    made, second = Feeds(), 0.5
    for number in range(200):
        second += {40: 40.0, 80: 125.0, 120: 92.0, 160: 75.0}.get(number, 1.0)
        made.add(second, price(number))
    return wire(made)


def going_back() -> str:
    made = feeds()
    made.add(121, 300.0, traded=90.0, volume=90 * 35)
    made.add(122, 300.1, traded=121.9, volume=122 * 35)
    return wire(made)


def no_best_quotes() -> str:
    made = feeds()
    for second in range(121, 131):
        made.add(second, price(second), bid=0.0, ask=0.0)
    return wire(made)


def index_with_clock(seconds_behind: int) -> str:
    lines = []
    for number in range(60):
        ltt = ist_nanos(DAY, time(9, 20)) // 1_000_000 + (number + seconds_behind) * 1000
        lines.append(f"2026-09-16 {clock(number)},BSE_INDEX|SENSEX,{80_000 + number % 7},{ltt}")
    return table(*lines, header="timestamp,instrument,ltp,ltt")


class Defect(NamedTuple):
    name: str
    content: Callable[[], str]
    verdict: list[str]  # words of the notes; of the refusal where `line` is given
    file: str = "ticks.csv"
    line: int | None = None  # refused


DEFECTS = [
    # recorded V3 options
    Defect(
        "recorder's clock slow",
        lambda: wire(feeds(clock_behind=5.7)),
        ["clock was about 5.4 s behind"],
        "a.json",
    ),
    Defect("naive times", lambda: wire(feeds()), ["name no zone: they are read as Indian time"], "a.json"),
    Defect(
        "exact duplicates", duplicates, ["5 rows repeat the one before, byte for byte: dropped"], "a.json"
    ),
    Defect("gaps", gaps, ["3 gaps over 60 s, the longest 125 s: the filter starts afresh"], "a.json"),
    Defect("ltt and vtt go back", going_back, ["1 rows carry an older last trade"], "a.json"),
    # an equity
    Defect("zero best quotes", no_best_quotes, ["10 ticks show no bid or no ask: nothing fills"], "a.json"),
    Defect("no option", lambda: wire(feeds(key="NSE_EQ|INE118H01025")), ["is no option"], "a.json"),
    # CSV of an option
    Defect(
        "ask_price is a copy of ask_qty",
        lambda: table(
            *(
                f"2026-09-16 {clock(n)},{KEY},{price(n)},35,{price(n) - 0.1:.2f},420,350,420"
                for n in range(60)
            )
        ),
        ["60 of 60 ticks have no quotes: a spread is assumed", "the ask column repeats the size"],
    ),
    Defect(
        "consecutive duplicates",
        lambda: table(*(line for line in rows(range(60)) for _ in range(2))),
        ["60 rows repeat"],
    ),
    Defect(
        "unchanged price",
        lambda: table(
            *(f"2026-09-16 {clock(n)},{300 + n // 2 * 0.05:.2f}" for n in range(60)), header="timestamp,ltp"
        ),
        ["50 % of the ticks repeat the last price: kept, each is a tick"],
    ),
    Defect(
        "a gap of 306 s",
        lambda: table(*rows([*range(60), *range(365, 400)])),
        ["1 gaps over 60 s, the longest 306 s"],
    ),
    # prices without a time
    Defect(
        "no time at all",
        lambda: table(
            "386.6,384.67,192.3,0.005", header="Measured_Price,Estimated_Price,Estimated_Velocity,rel_diff"
        ),
        ["no column `timestamp` and `ltp` here"],
        line=1,
    ),
    Defect(
        "sessions glued together",
        lambda: table(*rows(range(60)), *rows(range(60), day="2026-09-17")),
        ["the file holds 2 days: each is a day of its own, from a fresh filter"],
    ),
    Defect(
        "a session glued before an earlier one",
        lambda: table(*rows(range(60), start="10:00:00"), *rows(range(60))),
        ["1 rows were out of order of time: sorted", "1 gaps over 60 s"],
    ),
    Defect(
        "a jump of price between glued sessions",
        lambda: table(
            *(f"2026-09-16 {clock(n)},{300 + 47 * (n >= 30) + n % 3 * 0.05:.2f}" for n in range(60)),
            header="timestamp,ltp",
        ),
        ["1 moves over 10 % from one tick to the next (the largest 300.10 → 347.00): held until three agree"],
    ),
    # indices
    Defect(
        "headerless", lambda: table(*rows(range(60)), header=""), ["the first line must be a header"], line=1
    ),
    Defect(
        "a CSV named .xls",
        lambda: table(*rows(range(60))),
        ["its name ends in .xls, its content is csv: the content counts"],
        "ticks.CSV.xls",
    ),
    Defect(
        "a clock 9 s behind", lambda: index_with_clock(9), ["clock was about 9.0 s behind", "is no option"]
    ),
    Defect(
        "not tradable",
        lambda: index_with_clock(0),
        ["BSE_INDEX|SENSEX is no option: charges and fills are those"],
    ),
    Defect(
        "pre-open junk",
        lambda: table(*rows(range(20), start="09:00:00"), *rows(range(40), start="09:15:00")),
        ["20 ticks before the open and 0 after the close are not used"],
    ),
    Defect("a gap of 991 s", lambda: table(*rows([0, 1, 992, 993])), ["the longest 991 s"]),
    # others
    Defect(
        "a book without a last price",
        lambda: table(
            "2026-09-16 14:10:09.81,49543,25961.4,25963.3", header="time_ist,security_id,best_bid,best_ask"
        ),
        ["no column `timestamp` and `ltp` here"],
        line=1,
    ),
    Defect(
        "frames of the wire, partly put together by hand",
        lambda: wire(
            [{"type": "market_info", "currentTs": "1789530600000", "marketInfo": {}}, *feeds().rows]
        ),
        ["the recording ends at"],
        "frames.json",
    ),
    Defect(
        "another stream's messages",
        lambda: wire([{"update_type": "order", "order_id": "1"}]),
        ["this is no recorded feed"],
        "orders.json",
        1,
    ),
    Defect(
        "a frame cut off",
        lambda: wire(feeds())[:-400],
        ["the value that begins here is cut off"],
        "cut.json",
        1,
    ),
    Defect(
        "a row cut off",
        lambda: table(*rows(range(30)), rows([31])[0][:25]),
        ["columns where the header names 8"],
        line=32,
    ),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_gets_a_clear_verdict(defect: Defect, tmp_path: Path) -> None:
    path = tmp_path / defect.file
    path.write_text(defect.content())
    done = CLI.invoke(app, ["backtest", str(path), "--filter", "none"])
    assert "Traceback" not in done.output
    if defect.line is not None:
        assert done.exit_code == 2
        assert f"{path}, line {defect.line}: " in done.output
        assert done.stdout == ""
        said = done.output
    else:
        assert done.exit_code == 0, done.output
        notes = [note for file in json.loads(done.stdout)["files"] for note in file["notes"]]
        said = "\n".join(notes)
    for words in defect.verdict:
        assert words in said, said


# ---- what the verdicts rest on ----------------------------------------------------------------------------


def test_nothing_fills_on_a_side_that_is_empty(tmp_path: Path) -> None:
    """Buyers vanish under a position: in a recording that shows its book, no price is made up to sell at."""
    made = Feeds()
    for number in range(400):
        empty = {"bid": 0.0} if number >= 200 else {}
        made.add(number + 0.5, 300 + (number % 20 - 10) * 0.5, volume=number * 35, **empty)
    path = tmp_path / "one-sided.json"
    path.write_text(wire(made))
    (day,) = load(path)
    assert day.spread == "quoted"
    assert day.assumed == 0
    assert sum(tick.bid == 0 for tick in day.ticks) == 200
    vanish = day.ticks[200].at
    run = DirectDay(day.contracts, Rules(risk=FREE), Session.on(DAY), eager)
    run.run(day.ticks)
    sells = [fill for fill in run.fills if fill.side == "SELL"]
    assert sells, "there were buyers before"
    assert all(fill.at < vanish for fill in sells)
    assert any(fill.side == "BUY" and fill.at >= vanish for fill in run.fills), "sellers are still there"
    assert run.unclosed_value > 0


def test_instruments_of_one_file_are_not_compared_with_each_other(tmp_path: Path) -> None:
    lines = []
    for n in range(60):
        lines += [f"2026-09-16 {clock(n)},A,300.{n % 3}5", f"2026-09-16 {clock(n)},B,900.{n % 3}5"]
    lines.append(f"2026-09-16 {clock(100)},A,300.25")
    path = tmp_path / "two.csv"
    path.write_text(table(*lines, f"2026-09-16 {clock(101)},B,900.25", header="timestamp,instrument,ltp"))
    (day,) = load(path)
    text = " ".join(day.notes)
    assert "moves over 10 %" not in text
    assert not day.gaps, "40 s of silence in each"
    assert day.stale == pytest.approx(2 / 122, abs=0.01)


def test_a_refusal_is_the_same_from_many_processes(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(table(*rows(range(60))))
    bad.write_text(table(*rows(range(60)), "2026-09-16 09:30:00,x"))
    done = CLI.invoke(app, ["backtest", str(good), str(bad), "--jobs", "2", "--filter", "none"])
    assert done.exit_code == 2
    assert f"{bad}, line 62: 2 columns where the header names 8" in done.output
    assert "Traceback" not in done.output
