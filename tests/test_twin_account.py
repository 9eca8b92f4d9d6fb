"""The twin around trading: login, certificate, account, quotes and what is listed, asked by a stranger."""

import asyncio
import gzip
import json
import ssl
from datetime import date
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect

from bot.core.units import SECOND
from bot.storage.calendar_file import packaged
from bot.twin.hours import Hours, holiday_rows
from bot.twin.login import App
from bot.twin.tls import make_certificate
from bot.upstox import wire_calendar
from bot.upstox.auth import expiry_of
from bot.upstox.instrument_file import option, rows
from bot.upstox.market_feed_pb2 import FeedResponse
from tests.conftest import KEY, at
from tests.test_twin import error_of
from tests.twin_client import LOT, OPENS, Stranger, order, playing

BACK = "http://127.0.0.1:9/back"
DIALOG = {"client_id": "twin-client", "redirect_uri": BACK, "response_type": "code", "state": "xyz"}
FORM = {
    "client_id": "twin-client",
    "client_secret": "twin-secret",
    "redirect_uri": BACK,
    "grant_type": "authorization_code",
}
TOKEN_PATH = "/v2/login/authorization/token"
INDEX = "NSE_INDEX|Nifty 50"


@pytest.fixture
async def twin():
    async with playing() as stranger:
        yield stranger


async def code_of(stranger: Stranger, **changes: str) -> str:
    answer = await stranger.http.get("/v2/login/authorization/dialog", params=DIALOG | changes)
    assert answer.status_code == 302, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["state"] == ["xyz"]
    return query["code"][0]


# ---- login -------------------------------------------------------------------------------------------


async def test_a_code_becomes_a_token_once_and_the_token_works_until_half_past_three(twin):
    code = await code_of(twin)
    answer = await twin.http.post(TOKEN_PATH, data=FORM | {"code": code}, headers={"Authorization": ""})
    body = answer.json()  # flat: no envelope
    assert (body["broker"], body["extended_token"]) == ("UPSTOX", None)
    assert expiry_of(body["access_token"]) == at("03:30") + 86_400 * SECOND
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    assert (await twin.http.get("/v2/user/profile", headers=headers)).status_code == 200
    again = await twin.http.post(TOKEN_PATH, data=FORM | {"code": code})
    assert error_of(again) == (401, "UDAPI100057")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "other"}, (400, "UDAPI100069")),
        ({"grant_type": "password"}, (400, "UDAPI100069")),
        ({"redirect_uri": BACK + "/else"}, (400, "UDAPI100069")),
        ({"client_secret": "guess"}, (401, "UDAPI100016")),
        ({"code": "none"}, (401, "UDAPI100057")),
    ],
)
async def test_a_failed_exchange_burns_the_code(twin, changes, code):
    form = FORM | {"code": await code_of(twin)}
    assert error_of(await twin.http.post(TOKEN_PATH, data=form | changes)) == code
    if "code" not in changes:
        assert error_of(await twin.http.post(TOKEN_PATH, data=form)) == (401, "UDAPI100057")


async def test_a_code_dies_within_a_minute(twin):
    code = await code_of(twin)
    await twin.pause(60)
    assert error_of(await twin.http.post(TOKEN_PATH, data=FORM | {"code": code})) == (401, "UDAPI100057")


@pytest.mark.parametrize(
    "changes", [{"client_id": "x"}, {"redirect_uri": "https://evil.example/"}, {"redirect_uri": ""}]
)
async def test_the_dialog_knows_its_app(twin, changes):
    answer = await twin.http.get("/v2/login/authorization/dialog", params=DIALOG | changes)
    assert error_of(answer) == (400, "UDAPI100068")
    assert error_of(await twin.http.post(TOKEN_PATH, content=b"\xff")) == (400, "UDAPI100036")


async def test_an_approved_request_brings_the_token_to_the_notifier():
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def notifier(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length")
        )
        heard.put_nowait(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(notifier, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server, playing(app=App(notifier_url=url)) as twin:
        path = "/v3/login/auth/token/request/twin-client"
        assert error_of(await twin.http.post(path, json={"client_secret": "x"})) == (401, "UDAPI100016")
        answer = await twin.http.post(path, json={"client_secret": "twin-secret"})
        assert answer.json()["data"]["notifier_url"] == url
        assert int(answer.json()["data"]["authorization_expiry"]) > OPENS // 1_000_000
        async with asyncio.timeout(5):
            word = json.loads(await heard.get())
        assert (word["message_type"], word["client_id"]) == ("access_token", "twin-client")
        headers = {"Authorization": f"Bearer {word['access_token']}"}
        assert (await twin.http.get("/v2/user/profile", headers=headers)).status_code == 200


async def test_over_tls_everything_works_for_one_who_trusts_the_file_and_nothing_for_others():
    certificate = make_certificate()
    trust = ssl.create_default_context(cadata=certificate.authority_pem.decode())
    async with playing(tls=certificate) as twin:
        base = twin.twin.addresses.rest
        assert base.startswith("https://")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await twin.http.get("/v2/user/profile")
        async with httpx.AsyncClient(base_url=base, headers=twin.http.headers, verify=trust) as http:
            answer = await http.get("/v3/feed/market-data-feed/authorize")
            uri = answer.json()["data"]["authorized_redirect_uri"]
            assert uri.startswith("wss://127.0.0.1:")
            async with connect(uri, ssl=trust) as socket:
                assert FeedResponse.FromString(await socket.recv()).type == 2


# ---- account -----------------------------------------------------------------------------------------


async def test_the_kill_switch_needs_a_flat_account_cancels_orders_and_bars_new_ones(twin):
    path, on = "/v2/user/kill-switch", [{"segment": "NSE_FO", "action": "ENABLE"}]
    await twin.status(await twin.placed(), "complete")
    assert error_of(await twin.http.post(path, json=on)) == (400, "UDAPI1184")
    await twin.status(await twin.placed(transaction_type="SELL", price=299.8, tag="t2"), "complete")
    resting = await twin.placed(price=290.0, tag="t3")
    await twin.status(resting, "open")
    (row,) = [r for r in (await twin.http.post(path, json=on)).json()["data"] if r["kill_switch_enabled"]]
    assert row == {"segment": "NSE_FO", "segment_status": "INACTIVE", "kill_switch_enabled": True}
    await twin.status(resting, "cancelled")
    rejected = await twin.status(await twin.placed(tag="t4"), "rejected")
    assert "kill switch" in rejected["status_message"]
    off = [{"segment": "NSE_FO", "action": "DISABLE"}]
    assert error_of(await twin.http.post(path, json=off)) == (400, "UDAPI1185")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([{"segment": "XYZ", "action": "ENABLE"}], "UDAPI1181"),
        ([{"segment": "NSE_FO", "action": "TOGGLE"}], "UDAPI1188"),
        ([], "UDAPI100036"),
        ({"segment": "NSE_FO"}, "UDAPI100036"),
    ],
)
async def test_a_wrong_switch_changes_nothing(twin, body, code):
    assert error_of(await twin.http.post("/v2/user/kill-switch", json=body)) == (400, code)
    assert not any(row["kill_switch_enabled"] for row in await twin.get("/v2/user/kill-switch"))


async def test_the_margin_of_a_purchase_is_its_premium(twin):
    row = {"instrument_key": KEY, "quantity": LOT, "product": "D", "transaction_type": "BUY", "price": 300}
    answer = await twin.http.post("/v2/charges/margin", json={"instruments": [row, row]})
    assert answer.json()["data"]["required_margin"] == 2 * LOT * 300
    for bad in ([], [row] * 21, [row | {"quantity": 0}], [row | {"price": "x"}], ["x"], None):
        answer = await twin.http.post("/v2/charges/margin", json={"instruments": bad})
        assert error_of(answer) == (400, "UDAPI100036")


# ---- quotes and listings -----------------------------------------------------------------------------


async def test_every_quote_is_of_the_same_market(twin):
    await twin.pause(0.5)
    name = "NSE_FO:NIFTY25000CE"
    paths = ("v2/market-quote/ltp", "v3/market-quote/ltp", "v2/market-quote/quotes", "v3/market-quote/quotes")
    for path in (*paths, "v3/market-quote/option-greek"):
        row = (await twin.get(f"/{path}", instrument_key=KEY))[name]
        assert row["instrument_token"] == KEY
        assert row["last_price"] in {300.0, 299.95}, path
    for path, candle in (("v2/market-quote/ohlc", "ohlc"), ("v3/market-quote/ohlc", "live_ohlc")):
        row = (await twin.get(f"/{path}", instrument_key=KEY, interval="1d"))[name]
        assert (row[candle]["high"], row[candle]["low"]) == (300.0, 299.95)
        wrong = await twin.http.get(f"/{path}", params={"instrument_key": KEY, "interval": "2d"})
        assert error_of(wrong) == (400, "UDAPI100036")
    many = {"instrument_key": ",".join([KEY] * 51)}
    answer = await twin.http.get("/v3/market-quote/option-greek", params=many)
    assert error_of(answer) == (400, "UDAPI100042")


async def test_the_instrument_file_is_read_by_the_bots_own_reader_and_every_key_has_a_quote(twin):
    answer = await twin.http.get(
        "/market-quote/instruments/exchange/complete.json.gz", headers={"Authorization": ""}
    )
    listed = list(rows(iter([answer.content])))
    assert json.loads(gzip.decompress(answer.content)) == listed
    options = [option(row) for row in listed if row["instrument_type"] in {"CE", "PE"}]
    played = next(one for one in options if one.key == KEY)
    assert (played.underlying, played.underlying_key, played.lot, played.tick) == ("NIFTY", INDEX, LOT, 5)
    assert (played.freeze_quantity, played.strike) == (1800, 25_000_00)
    assert len({(one.strike, one.option_type, one.expiry) for one in options}) == len(options) >= 40
    keys = [row["instrument_key"] for row in listed]
    assert len(set(keys)) == len(keys)
    quotes = await twin.get("/v3/market-quote/ltp", instrument_key=",".join(keys))
    prices = {row["instrument_token"]: row["last_price"] for row in quotes.values()}
    assert prices.keys() == set(keys)
    assert prices[INDEX] == 25_000
    calls = sorted((one.strike, prices[one.key]) for one in options if one.option_type == "CE" and
                   one.expiry == played.expiry)  # fmt: skip
    assert [price for _, price in calls] == sorted((price for _, price in calls), reverse=True)
    assert (await twin.http.get("/market-quote/instruments/exchange/moon.json.gz")).status_code == 404


async def test_what_is_listed_and_not_played_cannot_be_traded(twin):
    contracts = await twin.get("/v2/option/contract", instrument_key=INDEX, expiry_date="2026-09-22")
    other = next(row["instrument_key"] for row in contracts if row["instrument_key"] != KEY)
    answer = await twin.http.post("/v3/order/place", json=order(instrument_token=other))
    assert error_of(answer) == (400, "UDAPI100011")


# ---- the calendar ------------------------------------------------------------------------------------


def test_the_twin_tells_the_years_holidays_as_the_bots_calendar_has_them():
    """Out as the broker writes them, back in through the bot's reader: the same days, the same hours."""
    calendar = packaged()
    hours = Hours(OPENS, at("15:40"), holiday_rows(calendar, 2026))
    notices = wire_calendar.holidays(list(hours.holidays))
    assert len(notices) > 10
    for notice in notices:
        expected = calendar.hours_on(notice.day)
        told = wire_calendar.timings(hours.timings(notice.day), notice.day)
        assert told == ({"NSE": expected, "BSE": expected} if expected else {}), notice


def test_who_is_open_counts_not_the_type_of_the_holiday():
    """upstox §6.3: a day on which everything trades may be called a trading holiday."""
    row = {"date": "2026-10-01", "description": "", "holiday_type": "TRADING_HOLIDAY", "closed_exchanges": []}
    shut = {"closed_exchanges": ["NFO"], "open_exchanges": []}
    for day, wanted in (
        (row, True),
        (row | shut, False),
        (row | shut | {"holiday_type": "SETTLEMENT_HOLIDAY"}, True),
        (row | shut | {"holiday_type": "SPECIAL_TIMING"}, False),
    ):
        told = {one["exchange"] for one in Hours(OPENS, at("15:40"), [day]).timings(date(2026, 10, 1))}
        assert ("NFO" in told) is wanted
        assert "BFO" in told
