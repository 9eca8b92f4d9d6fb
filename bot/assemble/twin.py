"""`bot twin`: the twin alone, on the wall clock or faster, for any Upstox client."""

import asyncio
import contextlib
from datetime import time
from pathlib import Path

from rich.console import Console

from bot.assemble.market import DemoRefused, recorded_market, synthetic_market
from bot.core.units import ist_nanos
from bot.run.live import WallClock
from bot.twin.server import Twin


def serve_twin(
    files: tuple[Path, ...], *, port: int, seed: int, speed: float, at: str, console: Console
) -> None:
    """Serve until the twin's close or Ctrl-C. Raises DemoRefused for what a person must mend."""
    market = recorded_market(files) if files else synthetic_market(seed, calm=True)
    try:
        starts_at = ist_nanos(market.session.day, time.fromisoformat(at))
    except ValueError:
        raise DemoRefused([f"--at {at}: write a time of day like 09:15"]) from None
    twin = Twin(
        WallClock(starts_at=starts_at, speed=speed),
        {contract.key: contract for contract in market.contracts},
        market.events,
        opens_at=market.session.open_at,
        closes_at=market.session.close_at,
        seed=seed,
        rest_port=port,
        stream_port=port + 1 if port else 0,
    )

    async def serve() -> None:
        try:
            addresses = await twin.start()
        except OSError as error:
            raise DemoRefused(
                [f"port {port} or {port + 1}: {error.strerror}. Give another --port."]
            ) from None
        console.print(f"[bold]{market.title}[/bold] · {speed:g} × real time from {at} IST")
        console.print(f"  REST        {addresses.rest}", highlight=False)
        console.print(f"  WebSocket   {addresses.streams}", highlight=False)
        console.print(f"  token       {twin.token}", highlight=False)
        for contract in market.contracts:
            console.print(f"  instrument  {contract.key}  lot {contract.lot}", highlight=False)
        try:
            await twin.run()
        finally:
            await twin.stop()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
