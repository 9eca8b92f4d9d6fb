"""Reads of the REST API: order book, trades, positions, funds, market, quotes (upstox §5.4, §6).

Answers only; nothing here changes anything but the day's login (`logout`).
"""

from collections.abc import Iterable
from datetime import date
from http import HTTPStatus
from typing import Final

from bot.core.charges import NoRateCard, card_on
from bot.core.events import Side
from bot.core.rules import Contract
from bot.core.units import MILLISECOND, InstrumentKey, ist, paise, rupees, segment_of
from bot.sim.orders import OrderRow
from bot.twin import rows
from bot.twin.answers import Answer, Json, Refused, invalid, success
from bot.twin.board import Board
from bot.twin.calls import Call
from bot.twin.hours import EXCHANGES

QUOTES_MAX: Final = 500
FUNDS_OPEN: Final = (5, 30)  # IST; closed from midnight (upstox §6.2)
SEGMENT_OF_EXCHANGE: Final = {exchange: segment for segment, exchange in EXCHANGES.items()}


# ---- orders, trades, positions -----------------------------------------------------------------------


async def order_book(call: Call) -> Answer:
    """GET /v2/order/retrieve-all."""
    contracts = call.floor.contracts
    return success([rows.order_row(row, contracts[row.instrument]) for row in call.floor.exchange.orders()])


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


# ---- the account -------------------------------------------------------------------------------------


async def profile(_: Call) -> Answer:
    """GET /v2/user/profile."""
    return success(
        {
            "email": "trader@example.com",
            "exchanges": ["NSE", "NFO", "BSE", "BFO"],
            "products": ["D", "I", "MTF"],
            "broker": "UPSTOX",
            "user_id": rows.USER,
            "user_name": "TWIN TRADER",
            "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
            "user_type": "individual",
            "poa": False,
            "ddpi": False,
            "is_active": True,
        }
    )


async def logout(call: Call) -> Answer:
    """DELETE /v2/logout: the token is dead."""
    call.floor.access.revoke(call.token)
    return success(True)


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


async def ltp_v3(call: Call) -> Answer:
    """GET /v3/market-quote/ltp?instrument_key=…: answered by symbol, not by key (upstox §6.5)."""
    answer = {}
    for name, board in _asked(call, "UDAPI100095"):
        seen = board.picture()
        answer[name] = {
            "last_price": seen.ltpc.ltp,
            "instrument_token": board.key,
            "ltq": seen.ltpc.ltq,
            "volume": seen.full.vtt,
            "cp": seen.ltpc.cp,
        }
    return success(answer)


async def quotes(call: Call) -> Answer:
    """GET /v2/market-quote/quotes?instrument_key=…: all that is known, with the circuit limits."""
    return success({name: _quote(call, board) for name, board in _asked(call, "UDAPI100011")})


def _quote(call: Call, board: Board) -> Json:
    seen, floor = board.picture(), call.floor
    day = next((candle for candle in seen.ohlc if candle.interval == "1d"), None)
    lower, upper = floor.circuits.get(board.key, (0, 0))
    last = seen.ltpc.ltp
    return {
        "ohlc": {name: getattr(day, name) if day else 0.0 for name in ("open", "high", "low", "close")},
        "depth": {
            "buy": [{"quantity": q.bidQ, "price": q.bidP, "orders": int(q.bidQ > 0)} for q in seen.levels],
            "sell": [{"quantity": q.askQ, "price": q.askP, "orders": int(q.askQ > 0)} for q in seen.levels],
        },
        "timestamp": ist(floor.clock.now()).isoformat(timespec="milliseconds"),
        "instrument_token": board.key,
        "symbol": _symbol(call, board.key),
        "last_price": last,
        "volume": seen.full.vtt,
        "average_price": seen.full.atp,
        "oi": seen.full.oi,
        "net_change": round(last - seen.ltpc.cp, 2),
        "total_buy_quantity": seen.full.tbq,
        "total_sell_quantity": seen.full.tsq,
        "lower_circuit_limit": rupees(lower),
        "upper_circuit_limit": rupees(upper),
        "last_trade_time": str(seen.ltpc.ltt),
        "oi_day_high": seen.full.oi,
        "oi_day_low": seen.full.oi,
    }


def _asked(call: Call, unknown_code: str) -> Iterable[tuple[str, Board]]:
    """The boards asked for. One bad key refuses the whole batch (upstox §6.5)."""
    keys = [key for key in call.query.get("instrument_key", "").split(",") if key]
    if not keys:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1026", "Instrument key is required", "instrument_key")
    if len(keys) > QUOTES_MAX:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100042", "Maximum 500 instruments are allowed")
    for key in keys:
        if key not in call.floor.boards:
            raise Refused(
                HTTPStatus.BAD_REQUEST, unknown_code, "Invalid instrument key", "instrument_key", key
            )
    return [
        (f"{segment_of(key)}:{_symbol(call, key)}", call.floor.boards[key]) for key in dict.fromkeys(keys)
    ]


def _symbol(call: Call, key: InstrumentKey) -> str:
    contract = call.floor.contracts.get(key)
    return rows.symbol(contract) if contract else key.partition("|")[2]


def _contract(call: Call, key: InstrumentKey, code: str) -> Contract:
    contract = call.floor.contracts.get(key)
    if contract is None:
        raise Refused(HTTPStatus.BAD_REQUEST, code, "Invalid instrument key", "instrument_token", key)
    return contract
