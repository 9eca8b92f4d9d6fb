"""Metrics: all there at 0 from the start, in base units, counting what happened once; cheap for a tick."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.core.commands import Alert, Command, Decision, PlaceOrder, Reason, RecordFill, Refused, Severity
from bot.core.events import (
    Act,
    BrokerSnapshot,
    Event,
    FeedDown,
    FeedUp,
    Heartbeat,
    OrderReport,
    OrderStreamUp,
    OrderType,
    Outcome,
    SendOutcome,
    Side,
    Tick,
)
from bot.core.forecast import Forecast
from bot.core.risk import Guard
from bot.core.units import SECOND
from bot.run.ports import Turn
from bot.telemetry.buckets import Buckets, TimedClassifier
from bot.telemetry.catalogue import Kind, all_metrics
from bot.telemetry.metrics import Metrics, MetricsObserver
from bot.telemetry.view import DayState, InstrumentState

CE, PE = "NSE_FO|45450", "NSE_FO|45451"
NAN = float("nan")
DECISION = Decision(0, 100_00, 100.0, -0.1, -0.001, 0.7)


class Desk:
    """A view with numbers to turn."""

    def __init__(self) -> None:
        self.now = DayState("before", ready=False)
        self.held = [InstrumentState(CE), InstrumentState(PE)]

    def day(self) -> DayState:
        return self.now

    def instruments(self) -> Sequence[InstrumentState]:
        return self.held


class Scrape:
    """What Prometheus would read."""

    def __init__(self, text: bytes) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text.decode())}
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, /, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def metrics(desk: Desk) -> Metrics:
    return Metrics(desk)


@pytest.fixture
def observer(metrics: Metrics) -> MetricsObserver:
    return MetricsObserver(metrics)


def hear(observer: MetricsObserver, event: Event, *commands: Command) -> None:
    observer.hear(Turn(event, None, list(commands), 0.0))


def beat(mono: int) -> Heartbeat:
    return Heartbeat(mono, mono)


def tick(mono: int, *, exchange_at: int = 0) -> Tick:
    return Tick(mono, mono, CE, 100_00, 75, mono, 99_95, 100_05, 75, 75, exchange_at)


def place(tag: str, side: Side, reason: Reason, order_type: OrderType = OrderType.LIMIT) -> PlaceOrder:
    return PlaceOrder(tag, CE, side, order_type, 75, 100_00, 0, "D", reason, DECISION)


def answer(tag: str, mono: int, outcome: Outcome, act: Act = Act.PLACE) -> SendOutcome:
    return SendOutcome(mono, mono, tag, act, outcome, "1", "", "")


def report(tag: str, mono: int, status: str) -> OrderReport:
    return OrderReport(
        mono, mono, tag, "1", "", CE, Side.BUY, "LIMIT", status, 75, 75, 75_00, 100_00, 0, "", ""
    )


def fill(side: Side, reason: Reason, position_after: int, slippage: int = 0) -> RecordFill:
    return RecordFill(
        0,
        CE,
        side,
        reason,
        75,
        75 * 100_00,
        DECISION,
        slippage,
        10,
        -10,
        position_after,
        "1",
        "",
        "",
        "D",
        "t",
    )


# --- the catalogue --------------------------------------------------------------------------------------


def test_names_are_prefixed_in_base_units_and_stand_in_one_file_only() -> None:
    for metric in all_metrics():
        assert metric.name.startswith("bot_"), metric
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric
        assert not metric.name.endswith(("_ms", "_percent", "_paise", "_ns")), metric
        assert metric.text.endswith("."), metric
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets), metric
    package = Path(__file__).parents[1] / "bot"
    spelling = [
        path.name
        for path in package.rglob("*.py")
        if any(f'"{m.name}"' in path.read_text() for m in all_metrics())
    ]
    assert spelling == ["catalogue.py"]


def test_every_name_and_label_combination_is_there_at_zero_before_anything_happens(metrics: Metrics) -> None:
    scrape = Scrape(metrics.text())
    for metric in all_metrics():
        series = [(CE,), (PE,)] if metric.labels == ("instrument",) else metric.series
        for values in series:
            labels = dict(zip(metric.labels, values, strict=True))
            if metric.kind is Kind.HISTOGRAM:
                assert scrape(f"{metric.name}_bucket", **labels, le="+Inf") == 0, metric
            elif metric.kind is Kind.COUNTER:
                assert scrape(metric.name, **labels) == 0, metric
            else:
                assert (metric.name, tuple(sorted(labels.items()))) in scrape.samples, metric
    assert {guard.value for guard in Guard} <= {
        sample.labels["outcome"] for sample in scrape.families["bot_signals"].samples
    }
    assert scrape("bot_signals_total", side="SELL", outcome="ordered") == 0
    assert scrape("bot_orders_total", side="SELL", intent="STOP_LOSS", outcome="FILLED") == 0


def test_a_day_of_everything_adds_no_series(observer: MetricsObserver, metrics: Metrics) -> None:
    """What appears later than at 0 has no increase, and would not alert."""
    before = Scrape(metrics.text()).samples.keys()
    a_whole_day(observer)
    after = Scrape(metrics.text()).samples.keys()
    assert {key for key in after - before if key[0].startswith("bot_")} == set()


def a_whole_day(observer: MetricsObserver) -> None:
    for reason in ("stall", "close", "auth", "error"):
        hear(observer, FeedDown(1, 1, reason))
    hear(observer, FeedUp(2, 2))
    hear(observer, tick(3), *(Refused(CE, guard) for guard in Guard))
    tag = 0
    for side, reason in [(Side.BUY, Reason.ENTRY), (Side.BUY, Reason.RECOVERY)] + [
        (Side.SELL, reason) for reason in Reason if reason is not Reason.ENTRY
    ]:
        for status in ("complete", "rejected", "cancelled"):
            for outcome in Outcome:
                tag += 1
                hear(observer, tick(4), place(str(tag), side, reason))
                hear(observer, answer(str(tag), 5, outcome))
                hear(observer, report(str(tag), 6, status))
        hear(observer, beat(7), fill(side, reason, 0))
    names = ("PositionMismatch", "OrderAdopted", "OrderAnomaly", "StopLossTriggered")
    hear(observer, beat(8), *(Alert(severity, name, "") for severity in Severity for name in names))


def test_probability_has_an_edge_where_the_strategy_has_its_threshold(metrics: Metrics) -> None:
    assert Scrape(metrics.text())("bot_model_probability_bucket", le="0.63") == 0


def test_process_metrics_come_along_and_the_global_registry_is_left_alone(metrics: Metrics) -> None:
    from prometheus_client import REGISTRY

    assert Scrape(metrics.text())("process_resident_memory_bytes") > 1e6
    assert REGISTRY.get_sample_value("bot_ready") is None


# --- counting -------------------------------------------------------------------------------------------


def test_a_tick_is_counted_where_it_says_something(observer: MetricsObserver, metrics: Metrics) -> None:
    forecast = Forecast(100, 100_00, 100.0, 0.0, 0.0, 0.631)
    observer.hear(Turn(tick(7 * SECOND, exchange_at=7 * SECOND - SECOND // 5), forecast, [], 0.0003))
    observer.hear(Turn(tick(8 * SECOND), forecast._replace(probability=None), [], 0.0003))
    scrape = Scrape(metrics.text())
    assert scrape("bot_decision_seconds_count") == 2
    assert scrape("bot_decision_seconds_sum") == pytest.approx(0.0006)
    assert scrape("bot_decision_seconds_bucket", le="0.0002") == 0
    assert scrape("bot_decision_seconds_bucket", le="0.0005") == 2
    assert scrape("bot_model_probability_count") == 1
    assert scrape("bot_model_probability_bucket", le="0.63") == 0
    assert scrape("bot_model_probability_bucket", le="0.66") == 1
    assert scrape("bot_feed_lag_seconds_sum") == pytest.approx(0.2)
    assert scrape("bot_feed_last_frame_timestamp_seconds") == 8


def test_an_order_is_counted_once_however_often_its_end_is_told(
    observer: MetricsObserver, metrics: Metrics
) -> None:
    hear(observer, tick(SECOND), place("t1", Side.BUY, Reason.ENTRY))
    hear(observer, answer("t1", SECOND + SECOND // 10, Outcome.ACCEPTED))
    for status in ("open", "complete", "complete"):
        hear(observer, report("t1", 2 * SECOND, status))
    snapshot = BrokerSnapshot(9 * SECOND, 9 * SECOND, 0, (report("t1", 9 * SECOND, "complete"),), ())
    hear(observer, snapshot)
    scrape = Scrape(metrics.text())
    order = {"side": "BUY", "intent": "ENTRY"}
    assert scrape("bot_orders_total", **order, outcome="ACCEPTED") == 1
    assert scrape("bot_orders_total", **order, outcome="FILLED") == 1
    assert scrape("bot_orders_total", **order, outcome="UNKNOWN") == 0
    assert scrape("bot_order_ack_seconds_sum") == pytest.approx(0.1)
    assert scrape("bot_order_fill_seconds_sum") == pytest.approx(1.0)
    assert scrape("bot_order_fill_seconds_count") == 1
    assert scrape("bot_signals_total", side="BUY", outcome="ordered") == 1
    assert scrape("bot_reconcile_last_success_timestamp_seconds") == 9


def test_an_end_only_the_snapshot_tells_of_counts_too(observer: MetricsObserver, metrics: Metrics) -> None:
    hear(observer, tick(1), place("t1", Side.SELL, Reason.SIGNAL_EXIT))
    hear(observer, answer("t1", 2, Outcome.UNKNOWN))
    hear(observer, BrokerSnapshot(9, 9, 0, (report("t1", 9, "rejected"),), ()))
    scrape = Scrape(metrics.text())
    order = {"side": "SELL", "intent": "SIGNAL_EXIT"}
    assert scrape("bot_orders_total", **order, outcome="UNKNOWN") == 1
    assert scrape("bot_orders_total", **order, outcome="REJECTED") == 1
    assert scrape("bot_signals_total", side="SELL", outcome="ordered") == 1


def test_a_stop_loss_is_one_however_many_orders_it_takes(observer: MetricsObserver, metrics: Metrics) -> None:
    for cycle in ("a", "b"):
        hear(observer, tick(1), place(f"{cycle}0", Side.SELL, Reason.STOP_LOSS, OrderType.SL))  # rests only
        assert Scrape(metrics.text())("bot_stop_losses_total", instrument=CE) == (cycle == "b")
        hear(observer, tick(2), place(f"{cycle}1", Side.SELL, Reason.STOP_LOSS))
        hear(observer, beat(3), fill(Side.SELL, Reason.STOP_LOSS, 25))
        hear(observer, tick(4), place(f"{cycle}2", Side.SELL, Reason.STOP_LOSS))
        hear(observer, beat(5), fill(Side.SELL, Reason.STOP_LOSS, 0))
    scrape = Scrape(metrics.text())
    assert scrape("bot_stop_losses_total", instrument=CE) == 2
    assert scrape("bot_stop_losses_total", instrument=PE) == 0


def test_slippage_is_shown_per_unit_and_signed_for_the_day(
    observer: MetricsObserver, metrics: Metrics
) -> None:
    hear(
        observer,
        beat(1),
        fill(Side.BUY, Reason.ENTRY, 75, slippage=75 * 30),
        fill(Side.SELL, Reason.RISK_EXIT, 0, -75 * 10),
    )
    scrape = Scrape(metrics.text())
    assert scrape("bot_order_slippage_rupees_bucket", side="BUY", le="0.2") == 0
    assert scrape("bot_order_slippage_rupees_bucket", side="BUY", le="0.5") == 1
    assert scrape("bot_order_slippage_rupees_bucket", side="SELL", le="-0.05") == 1
    assert ("bot_order_slippage_rupees_sum", (("side", "BUY"),)) not in scrape.samples
    assert scrape("bot_slippage_rupees") == pytest.approx(75 * 0.20)


def test_calls_of_the_flatten_are_counted_by_their_answer(
    observer: MetricsObserver, metrics: Metrics
) -> None:
    hear(observer, beat(1), place("f", Side.SELL, Reason.END_OF_DAY))
    hear(observer, answer("f", 2, Outcome.ACCEPTED))
    hear(observer, answer("f", 3, Outcome.REFUSED, Act.MODIFY))
    hear(observer, answer("nobody's", 3, Outcome.REFUSED))
    scrape = Scrape(metrics.text())
    assert scrape("bot_flatten_attempts_total", result="ACCEPTED") == 1
    assert scrape("bot_flatten_attempts_total", result="REFUSED") == 1
    assert scrape("bot_orders_total", side="SELL", intent="END_OF_DAY", outcome="REFUSED") == 0


def test_a_word_nobody_knew_is_counted_as_other(observer: MetricsObserver, metrics: Metrics) -> None:
    hear(observer, FeedDown(1, 1, "the dog ate it 0x7f3a"))
    hear(observer, tick(1), Refused(CE, "a guard of tomorrow"))
    scrape = Scrape(metrics.text())
    assert scrape("bot_feed_reconnects_total", reason="other") == 1
    assert scrape("bot_signals_total", side="BUY", outcome="other") == 1


def test_blind_seconds_run_only_in_the_market_and_know_whether_we_owned_something(
    observer: MetricsObserver, metrics: Metrics, desk: Desk
) -> None:
    def beats(first: int, last: int) -> None:
        for second in range(first, last + 1):
            hear(observer, beat(second * SECOND))

    beats(1, 10)  # not connected, before the open: nobody minds
    desk.now = DayState("open", ready=True)
    hear(observer, FeedUp(10 * SECOND, 10 * SECOND))
    hear(observer, OrderStreamUp(10 * SECOND, 10 * SECOND))
    beats(11, 15)  # silent for up to 5 s: normal
    beats(16, 18)  # 3 s too long
    desk.held = [InstrumentState(CE, position=75), InstrumentState(PE)]
    hear(observer, FeedDown(18 * SECOND, 18 * SECOND, "stall"))
    beats(19, 20)
    scrape = Scrape(metrics.text())
    assert scrape("bot_feed_blind_seconds_total", in_position="false") == 3
    assert scrape("bot_feed_blind_seconds_total", in_position="true") == 2
    assert scrape("bot_feed_connected") == 0
    assert scrape("bot_order_stream_connected") == 1


def test_the_classifier_is_timed_without_being_changed(desk: Desk) -> None:
    timed = TimedClassifier(lambda window: 0.5)
    metrics = Metrics(desk, timed.seconds)
    assert timed.classify(None) == 0.5  # type: ignore[arg-type]
    assert Scrape(metrics.text())("bot_model_inference_seconds_count") == 1


# --- looking --------------------------------------------------------------------------------------------


def test_what_the_view_says_is_shown_in_rupees_and_seconds(metrics: Metrics, desk: Desk) -> None:
    desk.now = DayState(
        "no_entry",
        ready=True,
        halted="daily_loss",
        open_at=1_789_000_000 * SECOND,
        orders_unknown=1,
        realized=-123_45,
        charges=67_89,
        daily_loss_limit=5_000_00,
        mode="paper",
        version="0.1.0",
        model="first",
    )
    desk.held[0] = InstrumentState(CE, 7, SECOND, 452_30, 452.1, -0.2, 75, 460_10.5, 410_10.5)
    scrape = Scrape(metrics.text())
    assert scrape("bot_session_state", state="no_entry") == 1
    assert sum(sample.value for sample in scrape.families["bot_session_state"].samples) == 1
    assert scrape("bot_session_open_timestamp_seconds") == 1_789_000_000
    assert scrape("bot_halted", reason="daily_loss") == 1
    assert scrape("bot_halted", reason="other") == 0
    assert scrape("bot_pnl_realized_rupees") == -123.45
    assert scrape("bot_charges_rupees") == 67.89
    assert scrape("bot_daily_loss_limit_rupees") == 5000
    assert scrape("bot_build_info", version="0.1.0", mode="paper") == 1
    assert scrape("bot_model_info", model="first") == 1
    assert scrape("bot_feed_ticks_total", instrument=CE) == 7
    assert scrape("bot_position_entry_price_rupees", instrument=CE) == pytest.approx(460.105)
    assert scrape("bot_stop_distance_rupees", instrument=CE) == pytest.approx(42.195)
    assert math.isnan(scrape("bot_stop_distance_rupees", instrument=PE))
    assert math.isnan(scrape("bot_kalman_price_rupees", instrument=PE))
    desk.now = desk.now._replace(halted="moon phase", daily_loss_limit=None)
    scrape = Scrape(metrics.text())
    assert scrape("bot_halted", reason="other") == 1
    assert math.isnan(scrape("bot_daily_loss_limit_rupees")), "no limit must not read as a limit of 0"


def test_buckets_count_an_edge_as_inside() -> None:
    buckets = Buckets((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        buckets.observe(value)
    assert buckets.cumulative() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert buckets.total == 14


def test_a_tick_costs_the_observer_at_most_two_microseconds(observer: MetricsObserver) -> None:
    """The best of several rounds: what the code costs, not what the machine was busy with."""
    turn = Turn(tick(SECOND, exchange_at=SECOND), Forecast(100, 1, 1.0, 0.0, 0.0, 0.5), [], 1e-4)
    hear_ = observer.hear
    rounds = []
    for _ in range(15):
        began = perf_counter_ns()
        for _ in range(2000):
            hear_(turn)
        rounds.append((perf_counter_ns() - began) / 2000)
    assert min(rounds) <= 2_000, f"{statistics.median(rounds):.0f} ns"
