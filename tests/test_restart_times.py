"""A bot that dies in a position: how soon the next one knows of it, and how soon a stop rests under it."""

from pathlib import Path

import pytest

from bot.core.units import SECOND
from bot.sim.orders import TERMINAL
from tests.days import Running, ShortDay

AT_WORK = frozenset({"trigger pending", "open"})
READY_WITHIN, PROTECTED_WITHIN = 5 * SECOND, 3 * SECOND  # …of the start, …of being ready


def protected(running: Running) -> bool:
    """By the exchange's own books: nothing held, or SELLs at work for all of it."""
    held = sum(row.quantity for row in running.twin.exchange.positions())
    selling = sum(
        order.pending_quantity
        for order in running.twin.exchange.orders()
        if order.side == "SELL" and order.status in AT_WORK
    )
    return selling == held


@pytest.mark.parametrize("after_fill_seconds", [0.0, 0.05, 0.2, 0.6, 2.0])
def test_a_restart_in_a_position_reconciles_within_5_s_and_protects_within_3_s_more(
    tmp_path: Path, after_fill_seconds: float
) -> None:
    took: list[tuple[int, int]] = []

    naked = 0

    async def die(running: Running) -> None:
        nonlocal naked
        clock = running.clock
        for moment in ("09:17:00", "09:20:00", "09:23:00"):
            await running.until(moment)
            await running.until_long()
            await clock.sleep_until(clock.now() + round(after_fill_seconds * SECOND))
            dead, began = running.desk, clock.now()
            exchange = running.twin.exchange
            at_work = [order.order_id for order in exchange.orders() if order.status in AT_WORK]
            for order_id in at_work:  # while nobody looks, its stop goes, too
                exchange.cancel(began, order_id)
            running.kill_and_restart()
            while running.desk is dead or running.desk is None or not running.desk.engine.ready:
                await clock.sleep_until(clock.now() + SECOND // 100)
            ready = clock.now()
            while any(row.status not in TERMINAL for row in map(exchange.order, at_work) if row):
                await clock.sleep_until(clock.now() + SECOND // 100)
            naked += not protected(running)
            while not protected(running):
                await clock.sleep_until(clock.now() + SECOND // 100)
            took.append((ready - began, clock.now() - ready))

    ShortDay(tmp_path, meanwhile=die).run().judged()
    assert len(took) == 3
    assert naked, "no restart had anything to mend"
    assert all(ready <= READY_WITHIN and covered <= PROTECTED_WITHIN for ready, covered in took), took
    print("seconds to ready, then to protected:", [(a / SECOND, b / SECOND) for a, b in took])
