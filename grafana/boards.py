"""The five dashboards: what each shows, in the order a person asks. A test checks the metrics' names."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.panels import BYTES, COUNT, RUPEES, SECONDS, SHARE, Query, board, graph, heat, number

NET: Final = "bot_pnl_net_rupees"
_SIDES: Final = 'sum(increase(bot_orders_total{{side="{side}",outcome="FILLED"}}[15s])) > 0'
NOTES: Final = (
    ("Entries", "green", _SIDES.format(side="BUY")),
    ("Exits", "blue", _SIDES.format(side="SELL")),
    ("Stops", "red", "sum(increase(bot_stop_losses_total[15s])) > 0"),
    ("Reconnects", "orange", "sum by (reason) (increase(bot_feed_reconnects_total[15s])) > 0"),
)
UP_DOWN: Final = {"0": "down", "1": "up"}
YES_NO: Final = {"0": "no", "1": "yes"}

# Not on any dashboard, and why.
NOT_SHOWN: Final = {
    "bot_session_info": "only labels alerts and the title of the morning",
    "bot_session_open_timestamp_seconds": "an hour everybody knows; rules use it",
    "bot_session_close_timestamp_seconds": "same",
    "bot_exit_started_timestamp_seconds": "seen as the seconds an exit takes only while it hangs: an alert",
    "bot_slippage_rupees": "shown per unit, by side, as a histogram",
}


def trading() -> Dashboard:
    """Trading now."""
    age = "bot_flatten_deadline_timestamp_seconds - bot_clock_timestamp_seconds"
    panels = [
        number("Session", COUNT, Query("bot_session_state == 1", "{{state}}"), says="The phase is the name"),
        number("Ready", COUNT, Query("bot_ready"), words=YES_NO, good=1),
        number("Entries ended by", COUNT, Query("sum(bot_halted)"), words={"0": "nothing"}, bad=1),
        number("Until flatten", SECONDS, Query(age)),
        number("Net today", RUPEES, Query(NET), good=0, says="Realized + open at the bid − charges"),
        number("Loss limit", RUPEES, Query("bot_daily_loss_limit_rupees"), says="Empty: none"),
        graph(
            "Price and estimate",
            RUPEES,
            Query("bot_price_rupees * on (instrument) group_left (name) bot_contract_info", "{{name}}"),
            Query("bot_kalman_price_rupees", "estimate {{instrument}}"),
            Query("bot_position_entry_price_rupees", "entry {{instrument}}"),
            Query("bot_price_rupees - bot_stop_distance_rupees", "stop {{instrument}}"),
            width=24,
            height=10,
        ),
        graph("Position", COUNT, Query("bot_position_quantity", "{{instrument}}"), width=8),
        graph("Distance to the stop", RUPEES, Query("bot_stop_distance_rupees", "{{instrument}}"), width=8),
        graph(
            "Net against the limit",
            RUPEES,
            Query(NET, "net"),
            Query("bot_pnl_realized_rupees", "realized"),
            Query("bot_pnl_unrealized_rupees", "open"),
            Query("-bot_charges_rupees", "charges"),
            Query("-bot_daily_loss_limit_rupees", "limit"),
            width=8,
        ),
        number("One stop costs", RUPEES, Query("bot_stop_risk_rupees", "{{instrument}}")),
        number("Orders open", COUNT, Query("bot_orders_open")),
        number("Orders in doubt", COUNT, Query("bot_orders_unknown"), bad=1),
        number("Stop-losses", COUNT, Query("sum(bot_stop_losses_total)"), bad=1),
        number("Last stop's net", RUPEES, Query("bot_stop_loss_net_rupees", "{{instrument}}"), good=0),
        number("Without a stop", SECONDS, Query("bot_position_unprotected_seconds_total"), bad=5),
    ]
    return board("bot-trading", "Trading now", panels, NOTES, "now-30m")


def feed() -> Dashboard:
    """Feed and latency."""
    frame_age = "bot_clock_timestamp_seconds - bot_feed_last_frame_timestamp_seconds"
    tick_age = "bot_clock_timestamp_seconds - on (job) group_right bot_feed_last_tick_timestamp_seconds"
    panels = [
        number("Feed", COUNT, Query("bot_feed_connected"), words=UP_DOWN, good=1),
        number("Order stream", COUNT, Query("bot_order_stream_connected"), words=UP_DOWN, good=1),
        number("Last frame", SECONDS, Query(frame_age), bad=5),
        number("Reconnects", COUNT, Query("sum(bot_feed_reconnects_total)"), bad=5),
        number("Unread frames", COUNT, Query("bot_feed_decode_errors_total"), bad=1),
        number("Clock skew", SECONDS, Query("bot_clock_skew_seconds"), says="By a minute's quickest tick"),
        graph(
            "Ticks a second", COUNT, Query("rate(bot_feed_ticks_total[$__rate_interval])", "{{instrument}}")
        ),
        graph("Silence", SECONDS, Query(frame_age, "frame"), Query(tick_age, "tick {{instrument}}")),
        heat("From the feed's clock to ours", COUNT, "bot_feed_lag_seconds"),
        heat("From tick to decision", COUNT, "bot_decision_seconds"),
        graph("Decision", SECONDS, *_quantiles("bot_decision_seconds")),
        graph("Order: decision to answer", SECONDS, *_quantiles("bot_order_ack_seconds")),
        graph("Order: decision to filled", SECONDS, *_quantiles("bot_order_fill_seconds")),
        graph("The loop came late by", SECONDS, *_quantiles("bot_loop_lag_seconds")),
        graph(
            "Blind in the market",
            SECONDS,
            Query("increase(bot_feed_blind_seconds_total[$__rate_interval])", "owned: {{in_position}}"),
        ),
        graph(
            "Losses of the feed",
            COUNT,
            Query("increase(bot_feed_reconnects_total[$__rate_interval])", "{{reason}}"),
        ),
    ]
    return board("bot-feed", "Feed and latency", panels, NOTES[3:], "now-30m")


def model() -> Dashboard:
    """Model."""
    wishes = 'bot_signals_total{side="BUY"}'
    certain = (
        '1 - sum(increase(bot_model_probability_bucket{le="0.63"}[5m]))'
        " / sum(increase(bot_model_probability_count[5m]))"
    )
    panels = [
        number("Model", COUNT, Query("bot_model_info", "{{model}}"), width=6),
        number("Drift (PSI)", COUNT, Query("bot_feature_psi_ratio", "{{feature}}"), width=6, bad=6),
        number("Above 0.63", SHARE, Query(certain), width=6, says="Of the last five minutes' probabilities"),
        number("Wishes today", COUNT, Query(f"sum({wishes})"), width=6),
        heat("Probability", COUNT, "bot_model_probability", width=24, height=9),
        graph("Inference", SECONDS, *_quantiles("bot_model_inference_seconds")),
        graph(
            "Wishes to enter, by what came of them",
            COUNT,
            Query(f"sum by (outcome) (increase({wishes}[$__rate_interval])) > 0", "{{outcome}}"),
            says="ordered, or the guard that said no",
        ),
        graph("Velocity", COUNT, Query("bot_kalman_velocity", "{{instrument}}"), says="Rupees a tick"),
        graph(
            "Price less estimate",
            RUPEES,
            Query("bot_price_rupees - bot_kalman_price_rupees", "{{instrument}}"),
        ),
    ]
    return board("bot-model", "Model", panels, NOTES[:3], "now-30m")


def operations() -> Dashboard:
    """Operations."""
    until = "bot_token_expiry_timestamp_seconds - bot_clock_timestamp_seconds"
    since = "bot_clock_timestamp_seconds - bot_{}_last_success_timestamp_seconds"
    passed = {"0": "FAILED", "1": "ok"}
    panels = [
        number("Bot", COUNT, Query('up{job="bot"}'), words=UP_DOWN, good=1),
        number("Version", COUNT, Query("bot_build_info", "{{version}} {{mode}}")),
        number("Contract", COUNT, Query("bot_contract_info", "{{name}} × {{quantity}}"), width=8),
        number("Token dies in", SECONDS, Query(f"({until}) and (bot_token_expiry_timestamp_seconds > 0)")),
        number("Last archived", SECONDS, Query(since.format("archive")), says="Seconds ago"),
        number("Preflight", COUNT, Query("bot_preflight_check_ok", "{{check}}"), width=24, words=passed),
        graph("Memory", BYTES, Query('process_resident_memory_bytes{job="bot"}', "resident")),
        graph(
            "CPU", SHARE, Query('rate(process_cpu_seconds_total{job="bot"}[$__rate_interval])', "of a core")
        ),
        graph("Open files", COUNT, Query('process_open_fds{job="bot"}', "open"), width=8),
        graph("Books last compared", SECONDS, Query(since.format("reconcile"), "ago"), width=8),
        graph(
            "Words for people",
            COUNT,
            Query("sum by (severity, name) (increase(bot_alerts_total[$__rate_interval])) > 0", "{{name}}"),
            width=8,
        ),
        number("Entries ended", COUNT, Query("bot_halted", "{{reason}}"), width=12, words=YES_NO),
        number("Mismatches", COUNT, Query("bot_reconcile_mismatches_total", "{{kind}}"), width=6, bad=1),
        number("Observers cut off", COUNT, Query("bot_observer_failures_total"), width=3, bad=1),
        number("Log lines lost", COUNT, Query("bot_log_lines_dropped_total"), width=3, bad=1),
    ]
    return board("bot-operations", "Operations", panels, NOTES[3:], "now-3h")


def review() -> Dashboard:
    """Day review."""
    filled = 'sum(increase(bot_orders_total{{side="{}",outcome="FILLED"}}[$__range]))'
    panels = [
        number("Net", RUPEES, Query(f"last_over_time({NET}[$__range])"), good=0),
        number("Gross", RUPEES, Query("last_over_time(bot_pnl_realized_rupees[$__range])"), good=0),
        number("Charges", RUPEES, Query("last_over_time(bot_charges_rupees[$__range])")),
        number("Bought", COUNT, Query(filled.format("BUY")), says="Orders filled"),
        number("Sold", COUNT, Query(filled.format("SELL")), says="Orders filled"),
        number("Stops", COUNT, Query("sum(increase(bot_stop_losses_total[$__range]))"), bad=1),
        graph(
            "The day's result",
            RUPEES,
            Query(NET, "net"),
            Query("bot_pnl_realized_rupees", "gross, realized"),
            Query("-bot_charges_rupees", "charges"),
            width=24,
        ),
        graph("Charges by component", RUPEES,
              Query("bot_charges_component_rupees", "{{component}}"), width=24),
        graph("Price and estimate", RUPEES, Query("bot_price_rupees", "{{instrument}}"),
              Query("bot_kalman_price_rupees", "estimate"), width=24),
        graph("Orders", COUNT, Query("sum by (outcome) (bot_orders_total)", "{{outcome}}")),
        graph("Flatten calls", COUNT, Query("bot_flatten_attempts_total", "{{result}}")),
        heat("Slippage, rupees a unit, against us", COUNT, "bot_order_slippage_rupees"),
        graph("Entries refused, by guard", COUNT,
              Query('bot_signals_total{side="BUY",outcome!="ordered"} > 0', "{{outcome}}")),
    ]  # fmt: skip
    return board("bot-review", "Day review", panels, NOTES, "now-8h")


def all_boards() -> tuple[Dashboard, ...]:
    """All five, in the order of the folder."""
    return trading(), feed(), model(), operations(), review()


def _quantiles(metric: str) -> tuple[Query, ...]:
    buckets = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    return tuple(Query(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in (0.5, 0.99))
