"""What engine and simulated exchange say to each other in process, and what it would be on the wire.

Pure: commands → requests, the exchange's rows → reports. No time passes here.
"""

import orjson

from bot.core.commands import CancelOrder, ModifyOrder, PlaceOrder
from bot.core.events import OrderReport, OrderType, Side
from bot.core.units import Nanos
from bot.run.ports import OrderCommand
from bot.sim.orders import OrderRequest, OrderRow
from bot.upstox import wire_orders as wire


def report_of(row: OrderRow, at: Nanos) -> OrderReport:
    """The exchange's word as the engine hears it."""
    return OrderReport(
        at=at,
        mono=at,
        tag=row.tag,
        order_id=row.order_id,
        exchange_order_id=row.exchange_order_id,
        instrument=row.instrument,
        side=Side(row.side),
        order_type=row.order_type,
        status=row.status,
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
        filled_value=row.filled_value,
        price=row.price,
        trigger_price=row.trigger_price,
        message=row.status_message,
        exchange_time="",
    )


def request_of(command: PlaceOrder) -> OrderRequest:
    protection = wire.PROTECTION_AUTOMATIC if command.order_type is OrderType.MARKET else 0
    return OrderRequest(
        instrument=command.instrument,
        side=command.side.value,
        order_type=command.order_type.value,
        product=command.product,
        validity="DAY",
        quantity=command.quantity,
        price=command.price,
        trigger_price=command.trigger_price,
        tag=command.tag,
        market_protection=protection,
    )


def words_of(command: OrderCommand) -> bytes:
    """What the call would say over HTTP: how long it takes is drawn by that."""
    match command:
        case PlaceOrder():
            if not command.instrument.startswith(("NSE_FO|", "BSE_FO|")):  # nothing the broker would take
                return repr(command).encode()
            return b"POST /v3/order/place? " + orjson.dumps(wire.place_body(command))
        case ModifyOrder():
            return b"PUT /v3/order/modify? " + orjson.dumps(wire.modify_body(command))
        case CancelOrder():
            return b"DELETE /v3/order/cancel?order_id=%s {}" % command.order_id.encode()
