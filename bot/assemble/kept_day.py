"""Where a day's journal lies: the data folder, or the archive's copy here or in S3. Finds and reads it, only.

It must never change what it finds, and knows nothing of what the records say.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from bot.run.ports import Record
from bot.settings import SECTIONS, ArchiveSettings, DataSettings, SettingsRefused
from bot.settings_file import read_tree
from bot.storage.archive import ArchiveRefused, store_at
from bot.storage.journal import JournalRefused, journal_path, read_journal


class ExplainRefused(Exception):
    """`problems` say what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def places_of(config: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    """Where days lie by the settings: the data folder, then the archive. The rest of the file may be
    unfinished: nothing is traded here. Raises SettingsRefused.
    """
    tree, _ = read_tree(config, environ, SECTIONS)
    try:
        data = DataSettings.model_validate(tree.get("data", {}))
        archive = ArchiveSettings.model_validate(tree.get("archive", {}))
    except ValidationError as error:
        problems = [f"{item['loc'][-1]}: {item['msg']}" for item in error.errors()]
        raise SettingsRefused([f"[data] or [archive]: {problem}" for problem in problems]) from None
    return [str(data.folder), archive.root]


def kept_of(day: date, places: Sequence[str]) -> tuple[list[Record], str]:
    """The day's records, and where they were. Raises ExplainRefused."""
    name = journal_path(Path(), day).name
    try:
        for place in places:
            if place.startswith("s3://"):
                if (copied := _from_s3(place, f"{day:%Y/%m/%d}/{name}")) is not None:
                    return copied
                continue
            root = Path(place)
            for path in (root / name, root / "data" / name, root / f"{day:%Y/%m/%d}" / name):
                if path.exists():
                    return read_journal(path), str(path)
    except (JournalRefused, ArchiveRefused) as refused:
        raise ExplainRefused([str(refused)]) from None
    except OSError as error:
        raise ExplainRefused([f"the journal of {day} can't be read ({error}): try again."]) from None
    where = " nor in ".join(places)
    raise ExplainRefused(
        [f"{day}: no journal ({name}) in {where}. Was it a trading day? Else name its folder with --from."]
    )


def _from_s3(root: str, key: str) -> tuple[list[Record], str] | None:
    """The archive's copy. Raises ArchiveRefused, JournalRefused, OSError."""
    store = store_at(root)
    with TemporaryDirectory(prefix="bot-explain-") as folder:
        copy = Path(folder) / key.rpartition("/")[2]
        try:
            there = store.fetch(key, copy)
        except store.passing as error:
            raise OSError(f"{store.address(key)}: {error}") from error
        return (read_journal(copy), store.address(key)) if there else None
