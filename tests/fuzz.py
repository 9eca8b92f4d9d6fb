"""Answers and frames with wounds: cut, flipped, repeated, swapped for another of the same format.

`python -m tests.fuzz FRAMES ANSWERS` throws so many at the bot's decoders; tests/test_fuzz.py a few of them.
The one thing allowed to come out of a decoder is what it says it raises. It knows bytes, not trading.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

import orjson

from bot.core.events import FrameSeen, Quote, SegmentStatus, Tick
from bot.core.units import SECOND
from bot.upstox.wire_answers import Answer, Reach, ReadFailed, order_result, read_data
from bot.upstox.wire_market import MarketDecoder, encode_feed_response
from bot.upstox.wire_orders import WireError, order_book, position_rows, stream_update, trade_rows
from tests.conftest import KEY

_PLAUSIBLE: Final = (Tick, Quote, FrameSeen, SegmentStatus)
ROW: Final = {
    "order_id": "240108010445130", "tag": "k260916r1n1", "instrument_token": KEY, "transaction_type": "BUY",
    "status": "complete", "quantity": 65, "filled_quantity": 65, "average_price": 219.3, "price": 219.3,
    "trigger_price": 0, "order_type": "LIMIT", "product": "D", "status_message": "", "exchange": "NFO",
    "exchange_order_id": "1", "order_timestamp": "2026-09-16 15:00:00", "pending_quantity": 0,
    "trading_symbol": "NIFTY", "trade_id": "7", "traded_quantity": 65, "trade_price": 219.3, "value": 1.0,
    "exchange_timestamp": "2026-09-16 15:00:00", "update_type": "order",
}  # fmt: skip
_ODD: Final = (None, True, -1, 0, 1e308, 10**30, "NaN", "", "\u0000", [], {}, [[]], "k" * 300, -0.0, 0.1)


def frame(ltp: float, at_ms: int) -> bytes:
    """A frame of the market feed with one price in it."""
    ltpc = {"ltp": ltp, "ltt": at_ms, "ltq": 65, "cp": ltp}
    return encode_feed_response(
        {"type": "live_feed", "currentTs": at_ms, "feeds": {KEY: {"ltpc": ltpc, "requestMode": "ltpc"}}}
    )


def wounded(rng: Random, whole: bytes) -> bytes:
    """One to four wounds."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 9))
            case 3:
                data[at : at + 8] = data[:8]
            case _:
                data[at] = rng.randrange(256)
    return bytes(data)


def answers(rng: Random) -> Iterator[bytes]:
    """JSON answers whose fields, shapes or bytes are not what they should be."""
    while True:
        row: dict[str, Any] = dict(ROW)
        for name in rng.sample(sorted(row), rng.randint(0, 4)):
            if rng.random() < 0.3:
                del row[name]
            else:
                odd = rng.choice(_ODD)
                row[name] = odd if not isinstance(odd, int) or abs(odd) < 2**63 else float(odd)
        data = rng.choice((row, [row], [row, row], {"orders": [row]}, {"order_ids": ["1"]}, None, "x"))
        body = orjson.dumps(rng.choice(({"status": "success", "data": data}, row, [row], data)))
        yield wounded(rng, body) if rng.random() < 0.5 else body


def fuzz_frames(count: int, seed: int) -> Counter[str]:
    """What came out of the market decoder, by class. Raises what it must not raise."""
    rng, decoder, seen = Random(seed), MarketDecoder([KEY]), Counter[str]()
    for number in range(count):
        if number % 1000 == 0:
            decoder = MarketDecoder([KEY])
        at = (1_789_550_000 + number) * SECOND
        events = decoder.decode(wounded(rng, frame(200 + rng.random(), at // 1_000_000)), at, number)
        for event in events:
            seen[type(event).__name__] += 1
            if isinstance(event, Tick):
                assert event.ltp > 0, event
    return seen


def fuzz_answers(count: int, seed: int) -> Counter[str]:
    """How the answers were taken, by decoder. Raises what a decoder must not raise."""
    rng, seen = Random(seed), Counter[str]()
    source = answers(rng)
    decoders: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
        "order_book": (lambda data: order_book(data, 1, 1), WireError),
        "positions": (position_rows, WireError),
        "trades": (trade_rows, WireError),
    }
    for _ in range(count):
        body = next(source)
        answer = Answer(Reach.ANSWERED, rng.choice((200, 200, 200, 201, 207, 400, 429, 500)), body)
        seen[f"order {order_result(answer).outcome}"] += 1
        _taken(seen, "stream", lambda body=body: stream_update(body, 1, 1), WireError)  # type: ignore[misc]
        try:
            data = read_data(answer)
        except ReadFailed:
            seen["read refused"] += 1
            continue
        for name, (decode, error) in decoders.items():
            _taken(seen, name, lambda decode=decode, data=data: decode(data), error)  # type: ignore[misc]
    return seen


def _taken(seen: Counter[str], name: str, decode: Callable[[], Any], allowed: type[Exception]) -> None:
    try:
        decode()
        seen[f"{name} taken"] += 1
    except allowed:
        seen[f"{name} refused"] += 1


if __name__ == "__main__":
    frames, many = (int(word) for word in sys.argv[1:3])
    print(f"{frames:,} frames: {dict(fuzz_frames(frames, 1))}")
    print(f"{many:,} answers: {dict(fuzz_answers(many, 1))}")
