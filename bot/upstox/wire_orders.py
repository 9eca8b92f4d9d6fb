"""Orders, positions and trades as Upstox writes them: values ↔ JSON, and nothing else.

Pure: no socket, no clock, no log. What the broker wrote wrongly is a `WireError`; what we would write
wrongly is our bug and an assertion. HTTP answers as a whole are judged in wire_answers.py.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

import orjson

from bot.core.commands import CancelOrder, ModifyOrder, PlaceOrder
from bot.core.events import OrderReport, OrderType, PositionRow, Side
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity, paise, rupees, segment_of

TAG_LENGTH_MAX = 40  # upstox §5.1; longer is UDAPI1119
NUMBER_MAX = 1e12  # rupees or units; beyond it a number is damage, not data
PROTECTION_AUTOMATIC = -1  # market_protection; 0 is refused since 1 Apr 2026 (upstox §0.7)

Json: TypeAlias = dict[str, object]


class WireError(ValueError):
    """The broker's text is not what it should be. Names the field, never its content."""


_OUR_SEGMENTS: Final = ("NSE_FO|", "BSE_FO|")


class TradeRow(NamedTuple):
    """One execution from the day's trade list. `price` in paise; `exchange_time` is the broker's own text."""

    order_id: str
    trade_id: str
    exchange_order_id: str
    instrument: InstrumentKey
    side: Side
    quantity: Quantity
    price: Paise
    exchange_time: str


class OtherUpdate(NamedTuple):
    """A word of the portfolio stream that is not about an order: position, holding, gtt_order, or new."""

    kind: str


# ---- what we write ---------------------------------------------------------------------------------------


def place_body(command: PlaceOrder) -> Json:
    """The body of POST /v3/order/place (upstox §5.1). `slice` is never true: one intent, one order."""
    assert 0 < len(command.tag) <= TAG_LENGTH_MAX, (
        "a tag of 1-40 characters is how a lost order is found again"
    )
    _check_prices(command.order_type, command.price, command.trigger_price)
    if command.order_type is OrderType.SL:  # the wrong side is UDAPI1037 / UDAPI1038
        gap = command.trigger_price - command.price
        assert gap >= 0 if command.side is Side.SELL else gap <= 0, "trigger on the wrong side of the limit"
    body = _common(command.order_type, command.quantity, command.price, command.trigger_price)
    return body | {
        "instrument_token": command.instrument,
        "transaction_type": command.side.value,
        "product": command.product,
        "is_amo": False,
        "tag": command.tag,
        "slice": False,
    }


def modify_body(command: ModifyOrder) -> Json:
    """The body of PUT /v3/order/modify. `quantity` is the order's total, not what is left (upstox §5.2)."""
    assert command.order_id, "only an order the broker has named can be modified"
    _check_prices(command.order_type, command.price, command.trigger_price)
    body = _common(command.order_type, command.quantity, command.price, command.trigger_price)
    return body | {"order_id": command.order_id}


def cancel_query(command: CancelOrder) -> dict[str, str]:
    """The query of DELETE /v3/order/cancel (upstox §5.2)."""
    assert command.order_id, "only an order the broker has named can be cancelled"
    return {"order_id": command.order_id}


def exit_query(command: PlaceOrder) -> dict[str, str]:
    """The query of POST /v2/order/positions/exit (upstox §5.3): whose position, and in which segment."""
    assert command.closes, "positions/exit without a tag closes what is not ours"
    return {"tag": command.closes, "segment": segment_of(command.instrument)}


def _common(order_type: OrderType, quantity: Quantity, price: Paise, trigger_price: Paise) -> Json:
    assert quantity > 0, "an order for nothing (UDAPI1052)"
    body: Json = {
        "quantity": quantity,
        "validity": "DAY",
        "price": rupees(price),
        "trigger_price": rupees(trigger_price),
        "order_type": order_type.value,
        "disclosed_quantity": 0,
    }
    if order_type is OrderType.MARKET:  # its default changed between two notices, so it is always said (§11)
        body["market_protection"] = PROTECTION_AUTOMATIC
    return body


def _check_prices(order_type: OrderType, price: Paise, trigger_price: Paise) -> None:
    """A price that does not belong is refused, as is one that lacks (UDAPI1029-1032, UDAPI1040)."""
    assert (price > 0) == (order_type is not OrderType.MARKET), f"{order_type} with price {price}"
    assert (trigger_price > 0) == (order_type is OrderType.SL), f"{order_type} with trigger {trigger_price}"
    assert price >= 0
    assert trigger_price >= 0


# ---- what we read ----------------------------------------------------------------------------------------


def order_report(row: object, at: Nanos, mono: Nanos) -> OrderReport:
    """A row of the order book, of the order details, or an order update of the stream (upstox §4.1, §5.5).

    Required: order_id, status, transaction_type. The last because a guessed side would turn a lost SELL
    into a second position; a dropped update only waits for the next reading of the book. All else may be
    missing, null or "". Raises WireError.
    """
    fields = _object(row)
    filled = _quantity(fields, "filled_quantity")
    price = _price(fields, "price")
    # An average that lags behind the quantity must not book a fill at nothing: the limit price stands in.
    average = _amount(fields, "average_price") or rupees(price)
    return OrderReport(
        at=at,
        mono=mono,
        tag=_text(fields, "tag"),
        order_id=_required(fields, "order_id"),
        exchange_order_id=_text(fields, "exchange_order_id"),
        instrument=_text(fields, "instrument_token", "instrument_key"),
        side=_side(fields),
        order_type=_text(fields, "order_type"),
        status=_required(fields, "status"),
        quantity=_quantity(fields, "quantity"),
        filled_quantity=filled,
        filled_value=round(average * filled * 100),
        price=price,
        trigger_price=_price(fields, "trigger_price"),
        message=_text(fields, "status_message", "status_message_raw"),
        exchange_time=_text(fields, "exchange_timestamp"),
    )


def order_book(data: object, at: Nanos, mono: Nanos) -> tuple[OrderReport, ...]:
    """The day's orders. One unreadable row fails them all: what a snapshot lacks counts as not existing."""
    return OrderBook().decode(data, at, mono)


class OrderBook:
    """Decodes the day's order book again and again: a row that did not change is not decoded anew, so that
    a long day's book does not hold up the loop. Its report keeps the time it was first read.
    """

    def __init__(self) -> None:
        self._known: list[tuple[object, OrderReport | None]] = []
        self._data: object = object()  # nothing yet: not even a null is it
        self._reports: tuple[OrderReport, ...] = ()

    def decode(self, data: object, at: Nanos, mono: Nanos) -> tuple[OrderReport, ...]:
        """As `order_book`. Rows are compared with those in the same place of the last answer; the very same
        `data` gives the very same reports.
        """
        if data is self._data:
            return self._reports
        known = self._known
        fresh: list[tuple[object, OrderReport | None]] = []
        for place, row in enumerate(_list(data)):
            if place < len(known) and known[place][0] == row:
                fresh.append(known[place])
                continue
            report: OrderReport | None = None
            try:
                report = order_report(row, at, mono)
            except WireError:
                if not _none_of_ours(row):
                    raise
            fresh.append((row, report))
        self._known, self._data = fresh, data
        self._reports = tuple(report for _, report in fresh if report is not None)
        return self._reports


def _none_of_ours(row: object) -> bool:
    """A row of another market than index options (commodities count in fractions, say): if it can't be read,
    it must not keep us from reading our own.
    """
    if not isinstance(row, Mapping):
        return False
    instrument = row.get("instrument_token") or row.get("instrument_key")
    return isinstance(instrument, str) and "|" in instrument and not instrument.startswith(_OUR_SEGMENTS)


def position_rows(data: object) -> tuple[PositionRow, ...]:
    """The day's positions, signed (upstox §6.1). A row without a quantity is an error, never "flat"."""
    found = []
    for row in _list(data):
        try:
            found.append(_position(_object(row)))
        except WireError:
            if not _none_of_ours(row):
                raise
    return tuple(found)


def trade_rows(data: object) -> tuple[TradeRow, ...]:
    """The day's executions (upstox §5.5)."""
    return tuple(_trade(_object(row)) for row in _list(data))


def stream_update(message: str | bytes, at: Nanos, mono: Nanos) -> OrderReport | OtherUpdate:
    """One frame of the portfolio stream (upstox §4). Raises WireError."""
    try:
        fields = _object(orjson.loads(message))
    except orjson.JSONDecodeError:
        raise WireError("not JSON") from None
    kind = _text(fields, "update_type")
    return order_report(fields, at, mono) if kind == "order" else OtherUpdate(kind)


def _position(fields: Mapping[str, object]) -> PositionRow:
    _required(fields, "quantity")
    return PositionRow(
        instrument=_required(fields, "instrument_token", "instrument_key"),
        product=_text(fields, "product"),
        quantity=_whole(fields, "quantity"),
    )


def _trade(fields: Mapping[str, object]) -> TradeRow:
    _required(fields, "quantity")
    _required(fields, "average_price")
    return TradeRow(
        order_id=_required(fields, "order_id"),
        trade_id=_text(fields, "trade_id"),
        exchange_order_id=_text(fields, "exchange_order_id"),
        instrument=_text(fields, "instrument_token", "instrument_key"),
        side=_side(fields),
        quantity=_quantity(fields, "quantity"),
        price=_price(fields, "average_price"),
        exchange_time=_text(fields, "exchange_timestamp"),
    )


# ---- fields: missing, null and "" are the same; the first of several twins that says something counts ----


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise WireError("not a JSON object")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):  # `[]` when there are none (upstox §6.1): null is not "none"
        raise WireError("not a JSON list")
    return value


def _said(fields: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((value for name in names if (value := fields.get(name)) not in (None, "")), None)


def _text(fields: Mapping[str, object], *names: str) -> str:
    value = _said(fields, names)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise WireError(f"{names[0]} is not text")
    return str(value)


def _required(fields: Mapping[str, object], *names: str) -> str:
    value = _said(fields, names)
    if value is None:
        raise WireError(f"{names[0]} is missing")
    return _text(fields, *names) if isinstance(value, str | int) else str(value)


def _side(fields: Mapping[str, object]) -> Side:
    try:
        return Side(_text(fields, "transaction_type"))
    except ValueError:
        raise WireError("transaction_type is neither BUY nor SELL") from None


def _number(fields: Mapping[str, object], name: str) -> float:
    """0 when nothing is said. Text that is a number is taken: harmless if never sent."""
    value = _said(fields, (name,))
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WireError(f"{name} is not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise WireError(f"{name} is not a number") from None
    if not abs(number) <= NUMBER_MAX:  # catches NaN as well
        raise WireError(f"{name} is out of all bounds")
    return number


def _amount(fields: Mapping[str, object], name: str) -> float:
    number = _number(fields, name)
    if number < 0:
        raise WireError(f"{name} is negative")
    return number


def _price(fields: Mapping[str, object], name: str) -> Paise:
    return paise(_amount(fields, name))


def _whole(fields: Mapping[str, object], name: str) -> Quantity:
    number = _number(fields, name)
    if not number.is_integer():
        raise WireError(f"{name} is not a whole number")
    return int(number)


def _quantity(fields: Mapping[str, object], name: str) -> Quantity:
    quantity = _whole(fields, name)
    if quantity < 0:
        raise WireError(f"{name} is negative")
    return quantity
