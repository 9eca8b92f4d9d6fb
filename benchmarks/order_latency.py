"""Tick bytes in → order bytes out: from a frame of the market to the last byte of the order it causes.

The assembled bot (shipped model, journal on disk, orders over HTTP) against the twin in a process of its
own, many times faster than life. Counted are the orders that a tick decides: entries, and exits by
modifying the stop. An entry waits for its record to be on disk; so the disk's own commit times of the same
run stand beside. Our own rate limit is lifted: waiting for a turn is no latency. Run: `make bench`.
"""

import asyncio
import json
import os
import platform
import re
import subprocess
import sys
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any

from bot.assemble.day import trade
from bot.assemble.plan import Plan
from bot.assemble.twin_time import clock_for
from bot.core.commands import ModifyOrder, PlaceOrder
from bot.core.events import Tick
from bot.core.forecast import RelDiff
from bot.core.rules import Contract, RiskRules, Rules, StrategyRules
from bot.core.session import Session
from bot.run.ports import Record, Turn
from bot.storage.journal import SqliteJournal
from bot.storage.model import load_model
from bot.telemetry.logs import Logs
from bot.upstox import rest
from bot.upstox.auth import Token
from bot.upstox.rest import Hosts, UpstoxRest
from bot.upstox.throttle import Limit
from bot.upstox.wire_market import MarketDecoder

MODEL = Path(__file__).parents[1] / "models" / "trade_classifier.tflite"
KEY = "NSE_FO|45450"
SPEED = 30.0  # the twin's fastest
SECONDS = 120.0
LIMIT_MS = 2.0  # above the journal's own p99

_tag: ContextVar[str] = ContextVar("tag", default="")


class Watch:
    """Three moments: a frame came, a tick decided, the order's last byte left."""

    def __init__(self) -> None:
        self.frame_ns = 0
        self.decided: dict[str, int] = {}  # tag → when the frame behind its last decision came
        self.wrote_ns: dict[str, int] = {}  # tag → when bytes of its call last went to the socket
        self.latencies: list[int] = []
        self.commits: list[int] = []

    def hear(self, turn: Turn) -> None:
        for command in turn.commands:
            if isinstance(command, PlaceOrder | ModifyOrder):
                if isinstance(turn.event, Tick):
                    self.decided[command.tag] = self.frame_ns
                else:
                    self.decided.pop(command.tag, None)

    def answered(self, tag: str) -> None:
        if (came := self.decided.pop(tag, 0)) != 0:
            self.latencies.append(self.wrote_ns.pop(tag) - came)


def listen_in(watch: Watch) -> None:
    """Stopwatches around the bot's own code; nothing of it is replaced."""
    decode, commit, write = MarketDecoder.decode, SqliteJournal.commit, _SelectorSocketTransport.write
    place, modify = UpstoxRest.place, UpstoxRest.modify

    def decoding(self: MarketDecoder, frame: bytes, at: int, mono: int) -> Any:
        watch.frame_ns = perf_counter_ns()
        return decode(self, frame, at, mono)

    def writing(self: Any, data: Any) -> None:
        write(self, data)
        if tag := _tag.get():
            watch.wrote_ns[tag] = perf_counter_ns()

    def committing(self: SqliteJournal, records: Sequence[Record]) -> None:
        began = perf_counter_ns()
        commit(self, records)
        watch.commits.append(perf_counter_ns() - began)

    async def placing(self: UpstoxRest, command: PlaceOrder) -> Any:
        _tag.set(command.tag)
        result = await place(self, command)
        watch.answered(command.tag)
        return result

    async def modifying(self: UpstoxRest, command: ModifyOrder) -> Any:
        _tag.set(command.tag)
        result = await modify(self, command)
        watch.answered(command.tag)
        return result

    patches: list[tuple[Any, str, Any]] = [
        (MarketDecoder, "decode", decoding),
        (_SelectorSocketTransport, "write", writing),
        (SqliteJournal, "commit", committing),
        (UpstoxRest, "place", placing),
        (UpstoxRest, "modify", modifying),
        (rest, "ORDER_LIMITS", (Limit(1, 1_000_000),)),
    ]
    for owner, name, value in patches:
        setattr(owner, name, value)


async def traded(url: str, token: str, folder: Path, watch: Watch) -> None:
    clock = clock_for(url)
    with (folder / "log.jsonl").open("w", encoding="utf-8") as log_file:
        plan = Plan(
            mode="bench", clock=clock, session=Session.on(date(2026, 9, 16)),
            contracts=(Contract(KEY, 65, 65, 5, 1755, "NSE"),),
            rules=Rules(StrategyRules(threshold=0.01), risk=RiskRules(guards=False)),
            model=load_model(MODEL, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE),
            hosts=Hosts(url, url), token=Token(token), data_folder=folder / "data",
            archive_root=str(folder / "archive"), logs=Logs(clock.now, stream=log_file, pretty=False),
            observers=(watch,), taped=True,
        )  # fmt: skip
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(SECONDS, stop.set)
        await trade(plan, stop)


def address_of(twin: "subprocess.Popen[str]") -> tuple[str, str]:
    """The twin's base address and its token, as it tells them."""
    assert twin.stdout is not None
    told = ""
    while not (token := re.search(r"token +(\S+)", told)):
        said = twin.stdout.readline()
        if not said:
            raise SystemExit(f"the twin did not start: {told}")
        told += said
    address = re.search(r"REST +(\S+)", told)
    assert address is not None
    return address[1], token[1]


def percentile_ms(values: list[int], share: float) -> float:
    ranked = sorted(values)
    return round(ranked[min(int(share * len(ranked)), len(ranked) - 1)] / 1e6, 3)


def percentiles_ms(values: list[int]) -> dict[str, float]:
    return {"p50_ms": percentile_ms(values, 0.5), "p99_ms": percentile_ms(values, 0.99),
            "p999_ms": percentile_ms(values, 0.999), "count": len(values)}  # fmt: skip


def main() -> int:
    watch = Watch()
    listen_in(watch)
    command = [sys.executable, "-m", "bot", "twin", "--speed", str(SPEED), "--at", "09:20", "--port", "0"]
    sys.stderr.write(f"trading for {SECONDS:.0f} s, {SPEED:.0f} times faster than life\n")
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as twin,
    ):
        try:
            url, token = address_of(twin)
            asyncio.run(traded(url, token, Path(folder), watch))
        finally:
            twin.terminate()
    orders, commits = percentiles_ms(watch.latencies), percentiles_ms(watch.commits)
    limit = round(LIMIT_MS + commits["p99_ms"], 3)
    result = {
        "tick_to_order": orders,
        "journal_commit": commits,
        "limit_p99_ms": limit,
        "machine": f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if orders["p99_ms"] <= limit else 1


if __name__ == "__main__":
    raise SystemExit(main())
