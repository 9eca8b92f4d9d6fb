"""The twin on a thread and a loop of its own, faster than life: for tests of the bot on the wall clock."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self

from bot.core.rules import Contract
from bot.core.session import Session
from bot.core.units import Nanos
from bot.run.live import WallClock
from bot.sim.exchange import SimExchange
from bot.sim.market import Shock, SyntheticMarket
from bot.twin.faults import Fault
from bot.twin.market_source import synthetic
from bot.twin.server import Twin
from tests.conftest import DAY, KEY


class TwinThread:
    """A context manager; `rest` is the base address."""

    def __init__(
        self,
        starts_at: Nanos,
        speed: float,
        *,
        opens_at: Nanos | None = None,
        shocks: Sequence[Shock] = (),
        **more: Any,
    ) -> None:
        """`more` goes to the Twin as it is."""
        self._more = more
        self._opens_at, self._shocks = opens_at or Session.on(DAY).open_at, shocks
        self.clock = WallClock(starts_at=starts_at, speed=speed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="twin")
        self.rest = ""
        self.twin: Twin | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._playing.cancel)
        self._thread.join(10)

    @property
    def exchange(self) -> SimExchange:
        assert self.twin is not None
        return self.twin.exchange

    def position(self) -> int:
        return sum(row.quantity for row in self.exchange.positions())

    def call(self, work: Callable[[Twin], Awaitable[None]]) -> None:
        """Do something with the twin, on its own loop."""

        async def on_its_loop() -> None:
            assert self.twin is not None
            await work(self.twin)

        asyncio.run_coroutine_threadsafe(on_its_loop(), self._loop).result(10)

    def orders(self) -> int:
        assert self.twin is not None
        return len(self.twin.exchange.orders())

    def traded(self) -> int:
        assert self.twin is not None
        return len(self.twin.exchange.trades())

    def inject(self, fault: Fault) -> None:
        """Let it happen now."""
        assert self.twin is not None
        asyncio.run_coroutine_threadsafe(self.twin.inject(fault), self._loop).result(10)

    def wait_long(self, seconds: float) -> None:
        """Until the exchange says we own something."""
        end = time.monotonic() + seconds
        while not self.position() and time.monotonic() < end:
            time.sleep(0.02)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        session = Session.on(DAY)
        market = SyntheticMarket(
            KEY,
            tick=5,
            lot=65,
            seed=3,
            opens_at=self._opens_at,
            closes_at=session.close_at,
            start_price=300_00,
            shocks=self._shocks,
        )
        twin = self.twin = Twin(
            self.clock,
            {KEY: Contract(KEY, 65, 65, 5, 1755, "NSE")},
            synthetic(market),
            opens_at=session.open_at,  # what the broker says of the day, whenever the market here begins
            closes_at=session.close_at,
            **self._more,
        )
        self.rest = (await twin.start()).rest
        self._playing = asyncio.create_task(twin.run())
        self._ready.set()
        try:
            await self._playing
        except asyncio.CancelledError:
            pass
        finally:
            await twin.stop()
