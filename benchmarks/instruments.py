"""How much of a core do so many instruments take, at so many ticks a second each? Over a real socket.

A process of its own plays the broker: one full frame a tick, evenly spaced, over a WebSocket. This one
receives as the bot does (feed, decoder, filter, shipped model at every tick, strategy, metrics, a heartbeat a
second) and reads its own CPU time. The journal and orders are not part of it. Run: `make bench`.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.decision_path import KEY, MODEL, frames
from bot.assemble.view import DayView
from bot.core.engine import Engine
from bot.core.events import BrokerSnapshot, Event, FeedUp, Heartbeat, OrderStreamUp, Tick
from bot.core.forecast import RelDiff
from bot.core.rules import Contract, RiskRules, Rules, StrategyRules
from bot.core.session import Session
from bot.run.live import WallClock
from bot.run.step import Stepper
from bot.storage.model import load_model
from bot.telemetry.buckets import TimedClassifier
from bot.telemetry.logs import Logs
from bot.telemetry.metrics import Metrics, MetricsObserver
from bot.upstox import market_feed_pb2 as pb
from bot.upstox.auth import Token
from bot.upstox.feed import MarketFeed
from bot.upstox.wire_market import MarketDecoder

# (instruments, ticks a second of each): growth with the one, then with the other
CASES = ((1, 5), (10, 5), (100, 5), (1000, 5), (100, 1), (100, 20))
WARM_SECONDS = 4.0  # the window fills, caches warm
SECONDS = 8.0
FRAMES_EACH = 60
AT, CORE_SHARE_MAX = (100, 5), 0.25  # the limit: at this case, at most this share of a core


def keys(count: int) -> list[str]:
    return [f"NSE_FO|{50_000 + number}" for number in range(count)]


# ---- the broker's part, in a process of its own ------------------------------------------------------


def _frames(count: int) -> list[bytes]:
    """Rounds of one frame for each instrument, each other than the instrument's last."""
    base = [
        pb.FeedResponse.FromString(frame).feeds[KEY]
        for _, frame in frames(Session.on(date(2026, 9, 16)))[:FRAMES_EACH]
    ]
    made = []
    for number in range(FRAMES_EACH):
        for key in keys(count):
            response = pb.FeedResponse(type=pb.Type.live_feed)
            response.feeds[key].CopyFrom(base[number])
            made.append(response.SerializeToString())
    return made


async def play(count: int, rate: int) -> None:
    """Serve until the reader of our port goes away. `rate`: ticks a second of each; 0: flat out."""
    ready, over = _frames(count), asyncio.Event()

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()  # the subscription
        began, sent = time.perf_counter(), 0
        try:
            while not rate:
                await socket.send(ready[sent % len(ready)])
                sent += 1
            pause = 1 / (count * rate)
            while True:
                due = int((time.perf_counter() - began) / pause)
                for number in range(sent, due):
                    await socket.send(ready[number % len(ready)])
                sent = max(due, sent)
                await asyncio.sleep(min(pause, 0.005))
        except ConnectionClosed:
            over.set()  # the measurement is over

    async with serve(talk, "127.0.0.1", 0, compression=None) as server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await over.wait()


# ---- the bot's part ----------------------------------------------------------------------------------


async def listen(port: int, count: int) -> dict[str, float]:
    """CPU and ticks of some seconds of market."""
    session = Session.on(date(2026, 9, 16))
    clock = WallClock(starts_at=session.open_at)
    names = keys(count)
    model = load_model(MODEL, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)
    classifier = TimedClassifier(model.classifier)
    rules = Rules(StrategyRules(warmup_ticks=10), risk=RiskRules(entries_per_day=0))
    contracts = [Contract(name, 75, 75, 5, 1800, "NSE") for name in names]
    engine = Engine(rules, session, contracts, classifier.classify, 1)
    decoder = MarketDecoder(names)
    view = DayView("bench", "", clock, engine, decoder, Token("bench"), Logs(clock.now))
    observer = MetricsObserver(Metrics(view, classifier.seconds))
    stepper = Stepper(engine, [observer], lambda *_: None, _observer_broke)
    ticks = 0

    def sink(event: Event) -> None:
        nonlocal ticks
        ticks += isinstance(event, Tick)
        stepper.step(event, newest=True)

    async def authorize() -> str:
        return f"ws://127.0.0.1:{port}"

    async def beat() -> None:
        while True:
            await asyncio.sleep(1)
            sink(Heartbeat(clock.now(), clock.monotonic()))

    at, mono = clock.now(), clock.monotonic()
    for event in (FeedUp(at, mono), OrderStreamUp(at, mono), BrokerSnapshot(at, mono, mono, (), ())):
        sink(event)
    feed = MarketFeed(clock, sink, authorize, decoder, names, jitter=lambda: 0.5)
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(beat())]
    await asyncio.sleep(WARM_SECONDS)
    ticks, began, began_cpu = 0, time.perf_counter(), time.process_time()
    await asyncio.sleep(SECONDS)
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "ticks_per_second": round(ticks / wall, 1),
        "core_share": round(cpu / wall, 4),
        "cpu_us_per_tick": round(cpu / max(ticks, 1) * 1e6, 1),
    }


def _observer_broke(_: object, error: Exception) -> None:
    raise error


def measure(count: int, rate: int) -> dict[str, float]:
    """`rate`: ticks a second of each instrument; 0: as many as can be read."""
    command = [sys.executable, "-m", "benchmarks.instruments", "--play", str(count), "--rate", str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as broker:
        assert broker.stdout is not None
        try:
            return asyncio.run(listen(int(broker.stdout.readline()), count))
        finally:
            broker.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--play", type=int, metavar="N", help="be the broker of N instruments")
    parser.add_argument("--rate", type=int, default=AT[1], help="…so many ticks a second each; 0: flat out")
    chosen = parser.parse_args()
    if chosen.play:
        asyncio.run(play(chosen.play, chosen.rate))
        return 0
    cases: list[dict[str, float]] = []
    for count, rate in CASES:
        sys.stderr.write(f"{count} instruments × {rate} ticks/s, {WARM_SECONDS + SECONDS:.0f} s\n")
        limit = {"core_share_limit": CORE_SHARE_MAX} if (count, rate) == AT else {}
        cases.append({"instruments": count, "ticks_per_second_each": rate, **measure(count, rate), **limit})
    result = {
        "cases": cases,
        "machine": f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    held = cases[CASES.index(AT)]
    whole = held["ticks_per_second"] >= 0.95 * AT[0] * AT[1]
    return 0 if whole and held["core_share"] <= CORE_SHARE_MAX else 1


if __name__ == "__main__":
    raise SystemExit(main())
