"""The backtest: the very trades of the lockstep demo, all of its charges, and a verdict for each defect."""

import csv
import gzip
import io
import json
import math
from datetime import date, time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.backtest_words import print_outcome
from bot.assemble.demo import DemoOptions, run_demo
from bot.assemble.market import recorded_market
from bot.core.charges import NANOPAISE, NO_CHARGES, card_on
from bot.core.commands import Reason
from bot.core.events import Side, Tick
from bot.core.forecast import RelDiff
from bot.core.rules import Contract, RiskRules, Rules, StrategyRules
from bot.core.session import Session
from bot.core.units import SECOND, ist_text
from bot.research.backtest import Settings, Watcher, compare, trade_day
from bot.research.direct_day import DirectDay
from bot.research.lazy import lazy
from bot.research.outcome import block_bootstrap, drawdown, trips_of, verdict
from bot.research.recording import AS_RECORDED, Assumptions, RecordedDay, load
from bot.sim.market import Shock, SyntheticMarket
from bot.storage.model import load_model
from tests.compiled import plants
from tests.conftest import DAY, KEY, at

MODEL = Path(__file__).parents[1] / "models" / "trade_classifier.tflite"
CONTRACT = Contract(KEY, 65, 65, 5, 1755, "NSE")
FREE = RiskRules(guards=False)
CLI = CliRunner()


def classifier():
    return load_model(MODEL, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE).classifier


def synthetic_ticks(seed: int = 3, *, until: str = "10:00:00", shocks: tuple[Shock, ...] = ()) -> list[Tick]:
    market = SyntheticMarket(
        KEY, tick=5, lot=65, seed=seed, opens_at=at("09:15:00"), closes_at=at(until), start_price=300_00,
        shocks=shocks,
    )  # fmt: skip
    return [
        Tick(m.at, m.at, KEY, m.ltp, m.ltq, m.ltt, m.bid, m.ask, m.bid_quantity, m.ask_quantity, 0)
        for m in market
        if m.bid
    ]


def recorded_day(ticks: list[Tick]) -> RecordedDay:
    return RecordedDay(
        "made-up", Path("made-up"), "0" * 64, DAY, (CONTRACT,), tuple(ticks), 0, (), 0.0, 0, ()
    )


def eager(window) -> float:
    return 0.9


def csv_file(path: Path, rows: list[str], header: str = "timestamp,ltp,bid_price,ask_price,ltq") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def first_minutes(source: Path, out: Path, rows: int) -> Path:
    with gzip.open(source) as file:
        out.write_text(json.dumps(json.load(file)[:rows]))
    return out


# ---- the same trades everywhere -----------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1_500, pytest.param(None, marks=pytest.mark.component)])
def test_a_recorded_file_gives_the_same_trades_in_the_backtest_the_lockstep_demo_and_replay(
    recorded: Path, tmp_path: Path, rows: int | None
) -> None:
    """Over sockets and without them: same guards, same seed, every fill at the same millisecond."""
    source = recorded / "upstox_v3" / "NSE_FO_51414_2025-12-15.json.gz"
    file = first_minutes(source, tmp_path / "cut.json", rows) if rows else source
    (day,) = load(file)
    market = recorded_market((file,))
    if rows:
        session = Session.on(
            day.day, opens=time(9, 32), entry_cutoff=time(9, 52), flatten=time(9, 55), closes=time(9, 57)
        )
        market = market._replace(session=session)
    session = market.session
    options = DemoOptions((file,), 7, True, None, tmp_path / "out", False)
    assert run_demo(options, Console(quiet=True), market) == 0
    with next((tmp_path / "out").glob("*/data/trades-*.csv")).open() as written:
        demo = [
            (row["time_ist"], row["side"], row["reason"], int(row["quantity"]), float(row["price"]))
            for row in csv.DictReader(written)
        ]
    rules = Rules(risk=RiskRules(entries_per_day=400, entries_per_minute=1))
    backtest = DirectDay(day.contracts, rules, session, lazy(classifier()))
    backtest.run(day.ticks)
    mine = [
        (ist_text(f.at), f.side.value, f.reason.value, f.quantity, f.value / f.quantity / 100)
        for f in backtest.fills
    ]
    assert len(mine) >= 4
    assert mine == demo
    (certificate,) = (tmp_path / "out").glob("*/data/certificate-*.json")
    (replayed,) = json.loads(certificate.read_text())
    assert replayed["identical"], "run again from its tape, the demo decides the same"


def test_the_lazy_classifier_decides_as_the_one_asked_at_every_tick() -> None:
    ticks = synthetic_ticks()
    asked = {"lazy": 0, "every": 0}

    asks = classifier()

    def counted(name):
        def classify(window) -> float:
            asked[name] += 1
            return asks(window)

        return classify

    rules = Rules(StrategyRules(threshold=0.5), risk=FREE)
    days = []
    for model in (counted("every"), lazy(counted("lazy"))):
        days.append(DirectDay((CONTRACT,), rules, Session.on(DAY), model))
        days[-1].run(ticks)

    def decided(day: DirectDay) -> list[object]:
        return [fill._replace(decision=None) for fill in day.fills]  # an exit's probability decides nothing

    assert len(days[0].fills) > 20
    assert decided(days[0]) == decided(days[1])
    entries = [[f.decision for f in day.fills if f.side is Side.BUY] for day in days]
    assert entries[0] == entries[1]
    assert asked["lazy"] < asked["every"] / 2


def test_the_same_seed_gives_the_same_day_and_another_seed_other_latencies() -> None:
    ticks = synthetic_ticks()

    def fills(seed: int):
        day = DirectDay((CONTRACT,), Rules(risk=FREE), Session.on(DAY), eager, seed=seed)
        day.run(ticks)
        return day.fills

    assert fills(1) == fills(1)
    assert fills(1) != fills(2)


@plants
def test_an_exchange_that_slept_knows_what_one_that_heard_every_tick_knows() -> None:
    ticks = synthetic_ticks()
    sleepy, awake = (DirectDay((CONTRACT,), Rules(risk=FREE), Session.on(DAY), eager) for _ in range(2))
    awake._live = True
    awake._settle = lambda: (DirectDay._settle(awake), setattr(awake, "_live", True))[0]
    sleepy.run(ticks)
    awake.run(ticks)
    assert len(sleepy.fills) > 50
    assert sleepy.fills == awake.fills


# ---- orders -------------------------------------------------------------------------------------------


def test_a_slide_is_left_by_the_stop_and_the_deadline_by_the_flatten() -> None:
    slide = Shock(at("09:25:00"), -6_000.0, 30.0)
    day = DirectDay((CONTRACT,), Rules(risk=FREE), Session.on(DAY), eager)
    day.run(synthetic_ticks(shocks=(slide,)))
    assert any(trip.reason is Reason.STOP_LOSS for trip in trips_of(day.fills))

    late = [
        tick._replace(at=tick.at + 18_000 * SECOND, mono=tick.mono + 18_000 * SECOND)
        for tick in synthetic_ticks(until="10:40:00")
    ]  # 14:15 … 15:40
    day = DirectDay((CONTRACT,), Rules(risk=FREE), Session.on(DAY), eager)
    day.engine.desks[KEY].forecaster = _NeverLeaves(day.engine.desks[KEY].forecaster)
    day.run(late)
    (trip,) = trips_of(day.fills)
    assert trip.reason is Reason.END_OF_DAY
    assert day.engine.flat


class _NeverLeaves:
    """Enters once, and sees no reason to go."""

    def __init__(self, real) -> None:
        self._real = real

    def hear(self, at, ltp):
        seen = self._real.hear(at, ltp)
        return seen._replace(velocity=-1.0, rel_diff=-0.001, probability=None if seen.tick < 100 else 0.9)


def test_an_order_larger_than_the_touch_fills_in_parts() -> None:
    big = Contract(KEY, 65 * 8, 65, 5, 1755, "NSE")
    day = DirectDay((big,), Rules(risk=FREE), Session.on(DAY), eager)
    day.run(synthetic_ticks())
    by_tag: dict[str, int] = {}
    for fill in day.fills:
        by_tag[fill.tag] = by_tag.get(fill.tag, 0) + 1
    assert max(by_tag.values()) > 1
    assert day.engine.flat or day.unclosed_value > 0


def test_net_is_gross_less_the_charges_of_the_card_to_the_paisa() -> None:
    day = recorded_day(synthetic_ticks())
    outcome = trade_day(day, Settings(Rules(risk=FREE), eager, "eager", charges_day=date(2026, 4, 1)))
    card = card_on(date(2026, 4, 1), "NSE")
    heard: set[str] = set()
    exact = NO_CHARGES
    for fill in outcome.fills:
        first = fill.tag not in heard
        heard.add(fill.tag)
        exact = exact.plus(card.fill_charges(fill.side, fill.value, first_fill_of_order=first))
    assert len(outcome.trips) > 20
    assert outcome.charges_total == exact.total
    assert sum(f.charges for f in outcome.fills) == outcome.charges_total
    gross = sum(f.realized_pnl_net + f.charges for f in outcome.fills)
    assert gross == sum(trip.gross for trip in outcome.trips)  # what is still open has gained nothing
    assert math.isclose(sum(outcome.charges.values()) * 100, exact.exact / NANOPAISE, rel_tol=1e-9)


def test_a_later_card_costs_more_for_the_same_trades() -> None:
    day = recorded_day(synthetic_ticks())
    old, new = (
        trade_day(day, Settings(Rules(risk=FREE), eager, "eager", charges_day=on))
        for on in (date(2025, 12, 15), date(2026, 4, 1))
    )
    assert [(t.bought, t.sold) for t in old.trips] == [(t.bought, t.sold) for t in new.trips]
    assert new.charges["stt"] == pytest.approx(1.5 * old.charges["stt"])


# ---- the arms -----------------------------------------------------------------------------------------


def test_random_entries_are_as_many_as_the_models_and_leave_by_the_same_rules() -> None:
    day = recorded_day(synthetic_ticks())
    settings = Settings(Rules(StrategyRules(threshold=0.55), risk=FREE), classifier(), "m")
    watcher = Watcher(trace=False)
    outcome = trade_day(day, settings, watcher=watcher)
    arms = {arm.name: arm for arm in compare(day, settings, outcome, watcher, runs=5)}
    assert list(arms) == ["no filter", "model", "random entry × 5", "do nothing"]
    assert arms["model"].trades == len(outcome.trips) > 3
    assert 0 < arms["random entry × 5"].trades <= len(outcome.trips)
    assert arms["no filter"].trades > arms["model"].trades
    assert arms["do nothing"].net == 0
    again = compare(day, settings, outcome, watcher, runs=5)
    assert tuple(arms.values()) == again


def test_the_bootstrap_covers_the_mean_and_says_nothing_of_four_trades() -> None:
    found = block_bootstrap([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 2.0, 0.0])
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high
    assert block_bootstrap([1.0] * 4).low is None
    assert block_bootstrap([]).mean is None
    assert "No edge after costs" in verdict(block_bootstrap([-1.0, -2.0, -3.0, -1.5, -2.5, -1.0]))
    assert "not proof" in verdict(block_bootstrap([1.0, 2.0, 3.0, 1.5, 2.5, 1.0]))
    assert drawdown([5.0, -3.0, -4.0, 10.0, -1.0]) == 7.0


# ---- defects of recordings: each with a verdict -----------------------------------------------------------


def test_a_file_of_prices_alone_is_traded_on_an_assumed_spread_and_says_so(tmp_path: Path) -> None:
    rows = [f"2026-09-16 09:20:{s:02d},{300 + s % 3}" for s in range(60)]
    (day,) = load(csv_file(tmp_path / "prices.csv", rows, "timestamp,ltp"))
    assert day.spread == "assumed"
    assert all(tick.bid and tick.ask and tick.bid < tick.ltp < tick.ask for tick in day.ticks)
    assert any("spread is assumed" in note for note in day.notes)
    assert any("lot of 1" in note for note in day.notes)
    (named,) = load(tmp_path / "prices.csv", Assumptions(lot=20, exchange="BSE"))
    assert (named.contracts[0].lot, named.contracts[0].exchange) == (20, "BSE")


def test_gaps_glued_days_disorder_and_the_hours_outside_are_named(tmp_path: Path) -> None:
    rows = [
        "2026-09-16 09:10:00,300,299.9,300.1,65",
        "2026-09-16 09:20:02,301,300.9,301.1,65",
        "2026-09-16 09:20:01,302,301.9,302.1,65",
        "2026-09-16 09:25:00,360,359.9,360.1,65",
        "2026-09-17 09:20:00,300,299.9,300.1,130",
    ]
    first, second = load(csv_file(tmp_path / "glued.csv", rows))
    text = " ".join(first.notes)
    for words in ("gaps over 60 s", "out of order", "before the open", "2 days", "over 10 %"):
        assert words in text, words
    assert [tick.at for tick in first.ticks] == sorted(tick.at for tick in first.ticks)
    assert second.day == date(2026, 9, 17)


@pytest.mark.parametrize(
    ("name", "verdict_words"),
    [
        (
            "upstox_v3/NSE_FO_51414_2025-12-15.json.gz",
            ["byte for byte", "clock was about 5", "gaps over 60 s"],
        ),
        ("ticks/BANKNIFTY_55800_PE_2025-08-01.csv.gz", ["repeats the size", "longest 306 s", "896 rows"]),
        ("ticks/SENSEX_index_2025-08-11.CSV.xls.gz", ["no option", "clock was about 9", "assumed"]),
    ],
)
def test_each_real_defect_is_accepted_with_a_note(
    recorded: Path, name: str, verdict_words: list[str]
) -> None:
    (day,) = load(recorded / name, AS_RECORDED)
    text = " · ".join(day.notes)
    for words in verdict_words:
        assert words in text, (words, text)


@pytest.mark.parametrize(
    "name",
    [
        "ticks/option_undated_kalman_output.csv.gz",
        "ticks/SENSEX_index_2025-08-05_headerless.csv.gz",
        "ticks/NIFTY_index_2022-08-12.csv.gz",
        "ticks/NIFTY_FUT_depth_2025-12-29.csv.gz",
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(recorded: Path, name: str) -> None:
    done = CLI.invoke(app, ["backtest", str(recorded / name)])
    assert done.exit_code == 2
    assert f"{name.rpartition('/')[2]}, line 1:" in done.output
    assert "Traceback" not in done.output


# ---- the command ----------------------------------------------------------------------------------------


def synthetic_csv(path: Path, until: str = "10:00:00") -> Path:
    rows = [
        f"{ist_text(t.at)[:23].replace('T', ' ')},{KEY},{t.ltp / 100:.2f},{t.bid / 100:.2f},"
        f"{t.ask / 100:.2f},{t.bid_quantity},{t.ask_quantity},{t.ltq}"
        for t in synthetic_ticks(until=until)
    ]
    return csv_file(path, rows, "timestamp,instrument,ltp,bid_price,ask_price,bid_qty,ask_qty,ltq")


def test_the_command_writes_json_trace_and_a_page_that_needs_no_network(tmp_path: Path) -> None:
    file = synthetic_csv(tmp_path / "synthetic.csv")
    arguments = [
        "backtest", str(file), "--threshold", "0.5", "--json", str(tmp_path / "o.json"), "--trace",
        str(tmp_path / "t.csv"), "--report", str(tmp_path / "r.html"), "--random-runs", "3",
    ]  # fmt: skip
    done = CLI.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "o.json").read_text())
    total = result["total"]
    contract = (
        "ticks seconds trades gross_points gross_rupees charges_rupees spread_rupees net_rupees "
        "net_per_trade hit_rate_net stops flattens unclosed spread model threshold rel_diff"
    )
    for key in contract.split():
        assert key in total, key
        assert key in result["files"][0], key
    assert total["trades"] > 3
    assert total["net_rupees"] == pytest.approx(total["gross_rupees"] - total["charges_rupees"], abs=0.005)
    assert total["net_per_trade"].keys() == {"mean", "low", "high"}
    trace = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert list(trace[0]) == (
        [
            "timestamp",
            "instrument",
            "tick",
            "ltp",
            "estimate",
            "velocity",
            "rel_diff",
            "probability",
            "decision",
        ]
    )
    assert trace[98]["probability"] == ""
    assert trace[99]["tick"] == "100"
    assert trace[99]["probability"]
    assert sum(row["decision"] == "ENTRY" for row in trace) >= total["trades"]
    page = (tmp_path / "r.html").read_text()
    assert "SYNTHETIC" in page
    for outside in ('src="', 'href="', "@import", "fetch(", "XMLHttpRequest"):
        assert outside not in page, outside
    for words in ("do nothing", "random entry", "in-sample", "sha256", "stale ticks", "charges ÷ capital"):
        assert words in page or (words == "in-sample" and "out-of-sample" in page), words


def test_a_narrow_terminal_cuts_the_name_and_never_the_money() -> None:
    row = {
        "file": "a-recording-with-a-rather-long-name-2026-09-16.json.gz", "ticks": 28_864, "trades": 1225,
        "gross_rupees": -114_098.5, "charges_rupees": 118_231.95, "net_rupees": -232_330.45,
        "in_sample": True, "net_per_trade": {"mean": -1143.69, "low": -1200.95, "high": -98.9},
        "notes": ["a note"],
        "spread": "quoted", "spread_rupees": 1.0, "stops": 0, "flattens": 0, "unclosed": 0, "seconds": 1.0,
    }  # fmt: skip
    console = Console(width=80, record=True, file=io.StringIO())
    result = {"files": [row, row], "total": row, "guards": True, "fills": "touch + 1 tick"}
    print_outcome(console, result, None)
    said = console.export_text()
    (line, *_) = [line for line in said.splitlines() if "28,864" in line]
    for whole in ("28,864", "1225", "-114,098", "-118,232", "-232,330", "-1,144 (-1,201 … -98.90)"):
        assert f" {whole} " in f"{line} "


def test_files_over_processes_give_what_one_process_gives(tmp_path: Path) -> None:
    files = [str(synthetic_csv(tmp_path / f"{n}.csv", until="09:30:00")) for n in range(2)]
    outputs = []
    for jobs in ("1", "2"):
        done = CLI.invoke(app, ["backtest", *files, "--jobs", jobs, "--json", str(tmp_path / f"{jobs}.json")])
        assert done.exit_code == 0, done.output
        result = json.loads((tmp_path / f"{jobs}.json").read_text())
        for row in (*result["files"], result["total"]):
            row["seconds"] = 0
        outputs.append(result)
    assert outputs[0] == outputs[1]


def test_every_mistake_of_the_command_line_is_named_at_once(tmp_path: Path) -> None:
    file = synthetic_csv(tmp_path / "a.csv", until="09:20:00")
    done = CLI.invoke(
        app, ["backtest", str(file), "--filter", "x", "--exchange", "MCX", "--charges", "2020-01-01"]
    )
    assert done.exit_code == 2
    for word in ("--filter x", "--exchange MCX", "--charges 2020-01-01"):
        assert word in done.output
