"""Order calls of the REST API: JSON in, simulated exchange, JSON out (upstox §5.1–5.3).

It reads requests and writes answers; every refusal of an order itself is the exchange's. It does not wait for
what becomes of an order: the portfolio stream tells.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from bot.core.events import Act
from bot.core.units import Paise, Quantity, paise, segment_of
from bot.sim.orders import OrderRequest, SimReply
from bot.twin.answers import Answer, Json, Refused, invalid, success
from bot.twin.calls import Call
from bot.twin.faults import Fault, FaultKind, refused_by
from bot.twin.hours import EXCHANGES

SLICES_MAX: Final = 25  # of an older page (upstox §5.1)
INT32_MAX: Final = 2**31 - 1
PRICE_RUPEES_MAX: Final = 1e7
KILLED: Final = "RMS:Segment is inactive, the kill switch is on"  # no code is documented (upstox §6.4)


async def place_v3(call: Call) -> Answer:
    """POST /v3/order/place."""
    ids, millis = await _place(call, slices=True)
    return success({"order_ids": ids}, metadata={"latency": millis})


async def place_v2(call: Call) -> Answer:
    """POST /v2/order/place."""
    ids, _ = await _place(call, slices=False)
    return success({"order_id": ids[0]})


async def modify_v3(call: Call) -> Answer:
    """PUT /v3/order/modify."""
    order_id, millis = await _modify(call)
    return success({"order_id": order_id}, metadata={"latency": millis})


async def modify_v2(call: Call) -> Answer:
    """PUT /v2/order/modify."""
    order_id, _ = await _modify(call)
    return success({"order_id": order_id})


async def cancel_v3(call: Call) -> Answer:
    """DELETE /v3/order/cancel?order_id=…; its body says nothing."""
    order_id, millis = await _cancel(call)
    return success({"order_id": order_id}, metadata={"latency": millis})


async def cancel_v2(call: Call) -> Answer:
    """DELETE /v2/order/cancel?order_id=…"""
    order_id, _ = await _cancel(call)
    return success({"order_id": order_id})


async def exit_positions(call: Call) -> Answer:
    """POST /v2/order/positions/exit?tag=…&segment=…: all or those of a tag, whatever the segment's word."""
    segment = call.query.get("segment")
    if segment is not None and segment not in EXCHANGES:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1105", "Segment is invalid", "segment", segment)
    floor = call.floor
    if segment is not None and not any(key.startswith(f"{segment}|") for key in floor.contracts):
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1113", "There is no open position to exit")
    fault = await _before(call, Act.PLACE)
    replies = floor.exchange.exit_positions(floor.clock.now(), call.query.get("tag"))
    floor.stir()
    _raise_refusal(replies[0])
    ids = [reply.order_id for reply in replies]
    await _after(call, fault)
    return success(
        {"order_ids": ids}, errors=[], summary={"total": len(ids), "success": len(ids), "error": 0}
    )


# ---- the calls ---------------------------------------------------------------------------------------


async def _place(call: Call, *, slices: bool) -> tuple[list[str], int]:
    body = _json(call)
    request = _request(body)
    cut = [request]
    if slices and body.get("slice") is True:
        cut = _sliced(call, request)
        if len(cut) > 1:  # the first was counted when it came in
            call.floor.access.count("", call.floor.clock.now(), order=True, calls=len(cut) - 1)
    fault = await _before(call, Act.PLACE)
    floor = call.floor
    barred = KILLED if segment_of(request.instrument) in floor.killed else ""
    replies = [floor.exchange.place(floor.clock.now(), one, barred=barred) for one in cut]
    floor.stir()
    _raise_refusal(replies[0])  # the checks at the door see the same words in every slice
    return [reply.order_id for reply in replies], await _after(call, fault)


async def _modify(call: Call) -> tuple[str, int]:
    body = _json(call)
    order_id = _word(body, "order_id")
    for name, code in (("order_type", "UDAPI1004"), ("validity", "UDAPI1007"), ("price", "UDAPI1008")):
        if body.get(name) in (None, ""):
            raise Refused(HTTPStatus.BAD_REQUEST, code, f"The '{name}' is required", name)
    if body.get("trigger_price") is None:
        raise invalid("trigger_price", "The 'trigger_price' is required")
    _check_disclosed(body)
    protection = body.get("market_protection")
    changes: dict[str, Any] = {
        "order_type": _word(body, "order_type"),
        "validity": _word(body, "validity"),
        "price": _money(body, "price"),
        "trigger_price": _money(body, "trigger_price"),
        "quantity": _whole(body, "quantity") if body.get("quantity") is not None else None,
        "market_protection": _number(body, "market_protection") if protection is not None else None,
    }
    fault = await _before(call, Act.MODIFY)
    floor = call.floor
    reply = floor.exchange.modify(floor.clock.now(), order_id, **changes)
    floor.stir()
    _raise_refusal(reply)
    return order_id, await _after(call, fault)


async def _cancel(call: Call) -> tuple[str, int]:
    order_id = call.query.get("order_id", "")
    fault = await _before(call, Act.CANCEL)
    floor = call.floor
    reply = floor.exchange.cancel(floor.clock.now(), order_id)
    floor.stir()
    _raise_refusal(reply)
    return order_id, await _after(call, fault)


async def _before(call: Call, act: Act) -> Fault | None:
    """What befalls it on its way to the exchange: mostly nothing."""
    fault = call.floor.faults.on_call(act)
    if fault is not None and fault.kind is FaultKind.LATE_ACCEPTANCE:
        await call.floor.sleep(fault.seconds)
    if fault is not None and fault.kind is FaultKind.DENY:
        raise refused_by(fault.message)
    return fault


async def _after(call: Call, fault: Fault | None) -> int:
    """What befalls its answer. Returns the milliseconds that calls of its kind usually take."""
    if fault is not None and fault.kind is FaultKind.SLOW_REPLY:
        await call.floor.sleep(fault.seconds)
    if fault is not None and fault.kind is FaultKind.LOSE_REPLY:
        call.fate.lost = True
    return round((call.there_seconds + call.back_seconds) * 1000)


def _raise_refusal(reply: SimReply) -> None:
    if not reply.ok:
        raise Refused(reply.http_status, reply.code, reply.message)


# ---- the words ---------------------------------------------------------------------------------------


def _request(body: Json) -> OrderRequest:
    """Upstox's names → ours. Which words and prices belong together is for the exchange to say."""
    if body.get("price") is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1008", "The 'price' is required", "price")
    for name in ("trigger_price", "disclosed_quantity", "is_amo"):
        if body.get(name) is None:
            raise invalid(name, f"The '{name}' is required")
    _check_disclosed(body)
    return OrderRequest(
        instrument=_word(body, "instrument_token"),
        side=_word(body, "transaction_type"),
        order_type=_word(body, "order_type"),
        product=_word(body, "product"),
        validity=_word(body, "validity"),
        quantity=_whole(body, "quantity"),
        price=_money(body, "price"),
        trigger_price=_money(body, "trigger_price"),
        tag=_word(body, "tag"),
        # Not said is "none" in the stricter of two notices (upstox §5.1, §11).
        market_protection=_number(body, "market_protection"),
    )


def _sliced(call: Call, request: OrderRequest) -> list[OrderRequest]:
    """Parts of at most the freeze quantity, in whole lots (upstox §5.1)."""
    contract = call.floor.contracts.get(request.instrument)
    if contract is None or request.quantity <= contract.freeze_quantity:
        return [request]
    most = contract.freeze_quantity - contract.freeze_quantity % contract.lot
    parts = [min(most, request.quantity - done) for done in range(0, request.quantity, most)]
    if len(parts) > SLICES_MAX:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1118", "Too many orders in one request")
    return [request._replace(quantity=part) for part in parts]


def _check_disclosed(body: Json) -> None:
    disclosed, quantity = _whole(body, "disclosed_quantity"), _whole(body, "quantity")
    if disclosed and disclosed * 10 < quantity:
        message = "Disclosed quantity should be at least 10 % of the quantity"
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1039", message, "disclosed_quantity", disclosed)


def _json(call: Call) -> Json:
    try:
        body = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise invalid("body", "The body is not a JSON object")
    return body


def _word(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(name, f"The '{name}' is not text")
    return value


def _number(body: Mapping[str, Any], name: str) -> float:
    value = body.get(name, 0)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= INT32_MAX:
        raise invalid(name, f"The '{name}' is not a number")
    return float(value)


def _whole(body: Mapping[str, Any], name: str) -> Quantity:
    number = _number(body, name)
    if not number.is_integer():
        raise invalid(name, f"The '{name}' is not a whole number")
    return int(number)


def _money(body: Mapping[str, Any], name: str) -> Paise:
    rupees = _number(body, name)
    amount = paise(rupees)
    if not 0 <= rupees <= PRICE_RUPEES_MAX or abs(rupees * 100 - amount) > 1e-3:
        raise invalid(name, f"The '{name}' is not an amount of rupees and paise")
    return amount
