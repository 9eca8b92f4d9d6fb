"""The sentences of `bot explain`: what a trader reads for a reason, an order, a fill.

Records of the journal in, English out. It reads no file and knows nothing of time but how it is written.
"""

import math
from typing import Final

from bot.core.abstention import Quiet
from bot.core.commands import CancelOrder, Decision, ModifyOrder, NoTrade, PlaceOrder, Reason, RecordFill
from bot.core.events import OrderType, Side
from bot.core.risk import Guard
from bot.core.session import Phase
from bot.core.strategy import Unmet
from bot.core.units import Nanos, Paise, ist, rupees_text

_PHASES: Final = {
    Phase.BEFORE: "the market was not open yet",
    Phase.NO_ENTRY: "the entry cut-off had passed: from then on it only sells",
    Phase.FLATTEN: "it was time to be flat: everything is sold, nothing bought",
    Phase.CLOSED: "the market was closed",
}
_STOPPED: Final = {
    "daily_loss": "the day's loss limit was reached (risk.daily_loss_rupees)",
    "operator_takeover": "another hand had traded the instrument in this account: the owner took over",
    "short": "more had been sold than was owned",
    "kill_file": "the kill file was there (risk.kill_file)",
    "kill_signal": "the kill signal (SIGUSR1) had come",
    "sigterm": "the bot had been told to end (SIGTERM)",
    "operator": "a person had stopped entries (`bot flatten`)",
    "journal_failed": "the disk did not take the journal",
    "model_broken": "the model's answer was no probability",
    "model_out_of_range": "the market was of another kind than taught the model, which was demoted",
    "preflight": "the preflight had said no-go",
    "calendar": "the calendar and the broker did not agree about the day",
    "contracts": "the contract could not be checked against the instrument master",
    "crash_loop": "it had been started too often within minutes: exits only",
    "no_disk": "it was started on a disk that takes nothing: exits only",
    Guard.ENTRIES_DAY: "the day's number of entries was used up (risk.entries_per_day)",
    Guard.STOPS_DAY: "the day had seen its number of stop-losses (risk.stops_per_day)",
    Guard.CHARGES: "the day's charges were used up (risk.charges_per_day_rupees)",
}
WHY: Final[dict[str, str]] = {
    Guard.PHASE: "the session did not allow it",
    Guard.NOT_READY: "the broker's order book was not read since the start or a break, or we were shut out",
    Guard.STREAM_DOWN: "the stream of order updates was down",
    Guard.STOPPED: "entries were over",
    Guard.NOT_LEASED: "it was not sure that no other bot trades the account (the lease)",
    Guard.BEHIND: "a younger price was waiting already",
    Guard.LAGGED: "the prices came late (risk.tick_lag_max_seconds)",
    Guard.ORDER_OPEN: "an order was under way",
    Guard.ORDER_UNKNOWN: "the outcome of an order was not known",
    Guard.MISMATCH: "the broker's position differed from ours",
    Guard.NO_QUOTE: "bid or ask was missing",
    Guard.NO_STOP: "at that premium no valid stop can rest at the exchange",
    Guard.SPREAD: "the spread was too wide (risk.spread_max_bps)",
    Guard.PREMIUM_LOW: "the premium was too low (risk.premium_min_rupees)",
    Guard.PREMIUM_HIGH: "the premium was too high (risk.premium_max_rupees)",
    Guard.CAPITAL: "it would have cost more than allowed or available (risk.capital_rupees, the funds)",
    Guard.ENTRIES_DAY: _STOPPED[Guard.ENTRIES_DAY],
    Guard.ENTRIES_MINUTE: "there had been enough entries within a minute (risk.entries_per_minute)",
    Guard.COOLDOWN: "it was cooling down after a stop-loss (risk.cooldown_seconds)",
    Guard.STOPS_DAY: _STOPPED[Guard.STOPS_DAY],
    Guard.CHARGES: _STOPPED[Guard.CHARGES],
    Guard.FEED_DOWN: "the market feed was down",
    Guard.FROZEN: "messages came but nobody traded (risk.last_trade_max_seconds)",
    Guard.CLOCK_SKEW: "our clock and the broker's differed (risk.clock_skew_max_seconds)",
    Quiet.HOLDING: "it held a position already",
    Quiet.SEGMENT_SHUT: "the exchange said the segment was not open",
    Quiet.SILENT: "no price had come for over 5 s",
    Quiet.WARM_UP: "the filter was warming up (strategy.warmup_ticks)",
    Unmet.NOT_FALLING: "the price was not falling (velocity ≥ 0)",
    Unmet.ABOVE_ESTIMATE: "the price was not below its estimate",
    Unmet.BAND: "the price was too far from its estimate (strategy.band)",
    Unmet.MODEL: "the model's probability was too low (strategy.threshold)",
    Quiet.WANTED: "nothing spoke against it, but no tick of that moment asked for it",
}
_REASONS: Final = {
    Reason.SIGNAL_EXIT: "the price was rising above its estimate",
    Reason.STOP_LOSS: "the stop-loss",
    Reason.END_OF_DAY: "the end of the day: be flat",
    Reason.RISK_EXIT: "the day's loss limit",
    Reason.OPERATOR: "it was told to sell",
    Reason.RECOVERY: "to repair what a restart found",
}


def clock(at: Nanos) -> str:
    return f"{ist(at):%H:%M:%S}"


def why(reason: str, detail: str) -> str:
    """The reason in words; one of another version as it stands."""
    if reason == Guard.PHASE and detail:
        return _PHASES.get(Phase(detail), detail) if detail in set(Phase) else detail
    if reason == Guard.STOPPED and detail:
        return _STOPPED.get(detail, f"entries were over ({detail})")
    return WHY.get(reason, reason)


def counts(text: str) -> dict[str, int]:
    """From `model=31 band=2` to {"model": 31, "band": 2}."""
    pairs = (word.rpartition("=") for word in text.split())
    return {reason: int(count) for reason, _, count in pairs}


def not_bought(one: NoTrade) -> str:
    """Why nothing was bought in an interval."""
    looks = counts(one.looks)
    total = sum(looks.values())
    reasons = [
        why(reason, one.detail) + (f" in {count} of {total} looks" if len(looks) > 1 else "")
        for reason, count in looks.items()
    ]
    what = "no second entry" if Quiet.HOLDING in looks else "not bought"
    text = f"{clock(one.since)}–{clock(one.until)} {what}: "
    text += "; ".join(reasons)
    if not math.isnan(one.best):
        text += f"; at best it gave {one.best:.2f}, {one.threshold:.2f} is wanted"
    wishes = counts(one.refused)
    same = wishes.pop(next(iter(looks), ""), 0)  # the reason is told already
    refused = [f"{why(reason, one.detail)} ({count} ×)" for reason, count in wishes.items()]
    text += f". It wanted to buy {same} ×" if same else ""
    return text + (f". It wanted to buy, but {', '.join(refused)}" if refused else "") + "."


def saw(seen: Decision, bid: Paise, ask: Paise) -> str:
    """What the bot had before it."""
    if not seen.price:
        return "it had seen no price yet"
    text = f"at {clock(seen.at)} it saw ₹{rupees_text(seen.price)}"
    if bid or ask:
        text += f" (bid {_quote(bid)}, ask {_quote(ask)})"
    return text + _forecast(seen)


def _quote(price: Paise) -> str:
    return rupees_text(price) if price else "none"


def _forecast(seen: Decision) -> str:
    if math.isnan(seen.estimate):
        return ""
    side = "below" if seen.rel_diff < 0 else "above"
    move = "falling" if seen.velocity < 0 else "rising" if seen.velocity > 0 else "resting"
    text = (
        f", {abs(seen.rel_diff):.3%} {side} its estimate {seen.estimate:,.2f}, {move} ({seen.velocity:+.3f})"
    )
    return text if math.isnan(seen.probability) else f"{text}, probability {seen.probability:.2f}"


def order(made: PlaceOrder) -> str:
    units, price = made.quantity, f"₹{rupees_text(made.price)}"
    if made.closes:
        return f"asked the broker to close {units} units at market: its own orders had not sold"
    if made.reason is Reason.ENTRY:
        seen = saw(made.decision, 0, 0)
        return f"asked to buy {units} units at {price} at most: {seen}"
    if made.side is Side.BUY:
        return f"asked to buy back {units} units at {price} at most: more had been sold than was owned"
    if made.order_type is OrderType.SL:
        trigger = f"₹{rupees_text(made.trigger_price)}"
        return f"placed the protective stop: sells {units} units once {trigger} is reached, not under {price}"
    return f"asked to sell {units} units at {price} or more: {_REASONS.get(made.reason, made.reason)}"


def change(made: ModifyOrder | CancelOrder) -> str:
    if isinstance(made, CancelOrder):
        return f"cancelled an order ({made.reason.replace('_', ' ')})"
    if made.order_type is OrderType.SL:
        return f"made the protective stop {made.quantity} units at ₹{rupees_text(made.trigger_price)}"
    reason = _REASONS.get(made.reason, made.reason)
    return f"turned the stop into a sale at ₹{rupees_text(made.price)} or more: {reason}"


def fill(made: RecordFill) -> str:
    average = f"₹{rupees_text(round(made.value / made.quantity))}"
    if made.side is Side.BUY:
        return f"bought {made.quantity} units at {average} (charges ₹{rupees_text(made.charges)})"
    net = f"{'-' if made.realized_pnl_net < 0 else '+'}₹{rupees_text(abs(made.realized_pnl_net))}"
    reason = _REASONS.get(made.reason, made.reason)
    return f"sold {made.quantity} units at {average}: {reason}. Net of its charges {net}"
