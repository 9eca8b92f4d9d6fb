"""Short real days in lockstep: the assembled bot against the twin over real sockets, in a second or two."""

import asyncio
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Any

from bot.assemble.broker import Sandbox
from bot.assemble.closing import DayResult
from bot.assemble.day import trade
from bot.assemble.plan import Desk, Plan
from bot.core.rules import Contract, RiskRules, Rules
from bot.core.session import Session
from bot.core.units import SECOND, Nanos
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.sim.market import Shock, SyntheticMarket
from bot.sim.orders import ExchangeRules
from bot.storage.model import LoadedModel, load_model
from bot.telemetry.logs import Logs
from bot.twin.faults import Fault
from bot.twin.market_source import MarketEvent, synthetic
from bot.twin.server import Twin
from bot.upstox.auth import Token
from bot.upstox.rest import Hosts
from tests.conftest import DAY, KEY, at

MODEL = Path(__file__).parents[1] / "models" / "trade_classifier.tflite"
STARTS = at("09:10:00")
SHORT = Session.on(DAY, opens=time(9, 15), entry_cutoff=time(9, 26), flatten=time(9, 28), closes=time(9, 30))


@dataclass
class ShortDay:
    """A quarter of an hour. `eager` enters on every falling tick: a stand-in classifier, to see orders."""

    folder: Path
    faults: Sequence[Fault] = ()
    shocks: Sequence[Shock] = ()
    seed: int = 3
    quantity: int = 65
    eager: bool = True
    rules: Rules = field(
        default_factory=lambda: Rules(risk=RiskRules(entries_per_day=400, premium_min=10_00))
    )
    observers: tuple[Any, ...] = ()
    archive_root: str = ""
    exchange: ExchangeRules = field(default_factory=ExchangeRules)
    meanwhile: Callable[["Running"], Any] | None = None  # a coroutine function run beside the day
    telemetry: tuple[str, int] | None = None
    mode: str = "test"
    sandbox_of: Callable[[str], Sandbox] | None = None  # given the twin's token
    companions: tuple[str, ...] = ()
    alertmanager: str = ""
    session: Session = SHORT

    def market(self) -> Iterator[MarketEvent]:
        """What the twin plays."""
        session = self.session
        return synthetic(
            SyntheticMarket(
                KEY, tick=5, lot=65, seed=self.seed, opens_at=session.open_at, closes_at=session.close_at,
                start_price=300_00, shocks=self.shocks,
            )
        )  # fmt: skip

    def run(self) -> "Outcome":
        """The whole day, in virtual time."""
        loop = LockstepLoop()
        clock = LockstepClock(loop, STARTS)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(self._day(clock))

    async def _day(self, clock: LockstepClock) -> "Outcome":
        contract = Contract(KEY, self.quantity, 65, 5, 1755, "NSE")
        session = self.session
        twin = Twin(
            clock, {KEY: contract}, self.market(), opens_at=session.open_at, closes_at=session.close_at,
            seed=self.seed, faults=self.faults, rules=self.exchange,
        )  # fmt: skip
        addresses = await twin.start()
        playing = asyncio.create_task(twin.run())
        log_path = self.folder / "log.jsonl"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("a", encoding="utf-8") as log_file:
            logs = Logs(clock.now, stream=log_file, pretty=False)
            running = Running(clock, twin, self._plan(clock, contract, addresses.rest, twin.token, logs))
            try:
                beside = asyncio.create_task(self.meanwhile(running)) if self.meanwhile else None
                result = await running.start()
                if beside is not None:
                    await beside
            finally:
                playing.cancel()
                await twin.stop()
                logs.close()
        return Outcome(result, twin, self.folder, running)

    def _plan(self, clock: LockstepClock, contract: Contract, url: str, token: str, logs: Logs) -> Plan:
        model: Any = load_model(MODEL, rel_diff=self.rules.strategy.rel_diff)
        if self.eager:
            model = LoadedModel(lambda _: 0.9, model.passport, model.runtime)
        return Plan(
            mode=self.mode,
            clock=clock,
            session=self.session,
            contracts=(contract,),
            rules=self.rules,
            model=model,
            hosts=Hosts(url, url),
            token=Token(token),
            data_folder=self.folder / "data",
            archive_root=self.archive_root or str(self.folder / "archive"),
            logs=logs,
            telemetry=self.telemetry,
            alertmanager=self.alertmanager,
            observers=self.observers,
            companions=self.companions,
            sandbox=self.sandbox_of(token) if self.sandbox_of else None,
            jitter_seed=1,
        )


class Running:
    """A day under way: kill it, start it again, wait for an instant."""

    def __init__(self, clock: LockstepClock, twin: Twin, plan: Plan) -> None:
        self.clock, self.twin, self.plan = clock, twin, plan
        self.stop = asyncio.Event()
        self.desk: Desk | None = None
        self._task: asyncio.Task[DayResult] | None = None
        self._again = False
        object.__setattr__(plan, "on_ready", self._ready)

    def _ready(self, desk: Desk) -> None:
        self.desk = desk

    async def start(self) -> DayResult:
        while True:
            self._task = asyncio.create_task(trade(self.plan, self.stop))
            try:
                return await self._task
            except asyncio.CancelledError:
                if not self._again:
                    raise
                self._again = False

    def kill_and_restart(self) -> None:
        """End the incarnation where it stands (what is not on disk is lost), and begin the next."""
        assert self._task is not None
        self._again = True
        self._task.cancel()

    async def until(self, clock_time: str) -> None:
        await self.clock.sleep_until(at(clock_time))

    async def until_long(self) -> None:
        """Until the twin's exchange (not the bot) says that we own something."""
        while not any(row.quantity for row in self.twin.exchange.positions()):
            await self.clock.sleep_until(self.clock.now() + SECOND // 10)


@dataclass
class Outcome:
    """What is left of the day, and the twin's own ledger to judge it by."""

    result: DayResult
    twin: Twin
    folder: Path
    running: Running

    @property
    def csv_text(self) -> str:
        return next((self.folder / "data").glob("trades-*.csv")).read_text()

    @property
    def csv_rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self.csv_text.splitlines()))

    def ledger(self) -> list[tuple[str, int, int]]:
        """(side, quantity, price in paise) of every trade, by the exchange."""
        return sorted((str(t.side), t.quantity, t.price) for t in self.twin.exchange.trades())

    def judged(self) -> None:
        """No quantity forgotten, none invented, flat at the end, books equal."""
        assert not any(row.quantity for row in self.twin.exchange.positions())
        bought = sum(q for side, q, _ in self.ledger() if side == "BUY")
        booked = sum(int(row["quantity"]) for row in self.csv_rows if row["side"] == "BUY")
        assert booked == bought
        spent = sum(q * p for side, q, p in self.ledger() if side == "BUY")
        assert sum(f.value for f in self.result.fills if f.side == "BUY") == spent
        tags = [order.tag for order in self.twin.exchange.orders() if order.tag]
        assert len(tags) == len(set(tags)), "an order was sent twice"


def instant(clock: str) -> Nanos:
    return at(clock)
