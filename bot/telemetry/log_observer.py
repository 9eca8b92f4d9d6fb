"""A turn in words: orders, answers, fills, refusals, alerts, the feed. Ticks only when asked.

The event's own time stands on the line, so a replayed day reads as it was. Rupees, as people read them.
`tag` runs through everything that came of one decision, from `order` (whose `tick` names the tick that caused
it, as `-v` numbers them) over answers and changes to `fill`.
"""

from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from bot.core.commands import (
    Alert,
    CancelOrder,
    Command,
    ModifyOrder,
    PlaceOrder,
    RecordFill,
    Refused,
    Severity,
)
from bot.core.events import (
    BrokerSnapshot,
    Event,
    FeedDown,
    FeedUp,
    Operator,
    OrderReport,
    OrderStreamDown,
    OrderStreamUp,
    Outcome,
    SegmentStatus,
    SendOutcome,
    SnapshotFailed,
    Tick,
)
from bot.core.forecast import Forecast
from bot.core.units import SECOND, Nanos, rupees
from bot.run.ports import Turn

_REFUSALS_EVERY: Final[Nanos] = 60 * SECOND
_ALERTS: Final = {Severity.PAGE: "error", Severity.WARN: "warning", Severity.INFO: "info"}


class LogObserver:
    """Says what matters of each turn. `verbose` adds one line a tick, as `-v` promises.

    A guard refuses the same wish tick after tick: the first of a minute is told, with how many were not.
    """

    def __init__(self, log: FilteringBoundLogger, *, verbose: bool = False) -> None:
        self._log = log
        self._verbose = verbose
        self._refused_at: dict[tuple[str, str], Nanos] = {}
        self._refused_since: dict[tuple[str, str], int] = {}
        self._rejected: set[str] = set()
        self._instruments: dict[str, str] = {}  # by tag: answers and changes do not carry it

    def hear(self, turn: Turn) -> None:
        event = turn.event
        if type(event) is Tick:
            if self._verbose and turn.forecast is not None:
                self._tick(event, turn.forecast)
        else:
            self._event(event)
        for command in turn.commands:
            self._command(command, event.at, turn.forecast)

    def _tick(self, tick: Tick, seen: Forecast) -> None:
        self._log.info(
            "tick",
            at=tick.at,
            instrument=tick.instrument,
            tick=seen.tick,
            price=rupees(tick.ltp),
            estimate=seen.estimate,
            velocity=seen.velocity,
            rel_diff=seen.rel_diff,
            probability=seen.probability,
        )

    def _event(self, event: Event) -> None:
        log, at = self._log, event.at
        match event:
            case SegmentStatus():
                log.info("segment", at=at, segment=event.segment, status=event.status)
            case FeedUp():
                log.info("feed_up", at=at)
            case FeedDown():
                log.warning("feed_down", at=at, reason=event.reason)
            case OrderStreamUp():
                log.info("order_stream_up", at=at)
            case OrderStreamDown():
                log.warning("order_stream_down", at=at, reason=event.reason)
            case SnapshotFailed():
                log.warning("snapshot_failed", at=at, reason=event.reason)
            case Operator():
                log.warning("operator", at=at, action=event.action.value, reason=event.reason)
            case SendOutcome():
                tell = log.info if event.outcome is Outcome.ACCEPTED else log.warning
                told = {"act": event.act.value, "outcome": event.outcome.value, "order_id": event.order_id}
                told["instrument"] = self._of(event.tag)
                tell("order_answer", at=at, tag=event.tag, **told, error=event.code, message=event.message)
            case OrderReport():
                self._report(event)
            case BrokerSnapshot():
                for report in event.orders:
                    self._report(report)

    def _report(self, report: OrderReport) -> None:
        """A rejection comes after the call was accepted, and from several sides: told once."""
        if report.status == "rejected" and report.tag and report.tag not in self._rejected:
            self._rejected.add(report.tag)
            told = {"order_id": report.order_id, "message": report.message}
            self._log.warning(
                "order_rejected", at=report.at, instrument=report.instrument, tag=report.tag, **told
            )

    def _command(self, command: Command, at: Nanos, seen: Forecast | None) -> None:
        log = self._log
        match command:
            case PlaceOrder():
                self._instruments[command.tag] = command.instrument
                log.info("order", at=at, tick=seen.tick if seen else None, **_order(command))
            case ModifyOrder():
                told = {"instrument": self._of(command.tag), "tick": seen.tick if seen else None}
                log.info("order_modify", at=at, **told, **_modify(command))
            case CancelOrder():
                told = {"instrument": self._of(command.tag), "tag": command.tag, "order_id": command.order_id}
                log.info("order_cancel", at=at, **told, reason=command.reason)
            case RecordFill():
                log.info("fill", at=command.at, **_fill(command))
            case Refused():
                self._refused(command, at)
            case Alert():
                tell = _ALERTS[command.severity]
                getattr(log, tell)("alert", at=at, name=command.name, text=command.text)

    def _of(self, tag: str) -> str:
        """The instrument of an order; "" of one that an earlier run placed."""
        return self._instruments.get(tag, "")

    def _refused(self, refused: Refused, at: Nanos) -> None:
        key = (refused.instrument, refused.reason)
        if at - self._refused_at.get(key, -_REFUSALS_EVERY) < _REFUSALS_EVERY:
            self._refused_since[key] = self._refused_since.get(key, 0) + 1
            return
        self._refused_at[key] = at
        untold = self._refused_since.pop(key, 0)
        self._log.info(
            "entry_refused", at=at, instrument=refused.instrument, reason=refused.reason, untold=untold
        )


def _order(order: PlaceOrder) -> dict[str, Any]:
    seen = order.decision
    return {
        "instrument": order.instrument,
        "tag": order.tag,
        "side": order.side.value,
        "reason": order.reason.value,
        "order_type": order.order_type.value,
        "quantity": order.quantity,
        "price": rupees(order.price),
        "trigger_price": rupees(order.trigger_price),
        "decision_price": rupees(seen.price),
        "estimate": seen.estimate,
        "velocity": seen.velocity,
        "rel_diff": seen.rel_diff,
        "probability": seen.probability,
    }


def _modify(change: ModifyOrder) -> dict[str, Any]:
    return {
        "tag": change.tag,
        "order_id": change.order_id,
        "reason": change.reason.value,
        "order_type": change.order_type.value,
        "quantity": change.quantity,
        "price": rupees(change.price),
        "trigger_price": rupees(change.trigger_price),
    }


def _fill(fill: RecordFill) -> dict[str, Any]:
    return {
        "instrument": fill.instrument,
        "tag": fill.tag,
        "order_id": fill.order_id,
        "side": fill.side.value,
        "reason": fill.reason.value,
        "quantity": fill.quantity,
        "price": round(fill.value / fill.quantity / 100, 4),
        "slippage": rupees(fill.slippage),
        "charges": rupees(fill.charges),
        "realized_pnl_net": rupees(fill.realized_pnl_net),
        "position_after": fill.position_after,
    }
