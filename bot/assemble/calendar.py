"""`bot calendar fetch`: a year as the broker lists it, held against our calendar, then written when told to.

It asks and writes; what the list means is core/calendar_update.py's business, and showing it the CLI's.
"""

from datetime import date
from pathlib import Path

from bot.core.calendar_update import Proposal, propose, year_to_fetch
from bot.storage import calendar_file
from bot.upstox.rest import UpstoxRest


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
