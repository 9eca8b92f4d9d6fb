"""A client nobody here wrote, upstox-python-sdk, works against the twin; only its addresses are changed."""

import asyncio
import json
from pathlib import Path

import pytest

from bot.twin.tls import LOOPBACK, make_certificate
from tests.conftest import KEY, at
from tests.twin_client import LOT, playing

pytestmark = pytest.mark.component
ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
INDEX = "NSE_INDEX|Nifty 50"
NAMES = ("api.upstox.com", "api-hft.upstox.com")  # the certificate's: the client verifies whom it talks to
HOLIDAY = {
    "date": "2026-10-02",
    "description": "Gandhi Jayanti",
    "holiday_type": "TRADING_HOLIDAY",
    "closed_exchanges": ["NSE", "NFO", "BSE", "BFO"],
    "open_exchanges": [],
}
# One model serves everything that is listed; an option's row has no more than the instrument master's has.
NOT_OF_OPTIONS = {
    "country", "currency", "description", "end_time", "general_denominator", "general_numerator", "isin",
    "last_trading_date", "latency", "mtf_bracket", "mtf_enabled", "price_denominator", "price_numerator",
    "price_quote_unit", "qty_multiplier", "security_type", "short_name", "start_time", "week_days",
}  # fmt: skip


@pytest.fixture
def python() -> Path:
    if not PYTHON.exists():
        pytest.skip("the official client is not here: run `make sdk-env` (it needs a package index)")
    return PYTHON


async def test_the_official_client_works_with_nothing_but_its_addresses_changed(python, tmp_path):
    certificate = make_certificate((*LOOPBACK, *NAMES))
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificate.authority_pem)
    async with playing(tls=certificate, holidays=[HOLIDAY], speed=5.0) as stranger:
        talk = await asyncio.create_subprocess_exec(
            python, "-I", ROOT / "tests" / "sdk_talks.py", str(stranger.twin.addresses.rest_port),
            authority, KEY, INDEX,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        async with asyncio.timeout(120):
            said, complaints = await talk.communicate()
        assert talk.returncode == 0, complaints.decode()
        report = json.loads(said)
        book = {row.order_id: row for row in stranger.twin.exchange.orders()}
    assert report["version"] == "2.30.0"
    assert report["hosts"] == ["https://api.upstox.com", "https://api-hft.upstox.com"]
    assert report["schema"] == "MarketDataFeedV3.proto"
    assert report["stdlib_uuid"]
    of_options = report["missing"].pop("OptionsApi.get_option_contracts")
    assert {path.removeprefix(".data[].") for path in of_options} == NOT_OF_OPTIONS
    assert report["missing"] == {}
    check_market(report)
    check_orders(report, book)
    check_reads(report)


def check_market(report):
    first, full = report["market_first"], report["market_full"][KEY]
    assert first["type"] == "market_info"
    assert first["marketInfo"]["segmentStatus"]["NSE_FO"] == "NORMAL_OPEN"
    assert report["market_types"] == ["market_info", "initial_feed", "live_feed"]
    market = full["fullFeed"]["marketFF"]
    assert full["requestMode"] == "full_d5"
    assert market["ltpc"]["ltp"] in {300.0, 299.95}
    assert market["ltpc"]["cp"] == 290.0
    best = market["marketLevel"]["bidAskQuote"][0]
    assert (best["bidP"], best["askP"]) == (299.8, 300.0)
    assert report["market_after_unsub"] == 0
    assert report["market_events"] == [["open"]]  # one connection, by the 307 of its entry address


def check_orders(report, book):
    resting, bought = report["orders"]
    assert report["book"] == {resting: ["cancelled", 291.0, "sdk"], bought: ["complete", 300.0, "sdk"]}
    assert report["details"] == "complete"
    assert report["history"][0] == "put order req received"
    assert report["history"][-1] == "cancelled"
    assert "modified" in report["history"]
    assert report["trades"] == [LOT]
    assert report["day_trades"] == 1
    assert report["positions"] == [[LOT, 300.0]]
    assert report["holdings"] == []
    assert report["last_update"]["filled_quantity"] == LOT
    assert report["position_update"]["quantity"] == LOT
    assert report["cancel_of_final"] == [400, "UDAPI100040"]
    assert report["exit"] == ["success", 1, 1]
    assert report["portfolio_events"] == [["open"]]
    assert [row.status for row in book.values()] == ["cancelled", "complete", "complete"]


def check_reads(report):
    assert report["code_used_twice"] == [401, "UDAPI100057"]
    assert report["profile"] == "TWIN01"
    assert report["funds"] == report["funds_v3"] > 0
    assert report["kill_switch"] == 9
    assert report["holidays"] == ["2026-10-02 00:00:00"]
    assert report["timings"]["NFO"] == at("15:40") // 1_000_000
    assert report["status"] == "NORMAL_OPEN"
    assert report["ltp"][INDEX] == 25_000
    assert report["brokerage"] == [True, True, True]
    assert report["margin"] == LOT * 300
    assert KEY in report["contracts"]
    assert report["killed"] == ["MCX_FO"]
    assert report["logout"] is True
    assert report["after_logout"] == [401, "UDAPI100050"]
