"""Charges meet the published goldens to the paisa, however an order's fills are cut up."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.charges import NANOPAISE, NO_CHARGES, RATE_CARDS, Charges, NoRateCard, card_on
from bot.core.events import Side

BEFORE_APRIL_2026 = date(2026, 3, 31)
FROM_APRIL_2026 = date(2026, 4, 1)


@pytest.mark.parametrize(
    ("exchange", "quantity", "rupees", "day", "paise"),
    [
        ("BSE", 600, 480, BEFORE_APRIL_2026, 565_42),
        ("BSE", 600, 480, FROM_APRIL_2026, 709_42),
        ("BSE", 600, 600, BEFORE_APRIL_2026, 694_97),
        ("BSE", 600, 600, FROM_APRIL_2026, 874_97),
        ("BSE", 20, 480, BEFORE_APRIL_2026, 64_47),
        ("NSE", 35, 610, BEFORE_APRIL_2026, 87_14),
        ("NSE", 595, 610, BEFORE_APRIL_2026, 726_23),
    ],
)
def test_a_round_trip_costs_the_golden_to_the_paisa(exchange, quantity, rupees, day, paise):
    value = quantity * rupees * 100
    assert card_on(day, exchange).round_trip(value, value).total == paise


def test_each_component_is_on_its_own_side_of_the_trade():
    """market.md §2: STT on sold premium only, stamp on bought, the rest on both; GST on three of them."""
    card = card_on(FROM_APRIL_2026, "BSE")
    buy = card.fill_charges(Side.BUY, 100_000_00, first_fill_of_order=True)
    sell = card.fill_charges(Side.SELL, 100_000_00, first_fill_of_order=True)
    gst = 9_46_80  # hundredths of a paisa: 18 % of 20.00 + 32.50 + 0.10 rupees
    for charges, paise in ((buy, (20_00, 0, 32_50, 10, 3_00)), (sell, (20_00, 150_00, 32_50, 10, 0))):
        assert charges == Charges(*(amount * NANOPAISE for amount in paise), gst * NANOPAISE // 100)


@given(st.integers(0, 10**12), st.sampled_from(Side), st.sampled_from(RATE_CARDS), st.booleans())
def test_charges_are_what_fractions_make_of_the_published_percentages(value, side, card, first):
    """Whole nanopaise lose nothing: the same sum in rational numbers, from the percentages as published."""
    transaction = {"NSE": Fraction("0.03503") + Fraction("0.0005"), "BSE": Fraction("0.0325")}[card.exchange]
    stt = Fraction("0.15" if card.since >= FROM_APRIL_2026 else "0.10")
    taxed = (20_00 if first else 0) + value * (transaction + Fraction("0.0001")) / 100
    other = value * (stt if side is Side.SELL else Fraction("0.003")) / 100
    exact = card.fill_charges(side, value, first_fill_of_order=first).exact
    assert Fraction(exact, NANOPAISE) == taxed * Fraction(118, 100) + other


def test_brokerage_is_charged_once_an_order():
    card = card_on(FROM_APRIL_2026, "NSE")
    assert card.fill_charges(Side.BUY, 100_00, first_fill_of_order=False).brokerage == 0


@given(
    prices=st.lists(st.tuples(st.integers(5, 900_00), st.integers(1, 1000)), min_size=1, max_size=12),
    side=st.sampled_from(Side),
    card=st.sampled_from(RATE_CARDS),
)
def test_part_fills_cost_what_the_whole_costs(prices, side, card):
    """Exact sums, and the whole-paise steps of a CSV's rows add up to the rounded total."""
    whole = card.fill_charges(side, sum(p * q for p, q in prices), first_fill_of_order=True)
    running, steps = NO_CHARGES, 0
    for index, (price, quantity) in enumerate(prices):
        fill = card.fill_charges(side, price * quantity, first_fill_of_order=index == 0)
        steps += running.step(fill)
        running = running.plus(fill)
    assert running == whole
    assert steps == whole.total
    assert abs(whole.total * NANOPAISE - whole.exact) <= NANOPAISE // 2


def test_the_card_changes_on_its_day():
    """STT 0.10 % to 2026-03-31, 0.15 % from 2026-04-01."""
    old, new = (card_on(day, "NSE") for day in (BEFORE_APRIL_2026, FROM_APRIL_2026))
    assert old.fill_charges(Side.SELL, 1000_00, first_fill_of_order=True).stt == 1_00 * NANOPAISE
    assert new.fill_charges(Side.SELL, 1000_00, first_fill_of_order=True).stt == 1_50 * NANOPAISE


def test_a_day_before_the_first_card_says_so():
    with pytest.raises(NoRateCard, match=r"no rate card for BSE on 2024-09-30; the first is of 2024-10-01"):
        card_on(date(2024, 9, 30), "BSE")


def test_an_unknown_exchange_says_so():
    with pytest.raises(NoRateCard, match="MCX"):
        card_on(FROM_APRIL_2026, "MCX")
