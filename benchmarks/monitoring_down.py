"""Sixty seconds with nobody there to watch: is any decision late? Run: `make bench`.

The bot trades against the twin at real speed, every tick logged into a pipe that nobody reads, while scrapers
hang in the middle of their requests and Alertmanager's port swallows the morning message without an answer.
The loop's lateness is sampled each 10 ms; the limit is 100 ms for 99.9 of 100 samples. The twin has a process
of its own, as the broker has.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bot.assemble.day import trade
from bot.assemble.market import synthetic_market
from bot.assemble.plan import Plan
from bot.core.forecast import RelDiff
from bot.core.rules import RiskRules, Rules
from bot.core.units import SECOND, ist_text
from bot.run.live import WallClock
from bot.storage.model import SHIPPED, load_model
from bot.telemetry.logs import Logs
from bot.twin.server import TOKEN
from bot.upstox.auth import Token
from bot.upstox.rest import Hosts

SECONDS = 60.0
STEP_SECONDS = 0.01
LIMIT_SECONDS = 0.1


def main() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "bot", "twin", "--port", str(port), "--at", "09:16"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as twin:
        assert twin.stdout is not None
        try:
            while "instrument" not in (line := twin.stdout.readline()):
                assert line, "the twin did not start"
            with tempfile.TemporaryDirectory() as folder:
                result = asyncio.run(_measured(port, Path(folder)))
        finally:
            twin.terminate()
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if result["loop_lag_p999_seconds"] <= LIMIT_SECONDS else 1


async def _measured(port: int, folder: Path) -> dict[str, float]:
    market = synthetic_market(7, calm=True)
    clock = WallClock(starts_at=market.session.open_at + 60 * SECOND)
    unread, stuck = os.pipe()
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections into its backlog and never answers
    logs = Logs(clock.now, stream=os.fdopen(stuck, "w"), pretty=False)
    base = f"http://127.0.0.1:{port}"
    hanging: list[asyncio.StreamWriter] = []
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    plan = Plan(
        mode="bench",
        clock=clock,
        session=market.session,
        contracts=market.contracts,
        rules=Rules(risk=RiskRules(entries_per_day=400)),
        model=load_model(SHIPPED, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE),
        hosts=Hosts(base, base),
        token=Token(TOKEN),
        data_folder=folder / "data",
        archive_root=str(folder / "archive"),
        logs=logs,
        telemetry=("127.0.0.1", 0),
        alertmanager=f"http://127.0.0.1:{silent.getsockname()[1]}",
        verbose=True,
        on_ready=lambda desk: ready.set_result(desk.ops_port),
    )
    stop = asyncio.Event()
    trading = asyncio.create_task(trade(replace(plan), stop))
    ops_port = await ready
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", ops_port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")  # …and nothing more
        hanging.append(writer)
    for _ in range(6_000):  # from here on the pipe and the queue before it are full
        logs.log.info("filler", text="x" * 200, at_ist=ist_text(clock.now()))
    late = await _sampled()
    dropped = logs.dropped
    stop.set()
    await asyncio.wait({trading}, timeout=30)
    trading.cancel()
    for writer in hanging:
        writer.close()
    silent.close()
    os.close(unread)
    logs.close()
    late.sort()
    return {
        "seconds": SECONDS,
        "samples": len(late),
        "loop_lag_p50_seconds": round(late[len(late) // 2], 5),
        "loop_lag_p999_seconds": round(late[int(len(late) * 0.999)], 5),
        "loop_lag_max_seconds": round(late[-1], 5),
        "log_lines_dropped": float(dropped),
        "limit_seconds": LIMIT_SECONDS,
    }


async def _sampled() -> list[float]:
    late = []
    end = time.perf_counter() + SECONDS
    while (due := time.perf_counter() + STEP_SECONDS) < end:
        await asyncio.sleep(STEP_SECONDS)
        late.append(time.perf_counter() - due)
    return late


if __name__ == "__main__":
    raise SystemExit(main())
