"""Markets for the twin: a synthetic day, or recorded files. Chosen by the demo and by `bot twin`."""

from collections.abc import Iterable, Iterator
from datetime import date, time
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bot.core.rules import Contract
from bot.core.session import Session
from bot.core.units import SECOND, ist, segment_of
from bot.research.recording import FREEZE_LOTS, TICK_SIZE, lot_of
from bot.sim.market import MarketMove, Shock, SyntheticMarket
from bot.storage.recorded_v3 import FeedDict, parts_of, read_feeds
from bot.storage.tick_source import TickFileError, TickFileKind, kind_of
from bot.storage.ticks import read_ticks
from bot.twin.faults import Fault, eventful
from bot.twin.market_source import MarketEvent, from_ticks, merged, recorded, synthetic

SYNTHETIC_DAY = date(2026, 9, 16)
_SYNTHETIC = Contract("NSE_FO|45450", 65, 65, 5, 1755, "NSE", "SYNTHETIC 25000 CE")
MARKET_OPEN = time(9, 15)
_EVE = 30 * 60 * SECOND  # before the open: what was known when nothing had happened yet


class DemoRefused(Exception):
    """The files or the folder are of no use; `problems` says what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class DemoMarket(NamedTuple):
    """A day the twin can play."""

    name: str
    title: str
    session: Session
    contracts: tuple[Contract, ...]
    events: Iterable[MarketEvent]
    faults: tuple[Fault, ...]
    facts: dict[str, Any]


def synthetic_market(seed: int, *, calm: bool) -> DemoMarket:
    """A made-up day with no edge in it. Unless calm: the feed is lost once, and slides hit the stop."""
    session = Session.on(SYNTHETIC_DAY)
    open_at = session.open_at
    # The entry rule likes what falls, so a slide of 30 % in a minute finds the bot long sooner or later.
    shocks = [] if calm else [Shock(open_at + minutes * 60 * SECOND, -3_000.0) for minutes in (75, 165, 255)]
    recoveries = [Shock(shock.at + 600 * SECOND, 4_000.0, 900.0) for shock in shocks]
    market = SyntheticMarket(
        _SYNTHETIC.key,
        tick=_SYNTHETIC.tick,
        lot=_SYNTHETIC.lot,
        seed=seed,
        opens_at=open_at,
        closes_at=session.close_at,
        start_price=300_00,
        shocks=sorted([*shocks, *recoveries]),
    )
    return DemoMarket(
        name=f"synthetic-seed-{seed}{'-calm' if calm else ''}",
        title=f"Synthetic day, seed {seed}, no edge in it · {SYNTHETIC_DAY:%d %b %Y}",
        session=session,
        contracts=(_SYNTHETIC,),
        events=synthetic(market),
        faults=() if calm else eventful(SYNTHETIC_DAY),
        facts=dict(market.watermark),
    )


def recorded_market(files: tuple[Path, ...]) -> DemoMarket:
    """A recorded day, one file an instrument. Raises DemoRefused, naming file and line."""
    try:
        days, opens, contracts = zip(*(_look(path) for path in files), strict=True)
        if len(set(days)) > 1:
            raise DemoRefused(
                [f"{path}: is of {day}; give files of one day" for path, day in zip(files, days, strict=True)]
            )
        by_key = {contract.key: contract for contract in contracts}
        events = merged(*(_with_eve(_events(path, by_key), Session.on(days[0])) for path in files))
    except TickFileError as error:
        raise DemoRefused([str(error)]) from None
    except OSError as error:
        raise DemoRefused([f"{error.filename}: {error.strerror}"]) from None
    names = "+".join(path.name.partition(".")[0] for path in files)
    return DemoMarket(
        name=f"recorded-{names}"[:100],
        title=f"Recorded day {days[0]:%d %b %Y} · {', '.join(by_key)}",
        session=Session.on(days[0], opens=min(opens)),
        contracts=tuple(by_key.values()),
        events=events,
        faults=(),
        facts={"files": [path.name for path in files]},
    )


def _look(path: Path) -> tuple[date, time, Contract]:
    """The day, the minute it begins at and the contract of a recording.

    The lot is what all trades are multiples of. A recorder that came late makes a session that opens late:
    before it there is nothing to be heard, and silence in session counts as a dead feed.
    """
    ticks = read_ticks(path)
    first = next(ticks, None)
    if first is None:
        raise TickFileError(path, None, "holds no ticks")
    lot = lot_of(chain([first], ticks)) or 1
    exchange = "BSE" if segment_of(first.instrument).startswith("BSE") else "NSE"
    began = ist(first.at)
    opens = max(began.time().replace(second=0, microsecond=0), MARKET_OPEN)
    return began.date(), opens, Contract(first.instrument, lot, lot, TICK_SIZE, FREEZE_LOTS * lot, exchange)


def _events(path: Path, contracts: dict[str, Contract]) -> Iterator[MarketEvent]:
    if kind_of(path) is TickFileKind.RECORDED_V3:
        return recorded(read_feeds(path))
    return from_ticks(read_ticks(path), contracts)


def _with_eve(events: Iterator[MarketEvent], session: Session) -> Iterator[MarketEvent]:
    """A subscriber's first message is a snapshot and no tick. Before a recording's first row only
    yesterday's close was known: with that as the snapshot, the first row is the tick that it was.
    """
    first = next(events)
    at = min(first.at, session.open_at) - _EVE
    what: MarketMove | FeedDict
    if isinstance(first.what, MarketMove):
        what = MarketMove(at, first.what.ltp, 0, at, 0, 0, 0, 0, 0)
    else:
        close = {"ltpc": {"cp": parts_of(first.what)[0].get("cp", 0)}}
        if "ltpc" in first.what:
            what = close
        elif "firstLevelWithGreeks" in first.what:
            what = {"firstLevelWithGreeks": close}
        else:
            body = "indexFF" if "indexFF" in first.what.get("fullFeed", {}) else "marketFF"
            what = {"fullFeed": {body: close}}
    return chain([MarketEvent(at, first.instrument, what), first], events)
