"""Can the archive take a day, before there is one? A small object is written, read back and taken away.

Blocking code for a thread; it must never touch what a day has stored.
"""

import tempfile
from pathlib import Path
from typing import Final

from bot.storage.archive import ArchiveFailed, ArchiveRefused, content_of, store_at

_FOLDER: Final = "preflight"


def probe(root: str, name: str) -> str:
    """Write and read back one object of this name. "", or what could not be taken away again.

    Raises ArchiveRefused (the set-up is wrong) or ArchiveFailed (it did not work this time).
    """
    store = store_at(root)
    key = f"{_FOLDER}/{name}"
    address = store.address(key)
    with tempfile.TemporaryDirectory(prefix="preflight-") as folder:
        file = Path(folder) / name
        file.write_text(f"A preflight wrote {name} and should have removed it.\n", "utf-8")
        content = content_of(file)
        try:
            store.put(key, file, content)
            held = store.holds(key, content)
        except store.passing as error:
            raise ArchiveFailed(f"{address}: {error}") from error
    if held is None:
        raise ArchiveFailed(f"{address}: was written and can't be read back (may we: s3:GetObject?)")
    if not held:
        raise ArchiveFailed(f"{address}: holds something else than was written")
    stays: tuple[type[Exception], ...] = (ArchiveRefused, *store.passing)
    try:
        store.remove(key)
    except stays as error:
        return f"{address} could not be removed again: {error}"
    return ""
