"""`bot calendar`: what we know of the days, and a year as the broker lists it, held against it.

It asks, words and writes; what the list means is core/calendar_update.py's business.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from bot.assemble.access import NEW_TOKEN, AccessSettings, first_token
from bot.assemble.twin_time import clock_for
from bot.core.calendar import Kind, written
from bot.core.calendar_update import Proposal, lines, propose, year_to_fetch
from bot.core.units import ist
from bot.run.live import WallClock
from bot.storage import calendar_file
from bot.upstox.auth import Token
from bot.upstox.rest import UpstoxRest
from bot.upstox.wire_answers import ReadFailed

EXIT_DONE, EXIT_FAILED = 0, 1
_REVIEW = (
    "For review: compare with the exchange's circular, then rename to calendar.csv.",
    "What stands there already must be kept: this file has the fetched year alone.",
)


def show(data_folder: Path, year: int | None, today: date | None = None) -> Iterator[str]:
    """The calendar for people, a line each. Raises CalendarRefused."""
    known = calendar_file.load(data_folder)
    for number in sorted(known.years):
        if year in {None, number}:
            covered = known.years[number]
            yield f"{number}  {covered.label} ({covered.source}, confidence {covered.confidence})"
            for day in sorted(day for day in known.entries if day.year == number):
                entry = known.entries[day]
                hours = f" {entry.hours}" if entry.hours else ""
                mark = "special, not traded unless asked" if entry.kind is Kind.SPECIAL else entry.kind.value
                yield f"  {day:%a} {day}  {mark}{hours}  {entry.label} ({entry.source}, {entry.confidence})"
    if year is not None and year not in known.years:
        yield f"{year} is not covered: the bot does not trade in it. Run `bot calendar fetch`."
    warning = known.early_warning(today or ist(WallClock().now()).date())
    if warning:
        yield f"! {warning}"


def fetch(
    access: AccessSettings,
    data_folder: Path,
    year: int | None,
    *,
    accept_it: bool,
    say: Callable[[str], None],
    today: date | None = None,
) -> int:
    """Ask, print, write `calendar-YEAR.proposed.csv` (or calendar.csv). The exit code.

    Raises TokenFileRefused.
    """
    clock = clock_for(access.hosts.api)
    asked_on = today or ist(clock.now()).date()

    text, _ = first_token(access, clock.now())
    try:
        token = Token(text)
    except ValueError:
        say(f"! there is no token to ask the broker with: {NEW_TOKEN}")
        return EXIT_FAILED

    async def ask() -> Proposal:
        rest = UpstoxRest(clock, token, access.hosts)
        try:
            return await ask_for_year(rest, data_folder, asked_on, year)
        finally:
            await rest.aclose()

    try:
        proposal = asyncio.run(ask())
    except ReadFailed as failure:
        say(f"! the broker did not tell its holidays: {failure}. Is today's token set? Try again later.")
        return EXIT_FAILED
    for line in lines(proposal):
        say(line)
    if proposal.problems:
        return EXIT_FAILED
    if not proposal.changes and calendar_file.load(data_folder).covers(date(proposal.year, 1, 1)):
        return EXIT_DONE
    say(f"written: {_write(proposal, data_folder, accept_it=accept_it)}")
    if not accept_it:
        say(
            "Nothing has changed yet. Compare it with the exchange's circular, then run with --accept "
            f"(or move its lines into {data_folder / calendar_file.OWN_NAME})."
        )
    return EXIT_DONE


def _write(proposal: Proposal, data_folder: Path, *, accept_it: bool) -> Path:
    if accept_it:
        return accept(proposal, data_folder)
    path = data_folder / f"calendar-{proposal.year}.proposed.csv"
    data_folder.mkdir(parents=True, exist_ok=True)
    path.write_text(written(proposal.calendar, _REVIEW), encoding="utf-8")
    return path


async def ask_for_year(rest: UpstoxRest, data_folder: Path, today: date, year: int | None = None) -> Proposal:
    """What the broker's list would change. `year` None: the one that is missing next.

    Raises ReadFailed when the broker does not tell, CalendarRefused when the owner's file can't be read.
    """
    known = calendar_file.load(data_folder)
    return propose(known, await rest.holidays(), year or year_to_fetch(known, today), today)


def accept(proposal: Proposal, data_folder: Path) -> Path:
    """Write the proposed year into the owner's calendar.csv. Raises OSError, CalendarRefused."""
    assert not proposal.problems, "a list that can't be believed is not written"
    remarks = ("Laid over the bot's own calendar (core/calendar_2025_2027.csv says how). Yours to edit.",)
    return calendar_file.save(data_folder, proposal.calendar, remarks)
