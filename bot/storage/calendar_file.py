"""The calendar's files: the one that comes with the package, and the owner's in the data folder over it.

It must never know what a session is.
"""

import os
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Final

from bot.core.calendar import Calendar, CalendarRefused, parse, written

OWN_NAME: Final = "calendar.csv"
_PACKAGED: Final = "calendar_2025_2027.csv"


def packaged() -> Calendar:
    """The reviewed calendar of this version."""
    return parse(resources.files("bot.core").joinpath(_PACKAGED).read_text("utf-8"), _PACKAGED)


def load(data_folder: Path) -> Calendar:
    """The packaged calendar under the owner's, when there is one. Raises CalendarRefused."""
    return packaged().overlaid(own(data_folder))


def own(data_folder: Path) -> Calendar:
    """The owner's file alone; empty when there is none. Raises CalendarRefused."""
    path = data_folder / OWN_NAME
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Calendar({}, {})
    except (OSError, UnicodeDecodeError) as error:
        raise CalendarRefused([f"{path}: cannot be read: {error}"]) from None
    return parse(text, str(path))


def save(data_folder: Path, news: Calendar, remarks: Iterable[str] = ()) -> Path:
    """Lay `news` over the owner's file; what was there stays beside it as .bak. Raises OSError.

    Raises CalendarRefused when the file that is there can't be read: it is a person's, and not overwritten.
    """
    path = data_folder / OWN_NAME
    text = written(own(data_folder).overlaid(news), remarks)
    data_folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.with_suffix(".csv.bak").write_bytes(path.read_bytes())
    whole = path.with_suffix(".csv.new")
    with whole.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    whole.replace(path)
    return path
