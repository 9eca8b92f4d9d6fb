"""The broker's instrument master as far as the bot needs it: read by a child process into a small cache.

Lot, tick, freeze quantity and expiry come from here and from nowhere else. Reading the master itself is
instrument_file.py's work, in another process; this one never holds more than the rows it asked for.
"""

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, Final

import orjson

from bot.core.rules import Contract
from bot.core.selection import ContractRefused, Option, contract, expiry_warning
from bot.core.units import InstrumentKey, Nanos, Quantity, ist, ist_nanos
from bot.run.ports import Clock
from bot.upstox.instrument_file import CACHE_VERSION

SOURCE: Final = "https://assets.upstox.com/market-quote/instruments/exchange/complete.json.gz"
CACHE_NAME: Final = "instruments.json"
RENEWED_AT: Final = time(6, 0)  # a new master appears about then (upstox §6.6)
READ_SECONDS: Final = 120.0  # for download and parse; 2 s of it are ours
_SECRETS: Final = ("BOT_", "AWS_")  # a child that reads a public file needs no environment of these


class MasterRefused(Exception):
    """There is no usable instrument master. Says why and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to keep of the master: all options on these underlyings (NIFTY …), and these keys."""

    underlyings: frozenset[str] = frozenset()
    keys: frozenset[InstrumentKey] = frozenset()

    def within(self, other: "Wanted") -> bool:
        return self.underlyings <= other.underlyings and self.keys <= other.keys


@dataclass(frozen=True, slots=True)
class Master:
    """The kept rows of one day's master."""

    source: str
    fetched_at: Nanos
    sha256: str  # of the file as it came
    rows: int  # in the whole file
    seconds: float  # it took to read
    wanted: Wanted
    known: tuple[str, ...]  # all underlyings with index options
    options: dict[InstrumentKey, Option]
    indices: dict[InstrumentKey, str]
    others: dict[InstrumentKey, str]  # wanted keys that are no options: what they are
    unreadable: dict[InstrumentKey, str]

    def option(self, key: InstrumentKey) -> Option:
        """The option with this key. Raises ContractRefused with what is there instead."""
        if (found := self.options.get(key)) is not None:
            return found
        as_of = f"the instrument master of {ist(self.fetched_at):%Y-%m-%d %H:%M}"
        if key in self.others:
            raise ContractRefused(
                [f"{key} is {self.others[key]}: only options (CE, PE) on indices are traded"]
            )
        if key in self.unreadable:
            raise ContractRefused([f"{key}: its row in {as_of} can't be used: {self.unreadable[key]}"])
        absent = (
            f"{key} is not in {as_of}: it has expired, or never was. Keys change with every expiry and are "
            "used again; take today's, or set underlying and option_type and let the bot choose."
        )
        raise ContractRefused([absent])

    def contract_of(self, key: InstrumentKey, quantity: Quantity | None, day: date) -> Contract:
        """The contract to trade on `day`; None: one lot. Raises ContractRefused with every reason."""
        return contract(self.option(key), quantity, day)

    def options_on(self, underlying: str) -> tuple[Option, ...]:
        """All options on one index. Raises ContractRefused when it has none."""
        assert underlying in self.wanted.underlyings, underlying
        found = tuple(
            option for option in self.options.values() if option.underlying == underlying and option.on_index
        )
        if not found:
            raise ContractRefused(
                [f"underlying {underlying} has no index options; there are: {', '.join(self.known)}"]
            )
        return found

    def index_of(self, underlying: str) -> InstrumentKey:
        """The key under which the index itself is quoted. Raises ContractRefused."""
        key = self.options_on(underlying)[0].underlying_key
        if key not in self.indices:
            raise ContractRefused([f"the index of {underlying}, {key}, is not in the instrument master"])
        return key

    def warnings(self, day: date) -> tuple[str, ...]:
        """Signs that this file is not of `day`."""
        past = sorted({option.expiry for option in self.options.values() if option.expiry < day})
        if not past:
            return ()
        return (f"the instrument master lists options that expired on {past[0]}: it may be an old one",)

    def expiry_warning(self, key: InstrumentKey, day: date, trading_days: int) -> str:
        """A word from two days before the expiry on; "" before."""
        return expiry_warning(self.option(key), day, trading_days)


def fresh(master: Master, wanted: Wanted, now: Nanos) -> bool:
    """Is this today's master, with all that is wanted? Before 06:00 yesterday's is the newest there is."""
    today = ist(now).date()
    renewed = ist_nanos(today, RENEWED_AT)
    since = renewed if now >= renewed else ist_nanos(today, time(0))
    return since <= master.fetched_at <= now and wanted.within(master.wanted)


async def ready(
    clock: Clock, wanted: Wanted, data_folder: Path, source: str = SOURCE, *, seconds: float = READ_SECONDS
) -> Master:
    """Today's master: the cache when it is of today, else read anew. Raises MasterRefused.

    An old cache is never used instead: lots and freeze quantities change overnight.
    """
    path = data_folder / CACHE_NAME
    with contextlib.suppress(MasterRefused):  # none yet, or not readable: it is made anew
        master = load(path)
        if master.source == source and fresh(master, wanted, clock.now()):
            return master
    return await refresh(clock, wanted, path, source, seconds=seconds)


async def refresh(clock: Clock, wanted: Wanted, cache: Path, source: str, *, seconds: float) -> Master:
    """Read `source` (an address or a path) in a child process into `cache`. Raises MasterRefused."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bot.upstox.instrument_file"]
    command += ["--source", source, "--cache", str(cache), "--at", str(clock.now())]
    for underlying in sorted(wanted.underlyings):
        command += [f"--underlying={underlying}"]
    for key in sorted(wanted.keys):
        command += [f"--key={key}"]
    clock.departed()
    try:
        await _run(command, source, seconds)
    finally:
        clock.arrived()
    return load(cache)


async def _run(command: list[str], source: str, seconds: float) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    child = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            said, complaint = await child.communicate()
    except TimeoutError:
        raise MasterRefused(_advice(f"{source}: not read within {seconds:g} s")) from None
    finally:
        if child.returncode is None:  # too slow, or we were cancelled
            child.kill()
            await child.wait()
    if child.returncode:
        last = " ".join(complaint.decode(errors="replace").splitlines()[-1:])
        ended = f"{source}: the reader ended with {child.returncode} {last}"
        problem = said.decode(errors="replace").strip() or ended
        raise MasterRefused(_advice(problem))


def load(cache: Path) -> Master:
    """The cache as it is, however old. Raises MasterRefused."""
    try:
        tree: Any = orjson.loads(cache.read_bytes())
        if tree["version"] != CACHE_VERSION:
            raise MasterRefused(f"{cache}: written by another version of the bot")
        return Master(
            source=tree["source"],
            fetched_at=tree["fetched_at"],
            sha256=tree["sha256"],
            rows=tree["rows"],
            seconds=tree["seconds"],
            wanted=Wanted(frozenset(tree["wanted"]["underlyings"]), frozenset(tree["wanted"]["keys"])),
            known=tuple(tree["known"]),
            options={option.key: option for option in map(_option, tree["options"])},
            indices=tree["indices"],
            others=tree["others"],
            unreadable=tree["unreadable"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MasterRefused(f"{cache}: no readable instrument cache ({type(error).__name__})") from None


def _option(row: list[Any]) -> Option:
    read = Option(*row)
    return read._replace(expiry=date.fromisoformat(str(read.expiry)))


def _advice(problem: str) -> str:
    return (
        f"instrument master: {problem}. Lots, freeze quantities and expiries come from it, so nothing is "
        "traded without today's. Try again; a file downloaded by hand does as well as the address."
    )
