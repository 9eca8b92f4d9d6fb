"""Each thing the broker or the exchange refuses is refused, with its code, and its neighbour is not."""

from datetime import time

import pytest

from bot.core.units import SECOND, ist_nanos
from bot.sim.exchange import OrderRequest
from bot.sim.refusals import price_band, protected_price, stop_gap_too_wide
from tests.sim_world import BSE, DAY, LOT, NSE, OPENS, World, limit, market, stop

SLM = OrderRequest(NSE, "SELL", "SL-M", "D", "DAY", LOT, 0, 250_00, market_protection=-1)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (limit(instrument=""), "UDAPI1026"),
        (limit(instrument="NSE_FO|1"), "UDAPI100011"),
        (limit()._replace(order_type=""), "UDAPI1004"),
        (limit()._replace(order_type="ICEBERG"), "UDAPI1056"),
        (limit(product=""), "UDAPI1006"),
        (limit(product="OCO"), "UDAPI1054"),
        (limit(validity=""), "UDAPI1007"),
        (limit(validity="GTC"), "UDAPI1055"),
        (limit(side="HOLD"), "UDAPI1057"),
        (limit(quantity=0), "UDAPI1052"),
        (limit(tag="x" * 41), "UDAPI1119"),
        (limit(price=0), "UDAPI1029"),
        (stop(price=0), "UDAPI1031"),
        (stop(trigger=0), "UDAPI1036"),
        (stop(side="BUY", trigger=300_05, price=300_00), "UDAPI1037"),
        (stop(side="SELL", trigger=249_95, price=250_00), "UDAPI1038"),
        (SLM._replace(trigger_price=0), "UDAPI1032"),
        (SLM._replace(price=250_00), "UDAPI1040"),
        (market()._replace(price=300_00), "UDAPI1040"),
        (market(protection=0), "UDAPI1158"),
        (market(protection=25.5), "UDAPI1159"),
        (market(protection=-2), "UDAPI1160"),
        (market(protection=0.5), "UDAPI1160"),
    ],
)
def test_wrong_input_is_refused_by_the_call_with_its_code(request_, code):
    assert World().refusal(request_) == (400, code)


@pytest.mark.parametrize(
    "request_", [limit(tag="x" * 40), limit()._replace(trigger_price=290_00), market(protection=25)]
)
def test_input_just_inside_is_taken(request_):
    """A trigger price with LIMIT is ignored, as the official samples need."""
    world = World()
    assert world.row(world.place(request_)).status == "complete"


def test_the_order_service_sleeps_from_midnight_to_half_past_five():
    world = World(at=ist_nanos(DAY, time(0, 0)), quoted=False)
    assert world.refusal(limit()) == (423, "UDAPI100074")
    world.at = ist_nanos(DAY, time(5, 29, 59))
    assert world.refusal(limit()) == (423, "UDAPI100074")
    assert world.cancel("1").code == "UDAPI100074"
    assert world.exchange.exit_positions(world.at)[0].code == "UDAPI100074"
    world.at = ist_nanos(DAY, time(5, 30))
    assert world.row(world.place(limit())).status == "after market order req received"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (limit(quantity=LOT + 1), "multiple of the regular lot"),
        (limit(quantity=910), "freeze quantity"),
        (limit(price=300_03), "order price is not a multiple of the tick"),
        (stop(trigger=250_03), "trigger price is not a multiple of the tick"),
        (SLM, "not allowed for options"),
        (stop(trigger=250_00, price=199_95), "too far from the trigger"),
        (limit(price=420_05), "LPP"),
        (limit(price=420_05, instrument=BSE, quantity=20), None),
        (limit(price=480_05, instrument=BSE, quantity=20), "LPP"),
    ],
)
def test_what_the_exchange_or_the_risk_check_refuses_is_a_rejected_order(request_, words):
    world = World(margin_for_shorts=True)
    if words is None:
        assert world.row(world.place(request_)).status == "complete"
    else:
        assert words in world.rejection(request_)


@pytest.mark.parametrize(
    ("price", "trigger", "refused"),
    [
        (80_00, 100_00, False),  # 20 % of a trigger above ₹50
        (79_95, 100_00, True),
        (120_05, 100_00, True),
        (40_05, 50_05, False),
        (40_00, 50_05, True),
        (40_00, 50_00, False),  # ₹10 up to ₹50
        (39_95, 50_00, True),
    ],
)
def test_the_stop_limit_gap(price, trigger, refused):
    assert stop_gap_too_wide(price, trigger) is refused


@pytest.mark.parametrize(
    ("reference", "exchange", "band"),
    [
        (300_00, "NSE", (180_00, 420_00)),
        (50_00, "NSE", (30_00, 70_00)),
        (50_05, "NSE", (30_03, 70_07)),
        (300_00, "BSE", (120_00, 480_00)),
        (50_00, "BSE", (20_00, 80_00)),
    ],
)
def test_the_limit_price_band(reference, exchange, band):
    assert price_band(reference, exchange) == band


def test_the_band_is_around_the_average_trade_price_of_30_seconds():
    world = World(quoted=False, margin_for_shorts=True)
    world.show(100_00)
    world.wait(29 * SECOND)
    world.show(300_00)  # average 200: SELLs down to 120
    assert world.row(world.place(limit("SELL", 120_00))).status == "complete"
    assert "LPP" in world.rejection(limit("SELL", 119_95))
    world.wait(2 * SECOND)
    world.show(300_00)  # the 100 is too old: average 300, SELLs down to 180
    assert "LPP" in world.rejection(limit("SELL", 179_95))
    assert world.row(world.place(limit("SELL", 180_00))).status == "complete"


def test_a_stop_is_checked_against_the_band_when_it_triggers_not_before():
    """orders.md: in a fast fall a resting stop may die with a rejection. Average 298: SELLs from 179 up."""
    world = World(quoted=False)
    world.long(2 * LOT, 300_00)
    shallow = world.place(stop(trigger=290_00, price=235_00))
    deep = world.place(stop(trigger=210_00, price=170_00))
    assert world.row(deep).status == "trigger pending"  # 170 is under 180, and was not checked
    for _ in range(40):
        world.show(300_00)
    world.wait(SECOND)
    world.show(209_00)
    assert world.row(shallow).status == "open"  # triggered, 209 does not reach its limit of 235
    assert world.row(deep).status == "rejected"
    assert "LPP" in world.row(deep).status_message


def test_circuit_limits():
    world = World()
    world.exchange.set_circuit_limits(NSE, 250_00, 350_00)
    assert "Circuit breach" in world.rejection(limit(price=350_05))
    assert world.row(world.place(limit(price=350_00))).status == "complete"


def test_funds_pay_the_whole_premium_and_live_buys_block_theirs():
    world = World(funds=300_00 * LOT + 200_00 * LOT)
    resting = world.place(limit(price=200_00))
    assert world.exchange.funds_available() == 300_00 * LOT
    assert "Margin" in world.rejection(limit(price=300_05))
    world.place(limit(price=300_00))
    assert world.exchange.funds_available() == 0
    world.cancel(resting)
    assert world.exchange.funds_available() == 200_00 * LOT
    world.place(limit("SELL", 299_80))
    assert world.exchange.funds_available() == (200_00 + 299_80) * LOT


def test_a_second_sell_beyond_the_position_is_a_short():
    """orders.md: rejected in a small account, accepted in one with margin."""
    small, rich = World(), World(margin_for_shorts=True)
    for world in (small, rich):
        world.long()
        assert world.row(world.place(stop())).status == "trigger pending"
    assert "short" in small.rejection(limit("SELL", 299_80))
    assert rich.row(rich.place(limit("SELL", 299_80))).status == "complete"
    assert small.position() == LOT
    assert rich.position() == 0


def test_a_modify_may_not_grow_a_sell_beyond_the_position_either():
    world = World()
    world.long()
    order_id = world.place(stop())
    assert world.modify(order_id, quantity=2 * LOT).ok
    assert world.words(order_id)[-2:] == ["not modified", "trigger pending"]
    assert world.row(order_id).quantity == LOT


def test_intraday_entries_end_at_1512_exits_do_not():
    world = World(at=ist_nanos(DAY, time(15, 11, 59)))
    world.place(limit(product="I"))
    world.at = ist_nanos(DAY, time(15, 12))
    assert "intraday" in world.rejection(limit(product="I"))
    assert world.row(world.place(limit("SELL", 299_80, product="I"))).status == "complete"
    assert world.row(world.place(limit(product="D"))).status == "complete"


def test_orders_outside_the_session_wait_as_after_market_orders():
    """upstox §5.1: is_amo is derived from the session; §9: they are received again at the open."""
    world = World(at=OPENS - 60 * SECOND, quoted=False)
    kept, dropped = world.place(limit()), world.place(limit())
    assert world.modify(kept, price=300_05).ok
    assert world.cancel(dropped).ok
    world.wait(61 * SECOND)
    assert world.words(dropped) == ["after market order req received", "cancelled after market order"]
    assert world.words(kept)[:3] == [
        "after market order req received",
        "modify after market order req received",
        "put order req received",
    ]
    assert world.row(kept)[-1] >= OPENS
    assert (world.row(kept).status, world.row(kept).price) == ("open", 300_05)


@pytest.mark.parametrize(("ltp", "percent"), [(4_00, 15), (8_00, 10), (300_00, 5)])
def test_automatic_market_protection_is_a_band_around_ltp(ltp, percent):
    assert protected_price(ltp, "BUY", -1, 5) == ltp * (100 + percent) // 100 // 5 * 5
    assert protected_price(ltp, "SELL", -1, 5) == -(-ltp * (100 - percent) // 100 // 5) * 5


@pytest.mark.parametrize(
    ("call", "order_id", "code"),
    [
        ("modify", "", "UDAPI1023"),
        ("cancel", "", "UDAPI1023"),
        ("modify", "26 09", "UDAPI1010"),
        ("cancel", "260916;", "UDAPI1010"),
        ("modify", "260916000000001", "UDAPI100010"),
        ("cancel", "260916000000001", "UDAPI100010"),
    ],
)
def test_changes_of_orders_that_do_not_exist(call, order_id, code):
    assert getattr(World(), call)(order_id).code == code


def test_a_modify_is_checked_like_a_place():
    world = World()
    order_id = world.place(limit(price=290_00))
    assert world.modify(order_id, price=0).code == "UDAPI1029"
    assert world.modify(order_id, order_type="MARKET", price=0).code == "UDAPI1158"
    assert world.modify(order_id, order_type="SL", trigger_price=295_00).code == "UDAPI1037"
    assert world.words(order_id)[-1] == "open"
    assert world.modify(order_id, price=290_03).ok
    assert world.words(order_id)[-2:] == ["not modified", "open"]
    assert "tick" in world.exchange.history(order_id)[-2].status_message


def test_a_limit_does_not_become_a_stop():
    """orders.md: at another broker; believed here because the bot never needs it."""
    world = World()
    order_id = world.place(limit(price=290_00))
    assert world.modify(order_id, order_type="SL", trigger_price=285_00).ok
    assert world.words(order_id)[-4:] == [
        "modify validation pending",
        "modify pending",
        "not modified",
        "open",
    ]


def test_the_twenty_sixth_modify_is_refused():
    world = World()
    order_id = world.place(limit(price=290_00))
    for step in range(26):
        assert world.modify(order_id, price=290_00 + 5 * step).ok
    assert world.words(order_id).count("modified") == 25
    assert world.words(order_id)[-2:] == ["not modified", "open"]


def test_a_halt_rejects_new_orders_and_freezes_the_rest():
    world = World()
    world.long()
    order_id = world.place(stop())
    world.exchange.halt(world.at, halted=True)
    world.show(200_00)
    assert world.row(order_id).status == "trigger pending"
    assert "not allowed to trade" in world.rejection(limit())
    world.exchange.halt(world.at, halted=False)
    world.show(249_00)
    assert world.row(order_id).status == "complete"
