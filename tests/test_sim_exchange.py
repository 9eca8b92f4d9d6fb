"""The life of orders at the simulated exchange: words in order, part fills, stops, races."""

import pytest

from bot.core.events import Act
from bot.core.units import MILLISECOND
from tests.sim_world import CLOSES, LOT, World, limit, market, stop

TAKEN = ["put order req received", "validation pending", "open pending"]
MODIFYING = ["modify validation pending", "modify pending", "modified"]


def test_a_marketable_order_goes_through_the_documented_words_and_fills_at_the_touch():
    """upstox §9; a limit above the ask still pays the ask."""
    world = World()
    order_id = world.place(limit(price=300_05, tag="k1"))
    assert world.words(order_id) == [*TAKEN, "complete"]
    row = world.row(order_id)
    assert (row.filled_quantity, row.filled_value, row.tag) == (LOT, LOT * 300_00, "k1")
    assert row.pending_quantity == 0
    (trade,) = world.exchange.trades(order_id)
    assert (trade.side, trade.quantity, trade.price, trade.tag) == ("BUY", LOT, 300_00, "k1")
    assert trade.exchange_order_id == row.exchange_order_id != ""


def test_words_come_when_the_latency_says_and_due_at_tells():
    world = World()
    start = world.at
    order_id = world.place(limit(), settle=False)
    assert world.words(order_id) == TAKEN[:1]
    times = []
    while (due := world.exchange.due_at()) < CLOSES:
        times.append(due - start)
        world.exchange.advance(due - 1)
        before = world.words(order_id)
        world.exchange.advance(due)
        assert world.words(order_id) == [*before, [*TAKEN, "complete"][len(before)]]
    assert times == [10 * MILLISECOND, 40 * MILLISECOND, 50 * MILLISECOND]


def test_order_ids_look_like_the_brokers_and_differ_within_a_millisecond():
    world = World()
    ids = [world.place(limit(), settle=False) for _ in range(3)]
    assert ids == ["260916091510000", "260916091510001", "260916091510002"]


def test_a_big_order_fills_by_the_size_at_the_touch_and_rests_between():
    """No status says "part filled": it is `open` with a filled quantity (upstox §9)."""
    world = World(quoted=False)
    world.show(300_00, ask_size=2 * LOT)
    order_id = world.place(limit(price=300_10, quantity=5 * LOT))
    assert world.words(order_id) == [*TAKEN, "open"]
    assert (world.row(order_id).filled_quantity, world.row(order_id).pending_quantity) == (2 * LOT, 3 * LOT)
    world.show(300_15)  # ask a tick above the limit
    world.show(300_10, ask_size=LOT)
    world.show(299_00, ask_size=50 * LOT)
    assert [t.price for t in world.exchange.trades(order_id)] == [300_00, 300_10, 299_00]
    assert [r.filled_quantity for r in world.exchange.history(order_id)[3:]] == [2 * LOT, 3 * LOT, 5 * LOT]
    assert world.words(order_id)[-1] == "complete"


def test_an_order_that_rested_first_trades_at_its_own_price():
    world = World()
    order_id = world.place(limit(price=299_00))
    world.show(298_00)
    assert [t.price for t in world.exchange.trades(order_id)] == [299_00]


def test_better_price_first_then_time():
    world = World()
    first, second, best = (world.place(limit(price=p)) for p in (299_00, 299_00, 299_50))
    world.show(298_00, ask_size=2 * LOT)
    assert [t.order_id for t in world.exchange.trades()] == [best, first]
    assert world.row(second).status == "open"


def test_an_unknown_or_empty_touch_fills_nothing():
    world = World(quoted=False)
    world.show(300_00, bid=0, ask=0)
    order_id = world.place(limit(price=310_00))
    world.show(300_00, ask_size=0)
    assert world.row(order_id).filled_quantity == 0


def test_ioc_takes_what_is_there_and_goes():
    world = World(quoted=False)
    world.show(300_00, ask_size=LOT)
    order_id = world.place(limit(quantity=2 * LOT, validity="IOC"))
    assert world.words(order_id) == [*TAKEN, "cancelled"]
    assert world.row(order_id).filled_quantity == LOT == world.position()


def test_a_protected_market_order_becomes_a_limit_and_can_rest():
    """upstox §0 fact 7."""
    world = World()
    order_id = world.place(market(protection=2), settle=False)
    world.wait(45 * MILLISECOND)  # through the risk check: 2 % over 300
    world.show(310_00)
    world.wait()
    row = world.row(order_id)
    assert (row.status, row.order_type, row.price) == ("open", "LIMIT", 306_00)
    world.show(306_00)
    assert world.row(order_id).status == "complete"


def test_a_market_order_without_a_last_price_is_rejected():
    assert "No last traded price" in World(quoted=False).rejection(market())


def test_a_stop_waits_triggers_at_its_price_and_sells_at_the_bid():
    world = World()
    world.long()
    order_id = world.place(stop(trigger=250_00, price=225_00))
    assert world.words(order_id) == [*TAKEN, "trigger pending"]
    world.show(250_05)
    assert world.row(order_id).status == "trigger pending"
    world.show(250_00)
    assert world.words(order_id)[-1] == "complete"
    assert [t.price for t in world.exchange.trades(order_id)] == [249_80]


def test_a_stop_limit_is_jumped_over_and_stays_open():
    """orders.md: ₹50 is a trigger, not a maximum loss."""
    world = World()
    world.long()
    order_id = world.place(stop(trigger=250_00, price=245_00))
    world.show(240_00)
    assert world.words(order_id)[-1] == "open"
    assert world.position() == LOT
    world.show(246_00)
    assert world.row(order_id).status == "complete"
    assert [t.price for t in world.exchange.trades(order_id)] == [245_00]


def test_a_buy_stop_triggers_upwards():
    world = World()
    order_id = world.place(stop("BUY", trigger=310_00, price=315_00))
    world.show(309_95)
    assert world.row(order_id).status == "trigger pending"
    world.show(310_00)
    assert world.row(order_id).status == "complete"


def test_a_stop_already_reached_triggers_on_entry():
    world = World()
    world.long()
    order_id = world.place(stop(trigger=300_00, price=280_00))
    assert world.words(order_id) == [*TAKEN, "trigger pending", "complete"]


def test_the_stop_becomes_the_exit_by_one_modify():
    """orders.md: a signal exit modifies the resting stop into LIMIT."""
    world = World()
    world.long()
    order_id = world.place(stop())
    assert world.modify(order_id, order_type="LIMIT", price=298_30, trigger_price=0).ok
    assert world.words(order_id)[4:] == [*MODIFYING, "complete"]
    assert world.position() == 0


def test_a_modify_changes_the_total_quantity_and_keeps_what_was_filled():
    world = World(quoted=False)
    world.show(300_00, ask_size=LOT)
    order_id = world.place(limit(quantity=3 * LOT))
    world.modify(order_id, quantity=LOT)
    assert world.words(order_id)[-2:] == ["not modified", "open"]
    world.modify(order_id, quantity=2 * LOT)
    assert world.words(order_id)[-2:] == ["modified", "open"]
    assert world.row(order_id).pending_quantity == LOT
    assert world.row(order_id).filled_quantity == LOT


def test_a_cancel_ends_the_rest_and_keeps_the_fill():
    world = World(quoted=False)
    world.show(300_00, ask_size=LOT)
    order_id = world.place(limit(quantity=3 * LOT))
    assert world.cancel(order_id).ok
    assert world.words(order_id)[-2:] == ["cancel pending", "cancelled"]
    assert world.position() == LOT


@pytest.mark.parametrize("ask", ["cancel", "modify"])
def test_a_fill_wins_the_race_against_a_cancel_or_modify_under_way(ask):
    world = World()
    order_id = world.place(limit(price=299_00))
    reply = (
        world.cancel(order_id, settle=False)
        if ask == "cancel"
        else world.modify(order_id, settle=False, price=298_00)
    )
    assert reply.ok
    world.wait(15 * MILLISECOND)  # the broker took it, the exchange has not heard yet
    world.show(298_00)
    world.wait()
    under_way = "cancel pending" if ask == "cancel" else "modify validation pending"
    assert world.words(order_id)[-2:] == [under_way, "complete"]
    assert world.position() == LOT


def test_a_part_fill_while_cancelling_is_told_and_kept():
    world = World()
    order_id = world.place(limit(price=299_00, quantity=2 * LOT))
    world.cancel(order_id, settle=False)
    world.wait(15 * MILLISECOND)
    world.show(298_00, ask_size=LOT)
    world.wait()
    last = [(r.status, r.filled_quantity) for r in world.exchange.history(order_id)[-3:]]
    assert last == [("cancel pending", 0), ("cancel pending", LOT), ("cancelled", LOT)]


def test_asks_after_the_end_are_refused_with_their_codes():
    world = World()
    done = world.place(limit())
    gone = world.place(limit(price=290_00))
    world.cancel(gone)
    for order_id in (done, gone):
        before = world.words(order_id)
        assert world.cancel(order_id)[2:4] == (400, "UDAPI100040")
        assert world.modify(order_id, price=300_00)[2:4] == (400, "UDAPI100041")
        assert world.words(order_id) == before


def test_a_cancel_sent_at_once_waits_until_the_order_is_at_the_exchange():
    world = World()
    order_id = world.place(limit(price=290_00), settle=False)
    world.cancel(order_id)
    world.wait()
    assert world.words(order_id) == [*TAKEN, "open", "cancel pending", "cancelled"]


def test_refusals_on_command_are_used_once_each():
    world = World()
    world.exchange.refuse_next(Act.PLACE, "RMS says no")
    assert world.rejection(limit()) == "RMS says no"
    order_id = world.place(limit(price=290_00))
    world.exchange.refuse_next(Act.MODIFY, "busy")
    world.exchange.refuse_next(Act.CANCEL, "busy")
    world.modify(order_id, price=291_00)
    world.cancel(order_id)
    assert world.words(order_id)[4:] == [
        *MODIFYING[:1], "not modified", "open", "cancel pending", "not cancelled", "open",
    ]  # fmt: skip
    world.cancel(order_id)
    assert world.words(order_id)[-1] == "cancelled"
