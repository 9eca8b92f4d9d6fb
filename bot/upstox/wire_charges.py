"""The broker's own word on charges (`/v2/charges/brokerage`), and our card held against it. Pure.

Preflight asks for a BUY and a SELL of what will be traded: a card that is out of date must be found before
the day's loss limit is reckoned with it, not on the contract note.
"""

from typing import Final

from bot.core.charges import NANOPAISE, Charges, RateCard
from bot.core.events import Side
from bot.core.units import InstrumentKey, Paise, Quantity, paise, rupees, rupees_text
from bot.upstox.wire_orders import WireError

STT_ROUNDING: Final[Paise] = 1_00  # contract notes round it to the rupee (market.md §2)
TOLERANCE: Final[Paise] = 10  # of any other component: the broker rounds each by itself
_OTHER: Final = ("other_charges", "otherTaxes")  # the older casing (upstox §6.2)


def brokerage_query(
    instrument: InstrumentKey, side: Side, quantity: Quantity, price: Paise, product: str
) -> dict[str, str]:
    """The query of GET /v2/charges/brokerage."""
    return {
        "instrument_token": instrument,
        "quantity": str(quantity),
        "product": product,
        "transaction_type": side.value,
        "price": f"{rupees(price):.2f}",
    }


def charges_of(data: object) -> dict[str, Paise]:
    """The answer by the card's components, and its `total`. Raises WireError."""
    try:
        charges = data["charges"]  # type: ignore[index]  # whatever it is, WireError says so
        taxes = charges["taxes"]
        other = next(charges[name] for name in _OTHER if name in charges)
        found = {
            "brokerage": charges["brokerage"],
            "stt": taxes["stt"],
            "exchange": other.get("transaction", 0) + other.get("ipft", 0) + other.get("clearing", 0),
            "sebi": other.get("sebi_turnover", 0),
            "stamp": taxes["stamp_duty"],
            "gst": taxes["gst"],
            "total": charges["total"],
        }
        return {name: paise(float(amount)) for name, amount in found.items()}
    except (KeyError, TypeError, ValueError, StopIteration, AttributeError, OverflowError) as error:
        raise WireError(f"charges: {type(error).__name__} in the broker's answer") from None


def compare_card(
    card: RateCard, side: Side, quantity: Quantity, price: Paise, theirs: dict[str, Paise]
) -> tuple[str, ...]:
    """Where our card and the broker's answer for one order differ, in words; () when they agree."""
    ours = card.fill_charges(side, price * quantity, first_fill_of_order=True)
    differences = []
    for name in Charges._fields:
        mine, told = round(getattr(ours, name) / NANOPAISE), theirs[name]
        allowed = STT_ROUNDING if name == "stt" else TOLERANCE
        if abs(mine - told) > allowed:
            differences.append(
                f"{name} of a {side} of {quantity} at {rupees_text(price)}: the broker says "
                f"₹{rupees_text(told)}, our card of {card.since.isoformat()} ₹{rupees_text(mine)}"
            )
    return tuple(differences)
