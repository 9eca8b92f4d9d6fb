"""What makes each alert rule fire, as series of a scrape every 5 s; `promtool test rules` judges.

A case adds to (or replaces) the series of a healthy bot in the open market. The same cause in a bot whose
session is closed (night), or no bot at all (holiday), must fire nothing but the Watchdog.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

INSTRUMENT = "NSE_FO|45450"
BOT = 'instance="bot:9100",job="bot"'
OPEN, FLATTEN, CLOSE = 1_000_000, 1_022_440, 1_023_100  # by the bot's clock; Prometheus' begins at 0
STATES = ("before", "open", "no_entry", "flatten", "closed", "no_session")


class Case(NamedTuple):
    """`cause`: series → values in promtool's notation; `at_seconds`: when it must fire."""

    alert: str
    cause: dict[str, str]
    at_seconds: int
    labels: Mapping[str, str] = MappingProxyType({})
    state: str = "open"
    clock: int = OPEN + 3600  # of the bot at second 0
    also: tuple[str, ...] = ()  # what fires along with it, rightly


def series(name: str, /, **labels: str) -> str:
    inner = ",".join([BOT, *(f'{key}="{value}"' for key, value in labels.items())])
    return f"{name}{{{inner}}}"


def healthy(state: str, clock: int) -> dict[str, str]:
    """A bot at work: an hour of scrapes."""
    always = {
        series("up"): "1x800",
        series("bot_clock_timestamp_seconds"): f"{clock}+5x800",
        series("bot_session_open_timestamp_seconds"): f"{OPEN}x800",
        series("bot_flatten_deadline_timestamp_seconds"): f"{FLATTEN}x800",
        series("bot_session_close_timestamp_seconds"): f"{CLOSE}x800",
        series("bot_session_info", session="2026-09-16"): "1x800",
        series("bot_contract_info", instrument=INSTRUMENT, name="NIFTY 25000 CE"): "1x800",
        series("bot_feed_last_frame_timestamp_seconds"): f"{clock}+5x800",
        series("bot_position_quantity", instrument=INSTRUMENT): "0x800",
        series("bot_price_rupees", instrument=INSTRUMENT): "250.5x800",
        series("bot_stop_loss_net_rupees", instrument=INSTRUMENT): "-3300x800",
        series("bot_exit_started_timestamp_seconds", instrument=INSTRUMENT): "0x800",
        series("bot_stop_losses_total", instrument=INSTRUMENT): "0x800",
        series("bot_pnl_realized_rupees"): "-3250x800",
        series("bot_pnl_unrealized_rupees"): "0x800",
        series("bot_charges_rupees"): "60x800",
        series("bot_orders_unknown"): "0x800",
        series("bot_archive_last_success_timestamp_seconds"): f"{CLOSE + 20}x800",
        series("bot_token_expiry_timestamp_seconds"): f"{CLOSE + 40_000}x800",
        series("bot_feature_psi_ratio", feature="probability"): "0.1x800",
        series("process_resident_memory_bytes"): "90000000x800",
        series("bot_preflight_check_ok", check="token"): "1x800",
    }
    for each in STATES:
        always[series("bot_session_state", state=each)] = f"{int(each == state)}x800"
    return always


STEP = "0x12 1x780"  # a counter (or a gauge) that is 1 from second 65 on
OWNED = {series("bot_position_quantity", instrument=INSTRUMENT): "65x800"}
FRAME = series("bot_feed_last_frame_timestamp_seconds")
SILENT = {FRAME: f"{OPEN + 3600}x800"}

EXITING = series("bot_exit_started_timestamp_seconds", instrument=INSTRUMENT)
STOPS = series("bot_stop_losses_total", instrument=INSTRUMENT)
TOKEN = series("bot_token_expiry_timestamp_seconds")
ARCHIVED = series("bot_archive_last_success_timestamp_seconds")
HELP = series("bot_alerts_total", severity="page", name="ExitRejected")
MODEL = "bot_model_inference_seconds_bucket"
NAMED = {"instrument": INSTRUMENT, "name": "NIFTY 25000 CE"}
SOON: dict[str, Any] = {"state": "before", "clock": OPEN - 600}


def checked(check: str) -> dict[str, str]:
    """A check that failed."""
    return {series("bot_preflight_check_ok", check=check): "0x800"}


def orders(outcome: str, values: str) -> dict[str, str]:
    return {series("bot_orders_total", side="BUY", intent="ENTRY", outcome=outcome): values}


CASES = (
    Case("BotDownInSession", {series("up"): "1x12 0x700"}, 85),
    Case("FeedDisconnected", SILENT, 20),
    Case("FeedStaleInPosition", {FRAME: f"{OPEN + 3600}x2 {OPEN + 3615}+5x700"} | OWNED, 5),
    Case("StopLossTriggered", {STOPS: STEP}, 65, NAMED),
    Case("StopTriggeredNotFlat", OWNED | {EXITING: f"{OPEN + 3600}x800"}, 15),
    Case(
        "PositionUnprotected", {series("bot_position_unprotected_seconds_total"): "0x12 5 10 15 20x700"}, 75
    ),
    Case("PositionAfterFlattenDeadline", OWNED, 20, NAMED, "flatten", FLATTEN + 5),
    Case("ReconcileMismatch", {series("bot_reconcile_mismatches_total", kind="position"): STEP}, 65),
    Case("OrderOutcomeUnknown", {series("bot_orders_unknown"): "1x800"}, 10),
    Case("DailyLossLimit", {series("bot_halted", reason="daily_loss"): "1x800"}, 0),
    Case("TokenMissing", checked("token"), 0, **SOON),
    Case("TokenMissing", {TOKEN: f"{OPEN - 5000}x800"}, 0, also=("TokenExpiresBeforeClose",), **SOON),
    Case("PreflightFailed", checked("disk"), 0),
    Case("BotPage", {HELP: STEP}, 65),
    Case("ReconnectStorm", {series("bot_feed_reconnects_total", reason="close"): "0+1x6 6x700"}, 60),
    Case("HighRejectRate", orders("REFUSED", "0+1x8 8x700") | orders("ACCEPTED", "0+1x10 10x700"), 60),
    Case("EntriesStopped", {series("bot_halted", reason="journal_failed"): "1x800"}, 0),
    Case(
        "InferenceSlow",
        {
            series(MODEL, le="0.005"): "0x800",
            series(MODEL, le="0.01"): "0+10x800",
            series(MODEL, le="+Inf"): "0+10x800",
        },
        180,
    ),
    Case("ClockSkew", {series("bot_clock_skew_seconds"): "-2x800"}, 120),
    Case("ModelDrift", {series("bot_feature_psi_ratio", feature="probability"): "7x800"}, 900),
    Case("MemoryGrowth", {series("process_resident_memory_bytes"): "90000000+100000x800"}, 1800),
    Case("ArchiveMissing", {ARCHIVED: "0x800"}, 1860, state="closed", clock=CLOSE + 5),
    Case("CalendarDisagreement", checked("calendar"), 0, **SOON),
    Case("TokenExpiresBeforeClose", {TOKEN: f"{CLOSE - 60}x800"}, 0),
)
