"""The stop that rests: placed, resized, turned into the exit, cut, adopted; never two SELLs."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core import stops
from bot.core.commands import Alert, CancelOrder, Command, ModifyOrder, PlaceOrder, Reason
from bot.core.events import BrokerSnapshot, OrderReport, OrderType, Outcome, PositionRow, Side
from bot.core.rules import Contract, OrderRules, Rules
from bot.core.session import Session
from bot.run.recover import replay
from bot.sim.refusals import stop_gap_too_wide
from tests.conftest import DAY, KEY, at
from tests.test_engine import Desk, desk, make, none_of, only

__all__ = ["desk", "make"]


def alerts(commands: list[Command]) -> list[str]:
    return [command.name for command in commands if isinstance(command, Alert)]


def by_hand(desk: Desk, sold: int) -> OrderReport:
    """The owner sold in the app: a word without a tag of ours."""
    return OrderReport(
        desk.now, desk.mono, "", "hand", "X9", KEY, Side.SELL, "LIMIT", "complete",
        sold, sold, sold * 300_00, 300_00, 0, "", "",
    )  # fmt: skip


# ---- its numbers -----


@given(bought_at=st.integers(1, 2_000_00), tick=st.sampled_from([5, 10]), tighter=st.integers(0, 9))
def test_its_prices_are_always_ones_the_venue_takes(bought_at: int, tick: int, tighter: int) -> None:
    found = stops.prices(bought_at, 50_00, tick, tighter)
    if found is None:
        assert bought_at < 50_00 + 2 * tick
        return
    trigger, limit = found
    assert tick <= limit <= trigger <= bought_at - 50_00
    assert trigger % tick == limit % tick == 0
    assert not stop_gap_too_wide(limit, trigger)


def test_an_entry_is_refused_where_no_stop_exists(make: Any) -> None:
    desk = make(stop_loss=299_80, premium_min=10_00)
    assert only(desk.fall(), PlaceOrder)
    desk = make(stop_loss=300_00, premium_min=10_00)
    assert desk.fall()[0].reason == "no_stop"  # type: ignore[union-attr]


# ---- placed, resized, moved -----


def test_it_rests_at_once_for_what_filled_and_grows_with_the_next_fill(desk: Desk) -> None:
    entry = only(desk.fall(), PlaceOrder)
    desk.answer(entry, Outcome.ACCEPTED)
    stop = only(desk.word(entry, "open", 25), PlaceOrder)
    assert (stop.side, stop.order_type, stop.quantity) == (Side.SELL, OrderType.SL, 25)
    assert stop.trigger_price == entry.price - 50_00
    assert stop.reason is Reason.STOP_LOSS
    made = desk.word(entry, "complete", 75)
    assert none_of(made, ModifyOrder)  # the broker has not named it yet
    change = only(desk.answer(stop, Outcome.ACCEPTED), ModifyOrder)
    assert (change.quantity, change.order_type) == (75, OrderType.SL)


def test_a_signal_exit_is_that_very_order_and_no_second_one(desk: Desk) -> None:
    desk.enter()
    made = desk.tick(desk.price + 200)
    change = only(made, ModifyOrder)
    assert none_of(made, PlaceOrder)
    assert none_of(made, CancelOrder)
    assert (change.tag, change.order_type, change.trigger_price) == (desk.stop.tag, OrderType.LIMIT, 0)
    assert change.reason is Reason.SIGNAL_EXIT
    desk.modified(change)
    fill = desk.word(desk.stop._replace(order_type=OrderType.LIMIT, price=change.price), "complete", 75)[0]
    assert fill.reason is Reason.SIGNAL_EXIT  # type: ignore[union-attr]
    assert desk.engine.flat


def test_the_exchange_sells_at_the_stop_and_we_do_not_race_it(desk: Desk) -> None:
    entry = desk.enter()
    made = [c for _ in range(3) for c in desk.tick(entry.price - 50_00)][:2]
    assert none_of(made, ModifyOrder)
    assert alerts(made) == ["StopLossTriggered"]
    fill = desk.word(desk.stop, "complete", 75)[0]
    assert fill.reason is Reason.STOP_LOSS  # type: ignore[union-attr]
    assert len(desk.engine.account.stops) == 1
    assert desk.engine.flat


def test_a_stop_that_rests_unfilled_is_turned_into_an_exit_after_2_seconds(desk: Desk) -> None:
    entry = desk.enter()
    for price in range(desk.price, entry.price - 50_00, -10_00):
        desk.tick(price)
    desk.tick(entry.price - 51_00)
    desk.word(desk.stop, "open")
    assert none_of(desk.heartbeat(1), ModifyOrder)
    change = only(desk.heartbeat(1), ModifyOrder)
    assert (change.order_type, change.reason) == (OrderType.LIMIT, Reason.STOP_LOSS)


def test_a_rejected_stop_is_placed_anew_with_its_limit_nearer(desk: Desk) -> None:
    desk.enter()
    made = desk.word(desk.stop, "rejected")
    assert "StopRefused" in alerts(made)
    again = only(made + desk.heartbeat(), PlaceOrder)
    assert again.trigger_price == desk.stop.trigger_price
    assert again.price > desk.stop.price


def test_unprotected_for_3_seconds_is_paged_once(desk: Desk) -> None:
    desk.enter(stop=False)
    pages = [name for _ in range(12) for name in alerts(desk.heartbeat())]
    assert pages.count("PositionUnprotected") == 1


def test_unprotected_is_paged_though_an_exit_is_decided_meanwhile(desk: Desk) -> None:
    """It waits for the stop in doubt, so nothing is offered for sale: the clock runs on."""
    desk.enter(stop=False)
    stop = only([command for _ in range(2) for command in desk.heartbeat()], PlaceOrder)
    desk.answer(stop, Outcome.UNKNOWN)
    assert none_of(desk.tick(desk.price + 200), PlaceOrder)
    assert alerts(desk.heartbeat() + desk.heartbeat()) == ["PositionUnprotected"]


def test_a_modify_the_venue_refuses_ends_in_a_new_sell(desk: Desk) -> None:
    """SL → LIMIT is allowed at another broker, unproven at this one: cancel, wait for the end, sell anew."""
    desk.enter()
    change = only(desk.tick(desk.price + 200), ModifyOrder)
    stays = ModifyOrder(change.tag, change.order_id, OrderType.SL, 75, desk.stop.price, desk.stop.trigger_price, change.reason)  # fmt: skip  # noqa: E501
    desk.modified(stays, status="not modified")
    cancel = only([c for _ in range(2) for c in desk.heartbeat()], CancelOrder)
    assert cancel.tag == desk.stop.tag
    order = only(desk.word(desk.stop, "cancelled"), PlaceOrder)
    assert (order.order_type, order.quantity) == (OrderType.LIMIT, 75)


# ---- broken from outside -----


@pytest.mark.parametrize(("left", "kind"), [(25, ModifyOrder), (0, CancelOrder)])
def test_what_another_hand_sold_is_cut_from_the_stop_at_the_first_reading(
    desk: Desk, left: int, kind: type
) -> None:
    desk.enter()
    desk.pass_time()
    made = desk.engine.handle(by_hand(desk, 75 - left))
    assert "EntriesStopped" in alerts(made)
    made = desk.snapshot(position=left)
    cut = only(made, kind)
    assert kind is CancelOrder or cut.quantity == left


def test_a_second_sell_that_came_alive_is_cancelled_at_once(desk: Desk) -> None:
    """Given up after 8 s, replaced, and then it was there after all."""
    desk.enter(stop=False)
    first = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.answer(first, Outcome.UNKNOWN)
    second = None
    for _ in range(12):
        desk.snapshot(position=75)
        second = second or next((c for c in desk.heartbeat() if isinstance(c, PlaceOrder)), None)
    assert second is not None
    desk.answer(second, Outcome.ACCEPTED)
    desk.word(second, "open")
    cancel = only(desk.word(first, "open"), CancelOrder)
    assert cancel.tag in {first.tag, second.tag}


def test_a_short_is_bought_back_exactly_once_the_account_was_read(desk: Desk) -> None:
    desk.enter()
    desk.word(desk.stop, "complete", 75)
    again = desk.stop._replace(tag="k260916r1n9")
    made = desk.word(again, "complete", 75)
    assert "PositionShort" in alerts(made)
    desk.pass_time(0.1)
    cover = only(desk.snapshot(position=-75), PlaceOrder)
    assert (cover.side, cover.quantity, cover.reason) == (Side.BUY, 75, Reason.RECOVERY)
    desk.word(cover, "complete", 75)
    assert desk.engine.flat


def test_a_live_sell_that_never_shows_in_the_book_is_decided_too(desk: Desk) -> None:
    desk.enter(stop=False)
    order = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.answer(order, Outcome.ACCEPTED)
    again = []
    for second in range(1, 12):
        desk.pass_time(0)
        desk.snapshot(position=75)
        again += [(second, c.quantity) for c in desk.heartbeat() if isinstance(c, PlaceOrder)]
    assert again == [(8, 75)]


# ---- the last rung -----


def test_at_the_end_of_the_ladder_the_broker_closes_the_entrys_position(desk: Desk) -> None:
    entry = desk.enter(stop=False)
    desk.now = at("15:28:59")
    closing = None
    for _ in range(40):
        made = desk.heartbeat()
        for order in [c for c in made if isinstance(c, PlaceOrder)]:
            closing = order if order.closes else closing
            if not order.closes:
                desk.word(order, "rejected")
        if closing is not None:
            assert "ClosingByBroker" in alerts(made)
            break
        desk.snapshot(position=75)
    assert closing is not None
    assert (closing.closes, closing.order_type, closing.price) == (entry.tag, OrderType.MARKET, 0)
    desk.answer(closing, Outcome.ACCEPTED)
    word = by_hand(desk, 75)._replace(order_id="id" + closing.tag)  # it carries no tag: its id names it
    assert desk.engine.handle(word)[0].tag == closing.tag  # type: ignore[union-attr]
    assert desk.engine.flat


def test_the_last_rung_never_touches_another_hands_units(desk: Desk) -> None:
    """Part of ours is sold, the owner holds some as well: the broker would sell all the entry bought."""
    desk.enter(stop=False)
    sell = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.word(only(desk.word(sell, "cancelled", 25), PlaceOrder), "rejected")
    desk.now = at("15:29:00")
    made: list[Command] = []
    for _ in range(60):
        for order in [c for c in desk.heartbeat() if isinstance(c, PlaceOrder)]:
            made.append(order)
            desk.word(order, "rejected")
        desk.snapshot(position=50 + 75)
    assert made
    assert all(not c.closes and c.quantity == 50 for c in made if isinstance(c, PlaceOrder))


def test_still_held_at_the_close_is_paged_as_carried_once(desk: Desk) -> None:
    desk.enter()
    desk.now = at("15:39:58")
    pages = [name for _ in range(6) for name in alerts(desk.heartbeat())]
    assert pages.count("PositionCarried") == 1
    assert none_of([c for _ in range(5) for c in desk.heartbeat()], PlaceOrder)


# ---- recovery -----


def test_a_restart_adopts_the_stop_that_rests_and_places_no_second(
    desk: Desk, contract: Contract, session: Session
) -> None:
    entry = desk.enter()
    kept = [
        entry,
        OrderReport(
            desk.now, desk.mono, entry.tag, "id1", "", KEY, Side.BUY, "LIMIT", "complete",
            75, 75, 75 * entry.price, entry.price, 0, "", "",
        ),
    ]  # fmt: skip
    rests = OrderReport(
        desk.now, desk.mono, desk.stop.tag, "id2", "X2", KEY, Side.SELL, "SL", "trigger pending",
        75, 0, 0, desk.stop.price, desk.stop.trigger_price, "", "",
    )  # fmt: skip
    again = Desk(contract, session, run=2)
    replay(again.engine, kept, again.mono)
    made = again.engine.handle(
        BrokerSnapshot(again.now, again.mono, again.mono, (rests,), (PositionRow(KEY, "D", 75),))
    )
    made += [c for _ in range(6) for c in again.heartbeat()]
    assert none_of(made, PlaceOrder)
    assert "PositionUnprotected" not in alerts(made)
    again.price = desk.price
    assert stops.covered(again.engine.desks[KEY], again.engine.account)


# ---- any order of words -----


class Broker:
    """A broker on paper: does what it is asked, and keeps Σ live SELLs against the account's long."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.long = desk, 0
        self.rows: dict[str, OrderReport] = {}
        self.words: list[OrderReport] = []

    def take(self, commands: list[Command]) -> None:
        desk = self.desk
        for c in commands:
            if isinstance(c, PlaceOrder):
                self.say(
                    OrderReport(
                        desk.now, desk.mono, c.tag, "id" + c.tag, "X", KEY, c.side, c.order_type,
                        "trigger pending" if c.order_type is OrderType.SL else "open",
                        c.quantity, 0, 0, c.price, c.trigger_price, "", "",
                    )
                )  # fmt: skip
                self.take(desk.answer(c, Outcome.ACCEPTED))
            elif isinstance(c, ModifyOrder) and self.rows[c.tag].status not in {"complete", "cancelled"}:
                self.say(
                    self.rows[c.tag]._replace(
                        status="modified", order_type=c.order_type, quantity=c.quantity, price=c.price,
                        trigger_price=c.trigger_price,
                    )
                )  # fmt: skip
            elif isinstance(c, CancelOrder) and self.rows[c.tag].status not in {"complete", "cancelled"}:
                self.say(self.rows[c.tag]._replace(status="cancelled"))

    def say(self, row: OrderReport) -> None:
        self.rows[row.tag] = row
        self.words.append(row)
        selling = sum(
            row.quantity - row.filled_quantity
            for row in self.rows.values()
            if row.side is Side.SELL and row.status not in {"complete", "cancelled"}
        )
        assert selling <= max(self.long, 0), "more was offered than the account holds"

    def fill(self, quantity: int) -> None:
        for row in list(self.rows.values()):
            left = row.quantity - row.filled_quantity
            if row.status in {"complete", "cancelled"} or not left or row.order_type == "SL":
                continue
            got = min(quantity, left)
            self.long += got if row.side is Side.BUY else -got
            filled = row.filled_quantity + got
            status = "complete" if filled == row.quantity else "open"
            self.say(
                row._replace(status=status, filled_quantity=filled, filled_value=filled * max(row.price, 5))
            )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=20, max_size=60), st.randoms(use_true_random=False))
def test_under_any_order_of_words_no_more_is_offered_than_held_and_the_day_ends_flat(
    steps: list[int], rng: random.Random
) -> None:
    """Words are lost, repeated, reordered; books are read in between; in the end nothing is forgotten."""
    contract = Contract(KEY, 75, 25, 5, 1800, "NSE")
    desk = Desk(contract, Session.on(DAY), Rules(orders=OrderRules()))
    desk.up()
    desk.warm()
    broker = Broker(desk)

    def hear(count: int) -> None:
        for _ in range(count):
            if broker.words:
                at_ = rng.randrange(min(len(broker.words), 3))
                word = broker.words[at_] if rng.random() < 0.2 else broker.words.pop(at_)
                broker.take(desk.engine.handle(word._replace(mono=desk.mono, at=desk.now)))

    def read() -> None:
        rows = tuple(row._replace(mono=desk.mono) for row in broker.rows.values())
        held = (PositionRow(KEY, "D", broker.long),)
        broker.take(desk.engine.handle(BrokerSnapshot(desk.now, desk.mono, desk.mono, rows, held)))

    broker.take(desk.fall())
    desk.probability = 0.0
    broker.fill(rng.choice([25, 50, 75]))
    for step in steps:
        match step:
            case 0:
                broker.fill(rng.choice([25, 50, 75]))
            case 1 | 2:
                hear(rng.randrange(1, 4))
            case 3:
                broker.take(desk.tick(max(desk.price + rng.choice([-300, -50, 50, 300]), 100_00)))
            case 4 | 5:
                broker.take(desk.heartbeat())
            case _:
                if broker.words:
                    broker.words.pop(rng.randrange(len(broker.words)))  # lost
    desk.now = at("15:29:00")
    for second in range(80):
        broker.take(desk.heartbeat())
        hear(rng.randrange(3))
        if second >= 60 or rng.random() < 0.3:
            broker.fill(25)
            read()
    assert broker.long == 0
    assert desk.engine.flat
