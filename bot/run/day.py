"""A trading day from connect to close, whatever the mode: the tasks, and when they end.

Everything runs under one TaskGroup: a task that dies unexpectedly ends the process (fail and recover).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from bot.core.engine import Engine
from bot.core.events import SIGTERM, Heartbeat, Operator, OperatorAction
from bot.core.session import Session
from bot.core.units import SECOND, Nanos
from bot.run.inbox import Inbox
from bot.run.outbox import Outbox
from bot.run.ports import Broker, Clock, Feed
from bot.run.step import Stepper

HEARTBEAT: Nanos = SECOND
SETTLE: Nanos = 5 * SECOND  # after the close: the broker's last words
DOUBT_SETTLES: Nanos = 35 * SECOND  # so long a stop waits for an entry in doubt: a container has 45 s to end
HOLD_SETTLES: Nanos = 20 * SECOND  # so long a stop waits for an exit under way, or for the stop to rest
_TURNS_BEFORE_YIELD = 256  # a burst must not starve the sockets


class DayParts(NamedTuple):
    """What a day is made of; `assemble` chooses them."""

    clock: Clock
    session: Session
    engine: Engine
    inbox: Inbox
    stepper: Stepper
    outbox: Outbox
    feed: Feed
    broker: Broker


async def run_day(
    parts: DayParts,
    stop: asyncio.Event,
    arm_feed: Callable[[bool], None],
    on_lag: Callable[[float], None],
    beside: Sequence[Awaitable[None]] = (),
    *,
    hold: bool = False,
) -> None:
    """Run until the close, or until flat after `stop` was set (SIGTERM); then cancel the adapters.

    `beside`: whatever else is to run as long as the day, under the same rule. `hold`: a stop leaves a
    position under the stop that rests at the exchange.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_turn(parts), name="turn"),
                group.create_task(_beat(parts, on_lag), name="heartbeat"),
                group.create_task(parts.outbox.run(), name="outbox"),
                group.create_task(parts.broker.run(), name="broker"),
                group.create_task(parts.feed.run(), name="feed"),
                group.create_task(_arm(parts, arm_feed), name="arm"),
            ]
            tasks += [group.create_task(_awaited(work), name="beside") for work in beside]
            await _until_over(parts, stop, hold=hold)
            # The broker's last word on every order, while the adapters still listen.
            await parts.broker.ask_snapshot()
            while parts.inbox:
                await asyncio.sleep(0)
            await parts.outbox.drain()
            for task in tasks:
                task.cancel()
    finally:
        parts.outbox.close()


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _turn(parts: DayParts) -> None:
    inbox, step = parts.inbox, parts.stepper.step
    turns = 0
    while True:
        await inbox.filled()
        while inbox:
            step(*inbox.take())
            turns += 1
            if turns % _TURNS_BEFORE_YIELD == 0:
                await asyncio.sleep(0)


async def _beat(parts: DayParts, on_lag: Callable[[float], None]) -> None:
    """A heartbeat on every full second; `on_lag` hears by how many seconds the loop came late."""
    clock = parts.clock
    while True:
        now = clock.now()
        parts.inbox.put(Heartbeat(now, clock.monotonic()))
        due = (now // HEARTBEAT + 1) * HEARTBEAT
        await clock.sleep_until(due)
        on_lag((clock.now() - due) / SECOND)


async def _arm(parts: DayParts, arm_feed: Callable[[bool], None]) -> None:
    """Silence is suspicious only while the market is open."""
    for at, armed in ((parts.session.open_at, True), (parts.session.close_at, False)):
        await parts.clock.sleep_until(at)
        arm_feed(armed)


async def _until_over(parts: DayParts, stop: asyncio.Event, *, hold: bool) -> None:
    """Return at the close (plus a little), or when flat (or held safely) after a stop was asked for."""
    clock, engine = parts.clock, parts.engine
    closing = asyncio.ensure_future(clock.sleep_until(parts.session.close_at + SETTLE))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({closing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not closing.done():
            hold = hold and clock.now() < parts.session.flatten_at  # from then on everything goes anyway
            action = OperatorAction.HOLD if hold else OperatorAction.FLATTEN
            parts.inbox.put(Operator(clock.now(), clock.monotonic(), action, SIGTERM))
            await _first(closing, _until_settled(clock, engine) if hold else _until_flat(clock, engine))
    finally:
        closing.cancel()
        stopping.cancel()


async def _first(closing: "asyncio.Future[None]", flat: Awaitable[None]) -> None:
    flattened = asyncio.ensure_future(flat)
    try:
        await asyncio.wait({closing, flattened}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        flattened.cancel()


async def _until_settled(clock: Clock, engine: Engine) -> None:
    """No order moves and a stop rests under what is ours; at most as long as a container may take to end."""
    until = clock.now() + HOLD_SETTLES
    while clock.now() < until:
        await clock.sleep_until(clock.now() + SECOND // 4)
        if engine.settled and engine.ready:
            return


async def _until_flat(clock: Clock, engine: Engine) -> None:
    """Nothing of ours is left. An entry in doubt is waited for, but not until the process is killed."""
    since = clock.monotonic()
    while True:
        await clock.sleep_until(clock.now() + SECOND // 4)
        if not engine.ready:  # before the book was read, nothing owned may only be nothing known
            continue
        if engine.flat or (engine.doubts_alone and clock.monotonic() - since > DOUBT_SETTLES):
            return
