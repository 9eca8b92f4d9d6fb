"""The lease while a live day runs: taken before the first order, renewed, told to the engine when it is lost.

No two clocks are compared. The holder counts from when it asked for its last renewal; who waits counts from
when it saw that renewal, and takes over only after a full term without another: later, whatever clocks say.
"""

import secrets
import socket
from hashlib import sha256
from pathlib import Path
from string import ascii_lowercase
from typing import Final, Protocol

from bot.assemble.day_files import on_thread
from bot.assemble.plan import Lines
from bot.core.events import LeaseChanged
from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock
from bot.storage.lease import Found, LeaseUnreachable

MARGIN: Final[Nanos] = 5 * SECOND  # clocks run at slightly different speeds
HOLDER_NAME: Final = "lease-holder"


class Store(Protocol):
    def read(self) -> Found | None: ...

    def write(self, holder: str, words: str, number: int, etag: str | None) -> str | None: ...


class Lease:
    """One bot's claim. `seconds`: the term; `holder` outlives a restart, which need not wait for itself."""

    def __init__(self, clock: Clock, store: Store, holder: str, words: str, seconds: float) -> None:
        self._clock, self._store, self._holder, self._words = clock, store, holder, words
        self._term: Nanos = round(seconds * SECOND)
        self._number = secrets.randbits(48)  # no two starts write the same content
        self._etag: str | None = None  # of our last write; None: not ours, as far as we know
        self._other: tuple[str, Nanos] | None = None  # another's etag, and since when it stands still
        self._until: tuple[Nanos, Nanos] = (0, 0)
        self.text = "the lease was not asked for yet"

    @property
    def writer(self) -> str:
        """Two letters that tell our tags from those of another bot on the same account. Found by simulation:
        both counted on from the broker's book, and then each took the other's orders for its own.
        """
        digest = sha256(self._holder.encode()).digest()
        return "".join(ascii_lowercase[byte % 26] for byte in digest[:2])

    @property
    def held(self) -> bool:
        return self._clock.now() < self._until[0] and self._clock.monotonic() < self._until[1]

    async def claim(self) -> str:
        """Before the day: hold it, or say who does and lives. "" also when S3 is away: a position may be
        open, and exits need no lease; entries wait for it.
        """
        seen = ""
        while not self.held:
            try:
                await self._try()
            except LeaseUnreachable as problem:
                self.text = str(problem)
                return ""
            if self._other is not None:
                if seen and self._other[0] != seen:
                    return self.text
                seen = self._other[0]
                await self._clock.sleep_until(self._clock.now() + self._term // 6)
        return ""

    async def keep(self, lines: Lines) -> None:
        """As long as the day: renew, and tell the engine."""
        if not self.held:
            self._tell(lines)
        while True:
            told = self._until
            try:
                await self._try()
            except LeaseUnreachable as problem:
                self.text = str(problem)
            if self.held:
                self._tell(lines)
            elif told != (0, 0):
                self._until = (0, 0)
                self._tell(lines)
            wait = self._term // 3 if self._etag is not None else self._term // 6
            left = self._until[1] - self._clock.monotonic()
            await self._clock.sleep_until(self._clock.now() + (min(wait, left) if left > 0 else wait))

    def _tell(self, lines: Lines) -> None:
        until = self._until if self.held else (0, 0)
        lines.put(LeaseChanged(self._clock.now(), self._clock.monotonic(), *until, self.text))

    async def _try(self) -> None:
        """Renew, or take what is free. Raises LeaseUnreachable."""
        asked = self._clock.now(), self._clock.monotonic()
        taken = await self._write(self._etag) if self._etag is not None else False
        if not taken:
            asked, taken = await self._take()
        if taken:
            self._until = asked[0] + self._term, asked[1] + self._term
            self._other, self.text = None, "the lease is ours"
        elif self._other is not None:
            self._until = (0, 0)  # somebody else wrote: it is theirs, whatever is left of our term

    async def _take(self) -> tuple[tuple[Nanos, Nanos], bool]:
        self._etag = None
        found: Found | None = await on_thread(self._clock, self._store.read)
        asked = self._clock.now(), self._clock.monotonic()
        if found is not None and found.holder != self._holder:
            if self._other is None or self._other[0] != found.etag:
                self._other = found.etag, asked[1]
            self.text = f"another bot holds the lease: {found.words}"
            if asked[1] - self._other[1] < self._term + MARGIN:
                return asked, False
        return asked, await self._write(found.etag if found is not None else None)

    async def _write(self, etag: str | None) -> bool:
        self._number += 1
        number = self._number
        new: str | None = await on_thread(
            self._clock, lambda: self._store.write(self._holder, self._words, number, etag)
        )
        if new is not None:
            self._etag = new
        return new is not None


def lease_for(clock: Clock, root: str, mode: str, folder: Path, seconds: float) -> Lease | None:
    """The lease of a live bot whose archive is S3; None where the local lock must do."""
    if mode != "live" or not root.startswith("s3://"):
        return None
    host = socket.gethostname()
    return Lease(clock, _Late(root, mode), _holder(folder), f"{host}, folder {folder.name}", seconds)


class _Late:
    """A store set up at its first use, on the thread: boto3 takes a while."""

    def __init__(self, root: str, name: str) -> None:
        self._root, self._name = root, name
        self._store: Store | None = None

    def read(self) -> Found | None:
        return self._made().read()

    def write(self, holder: str, words: str, number: int, etag: str | None) -> str | None:
        return self._made().write(holder, words, number, etag)

    def _made(self) -> Store:
        if self._store is None:
            from bot.storage.s3_lease import LeaseStore

            self._store = LeaseStore(self._root, self._name)
        return self._store


def _holder(folder: Path) -> str:
    """Who we are to the lease: the data folder, which one bot at a time may use."""
    path = folder / HOLDER_NAME
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(secrets.token_hex(16))
        return path.read_text() or secrets.token_hex(16)
    except OSError:  # a full disk: this start is somebody else, and waits a term if it must
        return secrets.token_hex(16)
