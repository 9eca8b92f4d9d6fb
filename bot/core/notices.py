"""What a human is told, in words: alert names are bounded, texts say what happened and what to do."""

from bot.core.account import Order
from bot.core.commands import Alert, Severity
from bot.core.desk import Desk
from bot.core.events import SendOutcome, Side
from bot.core.units import rupees_text

BY_HAND = "if it repeats, close it in the broker's app."


def stop_loss(desk: Desk) -> Alert:
    holding = desk.holding
    loss = rupees_text(round((holding.entry_price - desk.ltp) * holding.position))
    text = (
        f"{desk.name}: last price {rupees_text(desk.ltp)} is ₹{loss} under the entry for "
        f"{holding.position} units. Selling."
    )
    return Alert(Severity.PAGE, "StopLossTriggered", text)


def rejected(desk: Desk, order: Order) -> Alert:
    """The venue (or the call) refused. An entry is a pity, an exit is a page."""
    if order.command.side is Side.BUY:
        return Alert(Severity.WARN, "OrderRefused", f"{desk.name}: entry refused: {order.message}")
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


def mismatch(desk: Desk) -> Alert:
    text = (
        f"{desk.name}: the account holds {desk.broker_position}, we know of {desk.holding.position}. "
        "No entries until they agree."
    )
    return Alert(Severity.PAGE, "PositionMismatch", text)


def short(desk: Desk) -> Alert:
    text = f"{desk.name}: sold {-desk.holding.position} units more than were ours. Buy them back in the app."
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


def entries_stopped(reason: str) -> Alert:
    return Alert(Severity.WARN, "EntriesStopped", f"No more entries today: {reason}.")
