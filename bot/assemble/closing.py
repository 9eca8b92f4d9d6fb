"""The end of a day (or of a run in mid-day): the books against the broker's trade list, the CSV against the
books, the mark that the day is over, the archive.

It decides nothing about an order. What does not agree is said, marked and never mended silently.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from bot.assemble.books import Books, compare, with_trade_ids
from bot.assemble.broker import DayBroker
from bot.assemble.day_files import archived, certify, day_files, on_thread, unreconciled_path, write_settings
from bot.assemble.day_tape import DayTape
from bot.assemble.plan import Plan
from bot.core.commands import RecordFill
from bot.core.engine import Engine
from bot.core.units import SECOND
from bot.storage import records
from bot.storage.archive import Stored
from bot.storage.journal import DayJournal, JournalFailed
from bot.storage.trades import DaySummary, TradeRow, TradesCsv, TradesFailed, holds, summary

EXIT_DONE: Final = 0
EXIT_CRASHED: Final = 1  # by what nobody foresaw: the next start reconciles and goes on
EXIT_REFUSED: Final = 3  # somebody must mend something before the bot can trade
EXIT_UNRECONCILED: Final = 4
EXIT_HOLDING: Final = 5
ASKS: Final = 6  # times for a trade list that can't be read, or lags behind the fills…
ASKS_EVERY: Final = 10 * SECOND  # …so far apart: after the close there is time


class DayResult(NamedTuple):
    """How the day ended. Money in paise."""

    exit_code: int
    summary: DaySummary
    fills: tuple[RecordFill, ...]
    books: Books | None  # None: the broker's trade list could not be read
    files: tuple[Path, ...]
    stored: tuple[Stored, ...]
    archive_problem: str  # "" when everything is stored
    reconnects: int
    over: bool  # the day's last word; else a later start goes on


@dataclass
class Closing:
    """What the books are closed over. `note(what, error)` says what the disk did not take."""

    plan: Plan
    journal: DayJournal
    csv: TradesCsv
    rows: list[TradeRow]  # the day's fills, the journal's and this run's
    tape: DayTape
    note: Callable[[str, Exception], None]
    hurried: Callable[[], bool]  # somebody waits for the process to end

    async def close(self, engine: Engine, broker: DayBroker, reconnects: int, *, over: bool) -> DayResult:
        """Close the books. `over=False`: stopped in mid-day, so a later start may go on; nothing is final."""
        plan, rows = self.plan, self.rows
        plan.phase("reconcile")
        fills = tuple(row.fill for row in rows)
        books = await self._books(engine, broker, fills, asks=ASKS if over else 1)
        named = with_trade_ids(rows, books)
        await self.last_write(lambda: self.csv.rewrite(named), "trades csv")
        day = summary(fills)
        problems = self._problems(named, books, day)
        code = EXIT_UNRECONCILED if problems else EXIT_DONE
        if engine.holding or engine.account.open:
            code = EXIT_HOLDING
        date, folder, log = plan.session.day, plan.data_folder, plan.logs.log
        await self.last_write(lambda: _mark(unreconciled_path(folder, date), problems), "the day's mark")
        if problems:
            log.error("unreconciled", day=date.isoformat(), problems=problems[:20])
        await self.last_write(lambda: write_settings(folder, date, plan.public_settings), "settings")
        alive = asyncio.get_running_loop().call_soon_threadsafe
        judged = partial(
            certify, self.tape, folder, date, plan.model.classifier, partial(alive, _nothing), log
        )
        await self.last_write(judged, "tape")
        result = DayResult(code, day, fills, books, day_files(folder, date), (), "", reconnects, over)
        log.info("day_over", exit_code=code, trades=day.trades, net_paise=day.net, final=over)
        if not over:
            return result
        end = records.end_record(plan.clock.now(), code)
        await self.last_write(lambda: self.journal.commit([end]), "journal")
        self.journal.close()  # one plain file from here on, fit to be archived
        plan.phase("archive")
        stored, problem = await archived(plan.clock, plan.archive_root, folder, date, result.files, log)
        return result._replace(stored=stored, archive_problem=problem)

    async def _books(
        self, engine: Engine, broker: DayBroker, fills: tuple[RecordFill, ...], asks: int
    ) -> Books | None:
        """Our fills against the broker's trade list. One that is late or not told is asked for again; once,
        when somebody waits.
        """
        ours = {order.order_id for order in engine.account.orders.values() if order.order_id}
        books: Books | None = None
        while True:
            asks -= 1
            trades = await broker.trades()
            if trades is not None:
                books = compare(fills, trades, ours.__contains__)
                if books.reconciled:
                    break
            hurried = self.hurried()
            asks = min(asks, 1) if hurried else asks
            if not asks:
                break
            pause = ASKS_EVERY // 2 if hurried else ASKS_EVERY
            await self.plan.clock.sleep_until(self.plan.clock.now() + pause)
        return books

    def _problems(self, rows: list[TradeRow], books: Books | None, day: DaySummary) -> list[str]:
        """Why this day's CSV is not the broker's trade list; none: it is."""
        problems = ["the broker's trade list could not be read"] if books is None else list(books.differences)
        if day.holding:  # maybe sold by hand; whether the account still has it is another question
            problems.append("by our books something is still held: the CSV lacks its sale")
        if not holds(self.csv.path, rows):
            problems.append(f"{self.csv.path.name} on disk is not what the journal says: the disk failed")
        return problems

    async def last_write(self, work: Callable[[], Any], what: str) -> None:
        """A disk that fails now must not keep the rest of the day from being closed."""
        try:
            await on_thread(self.plan.clock, work)
        except (OSError, TradesFailed, JournalFailed) as error:
            self.note(what, error)


def _mark(path: Path, problems: list[str]) -> None:
    """The day's mark: there while its CSV is not the broker's trade list, saying why."""
    if problems:
        path.write_text("\n".join([*problems, ""]), encoding="utf-8")
    else:
        path.unlink(missing_ok=True)


def _nothing() -> None:
    """Wakes the loop."""
