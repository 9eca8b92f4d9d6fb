"""Choosing the contract: nearest strike that may be bought, decided by rule and said in words."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.rules import RiskRules
from bot.core.selection import (
    SHORTLIST,
    ContractRefused,
    NothingFits,
    Option,
    Touch,
    Wish,
    choose,
    contract,
    expiry_warning,
    shortlist,
)

DAY = date(2026, 9, 16)
RISK = RiskRules()
GOOD = Touch(119_50, 120_00)
WEEKLY, MONTHLY = date(2026, 9, 22), date(2026, 9, 29)


def option(strike: int, option_type: str = "CE", expiry: date = WEEKLY, **changes) -> Option:
    base = Option(
        key=f"NSE_FO|{option_type}{strike}-{expiry:%m%d}",
        underlying="NIFTY",
        underlying_key="NSE_INDEX|Nifty 50",
        option_type=option_type,
        strike=strike * 100,
        expiry=expiry,
        lot=65,
        tick=5,
        freeze_quantity=1755,
        exchange="NSE",
        name=f"NIFTY {strike} {option_type} {expiry:%d %b %y}".upper(),
        on_index=True,
    )
    return base._replace(**changes)


CHAIN = [
    option(strike, kind, expiry)
    for strike in range(24_000, 26_050, 50)
    for kind in ("CE", "PE")
    for expiry in (DAY, WEEKLY, MONTHLY)
]
CALL, PUT = Wish("NIFTY", "CE"), Wish("NIFTY", "PE")


def strikes(options) -> list[int]:
    return [one.strike // 100 for one in options]


def chosen(wish=CALL, index=25_012_35, touches=None, risk=RISK, day=DAY, chain=CHAIN):
    candidates = shortlist(chain, wish, index, day)
    told = {one.key: GOOD for one in candidates} if touches is None else touches
    return choose(candidates, told, wish, index, day, risk)


# ---- the choice -----


def test_the_nearest_strike_of_the_nearest_expiry_and_the_reason_in_words():
    option, reason = chosen()
    assert (option.strike, option.expiry, option.option_type) == (25_000_00, WEEKLY, "CE")
    for word in (
        option.name,
        "25,012.35",
        "at the money",
        "2026-09-22",
        "6 days",
        "120.00",
        "42 bps",
        "lot 65",
    ):
        assert word in reason
    assert "passed over" not in reason


def test_the_shortlist_goes_outwards_from_the_index():
    listed = shortlist(CHAIN, CALL, 25_012_35, DAY)
    assert strikes(listed)[:5] == [25_000, 25_050, 24_950, 25_100, 24_900]
    assert len(listed) == SHORTLIST


@pytest.mark.parametrize(("wish", "first"), [(CALL, [25_000, 25_050]), (PUT, [25_050, 25_000])])
def test_of_two_strikes_equally_near_the_one_in_the_money_comes_first(wish, first):
    assert strikes(shortlist(CHAIN, wish, 25_025_00, DAY))[:2] == first


def test_the_day_of_expiry_is_left_out_unless_it_is_allowed():
    assert chosen().option.expiry == WEEKLY
    assert chosen(replace(CALL, min_days_to_expiry=0)).option.expiry == DAY
    assert chosen(replace(CALL, min_days_to_expiry=7)).option.expiry == MONTHLY


def test_an_expiry_and_a_strike_may_be_named():
    option, reason = chosen(replace(CALL, strike=25_300_00, expiry=MONTHLY))
    assert (option.strike, option.expiry) == (25_300_00, MONTHLY)
    assert "strike 25300 as asked" in reason
    assert "as asked; ask" in reason


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (replace(CALL, strike=25_025_00), "no strike 25,025.00 for 2026-09-22; the nearest are 25000, 25050"),
        (
            replace(CALL, expiry=date(2026, 9, 23)),
            "no options that expire on 2026-09-23; listed: 2026-09-16, ",
        ),
        (replace(CALL, underlying="NIFTYX"), "no CE options on NIFTYX"),
        (replace(CALL, min_days_to_expiry=30), "the master is old"),
    ],
)
def test_what_does_not_exist_is_said(wish, words):
    with pytest.raises(NothingFits) as refused:
        shortlist(CHAIN, wish, 25_012_35, DAY)
    assert words in str(refused.value)


def test_a_past_expiry_is_never_chosen():
    with pytest.raises(NothingFits, match="past"):
        shortlist(CHAIN, replace(CALL, expiry=WEEKLY), 25_000_00, WEEKLY + timedelta(days=1))
    assert chosen(day=WEEKLY).option.expiry == MONTHLY


def test_options_on_shares_are_not_in_the_choice():
    with pytest.raises(NothingFits):
        shortlist([option(25_000, on_index=False)], CALL, 25_000_00, DAY)


def test_strikes_that_may_not_be_bought_are_passed_over_with_the_reason_of_each():
    a, b, c, d, e = shortlist(CHAIN, CALL, 25_012_35, DAY)[:5]
    touches = {
        a.key: Touch(100_00, 104_00),
        b.key: Touch(59_50, 59_95),
        c.key: Touch(0, 120_00),
        e.key: GOOD,
    }
    option, reason = chosen(touches=touches)
    assert option == e
    assert "25000 has a spread of 392 bps, above 100" in reason
    assert "25050 costs ₹59.95, below ₹60.00" in reason
    assert f"{c.strike // 100} has no quotes" in reason
    assert f"{d.strike // 100} has no quotes" in reason


def test_a_premium_above_the_owners_limit_is_passed_over_and_when_nothing_fits_it_says_why():
    with pytest.raises(NothingFits) as refused:
        chosen(risk=replace(RISK, premium_max=100_00))
    assert str(refused.value).count("costs ₹120.00, above ₹100.00") == SHORTLIST


@given(
    index=st.integers(23_900_00, 26_100_00),
    wish=st.sampled_from([CALL, PUT]),
    prices=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000)), min_size=11, max_size=11),
)
def test_whatever_the_quotes_the_choice_may_be_bought_and_nothing_nearer_may(index, wish, prices):
    candidates = shortlist(CHAIN, wish, index, DAY)
    touches = {one.key: Touch(*price) for one, price in zip(candidates, prices, strict=True)}

    def buyable(one: Option) -> bool:
        bid, ask = touches[one.key]
        return (
            0 < bid < ask >= RISK.premium_min and (ask - bid) / ((ask + bid) / 2) <= RISK.spread_max_bps / 1e4
        )

    try:
        option, _ = choose(candidates, touches, wish, index, DAY, RISK)
    except NothingFits:
        assert not any(map(buyable, candidates))
        return
    assert buyable(option)
    nearer = [one for one in candidates if abs(one.strike - index) < abs(option.strike - index)]
    assert not any(map(buyable, nearer))


# ---- what may be traded at all -----


def test_a_contract_carries_the_masters_numbers_and_one_lot_unless_told():
    made = contract(option(25_000), None, DAY)
    assert (made.quantity, made.lot, made.tick, made.freeze_quantity) == (65, 65, 5, 1755)
    assert (made.key, made.exchange, made.name) == ("NSE_FO|CE25000-0922", "NSE", "NIFTY 25000 CE 22 SEP 26")
    assert contract(option(25_000), 1755, DAY).quantity == 1755


@pytest.mark.parametrize(
    ("one", "quantity", "words"),
    [
        (
            option(25_000),
            70,
            "quantity 70 is not a multiple of NIFTY 25000 CE 22 SEP 26's lot of 65: write 65 or 130",
        ),
        (option(25_000), 0, "write 65 or 130"),
        (option(25_000), 1820, "above NIFTY 25000 CE 22 SEP 26's freeze quantity of 1755: at most 1755"),
        (option(25_000, expiry=DAY - timedelta(days=1)), 65, "expired on 2026-09-15"),
        (option(25_000, on_index=False), 65, "settled by delivering shares"),
    ],
)
def test_each_refusal_is_a_sentence(one, quantity, words):
    with pytest.raises(ContractRefused) as refused:
        contract(one, quantity, DAY)
    assert len(refused.value.problems) == 1
    assert words in refused.value.problems[0]


def test_all_refusals_come_at_once():
    with pytest.raises(ContractRefused) as refused:
        contract(option(25_000, expiry=date(2026, 9, 1), on_index=False), 1800, DAY)
    assert len(refused.value.problems) == 4


def test_an_expiry_is_announced_two_days_ahead_and_across_a_weekend():
    tuesday = option(25_000, expiry=date(2026, 9, 22))
    assert expiry_warning(tuesday, date(2026, 9, 17), 3) == ""
    assert "expires on Tuesday 2026-09-22" in expiry_warning(tuesday, date(2026, 9, 18), 2)  # a Friday
    assert "2026-09-22" in expiry_warning(tuesday, date(2026, 9, 20), 5)
    assert "expires today" in expiry_warning(tuesday, date(2026, 9, 22), 0)
