"""The processes of a simulated day: a bot's lives, one after another, and the supervisor who begins each.

What befalls a process (death, SIGTERM, standing still, a wrong clock) is done to it here, on command. It
decides nothing of the day and judges nothing but how a process ends.
"""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from bot.assemble.closing import EXIT_HOLDING, DayResult
from bot.assemble.control import together
from bot.assemble.day import trade
from bot.assemble.lease import MARGIN, Lease
from bot.assemble.plan import Plan
from bot.assemble.readings import Readings
from bot.core.units import SECOND, Nanos
from bot.simulate.checks import Breach, Judge
from bot.simulate.disk import SimDisk, SimJournal
from bot.simulate.lease_store import SimLease
from bot.simulate.loop import BoxClock, BoxLoop
from bot.simulate.network import Incarnation, running
from bot.simulate.troubles import AWAY, Kind, Trouble
from bot.storage.journal import JournalFailed, JournalRefused

BOOT_SECONDS: Final = 2.0  # from the end of one process to the next, beside what the trouble says
LEASE_SECONDS: Final = 20.0
_REFUSED_SECONDS: Final = 5.0  # a supervisor's patience with a start that is refused
_FAILURES_MAX: Final = 10
_EARLY_EFFECTS: Final = (1, 25)  # within which a start dies that dies early
_SETTLED: Final[Nanos] = round(AWAY[Kind.KILL] * SECOND)


@dataclass
class Lives:
    """One bot: its clock, its disk, its folder and its name, whoever runs at the moment.

    `tell` hears the story; `over` is asked whether the whole day is to end now.
    """

    name: str
    plan: Plan
    clock: BoxClock
    disk: SimDisk
    store: SimLease
    judge: Judge
    loop: BoxLoop
    tell: Callable[[str], None]
    over: Callable[[], bool]
    rng: Random
    life: Incarnation | None = None
    crashes: int = 0
    _down_seconds: float = BOOT_SECONDS
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _early_deaths: int = 0  # so many starts to come die early
    _ended_for_good: bool = False
    _failures: int = 0
    _volume_lost: bool = False
    _mended_seconds: float = 0.0

    async def live(self) -> DayResult | None:
        """Start it again whenever it ends before its time; how the day ended. None: it was ended for good."""
        for number in range(1, 10_000):
            result, task = await self._life_of(number)
            if result is not None or self._ended_for_good or self._hopeless or self.over():
                await _buried(task)
                return result
            self.tell(f"{self.name}: the process is gone; the next in {self._down_seconds} s")
            self.crashes += 1
            self._excuse(self._down_seconds)
            await _buried(task)
            await asyncio.sleep(self._down_seconds)
        return None

    async def once(self) -> DayResult | None:
        """Another start, when the day is over; again when it dies, or while another bot holds the lease."""
        result = None
        while result is None and not self._hopeless:
            result, task = await self._life_of(0)
            await _buried(task)
            if result is None:
                await asyncio.sleep(_REFUSED_SECONDS)
        return result

    def end(self) -> None:
        """`kill -9`, and nobody starts it again."""
        self._ended_for_good = True
        if self.life is not None:
            self.life.kill()
        if self.store.holder == self.name:  # whoever comes next has to wait for a whole term first
            self._excuse(LEASE_SECONDS + MARGIN / SECOND + _REFUSED_SECONDS)

    # ---- what befalls a process ------------------------------------------------------------------------

    def doom(self, trouble: Trouble) -> bool:
        """Let it die at a later effect. False: nobody lives."""
        life = self.life
        if life is None or not life.alive:
            return False
        life.doom(trouble.amount, after=trouble.kind is Kind.KILL_AFTER)
        self._down_seconds = BOOT_SECONDS + trouble.seconds
        if trouble.kind is Kind.KILL_AND_LOSE_DISK:
            told = life.on_death

            def lose_all() -> None:
                self.disk.lose()
                self._volume_lost = True
                self.judge.volume_lost()
                told()

            life.on_death = lose_all
        return True

    def die_early(self, trouble: Trouble) -> bool:
        """Dead now, and so are the next `amount` starts, each at an early effect."""
        if self.life is None or not self.life.alive:
            return False
        self._early_deaths = trouble.amount
        self.life.kill()
        return True

    def stay_down(self, seconds: float) -> None:
        """Dead now, and for so long."""
        if self.life is not None:
            self._down_seconds = max(self._down_seconds, seconds)
            self.life.kill()

    def terminate(self, trouble: Trouble) -> bool:
        """SIGTERM; the next start comes `seconds` after its end."""
        if self.life is None or not self.life.alive or self._stop.is_set():
            return False
        self._down_seconds = BOOT_SECONDS + trouble.seconds
        self._stop.set()
        self.judge.told_to_stop = True
        return True

    def freeze(self, trouble: Trouble) -> bool:
        """SIGSTOP, or the machine's time given to others: nothing runs for `seconds`, the world goes on."""
        life = self.life
        if life is None or not life.alive or life.frozen:
            return False
        self.loop.freeze(life, trouble.seconds)
        self._excuse(trouble.seconds)
        return True

    def break_disk(self) -> bool:
        """EIO: this process writes no journal any more."""
        if self.life is None or not self.life.alive:
            return False
        self.life.disk_broken = True
        return True

    def damage(self, trouble: Trouble) -> bool:
        """Dead now. The next start finds its journal damaged; `seconds` later somebody has moved it away."""
        if self.life is None or not self.life.alive:
            return False
        self.disk.damaged, self._mended_seconds = True, trouble.seconds
        self.life.kill()
        return True

    # ---- inside ----------------------------------------------------------------------------------------

    async def _life_of(self, number: int) -> "tuple[DayResult | None, asyncio.Task[DayResult | None]]":
        """A process from its start to its end; its result, if that ends the day, and what is left of it."""
        life = self._begin(number)
        died = asyncio.Event()
        life.on_death = died.set
        running.set(life)
        task = asyncio.create_task(self._run(life))
        death = asyncio.create_task(died.wait())
        running.set(None)
        await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        result = self._left(task) if life.alive else None
        life.on_death = lambda: None  # it ended by itself: what it was doomed to does not come about
        life.kill()
        self.loop.network.cut(life)
        return result, task

    def _begin(self, number: int) -> Incarnation:
        life = self.life = Incarnation(number)
        if self._volume_lost:  # and with the journal every other file on it
            shutil.rmtree(self.plan.data_folder, ignore_errors=True)
            self._volume_lost = False
        self._stop, self._down_seconds = asyncio.Event(), BOOT_SECONDS
        self.judge.told_to_stop = False
        if self._early_deaths:
            self._early_deaths -= 1
            life.doom(self.rng.randint(*_EARLY_EFFECTS), after=False)
        return life

    async def _run(self, life: Incarnation) -> DayResult | None:
        """A process from start to end. None: another bot holds the lease, so it did not trade."""
        plan = self.plan
        journal = SimJournal(self.disk, life, plan.data_folder / f"journal-{plan.session.day}.sqlite")
        lease = Lease(self.clock, self.store, self.name, self.name, LEASE_SECONDS)
        if await lease.claim():
            return None
        readings = Readings(self.clock, plan.logs.log, funds=True)
        beside = together(self.clock, (lease.keep, readings.run), sell=False)
        plan = replace(plan, open_journal=lambda _: journal, beside=beside, writer=lease.writer)
        return await trade(plan, self._stop)

    def _left(self, task: "asyncio.Task[DayResult | None]") -> DayResult | None:
        """A process ended by itself. Its result, when that ends the day."""
        judge, now = self.judge, self.loop.now_of_world()
        error = task.exception()
        if error is not None:
            if isinstance(error, JournalFailed) and self.disk.full():
                judge.marks["start refused: no disk"] += 1
            elif isinstance(error, JournalRefused) and self.disk.damaged:
                judge.marks["start refused: damaged journal"] += 1
                self._down_seconds = self._mended_seconds
                self.disk.lose()
                judge.volume_lost()
            else:
                self._failures += 1
                judge.breaches.append(Breach(now, "13 no crash", f"{self.name}: {error!r}"))
            return None
        result = task.result()
        if result is None:
            judge.marks["start refused: another bot"] += 1
            self._down_seconds = _REFUSED_SECONDS
            return None
        if result.over:  # by its own clock, which may be wrong
            return result
        judge.marks[f"ended in mid-day with {result.exit_code}"] += 1
        if result.exit_code != EXIT_HOLDING:
            judge.must_be_flat(now, f"{self.name} ended with exit code {result.exit_code}")
        return None

    @property
    def _hopeless(self) -> bool:
        """It ends by itself again and again: more of it teaches nothing."""
        return self._failures >= _FAILURES_MAX

    def _excuse(self, seconds: float) -> None:
        """Nothing can be demanded while nobody runs, and a little after."""
        now = self.loop.now_of_world()
        self.judge.excuse(now, now + round(seconds * SECOND) + _SETTLED)


async def _buried(task: "asyncio.Task[DayResult | None]") -> None:
    """The code of a dead process comes to its end: nothing it does reaches anybody."""
    task.cancel()
    await asyncio.wait({task}, timeout=1.0)
