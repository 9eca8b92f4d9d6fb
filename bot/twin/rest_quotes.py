"""Quotes of the REST API: last prices, candles, greeks, whole quotes, of both versions (upstox §6.5).

Answered by symbol, not by the key asked; one bad key refuses the whole batch.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from bot.core.units import ist, rupees, segment_of
from bot.twin.answers import Answer, Json, Refused, success
from bot.twin.board import Board
from bot.twin.calls import Call
from bot.upstox import market_feed_pb2 as pb

KEYS_MAX: Final = 500
GREEKS_MAX: Final = 50
INTERVALS: Final = ("1d", "I1", "I30")
YEAR_HIGH, YEAR_LOW = 2.0, 0.5  # of yesterday's close: a decoration


async def ltp_v3(call: Call) -> Answer:
    """GET /v3/market-quote/ltp?instrument_key=…"""
    return _answer(call, "UDAPI100095", _ltp)


async def ltp_v2(call: Call) -> Answer:
    """GET /v2/market-quote/ltp?instrument_key=…"""
    return _answer(call, "UDAPI100011", lambda _, board: _last(board))


async def ohlc_v3(call: Call) -> Answer:
    """GET /v3/market-quote/ohlc?instrument_key=…&interval=…: yesterday's candle is not known."""
    interval = _interval(call)
    return _answer(
        call,
        "UDAPI100011",
        lambda _, board: (
            _last(board) | {"prev_ohlc": None, "live_ohlc": _candle(board, interval, with_volume=True)}
        ),
    )


async def ohlc_v2(call: Call) -> Answer:
    """GET /v2/market-quote/ohlc?instrument_key=…&interval=…"""
    interval = _interval(call)
    return _answer(call, "UDAPI100011", lambda _, board: _last(board) | {"ohlc": _candle(board, interval)})


async def option_greeks(call: Call) -> Answer:
    """GET /v3/market-quote/option-greek?instrument_key=…"""
    return _answer(call, "UDAPI100011", _greeks, most=GREEKS_MAX)


async def quotes_v2(call: Call) -> Answer:
    """GET /v2/market-quote/quotes?instrument_key=…: all that is known, with the circuit limits."""
    return _answer(call, "UDAPI100011", _quote)


async def quotes_v3(call: Call) -> Answer:
    """GET /v3/market-quote/quotes?instrument_key=…: the same, and more; no closing auction on an option."""
    return _answer(call, "UDAPI100011", _quote_v3)


def _ltp(_: Call, board: Board) -> Json:
    seen = board.picture()
    return _last(board) | {"ltq": seen.ltpc.ltq, "volume": seen.full.vtt, "cp": seen.ltpc.cp}


def _last(board: Board) -> Json:
    return {"last_price": board.picture().ltpc.ltp, "instrument_token": board.key}


def _greeks(call: Call, board: Board) -> Json:
    full = board.picture().full
    greeks = full.optionGreeks
    named = {name: getattr(greeks, name) for name in ("vega", "gamma", "theta", "delta")}
    return _ltp(call, board) | {"iv": full.iv, "oi": full.oi} | named


def _quote(call: Call, board: Board) -> Json:
    seen, floor = board.picture(), call.floor
    lower, upper = floor.circuits.get(board.key, (0, 0))
    last = seen.ltpc.ltp
    return {
        "ohlc": _candle(board, "1d"),
        "depth": {
            "buy": [_level(quote.bidQ, quote.bidP) for quote in seen.levels],
            "sell": [_level(quote.askQ, quote.askP) for quote in seen.levels],
        },
        "timestamp": ist(floor.clock.now()).isoformat(timespec="milliseconds"),
        "instrument_token": board.key,
        "symbol": floor.listings.symbol(board.key),
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


def _quote_v3(call: Call, board: Board) -> Json:
    close = board.picture().ltpc.cp
    auction = dict.fromkeys(("indicative_equilibrium_price", "reference_price"), 0.0) | dict.fromkeys(
        (
            "indicative_equilibrium_quantity",
            "indicative_imbalance_quantity_total",
            "indicative_imbalance_quantity_market",
        ),
        0,
    )
    return (
        _quote(call, board)
        | {"ohlc": _candle(board, "1d", with_volume=True), "prev_close_price": close}
        | {"year_high": close * YEAR_HIGH, "year_low": close * YEAR_LOW}
        | {"previous_oi": board.picture().full.oi, "cas_eligible": False}
        | auction
    )


def _level(quantity: int, price: float) -> Json:
    return {"quantity": quantity, "price": price, "orders": int(quantity > 0)}


def _candle(board: Board, interval: str, *, with_volume: bool = False) -> Json:
    """The candle of that interval; zeros before the first trade."""
    found = next((one for one in board.picture().ohlc if one.interval == interval), pb.OHLC())
    candle: Json = {name: getattr(found, name) for name in ("open", "high", "low", "close")}
    return candle | ({"volume": found.vol, "ts": found.ts} if with_volume else {})


def _interval(call: Call) -> str:
    interval = call.query.get("interval", "")
    if interval not in INTERVALS:
        message = "The 'interval' is invalid"
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100036", message, "interval", interval)
    return interval


def _answer(
    call: Call, unknown_code: str, row: Callable[[Call, Board], Json], *, most: int = KEYS_MAX
) -> Answer:
    """A row for each key asked. One bad key refuses the whole batch (upstox §6.5)."""
    asked = call.query.get("instrument_key") or call.query.get("symbol", "")  # the v2 client's word
    keys = [key for key in asked.split(",") if key]
    if not keys:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI1026", "Instrument key is required", "instrument_key")
    if len(keys) > most:
        raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100042", f"Maximum {most} instruments are allowed")
    answer = {}
    for key in dict.fromkeys(keys):
        board = call.floor.quoted(key)
        if board is None:
            message = "Invalid instrument key"
            raise Refused(HTTPStatus.BAD_REQUEST, unknown_code, message, "instrument_key", key)
        answer[f"{segment_of(key)}:{call.floor.listings.symbol(key)}"] = row(call, board)
    return success(answer)
