"""The REST calls of one Upstox account, with typed answers. What an answer means is decided in
wire_answers.py, how bytes travel in line.py; what follows from it, elsewhere.

It must never send an order call twice, let a token or a single-use address into a text, or ask for the
time except through the Clock port.
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from http import HTTPStatus
from typing import Final, TypeVar

import httpx
import orjson

from bot.core.calendar import Hours
from bot.core.calendar_update import Notice
from bot.core.commands import CancelOrder, ModifyOrder, PlaceOrder, Reason
from bot.core.events import OrderReport, Outcome, PositionRow, Side
from bot.core.units import SECOND, InstrumentKey, Nanos, Paise, Quantity
from bot.run.ports import Clock
from bot.upstox import wire_account, wire_calendar
from bot.upstox import wire_orders as wire
from bot.upstox.line import Access, Line
from bot.upstox.reconnect import AuthorizeFailed
from bot.upstox.throttle import ORDER_LIMITS, READ_LIMITS, Throttle
from bot.upstox.wire_answers import Answer, CallResult, ReadFailed, order_result, read_data

CONNECT_SECONDS: Final = 2.0
TOTAL_SECONDS: Final = 5.0  # hazards A4
READ_ATTEMPTS: Final = 2
READ_PAUSE: Final = SECOND // 2
ENTRY_WAITS: Final = SECOND  # an entry that would wait longer for its turn has a price of the past
_PASSING: Final = frozenset({"network", "timeout", "server"})  # what a second read may cure

_T = TypeVar("_T")


@dataclass(frozen=True)
class Hosts:
    """Base addresses. Placing, modifying and cancelling have a host of their own (upstox §1.1)."""

    api: str = "https://api.upstox.com"
    orders: str = "https://api-hft.upstox.com"


LIVE_HOSTS: Final = Hosts()


@cache
def _usual_roots() -> ssl.SSLContext:
    """Reading them takes 25 ms: once a process."""
    trust = httpx.create_ssl_context()
    trust.set_alpn_protocols(["http/1.1"])
    return trust


class UpstoxRest:
    """Order calls give a CallResult, reads their rows or ReadFailed. `token` is called at each request."""

    def __init__(
        self,
        clock: Clock,
        token: Callable[[], str],
        hosts: Hosts = LIVE_HOSTS,
        *,
        algo_name: str = "",
        connect_seconds: float = CONNECT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`algo_name`: only for a registered algo (upstox §1.2). `trust`: other roots than the usual ones."""
        trust = trust or _usual_roots()
        self._book = wire.OrderBook()
        self._book_read: tuple[Answer, object] | None = None  # the last answer, and its data
        self._clock = clock
        self._token = token
        # Connects over IPv6 hang at the order host (upstox §1.1, §8.16), and an order must leave from the
        # registered address. positions/exit is at the other host, and counts as an order.
        self._orders, self._exits = (
            Line(
                clock,
                host,
                Throttle(clock, ORDER_LIMITS),
                connect_seconds=connect_seconds,
                total_seconds=total_seconds,
                trust=trust,
                headers={"X-Algo-Name": algo_name} if algo_name else {},
                ipv4_only=True,
            )
            for host in (hosts.orders, hosts.api)
        )
        self._reads = Line(
            clock,
            hosts.api,
            Throttle(clock, READ_LIMITS),
            connect_seconds=connect_seconds,
            total_seconds=total_seconds,
            trust=trust,
            headers={},
        )
        self._schemes = ("wss://",) if hosts.api.startswith("https:") else ("ws://", "wss://")

    async def aclose(self) -> None:
        """Close all connections. Call it on the loop that used them."""
        await self._orders.aclose()
        await self._exits.aclose()
        await self._reads.aclose()

    @property
    def orders_access(self) -> Access:
        """Whether the order host lets us in, as of its last answer."""
        return self._orders.access

    @property
    def reads_access(self) -> Access:
        return self._reads.access

    @property
    def clock_skew(self) -> Nanos | None:
        """Our clock less the broker's, by the `Date` of its last answer; good to a second. None: not told."""
        skews = [skew for skew in (self._reads.skew, self._orders.skew) if skew is not None]
        return min(skews, key=abs) if skews else None

    # ---- orders: one request each, whatever happens --------------------------------------------------

    async def place(self, command: PlaceOrder) -> CallResult:
        """POST /v3/order/place. An entry gives way to exits when the rate is short."""
        urgent = command.reason is not Reason.ENTRY
        return await self._order("POST", "/v3/order/place", {}, wire.place_body(command), urgent=urgent)

    async def modify(self, command: ModifyOrder) -> CallResult:
        """PUT /v3/order/modify."""
        return await self._order("PUT", "/v3/order/modify", {}, wire.modify_body(command), urgent=True)

    async def cancel(self, command: CancelOrder) -> CallResult:
        """DELETE /v3/order/cancel; the empty body is what the official client sends (upstox §5.2)."""
        return await self._order("DELETE", "/v3/order/cancel", wire.cancel_query(command), {}, urgent=True)

    async def exit_positions(self, command: PlaceOrder) -> CallResult:
        """POST /v2/order/positions/exit of one entry's tag, in one segment. Never without a tag: that would
        close the owner's other trades (upstox §5.3). It is at the other host, and counts as an order.
        """
        query = wire.exit_query(command)
        return await self._order("POST", "/v2/order/positions/exit", query, {}, urgent=True, host=self._exits)

    async def _order(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: wire.Json,
        *,
        urgent: bool,
        host: Line | None = None,
    ) -> CallResult:
        if not await self._orders.throttle.take(urgent=urgent, wait_max=None if urgent else ENTRY_WAITS):
            return CallResult(Outcome.REFUSED, (), "LOCAL_LIMIT", "not sent: our own order rate is used up")
        token = self._token()
        line = host or self._orders
        result = order_result(await line.exchange(method, path, token, query, orjson.dumps(body)))
        return result._replace(
            message=result.message.replace(token, "***")
        )  # a server may repeat what it got

    # ---- reads: tried twice when the failure may pass ------------------------------------------------

    async def order_book(self) -> tuple[OrderReport, ...]:
        """The day's orders, from all of the user's channels."""
        data = await self._read("/v2/order/retrieve-all", read=self._book_data)
        return _rows(lambda: self._book.decode(data, self._clock.now(), self._clock.monotonic()))

    async def positions(self) -> tuple[PositionRow, ...]:
        """The day's positions, flat ones included."""
        data = await self._read("/v2/portfolio/short-term-positions")
        return _rows(lambda: wire.position_rows(data))

    async def trades_for_day(self) -> tuple[wire.TradeRow, ...]:
        """The day's executions."""
        data = await self._read("/v2/order/trades/get-trades-for-day")
        return _rows(lambda: wire.trade_rows(data))

    async def profile(self) -> dict[str, object]:
        """The cheap proof that a token works (upstox §2.2)."""
        return _mapping(await self._read("/v2/user/profile"))

    async def funds(self) -> dict[str, object]:
        """`available_to_trade` and the rest, in rupees, as the broker gives it (upstox §6.2)."""
        return _mapping(await self._read("/v3/user/get-funds-and-margin"))

    async def identity(self) -> wire_account.Identity:
        """Whose token this is: the profile, read."""
        data = await self._read("/v2/user/profile")
        return _rows(lambda: wire_account.identity(data))

    async def available(self) -> Paise:
        """What can be traded with. Closed from midnight to 05:30 (ReadFailed "shut", upstox §6.2)."""
        data = await self._read("/v3/user/get-funds-and-margin")
        return _rows(lambda: wire_account.available(data))

    async def last_prices(self, keys: Sequence[InstrumentKey]) -> dict[InstrumentKey, Paise]:
        """Last traded prices; a key without one is left out."""
        data = await self._read("/v3/market-quote/ltp", {"instrument_key": ",".join(keys)})
        return _rows(lambda: wire_account.last_prices(data, keys))

    async def charges(
        self, key: InstrumentKey, side: Side, quantity: Quantity, price: Paise, product: str
    ) -> Paise:
        """What the broker says one executed order would cost."""
        query = {
            "instrument_token": key,
            "quantity": str(quantity),
            "product": product,
            "transaction_type": side.value,
            "price": f"{price / 100:.2f}",
        }
        data = await self._read("/v2/charges/brokerage", query)
        return _rows(lambda: wire_account.charges_total(data))

    async def timings(self, day: date) -> dict[str, Hours]:
        """When equity derivatives trade on `day`, by exchange (NSE, BSE); one that is missing is shut."""
        data = await self._read(f"/v2/market/timings/{day.isoformat()}")
        return _rows(lambda: wire_calendar.timings(data, day))

    async def holidays(self) -> tuple[Notice, ...]:
        """The broker's list of days that are not regular, of the current year (upstox §6.3)."""
        data = await self._read("/v2/market/holidays")
        return _rows(lambda: wire_calendar.holidays(data))

    async def authorize_market(self) -> str:
        """A single-use WebSocket address for the market feed: secret, use at once. Raises AuthorizeFailed."""
        return await self._authorize("/v3/feed/market-data-feed/authorize", {})

    async def authorize_portfolio(self) -> str:
        """The same for the stream of order updates."""
        return await self._authorize("/v2/feed/portfolio-stream-feed/authorize", {"update_types": "order"})

    async def _authorize(self, path: str, query: dict[str, str]) -> str:
        try:
            data = _mapping(await self._read(path, query, attempts=1))  # the caller has a backoff of its own
        except ReadFailed as failure:
            raise AuthorizeFailed(failure.status or None, failure.code) from None
        address = data.get("authorized_redirect_uri") or data.get("authorizedRedirectUri")  # upstox §3.1
        if not isinstance(address, str) or not address.startswith(self._schemes):
            raise AuthorizeFailed(HTTPStatus.OK, "NO_ADDRESS")
        return address

    def _book_data(self, answer: Answer) -> object:
        """`read_data`, but the same bytes are not parsed twice: while a stop rests, most readings of the book
        are the one before.
        """
        if self._book_read is None or self._book_read[0] != answer:
            self._book_read = answer, read_data(answer)
        return self._book_read[1]

    async def _read(
        self,
        path: str,
        query: dict[str, str] | None = None,
        *,
        attempts: int = READ_ATTEMPTS,
        read: Callable[[Answer], object] = read_data,
    ) -> object:
        left = attempts
        while True:
            await self._reads.throttle.take()
            left -= 1
            try:
                return read(await self._reads.exchange("GET", path, self._token(), query or {}))
            except ReadFailed as failure:
                if not left or failure.reason not in _PASSING:
                    raise
            await self._clock.sleep_until(self._clock.now() + READ_PAUSE)


def _rows(decode: Callable[[], _T]) -> _T:
    try:
        return decode()
    except wire.WireError as error:  # its text names a field, never a value
        raise ReadFailed("garbled", HTTPStatus.OK, str(error)) from None


def _mapping(data: object) -> dict[str, object]:
    if not isinstance(data, dict):
        raise ReadFailed("garbled", HTTPStatus.OK, "")
    return data
