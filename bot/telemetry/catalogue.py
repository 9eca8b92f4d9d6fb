"""Every metric the bot exports: name, unit, labels, and each label combination it starts with.

The only file that spells a metric's name. Base units; `_total` on counters; `_timestamp_seconds` for "when"
(0: never); NaN on a gauge: nothing to say. Labels are bounded sets: never an order, a strike or a text.
A combination that appears later than at 0 has no increase for Prometheus, so all stand here from the start.
"""

from enum import StrEnum
from itertools import product
from typing import Final, NamedTuple

from bot.core.charges import Charges
from bot.core.commands import Reason, Severity
from bot.core.events import Outcome, Side
from bot.core.risk import Guard
from bot.core.session import Phase


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One metric. `series` holds the label values it starts with; those of `instrument` come with the day."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    series: tuple[tuple[str, ...], ...] = ((),)
    buckets: tuple[float, ...] = ()


OTHER: Final = "other"  # what a label says when the world comes up with a new word
ORDERED: Final = "ordered"
NO_SESSION: Final = "no_session"
FEED_REASONS: Final = ("stall", "close", "auth", "error", OTHER)
HALT_REASONS: Final = (
    *("daily_loss", "journal_failed", "kill_file", "operator", "operator_takeover", "preflight", "sigterm"),
    *("model_broken", "short", "calendar", "kill_signal", "entries_day", "stops_day", "charges"),
    *("crash_loop", "no_disk", "model_out_of_range", OTHER),
)
MISMATCH_KINDS: Final = {"PositionMismatch": "position", "OrderAdopted": "adopted", "OrderAnomaly": "anomaly"}
# The engine's words for a human (core/notices.py); those with a rule of their own are told apart by name.
ALERT_NAMES: Final = (
    *("StopLossTriggered", "ExitRejected", "ExitNotFilled", "PositionMismatch", "PositionShort"),
    *("OrderRefused", "OrderOutcomeUnknown", "OrderAnomaly", "OrderAdopted", "EntriesStopped"),
    *("LeaseLost", "LeaseHeld", "CrashLoop", "NoDisk", "EntriesResumed", "EntriesNotResumed"),
    *("ClockSkew", "ModelOutOfRange", OTHER),
)
CHECKS: Final = (
    *("token", "address", "calendar", "instrument", "lot and freeze", "funds", "charges", "clock"),
    *("model", "disk", "archive", "feed"),
    OTHER,
)
DRIFT_FEATURES: Final = ("probability", "rel_diff")  # what the model's passport has a reference for
FINAL_STATUS: Final = {"complete": "FILLED", "rejected": "REJECTED", "cancelled": "CANCELLED"}

_INTENTS: Final = (
    (Side.BUY.value, Reason.ENTRY.value),
    (Side.BUY.value, Reason.RECOVERY.value),
    *((Side.SELL.value, reason.value) for reason in Reason if reason is not Reason.ENTRY),
)
_ORDER_OUTCOMES: Final = (*(outcome.value for outcome in Outcome), *FINAL_STATUS.values())
_NETWORK_SECONDS: Final = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
_THINKING_SECONDS: Final = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2)
_LAG_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0)
_LOOP_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)
_PROBABILITIES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.63, 0.66, 0.7, 0.75, 0.8, 0.9)
_SLIPPAGE: Final = (-5.0, -1.0, -0.5, -0.2, -0.05, 0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0)
_INSTRUMENT: Final = ("instrument",)

_all: list[Metric] = []


def _counter(
    name: str, text: str, labels: tuple[str, ...] = (), series: tuple[tuple[str, ...], ...] = ((),)
) -> Metric:
    assert name.endswith("_total"), name
    return _named(Metric(name, Kind.COUNTER, text, labels, series))


def _gauge(
    name: str, text: str, labels: tuple[str, ...] = (), series: tuple[tuple[str, ...], ...] = ((),)
) -> Metric:
    assert not name.endswith("_total"), name
    return _named(Metric(name, Kind.GAUGE, text, labels, series))


def _histogram(name: str, text: str, buckets: tuple[float, ...], label: str = "", *values: str) -> Metric:
    labels, series = ((label,), _each(*values)) if label else ((), ((),))
    return _named(Metric(name, Kind.HISTOGRAM, text, labels, series, buckets))


def _named(metric: Metric) -> Metric:
    assert metric.name not in {known.name for known in _all}, metric.name
    _all.append(metric)
    return metric


def _each(*values: str) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


def all_metrics() -> tuple[Metric, ...]:
    """Every metric, in the order of this file."""
    return tuple(_all)


# --- who runs -------------------------------------------------------------------------------------------
BUILD_INFO: Final = _gauge("bot_build_info", "The bot that runs; always 1.", ("version", "mode"), ())
MODEL_INFO: Final = _gauge("bot_model_info", "The classifier in use; always 1.", ("model",), ())
CONTRACT_INFO: Final = _gauge(
    "bot_contract_info", "A contract traded today; always 1.", ("instrument", "name", "quantity", "lot"), ()
)

# --- the session ----------------------------------------------------------------------------------------
SESSION_STATE: Final = _gauge(
    "bot_session_state",
    "1 for the phase the day is in, 0 for the others.",
    ("state",),
    _each(*(phase.value for phase in Phase), NO_SESSION),
)
SESSION_INFO: Final = _gauge("bot_session_info", "The day that is traded; always 1.", ("session",), ())
CLOCK: Final = _gauge(
    "bot_clock_timestamp_seconds", "The bot's own clock when it was asked; ages are taken from it."
)
SESSION_OPEN: Final = _gauge("bot_session_open_timestamp_seconds", "When trading opens today.")
SESSION_CLOSE: Final = _gauge("bot_session_close_timestamp_seconds", "When the segment closes today.")
FLATTEN_DEADLINE: Final = _gauge("bot_flatten_deadline_timestamp_seconds", "When every position is closed.")
READY: Final = _gauge("bot_ready", "1 when the books are reconciled and entries are possible, else 0.")
HALTED: Final = _gauge("bot_halted", "1 when entries are over, by reason.", ("reason",), _each(*HALT_REASONS))

# --- the feed -------------------------------------------------------------------------------------------
FEED_CONNECTED: Final = _gauge("bot_feed_connected", "1 while the market socket is open and subscribed.")
STREAM_CONNECTED: Final = _gauge("bot_order_stream_connected", "1 while the order stream is open.")
FEED_FRAME: Final = _gauge(
    "bot_feed_last_frame_timestamp_seconds", "When the market socket last spoke; until then, our start."
)
FEED_TICK: Final = _gauge("bot_feed_last_tick_timestamp_seconds", "When a tick last came.", _INSTRUMENT)
FEED_RECONNECTS: Final = _counter(
    "bot_feed_reconnects_total", "Times the market socket was lost.", ("reason",), _each(*FEED_REASONS)
)
FEED_TICKS: Final = _counter("bot_feed_ticks_total", "Ticks taken into the filter.", _INSTRUMENT)
FEED_DECODE_ERRORS: Final = _counter("bot_feed_decode_errors_total", "Frames that could not be read.")
FEED_LAG: Final = _histogram("bot_feed_lag_seconds", "From the feed's own clock to ours.", _LAG_SECONDS)
FEED_BLIND: Final = _counter(
    "bot_feed_blind_seconds_total",
    "Seconds of open market without a frame for 5 s, or without a socket.",
    ("in_position",),
    _each("false", "true"),
)

# --- filter and classifier ------------------------------------------------------------------------------
PRICE: Final = _gauge("bot_price_rupees", "Last traded price.", _INSTRUMENT)
KALMAN_PRICE: Final = _gauge("bot_kalman_price_rupees", "The filter's estimate of the price.", _INSTRUMENT)
KALMAN_VELOCITY: Final = _gauge("bot_kalman_velocity", "The filter's velocity, rupees a tick.", _INSTRUMENT)
INFERENCE: Final = _histogram("bot_model_inference_seconds", "One run of the classifier.", _THINKING_SECONDS)
PROBABILITY: Final = _histogram("bot_model_probability", "What the classifier said.", _PROBABILITIES)
SIGNALS: Final = _counter(
    "bot_signals_total",
    "Wishes of the strategy: ordered, or refused by a guard.",
    ("side", "outcome"),
    (
        *((Side.BUY.value, outcome) for outcome in (ORDERED, *(guard.value for guard in Guard), OTHER)),
        (Side.SELL.value, ORDERED),
    ),
)
DRIFT: Final = _gauge(
    "bot_feature_psi_ratio",
    "Population stability index against the passport's reference; NaN: too little seen.",
    ("feature",),
    _each(*DRIFT_FEATURES),
)
DECISION: Final = _histogram("bot_decision_seconds", "From a tick to its decision.", _THINKING_SECONDS)

# --- orders ---------------------------------------------------------------------------------------------
ORDERS: Final = _counter(
    "bot_orders_total",
    "Orders placed, by what came of the call and of the order.",
    ("side", "intent", "outcome"),
    tuple((*intent, outcome) for intent, outcome in product(_INTENTS, _ORDER_OUTCOMES)),
)
ORDER_ACK: Final = _histogram("bot_order_ack_seconds", "From the decision to the answer.", _NETWORK_SECONDS)
ORDER_FILL: Final = _histogram("bot_order_fill_seconds", "From the decision to filled.", _NETWORK_SECONDS)
ORDER_SLIPPAGE: Final = _histogram(
    "bot_order_slippage_rupees",
    "Against us, per unit of a fill.",
    _SLIPPAGE,
    "side",
    *(side.value for side in Side),
)
ORDERS_OPEN: Final = _gauge("bot_orders_open", "Orders not at their end.")
ORDERS_UNKNOWN: Final = _gauge("bot_orders_unknown", "Orders whose outcome is not known.")
FLATTEN_ATTEMPTS: Final = _counter(
    "bot_flatten_attempts_total",
    "Calls to the broker to close a position at the end of the day.",
    ("result",),
    _each(*(outcome.value for outcome in Outcome)),
)

# --- position and money ---------------------------------------------------------------------------------
POSITION: Final = _gauge("bot_position_quantity", "Units owned.", _INSTRUMENT)
ENTRY_PRICE: Final = _gauge("bot_position_entry_price_rupees", "Average price paid; NaN: flat.", _INSTRUMENT)
STOP_DISTANCE: Final = _gauge("bot_stop_distance_rupees", "Price less stop; NaN: flat.", _INSTRUMENT)
STOP_LOSSES: Final = _counter("bot_stop_losses_total", "Positions left by the stop-loss.", _INSTRUMENT)
STOP_NET: Final = _gauge(
    "bot_stop_loss_net_rupees", "Net of the last trade that a stop-loss ended; NaN: none.", _INSTRUMENT
)
STOP_RISK: Final = _gauge(
    "bot_stop_risk_rupees", "What a stop-loss at its trigger costs, before charges.", _INSTRUMENT
)
EXIT_STARTED: Final = _gauge(
    "bot_exit_started_timestamp_seconds", "When the exit under way began; 0: none.", _INSTRUMENT
)
UNPROTECTED: Final = _counter(
    "bot_position_unprotected_seconds_total",
    "Seconds a position had neither a stop resting at the broker nor a live feed for our own.",
)
PNL_REALIZED: Final = _gauge("bot_pnl_realized_rupees", "Closed trades of the day, before charges.")
PNL_UNREALIZED: Final = _gauge("bot_pnl_unrealized_rupees", "Open positions at the bid.")
PNL_NET: Final = _gauge("bot_pnl_net_rupees", "Realized and unrealized, less all charges of the day.")
CHARGES: Final = _gauge("bot_charges_rupees", "Charges of the day.")
CHARGES_OF: Final = _gauge(
    "bot_charges_component_rupees",
    "Charges of the day by component.",
    ("component",),
    _each(*Charges._fields),
)
SLIPPAGE: Final = _gauge("bot_slippage_rupees", "Slippage of this run's fills together, against us.")
DAILY_LOSS_LIMIT: Final = _gauge("bot_daily_loss_limit_rupees", "The limit, as a positive number; NaN: none.")

# --- the books ------------------------------------------------------------------------------------------
MISMATCHES: Final = _counter(
    "bot_reconcile_mismatches_total",
    "Times the broker's book said something we did not know.",
    ("kind",),
    _each(*MISMATCH_KINDS.values()),
)
RECONCILED: Final = _gauge("bot_reconcile_last_success_timestamp_seconds", "When the book was last compared.")
ALERTS: Final = _counter(
    "bot_alerts_total",
    "Words meant for a human.",
    ("severity", "name"),
    tuple(product((severity.value for severity in Severity), ALERT_NAMES)),
)

# --- operations -----------------------------------------------------------------------------------------
PREFLIGHT: Final = _gauge(
    "bot_preflight_check_ok", "1: passed, 0: failed, NaN: not made.", ("check",), _each(*CHECKS)
)
TOKEN_EXPIRY: Final = _gauge("bot_token_expiry_timestamp_seconds", "When the broker's token dies.")
ARCHIVED: Final = _gauge("bot_archive_last_success_timestamp_seconds", "When a day was last stored.")
LOOP_LAG: Final = _histogram("bot_loop_lag_seconds", "How late the event loop woke up.", _LOOP_SECONDS)
CLOCK_SKEW: Final = _gauge(
    "bot_clock_skew_seconds",
    "Our clock less the feed's, by the last minute's quickest tick; 0: not known.",
)
OBSERVER_FAILURES: Final = _counter("bot_observer_failures_total", "Observers cut off because they raised.")
LOG_DROPPED: Final = _counter("bot_log_lines_dropped_total", "Log lines lost because nobody took them.")
