"""Wire bytes → probability → decision, with metrics on, against what it cannot do without.

Three things are timed in turn, frame by frame, in one run: the bare protobuf parse (to the last price), the
bare model invoke, and the whole path of the bot (decode, merge, filter, window, model, strategy, risk,
observers). `overhead` is whole − parse − invoke: all that is ours. Run: `make bench`.
"""

import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bot.assemble.view import DayView
from bot.core.engine import Engine
from bot.core.events import BrokerSnapshot, Event, FeedUp, Heartbeat, OrderStreamUp
from bot.core.forecast import RelDiff
from bot.core.rules import Contract, RiskRules, Rules
from bot.core.session import Session
from bot.core.units import MILLISECOND, SECOND, rupees
from bot.run.live import WallClock
from bot.run.step import Stepper
from bot.sim.market import SyntheticMarket
from bot.storage.model import interpreter_of, load_model
from bot.telemetry.buckets import TimedClassifier
from bot.telemetry.logs import Logs
from bot.telemetry.metrics import Metrics, MetricsObserver
from bot.upstox import market_feed_pb2 as pb
from bot.upstox.auth import Token
from bot.upstox.wire_market import MarketDecoder, encode_feed_response

KEY = "NSE_FO|45450"
MODEL = Path(__file__).parents[1] / "models" / "trade_classifier.tflite"
FRAMES = 20_000
WARM = 1_000
LIMIT = 3.0  # overhead p50 may be at most this many bare parses


def frames(session: Session) -> list[tuple[int, bytes]]:
    """Full five-level frames of a synthetic day."""
    market = SyntheticMarket(
        KEY, tick=5, lot=75, seed=7, opens_at=session.open_at, closes_at=session.close_at
    )
    made = []
    for move in market:
        if move.at < session.open_at:
            continue
        levels = [
            {
                "bidQ": move.bid_quantity + 75 * level,
                "bidP": rupees(move.bid - 5 * level),
                "askQ": move.ask_quantity + 75 * level,
                "askP": rupees(move.ask + 5 * level),
            }
            for level in range(5)
        ]
        bar = {"open": 300.0, "high": 320.0, "low": 290.0, "close": rupees(move.ltp), "vol": move.volume}
        full = {
            "ltpc": {"ltp": rupees(move.ltp), "ltt": move.ltt // MILLISECOND, "ltq": move.ltq, "cp": 300.0},
            "marketLevel": {"bidAskQuote": levels},
            "optionGreeks": {"delta": 0.5, "theta": -12.5, "gamma": 0.002, "vega": 9.0, "rho": 1.0},
            "marketOHLC": {"ohlc": [{"interval": "1d", "ts": 1, **bar}, {"interval": "I1", "ts": 2, **bar}]},
            "atp": 301.0,
            "vtt": move.volume,
            "oi": 2_625_000.0,
            "iv": 0.13,
            "tbq": 1000.0,
            "tsq": 2000.0,
        }
        feed = {"fullFeed": {"marketFF": full}, "requestMode": "full_d5"}
        frame = {"type": "live_feed", "feeds": {KEY: feed}, "currentTs": move.at // MILLISECOND}
        made.append((move.at, encode_feed_response(frame)))
        if len(made) == FRAMES:
            break
    return made


def percentile(sorted_values: Sequence[int], share: float) -> float:
    return sorted_values[min(int(share * len(sorted_values)), len(sorted_values) - 1)] / 1000


def main() -> int:
    session = Session.on(date(2026, 9, 16))
    contract = Contract(KEY, 75, 75, 5, 1800, "NSE")
    model = load_model(MODEL, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)
    classifier = TimedClassifier(model.classifier)
    # Every wish to enter runs into the last guard: the whole decision, and no broker to answer it.
    rules = Rules(risk=RiskRules(entries_per_day=0))
    engine = Engine(rules, session, [contract], classifier.classify, 1)
    decoder = MarketDecoder([KEY])
    view = DayView("bench", "", WallClock(), engine, decoder, Token("bench"), Logs(WallClock().now))
    observer = MetricsObserver(Metrics(view, classifier.seconds))
    stepper = Stepper(engine, [observer], lambda *_: None, _observer_broke)
    at = session.open_at
    ready: tuple[Event, ...] = (FeedUp(at, 0), OrderStreamUp(at, 0), BrokerSnapshot(at, 0, 0, (), ()))
    for event in ready:
        stepper.step(event, newest=True)
    parse, step, clock = pb.FeedResponse.FromString, stepper.step, time.perf_counter_ns
    invoke = _bare_invoke()
    times: dict[str, list[int]] = {"parse": [], "invoke": [], "whole": [], "overhead": []}
    console = Console(stderr=True)
    # Progress a thousand frames at a time: drawing it between two frames would empty the second's caches.
    ready_frames = frames(session)
    chunks = [ready_frames[first : first + WARM] for first in range(0, len(ready_frames), WARM)]
    progress = track(chunks, "deciding", console=console, auto_refresh=False)
    next_beat = 0
    for number, (moment, frame) in enumerate(chain.from_iterable(progress)):
        # Each second, as in life: the notes of its ticks are folded into the metrics. The frame that follows
        # finds cold caches, its parse the coldest, which would flatter us: it is not counted.
        beat = moment >= next_beat
        if beat:
            step(Heartbeat(moment, moment), newest=True)
            next_beat = moment + SECOND
        began = clock()
        parse(frame).feeds[KEY].fullFeed.marketFF.ltpc.ltp  # noqa: B018 - reading it is the point
        parsed = clock()
        invoke()
        invoked = clock()
        for event in decoder.decode(frame, moment, moment):
            step(event, newest=True)
        ended = clock()
        if number < WARM or beat:
            continue
        sample = (parsed - began, invoked - parsed, ended - invoked)
        for name, nanos in zip(("parse", "invoke", "whole"), sample, strict=True):
            times[name].append(nanos)
        times["overhead"].append(sample[2] - sample[0] - sample[1])
    return report({name: sorted(values) for name, values in times.items()}, len(frame))


def _bare_invoke() -> Callable[[], None]:
    """The interpreter's own call and nothing around it."""
    interpreter, _ = interpreter_of(MODEL.read_bytes(), MODEL)
    interpreter.allocate_tensors()
    invoke: Callable[[], None] = interpreter.invoke
    return invoke


def _observer_broke(_: object, error: Exception) -> None:
    raise error


def report(times: dict[str, list[int]], frame_bytes: int) -> int:
    """Print a table (and JSON in a pipe); exit code 1 when the limit is broken."""
    rows = {
        name: {"p50_us": percentile(values, 0.5), "p99_us": percentile(values, 0.99)}
        for name, values in times.items()
    }
    ratio = rows["overhead"]["p50_us"] / rows["parse"]["p50_us"]
    result = {
        "frames": len(times["parse"]),
        "frame_bytes": frame_bytes,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        **rows,
        "overhead_in_parses_p50": round(ratio, 2),
        "limit": LIMIT,
    }
    if not sys.stdout.isatty():
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        table = Table("", "p50 µs", "p99 µs", title=f"decision path, {result['machine']}")
        for name, row in rows.items():
            table.add_row(name, f"{row['p50_us']:.1f}", f"{row['p99_us']:.1f}")
        Console().print(table)
        Console().print(f"overhead = {ratio:.2f} × bare parse (limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
