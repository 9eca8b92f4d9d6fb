"""The REST API as routes: who may call, how often, and which handler answers (upstox §1, §5, §6, §7).

What an answer says is the handlers' (rest_orders.py, rest_reads.py); the clock's accounts are the gate's.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.sim.pace import ORDER_SECONDS, READ_SECONDS
from bot.twin import rest_account, rest_login, rest_orders, rest_quotes, rest_reads
from bot.twin.access import Stream
from bot.twin.answers import Answer, Refused, success
from bot.twin.calls import Call, Handler
from bot.twin.control import Inject, control_routes
from bot.twin.faults import FaultKind
from bot.twin.floor import Floor
from bot.twin.gate import CALL

UPDATE_TYPES: Final = frozenset({"order", "gtt_order", "position", "holding"})
ENTRY_PATHS: Final = {
    "/v3/feed/market-data-feed": Stream.MARKET,
    "/v2/feed/portfolio-stream-feed": Stream.PORTFOLIO,
}
ORDER_CALLS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("POST", "/v3/order/place", rest_orders.place_v3),
    ("PUT", "/v3/order/modify", rest_orders.modify_v3),
    ("DELETE", "/v3/order/cancel", rest_orders.cancel_v3),
    ("POST", "/v2/order/place", rest_orders.place_v2),
    ("PUT", "/v2/order/modify", rest_orders.modify_v2),
    ("DELETE", "/v2/order/cancel", rest_orders.cancel_v2),
    ("POST", "/v2/order/positions/exit", rest_orders.exit_positions),
)
OTHER_CALLS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/v2/order/retrieve-all", rest_reads.order_book),
    ("GET", "/v2/order/details", rest_reads.order_details),
    ("GET", "/v2/order/history", rest_reads.order_history),
    ("GET", "/v2/order/trades", rest_reads.order_trades),
    ("GET", "/v2/order/trades/get-trades-for-day", rest_reads.trades_for_day),
    ("GET", "/v2/portfolio/short-term-positions", rest_reads.positions),
    ("GET", "/v2/portfolio/long-term-holdings", rest_reads.holdings),
    ("GET", "/v2/market/status/{exchange}", rest_reads.market_status),
    ("GET", "/v2/option/contract", rest_reads.option_contracts),
    ("GET", "/v2/user/profile", rest_account.profile),
    ("GET", "/v2/user/ip", rest_account.address),
    ("GET", "/v2/user/get-funds-and-margin", rest_account.funds_v2),
    ("GET", "/v3/user/get-funds-and-margin", rest_account.funds_v3),
    ("GET", "/v2/user/kill-switch", rest_account.kill_switch),
    ("POST", "/v2/user/kill-switch", rest_account.set_kill_switch),
    ("GET", "/v2/charges/brokerage", rest_account.brokerage),
    ("POST", "/v2/charges/margin", rest_account.margin),
    ("GET", "/v2/market-quote/ltp", rest_quotes.ltp_v2),
    ("GET", "/v3/market-quote/ltp", rest_quotes.ltp_v3),
    ("GET", "/v2/market-quote/ohlc", rest_quotes.ohlc_v2),
    ("GET", "/v3/market-quote/ohlc", rest_quotes.ohlc_v3),
    ("GET", "/v3/market-quote/option-greek", rest_quotes.option_greeks),
    ("GET", "/v2/market-quote/quotes", rest_quotes.quotes_v2),
    ("GET", "/v3/market-quote/quotes", rest_quotes.quotes_v3),
    ("DELETE", "/v2/logout", rest_login.logout),
)
# Of the login, the static host, and what is public: the official client shows no token for them.
OPEN_CALLS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/v2/login/authorization/dialog", rest_login.dialog),
    ("POST", "/v2/login/authorization/token", rest_login.token),
    ("POST", "/v3/login/auth/token/request/{client_id}", rest_login.request_token),
    ("GET", "/v2/market/timings/{date}", rest_reads.market_timings),
    ("GET", "/v2/market/holidays", rest_reads.market_holidays),
    ("GET", "/v2/market/holidays/{date}", rest_reads.market_holidays),
    ("GET", "/market-quote/instruments/exchange/{name}.json.gz", rest_reads.instrument_master),
)

_Serve = Callable[[Request], Awaitable[Response]]
AddressOf = Callable[[Stream, frozenset[str]], str]  # makes a single-use WebSocket address


def rest_app(floor: Floor, address_of: AddressOf, inject: Inject) -> ASGIApp:
    """The application. `address_of` knows where the WebSockets are, `inject` lets a fault happen."""
    routes = [
        *control_routes(floor, inject),
        *(_route(floor, *row, order=True) for row in ORDER_CALLS),
        *(_route(floor, *row, order=False) for row in OTHER_CALLS),
        *(_route(floor, *row, order=False, guarded=False) for row in OPEN_CALLS),
    ]
    for path, stream in ENTRY_PATHS.items():
        routes.append(_route(floor, "GET", f"{path}/authorize", _authorize(stream, address_of), order=False))
        routes.append(Route(path, _entry(floor, stream, address_of), methods=["GET"]))
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPStatus.NOT_FOUND: _not_found, HTTPStatus.METHOD_NOT_ALLOWED: _not_allowed},
    )
    return _Straight(app, {(method, path): serve for path, method, serve in _plain(routes)})


class _Straight:
    """ASGI around Starlette: calls whose path has no variable part find their handler without trying all
    routes, and without the middlemen.
    """

    def __init__(self, app: ASGIApp, handlers: dict[tuple[str, str], _Serve]) -> None:
        self._app, self._handlers = app, handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        serve = self._handlers.get((scope["method"], scope["path"]))
        if serve is None:
            await self._app(scope, receive, send)
        else:
            response = await serve(Request(scope, receive))
            await response(scope, receive, send)


def _plain(routes: Iterable[Route]) -> Iterator[tuple[str, str, _Serve]]:
    for route in routes:
        if not route.param_convertors:
            yield from ((route.path, method, route.endpoint) for method in route.methods or ())


def update_types(query: Mapping[str, str]) -> frozenset[str]:
    """What a portfolio stream is to carry; `order` when nothing is said (upstox §4)."""
    asked = {word.strip() for word in query.get("update_types", "").split(",")}
    return frozenset(asked & UPDATE_TYPES or {"order"})


def _route(
    floor: Floor, method: str, path: str, handler: Handler, *, order: bool, guarded: bool = True
) -> Route:
    way_there, way_back = ORDER_SECONDS if order else READ_SECONDS

    async def serve(request: Request) -> Response:
        body = b"" if method == "GET" else await request.body()
        asked = request.scope
        pace = floor.pace(
            b"%b %b?%b %b" % (method.encode(), asked["path"].encode(), asked["query_string"], body)
        )
        there, back = pace.uniform(*way_there), pace.uniform(*way_back)
        await floor.sleep(there)
        try:
            now = floor.clock.now()
            if floor.faults.rages(FaultKind.DOWN, now):
                request.scope[CALL].lost = True
                return Response()
            if guarded:
                floor.faults.check(now, order=order)
            token = floor.access.check(request.headers.get("authorization", ""), now) if guarded else ""
            floor.access.count(f"{method} {path}", now, order=order)
            fate, query, parts = request.scope[CALL], request.query_params, request.path_params
            answer = await handler(Call(floor, query, parts, body, token, fate, there, back))
        except Refused as no:
            floor.note(no)
            answer = no.answer
        await floor.sleep(back)
        return _response(answer)

    # Starlette adds HEAD to GET by itself; the broker is not known to.
    route = Route(path, serve, methods=[method])
    route.methods = {method}
    return route


def _authorize(stream: Stream, address_of: AddressOf) -> Handler:
    async def authorize(call: Call) -> Answer:
        """A single-use address, in both casings (upstox §3.1)."""
        uri = address_of(stream, update_types(call.query))
        return success({"authorizedRedirectUri": uri, "authorized_redirect_uri": uri})

    return authorize


def _entry(floor: Floor, stream: Stream, address_of: AddressOf) -> Callable[[Request], Awaitable[Response]]:
    async def entry(request: Request) -> Response:
        """The WebSocket's public address, when asked at this port: 307 (upstox §3.1)."""
        now = floor.clock.now()
        try:
            floor.faults.check(now, order=False)
            floor.access.check(request.headers.get("authorization", ""), now)
        except Refused as no:
            return _response(no.answer)
        uri = address_of(stream, update_types(request.query_params))
        return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": uri})

    return entry


def _response(answer: Answer) -> Response:
    if answer.location:
        return Response(status_code=answer.status, headers={"Location": answer.location})
    content = orjson.dumps(answer.body) if answer.raw is None else answer.raw
    return Response(content, answer.status, media_type=answer.kind)


async def _not_found(_: Request, __: Exception) -> Response:
    return _response(Refused(HTTPStatus.NOT_FOUND, "UDAPI100060", "Resource not Found").answer)


async def _not_allowed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    no = Refused(HTTPStatus.METHOD_NOT_ALLOWED, "UDAPI10000", "The request is not supported")
    response = _response(no.answer)
    response.headers.update(error.headers or {})
    return response
