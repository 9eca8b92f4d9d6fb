"""A simulated day: the assembled bot, its adapter and libraries included, in a world that goes wrong.

Everything follows from the seed: the market, the troubles, the deaths of the process, the order of things.
One process, one loop, virtual time. What is judged is judged by the exchange's books (simulate/checks.py).
"""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from bot.assemble.plan import Plan
from bot.assemble.world_lives import Lives
from bot.assemble.world_machine import Machine
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
from bot.simulate.disk import SimDisk
from bot.simulate.lean_http import LeanProtocol
from bot.simulate.lease_store import SimLease
from bot.simulate.loop import BoxClock, BoxLoop, rare_collections, time_zone_kept
from bot.simulate.network import running
from bot.simulate.troubles import Kind, Trouble, away, draw
from bot.simulate.twin_box import BoxTwin
from bot.storage.model import SHIPPED, LoadedModel, load_model
from bot.telemetry.logs import Logs
from bot.twin.market_source import synthetic
from bot.upstox.auth import Token
from bot.upstox.rest import Hosts

DAY: Final = date(2026, 9, 16)
KEY: Final = "NSE_FO|45450"
CANARY: Final = "canary-5c1f0e-token"  # a token found in any text is a secret told
FOCUS: Final = Session.on(DAY, opens=time(14, 50), entry_cutoff=time(15, 25))
FULL: Final = Session.on(DAY, entry_cutoff=time(15, 25))
_WHOLE_HTTP_EVERY: Final = 16
_BEFORE: Final[Nanos] = 10 * SECOND
_ARCHIVE: Final = "archive"
_FIRST: Final = "first"  # bots, to the lease
_SECOND: Final = "second"
_HOLDS: Final = 0.3  # of days: SIGTERM leaves a position to its stop


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
    `whole_http`: the twin answers by a general HTTP library, not the lean one; None: on every sixteenth day.
    """

    seed: int
    session: Session = FOCUS
    troubles: Sequence[Trouble] | None = None
    tell: bool = False
    until_breach: bool = False
    whole_http: bool | None = None
    _story: list[str] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _turns: list[tuple[Nanos, str, int]] = field(default_factory=list)  # of the first bot, for the digest

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
            rare_collections(),
            time_zone_kept(),
        ):
            try:
                return box.run(self._day(Path(folder)))
            except LockstepStuck as stuck:
                breach = Breach(self._clock.now(), "14 responsive", str(stuck))
                return Day(
                    self.seed,
                    (breach,),
                    self._counts,
                    Counter(),
                    self._first.crashes,
                    0,
                    "",
                    tuple(self._story),
                )

    async def _day(self, folder: Path) -> Day:
        script = tuple(draw(self.seed, self.session) if self.troubles is None else self.troubles)
        contract = Contract(KEY, 2 * 65, 65, 5, 1755, "NSE", "NIFTY CE")
        rng = Random(f"{self.seed}/world")  # noqa: S311
        risk = RiskRules(entries_per_day=60, stops_per_day=20, cooldown_seconds=30, funds_wanted=True)
        rules = Rules(risk=risk)
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
        twin.on_away = self._away
        twin.http_protocol = "h11" if self._whole_http else LeanProtocol
        addresses = await twin.start()
        self._text = io.StringIO()
        self._logs = Logs(clock.now, stream=self._text, pretty=False, direct=True)
        self._loop.now_of_world = clock.now
        lease = self._lease = SimLease()
        judge.writer = lambda: lease.holder
        self._folder = folder
        self._addresses, self._contract, self._rules = addresses.rest, contract, rules
        self._first = self._bot(_FIRST, self.hear)
        self._machine = Machine(
            loop=self._loop, clock=clock, session=session, judge=judge, lease=lease,
            archive=folder / _ARCHIVE, first=self._first,
            make_second=lambda: self._bot(_SECOND, self._hear_second),
        )  # fmt: skip
        befalls = asyncio.create_task(self._befall(script))
        beside = [befalls, *map(asyncio.create_task, (twin.run(), self._watch()))]
        try:
            result = await self._first.live()
            befalls.cancel()  # the world heals
            if self._counts[Kind.ARCHIVE_DOWN] and result is not None:
                (folder / _ARCHIVE).unlink()
                again = await self._first.once()
                if again is not None:
                    result = result._replace(files=again.files, stored=again.stored)
        finally:
            for task in (*beside, *self._machine.errands):
                task.cancel()
            await twin.stop()
        if result is not None:
            torn = self._machine.torn
            stored = [path for path in (folder / _ARCHIVE).rglob("*") if path.is_file() and path != torn]
            alone = not self._counts[Kind.SECOND_BOT] and torn is None
            judge.archived(clock.now(), _contents(result.files), _contents(stored), alone=alone)
        judge.close(clock.now(), result.exit_code if result else None, _booked(folder / _FIRST))
        self._logs.close()
        self._secrets(folder)
        self._hash.update(repr(self._turns).encode())
        self._hash.update(repr(sorted(judge.marks.items())).encode())
        return Day(
            self.seed, tuple(judge.breaches), self._counts, judge.marks, self._first.crashes,
            len(twin.exchange.trades()), self._hash.hexdigest(), tuple(self._story),
        )  # fmt: skip

    def _bot(self, name: str, hear: Callable[[Turn], None]) -> Lives:
        """A bot with a clock, a disk and a folder of its own, and who starts it again."""
        clock = BoxClock(self._loop, self.session.open_at - _BEFORE)
        model = _model(Random(f"{self.seed}/model/{name}"))  # noqa: S311
        plan = Plan(
            mode="simulate", clock=clock, session=self.session, contracts=(self._contract,),
            rules=self._rules, model=model, hosts=Hosts(self._addresses, self._addresses),
            token=Token(CANARY), data_folder=self._folder / name, archive_root=str(self._folder / _ARCHIVE),
            logs=self._logs, observers=(_Ear(hear),), jitter_seed=self.seed, taped=False,
            hold_on_stop=Random(f"{self.seed}/hold").random() < _HOLDS,  # noqa: S311
        )  # fmt: skip
        return Lives(
            name, plan, clock, SimDisk(), self._lease, self._judge, self._loop,
            self._tell, self._seen_enough, Random(f"{self.seed}/lives/{name}"),  # noqa: S311
        )  # fmt: skip

    def _seen_enough(self) -> bool:
        return self.until_breach and bool(self._judge.breaches)

    # ---- troubles ----------------------------------------------------------------------------------------

    async def _befall(self, script: Sequence[Trouble]) -> None:
        for trouble in script:
            await self._clock.sleep_until(trouble.at)
            happened = self._machine.befall(trouble)
            if happened is None:
                happened = await self._twin.befall(trouble)
            if happened:
                self._counts[trouble.kind] += 1
                self._tell(f"TROUBLE {trouble.kind} {trouble.seconds} s, {trouble.amount}")

    # ---- who listens -------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now() + SECOND)
            self._judge.look(self._clock.now())
            if self._seen_enough() and self._first.life is not None:
                self._first.life.kill()

    def _words(self, rows: list[OrderRow]) -> None:
        now = self._clock.now()
        for row in rows:
            filled = f"{row.filled_quantity}/{row.quantity} {row.price}"
            line = f"{row.order_id} {row.tag} {row.side} {row.status} {filled}"
            self._hash.update(f"{now} {line}\n".encode())
            self._tell(f"  exchange {line} {row.status_message}")
        self._judge.words(now, rows)

    def _away(self, seconds: float) -> None:
        now = self._clock.now()
        self._judge.excuse(now, now + round(seconds * SECOND))

    def hear(self, turn: Turn) -> None:
        """The bot's observer."""
        life = running.get()
        if life is not None and not life.alive:
            return
        now = self._clock.now()
        self._judge.turn(turn, now, _FIRST)
        event = turn.event
        self._turns.append((now, type(event).__name__, len(turn.commands)))
        if not self.tell:
            return
        if not isinstance(event, Tick | Heartbeat) and "Seen" not in type(event).__name__:
            words = event if isinstance(event, SendOutcome) else type(event).__name__
            self._tell(f"    bot hears {words}")
        for command in turn.commands:
            if isinstance(command, PlaceOrder | ModifyOrder | CancelOrder | RecordFill | Alert):
                self._tell(f"  bot {command}")

    def _hear_second(self, turn: Turn) -> None:
        """The other bot's observer."""
        life = running.get()
        if life is not None and life.alive:
            self._judge.turn_of_second(turn, self._clock.now(), _SECOND)
            for command in turn.commands if self.tell else ():
                if isinstance(command, PlaceOrder | ModifyOrder | CancelOrder | RecordFill | Alert):
                    self._tell(f"  second bot {command}")

    def _tell(self, words: str) -> None:
        if self.tell:
            self._story.append(f"{ist(self._clock.now()):%H:%M:%S.%f} {words}")

    def _secrets(self, folder: Path) -> None:
        kept = [self._text.getvalue().encode()]
        kept += [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
        if any(CANARY.encode() in text for text in kept):
            self._judge.breaches.append(Breach(self._clock.now(), "13 no secret", "the token was written"))


class _Ear(NamedTuple):
    """An observer that is a function."""

    hear: Callable[[Turn], None]


_LOADED: dict[str, LoadedModel] = {}


def _model(rng: Random) -> LoadedModel:
    """Dense signals: a classifier that says yes two times in three."""
    from bot.core.forecast import RelDiff

    if not _LOADED:
        _LOADED["model"] = load_model(SHIPPED, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)
    loaded = _LOADED["model"]
    return LoadedModel(lambda _: 0.9 if rng.random() < 2 / 3 else 0.1, loaded.passport, loaded.runtime)


def _contents(files: Iterable[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files}


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
