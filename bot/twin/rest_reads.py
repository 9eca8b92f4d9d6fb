"""Reads of the REST API: order book, trades, positions, the market's hours, what is listed (upstox §5.4, §6).

Answers only; nothing here changes anything.
"""

from datetime import date
from http import HTTPStatus
from typing import Final

import orjson

from bot.core.units import MILLISECOND
from bot.sim.orders import OrderRow
from bot.twin import rows
from bot.twin.answers import Answer, Json, Refused, success
from bot.twin.calls import Call
from bot.twin.floor import Floor
from bot.twin.hours import EXCHANGES

SEGMENT_OF_EXCHANGE: Final = {exchange: segment for segment, exchange in EXCHANGES.items()}


# ---- orders, trades, positions -----------------------------------------------------------------------


async def order_book(call: Call) -> Answer:
    """GET /v2/order/retrieve-all."""
    return success([_written(call.floor, row) for row in call.floor.exchange.orders()])


def _written(floor: Floor, row: OrderRow) -> orjson.Fragment:
    """The row's JSON, made once: the book is read every few seconds, and most of it is over and done with."""
    kept = floor.written.get(row.order_id)
    if kept is None or kept[0] is not row:
        kept = row, orjson.Fragment(orjson.dumps(rows.order_row(row, floor.contracts[row.instrument])))
        floor.written[row.order_id] = kept
    return kept[1]


async def order_details(call: Call) -> Answer:
    """GET /v2/order/details?order_id=…"""
    row = _order(call)
    return success(rows.order_row(row, call.floor.contracts[row.instrument]))


async def order_history(call: Call) -> Answer:
    """GET /v2/order/history?order_id=… or ?tag=… (then of several orders)."""
    exchange, contracts = call.floor.exchange, call.floor.contracts
    tag = call.query.get("tag")
    if call.query.get("order_id") or not tag:
        ids = [_order(call).order_id]
    else:
        ids = [row.order_id for row in exchange.orders() if row.tag == tag]
    return success(
        [rows.history_row(row, contracts[row.instrument]) for one in ids for row in exchange.history(one)]
    )


async def order_trades(call: Call) -> Answer:
    """GET /v2/order/trades?order_id=…"""
    return success(_trades(call, _order(call).order_id))


async def trades_for_day(call: Call) -> Answer:
    """GET /v2/order/trades/get-trades-for-day."""
    return success(_trades(call, None))


async def positions(call: Call) -> Answer:
    """GET /v2/portfolio/short-term-positions."""
    floor = call.floor
    return success(
        [
            rows.position_row(
                position,
                floor.contracts[position.instrument],
                floor.last_price(position.instrument),
                floor.close_price(position.instrument),
            )
            for position in floor.exchange.positions()
        ]
    )


async def holdings(_: Call) -> Answer:
    """GET /v2/portfolio/long-term-holdings: none."""
    return success([])


def _order(call: Call) -> OrderRow:
    order_id = call.query.get("order_id", "")
    if not order_id:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1023", "Order id is required", "order_id")
    row = call.floor.exchange.order(order_id)
    if row is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100010", "Unknown order id", "order_id", order_id)
    return row


def _trades(call: Call, order_id: str | None) -> list[Json]:
    exchange, contracts = call.floor.exchange, call.floor.contracts
    answer = []
    for trade in exchange.trades(order_id):
        order = exchange.order(trade.order_id)
        assert order is not None, "a trade of no order"
        answer.append(rows.trade_row(trade, order, contracts[trade.instrument]))
    return answer


# ---- the market --------------------------------------------------------------------------------------


async def market_status(call: Call) -> Answer:
    """GET /v2/market/status/{exchange}."""
    exchange, now = call.path["exchange"], call.floor.clock.now()
    segment = SEGMENT_OF_EXCHANGE.get(exchange)
    if segment is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1089", "Exchange is invalid", "exchange", exchange)
    hours = call.floor.hours
    changed = max((at for at in hours.changes() if at <= now), default=now)
    status = hours.states(now)[segment]
    return success({"exchange": exchange, "status": status, "last_updated": changed // MILLISECOND})


async def market_timings(call: Call) -> Answer:
    """GET /v2/market/timings/{date}: empty when everything is shut."""
    return success(call.floor.hours.timings(_date(call)))


async def market_holidays(call: Call) -> Answer:
    """GET /v2/market/holidays or …/{date}."""
    listed = call.floor.hours.holidays
    if "date" in call.path:
        wanted = _date(call).isoformat()
        listed = tuple(row for row in listed if row["date"] == wanted)
    return success([dict(row) for row in listed])


def _date(call: Call) -> date:
    text = call.path["date"]
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1088", "Date is invalid", "date", text) from error


async def instrument_master(call: Call) -> Answer:
    """GET /market-quote/instruments/exchange/{name}.json.gz, of the static host: no token, no envelope."""
    master = call.floor.listings.master(call.path["name"])
    if master is None:
        raise Refused(HTTPStatus.NOT_FOUND, "UDAPI100060", "Resource not Found")
    return Answer({}, raw=master, kind="application/gzip")


async def option_contracts(call: Call) -> Answer:
    """GET /v2/option/contract?instrument_key=…&expiry_date=…"""
    key = call.query.get("instrument_key", "")
    if key not in call.floor.listings.indices:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100011", "Invalid instrument key", "instrument_key", key)
    return success(call.floor.listings.contracts_on(key, call.query.get("expiry_date")))
