"""Whole (short) days with faults around the stop and the flatten, over real sockets, judged by the twin.

The bench looks at the exchange ten times a second, past the bot: what is held, and what is offered for sale.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.assemble.closing import EXIT_DONE, EXIT_HOLDING, EXIT_UNRECONCILED
from bot.core.events import Act
from bot.core.units import SECOND, Nanos
from bot.sim.market import Shock
from bot.sim.orders import TERMINAL, ExchangeRules, OrderRequest
from bot.storage.journal import read_journal
from bot.twin.faults import Fault, FaultKind
from tests.conftest import DAY, KEY, at
from tests.days import Outcome, Running, ShortDay
from tests.test_day import fault

WITH_MARGIN = ExchangeRules(margin_for_shorts=True)  # a naked SELL would pass: none may be sent
LOOK: Nanos = SECOND // 10


# Held across the flatten: the feed was away for a minute, so the filter warms up and signals no exit.
HELD = (fault("09:26:05", FaultKind.REFUSE_HANDSHAKE, 70), fault("09:26:05", FaultKind.DROP_MARKET))
SINKS = (Shock(at("09:25:00"), -900, 180),)


class Watch:
    """How long what must not be, was: seconds at a stretch."""

    def __init__(self, then: Callable[[Running], Any] | None = None) -> None:
        self.too_much = self.naked = self.short = 0.0
        self.flat_at: Nanos = 0
        self._then = then

    async def __call__(self, running: Running) -> None:
        clock, since = running.clock, dict.fromkeys(("too_much", "naked", "short"), 0)
        other = None if self._then is None else self._then(running)
        beside = None if other is None else asyncio.create_task(other)
        while clock.now() < at("09:29:59"):
            await clock.sleep_until(clock.now() + LOOK)
            orders = [o for o in running.twin.exchange.orders() if o.tag and o.status not in TERMINAL]
            held = sum(row.quantity for row in running.twin.exchange.positions())
            offered = sum(o.pending_quantity for o in orders if o.side == "SELL")
            wrong = {"too_much": offered > max(held, 0), "naked": offered < held, "short": held < 0}
            for name, is_wrong in wrong.items():
                since[name] = (since[name] or clock.now() - LOOK) if is_wrong else 0
                lasts = (clock.now() - since[name]) / SECOND if since[name] else 0.0
                setattr(self, name, max(getattr(self, name), lasts))
            if held:
                self.flat_at = clock.now()
        if beside is not None:
            await beside


def day(path: Path, watch: Watch, faults: Sequence[Fault] = (), **more: Any) -> Outcome:
    return ShortDay(path, faults, meanwhile=watch, exchange=WITH_MARGIN, **more).run()


def stops_of(outcome: Outcome) -> list[Any]:
    return [
        history
        for order in outcome.twin.exchange.orders()
        if (history := outcome.twin.exchange.history(order.order_id))[0].order_type == "SL"
    ]


def test_each_position_is_covered_and_each_exit_is_its_stop_modified(tmp_path: Path) -> None:
    watch = Watch()
    outcome = day(tmp_path, watch)
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    assert (watch.too_much, watch.short) == (0, 0)
    assert watch.naked < 1
    sells = [o for o in outcome.twin.exchange.orders() if o.side == "SELL"]
    assert len(sells) == len(stops_of(outcome)) == outcome.result.summary.trades
    assert {o.order_type for o in sells} == {"LIMIT"}
    assert "alert" not in (tmp_path / "log.jsonl").read_text()


def test_a_slide_is_sold_by_the_stop_at_the_exchange(tmp_path: Path) -> None:
    watch = Watch()
    outcome = day(tmp_path, watch, shocks=[Shock(at("09:20:00"), -4_000, 60)])
    outcome.judged()
    assert any(row["reason"] == "STOP_LOSS" for row in outcome.csv_rows)
    assert any(h[-1].order_type == "SL" and h[-1].status == "complete" for h in stops_of(outcome))
    assert (watch.too_much, watch.short) == (0, 0)


@pytest.mark.parametrize(
    "faults",
    [
        [fault("09:17:00", FaultKind.LOSE_REPLY, act=act) for act in Act for _ in range(4)]
        + [fault("09:21:00", FaultKind.REJECT, act=act) for act in (Act.PLACE, Act.MODIFY)] * 5,
        [fault("09:17:00", FaultKind.LATE_ACCEPTANCE, 20, act) for act in (Act.PLACE, Act.MODIFY)] * 2,
        [fault("09:17:00", FaultKind.THIN_BOOK, 600, quantity=65)]
        + [fault(f"09:{minute}:07", FaultKind.DROP_PORTFOLIO) for minute in range(17, 28)],
        [
            fault("09:18:00", FaultKind.UNAUTHORIZED, 40),
            fault("09:20:00", FaultKind.TOO_MANY, 20),
            fault("09:22:00", FaultKind.DOWN, 30),
            fault("09:24:00", FaultKind.WRONG_ADDRESS, 30),
        ],
    ],
    ids=["lost_and_rejected", "late", "part_fills_and_no_stream", "turned_away_and_down"],
)
def test_no_double_order_and_no_forgotten_quantity(tmp_path: Path, faults: list[Fault]) -> None:
    watch = Watch()
    thin = faults[0].kind is FaultKind.THIN_BOOK
    outcome = day(tmp_path, watch, faults, quantity=195 if thin else 65)
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    assert watch.too_much <= 2
    assert watch.short <= 5


def test_when_our_own_sells_are_refused_the_broker_closes_and_the_books_agree(tmp_path: Path) -> None:
    watch = Watch()
    refused = [fault("09:27:59", FaultKind.REJECT, act=act) for act in [Act.MODIFY] + [Act.PLACE] * 3]
    outcome = day(tmp_path, watch, [*HELD, *refused], shocks=SINKS)
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    closing = outcome.twin.exchange.orders()[-1]
    assert (closing.tag, closing.side, closing.status) == ("", "SELL", "complete")
    assert outcome.csv_rows[-1]["order_id"] == closing.order_id
    assert watch.flat_at <= at("09:28:20")
    assert (watch.too_much, watch.short) == (0, 0)


@pytest.mark.parametrize(
    "fate",
    [(FaultKind.LOSE_REPLY, 0.0), (FaultKind.SLOW_REPLY, 4.0)],
    ids=["reply_lost", "word_before_reply"],
)
def test_a_sale_by_positions_exit_is_ours_though_its_order_carries_no_tag(
    tmp_path: Path, fate: tuple[FaultKind, float]
) -> None:
    """No reply names it: it is known by instrument, side and quantity, and that nobody had seen it before."""
    watch = Watch()
    refused = [fault("09:27:59", FaultKind.REJECT, act=act) for act in [Act.MODIFY] + [Act.PLACE] * 3]
    faults = [*HELD, *refused, fault("09:28:06", fate[0], fate[1], Act.PLACE)]
    outcome = day(tmp_path, watch, faults, shocks=SINKS)
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    closing = [order for order in outcome.twin.exchange.orders() if not order.tag]
    assert [(order.side, order.status) for order in closing] == [("SELL", "complete")]
    assert outcome.csv_rows[-1]["order_id"] == closing[0].order_id
    assert (watch.too_much, watch.short) == (0, 0)
    log = (tmp_path / "log.jsonl").read_text()
    assert "operator_takeover" not in log
    assert "OrderOutcomeUnknown" not in log, "the stream had told: nobody need be frightened"
    kept = read_journal(tmp_path / "data" / f"journal-{DAY}.sqlite")
    answers = [record.body for record in kept if record.kind == "SendOutcome"]
    assert any('"UNKNOWN"' in body for body in answers) == (fate[0] is FaultKind.LOSE_REPLY)


def test_a_broker_away_to_the_end_leaves_it_carried_and_says_so(tmp_path: Path) -> None:
    outcome = day(tmp_path, Watch(), [*HELD, fault("09:27:50", FaultKind.DOWN, 300)], shocks=SINKS)
    assert outcome.result.exit_code == EXIT_HOLDING
    assert any(row.quantity for row in outcome.twin.exchange.positions())
    log = (tmp_path / "log.jsonl").read_text()
    assert log.count('"PositionCarried"') == 1
    assert log.count('"ExitNotFilled"') == 1


def test_a_stop_left_alone_by_the_owners_own_sale_is_cut_within_2_seconds(tmp_path: Path) -> None:
    async def sell_by_hand(running: Running) -> None:
        await running.until("09:18:00")
        await running.until_long()
        await running.clock.sleep_until(running.clock.now() + SECOND)
        exchange = running.twin.exchange
        held = sum(row.quantity for row in exchange.positions())
        if held:
            request = OrderRequest(KEY, "SELL", "LIMIT", "D", "DAY", held, 250_00, 0)
            exchange.place(running.clock.now(), request)
            running.twin.stir()

    watch = Watch(sell_by_hand)
    outcome = ShortDay(tmp_path, meanwhile=watch, exchange=WITH_MARGIN).run()
    assert not any(row.quantity for row in outcome.twin.exchange.positions())
    assert outcome.result.exit_code == EXIT_UNRECONCILED  # ours were sold, and not by us
    assert 0 < watch.too_much <= 2
    assert watch.short == 0
    assert "operator_takeover" in (tmp_path / "log.jsonl").read_text()


def test_restarts_in_a_position_keep_one_stop(tmp_path: Path) -> None:
    async def crash(running: Running) -> None:
        await running.until("09:18:00")
        for _ in range(5):
            await running.until_long()
            running.kill_and_restart()
            await running.clock.sleep_until(running.clock.now() + 20 * SECOND)

    watch = Watch(crash)
    outcome = day(tmp_path, watch)
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    assert (watch.too_much, watch.short) == (0, 0)
    assert watch.naked <= 8  # reconciled within 5 s of the start, protected 3 s later
