"""A stranger's Upstox client for the twin's tests: plain httpx and websockets, not the bot's adapter."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect

from bot.core.rules import Contract
from bot.core.units import SECOND
from bot.run.live import WallClock
from bot.sim.market import MarketMove
from bot.twin.market_source import MarketEvent
from bot.twin.server import TOKEN, Twin
from bot.upstox import market_feed_pb2 as pb
from tests.conftest import KEY, at, seconds

LOT, TICK = 75, 5
OPENS, CLOSES = at("09:15"), at("15:40")
SPEED = 20.0  # the twin's seconds in one of ours
PATIENCE = 5.0  # real seconds; more is a hang
CONTRACT = Contract(
    key=KEY, quantity=LOT, lot=LOT, tick=TICK, freeze_quantity=1800, exchange="NSE", name="NIFTY25000CE"
)


def steady(
    since: str = "09:14:50", price: int = 300_00, *, every: float = 0.25, key: str = KEY
) -> Iterator[MarketEvent]:
    """Ten minutes of a price that swings by a tick; from the open on quoted 20 paise wide, 10 lots deep."""
    start, volume = at(since), 0
    for step in range(round(600 / every)):
        now = start + seconds(step * every)
        if now < OPENS:
            move = MarketMove(now, price - 10_00, 0, start, 0, 0, 0, 0, 0)
        else:
            volume += LOT
            ltp, size = price - step % 2 * TICK, (10 + step % 3) * LOT
            move = MarketMove(now, ltp, LOT, now, price - 20, price, size, size, volume)
        yield MarketEvent(now, key, move)


@asynccontextmanager
async def playing(
    market: Iterator[MarketEvent] | None = None, *, starts: str = "09:15:01", speed: float = SPEED, **more
) -> AsyncIterator["Stranger"]:
    """A twin whose clock shows `starts` and runs `speed` times as fast, playing, and a client of it."""
    clock = WallClock(starts_at=at(starts), speed=speed)
    more = {"opens_at": OPENS, "closes_at": CLOSES, "seed": 1} | more
    contracts = more.pop("contracts", {KEY: CONTRACT})
    twin = Twin(clock, contracts, steady() if market is None else market, **more)
    await twin.start()
    playing = asyncio.create_task(twin.run())
    try:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
        async with httpx.AsyncClient(base_url=twin.addresses.rest, headers=headers, timeout=PATIENCE) as http:
            yield Stranger(twin, clock, http)
        assert not playing.done() or playing.exception() is None
    finally:
        playing.cancel()
        await asyncio.wait({playing})
        await twin.stop()


class Stranger:
    """Speaks to the twin as the documents say, and may look at its books."""

    def __init__(self, twin: Twin, clock: WallClock, http: httpx.AsyncClient) -> None:
        self.twin, self.clock, self.http = twin, clock, http

    async def get(self, path: str, **query: str):
        """The `data` of a read that works."""
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["status"] == "success"
        return body["data"]

    async def address(self, stream: str = "v3/feed/market-data-feed", **query: str) -> str:
        data = await self.get(f"/{stream}/authorize", **query)
        assert data["authorized_redirect_uri"] == data["authorizedRedirectUri"]
        return data["authorized_redirect_uri"]

    @asynccontextmanager
    async def market(self, *keys: str, mode: str = "full") -> AsyncIterator[ClientConnection]:
        async with connect(await self.address()) as socket:
            if keys:
                await ask(socket, "sub", *keys, mode=mode)
            yield socket

    @asynccontextmanager
    async def portfolio(self, types: str = "order") -> AsyncIterator[ClientConnection]:
        async with connect(await self.address("v2/feed/portfolio-stream-feed", update_types=types)) as socket:
            await self.until(lambda: sum(self.twin.links.values()) > 0)
            yield socket

    async def place(self, **changes: object) -> httpx.Response:
        return await self.http.post("/v3/order/place", json=order(**changes))

    async def placed(self, **changes: object) -> str:
        """The id of an order that is taken."""
        answer = await self.place(**changes)
        assert answer.status_code == 200, answer.text
        (order_id,) = answer.json()["data"]["order_ids"]
        return order_id

    async def status(self, order_id: str, wanted: str) -> dict:
        """The order's row once its status is `wanted`."""
        found: dict = {}

        async def look() -> bool:
            nonlocal found
            found = await self.get("/v2/order/details", order_id=order_id)
            return found["status"] == wanted

        async with asyncio.timeout(PATIENCE):
            while not await look():
                await asyncio.sleep(0.005)
        return found

    async def until(self, done) -> None:
        async with asyncio.timeout(PATIENCE):
            while not done():
                await asyncio.sleep(0.005)

    async def pause(self, twin_seconds: float) -> None:
        await self.clock.sleep_until(self.clock.now() + round(twin_seconds * SECOND))


def order(**changes: object) -> dict[str, object]:
    """A BUY of one lot at the ask of `steady`, with changes; None leaves a field out."""
    body: dict[str, object] = {
        "quantity": LOT,
        "product": "D",
        "validity": "DAY",
        "price": 300.0,
        "trigger_price": 0,
        "order_type": "LIMIT",
        "transaction_type": "BUY",
        "disclosed_quantity": 0,
        "is_amo": False,
        "instrument_token": KEY,
        "tag": "t1",
    }
    return {name: value for name, value in (body | changes).items() if value is not None}


async def ask(socket: ClientConnection, method: str, *keys: str, mode: str | None = "full") -> None:
    """A request as the documents want it: JSON in a binary frame."""
    data: dict[str, object] = {"instrumentKeys": list(keys)}
    if mode is not None:
        data["mode"] = mode
    await socket.send(orjson.dumps({"guid": "g", "method": method, "data": data}))


async def frame(socket: ClientConnection) -> pb.FeedResponse:
    """The next frame."""
    async with asyncio.timeout(PATIENCE):
        data = await socket.recv()
    assert isinstance(data, bytes)
    return pb.FeedResponse.FromString(data)


async def update(socket: ClientConnection) -> dict:
    """The next update of the portfolio stream."""
    async with asyncio.timeout(PATIENCE):
        text = await socket.recv()
    assert isinstance(text, str)
    return orjson.loads(text)


async def updates_until(socket: ClientConnection, status: str) -> list[dict]:
    """Updates up to and including the first with that status."""
    heard = [await update(socket)]
    while heard[-1].get("status") != status:
        heard.append(await update(socket))
    return heard
