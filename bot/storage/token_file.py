"""The day's access token on disk: one line, readable by its owner alone, replaced whole.

It must never show what it holds, and knows nothing of what a token is good for.
"""

import os
import stat
from pathlib import Path
from typing import Final

_BYTES_MAX: Final = 8192
_OTHERS: Final = stat.S_IRWXO  # the group may: a container's user often reads a mounted secret that way


class TokenFileRefused(Exception):
    """The file can't be used. Says why and what to do; never what stands in it."""


def read_token(path: Path) -> str:
    """The text of the file, "" when there is none. Raises TokenFileRefused, also when others may read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_BYTES_MAX + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise TokenFileRefused(
            f"{path}: can't be read ({error.strerror}). Run `bot token set` as the user the bot runs as."
        ) from None
    if mode & _OTHERS:
        raise TokenFileRefused(
            f"{path}: every user may read it (mode {stat.S_IMODE(mode):o}), and whoever has it can trade "
            f"your account. Run `chmod 600 {path}`; if this machine has other users, make a new token, too."
        )
    if len(content) > _BYTES_MAX:
        raise TokenFileRefused(f"{path}: is no token file (too long). Run `bot token set`.")
    try:
        return content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise TokenFileRefused(f"{path}: holds characters that no token has. Run `bot token set`.") from None


def write_token(path: Path, text: str) -> None:
    """Replace the file, whole or not at all; 0600 from its first byte on. Raises TokenFileRefused."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)  # what a crash left
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="ascii") as file:  # noqa: PTH123 - a handle
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise TokenFileRefused(
            f"{path}: can't be written ({error.strerror}). Give the bot's user the folder, or set "
            "[broker] token_file to a place that is writable."
        ) from None
