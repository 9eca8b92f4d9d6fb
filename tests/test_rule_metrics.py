"""The metrics that alert rules stand on: ages, exits, stops in rupees, what is unprotected, skew, drift."""

import math

import pytest

from bot.core.commands import Alert, Reason, Severity
from bot.core.events import FeedDown, FeedUp, Side
from bot.core.units import SECOND
from bot.telemetry.catalogue import all_metrics
from bot.telemetry.drift import SEEN_MIN, Drift
from bot.telemetry.metrics import Metrics, MetricsObserver
from bot.telemetry.view import DayState, InstrumentState
from tests.test_metrics import CE, PE, Desk, Scrape, beat, fill, hear, tick

DECILES = tuple(number / 10 for number in range(11))
# What the watchers of such bots ask for; none may get lost.
ASKED_FOR = """
bot_build_info bot_model_info bot_session_state bot_session_open_timestamp_seconds
bot_session_close_timestamp_seconds bot_flatten_deadline_timestamp_seconds bot_feed_connected
bot_feed_last_frame_timestamp_seconds bot_feed_last_tick_timestamp_seconds bot_feed_reconnects_total
bot_feed_ticks_total bot_feed_decode_errors_total bot_feed_lag_seconds bot_feed_blind_seconds_total
bot_kalman_price_rupees bot_kalman_velocity bot_model_inference_seconds bot_model_probability
bot_signals_total bot_feature_psi_ratio bot_decision_seconds bot_orders_total bot_order_ack_seconds
bot_order_fill_seconds bot_order_slippage_rupees bot_orders_unknown bot_position_quantity
bot_position_entry_price_rupees bot_position_unprotected_seconds_total bot_stop_distance_rupees
bot_pnl_realized_rupees bot_pnl_unrealized_rupees bot_charges_rupees bot_daily_loss_limit_rupees
bot_stop_losses_total bot_flatten_attempts_total bot_halted bot_reconcile_mismatches_total
bot_reconcile_last_success_timestamp_seconds bot_token_expiry_timestamp_seconds bot_preflight_check_ok
bot_archive_last_success_timestamp_seconds bot_loop_lag_seconds bot_clock_skew_seconds
"""


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def metrics(desk: Desk) -> Metrics:
    return Metrics(desk, reference={"probability_deciles": DECILES})


@pytest.fixture
def observer(metrics: Metrics) -> MetricsObserver:
    return MetricsObserver(metrics)


def test_every_metric_that_was_asked_for_is_there() -> None:
    assert set(ASKED_FOR.split()) <= {metric.name for metric in all_metrics()}


def test_the_silence_of_a_feed_that_never_spoke_begins_with_the_process(desk: Desk) -> None:
    """Else a restart in the open market would look like half a century without a frame."""
    desk.now = DayState("open", ready=False, now=1_000 * SECOND)
    scrape = Scrape(Metrics(desk).text())
    assert scrape("bot_feed_last_frame_timestamp_seconds") == 1_000
    assert scrape("bot_clock_timestamp_seconds") == 1_000


def test_seconds_without_a_stop_run_only_while_blind_and_nothing_rests_at_the_broker(
    observer: MetricsObserver, metrics: Metrics, desk: Desk
) -> None:
    desk.now = DayState("open", ready=True)
    owned = InstrumentState(CE, position=75)
    desk.held = [owned, InstrumentState(PE)]
    hear(observer, FeedUp(SECOND, SECOND))
    for second in (1, 2, 3):
        hear(observer, beat(second * SECOND))
    assert Scrape(metrics.text())("bot_position_unprotected_seconds_total") == 0
    hear(observer, FeedDown(3 * SECOND, 3 * SECOND, "close"))
    for second in (4, 5):
        hear(observer, beat(second * SECOND))
    desk.held = [owned._replace(stop_resting=True), InstrumentState(PE)]
    hear(observer, beat(6 * SECOND))
    scrape = Scrape(metrics.text())
    assert scrape("bot_position_unprotected_seconds_total") == 2
    assert scrape("bot_feed_blind_seconds_total", in_position="true") == 3


def test_a_stop_loss_is_told_in_rupees_of_its_whole_round_trip(
    observer: MetricsObserver, metrics: Metrics
) -> None:
    assert math.isnan(Scrape(metrics.text())("bot_stop_loss_net_rupees", instrument=CE))
    entry = fill(Side.BUY, Reason.ENTRY, 75)._replace(realized_pnl_net=-30_00)
    half = fill(Side.SELL, Reason.STOP_LOSS, 25)._replace(realized_pnl_net=-2_500_00)
    rest = fill(Side.SELL, Reason.STOP_LOSS, 0)._replace(realized_pnl_net=-1_300_00)
    hear(observer, beat(1), entry, half, rest)
    assert Scrape(metrics.text())("bot_stop_loss_net_rupees", instrument=CE) == -3_830
    hear(observer, beat(2), entry, fill(Side.SELL, Reason.SIGNAL_EXIT, 0))
    assert Scrape(metrics.text())("bot_stop_loss_net_rupees", instrument=CE) == -3_830
    hear(observer, beat(3), entry, half._replace(position_after=0))
    assert Scrape(metrics.text())("bot_stop_loss_net_rupees", instrument=CE) == -2_530


def test_alerts_are_counted_by_name_and_a_new_name_is_other(
    observer: MetricsObserver, metrics: Metrics
) -> None:
    hear(observer, beat(1), Alert(Severity.PAGE, "ExitRejected", ""), Alert(Severity.PAGE, "OfTomorrow", ""))
    scrape = Scrape(metrics.text())
    assert scrape("bot_alerts_total", severity="page", name="ExitRejected") == 1
    assert scrape("bot_alerts_total", severity="page", name="other") == 1


def test_checks_are_unknown_until_made(metrics: Metrics, desk: Desk) -> None:
    desk.now = DayState(
        "before", ready=False, checks=(("token", True), ("disk", False), ("of tomorrow", False))
    )
    scrape = Scrape(metrics.text())
    assert scrape("bot_preflight_check_ok", check="token") == 1
    assert scrape("bot_preflight_check_ok", check="disk") == 0
    assert scrape("bot_preflight_check_ok", check="other") == 0
    assert math.isnan(scrape("bot_preflight_check_ok", check="funds"))


def test_the_quickest_tick_of_a_minute_bounds_the_clocks_error(
    observer: MetricsObserver, metrics: Metrics
) -> None:
    for second, lag in ((10, 0.9), (11, 2.1), (12, 1.7)):
        at = second * SECOND
        hear(observer, tick(at, exchange_at=at - round(lag * SECOND)))
        hear(observer, beat(at))
    assert Scrape(metrics.text())("bot_clock_skew_seconds") == pytest.approx(0.9)
    for second in range(13, 80):
        hear(observer, tick(second * SECOND, exchange_at=(second + 2) * SECOND))
        hear(observer, beat(second * SECOND))
    assert Scrape(metrics.text())("bot_clock_skew_seconds") == pytest.approx(-2)


def test_drift_is_silent_until_enough_was_seen_then_0_for_the_same_and_large_for_another() -> None:
    same, other = Drift(DECILES), Drift(DECILES)
    for number in range(SEEN_MIN - 1):
        same.observe((number % 100) / 100 + 0.001)
    assert math.isnan(same.psi())
    same.observe(0.5)
    assert same.psi() < 0.01
    for _ in range(SEEN_MIN):
        other.observe(0.95)
    assert other.psi() > 1
    assert math.isnan(Drift(()).psi())
