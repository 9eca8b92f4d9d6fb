"""A simulated day: the assembled bot, its adapter and libraries included, in a world that goes wrong.

Everything follows from the seed: the market, the troubles, the deaths of the process, the order of things.
One process, one loop, virtual time. What is judged is judged by the exchange's books (simulate/checks.py).
"""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from bot.assemble.day import DayResult, Plan, trade
from bot.core.commands import Alert, CancelOrder, ModifyOrder, PlaceOrder, RecordFill
from bot.core.events import Heartbeat, SendOutcome, Tick
from bot.core.rules import Contract, RiskRules, Rules
from bot.core.session import Session
from bot.core.units import SECOND, Nanos, ist
from bot.run.lockstep import LockstepStuck
from bot.run.ports import Turn
from bot.sim.market import SyntheticMarket
from bot.sim.orders import OrderRow
from bot.simulate.checks import Breach, Judge
from bot.simulate.disk import SimDisk, SimJournal
from bot.simulate.lean_http import LeanProtocol
from bot.simulate.loop import BoxClock, BoxLoop, library_doors, rare_collections
from bot.simulate.network import Incarnation, running
from bot.simulate.troubles import AWAY, Kind, Trouble, away, draw
from bot.simulate.twin_box import BoxTwin
from bot.storage.journal import JournalFailed
from bot.storage.model import LoadedModel, load_model
from bot.telemetry.logs import Logs
from bot.twin.market_source import synthetic
from bot.upstox.auth import Token
from bot.upstox.rest import Hosts

MODEL: Final = Path(__file__).parents[2] / "models" / "trade_classifier.tflite"
DAY: Final = date(2026, 9, 16)
KEY: Final = "NSE_FO|45450"
CANARY: Final = "canary-5c1f0e-token"  # a token found in any text is a secret told
FOCUS: Final = Session.on(DAY, opens=time(14, 50), entry_cutoff=time(15, 25))
FULL: Final = Session.on(DAY, entry_cutoff=time(15, 25))
_WHOLE_HTTP_EVERY: Final = 16
_BEFORE: Final[Nanos] = 10 * SECOND
_BOOT_SECONDS: Final = (
    2.0  # from the death of one process to the life of the next, beside what the trouble says
)
_PROCESS: Final = frozenset({Kind.KILL, Kind.KILL_AFTER, Kind.KILL_AND_LOSE_DISK})


class Day(NamedTuple):
    """How a simulated day went."""

    seed: int
    breaches: tuple[Breach, ...]
    troubles: Counter[str]
    marks: Counter[str]
    crashes: int
    trades: int
    digest: str
    story: tuple[str, ...]  # empty unless asked for


@dataclass
class World:
    """One seed's world. `troubles`: None draws them. `until_breach`: one is enough, the day ends there.
    `whole_http`: on the general HTTP libraries and not the lean one; None: on every sixteenth day.
    """

    seed: int
    session: Session = FOCUS
    troubles: Sequence[Trouble] | None = None
    tell: bool = False
    until_breach: bool = False
    whole_http: bool | None = None
    _story: list[str] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _life: Incarnation | None = None
    _crashes: int = 0

    def run(self) -> Day:
        """Live it."""
        loop = BoxLoop()
        self._loop = loop
        self._whole_http = self.seed % _WHOLE_HTTP_EVERY == 0 if self.whole_http is None else self.whole_http
        self._clock = BoxClock(loop, self.session.open_at - _BEFORE)
        self._hash = sha256()
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  a disk no test waits for
        with (
            TemporaryDirectory(prefix="bot-world-", dir=memory) as folder,
            asyncio.Runner(loop_factory=lambda: loop) as box,
            library_doors(loop, whole_http=self._whole_http),
            rare_collections(),
        ):
            try:
                return box.run(self._day(Path(folder)))
            except LockstepStuck as stuck:
                breach = Breach(self._clock.now(), "14 responsive", str(stuck))
                return Day(
                    self.seed, (breach,), self._counts, Counter(), self._crashes, 0, "", tuple(self._story)
                )

    async def _day(self, folder: Path) -> Day:
        script = tuple(draw(self.seed, self.session) if self.troubles is None else self.troubles)
        contract = Contract(KEY, 2 * 65, 65, 5, 1755, "NSE", "NIFTY CE")
        rng = Random(f"{self.seed}/world")  # noqa: S311
        rules = Rules(risk=RiskRules(entries_per_day=60, stops_per_day=20, cooldown_seconds=30))
        session, clock = self.session, self._clock
        market = SyntheticMarket(
            KEY, tick=5, lot=65, seed=self.seed, opens_at=session.open_at, closes_at=session.close_at,
            start_price=rng.randrange(120_00, 480_00, 5),
        )  # fmt: skip
        twin = self._twin = BoxTwin(
            clock, {KEY: contract}, synthetic(market), opens_at=session.open_at, closes_at=session.close_at,
            seed=self.seed, token=CANARY, rng=Random(f"{self.seed}/twin"),  # noqa: S311
        )  # fmt: skip
        judge = self._judge = Judge(
            twin.exchange, contract, rules, session, away(script), twin.ours_without_tag
        )
        twin.on_words.append(self._words)
        twin.http_protocol = "h11" if self._whole_http else LeanProtocol
        addresses = await twin.start()
        self._text = io.StringIO()
        self._disk = SimDisk()
        self._plan = Plan(
            mode="simulate", clock=clock, session=session, contracts=(contract,), rules=rules,
            model=_model(Random(f"{self.seed}/model")), hosts=Hosts(addresses.rest, addresses.rest),  # noqa: S311
            token=Token(CANARY), data_folder=folder / "data", archive_root=str(folder / "archive"),
            logs=Logs(clock.now, stream=self._text, pretty=False, direct=True), observers=(self,), jitter_seed=self.seed,
            taped=False,
        )  # fmt: skip
        beside = [
            asyncio.create_task(twin.run()),
            asyncio.create_task(self._befall(script)),
            asyncio.create_task(self._watch()),
        ]
        try:
            result = await self._live()
        finally:
            for task in beside:
                task.cancel()
            await twin.stop()
        judge.close(clock.now(), result.exit_code if result else None, _booked(folder / "data"))
        self._plan.logs.close()
        self._secrets(folder)
        self._hash.update(repr(sorted(judge.marks.items())).encode())
        return Day(
            self.seed, tuple(judge.breaches), self._counts, judge.marks, self._crashes,
            len(twin.exchange.trades()), self._hash.hexdigest(), tuple(self._story),
        )  # fmt: skip

    # ---- the process, again and again --------------------------------------------------------------------

    async def _live(self) -> DayResult | None:
        """What a supervisor does: start it again whenever it ends before its time."""
        for number in range(1, 1000):
            life = self._life = Incarnation(number)
            died = asyncio.Event()
            life.on_death = died.set
            self._down_seconds = _BOOT_SECONDS
            running.set(life)
            journal = SimJournal(self._disk, life, self._plan.data_folder / f"journal-{DAY}.sqlite")
            task = asyncio.create_task(trade(_with(self._plan, journal), asyncio.Event()))
            death = asyncio.create_task(died.wait())
            running.set(None)
            await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
            death.cancel()
            if life.alive:
                if (error := task.exception()) is None:
                    return task.result()
                self._ended(error)
                life.kill()
            if self.until_breach and self._judge.breaches:
                self._loop.network.cut(life)
                task.cancel()
                await asyncio.wait({task}, timeout=1.0)
                return None
            self._tell(f"the process is dead; the next in {self._down_seconds} s")
            self._crashes += 1
            self._loop.network.cut(life)
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
            await asyncio.sleep(self._down_seconds)
        return None

    def _ended(self, error: BaseException) -> None:
        """A process must not end by itself, but for one: without a disk that takes its start, whose number is
        in every tag, it rightly refuses; its supervisor tries again.
        """
        now = self._clock.now()
        if isinstance(error, JournalFailed) and self._disk.full():
            self._judge.marks["start refused: no disk"] += 1
            self._judge.excuse(now, now + round((_BOOT_SECONDS + AWAY[Kind.KILL]) * SECOND))
        else:
            self._judge.breaches.append(Breach(now, "13 no crash", repr(error)))

    # ---- troubles ----------------------------------------------------------------------------------------

    async def _befall(self, script: Sequence[Trouble]) -> None:
        for trouble in script:
            await self._clock.sleep_until(trouble.at)
            happened = True
            if trouble.kind in _PROCESS:
                happened = self._doom(trouble)
            elif trouble.kind.startswith("net_"):
                self._net(trouble)
            elif trouble.kind.startswith("disk_"):
                self._trouble_disk(trouble)
            else:
                happened = await self._twin.befall(trouble)
            if happened:
                self._counts[trouble.kind] += 1
                self._tell(f"TROUBLE {trouble.kind} {trouble.seconds} s, {trouble.amount}")

    def _doom(self, trouble: Trouble) -> bool:
        life = self._life
        if life is None or not life.alive:
            return False
        life.doom(trouble.amount, after=trouble.kind is Kind.KILL_AFTER)
        self._down_seconds = _BOOT_SECONDS + trouble.seconds
        if trouble.kind is Kind.KILL_AND_LOSE_DISK:
            told = life.on_death

            def lose_all() -> None:
                self._disk.lose()
                told()

            life.on_death = lose_all
        return True

    def _net(self, trouble: Trouble) -> None:
        network, until = self._loop.network, self._loop.time() + trouble.seconds
        match trouble.kind:
            case Kind.NET_RESET:
                network.reset_all()
            case Kind.NET_REFUSED:
                network.refusing_until = until
                network.reset_all()
            case Kind.NET_SWALLOWED:
                network.swallowing_until = until
            case Kind.NET_LAG:
                network.lag_seconds, network.lagging_until = trouble.amount / 1000, until

    def _trouble_disk(self, trouble: Trouble) -> None:
        loop, until = self._loop, self._loop.time() + trouble.seconds
        if trouble.kind is Kind.DISK_FULL:
            self._disk.full = lambda: loop.time() < until
        else:
            loop.work_seconds = lambda: trouble.amount / 1000 if loop.time() < until else 0.0

    # ---- who listens -------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now() + SECOND // 2)
            self._judge.look(self._clock.now())
            if self.until_breach and self._judge.breaches and self._life is not None:
                self._life.kill()

    def _words(self, rows: list[OrderRow]) -> None:
        now = self._clock.now()
        for row in rows:
            filled = f"{row.filled_quantity}/{row.quantity} {row.price}"
            line = f"{row.order_id} {row.tag} {row.side} {row.status} {filled}"
            self._hash.update(f"{now} {line}\n".encode())
            self._tell(f"  exchange {line} {row.status_message}")
        self._judge.words(now, rows)

    def hear(self, turn: Turn) -> None:
        """The bot's observer."""
        life = running.get()
        if life is not None and not life.alive:
            return
        self._judge.turn(turn)
        event = turn.event
        self._hash.update(f"{event.at} {type(event).__name__} {len(turn.commands)}\n".encode())
        if not self.tell:
            return
        if not isinstance(event, Tick | Heartbeat) and "Seen" not in type(event).__name__:
            words = event if isinstance(event, SendOutcome) else type(event).__name__
            self._tell(f"    bot hears {words}")
        for command in turn.commands:
            if isinstance(command, PlaceOrder | ModifyOrder | CancelOrder | RecordFill | Alert):
                self._tell(f"  bot {command}")

    def _tell(self, words: str) -> None:
        if self.tell:
            self._story.append(f"{ist(self._clock.now()):%H:%M:%S.%f} {words}")

    def _secrets(self, folder: Path) -> None:
        kept = [self._text.getvalue().encode()]
        kept += [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
        if any(CANARY.encode() in text for text in kept):
            self._judge.breaches.append(Breach(self._clock.now(), "13 no secret", "the token was written"))


def _with(plan: Plan, journal: SimJournal) -> Plan:
    fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
    return Plan(**{**fields, "open_journal": lambda _: journal})


_LOADED: dict[str, LoadedModel] = {}


def _model(rng: Random) -> LoadedModel:
    """Dense signals: a classifier that says yes two times in three."""
    from bot.core.forecast import RelDiff

    if not _LOADED:
        _LOADED["model"] = load_model(MODEL, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)
    loaded = _LOADED["model"]
    return LoadedModel(lambda _: 0.9 if rng.random() < 2 / 3 else 0.1, loaded.passport, loaded.runtime)


def _booked(folder: Path) -> Counter[str]:
    """The CSV's rows."""
    booked: Counter[str] = Counter()
    for path in folder.glob("trades-*.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            quantity = int(row["quantity"])
            name = f"{row['order_id']} {row['side']}"
            booked[f"{name} units"] += quantity
            booked[f"{name} paise"] += round(Decimal(row["price"]) * 100 * quantity)
    return booked
