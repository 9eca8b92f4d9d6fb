"""Account calls of the REST API: who, what funds, what it costs, which address, the kill switch (upstox §6).

Reads, but for the kill switch, which cancels and bars orders (upstox §6.4).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from bot.core.charges import NoRateCard, card_on
from bot.core.events import Side
from bot.core.rules import Contract
from bot.core.units import SECOND, InstrumentKey, Nanos, ist, paise, rupees, segment_of
from bot.sim.orders import TERMINAL
from bot.twin import rows
from bot.twin.answers import Answer, Json, Refused, invalid, success
from bot.twin.calls import Call

FUNDS_OPEN: Final = (5, 30)  # IST; closed from midnight (upstox §6.2)
COOLING: Final[Nanos] = 12 * 3600 * SECOND
KILL_SEGMENTS: Final = (
    "BSE_EQ", "NSE_EQ", "NCD_FO", "BCD_FO", "NSE_FO", "BSE_FO", "BSE_MF", "MCX_FO", "NSE_COM",
)  # fmt: skip
MARGIN_ROWS_MAX: Final = 20


def person() -> Json:
    """The twin's user, as the profile and the token's answer show them."""
    return {
        "email": "trader@example.com",
        "exchanges": ["NSE", "NFO", "BSE", "BFO"],
        "products": ["D", "I", "MTF"],
        "broker": "UPSTOX",
        "user_id": rows.USER,
        "user_name": "TWIN TRADER",
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "user_type": "individual",
        "poa": False,
        "is_active": True,
    }


async def profile(_: Call) -> Answer:
    """GET /v2/user/profile."""
    return success(person() | {"ddpi": False})


async def address(_: Call) -> Answer:
    """GET /v2/user/ip: the static address orders must come from; the twin's callers are all here."""
    return success(
        {
            "user_id": rows.USER,
            "primary_ip": "127.0.0.1",
            "secondary_ip": None,
            "primary_ip_updated_at": None,
            "secondary_ip_updated_at": None,
            "access_tokens_invalidated": False,
        }
    )


# ---- money -------------------------------------------------------------------------------------------


async def funds_v2(call: Call) -> Answer:
    """GET /v2/user/get-funds-and-margin?segment=SEC|COM."""
    segment = call.query.get("segment")
    if segment not in {None, "SEC", "COM"}:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1019", "Segment is invalid", "segment", segment)
    _, available, used = _funds(call)
    answer = rows.funds_v2(available, used)
    wanted = {"SEC": "equity", "COM": "commodity"}.get(segment or "")
    return success({wanted: answer[wanted]} if wanted else answer)


async def funds_v3(call: Call) -> Answer:
    """GET /v3/user/get-funds-and-margin."""
    return success(rows.funds_v3(*_funds(call)))


def _funds(call: Call) -> tuple[int, int, int]:
    """Opening, available and used, in paise."""
    now = ist(call.floor.clock.now())
    if (now.hour, now.minute) < FUNDS_OPEN:
        message = "The funds service is accessible from 5:30 AM to 12:00 AM IST"
        raise Refused(HTTPStatus.LOCKED, "UDAPI100072", message)
    opening, available = call.floor.opening_funds, call.floor.exchange.funds_available()
    return opening, available, max(opening - available, 0)


async def brokerage(call: Call) -> Answer:
    """GET /v2/charges/brokerage?instrument_token&quantity&product&transaction_type&price."""
    query = call.query
    contract = _contract(call, query.get("instrument_token", ""), "UDAPI100011")
    try:
        quantity, price = int(query.get("quantity", "")), paise(float(query.get("price", "")))
        side = Side(query.get("transaction_type", ""))
    except (ValueError, OverflowError) as error:
        raise invalid("query", "quantity, price or transaction_type cannot be read") from error
    if quantity <= 0 or price < 0:
        raise invalid("query", "quantity and price must be positive")
    try:
        card = card_on(call.floor.hours.day, contract.exchange)
    except NoRateCard as error:
        raise invalid("instrument_token", str(error)) from error
    return success(rows.charges_row(card.fill_charges(side, price * quantity, first_fill_of_order=True)))


async def margin(call: Call) -> Answer:
    """POST /v2/charges/margin: an option bought costs its premium, which is all this account may do.

    A sale's margin is not modelled: it says 0.
    """
    body = _json(call)
    wanted = body.get("instruments") if isinstance(body, dict) else None
    if not isinstance(wanted, list) or not 0 < len(wanted) <= MARGIN_ROWS_MAX:
        raise invalid("instruments", f"One to {MARGIN_ROWS_MAX} instruments are needed")
    premiums = [_premium(call, row) for row in wanted]
    nothing = dict.fromkeys(
        ("span_margin", "exposure_margin", "equity_margin", "additional_margin", "tender_margin"), 0.0
    )
    margins = [nothing | {"net_buy_premium": premium, "total_margin": premium} for premium in premiums]
    total = round(sum(premiums), 2)
    return success({"required_margin": total, "final_margin": total, "margins": margins})


def _premium(call: Call, row: object) -> float:
    if not isinstance(row, Mapping):
        raise invalid("instruments", "An instrument is a JSON object")
    contract = _contract(call, str(row.get("instrument_key", "")), "UDAPI100011")
    quantity, price = row.get("quantity"), row.get("price") or 0
    if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity <= 0:
        raise invalid("quantity", "The quantity is not a positive whole number")
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < 1e7:
        raise invalid("price", "The price is not an amount")
    if row.get("transaction_type") not in {"BUY", "SELL"}:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1057", "The 'transaction_type' is invalid")
    each = paise(price) or call.floor.last_price(contract.key)
    return rupees(each * quantity) if row["transaction_type"] == "BUY" else 0.0


# ---- the kill switch ---------------------------------------------------------------------------------


async def kill_switch(call: Call) -> Answer:
    """GET /v2/user/kill-switch."""
    return success(_segments(call))


async def set_kill_switch(call: Call) -> Answer:
    """POST /v2/user/kill-switch: [{segment, action ENABLE|DISABLE}], all or nothing.

    Refused with open positions, so it is no emergency exit; pending orders are cancelled; it holds 12 h.
    """
    asked = _json(call)
    if not isinstance(asked, list) or not all(isinstance(row, dict) for row in asked) or not asked:
        raise invalid("body", "The body is not a list of segments")
    for row in asked:
        _check_switch(call, row.get("segment"), row.get("action"))
    floor, now = call.floor, call.floor.clock.now()
    for row in asked:
        if row["action"] == "DISABLE":
            floor.killed.pop(row["segment"], None)
            continue
        floor.killed.setdefault(row["segment"], now)
        for order in floor.exchange.orders():
            if segment_of(order.instrument) == row["segment"] and order.status not in TERMINAL:
                floor.exchange.cancel(now, order.order_id)
    floor.stir()
    return success(_segments(call))


def _check_switch(call: Call, segment: object, action: object) -> None:
    floor = call.floor
    if segment not in KILL_SEGMENTS:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1181", "Unknown segment", "segment", segment)
    if action not in {"ENABLE", "DISABLE"}:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1188", "Invalid action", "action", action)
    held = any(row.quantity for row in floor.exchange.positions() if segment_of(row.instrument) == segment)
    if action == "ENABLE" and held:
        message = "Close your open positions before you use the kill switch"
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1184", message)
    since = floor.killed.get(str(segment))
    if action == "DISABLE" and since is not None and floor.clock.now() < since + COOLING:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1185", "The cooling period of 12 hours is not over")


def _segments(call: Call) -> list[dict[str, Any]]:
    killed = call.floor.killed
    return [
        {
            "segment": segment,
            "segment_status": "INACTIVE" if segment in killed else "ACTIVE",
            "kill_switch_enabled": segment in killed,
        }
        for segment in KILL_SEGMENTS
    ]


def _json(call: Call) -> Any:
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError:
        raise invalid("body", "The body is not JSON") from None


def _contract(call: Call, key: InstrumentKey, code: str) -> Contract:
    contract = call.floor.contracts.get(key)
    if contract is None:
        raise Refused(HTTPStatus.BAD_REQUEST, code, "Invalid instrument key", "instrument_token", key)
    return contract
