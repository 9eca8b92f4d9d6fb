"""The trading calendar as data: which days have a session, and with which deadlines.

Pure. It is given the file's text and the broker's words, and reads neither file, network nor clock. A day it
does not know is refused: a year that is not covered has no regular days.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from bot.core.session import fo_close_on

FO_OPENS: Final = time(9, 15)
SESSION_MIN: Final = timedelta(minutes=15)  # shorter is a slip of the pen, not a session
EARLY_WARNING_MONTH: Final = 12  # of the year before one that is not covered
HEADER: Final = ("kind", "date", "open", "close", "label", "source", "confidence")
CONFIDENCES: Final = ("high", "medium", "low")
_COVERS: Final = "covers"
_SATURDAY: Final = 5


class Kind(StrEnum):
    CLOSED = "closed"
    SPECIAL = "special"  # a session on a day that is otherwise shut: Muhurat, a budget weekend
    SHORT = "short"  # a weekday with other hours
    REGULAR = "regular"  # takes back an entry of another file


class Hours(NamedTuple):
    """When the equity derivatives trade continuously, IST."""

    opens: time
    closes: time

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}–{self.closes:%H:%M}"


class CalendarRefused(ValueError):
    """The file is wrong. `problems` lists every line of it that is."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Entry:
    """One day that is not like any other weekday (or weekend)."""

    day: date
    kind: Kind
    hours: Hours | None  # of a special or short day
    label: str
    source: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Year:
    """A year whose every day is known, and by whom."""

    year: int
    label: str
    source: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """Years that are covered, and their days that are not regular."""

    years: Mapping[int, Year]
    entries: Mapping[date, Entry]

    def covers(self, day: date) -> bool:
        return day.year in self.years

    def hours_on(self, day: date) -> Hours | None:
        """Special sessions included; None when shut. Ask `covers` first: an unknown weekday is open here."""
        entry = self.entries.get(day)
        if entry is not None and entry.kind is not Kind.REGULAR:
            return entry.hours
        if entry is None and day.weekday() >= _SATURDAY:
            return None
        return Hours(FO_OPENS, fo_close_on(day))

    def early_warning(self, today: date) -> str:
        """From December on: next year is missing. "" when there is nothing to say."""
        following = today.year + 1
        if today.month < EARLY_WARNING_MONTH or not self.covers(today) or following in self.years:
            return ""
        return (
            f"{following} is not covered by the calendar: from 1 January the bot will not trade. "
            "Run `bot calendar fetch`."
        )

    def trading_days(self, after: date, until: date) -> int:
        """Days with a session in (after, until]; at most the next 30 days are looked at.

        For counting down to an expiry. A weekday of a year that is not covered counts as open.
        """
        days = (after + timedelta(days=number) for number in range(1, min((until - after).days, 30) + 1))
        return sum(self.hours_on(day) is not None for day in days)

    def overlaid(self, own: "Calendar") -> "Calendar":
        """`own`, the owner's, over this one. A year it covers is its alone; its single days replace ours."""
        kept = {day: entry for day, entry in self.entries.items() if day.year not in own.years}
        return Calendar({**self.years, **own.years}, {**kept, **own.entries})


# ---- the file --------------------------------------------------------------------------------------------


def parse(text: str, name: str) -> Calendar:
    """The file's text → Calendar. `name` is for the words. Raises CalendarRefused with every bad line."""
    years: dict[int, Year] = {}
    entries: dict[date, Entry] = {}
    problems = []
    lines = [
        (number, line)
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines or lines[0][1].strip() != ",".join(HEADER):
        raise CalendarRefused([f"{name}: the first line must be {','.join(HEADER)}"])
    for number, line in lines[1:]:
        try:
            row = _row(_cells(line))
        except ValueError as error:
            problems.append(f"{name}:{number}: {error}")
            continue
        if isinstance(row, Year):
            double = years.setdefault(row.year, row) is not row
        else:
            double = entries.setdefault(row.day, row) is not row
        if double:
            problems.append(f"{name}:{number}: {_cells(line)[1]} stands twice")
    if problems:
        raise CalendarRefused(problems)
    return Calendar(years, entries)


def written(calendar: Calendar, remarks: Iterable[str] = ()) -> str:
    """The text that `parse` reads back. `remarks` go above it, a line each."""
    lines = [f"# {remark}" for remark in remarks] + [",".join(HEADER)]
    for year in sorted(set(calendar.years) | {day.year for day in calendar.entries}):
        if covered := calendar.years.get(year):
            words = (covered.label, covered.source, covered.confidence)
            lines.append(_line(_COVERS, f"{year:04}", "", "", *words))
        for day in sorted(day for day in calendar.entries if day.year == year):
            entry = calendar.entries[day]
            opens, closes = (f"{at:%H:%M}" for at in entry.hours) if entry.hours else ("", "")
            words = (entry.label, entry.source, entry.confidence)
            lines.append(_line(entry.kind, day.isoformat(), opens, closes, *words))
    return "\n".join(lines) + "\n"


def _cells(line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True))]
    except csv.Error as error:
        raise ValueError(f"is no CSV: {error}") from None


def _line(*cells: str) -> str:
    clean = (" ".join(cell.split()) for cell in cells)
    return ",".join(
        f'"{cell.replace(chr(34), chr(34) * 2)}"' if {",", '"'} & {*cell} else cell for cell in clean
    )


def _row(cells: list[str]) -> Entry | Year:
    if len(cells) != len(HEADER):
        raise ValueError(f"{len(HEADER)} columns are wanted, {len(cells)} found")
    kind, day, opens, closes, label, source, confidence = cells
    if not label or not source:
        raise ValueError("label and source must not be empty: say what the day is and who says so")
    if confidence not in CONFIDENCES:
        raise ValueError(f"confidence must be one of {', '.join(CONFIDENCES)}")
    if kind == _COVERS:
        if not (len(day) == len("2026") and day.isdecimal()) or opens or closes:
            raise ValueError("covers wants a year (2026) and no times")
        return Year(int(day), label, source, confidence)
    if kind not in set(Kind):
        raise ValueError(f"kind must be covers, {', '.join(Kind)}")
    on = _date(day)
    if kind not in {Kind.SPECIAL, Kind.SHORT}:
        if opens or closes:
            raise ValueError(f"a {kind} day has no times of its own")
        return Entry(on, Kind(kind), None, label, source, confidence)
    hours = Hours(_time(opens), _time(closes))
    if since_midnight(hours.closes) - since_midnight(hours.opens) < SESSION_MIN:
        raise ValueError("the session must close at least 15 minutes after it opens")
    return Entry(on, Kind(kind), hours, label, source, confidence)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"date must be YYYY-MM-DD, not {text!r}") from None


def _time(text: str) -> time:
    try:
        at = time.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or f"{at:%H:%M}" != text:
        raise ValueError(f"open and close must be HH:MM (IST), not {text!r}")
    return at


def since_midnight(at: time) -> timedelta:
    """A wall time as a length, to reckon with."""
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
