"""What telemetry is shown of a running day: read-only numbers, gathered when somebody looks."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot import __version__
from bot.core import risk
from bot.core.engine import Engine
from bot.core.events import OrderType, Side
from bot.core.orders import State
from bot.core.units import SECOND, InstrumentKey
from bot.run.ports import Clock
from bot.telemetry.logs import Logs
from bot.telemetry.view import DayState, InstrumentState
from bot.upstox.auth import Token
from bot.upstox.wire_market import MarketDecoder


@dataclass
class DayView:
    """Implements telemetry's View over the engine and the adapters."""

    mode: str
    model: str
    clock: Clock
    engine: Engine
    decoder: MarketDecoder
    token: Token
    logs: Logs
    observer_failures: int = 0
    archived_at: int = 0
    checks: tuple[tuple[str, bool], ...] = ()

    def day(self) -> DayState:
        """The bot right now."""
        engine, now = self.engine, self.clock.now()
        session, account = engine.session, engine.account
        ready, reason = self._readiness()
        return DayState(
            session_state=session.phase_at(now).value,
            ready=ready,
            reason=reason,
            halted=engine.entries_stopped,
            open_at=session.open_at,
            flatten_at=session.flatten_at,
            close_at=session.close_at,
            orders_open=len(account.open),
            orders_unknown=account.unknown,
            realized=account.realized_gross,
            unrealized=risk.unrealized(account, engine.desks),
            charges=account.charges,
            charges_by_component=account.charged,
            daily_loss_limit=engine.rules.risk.daily_loss,
            decode_errors=self.decoder.decode_errors,
            token_expires_at=self.token.expires_at or 0,
            archived_at=self.archived_at,
            observer_failures=self.observer_failures,
            log_lines_dropped=self.logs.dropped,
            heartbeat_age_seconds=(self.clock.monotonic() - engine.heartbeat_mono) / SECOND,
            mode=self.mode,
            version=__version__,
            model=self.model,
            day=session.day.isoformat(),
            now=now,
            checks=self.checks,
        )

    def instruments(self) -> Sequence[InstrumentState]:
        """Every instrument traded, in the settings' order."""
        engine = self.engine
        states = []
        for key, desk in engine.desks.items():
            holding = engine.account.holdings[key]
            seen = desk.forecast
            nan = float("nan")
            states.append(
                InstrumentState(
                    instrument=key,
                    ticks_total=desk.ticks_total,
                    tick_at=desk.at,
                    ltp=desk.ltp,
                    estimate=seen.estimate if seen else nan,
                    velocity=seen.velocity if seen else nan,
                    position=holding.position,
                    entry_price=holding.entry_price,
                    name=desk.name,
                    quantity=desk.contract.quantity,
                    lot=desk.contract.lot,
                    stop_risk=engine.rules.risk.stop_loss * desk.contract.quantity,
                    stop_resting=self._stop_rests(key),
                    exit_started_at=desk.exit_at if desk.exit_reason is not None else 0,
                    stop_price=max(holding.entry_price - engine.rules.risk.stop_loss, 0.0),
                )
            )
        return states

    def _stop_rests(self, key: InstrumentKey) -> bool:
        """Does the broker hold a live stop of ours for all that we own?"""
        account = self.engine.account
        resting = sum(
            order.quantity
            for order in account.open_orders(key)
            if order.command.side is Side.SELL
            and order.command.order_type is OrderType.SL
            and order.state is State.LIVE
        )
        return bool(resting >= account.holdings[key].position)

    def _readiness(self) -> tuple[bool, str]:
        engine = self.engine
        if engine.shut_out:
            return False, "the broker does not let us in: another token or address is needed"
        if not engine.ready:
            return False, "the broker's books have not been read yet"
        if not engine.stream_up:
            return False, "the order stream is down"
        if engine.lease is not None and not engine.lease.until_mono:
            return False, f"no entries without the lease: {engine.lease.text}"
        if not engine.feed_up:
            return False, "the market feed is down"
        return True, ""
