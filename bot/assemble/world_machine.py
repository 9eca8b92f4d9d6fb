"""What befalls the bot of a simulated day: its process, clock, disk, network, what it stores elsewhere.

It makes things happen; which and when is the day's script. What befalls the broker and the market is the
twin's (simulate/twin_box.py).
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bot.assemble.world_lives import LEASE_SECONDS, Lives
from bot.core.session import Session
from bot.core.units import MILLISECOND, SECOND, Nanos, ist
from bot.simulate.checks import Judge
from bot.simulate.lease_store import SimLease
from bot.simulate.loop import BoxClock, BoxLoop
from bot.simulate.troubles import Kind, Trouble
from bot.storage.trades import trades_path

_ZONES: Final = ("UTC", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu")
_NOTICED: Final[Nanos] = 6 * SECOND  # a clock that was set is seen at the next step of a sleep
_MOVED_SECONDS: Final = 2 * LEASE_SECONDS  # long enough for another to take the lease


@dataclass
class Machine:
    """`clock` tells the true time; the bots' own may be wrong. `archive`: where its folder is to be."""

    loop: BoxLoop
    clock: BoxClock
    session: Session
    judge: Judge
    lease: SimLease
    archive: Path
    first: Lives
    make_second: Callable[[], Lives]
    errands: list[asyncio.Task[None]] = field(default_factory=list)
    torn: Path | None = None  # what lies in the archive and is no file of the day
    _second: Lives | None = None
    _full_until: float = 0.0

    def __post_init__(self) -> None:
        self.first.disk.full = self._disk_full

    def befall(self, trouble: Trouble) -> bool | None:
        """Make it happen. False: there was nothing for it to happen to. None: it is none of ours."""
        kind, first = trouble.kind, self.first
        if kind.startswith("net_"):
            return self._net(trouble)
        match kind:
            case Kind.KILL | Kind.KILL_AFTER | Kind.KILL_AND_LOSE_DISK:
                return first.doom(trouble)
            case Kind.BOOT_DEATHS:
                return first.die_early(trouble)
            case Kind.SIGTERM:
                return first.terminate(trouble)
            case Kind.PAUSE:
                return first.freeze(trouble)
            case Kind.DISK_EIO:
                return first.break_disk()
            case Kind.DISK_DAMAGED:
                return first.damage(trouble)
            case Kind.CLOCK_SKEW:
                return self._skew(trouble)
            case Kind.CLOCK_DRIFT:
                first.clock.drift(trouble.amount, trouble.seconds)
            case Kind.TIME_ZONE:
                os.environ["TZ"] = _ZONES[trouble.at // SECOND % len(_ZONES)]
                time.tzset()
            case Kind.SECOND_BOT:
                return self._second_bot(trouble)
            case Kind.DISK_FULL:
                self._full_until = self.loop.time() + trouble.seconds
            case Kind.DISK_SLOW:
                loop, until = self.loop, self.loop.time() + trouble.seconds
                loop.work_seconds = lambda: trouble.amount / 1000 if loop.time() < until else 0.0
            case Kind.LEASE_AWAY:
                loop, until = self.loop, self.loop.time() + trouble.seconds
                self.lease.away = lambda: loop.time() < until
            case Kind.ARCHIVE_DOWN:
                return self._lose_archive()
            case Kind.ARCHIVE_TORN:
                return self._tear_archive()
            case _:
                return None
        return True

    def _disk_full(self) -> bool:
        return self.loop.time() < self._full_until

    def _net(self, trouble: Trouble) -> bool:
        network, until = self.loop.network, self.loop.time() + trouble.seconds
        match trouble.kind:
            case Kind.NET_RESET:
                network.reset_all()
            case Kind.NET_REFUSED:
                network.refusing_until = until
                network.reset_all()
            case Kind.NET_SWALLOWED:
                network.swallowing_until = until
            case Kind.NET_BURST:
                network.held_until = max(network.held_until, until)
            case Kind.NET_LAG:
                network.lag_seconds, network.lagging_until = trouble.amount / 1000, until
        return True

    def _skew(self, trouble: Trouble) -> bool:
        """The first bot's clock goes wrong, and is set right again."""
        clock, flatten_at, now = self.first.clock, self.session.flatten_at, self.clock.now()
        if clock.skew or not trouble.amount:
            return False
        clock.skew = trouble.amount * MILLISECOND
        self.loop.call_later(trouble.seconds, setattr, clock, "skew", 0)
        if clock.skew < 0 and now < flatten_at < now + trouble.seconds * SECOND:
            # The flatten begins when that clock shows its time, or is set right.
            until = min(flatten_at - clock.skew, now + round(trouble.seconds * SECOND))
            self.judge.excuse(flatten_at, until + _NOTICED)
        return True

    def _second_bot(self, trouble: Trouble) -> bool:
        """Somebody starts another one elsewhere: the same account and lease, another disk and folder."""
        if self._second is not None:
            return False
        if trouble.amount == 1:
            self.first.freeze(trouble._replace(seconds=_MOVED_SECONDS))
        elif trouble.amount:
            self.first.stay_down(_MOVED_SECONDS)
        second = self._second = self.make_second()
        second.disk.full = self._disk_full

        async def live() -> None:
            async with asyncio.TaskGroup() as both:
                both.create_task(second.live())
                await asyncio.sleep(trouble.seconds)
                second.end()
            self._second = None

        self.errands.append(self.loop.create_task(live()))
        return True

    def _lose_archive(self) -> bool:
        """A file where the folder should be."""
        if self.archive.exists():
            return False
        self.archive.write_text("")
        return True

    def _tear_archive(self) -> bool:
        """What an upload that broke off would have left: the beginning of a file under its final name."""
        day = ist(self.session.open_at).date()
        file = self.archive / f"{day:%Y/%m/%d}" / trades_path(self.archive, day).name
        if self.archive.is_file() or file.exists():
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"time_ist,instr")
        self.torn = file
        return True
