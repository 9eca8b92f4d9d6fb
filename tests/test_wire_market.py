"""The market feed's bytes: the schema is the broker's, and frames become the right events."""

import gzip
import json
import math
import random
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.events import FrameSeen, Quote, SegmentStatus, Tick
from bot.core.units import MILLISECOND, SECOND
from bot.upstox import market_feed_pb2 as pb
from bot.upstox.wire_market import (
    FRAME_BYTES_MAX,
    KEYS_MAX,
    PRICE_RUPEES_MAX,
    MarketDecoder,
    Request,
    check_limits,
    encode_feed_response,
    parse_request,
    subscribe_request,
)

ROOT = Path(__file__).parents[1]
KEY = "NSE_FO|45450"
AT, MONO = 1_732_775_009_016 * MILLISECOND, 77 * SECOND

# Golden frames of the newest official descriptor (upstox §3.8).
F1 = bytes.fromhex("08021895b3c18bb73222180a0a0a064e53455f455110020a0a0a064e53455f464f1000")
F2 = bytes.fromhex(
    "12340a134e53455f45517c494e45303032413031303138121d0a1b0900000000002059401095b3c18bb7321805210000000000c0"
    "58401895b3c18bb732"
)
F3 = bytes.fromhex(
    "080112ee010a0c4e53455f464f7c343534353012dd0112d8010ad5010a1b099a99999999696b401095b3c18bb732184b21000000"
    "0000006940121b0a17089601116666666666666b40184b2133333333336b6b400a001a2d09000000000000e03f11000000000000"
    "29c019fca9f1d24d62603f21000000000000224029000000000000f03f22370a350a023164110000000000406a40190000000000"
    "206c40210000000000a06940299a99999999696b403080bcc1960b38c0c88cf7b632290000000000f06a403080bcc1960b390000"
    "0000f406444141a4703d0ad7a3c03f490000000000408f40510000000000409f40200118e8b5c18bb732"
)
F4 = bytes.fromhex(
    "080112370a124e53455f494e4445587c4e696674792035301221121d121b0a1909000000002070d74010e8b5c18bb73221000000"
    "000057d740200118ccb6c18bb732"
)
F5 = bytes.fromhex(
    "0801122c0a0c4e53455f464f7c3435343530121c1a181216084b116666666666666b40184b2133333333336b6b40200218b0b7c1"
    "8bb732"
)
GOLDEN = (F1, F2, F3, F4, F5)


def feed_frame(feed, *, key=KEY, kind="live_feed", millis=1_732_775_009_000):
    return encode_feed_response({"type": kind, "feeds": {key: feed}, "currentTs": millis})


def full(*, ltpc=None, levels=None, **rest):
    body = dict(rest)
    if ltpc is not None:
        body["ltpc"] = ltpc
    if levels is not None:
        body["marketLevel"] = {"bidAskQuote": levels}
    return {"fullFeed": {"marketFF": body}, "requestMode": "full_d5"}


def level(bid, ask, bid_quantity=75, ask_quantity=150):
    return {"bidQ": bid_quantity, "bidP": bid, "askQ": ask_quantity, "askP": ask}


def trade(ltp, *, ltt=1_732_775_008_661, ltq=75):
    return {"ltp": ltp, "ltt": ltt, "ltq": ltq, "cp": 200.0}


def decode(decoder, frame):
    return decoder.decode(frame, AT, MONO)


# ---- the schema --------------------------------------------------------------------------------------


def test_the_generated_code_is_what_the_proto_file_makes(tmp_path):
    """Regenerated from proto/, byte for byte what is committed."""
    source = "bot/upstox/market_feed.proto"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source}=proto/MarketDataFeedV3.proto"]
    made = subprocess.run(
        [*protoc, f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", source],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    for suffix in (".py", ".pyi"):
        name = f"bot/upstox/market_feed_pb2{suffix}"
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"make proto would change {name}"


def test_the_schema_is_v3_field_by_field():
    """Numbers and types of upstox §3.6, where the retired schema differs: decoding proves nothing."""

    def fields(message):
        return {field.number: field.name for field in message.DESCRIPTOR.fields}

    assert pb.DESCRIPTOR.package == "com.upstox.marketdatafeederv3udapi.rpc.proto"
    assert fields(pb.FeedResponse) == {1: "type", 2: "feeds", 3: "currentTs", 4: "marketInfo"}
    assert fields(pb.Feed) == {1: "ltpc", 2: "fullFeed", 3: "firstLevelWithGreeks", 4: "requestMode"}
    assert fields(pb.LTPC) == {1: "ltp", 2: "ltt", 3: "ltq", 4: "cp", 5: "iep"}
    assert fields(pb.Quote) == {1: "bidQ", 2: "bidP", 3: "askQ", 4: "askP"}
    assert fields(pb.OptionGreeks) == {1: "delta", 2: "theta", 3: "gamma", 4: "vega", 5: "rho"}
    names = (
        "ltpc marketLevel optionGreeks marketOHLC atp vtt oi iv tbq tsq iep rp ieq iiqTotal iiqM casEligible"
    )
    assert fields(pb.MarketFullFeed) == dict(enumerate(names.split(), start=1))
    assert fields(pb.IndexFullFeed) == {1: "ltpc", 2: "marketOHLC"}
    assert fields(pb.MarketInfo) == {1: "segmentStatus", 2: "casMarketStatus", 3: "preOpenSessionStatus"}
    first_level = "ltpc firstDepth optionGreeks vtt oi iv"
    assert fields(pb.FirstLevelWithGreeks) == dict(enumerate(first_level.split(), start=1))
    assert pb.Type.items() == [("initial_feed", 0), ("live_feed", 1), ("market_info", 2)]
    assert pb.RequestMode.keys() == ["ltpc", "full_d5", "option_greeks", "full_d30"]
    assert pb.MarketStatus.keys() == [
        "PRE_OPEN_START", "PRE_OPEN_END", "NORMAL_OPEN", "NORMAL_CLOSE", "CLOSING_START", "CLOSING_END",
    ]  # fmt: skip


def test_golden_frames_hold_every_value_of_the_official_descriptor():
    """All that F3 carries, the greeks and volumes over 2^31 included, and nothing unknown to us."""
    response = pb.FeedResponse.FromString(F3)
    market = response.feeds[KEY].fullFeed.marketFF
    assert (market.ltpc.ltp, market.ltpc.ltq, market.ltpc.cp) == (219.3, 75, 200.0)
    one, blank = market.marketLevel.bidAskQuote
    assert (one.bidQ, one.bidP, one.askQ, one.askP) == (150, 219.2, 75, 219.35)
    assert blank == pb.Quote()
    greeks = market.optionGreeks
    assert (greeks.delta, greeks.theta, greeks.gamma, greeks.vega, greeks.rho) == (
        0.5,
        -12.5,
        0.002,
        9.0,
        1.0,
    )
    (day,) = market.marketOHLC.ohlc
    assert (day.interval, day.open, day.high, day.low, day.close) == ("1d", 210, 225, 205, 219.3)
    assert (day.vol, day.ts) == (3_000_000_000, 1_732_732_200_000)
    assert (market.atp, market.vtt, market.oi, market.iv) == (215.5, 3_000_000_000, 2_625_000, 0.13)
    assert (market.tbq, market.tsq, response.currentTs) == (1000, 2000, 1_732_775_009_000)
    for frame in GOLDEN:
        parsed = pb.FeedResponse.FromString(frame)
        assert parsed.SerializeToString(deterministic=True) == frame
        size = parsed.ByteSize()
        parsed.DiscardUnknownFields()
        assert parsed.ByteSize() == size


# ---- frames → events ---------------------------------------------------------------------------------


def test_golden_frames_become_the_right_events():
    """F1 to F5: states of our segments; snapshot and depth alone are no ticks; index and option tick."""
    decoder = MarketDecoder([KEY, "NSE_EQ|INE002A01018", "NSE_INDEX|Nifty 50"])
    assert decode(decoder, F1) == [
        SegmentStatus(AT, MONO, "NSE_EQ", "NORMAL_OPEN"),
        SegmentStatus(AT, MONO, "NSE_FO", "PRE_OPEN_START"),
    ]
    assert decode(decoder, F2) == [
        FrameSeen(AT, MONO)
    ]  # a snapshot of the price alone: neither tick nor quote
    ltt, millis = 1_732_775_008_661 * MILLISECOND, 1_732_775_009_000
    assert decode(decoder, F3) == [
        Tick(AT, MONO, KEY, 21930, 75, ltt, 21920, 21935, 150, 75, millis * MILLISECOND)
    ]
    (index,) = decode(decoder, F4)
    assert isinstance(index, Tick)
    assert (index.instrument, index.ltp, index.bid, index.ask) == ("NSE_INDEX|Nifty 50", 2_400_050, 0, 0)
    assert decode(decoder, F5) == [Quote(AT, MONO, KEY, 21920, 21935, 75, 75)]
    assert (decoder.frames, decoder.decode_errors, decoder.dropped_prices) == (5, 0, 0)


def test_partial_frames_are_merged_and_what_is_missing_is_never_zero():
    """Price alone keeps the book, depth alone is a quote and no tick, volume alone says only "alive"."""
    decoder = MarketDecoder([KEY])
    decode(decoder, feed_frame(full(ltpc=trade(219.3), levels=[level(219.2, 219.35)])))
    (tick,) = decode(decoder, feed_frame(full(ltpc=trade(219.4, ltt=1_732_775_009_500))))
    assert (tick.ltp, tick.bid, tick.ask, tick.bid_quantity, tick.ask_quantity) == (
        21940,
        21920,
        21935,
        75,
        150,
    )
    assert decode(decoder, feed_frame(full(levels=[level(219.3, 219.45)]))) == [
        Quote(AT, MONO, KEY, 21930, 21945, 75, 150)
    ]
    assert decode(decoder, feed_frame(full(vtt=10_000))) == [FrameSeen(AT, MONO)]
    (tick,) = decode(decoder, feed_frame(full(ltpc=trade(219.5))))
    assert (tick.ltp, tick.bid, tick.ask) == (21950, 21930, 21945)
    assert decoder.dropped_prices == 0


def test_a_blank_best_level_is_a_side_not_known_and_no_damage():
    decoder = MarketDecoder([KEY])
    (tick,) = decode(decoder, feed_frame(full(ltpc=trade(219.3), levels=[{}, level(1.0, 2.0)])))
    assert (tick.bid, tick.ask, tick.bid_quantity, tick.ask_quantity) == (0, 0, 0, 0)
    (tick,) = decode(decoder, feed_frame(full(ltpc=trade(219.4), levels=[{"askQ": 75, "askP": 219.5}])))
    assert (tick.bid, tick.ask, tick.ask_quantity) == (0, 21950, 75)
    assert decoder.dropped_prices == 0


@pytest.mark.parametrize(
    "feed",
    [
        {"ltpc": trade(219.3)},
        full(ltpc=trade(219.3), levels=[level(219.2, 219.35)] * 5),
        full(ltpc=trade(219.3), levels=[level(219.2, 219.35)] * 30) | {"requestMode": "full_d30"},
        {
            "firstLevelWithGreeks": {"ltpc": trade(219.3), "firstDepth": level(219.2, 219.35), "vtt": "5"},
            "requestMode": "option_greeks",
        },
        {"fullFeed": {"indexFF": {"ltpc": trade(219.3)}}, "requestMode": "full_d5"},
    ],
    ids=["ltpc", "full_d5", "full_d30", "option_greeks", "index"],
)
def test_every_mode_ticks_live_and_only_quotes_in_a_snapshot(feed):
    (tick,) = decode(MarketDecoder([KEY]), feed_frame(feed))
    assert isinstance(tick, Tick)
    has_book = "ltpc" not in feed and "indexFF" not in feed.get("fullFeed", {})
    assert (tick.ltp, tick.bid, tick.ask) == ((21930, 21920, 21935) if has_book else (21930, 0, 0))
    (seen,) = decode(MarketDecoder([KEY]), feed_frame(feed, kind="initial_feed"))
    assert isinstance(seen, Quote if has_book else FrameSeen)


def test_a_byte_identical_repeat_is_dropped_and_an_unchanged_price_is_not():
    """currentTs moves between repeats. Only the feed counts; any change in it, however deep, is no repeat."""
    decoder = MarketDecoder([KEY])
    deep = [level(219.2, 219.35), level(219.1, 219.4)]
    first = full(ltpc=trade(219.3), levels=deep, vtt=100)
    assert isinstance(decode(decoder, feed_frame(first, millis=1))[0], Tick)
    assert decode(decoder, feed_frame(first, millis=2)) == [FrameSeen(AT, MONO)]
    assert decoder.duplicates == 1
    for changed in (
        full(ltpc=trade(219.3), levels=deep, vtt=101),
        full(ltpc=trade(219.3), levels=[deep[0], level(219.1, 219.45)], vtt=101),
        full(ltpc=trade(219.3), levels=deep, vtt=100),
        full(ltpc=trade(219.3)),
    ):
        assert isinstance(decode(decoder, feed_frame(changed))[0], Tick)
    assert decoder.duplicates == 1
    depth = full(levels=deep)
    assert isinstance(decode(decoder, feed_frame(depth))[0], Quote)
    assert decode(decoder, feed_frame(depth)) == [FrameSeen(AT, MONO)]
    assert decoder.duplicates == 2


def test_a_repeat_is_known_in_another_instruments_company():
    """The repeat is the instrument's, not the frame's: others in the frame, or between, change nothing."""
    other = "NSE_FO|45451"
    decoder = MarketDecoder([KEY, other])
    mine, theirs = full(ltpc=trade(219.3)), full(ltpc=trade(100.0))
    decode(decoder, feed_frame(mine))
    both = encode_feed_response({"type": "live_feed", "feeds": {KEY: mine, other: theirs}, "currentTs": 5})
    assert [event.instrument for event in decode(decoder, both)] == [other]
    assert decoder.duplicates == 1
    decode(decoder, feed_frame(full(ltpc=trade(101.0)), key=other))
    assert decode(decoder, feed_frame(mine)) == [FrameSeen(AT, MONO)]
    assert decoder.duplicates == 2


def test_a_new_connection_starts_from_nothing():
    """After a gap the old book is not known any more, and the first price counts even if it is the same."""
    decoder = MarketDecoder([KEY])
    decode(decoder, feed_frame(full(ltpc=trade(219.3), levels=[level(219.2, 219.35)])))
    decoder.opened()
    (tick,) = decode(decoder, feed_frame(full(ltpc=trade(219.3))))
    assert (tick.ltp, tick.bid, tick.ask) == (21930, 0, 0)


def test_many_instruments_come_in_one_order_and_strangers_are_only_signs_of_life():
    """More than a few keys in a frame: sorted by key, whatever the map's order; unasked keys give nothing."""
    keys = [f"NSE_FO|{number}" for number in range(500, 540)]
    feeds = {key: full(ltpc=trade(100.0 + index)) for index, key in enumerate(reversed(keys))}
    frame = encode_feed_response({"type": "live_feed", "feeds": feeds, "currentTs": 5})
    assert [event.instrument for event in decode(MarketDecoder(keys), frame)] == keys
    assert [event.instrument for event in decode(MarketDecoder(keys[3:5]), frame)] == keys[3:5]
    stranger = MarketDecoder([KEY])
    assert decode(stranger, frame) == [FrameSeen(AT, MONO)]


@settings(deadline=None)
@given(
    ltp=st.floats(),
    bid=st.floats(),
    ask=st.floats(),
    quantity=st.integers(-(2**63), 2**63 - 1),
    millis=st.integers(-(2**63), 2**63 - 1),
)
def test_no_number_on_the_wire_makes_an_impossible_event(ltp, bid, ask, quantity, millis):
    """NaN, infinities, zero, negative, absurd: no tick or quote of them; counted; times fit 64 bits."""
    decoder = MarketDecoder([KEY])
    levels = [level(bid, ask, quantity, quantity)]
    frame = feed_frame(full(ltpc=trade(ltp, ltt=millis, ltq=quantity), levels=levels), millis=millis)
    (event,) = decode(decoder, frame)
    good = {
        name: 0.005 < value < PRICE_RUPEES_MAX for name, value in (("ltp", ltp), ("bid", bid), ("ask", ask))
    }
    assert isinstance(event, Tick) == good["ltp"]
    assert isinstance(event, Tick | Quote)
    for name in ("bid", "ask"):
        assert getattr(event, name) == (round({"bid": bid, "ask": ask}[name] * 100) if good[name] else 0)
    assert event.bid_quantity >= 0
    assert event.ask_quantity >= 0
    if isinstance(event, Tick):
        assert event.ltp == round(ltp * 100) > 0
        assert 0 <= event.ltt < 2**63
        assert 0 <= event.exchange_at < 2**63
    damaged = [not good["ltp"], not good["bid"] and bid != 0, not good["ask"] and ask != 0]
    assert decoder.dropped_prices == sum(damaged)


def test_a_price_refused_leaves_the_last_good_state_alone():
    decoder = MarketDecoder([KEY])
    decode(decoder, feed_frame(full(ltpc=trade(219.3), levels=[level(219.2, 219.35)])))
    assert decode(decoder, feed_frame(full(ltpc=trade(math.nan)))) == [FrameSeen(AT, MONO)]
    assert decode(decoder, feed_frame({"ltpc": {"cp": 200.0}})) == [FrameSeen(AT, MONO)]
    (quote,) = decode(decoder, feed_frame(full(ltpc=trade(-1.0), levels=[level(219.3, 219.45)])))
    assert quote == Quote(AT, MONO, KEY, 21930, 21945, 75, 150)
    assert decoder.dropped_prices == 3


def test_time_going_back_is_counted_and_still_a_tick():
    """The definition of a tick knows no order, and recordings have such rows; a little is nothing."""
    decoder = MarketDecoder([KEY])
    for ltp, ltt in ((219.3, 10_000), (219.4, 9_500), (219.5, 4_000), (219.6, 10_000)):
        (event,) = decode(decoder, feed_frame(full(ltpc=trade(ltp, ltt=ltt))))
        assert isinstance(event, Tick)
    assert decoder.out_of_order == 1


def test_unknown_enums_and_fields_of_a_newer_schema_are_borne():
    """A new status passes as its number, a new kind of message quotes but never ticks, new fields go by."""
    decoder = MarketDecoder([KEY])
    frame = encode_feed_response(
        {
            "type": "market_info",
            "currentTs": "5",
            "marketInfo": {
                "segmentStatus": {"NSE_FO": 9, "MCX_FO": 2},
                "casMarketStatus": {"NSE_EQ": {"status": "CTS_CLOSE", "updatedTime": "1"}},
                "preOpenSessionStatus": {"NSE_FO": {"status": "PRE_OPEN_END", "updatedTime": "2"}},
            },
        }
    )
    assert decode(decoder, frame) == [SegmentStatus(AT, MONO, "NSE_FO", "STATUS_9")]
    assert decoder.closing_auction == {"NSE_EQ": "CTS_CLOSE"}
    assert decoder.pre_open == {"NSE_FO": "PRE_OPEN_END"}
    feed = full(ltpc=trade(219.3), levels=[level(219.2, 219.35)])
    (event,) = decode(decoder, feed_frame(feed, kind=7))
    assert isinstance(event, Quote)
    unknown_field = b"\xaa\x06\x03new"  # number 101, three bytes
    (event,) = decode(decoder, feed_frame(full(ltpc=trade(219.4))) + unknown_field)
    assert isinstance(event, Tick)


# ---- damage ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_whatever_raise(frame):
    decoder = MarketDecoder([KEY])
    events = decode(decoder, frame)
    assert bool(events) != bool(decoder.decode_errors)


def test_mutated_frames_never_raise_and_never_tick_an_impossible_price():
    """20,000 golden frames with flipped, cut and inserted bytes (hazards F8)."""
    chance = random.Random(8)
    decoder = MarketDecoder([KEY, "NSE_EQ|INE002A01018", "NSE_INDEX|Nifty 50"])
    rounds = 20_000
    for _ in range(rounds):
        frame = bytearray(chance.choice(GOLDEN))
        for _ in range(chance.randint(1, 4)):
            position = chance.randrange(len(frame))
            match chance.randrange(3):
                case 0:
                    frame[position] = chance.randrange(256)
                case 1:
                    del frame[position + 1 :]
                case _:
                    frame.insert(position, chance.randrange(256))
        for event in decode(decoder, bytes(frame)):
            if isinstance(event, Tick):
                assert 0 < event.ltp < PRICE_RUPEES_MAX * 100
                assert event.bid >= 0
                assert event.ask >= 0
    assert decoder.frames == rounds
    assert rounds // 2 < decoder.decode_errors < rounds


def test_an_oversized_frame_is_dropped_and_counted():
    decoder = MarketDecoder([KEY])
    padding = b"\xaa\x06\x80\x80\x40" + bytes(
        FRAME_BYTES_MAX
    )  # one unknown field: decodable, were it smaller
    assert decode(decoder, feed_frame(full(ltpc=trade(219.3))) + padding) == []
    assert decoder.decode_errors == 1


def test_more_than_twenty_undecodable_frames_in_ten_seconds_are_a_flood():
    """Twenty are not, twenty-one over a longer time are not; a new connection starts with a clean sheet."""
    decoder = MarketDecoder([KEY])
    for index in range(40):
        decoder.decode(b"\xff", AT, index * SECOND)
    assert not decoder.flooded
    for _ in range(10):
        decoder.decode(b"\xff", AT, 40 * SECOND)
    assert not decoder.flooded
    decoder.decode(b"\xff", AT, 40 * SECOND)
    assert decoder.flooded
    decoder.opened()
    assert not decoder.flooded
    assert decoder.decode_errors == 51


# ---- recorded data -----------------------------------------------------------------------------------


def without_zeros(value):
    """Protobuf JSON leaves zero scalars out and keeps empty messages; recorders did not all do so."""
    if isinstance(value, dict):
        return {name: without_zeros(part) for name, part in value.items() if part not in (0, "0", "", False)}
    return [without_zeros(part) for part in value] if isinstance(value, list) else value


def wire_frames(folder):
    for path in sorted((folder / "wire").glob("v3_*")):
        text = path.read_text()
        for frame in map(json.loads, text.splitlines()) if path.suffix == ".jsonl" else [json.loads(text)]:
            yield path.name, frame


def test_wire_fixtures_survive_the_way_through_our_protobuf(recorded):
    """Recorded JSON → frame → official JSON form: the same, field for field; what they say becomes events."""
    names = set()
    for name, fields in wire_frames(recorded):
        frame = encode_feed_response(fields)
        said = json_format.MessageToDict(pb.FeedResponse.FromString(frame))
        names.add(name)
        wanted = without_zeros(fields)
        assert without_zeros(said) == ({k: v for k, v in wanted.items() if v != "initial_feed"}), name
        keys = list(fields.get("feeds", {}))
        decoder = MarketDecoder(keys or [KEY])
        events = decode(decoder, frame)
        if "marketInfo" in fields:
            assert events == [SegmentStatus(AT, MONO, "NSE_FO", "NORMAL_OPEN")]
        elif fields.get("type") == "live_feed":
            prices = {event.instrument: event.ltp for event in events if isinstance(event, Tick)}
            parts = {key: json_part(feed) for key, feed in fields["feeds"].items()}
            assert prices == {key: round(ltpc["ltp"] * 100) for key, (ltpc, _) in parts.items() if ltpc}
        assert decoder.dropped_prices == 0
    assert len(names) == 4


def json_part(feed):
    body = feed.get("fullFeed", {}).get("marketFF") or feed.get("fullFeed", {}).get("indexFF") or feed
    return body.get("ltpc"), (body.get("marketLevel", {}).get("bidAskQuote") or [None])[0]


def recorded_rows(path):
    """The rows of a JSON array, one at a time: a whole day takes seconds to load."""
    text, position = gzip.decompress(path.read_bytes()).decode().rstrip(), 1
    while position < len(text) - 1:
        row, position = json.JSONDecoder().raw_decode(text, text.index("{", position))
        yield row


def test_a_recorded_day_comes_out_field_for_field(recorded):
    """An hour of a recorded V3 option: each row one tick with its values, or a repeat, as its JSON says."""
    path = recorded / "upstox_v3" / "NSE_FO_51510_2025-12-15.json.gz"
    rows = list(islice(recorded_rows(path), 4000))
    key = rows[0]["instrumentKey"]
    decoder = MarketDecoder([key])
    before, repeats = None, 0
    for number, row in enumerate(rows):
        frame = encode_feed_response({"type": "live_feed", "feeds": {key: row}, "currentTs": str(number + 1)})
        events = decoder.decode(frame, number, number)
        feed = {name: value for name, value in row.items() if name in ("fullFeed", "requestMode")}
        if feed == before:
            repeats += 1
            assert events == [FrameSeen(number, number)]
            continue
        before = feed
        ltpc, best = json_part(feed)
        paise = [round(price * 100) for price in (best.get("bidP", 0), best.get("askP", 0))]
        quantities = [int(best.get("bidQ", 0)), int(best.get("askQ", 0))]
        ltp, ltt = round(ltpc["ltp"] * 100), int(ltpc["ltt"]) * MILLISECOND
        exchange_at = (number + 1) * MILLISECOND
        wanted = Tick(number, number, key, ltp, int(ltpc["ltq"]), ltt, *paise, *quantities, exchange_at)
        assert events == [wanted]
    assert decoder.duplicates == repeats > 100
    assert (decoder.decode_errors, decoder.dropped_prices) == (0, 0)


def test_encoding_is_loud_about_fields_it_would_lose():
    """A recorder's own columns are left out; anything else that the schema lacks must not vanish."""
    row = full(ltpc=trade(219.3)) | {"instrumentKey": KEY, "_insertion_time": "2025-12-15"}
    assert isinstance(decode(MarketDecoder([KEY]), feed_frame(row))[0], Tick)
    with pytest.raises(ValueError, match="novelty"):
        feed_frame(full(novelty=1))
    auction = feed_frame(full(ltpc=trade(219.3) | {"iep": 219.5}, iep=219.5, ieq="75", iiqTotal="-5"))
    market = pb.FeedResponse.FromString(auction).feeds[KEY].fullFeed.marketFF
    assert (market.ltpc.iep.value, market.iep, market.ieq, market.iiqTotal) == (219.5, 219.5, 75, -5)


# ---- requests ----------------------------------------------------------------------------------------


def test_requests_are_the_brokers_json():
    request = subscribe_request("g-1", "sub", "full", [KEY])
    assert isinstance(request, bytes)  # text frames are not documented to work
    assert json.loads(request) == {
        "guid": "g-1", "method": "sub", "data": {"mode": "full", "instrumentKeys": [KEY]},
    }  # fmt: skip
    assert "mode" not in json.loads(subscribe_request("g-2", "unsub", "", [KEY]))["data"]


@settings(deadline=None)
@given(
    st.text(), st.sampled_from(["sub", "change_mode"]), st.sampled_from(sorted(KEYS_MAX)),
    st.lists(st.text(), min_size=1),
)  # fmt: skip
def test_requests_are_read_as_they_were_written(guid, method, mode, keys):
    asked = Request(guid, method, mode, tuple(keys))
    assert parse_request(subscribe_request(*asked)) == asked
    left = Request(guid, "unsub", "", tuple(keys))
    assert parse_request(subscribe_request(*left)) == left


def test_a_sub_without_a_mode_means_ltpc():
    body = b'{"guid":"x","method":"sub","data":{"instrumentKeys":["a"]}}'
    assert parse_request(body) == Request("x", "sub", "ltpc", ("a",))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"[]", b"{}", b'{"method":"sub"}', b'{"method":"sub","data":[]}',
        b'{"method":"sub","data":{"instrumentKeys":[]}}',
        b'{"method":"sub","data":{"instrumentKeys":[1]}}',
        b'{"method":"sub","data":{"mode":"fuller","instrumentKeys":["a"]}}',
        b'{"method":"change_mode","data":{"instrumentKeys":["a"]}}',
        b'{"method":"steal","data":{"instrumentKeys":["a"]}}',
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(body):
    with pytest.raises(ValueError):
        parse_request(body)


def test_the_limits_of_a_connection_are_the_brokers():
    """Upstox §3.3: alone, and fewer when modes are mixed."""
    check_limits({"full": 2000})
    check_limits({"full": 1500, "ltpc": 2000})
    for too_many in ({"full": 2001}, {"ltpc": 5001}, {"full": 1501, "ltpc": 1}, {"full_d30": 51}):
        with pytest.raises(ValueError, match="at most"):
            check_limits(too_many)
    with pytest.raises(ValueError, match="unknown feed mode"):
        check_limits({"fuller": 1})
