"""The official Upstox client, unchanged, in talk with a twin. Runs in .venv-sdk, where nothing of ours is.

`python sdk_talks.py REST_PORT CA_FILE INSTRUMENT INDEX` prints one JSON object: what it did and heard, and
every field its models know that an answer of the twin lacked. Only addresses differ: names lead to loopback.
"""

import http.server
import json
import socket
import sys
import threading
import time
import uuid
from urllib.parse import parse_qs, urlsplit

import upstox_client
from google.protobuf.descriptor_pool import Default
from upstox_client.feeder.proto import MarketDataFeedV3_pb2
from upstox_client.rest import ApiException

REST_PORT, CA_FILE, KEY, INDEX = int(sys.argv[1]), *sys.argv[2:5]
HOSTS = ("api.upstox.com", "api-hft.upstox.com")
PATIENCE = 20.0
report: dict = {"missing": {}, "asked": []}

resolve = socket.getaddrinfo


def to_loopback(host, port, *rest, **more):
    """The one thing that is changed: where the broker's names lead."""
    if host in HOSTS:
        return resolve("127.0.0.1", REST_PORT, *rest, **more)
    assert host == "127.0.0.1", f"the client went to {host}, which is not the twin"
    return resolve(host, port, *rest, **more)


socket.getaddrinfo = to_loopback


def until(done):
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, f"nothing came within {PATIENCE} s; so far {report}"
        time.sleep(0.01)


# ---- what a model knows and an answer lacked -------------------------------------------------------------


def lacking(model, raw, path):
    """Paths of the model's fields that the raw answer did not have."""
    if isinstance(model, list):
        return [gap for one, part in zip(model, raw, strict=True) for gap in lacking(one, part, f"{path}[]")]
    if hasattr(model, "attribute_map") and isinstance(raw, dict):
        gaps = []
        for attribute, name in model.attribute_map.items():
            if name not in raw:
                gaps.append(f"{path}.{name}")
            else:
                gaps += lacking(getattr(model, attribute), raw[name], f"{path}.{name}")
        return gaps
    if isinstance(model, dict) and isinstance(raw, dict):
        return [gap for key in model for gap in lacking(model[key], raw[key], f"{path}{{}}")]
    return []


def ask(call, *args, **more):
    """One call; its answer as the client understood it."""
    name = f"{type(call.__self__).__name__}.{call.__name__}"
    answer = call(*args, **more)
    raw = json.loads(call.__self__.api_client.last_response.data)
    gaps = sorted(set(lacking(answer, raw, "")))
    if gaps:
        report["missing"][name] = gaps
    report["asked"].append(name)
    return answer


# ---- login -----------------------------------------------------------------------------------------------


class Landing(http.server.BaseHTTPRequestHandler):
    """Where the dialog sends the browser back to."""

    query = None

    def do_GET(self):
        Landing.query = parse_qs(urlsplit(self.path).query)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def logged_in(configuration):
    landing = http.server.HTTPServer(("127.0.0.1", 0), Landing)
    threading.Thread(target=landing.serve_forever, daemon=True).start()
    back = f"http://127.0.0.1:{landing.server_port}/back"
    login = upstox_client.LoginApi(upstox_client.ApiClient(configuration))
    login.authorize("twin-client", back, "2.0", state="s1")
    landing.shutdown()
    assert Landing.query["state"] == ["s1"]
    form = {
        "code": Landing.query["code"][0],
        "client_id": "twin-client",
        "client_secret": "twin-secret",
        "redirect_uri": back,
        "grant_type": "authorization_code",
    }
    token = ask(login.token, "2.0", **form).access_token
    try:
        login.token("2.0", **form)
    except ApiException as no:
        report["code_used_twice"] = code_of(no)
    request = upstox_client.IndieUserTokenRequest(client_secret="twin-secret")
    ask(login.init_token_request_for_indie_user, request, "twin-client")
    return token


def code_of(no):
    return [no.status, json.loads(no.body)["errors"][0]["errorCode"]]


# ---- the streams -----------------------------------------------------------------------------------------


def listening(streamer):
    """What a connected streamer hears: messages and events."""
    heard, events = [], []
    streamer.on("message", heard.append)
    for event in ("open", "close", "error", "reconnecting"):
        streamer.on(event, lambda *words, event=event: events.append([event, *map(str, words)]))
    streamer.connect()
    until(lambda: ["open"] in events)
    return heard, events


def market(client):
    streamer = upstox_client.MarketDataStreamerV3(client, [KEY], "full")
    heard, events = listening(streamer)
    until(lambda: len([m for m in heard if m.get("type") == "live_feed"]) >= 3)
    report["market_first"] = heard[0]
    report["market_types"] = [m.get("type", "initial_feed") for m in heard[:3]]
    report["market_full"] = next(m for m in heard if m.get("type", "initial_feed") == "initial_feed")["feeds"]
    for mode, shape in (("ltpc", "ltpc"), ("option_greeks", "firstLevelWithGreeks"), ("full", "fullFeed")):
        streamer.change_mode([KEY], mode)
        until(lambda shape=shape: any(shape in m.get("feeds", {}).get(KEY, {}) for m in heard[-3:]))
    streamer.unsubscribe([KEY])
    time.sleep(0.3)
    quiet_since = len(heard)
    time.sleep(0.5)
    report["market_after_unsub"] = len(heard) - quiet_since
    streamer.subscribe([KEY], "full")
    until(lambda: len(heard) > quiet_since + 1)
    report["market_events"] = list(events)
    streamer.disconnect()


# ---- orders ----------------------------------------------------------------------------------------------


def orders(client):
    streamer = upstox_client.PortfolioDataStreamer(client, position_update=True)
    heard, events = listening(streamer)
    words = []

    def said(order_id, status):
        words[:] = [json.loads(text) for text in heard]
        return any(w.get("order_id") == order_id and w["status"] == status for w in words)

    api = upstox_client.OrderApiV3(client)
    old = upstox_client.OrderApi(client)

    def place(price, side="BUY", tag="sdk"):
        body = upstox_client.PlaceOrderV3Request(
            quantity=75, product="D", validity="DAY", price=price, tag=tag, instrument_token=KEY,
            order_type="LIMIT", transaction_type=side, disclosed_quantity=0, trigger_price=0.0,
            is_amo=False, slice=False,
        )  # fmt: skip
        (order_id,) = ask(api.place_order, body).data.order_ids
        return order_id

    resting = place(290.0)
    until(lambda: said(resting, "open"))
    change = upstox_client.ModifyOrderRequest(
        order_id=resting, quantity=75, validity="DAY", price=291.0, order_type="LIMIT",
        disclosed_quantity=0, trigger_price=0.0,
    )  # fmt: skip
    assert ask(api.modify_order, change).data.order_id == resting
    until(lambda: said(resting, "modified"))
    assert ask(api.cancel_order, resting).data.order_id == resting
    until(lambda: said(resting, "cancelled"))
    bought = place(300.0)
    until(lambda: said(bought, "complete"))
    until(lambda: said(bought, "complete") and any(w["update_type"] == "position" for w in words))
    report["last_update"] = next(
        w for w in words if w.get("order_id") == bought and w["status"] == "complete"
    )
    report["position_update"] = next(w for w in words if w["update_type"] == "position")
    book = ask(old.get_order_book, "2.0").data
    report["book"] = {row.order_id: [row.status, row.price, row.tag] for row in book}
    report["details"] = ask(old.get_order_status, order_id=bought).data.status
    report["history"] = [row.status for row in ask(old.get_order_details, "2.0", order_id=resting).data]
    report["trades"] = [row.quantity for row in ask(old.get_trades_by_order, bought, "2.0").data]
    report["day_trades"] = len(ask(old.get_trade_history, "2.0").data)
    portfolio = upstox_client.PortfolioApi(client)
    report["positions"] = [[p.quantity, p.average_price] for p in ask(portfolio.get_positions, "2.0").data]
    report["holdings"] = ask(portfolio.get_holdings, "2.0").data
    try:
        api.cancel_order(resting)
    except ApiException as no:
        report["cancel_of_final"] = code_of(no)
    exits = ask(old.exit_positions, tag="sdk")
    report["exit"] = [exits.status, len(exits.data.order_ids), exits.summary.success]
    until(lambda: said(exits.data.order_ids[0], "complete"))
    report["portfolio_events"] = list(events)
    streamer.disconnect()
    report["orders"] = [resting, bought]


# ---- reads -----------------------------------------------------------------------------------------------


def reads(client):
    user, times = upstox_client.UserApi(client), upstox_client.MarketHolidaysAndTimingsApi(client)
    quotes, quotes_v3 = upstox_client.MarketQuoteApi(client), upstox_client.MarketQuoteV3Api(client)
    charges = upstox_client.ChargeApi(client)
    report["profile"] = ask(user.get_profile, "2.0").data.user_id
    report["funds"] = ask(user.get_user_fund_margin, "2.0").data["equity"].available_margin
    report["funds_v3"] = ask(user.get_user_fund_margin_v3).data.available_to_trade.total
    ask(user.get_user_ips)
    report["kill_switch"] = len(ask(user.get_kill_switch).data)
    switch = [upstox_client.KillSwitchSegmentUpdateRequest(segment="MCX_FO", action="ENABLE")]
    report["killed"] = [
        row["segment"] for row in ask(user.update_kill_switch, switch).data if row["kill_switch_enabled"]
    ]
    report["holidays"] = [str(row._date) for row in ask(times.get_holidays).data]
    ask(times.get_holiday, "2026-10-02")
    report["timings"] = {
        row.exchange: row.end_time for row in ask(times.get_exchange_timings, "2026-09-16").data
    }
    report["status"] = ask(times.get_market_status, "NFO").data.status
    ltp = ask(quotes_v3.get_ltp, instrument_key=f"{KEY},{INDEX}").data
    report["ltp"] = {row.instrument_token: row.last_price for row in ltp.values()}
    ask(quotes.ltp, KEY, "2.0")
    ask(quotes.get_full_market_quote, KEY, "2.0")
    ask(quotes.get_market_quote_ohlc, KEY, "1d", "2.0")
    ask(quotes_v3.get_market_quote_ohlc, "1d", instrument_key=KEY)
    ask(quotes_v3.get_market_quote_option_greek, instrument_key=KEY)
    ask(quotes_v3.get_full_market_quote_v3, instrument_key=KEY)
    costs = ask(charges.get_brokerage, KEY, 75, "D", "BUY", 300.0, "2.0").data.charges
    report["brokerage"] = [costs.total > 0, costs.taxes.gst > 0, costs.other_taxes.sebi_turnover >= 0]
    instrument = upstox_client.Instrument(KEY, 75, "D", "BUY", price=300.0)
    report["margin"] = ask(charges.post_margin, upstox_client.MarginRequest([instrument])).data.final_margin
    contracts = ask(upstox_client.OptionsApi(client).get_option_contracts, INDEX).data
    report["contracts"] = [row.instrument_key for row in contracts]


def main():
    report["version"] = upstox_client.ApiClient().default_headers["X-Upstox-SDK-Version"]
    report["stdlib_uuid"] = "site-packages" not in uuid.__file__
    schema = Default().FindMessageTypeByName(MarketDataFeedV3_pb2.FeedResponse.DESCRIPTOR.full_name)
    report["schema"] = schema.file.name
    configuration = upstox_client.Configuration()
    report["hosts"] = [configuration.host, configuration.order_host]
    configuration.ssl_ca_cert = CA_FILE
    configuration.access_token = logged_in(configuration)
    client = upstox_client.ApiClient(configuration)
    market(client)
    orders(client)
    reads(client)
    login = upstox_client.LoginApi(client)
    report["logout"] = ask(login.logout, "2.0").data
    try:
        upstox_client.UserApi(client).get_profile("2.0")
    except ApiException as no:
        report["after_logout"] = code_of(no)
    print(json.dumps(report, default=str))


main()
