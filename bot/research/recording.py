"""A recorded file made ready for a backtest: its days, its contracts, and what is wrong with it, in words.

Each defect that recordings are known to have (docs/backtest.md lists them) is either noted here, in the
result, or was refused by the reader with file and line. This file trades nothing.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby, islice, pairwise
from math import gcd
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bot.core.events import Tick
from bot.core.forecast import GAP_NANOS
from bot.core.rules import Contract
from bot.core.session import Session
from bot.core.units import SECOND, InstrumentKey, Nanos, Quantity, ist, rupees, segment_of
from bot.research.taped import Taped, is_tape, read_taped
from bot.storage.tape import TapeRefused
from bot.storage.ticks import TickFile, TickFileError, TickFileKind
from bot.twin.market_source import with_spread

LOT_SAMPLE: Final = 2_000  # ticks from which a recording's lot is read: the greatest common divisor of trades
FREEZE_LOTS: Final = 25
TICK_SIZE: Final = 5  # paise: of NSE's and BSE's index options
CLOCK_OFF: Final[Nanos] = 2 * SECOND
STALE: Final = 1 / 3  # so many unchanged prices are worth a word (a fifth to a half are usual)
_JUMP: Final = 0.10  # a move of more than that from one tick to the next is worth a word
_SUFFIXES: Final = {TickFileKind.CSV: (".csv", ".txt"), TickFileKind.RECORDED_V3: (".json", ".jsonl")}
_TRADABLE: Final = ("NSE_FO", "BSE_FO")


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the command line says about the contract; None: read from the file."""

    lot: Quantity | None = None
    quantity: Quantity | None = None
    exchange: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """One day of one file. `ticks` are in order of time, with quotes: assumed where `assumed` counts them; a
    side that the wire said was empty stays so. `stale`: share of ticks that repeat the last price.
    """

    name: str
    path: Path
    sha256: str
    day: date
    contracts: tuple[Contract, ...]
    ticks: tuple[Tick, ...]
    assumed: int
    gaps: tuple[float, ...]  # seconds, those that reset the filter
    stale: float
    duplicates: int
    notes: tuple[str, ...]

    @property
    def spread(self) -> str:
        """`quoted` where every book is the file's own; else `assumed`."""
        return "assumed" if self.assumed else "quoted"


AS_RECORDED: Final = Assumptions()


def lot_of(ticks: Iterable[Tick]) -> Quantity:
    """What all trades are multiples of; 0 when the file tells no sizes."""
    lot = 0
    for tick in islice(ticks, LOT_SAMPLE):
        lot = gcd(lot, tick.ltq)
    return lot


def load(path: Path, given: Assumptions = AS_RECORDED) -> tuple[RecordedDay, ...]:
    """The days of a file. Raises TickFileError, naming file and line, for what can't be read."""
    read = _read(path)
    ticks, taped = read.ticks, read.taped
    content = _sha256(path)
    back = sum(later.at < earlier.at for earlier, later in pairwise(ticks))
    if back:
        ticks.sort(key=lambda tick: tick.at)
    days = [(day, list(rows)) for day, rows in groupby(ticks, key=lambda tick: ist(tick.at).date())]
    found = []
    for day, rows in days:
        contracts, notes = _contracts(rows, given)
        if taped is not None and given == AS_RECORDED:  # a tape knows what was traded
            contracts, notes = {contract.key: contract for contract in taped.contracts}, []
        if taped is not None and taped.facts.get("synthetic"):
            notes.append(f"SYNTHETIC: {taped.facts}")
        if back:
            notes.append(f"{back} rows were out of order of time: sorted")
        if read.duplicates:
            notes.append(f"{read.duplicates} rows repeat the one before, byte for byte: dropped")
        notes += read.name_notes(path)
        if read.naive:
            notes.append("its times name no zone: they are read as Indian time")
        if len(days) > 1:
            notes.append(f"the file holds {len(days)} days: each is a day of its own, from a fresh filter")
        found.append(_day(path, content, day, rows, contracts, read, notes))
    return tuple(found)


class _Read(NamedTuple):
    """A file's content. `naive`: rows whose time names no zone."""

    ticks: list[Tick]
    duplicates: int
    naive: int
    taped: Taped | None
    kind: TickFileKind | None = None  # None: a tape

    @property
    def wire(self) -> bool:
        """A book without a side is the market's own word, not a gap of the file."""
        return self.kind is not TickFileKind.CSV

    def name_notes(self, path: Path) -> Iterable[str]:
        """What a file is, its content says."""
        suffix = Path(path.name.lower().removesuffix(".gz")).suffix
        if self.kind is not None and suffix and suffix not in _SUFFIXES[self.kind]:
            yield f"its name ends in {suffix}, its content is {self.kind.value}: the content counts"


def ticks_of(path: Path) -> list[Tick]:
    """All ticks of a recording or a tape, in order of time. Raises TickFileError."""
    return sorted(_read(path).ticks, key=lambda tick: tick.at)


def _read(path: Path) -> _Read:
    if is_tape(path):
        try:
            taped = read_taped([path])
        except TapeRefused as refused:
            raise TickFileError(path, None, str(refused)) from None
        return _Read(list(taped.ticks), taped.duplicates, 0, taped)
    file = TickFile(path)
    return _Read(list(file), file.duplicates, file.naive, None, file.kind)


def _day(
    path: Path,
    content: str,
    day: date,
    rows: Sequence[Tick],
    contracts: dict[InstrumentKey, Contract],
    read: _Read,
    notes: list[str],
) -> RecordedDay:
    session = Session.on(day)
    quoted = {tick.instrument for tick in rows if read.wire and tick.bid and tick.ask}
    # A recorder's clock is not the bot's: how old a frame was can't be told from it, so no lag is judged.
    ticks = tuple(
        (tick if tick.instrument in quoted else with_spread(tick, contracts[tick.instrument]))._replace(
            exchange_at=0
        )
        for tick in rows
    )
    sideless = [tick.instrument in quoted for tick in rows if not (tick.bid and tick.ask)]
    assumed = len(sideless) - sum(sideless)
    pairs = _neighbours(rows)
    gaps = [(b.at - a.at) / SECOND for a, b in pairs if b.at - a.at > GAP_NANOS]
    same = sum(a.ltp == b.ltp for a, b in pairs)
    if assumed:
        notes.append(
            f"{assumed} of {len(rows)} ticks have no quotes: a spread is assumed around the price"
            + (" (the ask column repeats the size)" if _ask_is_size(rows) else "")
        )
    if any(sideless):
        notes.append(f"{sum(sideless)} ticks show no bid or no ask: nothing fills on that side then")
    if gaps:
        notes.append(f"{len(gaps)} gaps over 60 s, the longest {max(gaps):.0f} s: the filter starts afresh")
    early = sum(tick.at < session.open_at for tick in rows)
    late = sum(tick.at >= session.close_at for tick in rows)
    if early or late:
        notes.append(f"{early} ticks before the open and {late} after the close are not used")
    if rows[-1].at < session.flatten_at:
        notes.append(f"the recording ends at {ist(rows[-1].at):%H:%M:%S}, before the flatten")
    if same > STALE * len(rows):
        notes.append(
            f"{100 * same / len(rows):.0f} % of the ticks repeat the last price: kept, each is a tick"
        )
    notes.extend(_clock_notes(pairs))
    jumps = [(a, b) for a, b in pairs if a.ltp and abs(b.ltp - a.ltp) > _JUMP * a.ltp]
    if jumps:
        before, after = max(jumps, key=lambda pair: abs(pair[1].ltp - pair[0].ltp))
        notes.append(
            f"{len(jumps)} moves over 10 % from one tick to the next (the largest {rupees(before.ltp):.2f} → "
            f"{rupees(after.ltp):.2f}): held until three agree"
        )
    return RecordedDay(
        name=path.name,
        path=path,
        sha256=content,
        day=day,
        contracts=tuple(contracts.values()),
        ticks=ticks,
        assumed=assumed,
        gaps=tuple(gaps),
        stale=same / len(rows),
        duplicates=read.duplicates,
        notes=tuple(notes),
    )


def _contracts(rows: Sequence[Tick], given: Assumptions) -> tuple[dict[InstrumentKey, Contract], list[str]]:
    contracts: dict[InstrumentKey, Contract] = {}
    notes: list[str] = []
    for key in dict.fromkeys(tick.instrument for tick in rows):
        segment = segment_of(key)
        lot = given.lot or lot_of(tick for tick in rows if tick.instrument == key)
        if not lot:
            notes.append(
                f"{key}: the file tells no sizes, so a lot of 1 is assumed; at one unit charges swamp "
                "everything: give --lot"
            )
            lot = 1
        quantity = given.quantity or lot
        exchange = given.exchange or ("BSE" if segment.startswith("BSE") else "NSE")
        if "_" in segment and segment not in _TRADABLE:
            notes.append(f"{key} is no option: charges and fills are those an option would have")
        freeze = max(FREEZE_LOTS * lot, quantity)
        contracts[key] = Contract(key, quantity, lot, TICK_SIZE, freeze, exchange)
    return contracts, notes


def _neighbours(rows: Sequence[Tick]) -> list[tuple[Tick, Tick]]:
    """Each tick with the next one of its instrument."""
    last: dict[InstrumentKey, Tick] = {}
    pairs = []
    for tick in rows:
        before = last.get(tick.instrument)
        if before is not None:
            pairs.append((before, tick))
        last[tick.instrument] = tick
    return pairs


def _clock_notes(pairs: Sequence[tuple[Tick, Tick]]) -> Iterable[str]:
    """The recorder's clock against the exchange's: the age of trades that were news."""
    ages = [b.at - b.ltt for a, b in pairs if b.ltt and b.ltt != a.ltt]
    if not ages:
        return
    # Were the clock right, the typical trade would be some tenths of a second old.
    off = median(ages) / SECOND
    if abs(off) * SECOND > CLOCK_OFF:
        which = "behind" if off < 0 else "ahead of"
        yield f"the recorder's clock was about {abs(off):.1f} s {which} the exchange's; its times are used"
    back = sum(0 < b.ltt < a.ltt for a, b in pairs)
    if back:
        yield f"{back} rows carry an older last trade than the row before: kept, a price is a price"


def _ask_is_size(rows: Sequence[Tick]) -> bool:
    return any(tick.bid and not tick.ask and tick.ask_quantity for tick in rows)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
