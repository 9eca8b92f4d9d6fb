"""Every refusal of the venue's rules is a refusal of the twin's, with its code or its words, over real HTTP.

Where the broker's own check answers the call, there is a UDAPI code; where the risk check or the exchange
says no later, the order ends as `rejected` (or stays, `not modified`) and its message says why. And the bot
never hears one: in a whole demo day the twin refuses nothing.
"""

from pathlib import Path

import pytest
from rich.console import Console

from bot.assemble import demo
from bot.core.rules import Contract
from bot.sim.market import Shock
from bot.sim.orders import ExchangeRules
from bot.twin.server import Twin
from tests.conftest import KEY, at
from tests.days import ShortDay
from tests.test_twin import error_of
from tests.twin_client import CONTRACT, LOT, Stranger, playing, steady

BSE = "BSE_FO|861234"
SENSEX = Contract(BSE, LOT, LOT, 5, 1800, "BSE", "SENSEX 82000 CE")
RICH = ExchangeRules(margin_for_shorts=True)


def at_price(price: int, key: str = KEY, **more):
    """A twin whose one contract trades at `price` paise, an account that may sell short."""
    contracts = {KEY: CONTRACT} if key == KEY else {BSE: SENSEX}
    return playing(steady(price=price, key=key), contracts=contracts, rules=RICH, **more)


def sell(price: float, **more: object) -> dict[str, object]:
    return {"transaction_type": "SELL", "price": price} | more


def stop(price: float, trigger: float, **more: object) -> dict[str, object]:
    return sell(price, order_type="SL", trigger_price=trigger, **more)


# ---- answered at once, with a code -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "changes", "code"),
    [
        ("plain MARKET without protection", {"order_type": "MARKET", "price": 0}, "UDAPI1158"),
        (
            "…and with a protection of 0",
            {"order_type": "MARKET", "price": 0, "market_protection": 0},
            "UDAPI1158",
        ),
        ("a price on MARKET", {"order_type": "MARKET", "price": 300.0}, "UDAPI1040"),
        ("a price on SL-M", {"order_type": "SL-M", "trigger_price": 290.0}, "UDAPI1040"),
        ("a stop's trigger under its limit, SELL", stop(250.0, 249.0), "UDAPI1038"),
        (
            "a stop's trigger over its limit, BUY",
            {"order_type": "SL", "price": 310.0, "trigger_price": 311.0},
            "UDAPI1037",
        ),
        ("a stop without a trigger", stop(250.0, 0), "UDAPI1036"),
        ("a tag of more than 40 characters", {"tag": "x" * 41}, "UDAPI1119"),
        ("no quantity", {"quantity": 0}, "UDAPI1052"),
    ],
)
async def test_refused_by_the_call(what, changes, code):
    async with at_price(300_00, speed=100.0) as twin:
        assert error_of(await twin.place(**changes)) == (400, code), what
        assert twin.twin.refused == {code: 1}


@pytest.mark.parametrize("starts", ["00:00:10", "05:29:00"])
async def test_the_order_service_is_shut_in_the_night(starts):
    async with playing(iter(()), starts=starts, speed=10) as twin:
        cancel = twin.http.delete("/v3/order/cancel", params={"order_id": "260916000000001"})
        change = twin.http.put("/v3/order/modify", json=changed("260916000000001"))
        for answer in (await twin.place(), await cancel, await change):
            assert error_of(answer) == (423, "UDAPI100074")


# ---- taken, then refused in words --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "price", "key", "changes", "words"),
    [
        (
            "SL-M on an option, NSE",
            300_00,
            KEY,
            sell(0, order_type="SL-M", trigger_price=290.0, market_protection=-1),
            "not allowed for options",
        ),
        (
            "SL-M on an option, BSE",
            300_00,
            BSE,
            sell(0, order_type="SL-M", trigger_price=290.0, market_protection=-1),
            "not allowed for options",
        ),
        ("a stop gap over 20 % of a trigger above ₹50", 300_00, KEY, stop(199.95, 250.0), "too far"),
        ("the same on BSE", 300_00, BSE, stop(199.95, 250.0), "too far"),
        ("a stop gap over ₹10 of a trigger up to ₹50", 52_00, KEY, stop(39.95, 50.0), "too far"),
        ("a SELL under the reference − 40 %, NSE", 300_00, KEY, sell(179.95), "LPP"),
        ("a SELL under the reference − 60 %, BSE", 300_00, BSE, sell(119.95), "LPP"),
        ("a SELL under the reference − ₹20, NSE", 49_00, KEY, sell(28.95), "LPP"),
        ("a SELL under the reference − ₹30, BSE", 49_00, BSE, sell(18.95), "LPP"),
        ("beyond the circuit limits", 300_00, KEY, {"price": 1200.0}, "circuit"),
        ("not a multiple of the lot", 300_00, KEY, {"quantity": LOT + 5}, "regular lot"),
        ("above the freeze quantity", 300_00, KEY, {"quantity": 1875}, "freeze quantity"),
        ("off the tick", 300_00, KEY, {"price": 300.02}, "tick size"),
    ],
)
async def test_refused_after_it_was_taken(what, price, key, changes, words):
    async with at_price(price, key) as twin:
        await twin.pause(0.5)
        row = await twin.status(await twin.placed(**changes, instrument_token=key), "rejected")
        assert words in row["status_message"], what
        assert list(twin.twin.refused) == [f"rejected: {row['status_message']}"]


@pytest.mark.parametrize(
    ("what", "price", "key", "changes", "status"),
    [
        ("a stop gap of 20 %", 300_00, KEY, stop(200.0, 250.0), "trigger pending"),
        ("a stop gap of ₹10", 52_00, KEY, stop(40.0, 50.0), "trigger pending"),
        ("a SELL at the reference − 39 %, NSE", 300_00, KEY, sell(183.0), "complete"),
        ("a SELL at the reference − 59 %, BSE", 300_00, BSE, sell(123.0), "complete"),
        ("the freeze quantity itself", 300_00, KEY, {"quantity": 1800, "price": 290.0}, "open"),
        (
            "MARKET with protection",
            300_00,
            KEY,
            {"order_type": "MARKET", "price": 0, "market_protection": -1},
            "complete",
        ),
    ],
)
async def test_what_is_just_inside_is_taken(what, price, key, changes, status):
    async with at_price(price, key) as twin:
        await twin.pause(0.5)
        await twin.status(await twin.placed(**changes, instrument_token=key), status)
        assert not twin.twin.refused, what


async def test_intraday_entries_end_late_in_the_day():
    async with playing(starts="15:12:00") as twin:
        row = await twin.status(await twin.placed(product="I"), "rejected")
        assert "intraday" in row["status_message"]
        await twin.status(await twin.placed(product="D", tag="t2"), "complete")


async def test_a_second_sell_beyond_the_position_is_a_short_refused_in_a_small_account_only():
    for rules, status in ((ExchangeRules(), "rejected"), (RICH, "complete")):
        async with playing(rules=rules) as twin:
            await twin.status(await twin.placed(), "complete")
            await twin.status(await twin.placed(**stop(230.0, 250.0), tag="t2"), "trigger pending")
            await twin.status(await twin.placed(**sell(299.8), tag="t3"), status)


async def test_a_resting_stop_dies_when_it_triggers_outside_the_band():
    """Not checked when placed, checked when it triggers: ₹50 is a trigger, not a maximum loss."""

    def falling():
        for event in steady(price=300_00):
            if event.at >= at("09:16:10"):
                move = event.what._replace(ltp=209_00, bid=208_80, ask=209_20)
                event = event._replace(what=move)
            yield event

    async with playing(falling(), rules=RICH) as twin:
        await twin.pause(0.5)
        deep = await twin.placed(**stop(170.0, 210.0))  # 170 < 60 % of 300
        await twin.status(deep, "trigger pending")
        await twin.clock.sleep_until(at("09:16:11"))
        assert "LPP" in (await twin.status(deep, "rejected"))["status_message"]


async def test_positions_exit_leaves_a_resting_stop_alone_and_without_a_tag_closes_everything():
    async with playing(rules=RICH) as twin:
        await twin.status(await twin.placed(tag="ours"), "complete")
        await twin.status(await twin.placed(tag="owners"), "complete")
        resting = await twin.placed(**stop(230.0, 250.0), tag="ours-stop")
        await twin.status(resting, "trigger pending")
        await twin.http.post("/v2/order/positions/exit", params={"tag": "ours"})
        await twin.until(lambda: twin.twin.exchange.positions()[0].quantity == LOT)
        await twin.http.post("/v2/order/positions/exit")
        await twin.until(lambda: twin.twin.exchange.positions()[0].quantity == 0)
        await twin.status(resting, "trigger pending")


# ---- changes -----------------------------------------------------------------------------------------


def changed(order_id: str, **terms: object) -> dict[str, object]:
    body = {
        "order_id": order_id,
        "validity": "DAY",
        "order_type": "LIMIT",
        "price": 290.0,
        "trigger_price": 0,
    }
    return body | terms


async def modified(twin: Stranger, order_id: str, **terms: object) -> list[dict]:
    """The words after a modify that was taken, once they came to rest."""
    before = len(await twin.get("/v2/order/history", order_id=order_id))
    answer = await twin.http.put("/v3/order/modify", json=changed(order_id, **terms))
    assert answer.status_code == 200, answer.text
    words: list[dict] = []

    async def rests() -> bool:
        words[:] = (await twin.get("/v2/order/history", order_id=order_id))[before:]
        said = [word["status"] for word in words]
        return "not modified" in said or "modified" in said

    while not await rests():
        await twin.pause(0.05)
    return words


async def test_a_modify_without_protection_or_beyond_the_gap_is_refused_too():
    async with playing(rules=RICH) as twin:
        resting = await twin.placed(price=290.0)
        market = changed(resting, order_type="MARKET", price=0)
        assert error_of(await twin.http.put("/v3/order/modify", json=market)) == (400, "UDAPI1158")
        safe = await twin.placed(**stop(230.0, 250.0), tag="t2")
        await twin.status(safe, "trigger pending")
        words = await modified(twin, safe, order_type="SL", price=199.0, trigger_price=250.0)
        assert "too far" in next(w["status_message"] for w in words if w["status"] == "not modified")
        assert (await twin.get("/v2/order/details", order_id=safe))["price"] == 230.0
        words = await modified(twin, safe, price=295.0)  # a stop becomes a limit: allowed
        assert "modified" in [word["status"] for word in words]


async def test_a_limit_does_not_become_a_stop():
    async with playing() as twin:
        resting = await twin.placed(price=290.0)
        await twin.status(resting, "open")
        words = await modified(twin, resting, order_type="SL", price=310.0, trigger_price=305.0)
        assert "not modified" in [word["status"] for word in words]


async def test_the_modify_after_the_last_is_refused():
    async with playing(rules=ExchangeRules(modifies_max=2)) as twin:
        resting = await twin.placed(price=290.0)
        await twin.status(resting, "open")
        for price, taken in ((291.0, True), (292.0, True), (293.0, False)):
            said = [word["status"] for word in await modified(twin, resting, price=price)]
            assert ("modified" in said) is taken


async def test_what_faults_refuse_is_no_refusal_of_the_twins():
    async with playing() as twin:
        await twin.http.post("/twin/faults", content='reject "RMS:on command"\n')
        await twin.status(await twin.placed(), "rejected")
        await twin.http.post("/twin/faults", content="too many 60s")
        assert (await twin.http.get("/v2/user/profile")).status_code == 429
        assert not twin.twin.refused


# ---- and the bot -------------------------------------------------------------------------------------


def test_in_a_short_day_with_slides_the_bot_is_refused_nothing(tmp_path):
    shocks = (Shock(at("09:19:00"), -3_000.0), Shock(at("09:21:00"), 4_000.0, 900.0))
    day = ShortDay(tmp_path, shocks=shocks).run()
    day.judged()
    assert day.twin.exchange.trades()
    assert day.twin.refused == {}


@pytest.mark.component
def test_in_a_whole_demo_day_the_bot_is_refused_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The day that `bot demo` plays, with its lost connection and its slides; half a minute of processor."""
    twins: list[Twin] = []

    class Remembered(Twin):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            twins.append(self)

    monkeypatch.setattr(demo, "Twin", Remembered)
    options = demo.DemoOptions((), 7, False, None, tmp_path, False)
    assert demo.run_demo(options, Console(quiet=True)) == 0
    (twin,) = twins
    assert len(twin.exchange.trades()) > 100
    assert twin.refused == {}
