"""What the account sees at the simulated exchange: positions, exits, the close, the stream, a day twice."""

from random import Random

from bot.core.units import MILLISECOND, SECOND
from bot.sim.exchange import ExchangeRules, SimExchange
from bot.sim.market import SyntheticMarket
from tests.sim_world import BSE, CLOSES, CONTRACTS, LOT, NSE, OPENS, World, limit, stop

TAKEN = ["put order req received", "validation pending", "open pending"]


def test_positions_exit_by_tag_closes_only_that_tag_and_never_more_than_the_position():
    world = World(margin_for_shorts=True)
    world.place(limit(quantity=3 * LOT, tag="ours"))
    world.place(limit(quantity=2 * LOT))  # the owner's own
    (reply,) = world.exchange.exit_positions(world.at, "ours")
    world.wait()
    assert world.row(reply.order_id).quantity == 3 * LOT
    assert world.position() == 2 * LOT
    world.place(limit("SELL", 299_00, quantity=LOT))  # by hand
    (reply,) = world.exchange.exit_positions(world.at, "ours")
    world.wait()
    assert world.position() == 0  # tag says 3 lots, the account has one
    (nothing,) = world.exchange.exit_positions(world.at, "ours")
    assert (nothing.ok, nothing.code) == (False, "UDAPI1113")


def test_positions_exit_slices_by_the_freeze_quantity_and_leaves_resting_orders_alone():
    world = World(margin_for_shorts=True)
    for _ in range(2):
        world.long(875)
    resting = world.place(stop(quantity=875))
    world.show(300_00, size=10_000)
    replies = world.exchange.exit_positions(world.at)
    world.wait()
    assert [world.row(r.order_id).quantity for r in replies] == [875, 875]
    assert world.position() == 0
    assert world.row(resting).status == "trigger pending"  # alone: the bot must cut it


def test_positions_exit_beside_a_resting_stop_needs_margin():
    """orders.md: our SELL must be terminal before positions/exit."""
    world = World()
    world.long()
    world.place(stop())
    (reply,) = world.exchange.exit_positions(world.at)
    world.wait()
    assert world.row(reply.order_id).status == "rejected"


def test_the_brokers_square_off_takes_product_i_only_and_asks_for_no_margin():
    world = World()
    world.place(limit(product="I"))
    world.place(limit(product="D"))
    resting = world.place(limit("SELL", 350_00, product="I"))
    world.exchange.square_off(world.at)
    world.wait()
    assert {p.product: p.quantity for p in world.exchange.positions()} == {"I": 0, "D": LOT}
    assert world.row(resting).status == "open"


def test_at_the_close_resting_orders_expire_and_late_ones_are_rejected():
    world = World(at=CLOSES - 5 * SECOND)
    resting, waiting = world.place(limit(price=290_00)), world.place(stop("BUY", 310_00, 315_00))
    world.at = CLOSES - 20 * MILLISECOND
    late = world.place(limit(), settle=False)
    world.wait()
    assert [world.row(i).status for i in (resting, waiting)] == ["cancelled", "cancelled"]
    assert (world.row(late).status, world.row(late).status_message) == ("rejected", "Market is closed")
    after = world.place(limit())
    assert world.words(after) == ["after market order req received"]
    assert world.exchange.due_at() is None


def test_the_stream_says_everything_once_and_in_order():
    world = World()
    world.long()
    world.place(stop())
    rows = world.exchange.take_updates()
    assert [r.at for r in rows] == sorted(r.at for r in rows)
    assert [r.status for r in rows] == [*TAKEN, "complete", *TAKEN, "trigger pending"]
    assert world.exchange.take_updates() == []


def test_positions_are_kept_by_instrument_and_product():
    world = World()
    world.long()
    world.place(limit(product="I"))
    world.place(limit(instrument=BSE, quantity=20))
    world.place(limit("SELL", 299_80))
    rows = [tuple(p) for p in world.exchange.positions()]
    assert rows == [
        (NSE, "D", 0, LOT, LOT * 300_00, LOT, LOT * 299_80),
        (NSE, "I", LOT, LOT, LOT * 300_00, 0, 0),
        (BSE, "D", 20, 20, 20 * 300_00, 0, 0),
    ]


def test_an_older_time_counts_as_now():
    world = World()
    order_id = world.place(limit())
    world.exchange.market(
        OPENS, NSE, ltp=200_00, ltq=LOT, bid=199_80, ask=200_00, bid_quantity=LOT, ask_quantity=LOT
    )
    (trade,) = world.exchange.trades(order_id)
    late = world.exchange.place(OPENS, limit(price=200_00))
    assert world.exchange.order(late.order_id).order_time >= trade.at


def _day(seed):
    exchange = SimExchange(CONTRACTS, Random(seed), ExchangeRules(), OPENS, CLOSES)
    moves = SyntheticMarket(NSE, tick=5, lot=LOT, seed=seed, opens_at=OPENS, closes_at=OPENS + 600 * SECOND)
    for index, move in enumerate(moves):
        exchange.market(
            move.at,
            NSE,
            ltp=move.ltp,
            ltq=move.ltq,
            bid=move.bid,
            ask=move.ask,
            bid_quantity=move.bid_quantity,
            ask_quantity=move.ask_quantity,
        )
        if index % 40 == 30:
            exchange.place(move.at, limit(price=move.ask + 5, quantity=10 * LOT))
        if index % 40 == 39:
            exchange.exit_positions(move.at)
    return exchange.trades(), exchange.orders()


def test_the_same_seed_gives_the_same_trades_and_another_does_not():
    trades, orders = _day(7)
    assert len(trades) > 20
    assert (trades, orders) == _day(7)
    assert trades != _day(8)[0]
