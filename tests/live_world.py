"""A live day in lockstep: settings, instrument master and calendar on disk, the twin as the broker."""

import asyncio
import gzip
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any

from bot.assemble.live_day import LiveDay, live_day, opening_for
from bot.core.rules import Contract
from bot.core.session import Session
from bot.core.trading_day import Opening
from bot.core.units import SECOND, Nanos, ist_nanos
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.run.timetable import Timetable
from bot.settings import Settings, load
from bot.sim.market import MarketMove, SyntheticMarket
from bot.storage import calendar_file
from bot.storage.model import LoadedModel, load_model
from bot.telemetry.logs import Logs
from bot.twin.faults import Fault
from bot.twin.market_source import MarketEvent, merged, synthetic
from bot.twin.server import Twin
from bot.upstox.auth import Token
from tests.conftest import DAY, at
from tests.days import MODEL

INDEX = "NSE_INDEX|Nifty 50"
EXPIRY = date(2026, 9, 22)
STRIKES = (24950, 25000, 25050)
HALF_DAY = """kind,date,open,close,label,source,confidence
short,2026-09-16,09:15,09:30,a morning for the test,the test,high
"""
RISK = """
[risk]
daily_loss_rupees = 50000
accept_no_edge = true
"""
WISH = """
[[instruments]]
underlying = "NIFTY"
option_type = "CE"
strike = "ATM"
expiry = "nearest"
lots = 1
"""


def row(strike: int, expiry: date = EXPIRY) -> dict[str, Any]:
    """An option as the master lists it (upstox §6.6)."""
    return {
        "segment": "NSE_FO", "name": "NIFTY", "exchange": "NSE", "instrument_type": "CE", "lot_size": 65,
        "expiry": ist_nanos(expiry, time(23, 59, 59)) // 1_000_000, "underlying_symbol": "NIFTY",
        "underlying_key": INDEX, "underlying_type": "INDEX", "instrument_key": key_of(strike),
        "freeze_quantity": 1755.0, "exchange_token": str(strike), "minimum_lot": 65, "tick_size": 5.0,
        "strike_price": float(strike), "trading_symbol": f"NIFTY {strike} CE 22 SEP 26", "weekly": True,
    }  # fmt: skip


def index(opens: Nanos, closes: Nanos) -> Iterator[MarketEvent]:
    """The index each second, a few points around 25,010. (An option's market would move it by 10 %.)"""
    for number, when in enumerate(range(opens - 600 * SECOND, closes, SECOND)):
        ltp = 25_010_00 + 5 * (number * 7919 % 101)
        yield MarketEvent(when, INDEX, MarketMove(when, ltp, 0, when, 0, 0, 0, 0, 0))


def key_of(strike: int) -> str:
    return f"NSE_FO|{strike}"


def master(folder: Path, rows: Sequence[dict[str, Any]] | None = None) -> Path:
    """A master on disk."""
    index = {
        "segment": "NSE_INDEX", "name": "Nifty 50", "exchange": "NSE", "instrument_type": "INDEX",
        "instrument_key": INDEX, "exchange_token": "26000", "trading_symbol": "NIFTY",
    }  # fmt: skip
    path = folder / "master.json.gz"
    rows = [row(strike) for strike in STRIKES] if rows is None else rows
    path.write_bytes(gzip.compress(json.dumps([index, *rows]).encode()))
    return path


class LockstepTimetable(Timetable):
    """The phases on the clock of the world."""

    def __init__(self, session: Session, announce: Callable[[str], None], clock: LockstepClock) -> None:
        super().__init__(session, announce)
        self._clock = clock
        self._jobs: dict[str, asyncio.Task[None]] = {}

    def stop(self) -> None:
        for job in self._jobs.values():
            job.cancel()

    def _set_job(self, name: str, at: Nanos) -> None:
        if name in self._jobs:
            self._jobs.pop(name).cancel()
        self._jobs[name] = asyncio.create_task(self._wait(name, at))

    async def _wait(self, name: str, at: Nanos) -> None:
        await self._clock.sleep_until(at)
        await self._begin(name)


@dataclass
class World:
    """One day. `closes`: of the twin; the calendar says the same unless `calendar` is another."""

    folder: Path
    starts: str = "08:45:00"
    instruments: str = WISH
    mode: str = "paper"
    calendar: str = HALF_DAY
    closes: str = "09:30:00"
    market_opens: str = "09:15:00"
    environ: dict[str, str] = field(default_factory=dict)
    strikes: tuple[int, ...] = STRIKES  # that the twin trades; the master lists all
    rows: Sequence[dict[str, Any]] | None = None
    faults: Sequence[Fault] = ()
    twin: Twin | None = None
    codes: list[int] = field(default_factory=list)

    def settings(self, base: str) -> Settings:
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        if self.calendar:
            (data / "calendar.csv").write_text(self.calendar)
        (self.folder / "bot.toml").write_text(RISK + self.instruments)
        source = self.folder / "master.json.gz"
        if not source.exists():
            master(self.folder, self.rows)
        environ = {
            "BOT_BROKER__MODE": self.mode,
            "BOT_BROKER__API_HOST": base,
            "BOT_BROKER__ORDER_HOST": base,
            "BOT_LIVE_ACCESS_TOKEN": "twin-token",
            "BOT_DATA__FOLDER": str(data),
            "BOT_DATA__INSTRUMENT_MASTER": str(source),
            "BOT_ARCHIVE__ROOT": str(self.folder / "archive"),
            "BOT_MODEL__PATH": str(MODEL),
            "BOT_TELEMETRY__PORT": "0",
            "BOT_STRATEGY__WARMUP_TICKS": "20",
        }
        return load(self.folder / "bot.toml", environ | self.environ)

    def run(self, script: "Callable[[World, Incarnations], Coroutine[Any, Any, None]] | None" = None) -> int:
        """The day in virtual time; the last incarnation's exit code. `script` runs beside it."""
        loop = LockstepLoop()
        clock = LockstepClock(loop, at(self.starts))
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(self._run(clock, script))

    async def _run(self, clock: LockstepClock, script: Any) -> int:
        opens, closes, market_opens = at("09:15:00"), at(self.closes), at(self.market_opens)
        contracts = {
            key_of(s): Contract(key_of(s), 65, 65, 5, 1755, "NSE", f"NIFTY {s} CE") for s in self.strikes
        }
        options = [
            SyntheticMarket(
                key_of(strike), tick=5, lot=65, seed=3, opens_at=market_opens, closes_at=closes,
                start_price=200_00 + (25_000 - strike) * 50,
            )
            for strike in self.strikes
        ]  # fmt: skip
        market = merged(index(market_opens, closes), synthetic(*options))
        twin = self.twin = Twin(
            clock, contracts, market, opens_at=opens, closes_at=closes, seed=1,
            faults=self.faults,
        )  # fmt: skip
        base = (await twin.start()).rest
        playing = asyncio.create_task(twin.run())
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log_file:
            logs = Logs(clock.now, stream=log_file, pretty=False)
            lives = Incarnations(self, clock, self.settings(base), logs)
            try:
                beside = asyncio.create_task(script(self, lives)) if script else None
                code = await lives.live()
                if beside is not None:
                    await beside
            finally:
                playing.cancel()
                await twin.stop()
                logs.close()
        return code

    def story(self) -> str:
        """The whole log, for whoever asks why a test failed."""
        return (self.folder / "log.jsonl").read_text()

    def said(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one kind."""
        lines = (json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines())
        return [line for line in lines if line["event"] == event]


class Incarnations:
    """The bot, and what a script may do to it."""

    def __init__(self, world: World, clock: LockstepClock, settings: Settings, logs: Logs) -> None:
        self.clock, self.stop = clock, asyncio.Event()
        self._world, self._settings, self._logs = world, settings, logs
        self._task: asyncio.Task[int] | None = None
        self._again = False

    async def live(self) -> int:
        calendar = calendar_file.load(self._settings.data_folder)
        model = load_model(MODEL, rel_diff=self._settings.rules.strategy.rel_diff)
        eager = LoadedModel(lambda _: 0.9, model.passport, model.runtime)
        while True:
            opening = opening_for(self._settings, calendar, DAY)
            assert isinstance(opening, Opening), opening
            day = LiveDay(
                settings=self._settings,
                clock=self.clock,
                calendar=calendar,
                opening=opening,
                token=Token("twin-token"),
                model=eager,
                logs=self._logs,
                timetable=lambda session, announce: LockstepTimetable(session, announce, self.clock),
                jitter_seed=1,
            )
            self._task = asyncio.create_task(live_day(day, self.stop))
            try:
                return await self._task
            except asyncio.CancelledError:
                if not self._again:
                    raise
                self._again = False

    async def until(self, clock_time: str) -> None:
        await self.clock.sleep_until(at(clock_time))

    def kill(self) -> None:
        """The process dies where it stands; the next begins at once."""
        assert self._task is not None
        self._again = True
        self._task.cancel()


def held(world: World) -> int:
    """What the twin's account holds."""
    assert world.twin is not None
    return sum(position.quantity for position in world.twin.exchange.positions())
