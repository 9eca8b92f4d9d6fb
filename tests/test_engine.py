"""The engine, driven by hand: what it decides on each kind of event, without any adapter."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bot.core.commands import (
    Alert,
    AskSnapshot,
    CancelOrder,
    Command,
    ModifyOrder,
    PlaceOrder,
    Reason,
    RecordFill,
    Refused,
)
from bot.core.engine import Engine
from bot.core.events import (
    Act,
    BrokerSnapshot,
    FeedUp,
    Heartbeat,
    Operator,
    OperatorAction,
    OrderReport,
    OrderStreamUp,
    OrderType,
    Outcome,
    PositionRow,
    SegmentStatus,
    SendOutcome,
    Side,
    SnapshotFailed,
    Tick,
)
from bot.core.rules import Contract, RiskRules, Rules
from bot.core.session import Session
from bot.core.units import SECOND
from bot.run.recover import replay
from tests.conftest import KEY, at


class Desk:
    """A test bench: an engine, a clock by hand, and shorthand for the world's words."""

    def __init__(
        self, contract: Contract, session: Session, rules: Rules | None = None, run: int = 1
    ) -> None:
        self.probability = 0.0
        self.engine = Engine(rules or Rules(), session, [contract], lambda _: self.probability, run)
        self.now = at("09:30:00")
        self.mono = 1000 * SECOND
        self.price = 30_000

    def pass_time(self, seconds: float = 1.0) -> None:
        self.now += round(seconds * SECOND)
        self.mono += round(seconds * SECOND)

    def up(self) -> None:
        self.engine.handle(FeedUp(self.now, self.mono))
        self.engine.handle(OrderStreamUp(self.now, self.mono))
        self.snapshot()

    def tick(self, price: int | None = None, *, newest: bool = True, **changes: Any) -> list[Command]:
        self.pass_time()
        price = self.price if price is None else price
        self.price = price
        made = Tick(self.now, self.mono, KEY, price, 75, 0, price - 10, price + 10, 750, 750, 0)
        return self.engine.handle(made._replace(**changes), newest=newest)

    def warm(self, ticks: int = 120) -> None:
        for _ in range(ticks):
            self.tick()

    def fall(self) -> list[Command]:
        """A tick on which the entry rule is true: falling, below the estimate."""
        self.probability = 0.9
        return self.tick(self.price - 20)

    def heartbeat(self, seconds: float = 1.0) -> list[Command]:
        self.pass_time(seconds)
        return self.engine.handle(Heartbeat(self.now, self.mono))

    def word(
        self, order: PlaceOrder, status: str, filled: int = 0, price: int | None = None
    ) -> list[Command]:
        price = order.price if price is None else price
        row = OrderReport(
            self.now, self.mono, order.tag, "id" + order.tag, "X1", KEY, order.side, order.order_type, status,
            order.quantity, filled, filled * price, order.price, order.trigger_price, "", "",
        )  # fmt: skip
        return self.engine.handle(row)

    def modified(self, change: ModifyOrder, filled: int = 0, status: str = "modified") -> list[Command]:
        """The broker took a change of terms: the answer, then the word."""
        done = SendOutcome(
            self.now, self.mono, change.tag, Act.MODIFY, Outcome.ACCEPTED, change.order_id, "", ""
        )
        made = self.engine.handle(done)
        row = OrderReport(
            self.now, self.mono, change.tag, change.order_id, "X1", KEY, Side.SELL, change.order_type, status,
            change.quantity, filled, filled * change.price, change.price, change.trigger_price, "", "",
        )  # fmt: skip
        return made + self.engine.handle(row)

    def answer(self, order: PlaceOrder, outcome: Outcome, act: Act = Act.PLACE) -> list[Command]:
        made = SendOutcome(self.now, self.mono, order.tag, act, outcome, "id" + order.tag, "CODE", "")
        return self.engine.handle(made)

    def snapshot(self, rows: Iterable[OrderReport] = (), position: int = 0) -> list[Command]:
        held = (PositionRow(KEY, "D", position),) if position else ()
        return self.engine.handle(BrokerSnapshot(self.now, self.mono, self.mono, tuple(rows), held))

    def enter(self, *, stop: bool = True) -> PlaceOrder:
        """Long, with a stop that rests (`self.stop`), or one that was refused: exits are new SELLs."""
        order = only(self.fall(), PlaceOrder)
        self.answer(order, Outcome.ACCEPTED)
        self.stop: PlaceOrder = only(self.word(order, "complete", order.quantity), PlaceOrder)
        self.answer(self.stop, Outcome.ACCEPTED if stop else Outcome.REFUSED)
        if stop:
            self.word(self.stop, "trigger pending")
        self.probability = 0.0
        return order


def only(commands: list[Command], kind: type[Any]) -> Any:
    found = [command for command in commands if isinstance(command, kind)]
    assert len(found) == 1, commands
    return found[0]


def none_of(commands: list[Command], kind: type[Any]) -> bool:
    return not any(isinstance(command, kind) for command in commands)


@pytest.fixture
def desk(contract: Contract, session: Session) -> Desk:
    made = Desk(contract, session)
    made.up()
    made.warm()
    return made


@pytest.fixture
def make(contract: Contract, session: Session) -> Callable[..., Desk]:
    def made(**risk: Any) -> Desk:
        desk = Desk(contract, session, Rules(risk=RiskRules(**risk)))
        desk.up()
        desk.warm()
        return desk

    return made


# ---- the rules -----


def test_an_entry_is_a_limit_one_tick_above_the_ask(desk: Desk) -> None:
    order = only(desk.fall(), PlaceOrder)
    assert (order.side, order.quantity, order.price) == (Side.BUY, 75, desk.price + 10 + 5)
    assert order.reason is Reason.ENTRY
    assert order.decision.probability == 0.9
    assert order.tag == "k260916r1n1"


def test_no_entry_below_the_threshold(desk: Desk) -> None:
    desk.probability = 0.6299
    assert none_of(desk.tick(desk.price - 20), PlaceOrder)
    desk.probability = 0.63
    assert not none_of(desk.tick(desk.price - 20), PlaceOrder)


def test_a_model_that_answers_nonsense_ends_entries_aloud(desk: Desk) -> None:
    desk.probability = float("nan")
    assert only(desk.tick(desk.price - 20), Alert).name == "EntriesStopped"
    assert only(desk.fall(), Refused).reason == "stopped"


def test_no_entry_on_a_rise(desk: Desk) -> None:
    desk.probability = 0.9
    assert none_of(desk.tick(desk.price + 20), PlaceOrder)


def test_no_decision_before_tick_100(contract: Contract, session: Session) -> None:
    desk = Desk(contract, session)
    desk.up()
    desk.probability = 0.9
    desk.warm(97)
    placed = [n for n in (98, 99, 100) if not none_of(desk.tick(desk.price - 20 * (n - 97)), PlaceOrder)]
    assert placed == [100]


def test_a_signal_exit_sells_below_the_bid(desk: Desk) -> None:
    desk.enter(stop=False)
    order = only(desk.tick(desk.price + 200), PlaceOrder)
    assert (order.side, order.quantity, order.reason) == (Side.SELL, 75, Reason.SIGNAL_EXIT)
    bid = desk.price - 10
    assert order.price <= bid - 25
    assert order.price >= bid - bid // 200 - 5


def test_the_stop_is_50_rupees_under_the_average_fill(desk: Desk) -> None:
    entry = desk.enter(stop=False)
    for price in range(desk.price, entry.price - 50_00, -400):
        assert none_of(desk.tick(price), PlaceOrder)
    made = desk.tick(entry.price - 50_00)
    assert only(made, PlaceOrder).reason is Reason.STOP_LOSS
    assert only(made, Alert).name == "StopLossTriggered"


def test_the_stop_ignores_the_warm_up(desk: Desk) -> None:
    """After a gap the filter starts afresh, the stop does not."""
    entry = desk.enter(stop=False)
    desk.pass_time(61)
    for _ in range(3):  # a jump outside the book wants confirmation
        made = desk.tick(entry.price - 51_00)
    assert desk.engine.desks[KEY].forecaster.ticks < 100
    assert only(made, PlaceOrder).reason is Reason.STOP_LOSS


def test_flatten_comes_with_the_clock_not_with_a_tick(desk: Desk) -> None:
    desk.enter()
    desk.now = at("15:28:58")
    assert none_of(desk.heartbeat(1), ModifyOrder)
    change = only(desk.heartbeat(1), ModifyOrder)
    assert (change.reason, change.quantity) == (Reason.END_OF_DAY, 75)


@pytest.mark.parametrize(("clock", "kind"), [("15:07:58", PlaceOrder), ("15:07:59", Refused)])
def test_no_entry_from_the_cutoff_on(contract: Contract, session: Session, clock: str, kind: type) -> None:
    desk = Desk(contract, session)
    desk.up()
    desk.now = at(clock)
    desk.warm(120)
    assert only(desk.fall(), kind)


def test_pre_open_ticks_never_reach_the_filter(contract: Contract, session: Session) -> None:
    desk = Desk(contract, session)
    desk.now = at("09:02:00")
    desk.warm(50)
    assert desk.engine.desks[KEY].forecaster.ticks == 0
    desk.now = at("09:20:00")
    desk.engine.handle(SegmentStatus(desk.now, desk.mono, "NSE_FO", "PRE_OPEN_END"))
    desk.tick()
    assert desk.engine.desks[KEY].forecaster.ticks == 0
    desk.engine.handle(SegmentStatus(desk.now, desk.mono, "NSE_FO", "NORMAL_OPEN"))
    desk.tick()
    assert desk.engine.desks[KEY].forecaster.ticks == 1


# ---- bad prices and lag -----


def test_one_tenfold_print_changes_no_decision(desk: Desk) -> None:
    desk.enter(stop=False)
    before = desk.engine.desks[KEY].forecaster.ticks
    assert desk.tick(desk.price // 10, bid=30_000, ask=30_020) == []
    assert desk.engine.desks[KEY].forecaster.ticks == before


def test_three_agreeing_prints_are_believed(desk: Desk) -> None:
    """A jump is never refused for ever: the first implementation's day opened 24 % up."""
    quotes = {"bid": 0, "ask": 0}
    jumped = round(desk.price * 1.24)
    counts = []
    for _ in range(4):
        desk.tick(jumped, **quotes)
        counts.append(desk.engine.desks[KEY].forecaster.ticks)
    assert counts == [120, 120, 121, 122]


@pytest.mark.parametrize(
    ("changes", "guard"),
    [({"exchange_at": -3 * SECOND}, "lagged"), ({"newest": False}, "behind")],
)
def test_old_news_causes_no_entry(desk: Desk, changes: dict[str, Any], guard: str) -> None:
    desk.probability = 0.9
    if "exchange_at" in changes:
        changes = {"exchange_at": desk.now - 2 * SECOND}
    assert only(desk.tick(desk.price - 20, **changes), Refused).reason == guard


# ---- readiness -----


def test_no_entry_before_a_snapshot_was_reconciled(contract: Contract, session: Session) -> None:
    desk = Desk(contract, session)
    desk.engine.handle(FeedUp(desk.now, desk.mono))
    asked = desk.engine.handle(OrderStreamUp(desk.now, desk.mono))
    assert only(asked, AskSnapshot)
    desk.warm()
    assert only(desk.fall(), Refused).reason == "not_ready"
    desk.engine.handle(SnapshotFailed(desk.now, desk.mono, "500"))
    assert only(desk.fall(), Refused).reason == "not_ready"
    desk.snapshot()
    assert only(desk.fall(), PlaceOrder)


def test_a_position_we_do_not_know_blocks_entries_once_confirmed(desk: Desk) -> None:
    assert none_of(desk.snapshot(position=75), Alert)  # one reading may straddle a fill
    assert only(desk.snapshot(position=75), Alert).name == "PositionMismatch"
    assert only(desk.fall(), Refused).reason == "mismatch"
    desk.snapshot(position=0)
    assert only(desk.fall(), PlaceOrder)


def test_never_sells_more_than_the_account_holds(desk: Desk) -> None:
    """The owner sold part of ours in the app: the rest is ours to sell, no more."""
    desk.enter(stop=False)
    desk.snapshot(position=25)
    desk.snapshot(position=25)
    assert only(desk.tick(desk.price + 200), PlaceOrder).quantity == 25


# ---- orders in doubt -----


def test_an_unknown_entry_is_asked_for_and_never_sent_again(desk: Desk) -> None:
    order = only(desk.fall(), PlaceOrder)
    assert only(desk.answer(order, Outcome.UNKNOWN), AskSnapshot)
    sent: list[Command] = []
    for _ in range(60):
        sent += [c for c in desk.fall() if isinstance(c, PlaceOrder)]
        sent += [c for c in desk.heartbeat() if isinstance(c, PlaceOrder)]
        desk.snapshot()
    assert sent == []


def test_a_late_fill_of_a_given_up_entry_is_a_position(desk: Desk) -> None:
    order = only(desk.fall(), PlaceOrder)
    desk.answer(order, Outcome.UNKNOWN)
    desk.probability = 0.0
    for _ in range(95):
        desk.tick()
        desk.snapshot()
    assert desk.engine.flat
    made = desk.word(order, "complete", 75)
    assert only(made, RecordFill).quantity == 75
    assert only(made, PlaceOrder).order_type is OrderType.SL


def test_an_unknown_exit_is_decided_again_after_8_seconds(desk: Desk) -> None:
    desk.enter(stop=False)
    first = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.answer(first, Outcome.UNKNOWN)
    again = []
    for second in range(1, 12):
        desk.snapshot(position=75)
        made = [c for c in desk.heartbeat() if isinstance(c, PlaceOrder)]
        again += [(second, c.quantity) for c in made]
    assert again == [(8, 75)]


def test_an_unknown_exit_found_in_the_book_is_not_repeated(desk: Desk) -> None:
    desk.enter(stop=False)
    order = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.answer(order, Outcome.UNKNOWN)
    desk.word(order, "open")
    made = [c for _ in range(20) for c in desk.heartbeat() if isinstance(c, PlaceOrder)]
    assert made == []


# ---- working orders -----


def test_an_entry_not_full_in_2_seconds_is_cancelled_and_the_part_is_a_position(desk: Desk) -> None:
    order = only(desk.fall(), PlaceOrder)
    desk.answer(order, Outcome.ACCEPTED)
    stop = only(desk.word(order, "open", 25), PlaceOrder)
    assert (stop.order_type, stop.quantity) == (OrderType.SL, 25)
    assert none_of(desk.heartbeat(1), CancelOrder)
    assert only(desk.heartbeat(1), CancelOrder).tag == order.tag
    desk.word(order, "cancelled", 25)
    desk.answer(stop, Outcome.ACCEPTED)
    desk.word(stop, "trigger pending")
    assert only(desk.tick(desk.price + 200), ModifyOrder).quantity == 25


def test_a_resting_exit_is_repriced_each_second(desk: Desk) -> None:
    desk.enter(stop=False)
    order = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.answer(order, Outcome.ACCEPTED)
    desk.word(order, "open")
    made = only(desk.tick(desk.price - 300), ModifyOrder)
    assert made.price < order.price
    assert none_of(desk.tick(desk.price - 300), ModifyOrder)  # its answer is still out
    assert none_of(desk.answer(order, Outcome.ACCEPTED, Act.MODIFY), ModifyOrder)  # taken, not done
    assert only(desk.modified(made), ModifyOrder).price < made.price


def test_a_refused_exit_is_tried_again_but_not_in_a_tight_loop(desk: Desk) -> None:
    desk.enter(stop=False)
    desk.probability = 0.0
    orders = [only(desk.tick(desk.price + 200), PlaceOrder)]
    for _ in range(50):
        made = desk.answer(orders[-1], Outcome.REFUSED)
        made += desk.engine.handle(Heartbeat(desk.now, desk.mono))
        orders += [c for c in made if isinstance(c, PlaceOrder)]
    assert len(orders) == 1
    waits = []
    for second in range(1, 40):
        if made := [c for c in desk.heartbeat() if isinstance(c, PlaceOrder)]:
            waits.append(second)
            assert only(desk.word(made[0], "rejected"), Alert).name == "ExitRejected"
    assert waits == [1, 3, 7, 15, 23, 31, 39]  # slower and slower, never given up


def test_sells_never_add_up_to_more_than_we_own(desk: Desk) -> None:
    desk.enter(stop=False)
    desk.tick(desk.price + 200)
    desk.now = at("15:29:00")
    made = desk.heartbeat() + desk.tick(desk.price - 60_00)
    made += desk.engine.handle(Operator(desk.now, desk.mono, OperatorAction.FLATTEN, "sigterm"))
    assert none_of(made, PlaceOrder)


def test_sigterm_sells_and_stops_entries(desk: Desk) -> None:
    desk.enter(stop=False)
    made = desk.engine.handle(Operator(desk.now, desk.mono, OperatorAction.FLATTEN, "sigterm"))
    assert only(made, PlaceOrder).reason is Reason.OPERATOR
    desk.word(only(made, PlaceOrder), "complete", 75)
    assert only(desk.fall(), Refused).reason == "stopped"


def test_another_hands_order_is_left_alone(desk: Desk) -> None:
    row = OrderReport(
        desk.now, desk.mono, "", "77", "", KEY, Side.BUY, "LIMIT", "complete", 750, 750, 1, 1, 0, "", ""
    )
    made = desk.engine.handle(row)
    assert only(made, Alert).name == "EntriesStopped"
    assert only(made, AskSnapshot)
    assert none_of(made, PlaceOrder)
    assert desk.engine.account.position(KEY) == 0
    assert only(desk.fall(), Refused).reason == "stopped"


# ---- guards -----


@pytest.mark.parametrize(
    ("risk", "guard"),
    [
        ({"premium_min": 400_00}, "premium_low"),
        ({"premium_max": 200_00}, "premium_high"),
        ({"spread_max_bps": 5.0}, "spread"),
        ({"capital": 10_000_00}, "capital"),
    ],
)
def test_the_book_guards(make: Callable[..., Desk], risk: dict[str, Any], guard: str) -> None:
    assert only(make(**risk).fall(), Refused).reason == guard


@pytest.mark.parametrize(
    ("risk", "guard"),
    [
        ({"entries_per_day": 1}, "entries_day"),
        ({"entries_per_minute": 1}, "entries_minute"),
        ({"charges_per_day": 1}, "charges"),
    ],
)
def test_the_day_guards(make: Callable[..., Desk], risk: dict[str, Any], guard: str) -> None:
    desk = make(**risk)
    desk.enter(stop=False)
    order = only(desk.tick(desk.price + 200), PlaceOrder)
    desk.word(order, "complete", 75)
    refused = [c.reason for _ in range(20) for c in desk.fall() if isinstance(c, Refused)]
    assert set(refused) == {guard}


def test_the_cooldown_after_a_stop(desk: Desk) -> None:
    entry = desk.enter(stop=False)
    order = None
    for _ in range(6):
        made = desk.tick(desk.price - 10_00)
        order = order or next((c for c in made if isinstance(c, PlaceOrder)), None)
    assert order is not None
    assert desk.price <= entry.price - 50_00
    desk.word(order, "complete", 75)
    assert only(desk.fall(), Refused).reason == "cooldown"
    desk.now += 300 * SECOND


def test_the_daily_loss_limit_leaves_and_ends_entries(make: Callable[..., Desk]) -> None:
    desk = make(daily_loss=1_500_00)
    desk.enter(stop=False)
    desk.tick(desk.price - 10_00)
    made = desk.tick(desk.price - 12_00)
    assert only(made, PlaceOrder).reason is Reason.RISK_EXIT
    assert only(made, Alert).name == "EntriesStopped"


# ---- recovery -----


def test_a_restart_in_a_position_knows_it(desk: Desk, contract: Contract, session: Session) -> None:
    """Journal replayed, snapshot reconciled: the entry price, the stop and the counts are as before."""
    kept: list[object] = []
    order = only(desk.fall(), PlaceOrder)
    kept.append(order)
    row = OrderReport(
        desk.now, desk.mono, order.tag, "id1", "", KEY, Side.BUY, "LIMIT", "complete",
        75, 75, 75 * order.price, order.price, 0, "", "",
    )  # fmt: skip
    kept += [row, *[c for c in desk.engine.handle(row) if isinstance(c, RecordFill)]]
    again = Desk(contract, session, run=2)
    found = replay(again.engine, kept, again.mono)
    assert (len(found.fills), found.under_way) == (1, 0)
    again.up()  # the book is read: from here on it is protected
    stop = again.engine.account.orders["k260916r2n1"].command
    assert (stop.order_type, stop.trigger_price) == (OrderType.SL, order.price - 50_00)
    again.answer(stop, Outcome.REFUSED)
    assert again.engine.account.holdings[KEY].entry_price == order.price
    assert len(again.engine.account.entries_at) == 1
    made = again.tick(order.price - 50_00)
    assert only(made, PlaceOrder).reason is Reason.STOP_LOSS
    assert only(made, PlaceOrder).tag == "k260916r2n2"


def test_an_order_under_way_at_the_crash_is_in_doubt(
    desk: Desk, contract: Contract, session: Session
) -> None:
    order = only(desk.fall(), PlaceOrder)
    again = Desk(contract, session, run=2)
    assert replay(again.engine, [order], again.mono).under_way == 1
    assert again.engine.account.unknown == 1
    again.up()
    again.warm()
    assert only(again.fall(), Refused).reason == "order_unknown"


def test_a_lost_journal_is_rebuilt_from_the_brokers_book(contract: Contract, session: Session) -> None:
    desk = Desk(contract, session, run=1)
    row = OrderReport(
        desk.now, desk.mono, "k260916r1n7", "id1", "", KEY, Side.BUY, "LIMIT", "complete",
        75, 75, 75 * 30_000, 30_000, 0, "", "",
    )  # fmt: skip
    desk.engine.handle(OrderStreamUp(desk.now, desk.mono))
    made = desk.snapshot([row], position=75)
    assert only(made, RecordFill).quantity == 75
    assert only(made, Alert).name == "OrderAdopted"
    assert desk.engine.account.position(KEY) == 75


def test_a_cancel_whose_order_was_only_heard_of_on_the_stream_is_replayed(
    desk: Desk, contract: Contract, session: Session
) -> None:
    """Intermediate words are not kept; the cancel that followed one is, and must not stop a restart."""
    order = only(desk.fall(), PlaceOrder)
    cancel = CancelOrder(order.tag, "id1", "entry_timeout")
    doubt = SendOutcome(desk.now, desk.mono, order.tag, Act.PLACE, Outcome.UNKNOWN, "", "TIMEOUT", "")
    for kept in ([order, cancel], [order, doubt, cancel]):
        again = Desk(contract, session, run=2)
        assert replay(again.engine, kept, again.mono).under_way == 1
        assert again.engine.account.orders[order.tag].order_id == "id1"


def test_a_lost_journal_leads_to_no_tag_used_twice(contract: Contract, session: Session) -> None:
    desk = Desk(contract, session, run=1)
    rows = [
        OrderReport(
            desk.now, desk.mono, f"k260916r1n{n}", f"id{n}", "", KEY, Side.BUY, "LIMIT", "rejected",
            75, 0, 0, 30_000, 0, "", "",
        )
        for n in (1, 2, 4)
    ]  # fmt: skip
    desk.engine.handle(FeedUp(desk.now, desk.mono))
    desk.engine.handle(OrderStreamUp(desk.now, desk.mono))
    desk.snapshot(rows)
    desk.warm()
    assert only(desk.fall(), PlaceOrder).tag == "k260916r1n3"


def test_an_exit_waits_for_a_price(contract: Contract, session: Session) -> None:
    """Restarted after 15:29 with a position and no tick yet: a SELL at one paisa would be a gift."""
    desk = Desk(contract, session)
    desk.now = at("15:35:00")
    row = OrderReport(
        desk.now, desk.mono, "k260916r1n1", "id1", "", KEY, Side.BUY, "LIMIT", "complete",
        75, 75, 75 * 30_000, 30_000, 0, "", "",
    )  # fmt: skip
    assert none_of(desk.snapshot([row], position=75), PlaceOrder)
    assert none_of(desk.heartbeat(), PlaceOrder)
    order = only(desk.tick(30_000), PlaceOrder)
    assert (order.quantity, order.reason) == (75, Reason.END_OF_DAY)
    assert order.price > 29_000


def test_a_senseless_average_price_does_not_stop_the_bot(desk: Desk) -> None:
    order = only(desk.fall(), PlaceOrder)
    row = OrderReport(
        desk.now, desk.mono, order.tag, "id1", "", KEY, Side.BUY, "LIMIT", "complete",
        75, 75, -5, order.price, 0, "", "",
    )  # fmt: skip
    fill = only(desk.engine.handle(row), RecordFill)
    assert (fill.quantity, fill.value) == (75, 75 * order.price)
