"""Any interleaving of the broker's words and answers, with repetitions, gives the same account."""

import random

from hypothesis import given
from hypothesis import strategies as st

from bot.core.commands import CancelOrder
from bot.core.events import Act, OrderReport, Outcome, SendOutcome
from bot.core.orders import State
from tests.conftest import KEY
from tests.test_orders import TAG, answer, fresh, report

# Part fills at averages that move, a cancel under way, answers that come late or are lost.
ENDS = {
    State.FILLED: report("complete", 75, 30_002),
    State.CANCELLED: report("cancelled", 50, 30_003),
}
WORDS: list[OrderReport | SendOutcome] = [
    report("open"),
    report("open", 25, 30_005),
    report("cancel pending", 25, 30_005),
    report("open", 50, 30_003),
    report("not cancelled", 25, 30_005),
    answer(Outcome.UNKNOWN),
    answer(Outcome.ACCEPTED),
    answer(Outcome.REFUSED, Act.CANCEL),
    answer(Outcome.UNKNOWN, Act.CANCEL),
]


@given(
    st.sampled_from(list(ENDS)),
    st.lists(st.sampled_from(WORDS), max_size=12),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_fills_at_any_average_and_a_cancel_end_the_same_in_any_order(
    end: State, extra: list[OrderReport | SendOutcome], cancelled: bool, rng: random.Random
) -> None:
    account = fresh()
    if cancelled:
        account.heard(report("open"))
        account.sent(CancelOrder(TAG, "261", "entry_timeout"), 1)
    words = [*WORDS, *extra, ENDS[end]]
    rng.shuffle(words)
    rows = []
    for word in words:
        if isinstance(word, SendOutcome):
            account.answered(word)
        elif (fill := account.heard(word).fill) is not None:
            rows.append(fill)
    order, last = account.orders[TAG], ENDS[end]
    assert (order.state, account.position(KEY)) == (end, last.filled_quantity)
    assert order.filled_value == sum(row.value for row in rows) == last.filled_value
    assert sum(row.quantity for row in rows) == last.filled_quantity
    assert not account.open
