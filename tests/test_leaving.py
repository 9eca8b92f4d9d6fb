"""Leaving for sure: ways a cold reader found to stay in a position, sell twice, or blind the limits."""

from collections.abc import Callable
from typing import Any

import pytest

from bot.core.commands import Alert, AskSnapshot, CancelOrder, ModifyOrder, PlaceOrder, Reason, Refused
from bot.core.events import (
    Act,
    BrokerSnapshot,
    Operator,
    OperatorAction,
    OrderReport,
    OrderType,
    Outcome,
    SendOutcome,
    Side,
)
from bot.core.rules import Contract
from bot.core.session import Session
from bot.run.recover import replay
from tests.conftest import KEY, at
from tests.test_engine import Desk, desk, make, none_of, only

__all__ = ["desk", "make"]


def row(desk: Desk, order: PlaceOrder, status: str, filled: int = 0, **changes: Any) -> OrderReport:
    made = OrderReport(
        desk.now, desk.mono, order.tag, "id" + order.tag, "X1", KEY, order.side, "LIMIT", status,
        order.quantity, filled, filled * order.price, order.price, 0, "", "",
    )  # fmt: skip
    return made._replace(**changes)


def leaving(desk: Desk) -> PlaceOrder:
    """A long position with its SELL live at the broker."""
    desk.enter(stop=False)
    order: PlaceOrder = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.answer(order, Outcome.ACCEPTED)
    desk.word(order, "open")
    return order


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
def test_a_modify_that_was_not_taken_is_repeated(desk: Desk, outcome: Outcome) -> None:
    order = leaving(desk)
    assert only(desk.tick(desk.price - 300), ModifyOrder)
    made = desk.answer(order, outcome, Act.MODIFY)
    made += [command for _ in range(3) for command in desk.heartbeat()]
    assert not none_of(made, ModifyOrder)


def test_the_broker_word_on_the_price_is_believed(desk: Desk) -> None:
    order = leaving(desk)
    desk.engine.handle(row(desk, order, "open", price=12_345))
    assert desk.engine.account.orders[order.tag].price == 12_345


def test_an_exit_steps_down_even_without_a_new_price_and_pages_once(desk: Desk) -> None:
    order = leaving(desk)
    prices, pages = [order.price], 0
    for _ in range(8):
        made = desk.heartbeat()
        pages += sum(isinstance(c, Alert) and c.name == "ExitNotFilled" for c in made)
        for change in [c for c in made if isinstance(c, ModifyOrder)]:
            prices.append(change.price)
            desk.modified(change)
    assert prices == sorted(prices, reverse=True)
    assert len(set(prices)) >= 5
    assert min(prices) > 0.79 * desk.price
    assert pages == 1


def test_the_flatten_is_a_state_one_bad_answer_does_not_lose_it(desk: Desk) -> None:
    """Positions read as empty around 15:29, and right again after: the flatten still comes."""
    desk.enter(stop=False)
    desk.now = at("15:28:58")
    for _ in range(2):
        desk.snapshot(position=0)
    assert none_of(desk.heartbeat() + desk.heartbeat(), PlaceOrder)
    made = desk.snapshot(position=75) + desk.heartbeat()
    assert only(made, PlaceOrder).reason is Reason.END_OF_DAY


def test_sigterm_also_sells_what_fills_after_it(desk: Desk) -> None:
    order = only(desk.fall(), PlaceOrder)
    desk.answer(order, Outcome.ACCEPTED)
    desk.word(order, "cancelled")
    desk.engine.handle(Operator(desk.now, desk.mono, OperatorAction.FLATTEN, "sigterm"))
    made = desk.word(order, "complete", 75)
    assert only(made, PlaceOrder).reason is Reason.OPERATOR


def test_complete_without_a_quantity_is_asked_about_and_not_sold_again(desk: Desk) -> None:
    order = leaving(desk)
    made = desk.engine.handle(row(desk, order, "complete", 0))
    assert only(made, AskSnapshot)
    again = [c for _ in range(5) for c in desk.heartbeat() if isinstance(c, PlaceOrder)]
    assert again == []
    desk.snapshot([row(desk, order, "complete", 75)])
    assert desk.engine.flat


def test_a_given_up_exit_is_not_repeated_when_the_account_holds_nothing(desk: Desk) -> None:
    """The book lags, the positions already know: a second SELL would be a naked short."""
    desk.enter(stop=False)
    order = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.answer(order, Outcome.UNKNOWN)
    sold = []
    for _ in range(15):
        desk.snapshot(position=0)
        sold += [c for c in desk.heartbeat() if isinstance(c, PlaceOrder)]
    assert sold == []


def test_a_short_pages_ends_entries_and_its_cover_keeps_the_books_exact(desk: Desk) -> None:
    order = leaving(desk)
    desk.word(order, "complete", 75)
    twice = order._replace(tag="k260916r1n9")
    made = desk.word(twice, "complete", 75)
    assert only([c for c in made if isinstance(c, Alert) and c.name == "PositionShort"], Alert)
    assert desk.engine.entries_stopped == "short"
    cover = order._replace(tag="k260916r1n10", side=Side.BUY)
    desk.word(cover, "complete", 75, price=order.price + 100)
    holding = desk.engine.account.holdings[KEY]
    assert (holding.position, holding.cost) == (0, 0)


def test_a_restart_goes_on_with_the_exit_under_way(desk: Desk, contract: Contract, session: Session) -> None:
    kept: list[object] = []
    bought = only(desk.fall(), PlaceOrder)
    kept += [bought, row(desk, bought, "complete", 75)]
    stop = only(desk.engine.handle(row(desk, bought, "complete", 75)), PlaceOrder)
    desk.answer(stop, Outcome.REFUSED)
    sell = only(desk.tick(desk.price + 200), PlaceOrder)
    kept += [sell, SendOutcome(desk.now, desk.mono, sell.tag, Act.PLACE, Outcome.ACCEPTED, "id9", "", "")]
    again = Desk(contract, session, run=2)
    replay(again.engine, kept, again.mono)
    again.up()
    again.snapshot([row(again, sell, "open", order_id="id9")], position=75)
    made = again.tick(desk.price - 1_000) + again.tick(desk.price - 1_000) + again.tick(desk.price - 1_000)
    assert not none_of(made, ModifyOrder)


def test_replays_survive_amends_of_orders_they_do_not_know(contract: Contract, session: Session) -> None:
    """An exit goes even when the disk is full: its modify may be the first the journal hears of it."""
    desk = Desk(contract, session)
    kept = [
        ModifyOrder("k260916r1n5", "id5", OrderType.LIMIT, 75, 100, 0, Reason.SIGNAL_EXIT),
        CancelOrder("k260916r1n6", "id6", "exit"),
    ]
    assert replay(desk.engine, kept, 0).orders == 0


def test_replays_survive_a_cancel_of_a_refused_order_that_revived(
    desk: Desk, contract: Contract, session: Session
) -> None:
    order = only(desk.fall(), PlaceOrder)
    refused = SendOutcome(desk.now, desk.mono, order.tag, Act.PLACE, Outcome.REFUSED, "", "429", "")
    kept = [order, refused, CancelOrder(order.tag, "id1", "entry_timeout")]
    assert replay(Desk(contract, session, run=2).engine, kept, 0).under_way == 1


def test_a_kill_switch_outlives_a_restart(contract: Contract, session: Session) -> None:
    desk = Desk(contract, session, run=2)
    replay(desk.engine, [Operator(1, 1, OperatorAction.STOP_ENTRIES, "kill_file")], 0)
    desk.up()
    desk.warm()
    assert only(desk.fall(), Refused).reason == "stopped"


def test_the_loss_limit_holds_after_the_loss_was_realized(make: Callable[..., Desk]) -> None:
    desk = make(daily_loss=2_000_00, cooldown_seconds=0)
    desk.enter(stop=False)
    order = None
    for _ in range(6):
        made = desk.tick(desk.price - 600)
        order = order or next((c for c in made if isinstance(c, PlaceOrder)), None)
    assert order is not None
    desk.word(order, "complete", 75)
    desk.heartbeat()
    assert desk.engine.entries_stopped == "daily_loss"


def test_a_position_without_any_price_yet_is_no_loss(make: Callable[..., Desk], session: Session) -> None:
    desk = make(daily_loss=2_000_00)
    desk.enter(stop=False)
    again = Desk(desk.engine.desks[KEY].contract, session, desk.engine.rules, run=2)
    again.engine.account.holdings[KEY].bought = 75
    again.engine.account.holdings[KEY].cost = 75 * 30_000
    again.heartbeat()
    assert again.engine.entries_stopped == ""


def test_sold_by_another_hand_pages_once_not_every_tick(desk: Desk) -> None:
    entry = desk.enter(stop=False)
    pages = [c for _ in range(2) for c in desk.snapshot(position=0) if isinstance(c, Alert)]
    for _ in range(20):
        pages += [c for c in desk.tick(entry.price - 51_00) if isinstance(c, Alert)]
    assert [page.name for page in pages] == ["PositionMismatch"]


def test_a_reading_that_straddles_a_fill_proves_nothing(desk: Desk) -> None:
    """Seen in the demo: positions read just before a fill arrived, compared just after."""
    desk.snapshot()
    asked = desk.mono
    entry = desk.enter(stop=False)
    made = desk.engine.handle(
        BrokerSnapshot(desk.now, desk.mono, asked - 1, (row(desk, entry, "complete", 75),), ())
    )
    assert none_of(made, Alert)
    assert desk.engine.desks[KEY].difference == 0


def test_a_first_difference_already_blocks_entries_and_is_read_again_soon(desk: Desk) -> None:
    desk.snapshot(position=75)
    assert only(desk.fall(), Refused).reason == "mismatch"
    assert any(isinstance(c, AskSnapshot) for _ in range(2) for c in desk.heartbeat())


def test_a_reconnected_order_stream_wants_the_book_read_again(desk: Desk) -> None:
    from bot.core.events import OrderStreamDown, OrderStreamUp

    desk.engine.handle(OrderStreamDown(desk.now, desk.mono, "close"))
    desk.engine.handle(OrderStreamUp(desk.now, desk.mono))
    assert only(desk.fall(), Refused).reason == "not_ready"
    desk.snapshot()
    assert only(desk.fall(), PlaceOrder)


def test_an_exit_decided_before_any_price_is_booked_at_the_first(
    contract: Contract, session: Session
) -> None:
    desk = Desk(contract, session, run=2)
    desk.now = at("15:35:00")
    bought = PlaceOrder(
        "k260916r1n1", KEY, Side.BUY, OrderType.LIMIT, 75, 30_000, 0, "D", Reason.ENTRY,
        desk.engine.desks[KEY].decision(1, 30_000),
    )  # fmt: skip
    replay(desk.engine, [bought, row(desk, bought, "complete", 75)], desk.mono)
    desk.heartbeat()
    desk.snapshot(position=75)
    assert only(desk.tick(29_000), PlaceOrder).decision.price == 29_000


def test_a_stop_rests_on_while_no_price_is_known_to_sell_at(
    desk: Desk, contract: Contract, session: Session
) -> None:
    """Started again in an exit, hearing no market: a stop cancelled now would leave nothing in its place."""
    bought = only(desk.fall(), PlaceOrder)
    stop = only(desk.word(bought, "complete", 75), PlaceOrder)
    rests = row(
        desk, stop, "trigger pending", order_type="SL", price=stop.price, trigger_price=stop.trigger_price
    )
    desk.engine.handle(rests)
    change = only(desk.tick(desk.price + 200), ModifyOrder)
    again = Desk(contract, session, run=2)
    replay(again.engine, [bought, row(desk, bought, "complete", 75), stop, rests, change], again.mono)
    again.snapshot([rests], position=75)
    made = again.answer(stop, Outcome.REFUSED, Act.MODIFY)
    made += [command for _ in range(40) for command in again.heartbeat()]
    assert none_of(made, CancelOrder)
    again.up()
    made = again.tick(desk.price) + again.heartbeat()
    assert not none_of(made, CancelOrder)


@pytest.mark.parametrize(
    ("kind", "reason", "page"),
    [
        (OrderType.SL, Reason.STOP_LOSS, "PositionUnprotected"),
        (OrderType.LIMIT, Reason.SIGNAL_EXIT, "ExitNotFilled"),
    ],
)
def test_a_sell_in_doubt_beside_the_stop_costs_the_stop_and_is_paged_in_5_seconds(
    desk: Desk, kind: OrderType, reason: Reason, page: str
) -> None:
    """Σ live SELLs comes first: while the other may live the stop goes, and somebody hears of it."""
    desk.enter()
    other = desk.stop._replace(tag="k260916r1n9", order_type=kind, reason=reason)
    desk.engine.account.sent(other, desk.mono)
    cancel = only(desk.answer(other, Outcome.UNKNOWN), CancelOrder)
    assert (cancel.tag, cancel.reason) == (desk.stop.tag, "one_too_many")
    desk.word(desk.stop, "cancelled")
    said = [command for _ in range(5) for command in desk.heartbeat()]
    assert [alert.name for alert in said if isinstance(alert, Alert)] == [page]
    later = [c for _ in range(20) for c in (*desk.heartbeat(), *desk.snapshot(position=75))]
    assert [order.quantity for order in later if isinstance(order, PlaceOrder)][:1] == [75]


def test_a_buy_that_was_taken_and_is_never_seen_is_given_up_in_the_end_and_a_late_word_revives_it(
    desk: Desk,
) -> None:
    """Neither in the book nor on the stream: else it would be cancelled each two seconds all day."""
    order = only(desk.fall(), PlaceOrder)
    desk.probability = 0.0
    desk.answer(order, Outcome.ACCEPTED)
    cancels = 0
    for _ in range(300):
        cancels += sum(isinstance(c, CancelOrder) for c in (*desk.heartbeat(), *desk.snapshot()))
    assert desk.engine.flat
    later = [c for _ in range(60) for c in (*desk.heartbeat(), *desk.snapshot())]
    assert 0 < cancels <= 60
    assert not [c for c in later if isinstance(c, CancelOrder)]
    stop = only(desk.word(order, "complete", 75), PlaceOrder)
    assert (stop.order_type, stop.quantity) == (OrderType.SL, 75)


@pytest.mark.parametrize("theirs", ["a1", "z1"])
def test_two_bots_on_one_account_choose_the_same_stop(desk: Desk, theirs: str) -> None:
    """Else each would cancel the other's, for ever: the broker's first stays, whosever it is."""
    desk.enter()
    other = row(desk, desk.stop, "open", tag="k260916r9n1", order_id=theirs, order_type="SL")
    cancel = only(desk.engine.handle(other), CancelOrder)
    assert cancel.order_id == max(theirs, f"id{desk.stop.tag}")


def test_an_order_on_its_way_is_named_before_another_is_cancelled_for_it(desk: Desk) -> None:
    desk.enter(stop=False)
    while none_of(made := desk.heartbeat(), PlaceOrder):
        pass
    stop = only(made, PlaceOrder)
    other = row(desk, stop, "open", tag="k260916r9n1", order_id="z1", order_type="SL")
    assert none_of(desk.engine.handle(other), CancelOrder)
    made = desk.answer(stop, Outcome.ACCEPTED)
    assert only(made, CancelOrder).order_id == "z1"


def test_what_another_hand_sold_keeps_nobody_waiting_once_two_readings_agree(desk: Desk) -> None:
    order = desk.enter()
    sold = row(desk, order, "complete", 75, tag="", order_id="hand", side=Side.SELL)
    desk.engine.handle(sold)
    desk.snapshot(position=0)
    desk.word(desk.stop, "cancelled")
    assert not desk.engine.flat, "one reading may be wrong"
    desk.pass_time()
    desk.snapshot(position=0)
    assert desk.engine.flat


def test_an_entry_in_doubt_is_a_doubt_alone_and_a_position_is_none(desk: Desk) -> None:
    order = only(desk.fall(), PlaceOrder)
    assert not desk.engine.doubts_alone
    desk.answer(order, Outcome.UNKNOWN)
    assert desk.engine.doubts_alone
    assert not desk.engine.flat
    desk.word(order, "complete", 75)
    assert not desk.engine.doubts_alone


def test_an_answer_that_is_lost_after_the_stream_told_frightens_nobody(desk: Desk) -> None:
    order = only(desk.fall(), PlaceOrder)
    desk.word(order, "open")
    assert desk.answer(order, Outcome.UNKNOWN) == []
