"""Orders and the account: no order of the broker's words can make us forget or invent a quantity."""

import random
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.account import Account
from bot.core.books import Order
from bot.core.charges import card_on
from bot.core.commands import NOT_DECIDED, CancelOrder, ModifyOrder, PlaceOrder, Reason
from bot.core.desk import Desk
from bot.core.events import Act, BrokerSnapshot, OrderReport, OrderType, Outcome, SendOutcome, Side
from bot.core.forecast import Forecaster
from bot.core.orders import FINAL, State, Word, advance, word_of
from bot.core.reconcile import reconcile
from bot.core.rules import Contract
from tests.conftest import KEY

TAG = "k260916r1n1"
CONTRACT = Contract(KEY, 75, 75, 5, 1800, "NSE")
CARD = {KEY: card_on(date(2026, 9, 16), "NSE")}


def place(
    tag: str = TAG, side: Side = Side.BUY, quantity: int = 75, reason: Reason = Reason.ENTRY
) -> PlaceOrder:
    decision = NOT_DECIDED._replace(at=1, price=30_000)
    return PlaceOrder(tag, KEY, side, OrderType.LIMIT, quantity, 30_005, 0, "D", reason, decision)


def report(
    status: str, filled: int = 0, price: int = 30_005, tag: str = TAG, **changes: object
) -> OrderReport:
    made = OrderReport(
        2, 2, tag, "261", "", KEY, Side.BUY, "LIMIT", status, 75, filled, filled * price, price, 0, "", ""
    )
    return made._replace(**changes)


def answer(outcome: Outcome, act: Act = Act.PLACE, tag: str = TAG) -> SendOutcome:
    return SendOutcome(2, 2, tag, act, outcome, "261" if outcome is Outcome.ACCEPTED else "", "", "")


def fresh() -> Account:
    account = Account([KEY], CARD)
    account.sent(place(), 0)
    return account


LIFE = [
    report("put order req received"),
    report("validation pending"),
    report("open pending"),
    report("open"),
    report("open", 25),
    report("open", 50),
    report("complete", 75),
]


@given(st.lists(st.sampled_from(LIFE), max_size=12), st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_the_words_gives_the_same_account(
    extra: list, rng: random.Random
) -> None:
    """Duplicates, reorderings and stale words are harmless: position = Σ cumulative fills."""
    words = [*LIFE, *extra]
    rng.shuffle(words)
    account = fresh()
    rows = [heard.fill for word in words if (heard := account.heard(word)).fill]
    order = account.orders[TAG]
    assert (account.position(KEY), order.state, order.filled_value) == (75, State.FILLED, 75 * 30_005)
    assert sum(row.quantity for row in rows) == 75
    assert sum(row.value for row in rows) == 75 * 30_005
    assert not account.open


@given(
    st.lists(
        st.tuples(st.sampled_from(["book", "again", "stream", "modify"]), st.integers(0, 6)), max_size=25
    )
)
def test_a_row_passed_over_in_the_book_would_have_changed_nothing(steps: list[tuple[str, int]]) -> None:
    """Rows that are the very same objects may be skipped; equal ones that are others never are."""
    words = [*LIFE, report("cancelled", 25), report("rejected"), report("not modified"), report("odd")]
    kept, other = fresh(), fresh()
    desks = [Desk(CONTRACT, Forecaster(lambda _: 0.5)) for _ in range(2)]
    row = words[0]
    for mono, (what, number) in enumerate(steps):
        if what == "modify" and TAG in kept.open:
            change = ModifyOrder(TAG, "261", OrderType.LIMIT, 75, 30_000, 0, Reason.ENTRY, NOT_DECIDED)
            kept.sent(change, mono)
            other.sent(change, mono)
        elif what == "stream":
            assert kept.heard(words[number]) == other.heard(words[number])
        else:
            row = row if what == "again" else words[(number + mono) % len(words)]
            found = []
            for account, desk, word in zip((kept, other), desks, (row, row._replace()), strict=True):
                snapshot = BrokerSnapshot(mono, mono, mono, (word,), ())
                made = reconcile(snapshot, account, {KEY: desk}, lambda _: True)
                found.append((made._replace(heard=()), [order.state for order in made.heard]))
            assert found[0] == found[1]
        assert _facts(kept) == _facts(other)


def _facts(account: Account) -> list[object]:
    order = account.orders[TAG]
    names = [name for name in getattr(Order, "__mypyc_attrs__", None) or Order.__slots__ if name != "told"]
    return [*(getattr(order, name) for name in names), list(account.open), account.position(KEY)]


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[OrderReport], int, int]:
    """All the words of one BUY (parts at their own prices, amends, an end), its units and their paise. It may
    have been asked for less at first, and for more before that was filled.
    """
    quantity, price = draw(st.integers(1, 20)) * 75, draw(st.integers(20_000, 40_000))
    first = draw(st.integers(1, quantity // 75)) * 75
    cuts = draw(st.lists(st.integers(1, quantity), max_size=6, unique=True).map(sorted))
    whole = draw(st.booleans())
    if whole and quantity not in cuts:
        cuts.append(quantity)
    words = [report("put order req received", quantity=first), report("open", quantity=first)]
    units = value = 0
    for filled in cuts:
        value += (filled - units) * draw(st.integers(price - 500, price))
        units = filled
        status = draw(
            st.sampled_from(["open", "modified", "not modified", "not cancelled", "modify pending"])
        )
        asked = first if units < first else quantity
        words.append(report(status, quantity=asked)._replace(filled_quantity=units, filled_value=value))
    if units == quantity:
        end = "complete"
    else:
        end = draw(
            st.sampled_from(
                ["cancelled", "cancelled after market order", "rejected" if not units else "cancelled"]
            )
        )
    words.append(report(end, quantity=quantity)._replace(filled_quantity=units, filled_value=value))
    return words, units, value


@given(lives(), st.data())
def test_whatever_its_life_every_interleaving_of_the_words_ends_in_one_account(
    life: tuple[list[OrderReport], int, int], data: st.DataObject
) -> None:
    """With repetitions, too: position, money, charges and the end agree."""
    words, units, value = life
    quantity = words[0].quantity
    ends = []
    for _ in range(2):
        heard = [*words, *data.draw(st.lists(st.sampled_from(words), max_size=8))]
        account = Account([KEY], CARD)
        account.sent(place(quantity=quantity), 0)
        fills = [
            made.fill for word in data.draw(st.permutations(heard)) if (made := account.heard(word)).fill
        ]
        order = account.orders[TAG]
        assert (account.position(KEY), order.filled_value) == (units, value)
        assert (sum(fill.quantity for fill in fills), sum(fill.value for fill in fills)) == (units, value)
        assert sum(fill.charges for fill in fills) == account.charges
        ends.append((order.state, account.charges, account.holdings[KEY].cost, list(account.open)))
    assert ends[0] == ends[1]


STOP = "k260916r1n2"
STOP_LIFE = [
    report(
        status, filled, price, STOP, side=Side.SELL, order_id="262", order_type=kind, trigger_price=trigger
    )
    for status, filled, price, kind, trigger in (
        ("trigger pending", 0, 225_00, "SL", 250_00),
        ("modify pending", 0, 225_00, "SL", 250_00),
        ("modified", 0, 298_00, "LIMIT", 0),
        ("open", 25, 298_00, "LIMIT", 0),
        ("complete", 75, 298_00, "LIMIT", 0),
    )
]


@given(st.lists(st.sampled_from([*LIFE, *STOP_LIFE]), max_size=12), st.randoms(use_true_random=False))
def test_a_stop_that_becomes_an_exit_ends_the_same_in_any_order_of_words(
    extra: list[OrderReport], rng: random.Random
) -> None:
    account = fresh()
    account.heard(LIFE[-1])
    account.sent(place(STOP, Side.SELL, 75, Reason.STOP_LOSS)._replace(order_type=OrderType.SL), 1)
    account.sent(ModifyOrder(STOP, "262", OrderType.LIMIT, 75, 298_00, 0, Reason.SIGNAL_EXIT), 1)
    words = [*STOP_LIFE, *extra]
    rng.shuffle(words)
    rows = [heard.fill for word in words if (heard := account.heard(word)).fill]
    assert {row.reason for row in rows} == {Reason.SIGNAL_EXIT}
    assert sum(row.value for row in rows) == 75 * 298_00
    assert account.holdings[KEY].cost == account.position(KEY) == 0
    assert not account.open


@given(st.sampled_from(list(State)), st.lists(st.sampled_from(list(Word)), max_size=20))
def test_a_final_word_of_the_broker_sticks(state: State, words: list[Word]) -> None:
    """Nothing but a completed fill moves an order the broker has ended; our own conclusions do revive."""
    ours = {Word.CANCEL_ASKED, Word.GIVEN_UP}
    for word in words:
        if word in ours:
            continue
        after = advance(state, word)
        if state in {State.FILLED, State.CANCELLED, State.REJECTED}:
            assert after in {state, State.FILLED}
        if after is not None:
            state = after


@pytest.mark.parametrize("state", sorted(FINAL))
def test_cancelling_what_is_over_is_our_bug_and_crashes(state: State) -> None:
    with pytest.raises(AssertionError, match="illegal move of ours"):
        advance(state, Word.CANCEL_ASKED)


def test_every_status_of_the_fact_sheet_has_a_word() -> None:
    known = """put order req received|validation pending|open pending|open|trigger pending
        |modify validation pending|modify pending|modified|not modified|cancel pending|not cancelled
        |after market order req received|modify after market order req received|complete|rejected|cancelled
        |cancelled after market order"""
    assert all(word_of(status.strip()) is not None for status in known.split("|"))


def test_a_strange_word_changes_nothing_and_is_an_anomaly() -> None:
    account = fresh()
    heard = account.heard(report("gone fishing", 25))
    assert "gone fishing" in heard.anomaly
    assert account.position(KEY) == 25  # quantities are believed all the same
    assert TAG in account.open


def test_a_lost_answer_is_unknown_until_the_broker_speaks() -> None:
    account = fresh()
    account.answered(answer(Outcome.UNKNOWN))
    assert account.orders[TAG].state is State.UNKNOWN
    assert account.unknown == 1
    account.heard(report("complete", 75))
    assert account.unknown == 0
    assert account.position(KEY) == 75


def test_a_fill_after_we_gave_up_revives_the_order() -> None:
    account = fresh()
    account.answered(answer(Outcome.UNKNOWN))
    account.give_up(account.orders[TAG])
    assert not account.open
    heard = account.heard(report("open", 25))
    assert heard.fill is not None
    assert account.position(KEY) == 25
    assert account.orders[TAG].state is State.LIVE
    assert TAG in account.open


def test_a_fill_overtaking_a_cancel_is_counted() -> None:
    account = fresh()
    account.heard(report("open", 25))
    account.sent(CancelOrder(TAG, "261", "entry_timeout"), 3)
    account.heard(report("open", 50))
    assert account.orders[TAG].state is State.CANCELLING
    account.heard(report("cancelled", 50))
    assert (account.position(KEY), account.orders[TAG].state) == (50, State.CANCELLED)


def test_a_refused_cancel_leaves_the_order_live() -> None:
    account = fresh()
    account.heard(report("open"))
    account.sent(CancelOrder(TAG, "261", "entry_timeout"), 3)
    account.answered(answer(Outcome.REFUSED, Act.CANCEL))
    assert account.orders[TAG].state is State.LIVE


def test_a_modify_is_under_way_until_it_is_settled() -> None:
    """An answer says only that it will be looked at, none says nothing: words about the terms settle it."""
    account = fresh()
    account.heard(report("open"))
    account.sent(ModifyOrder(TAG, "261", OrderType.LIMIT, 75, 29_000, 0, Reason.SIGNAL_EXIT), 3)
    order = account.orders[TAG]
    for outcome in (Outcome.UNKNOWN, Outcome.ACCEPTED):
        account.answered(answer(outcome, Act.MODIFY))
        account.heard(report("modify pending", mono=4))
        assert order.asked is not None
    account.heard(report("modified", price=29_000, mono=4))
    assert order.asked is None
    assert order.price == 29_000
    account.sent(ModifyOrder(TAG, "261", OrderType.LIMIT, 75, 28_000, 0, Reason.SIGNAL_EXIT), 5)
    account.answered(answer(Outcome.REFUSED, Act.MODIFY))
    assert order.asked is None
    assert order.price == 29_000


def test_a_row_read_before_a_fill_ends_nothing() -> None:
    """The book as it was when 75 were asked for comes after 75 of 150 are filled: 75 more are still out."""
    account = fresh()
    account.sent(ModifyOrder(TAG, "261", OrderType.LIMIT, 150, 30_005, 0, Reason.SIGNAL_EXIT), 3)
    account.heard(report("modified", quantity=150, mono=4))
    account.heard(report("open", 75, quantity=150, mono=4))
    account.heard(report("modify pending", quantity=75, mono=5))
    order = account.orders[TAG]
    assert (order.state, order.filled, order.unfilled) == (State.LIVE, 75, 75)


def test_a_tag_is_never_used_twice() -> None:
    with pytest.raises(AssertionError, match="tag used twice"):
        fresh().sent(place(), 1)


@given(st.lists(st.tuples(st.integers(1, 75), st.integers(100, 60_000)), min_size=1, max_size=8))
def test_profit_and_costs_are_exact_to_the_paisa(sales: list[tuple[int, int]]) -> None:
    """However a position leaves in pieces, Σ realized = Σ sold − Σ bought and the cost ends at 0."""
    account = fresh()
    account.heard(report("complete", 75))
    left, got, net = 75, 0, 0
    rows = []
    for n, (quantity, price) in enumerate([*sales, (75, 30_000)]):
        quantity = min(quantity, left)
        if not quantity:
            break
        tag = f"k260916r1n{n + 2}"
        account.sent(place(tag, Side.SELL, quantity, Reason.SIGNAL_EXIT), 5)
        heard = account.heard(report("complete", quantity, price, tag, side=Side.SELL, quantity=quantity))
        rows.append(heard.fill)
        left -= quantity
        got += quantity * price
    net = got - 75 * 30_005
    assert left == 0
    assert account.realized_gross == net
    assert account.holdings[KEY].cost == 0
    assert account.holdings[KEY].entry_price == 0


def test_stops_and_entries_are_counted_once_each() -> None:
    account = fresh()
    account.heard(report("complete", 75))
    for n in (2, 3):  # one stop may take several orders
        tag = f"k260916r1n{n}"
        account.sent(place(tag, Side.SELL, 75, Reason.STOP_LOSS), n)
        assert len(account.stops) == n - 2  # a stop that rests has stopped nothing yet
        account.heard(report("open", 25, tag=tag, side=Side.SELL))
    assert len(account.stops) == 1
    assert len(account.entries_at) == 1
