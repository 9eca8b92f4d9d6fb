"""The contract of the day: the index and a shortlist are watched until 09:20, then one option is taken.

It listens to the market and asks core/selection.py; it sends no order and knows no strategy. What was chosen
is the caller's to keep; it is chosen once.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

from bot.assemble.contracts import Pending, fulfilled
from bot.core.events import Event, OrderReport, Quote, Tick
from bot.core.rules import RiskRules
from bot.core.selection import CHOOSE_AT, ContractRefused, NothingFits, Touch, choose, shortlist
from bot.core.session import Session
from bot.core.units import SECOND, InstrumentKey, Nanos, Paise, ist_nanos
from bot.run.ports import Clock
from bot.storage.choices import Chosen
from bot.upstox.feed import MarketFeed
from bot.upstox.rest import UpstoxRest
from bot.upstox.stream import Authorizer
from bot.upstox.wire_answers import ReadFailed
from bot.upstox.wire_market import MarketDecoder

AFTER_OPEN: Final[Nanos] = 5 * 60 * SECOND  # a special session has its 09:20 five minutes after its open
LOOKS_BEFORE: Final[Nanos] = 30 * SECOND  # the shortlist is subscribed so long before
QUOTES_WITHIN: Final[Nanos] = 3 * SECOND  # a strike subscribed later than that may still be without quotes
INDEX_AGE_MAX: Final[Nanos] = 10 * SECOND
TRIES_FOR: Final[Nanos] = (
    10 * 60 * SECOND
)  # nothing fits: the spread of the moment may pass, the day does not


def choose_at(session: Session) -> Nanos:
    """When the choice is made: 09:20, and never in a session's first five minutes."""
    return max(ist_nanos(session.day, CHOOSE_AT), session.open_at + AFTER_OPEN)


class Chooser:
    """Fulfils the wishes of one day. `jitter` spreads reconnects."""

    def __init__(
        self,
        clock: Clock,
        authorize: Authorizer,
        session: Session,
        pending: Sequence[Pending],
        risk: RiskRules,
        *,
        jitter: Callable[[], float],
        log: Any,
    ) -> None:
        self._clock, self._session, self._risk, self._log = clock, session, risk, log
        self._pending = list(pending)
        self._indices: dict[InstrumentKey, tuple[Nanos, Paise]] = {}
        self._touches: dict[InstrumentKey, Touch] = {}
        self._asked_at: dict[InstrumentKey, Nanos] = {}  # candidates, and since when
        self._why: dict[str, str] = {}  # what was last said of a wish that nothing fits
        keys = list(dict.fromkeys(each.index_key for each in pending))
        decoder = MarketDecoder(keys)
        self._feed = MarketFeed(clock, self._hear, authorize, decoder, keys, "ltpc", jitter=jitter)

    async def run(self, stop: asyncio.Event) -> tuple[Chosen, ...]:
        """Watch, choose, say why. Fewer than asked for when nothing fits, time is up, or `stop` is set."""
        clock, session = self._clock, self._session
        listening = asyncio.create_task(self._feed.run())
        self._feed.arm(clock.now() >= session.open_at)
        made: list[Chosen] = []
        begins = choose_at(session)
        ends = min(max(begins, clock.now()) + TRIES_FOR, session.entry_cutoff_at)
        try:
            await self._until(begins - LOOKS_BEFORE, stop)
            while self._pending and clock.now() < ends and not stop.is_set() and not listening.done():
                for each in tuple(self._pending):
                    chosen = await self._look(each, now=clock.now() >= begins)
                    if chosen is not None:
                        made.append(chosen)
                        self._pending.remove(each)
                await self._until(clock.now() // SECOND * SECOND + SECOND, stop)
        finally:
            listening.cancel()
            await asyncio.wait({listening})
        if not listening.cancelled():
            listening.result()  # it ends by itself only by a mistake of ours
        for each in self._pending:
            self._log.warning("no_contract", wish=each.entry.title, reason=self._reason(each))
        return tuple(made)

    def _hear(self, event: Event) -> None:
        match event:
            case Tick() | Quote():
                self._touches[event.instrument] = Touch(event.bid, event.ask)
                if isinstance(event, Tick):
                    self._indices[event.instrument] = (event.mono, event.ltp)

    async def _look(self, pending: Pending, *, now: bool) -> Chosen | None:
        """Ask for quotes of the strikes around the index; choose when it is time (`now`)."""
        mono, title = self._clock.monotonic(), pending.entry.title
        heard, index = self._indices.get(pending.index_key, (0, 0))
        if not index or mono - heard > INDEX_AGE_MAX:
            self._tell(title, f"the index {pending.index_key} has not been heard of")
            return None
        wish, day = pending.wish, self._session.day
        try:
            candidates = shortlist(pending.options, wish, index, day)
            fresh = [option.key for option in candidates if option.key not in self._asked_at]
            if fresh:
                await self._feed.subscribe("full", fresh)
                self._asked_at.update(dict.fromkeys(fresh, mono))
            young = any(
                mono - self._asked_at[option.key] < QUOTES_WITHIN
                for option in candidates
                if option.key not in self._touches
            )
            if not now or young:
                return None
            choice = choose(candidates, self._touches, wish, index, day, self._risk)
            return fulfilled(pending.entry, choice.option, day, choice.reason)
        except (NothingFits, ContractRefused) as nothing:
            self._tell(title, str(nothing))
            return None

    def _tell(self, title: str, why: str) -> None:
        """Once for each reason; prices in it change all the time, so its first words count."""
        if self._why.get(title, "")[:40] != why[:40]:
            self._log.info("contract_not_chosen_yet", wish=title, reason=why)
        self._why[title] = why

    def _reason(self, pending: Pending) -> str:
        why = self._why.get(pending.entry.title, "there was no time")
        return f"no contract was chosen, so {pending.entry.title} is not traded today: {why}"

    async def _until(self, at: Nanos, stop: asyncio.Event) -> None:
        """Sleep, but not through a `stop`, nor through the open: from then on silence is judged."""
        opens = self._session.open_at
        if self._clock.now() < opens < at:
            await self._until(opens, stop)
            self._feed.arm(True)
        waits = [asyncio.ensure_future(self._clock.sleep_until(at)), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


async def already_ours(
    rest: UpstoxRest, pending: Sequence[Pending], day: date, log: Any
) -> tuple[tuple[Chosen, ...], Sequence[Pending]]:
    """A lost journal must not lead to a second contract: the broker's book may still know the first.

    What is chosen by that, and what is still to be chosen.
    """
    try:
        rows = await rest.order_book()
    except ReadFailed as failure:
        log.warning("book_not_read", problem=f"orders of an earlier run are not known: {failure}")
        return (), pending
    ours: list[Chosen] = []
    left: list[Pending] = []
    for each in pending:
        try:
            one = adopted(rows, each, day, f"k{day:%y%m%d}")
        except ContractRefused as refused:
            log.warning("contract", problem=str(refused))
            one = None
        if one is None:
            left.append(each)
        else:
            ours.append(one)
    return tuple(ours), left


def adopted(rows: Sequence[OrderReport], pending: Pending, day: date, mark: str) -> Chosen | None:
    """A contract we already have orders in today, though the journal that said so is lost: it stays chosen.

    `mark`: what the day's own tags begin with.
    """
    options = {option.key: option for option in pending.options}
    for row in rows:
        if row.tag.startswith(mark) and row.instrument in options:
            option = options[row.instrument]
            reason = f"{option.name}: order {row.order_id} of today carries our mark, the journal is lost"
            return fulfilled(pending.entry, option, day, reason)
    return None
