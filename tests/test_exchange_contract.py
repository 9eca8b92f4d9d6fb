"""One contract, two exchanges: what the simulated exchange promises in memory holds through the twin's wire.

The bot is simulated against the one and lives its demo against the other: they must be the same venue.
"""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any, NamedTuple

import pytest

from bot.core.units import SECOND
from bot.sim.exchange import ExchangeRules, OrderRequest, SimExchange, SimReply
from tests.conftest import KEY, at
from tests.twin_client import CLOSES, CONTRACT, LOT, OPENS, PATIENCE, Stranger, order, playing

SETTLED = {"complete", "open", "cancelled", "rejected", "trigger pending"}
DONE = ""  # the code of what is not refused


class Row(NamedTuple):
    status: str
    filled: int
    average: float  # rupees


class InMemory:
    """Calls, and time put forward by hand."""

    def __init__(self) -> None:
        self.at = at("09:15:10")
        self.exchange = SimExchange({KEY: CONTRACT}, Random(1), ExchangeRules(), OPENS, CLOSES)

    async def show(self, ltp: int, size: int = 10 * LOT) -> None:
        show(self.exchange, self.at, ltp, size)

    async def place(self, **changes: Any) -> tuple[str, str]:
        body = order(**changes)
        reply = self.exchange.place(
            self.at,
            OrderRequest(
                str(body["instrument_token"]),
                str(body["transaction_type"]),
                str(body["order_type"]),
                str(body["product"]),
                str(body["validity"]),
                int(str(body["quantity"])),
                round(float(str(body["price"])) * 100),
                round(float(str(body["trigger_price"])) * 100),
                str(body["tag"]),
            ),
        )
        return reply.order_id, _code(reply)

    async def modify(self, order_id: str, price: float) -> str:
        return _code(
            self.exchange.modify(
                self.at,
                order_id,
                quantity=None,
                order_type="LIMIT",
                validity="DAY",
                price=round(price * 100),
                trigger_price=0,
            )
        )

    async def cancel(self, order_id: str) -> str:
        return _code(self.exchange.cancel(self.at, order_id))

    async def exit(self, tag: str) -> tuple[str, str]:
        (reply,) = self.exchange.exit_positions(self.at, tag)
        return reply.order_id, _code(reply)

    async def settled(self, order_id: str) -> Row:
        self.at += SECOND
        self.exchange.advance(self.at)
        row = self.exchange.order(order_id)
        assert row is not None
        assert row.status in SETTLED
        average = row.filled_value / row.filled_quantity / 100 if row.filled_quantity else 0.0
        return Row(row.status, row.filled_quantity, average)

    async def words(self, order_id: str) -> list[str]:
        return [row.status for row in self.exchange.history(order_id)]

    async def trades(self, order_id: str) -> list[tuple[str, int, float]]:
        return [(one.side, one.quantity, one.price / 100) for one in self.exchange.trades(order_id)]

    async def position(self) -> int:
        return sum(one.quantity for one in self.exchange.positions())


class OverTheWire:
    """HTTP to the twin, as a stranger; only the market is shown to it directly."""

    def __init__(self, stranger: Stranger) -> None:
        self.stranger = stranger

    async def show(self, ltp: int, size: int = 10 * LOT) -> None:
        show(self.stranger.twin.exchange, self.stranger.clock.now(), ltp, size)

    async def place(self, **changes: Any) -> tuple[str, str]:
        answer = await self.stranger.place(**changes)
        body = answer.json()
        return (body["data"]["order_ids"][0], DONE) if answer.is_success else ("", _refused(body))

    async def modify(self, order_id: str, price: float) -> str:
        change = {"order_id": order_id, "validity": "DAY", "order_type": "LIMIT", "trigger_price": 0}
        answer = await self.stranger.http.put("/v3/order/modify", json=change | {"price": price})
        return DONE if answer.is_success else _refused(answer.json())

    async def cancel(self, order_id: str) -> str:
        answer = await self.stranger.http.delete("/v3/order/cancel", params={"order_id": order_id})
        return DONE if answer.is_success else _refused(answer.json())

    async def exit(self, tag: str) -> tuple[str, str]:
        answer = await self.stranger.http.post("/v2/order/positions/exit", params={"tag": tag})
        body = answer.json()
        return (body["data"]["order_ids"][0], DONE) if answer.is_success else ("", _refused(body))

    async def settled(self, order_id: str) -> Row:
        await self.stranger.pause(1)
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.stranger.get("/v2/order/details", order_id=order_id)
                if row["status"] in SETTLED:
                    return Row(row["status"], row["filled_quantity"], row["average_price"])

    async def words(self, order_id: str) -> list[str]:
        rows = await self.stranger.get("/v2/order/history", order_id=order_id)
        return [row["status"] for row in rows]

    async def trades(self, order_id: str) -> list[tuple[str, int, float]]:
        rows = await self.stranger.get("/v2/order/trades", order_id=order_id)
        return [(row["transaction_type"], row["quantity"], row["average_price"]) for row in rows]

    async def position(self) -> int:
        return sum(row["quantity"] for row in await self.stranger.get("/v2/portfolio/short-term-positions"))


def show(exchange: SimExchange, now: int, ltp: int, size: int) -> None:
    exchange.market(now, KEY, ltp=ltp, ltq=LOT, bid=ltp - 20, ask=ltp, bid_quantity=size, ask_quantity=size)


def _code(reply: SimReply) -> str:
    return DONE if reply.ok else reply.code


def _refused(body: dict[str, Any]) -> str:
    return str(body["errors"][0]["errorCode"])


Venue = InMemory | OverTheWire


@pytest.fixture(params=["in memory", "over the wire"])
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[Venue]:
    if request.param == "in memory":
        made: Venue = InMemory()
        await made.show(300_00)
        yield made
        return
    async with playing(iter(()), starts="09:15:10") as stranger:
        made = OverTheWire(stranger)
        await made.show(300_00)
        yield made


async def test_a_marketable_limit_pays_the_ask_and_says_the_documented_words(venue: Venue) -> None:
    order_id, code = await venue.place(price=301.0)
    assert code == DONE
    assert await venue.settled(order_id) == Row("complete", LOT, 300.0)
    taken = ["put order req received", "validation pending", "open pending"]
    assert await venue.words(order_id) == [*taken, "complete"]
    assert await venue.trades(order_id) == [("BUY", LOT, 300.0)]
    assert await venue.position() == LOT


async def test_what_rests_trades_at_its_own_price_when_the_market_comes(venue: Venue) -> None:
    order_id, _ = await venue.place(price=299.0)
    assert await venue.settled(order_id) == Row("open", 0, 0.0)
    await venue.show(298_00)
    assert await venue.settled(order_id) == Row("complete", LOT, 299.0)


async def test_a_big_order_fills_by_the_size_at_the_touch(venue: Venue) -> None:
    await venue.show(300_00, size=2 * LOT)
    order_id, _ = await venue.place(price=300.0, quantity=5 * LOT)
    assert await venue.settled(order_id) == Row("open", 2 * LOT, 300.0)
    assert await venue.cancel(order_id) == DONE
    assert await venue.settled(order_id) == Row("cancelled", 2 * LOT, 300.0)
    assert await venue.position() == 2 * LOT


async def test_a_modify_moves_the_price_and_a_finished_order_takes_neither_modify_nor_cancel(
    venue: Venue,
) -> None:
    order_id, _ = await venue.place(price=290.0)
    assert (await venue.settled(order_id)).status == "open"
    assert await venue.modify(order_id, 300.0) == DONE
    assert await venue.settled(order_id) == Row("complete", LOT, 300.0)
    assert await venue.modify(order_id, 301.0) == "UDAPI100041"
    assert await venue.cancel(order_id) == "UDAPI100040"


async def test_an_order_nobody_knows_is_refused(venue: Venue) -> None:
    assert await venue.cancel("260916000000000") == "UDAPI100010"
    assert await venue.modify("260916000000000", 300.0) == "UDAPI100010"


@pytest.mark.parametrize(
    "changes", [{"quantity": LOT + 1}, {"price": 300.01}, {"quantity": 0}, {"instrument_token": "NSE_FO|1"}]
)
async def test_what_is_no_order_of_this_venue_is_refused_or_rejected_and_leaves_nothing(
    venue: Venue, changes: dict[str, Any]
) -> None:
    order_id, code = await venue.place(**changes)
    if code == DONE:
        assert (await venue.settled(order_id)).status == "rejected"
    assert await venue.position() == 0


async def test_a_stop_waits_and_sells_at_the_bid_once_the_price_is_there(venue: Venue) -> None:
    bought, _ = await venue.place(price=300.0)
    await venue.settled(bought)
    stop, code = await venue.place(
        transaction_type="SELL", order_type="SL", price=225.0, trigger_price=250.0, tag="stop"
    )
    assert code == DONE
    assert (await venue.settled(stop)).status == "trigger pending"
    await venue.show(260_00)
    assert (await venue.settled(stop)).status == "trigger pending"
    await venue.show(249_00)
    assert await venue.settled(stop) == Row("complete", LOT, 248.8)
    assert await venue.position() == 0


async def test_positions_exit_sells_what_the_tag_holds_and_nothing_else(venue: Venue) -> None:
    assert await venue.exit("mine") == ("", "UDAPI1113")
    for tag, lots in (("mine", 2), ("others", 1)):
        order_id, _ = await venue.place(price=300.0, quantity=lots * LOT, tag=tag)
        await venue.settled(order_id)
    sold, code = await venue.exit("mine")
    assert code == DONE
    assert await venue.settled(sold) == Row("complete", 2 * LOT, 299.8)
    assert await venue.position() == LOT
