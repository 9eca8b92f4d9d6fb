"""What Upstox says of the account and its costs: identity, funds, charges, last prices (upstox §2, §6).

Pure: JSON → values. It must never repeat a value that it could not read.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from bot.core.units import InstrumentKey, Paise, paise
from bot.upstox.wire_orders import WireError

_RUPEES_MAX = 1e13
_NAME_LENGTH_MAX = 80


class Identity(NamedTuple):
    """Whose token it is, and what the account may trade."""

    user_id: str
    name: str
    active: bool
    exchanges: frozenset[str]  # the broker's names: NFO and BFO are the derivatives
    products: frozenset[str]


def identity(data: object) -> Identity:
    """`data` of /v2/user/profile. Raises WireError when it names nobody."""
    fields = _fields(data, "data")
    user_id = _text(fields, "user_id")
    if not user_id:
        raise WireError("user_id is missing")
    return Identity(
        user_id,
        _text(fields, "user_name"),
        fields.get("is_active") is not False,
        _words(fields.get("exchanges")),
        _words(fields.get("products")),
    )


def available(data: object) -> Paise:
    """`available_to_trade.total` of /v3/user/get-funds-and-margin. Raises WireError."""
    return _money(_fields(_fields(data, "data").get("available_to_trade"), "available_to_trade"), "total")


def charges_total(data: object) -> Paise:
    """`charges.total` of /v2/charges/brokerage. Raises WireError."""
    return _money(_fields(_fields(data, "data").get("charges"), "charges"), "total")


def last_prices(data: object, keys: Iterable[InstrumentKey]) -> dict[InstrumentKey, Paise]:
    """`data` of /v3/market-quote/ltp: rows come under a symbol, the key stands inside (upstox §6.5).

    A key without a believable price is left out. Raises WireError.
    """
    wanted = frozenset(keys)
    found = {}
    for row in _fields(data, "data").values():
        fields = _fields(row, "row")
        key = fields.get("instrument_token")
        if isinstance(key, str) and key in wanted:
            price = fields.get("last_price")
            if isinstance(price, int | float) and not isinstance(price, bool) and 0 < price < _RUPEES_MAX:
                found[key] = paise(float(price))
    return found


def _money(fields: dict[str, object], name: str) -> Paise:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WireError(f"{name} is no number")
    if abs(value) > _RUPEES_MAX:
        raise WireError(f"{name} is absurd")
    return paise(float(value))


def _words(value: object) -> frozenset[str]:
    return (
        frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()
    )


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str | None):
        raise WireError(f"{name} is not text")
    return " ".join((value or "").split())[:_NAME_LENGTH_MAX]


def _fields(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise WireError(f"{name} is no JSON object")
    return value
