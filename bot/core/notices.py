"""What a human is told, in words: alert names are bounded, texts say what happened and what to do."""

from bot.core.books import Order
from bot.core.commands import Alert, RecordFill, Severity
from bot.core.desk import Desk
from bot.core.events import (
    CRASH_LOOP,
    MODEL_OUT_OF_RANGE,
    NO_DISK,
    LeaseChanged,
    OrderType,
    SendOutcome,
    Side,
)
from bot.core.guards import Skew
from bot.core.units import SECOND, Nanos, rupees_text

BY_HAND = "if it repeats, close it in the broker's app."


def stop_loss(desk: Desk) -> Alert:
    holding = desk.holding
    loss = rupees_text(round((holding.entry_price - desk.ltp) * holding.position))
    text = (
        f"{desk.name}: last price {rupees_text(desk.ltp)} is ₹{loss} under the entry for "
        f"{holding.position} units. Selling."
    )
    return Alert(Severity.PAGE, "StopLossTriggered", text)


def stop_sold(desk: Desk, fill: RecordFill) -> Alert:
    average = rupees_text(round(fill.value / fill.quantity))
    text = f"{desk.name}: the stop at the exchange sold {fill.quantity} units at {average}."
    return Alert(Severity.PAGE, "StopLossTriggered", text)


def rejected(desk: Desk, order: Order) -> Alert:
    """The venue (or the call) refused. An entry is a pity, an exit is a page."""
    if order.command.side is Side.BUY:
        return Alert(Severity.WARN, "OrderRefused", f"{desk.name}: entry refused: {order.message}")
    if order.command.order_type is OrderType.SL and not order.leaving:
        text = f"{desk.name}: stop for {order.quantity} refused: {order.message}. Placing it anew, nearer."
        return Alert(Severity.WARN, "StopRefused", text)
    text = f"{desk.name}: exit of {order.quantity} refused: {order.message}. Trying again; {BY_HAND}"
    return Alert(Severity.PAGE, "ExitRejected", text)


def amend_refused(outcome: SendOutcome) -> Alert:
    text = f"{outcome.act} of {outcome.tag} refused: {outcome.code} {outcome.message}"
    return Alert(Severity.WARN, "OrderRefused", text)


def outcome_unknown(outcome: SendOutcome) -> Alert:
    text = f"{outcome.act} of {outcome.tag}: {outcome.code}. Asking the book, not sending again."
    return Alert(Severity.WARN, "OrderOutcomeUnknown", text)


def exit_unfilled(desk: Desk) -> Alert:
    text = f"{desk.name}: {desk.holding.position} units are not sold yet. Stepping the price down; {BY_HAND}"
    return Alert(Severity.PAGE, "ExitNotFilled", text)


def unprotected(desk: Desk) -> Alert:
    text = (
        f"{desk.name}: no stop rests at the exchange for {desk.holding.position} units. Trying on, and the "
        "bot's own stop sells while it runs and hears prices; else place a stop in the broker's app."
    )
    return Alert(Severity.PAGE, "PositionUnprotected", text)


def stop_gone(desk: Desk, order: Order) -> Alert:
    why = order.message or "no reason given"
    text = f"{desk.name}: our stop was cancelled, not by us ({why}). Placing it anew."
    return Alert(Severity.WARN, "StopGone", text)


def closing(desk: Desk) -> Alert:
    text = (
        f"{desk.name}: our own SELLs came to nothing. Asking the broker to close "
        f"{desk.holding.position} units at market; {BY_HAND}"
    )
    return Alert(Severity.PAGE, "ClosingByBroker", text)


def carried(desk: Desk) -> Alert:
    text = (
        f"{desk.name}: CARRIED. {desk.holding.position} units are still held and the market is closed. "
        "Decide by hand before the next open: nothing sells them until then."
    )
    return Alert(Severity.PAGE, "PositionCarried", text)


def mismatch(desk: Desk) -> Alert:
    text = (
        f"{desk.name}: the account holds {desk.broker_position}, we know of {desk.holding.position}. "
        "No entries until they agree."
    )
    return Alert(Severity.PAGE, "PositionMismatch", text)


def short(desk: Desk) -> Alert:
    units = -desk.holding.position
    text = f"{desk.name}: sold {units} units more than were ours. Buying them back; {BY_HAND}"
    return Alert(Severity.PAGE, "PositionShort", text)


def anomaly(text: str) -> Alert:
    return Alert(Severity.WARN, "OrderAnomaly", text)


def adopted(tag: str) -> Alert:
    text = f"{tag} carries our mark but was not in our journal: it is ours."
    return Alert(Severity.WARN, "OrderAdopted", text)


def access(allowed: bool, text: str) -> Alert:
    if allowed:
        return Alert(Severity.INFO, "AccessRestored", text)
    return Alert(Severity.PAGE, "AuthRequired", text)


def lease(event: LeaseChanged) -> Alert:
    if event.until_mono:
        return Alert(Severity.INFO, "LeaseHeld", f"Entries again: {event.text}")
    return Alert(Severity.PAGE, "LeaseLost", f"No entries; exits go on. {event.text}")


def resumed() -> Alert:
    return Alert(Severity.INFO, "EntriesResumed", "Entries again, by `bot resume`.")


def not_resumed(reason: str) -> Alert:
    return Alert(Severity.WARN, "EntriesNotResumed", f"`bot resume` changes nothing: {reason}.")


def clock_skew(skew: Nanos, how: Skew) -> Alert:
    if how is Skew.NONE:
        return Alert(Severity.INFO, "ClockSkew", "This machine's clock agrees with the broker's again.")
    seconds = f"{abs(skew) / SECOND:.0f} s {'ahead of' if skew > 0 else 'behind'} the broker's"
    then = "No entries until they agree; " if how is Skew.TOO_MUCH else ""
    text = f"This machine's clock is {seconds}. {then}set it by NTP (`timedatectl set-ntp true`)."
    return Alert(Severity.WARN, "ClockSkew", text)


def entries_stopped(reason: str) -> Alert:
    if reason == CRASH_LOOP:
        text = (
            "Started again and again within minutes: exits only, today. Find out why (the log of the last "
            "start), mend it, then `bot resume`."
        )
        return Alert(Severity.PAGE, "CrashLoop", text)
    if reason == NO_DISK:
        text = (
            "The disk takes nothing, so there is no journal: exits only, until nothing is held; then the bot "
            "ends. Free the disk ([data] folder), then start it again."
        )
        return Alert(Severity.PAGE, "NoDisk", text)
    if reason == MODEL_OUT_OF_RANGE:
        text = (
            "The market is far wilder or far calmer than any that taught the model: it is demoted. Exits "
            "only, today. Is it an option, are its prices in rupees? If so, retrain (`bot train`)."
        )
        return Alert(Severity.PAGE, "ModelOutOfRange", text)
    return Alert(Severity.WARN, "EntriesStopped", f"No more entries today: {reason}.")
