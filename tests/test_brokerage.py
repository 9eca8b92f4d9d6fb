"""The broker's word on charges against our card, and where they part."""

from dataclasses import replace

import pytest

from bot.core.charges import NANOPAISE, card_on
from bot.core.events import Side
from bot.twin.rows import charges_row
from bot.upstox.wire_charges import brokerage_query, charges_of, compare_card
from bot.upstox.wire_orders import WireError
from tests.conftest import DAY, KEY


def answer(**changes: float) -> dict[str, object]:
    """₹480 × 600 sold at BSE under the card of April 2026."""
    found = {"brokerage": 20.0, "gst": 20.5, "stt": 432.0, "stamp_duty": 0.0, "transaction": 93.6} | changes
    other = {"transaction": found["transaction"], "clearing": 0.0, "sebi_turnover": 0.29}
    taxes = {name: found[name] for name in ("gst", "stt", "stamp_duty")}
    return {
        "charges": {"total": 566.39, "brokerage": found["brokerage"], "taxes": taxes, "otherTaxes": other}
    }


def test_an_answer_of_our_rates_agrees_and_stt_may_be_rounded_to_the_rupee() -> None:
    card = card_on(DAY, "BSE")
    assert compare_card(card, Side.SELL, 600, 480_00, charges_of(answer())) == ()
    assert compare_card(card, Side.SELL, 600, 480_00, charges_of(answer(stt=432.9))) == ()


@pytest.mark.parametrize("exchange", ["NSE", "BSE"])
@pytest.mark.parametrize("side", list(Side))
def test_the_twins_answer_agrees_with_the_card_it_was_made_of(exchange: str, side: Side) -> None:
    card = card_on(DAY, exchange)
    told = charges_row(card.fill_charges(side, 65 * 301_35, first_fill_of_order=True))
    assert compare_card(card, side, 65, 301_35, charges_of(told)) == ()
    assert brokerage_query(KEY, side, 65, 301_35, "D")["price"] == "301.35"


def test_another_brokerage_or_an_old_stt_is_named_with_both_figures() -> None:
    card = card_on(DAY, "BSE")
    (found,) = compare_card(card, Side.SELL, 600, 480_00, charges_of(answer(brokerage=10.0)))
    assert "brokerage" in found
    assert "₹10.00" in found
    assert "₹20.00" in found
    old = replace(card, stt_sell=NANOPAISE // 1000)
    (found,) = compare_card(old, Side.SELL, 600, 480_00, charges_of(answer()))
    assert "stt" in found


@pytest.mark.parametrize("data", [None, {}, {"charges": {}}, {"charges": {"taxes": 1}}, []])
def test_an_answer_of_another_shape_is_a_wire_error(data: object) -> None:
    with pytest.raises(WireError):
        charges_of(data)
