"""Whatever is asked in whatever order, the simulated exchange's books agree with its trades."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.core.units import MILLISECOND
from tests.sim_world import LOT, NSE, World, limit, market, stop

PRICES = st.integers(-12, 12).map(lambda step: 300_00 + 5 * step)  # paise: few, so that they meet
LOTS = st.integers(1, 6).map(lambda lots: lots * LOT)
SIDES = st.sampled_from(["BUY", "SELL"])
PICKS = st.integers(0, 30)  # which of the orders so far

ACTIONS = st.one_of(
    st.tuples(st.just("limit"), SIDES, PRICES, LOTS, st.sampled_from(["DAY", "IOC"])),
    st.tuples(st.just("stop"), PRICES, st.integers(0, 50), LOTS),
    st.tuples(st.just("market"), SIDES, LOTS),
    st.tuples(st.just("modify"), PICKS, PRICES, LOTS),
    st.tuples(st.just("unstop"), PICKS, PRICES),
    st.tuples(st.just("cancel"), PICKS),
    st.tuples(st.just("exit")),
    st.tuples(st.just("show"), PRICES, st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(1, 100)),
)

# upstox §9, "usual next"; a part fill repeats the status, and a stop may trigger while an ask is under way.
RESTING = {"open", "trigger pending", "complete", "cancelled", "rejected"}
UNDER_WAY = {"modify validation pending", "cancel pending"}
NEXT = {
    "put order req received": {"validation pending", "rejected"},
    "validation pending": {"open pending", "rejected"},
    "open pending": {"open", "trigger pending", "complete", "rejected", "cancelled"},
    "open": {"open", "complete", "cancelled", *UNDER_WAY},
    "trigger pending": {"open", "complete", "cancelled", "rejected", *UNDER_WAY},
    "modify validation pending": {"modify validation pending", "modify pending", "not modified", *RESTING},
    "modify pending": {"modify pending", "modified", "not modified", *RESTING},
    "modified": RESTING,
    "not modified": {"open", "trigger pending"},
    "cancel pending": {"cancel pending", *RESTING},
    "complete": set(),
    "cancelled": set(),
    "rejected": set(),
}
# A stop that triggers under an ask is said to be `open`; the ask then goes on.
NEXT["open"] |= {"modify pending", "not modified", "modified"}


def _act(world, action):
    exchange = world.exchange
    ids = [row.order_id for row in exchange.orders()]
    match action:
        case "limit", side, price, quantity, validity:
            exchange.place(world.at, limit(side, price, quantity, validity=validity))
        case "stop", price, gap, quantity:
            exchange.place(world.at, stop("SELL", trigger=price, price=price - 5 * gap, quantity=quantity))
        case "market", side, quantity:
            exchange.place(world.at, market(side, quantity))
        case "modify", pick, price, quantity if ids:
            exchange.modify(world.at, ids[pick % len(ids)], price=price, quantity=quantity)
        case "unstop", pick, price if ids:
            exchange.modify(world.at, ids[pick % len(ids)], order_type="LIMIT", price=price, trigger_price=0)
        case "cancel", pick if ids:
            exchange.cancel(world.at, ids[pick % len(ids)])
        case ("exit",):
            exchange.exit_positions(world.at)
        case "show", price, bid_lots, ask_lots:
            world.show(price, bid_size=bid_lots * LOT, ask_size=ask_lots * LOT)
        case "wait", milliseconds:
            world.wait(milliseconds * MILLISECOND)


def _check(world):
    exchange = world.exchange
    trades = exchange.trades()
    for row in exchange.orders():
        its = [t for t in trades if t.order_id == row.order_id]
        assert row.filled_quantity == sum(t.quantity for t in its)
        assert row.filled_value == sum(t.quantity * t.price for t in its)
        assert 0 <= row.filled_quantity <= row.quantity
        assert (row.status == "complete") == (row.filled_quantity == row.quantity)
    signed = sum(t.quantity if t.side == "BUY" else -t.quantity for t in trades)
    assert world.position() == signed
    assert signed >= 0  # no margin: never short
    live = [
        r for r in exchange.orders() if r.pending_quantity and r.side == "SELL" and _accepted(exchange, r)
    ]
    assert sum(r.pending_quantity for r in live) <= signed
    assert exchange.funds_available() >= 0
    due = exchange.due_at()
    assert due is None or due >= world.at


def _accepted(exchange, row):
    return any(past.status == "open pending" for past in exchange.history(row.order_id))


def _check_words(exchange):
    for row in exchange.orders():
        history = exchange.history(row.order_id)
        assert history[0].status == "put order req received"
        for one, two in pairwise(history):
            assert two.status in NEXT[one.status], (one.status, two.status)
            assert two.at >= one.at
            got = two.filled_quantity - one.filled_quantity
            assert got >= 0
            if got:
                paid = two.filled_value - one.filled_value
                assert paid <= two.price * got if two.side == "BUY" else paid >= two.price * got


@settings(max_examples=150, deadline=None)
@given(
    actions=st.lists(ACTIONS, min_size=5, max_size=40),
    latency=st.tuples(st.floats(0, 0.05), st.floats(0, 0.03)),
    seed=st.integers(0, 3),
)
@example(  # a resized stop and a second SELL race for the same lots
    actions=[
        ("limit", "BUY", 300_60, 2 * LOT, "DAY"),
        ("wait", 100),
        ("stop", 299_50, 10, LOT),
        ("wait", 100),
        ("modify", 1, 299_00, 2 * LOT),
        ("limit", "SELL", 301_00, LOT, "DAY"),
        ("wait", 100),
    ],
    latency=(0.02, 0.03),
    seed=0,
)
def test_books_agree_with_trades_after_every_event(actions, latency, seed):
    """Sum of trades = filled, 0 <= filled <= quantity, positions = sum of trades, never worse than the limit,
    never short and never overspent without margin, no event left in the past, words as in upstox §9."""
    ack, exchange = latency
    world = World(
        seed=seed, ack_seconds=(0, ack), exchange_seconds=(0, exchange), funds=301_00 * LOT * 8, quoted=False
    )
    world.show(300_00, size=4 * LOT)
    for action in actions:
        _act(world, action)
        _check(world)
    world.wait(1000 * MILLISECOND)
    _check(world)
    _check_words(world.exchange)
    rows = world.exchange.take_updates()
    assert [r.at for r in rows] == sorted(r.at for r in rows)
    assert len(rows) == sum(len(world.exchange.history(r.order_id)) for r in world.exchange.orders())
    assert all(t.instrument == NSE for t in world.exchange.trades())
