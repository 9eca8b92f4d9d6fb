"""What is read off the bot when it is scraped: a view → readings. It counts nothing and keeps nothing."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from bot.core.charges import in_rupees
from bot.core.units import SECOND
from bot.telemetry import catalogue as names
from bot.telemetry.catalogue import Metric
from bot.telemetry.view import DayState, InstrumentState

_NAN: Final = float("nan")

Labels: TypeAlias = tuple[str, ...]
Reading: TypeAlias = tuple[Metric, Labels, float]


def of_day(day: DayState) -> Iterator[Reading]:
    for (state,) in names.SESSION_STATE.series:
        yield names.SESSION_STATE, (state,), float(state == day.session_state)
    halted = day.halted if day.halted in names.HALT_REASONS else names.OTHER
    for reason in names.HALT_REASONS:
        yield names.HALTED, (reason,), float(bool(day.halted) and reason == halted)
    yield names.BUILD_INFO, (day.version, day.mode), 1.0
    yield names.MODEL_INFO, (day.model,), 1.0
    yield names.SESSION_INFO, (day.day,), 1.0
    for check, passed in day.checks:
        yield names.PREFLIGHT, (check if check in names.CHECKS else names.OTHER,), float(passed)
    for metric, instant in (
        (names.CLOCK, day.now),
        (names.SESSION_OPEN, day.open_at),
        (names.SESSION_CLOSE, day.close_at),
        (names.FLATTEN_DEADLINE, day.flatten_at),
        (names.TOKEN_EXPIRY, day.token_expires_at),
        (names.ARCHIVED, day.archived_at),
    ):
        yield metric, (), instant / SECOND
    for component, amount in day.charges_by_component._asdict().items():
        yield names.CHARGES_OF, (component,), in_rupees(amount)
    limit = _NAN if day.daily_loss_limit is None else day.daily_loss_limit / 100
    for metric, value in (
        (names.READY, float(day.ready)),
        (names.ORDERS_OPEN, day.orders_open),
        (names.ORDERS_UNKNOWN, day.orders_unknown),
        (names.PNL_REALIZED, day.realized / 100),
        (names.PNL_UNREALIZED, day.unrealized / 100),
        (names.CHARGES, day.charges / 100),
        (names.PNL_NET, (day.realized + day.unrealized - day.charges) / 100),
        (names.DAILY_LOSS_LIMIT, limit),
        (names.FEED_DECODE_ERRORS, day.decode_errors),
        (names.OBSERVER_FAILURES, day.observer_failures),
        (names.LOG_DROPPED, day.log_lines_dropped),
    ):
        yield metric, (), value


def of_instruments(states: Sequence[InstrumentState]) -> Iterator[Reading]:
    for state in states:
        labels = (state.instrument,)
        long = state.position > 0
        yield names.FEED_TICK, labels, state.tick_at / SECOND
        yield names.FEED_TICKS, labels, state.ticks_total
        yield names.PRICE, labels, state.ltp / 100 if state.ltp else _NAN
        yield names.KALMAN_PRICE, labels, state.estimate
        yield names.KALMAN_VELOCITY, labels, state.velocity
        yield names.POSITION, labels, state.position
        yield names.ENTRY_PRICE, labels, state.entry_price / 100 if long else _NAN
        yield names.CONTRACT_INFO, (state.instrument, state.name, str(state.quantity), str(state.lot)), 1.0
        yield names.STOP_RISK, labels, state.stop_risk / 100
        yield names.EXIT_STARTED, labels, state.exit_started_at / SECOND
        yield names.STOP_DISTANCE, labels, (state.ltp - state.stop_price) / 100 if long else _NAN
