"""Where settings come from: a TOML file and the environment, laid over one another into one tree.

It knows names and secrets, and not what a setting means: settings.py validates.
"""

import os
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

_SHORT_NAMES = ("BOT_LIVE_ACCESS_TOKEN", "BOT_SANDBOX_ACCESS_TOKEN", "BOT_INSTRUMENT_KEY", "BOT_TRADE_QTY")
_PREFIX = "BOT_"
_SECRETS = (
    ("broker", "live_access_token", "BOT_LIVE_ACCESS_TOKEN"),
    ("broker", "sandbox_access_token", "BOT_SANDBOX_ACCESS_TOKEN"),
    ("login", "api_secret", "BOT_LOGIN__API_SECRET"),
)


class SettingsRefused(ValueError):
    """The settings are wrong. `problems` lists every one, each with its key and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_tree(
    path: Path | None, environ: dict[str, str] | None, sections: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """The file (None: `bot.toml` here, if it exists) with the environment (None: the process's) laid over it,
    and a sentence for everything that has no place there. Raises SettingsRefused for a file it can't read.
    """
    chosen = path or Path("bot.toml")
    tree = {} if path is None and not chosen.exists() else _read(chosen)
    problems = _secrets_in_file(tree)
    return tree, problems + _overlay(tree, dict(os.environ) if environ is None else environ, sections)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsRefused(
            [f"{path}: no such file. Copy bot.example.toml and fill in your instrument."]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsRefused([f"{path}: cannot be read: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused([f"{path}: not valid TOML: {error}"]) from None


def _secrets_in_file(tree: dict[str, Any]) -> list[str]:
    """Take secrets out of the tree; a sentence for each."""
    problems = []
    for section, key, name in _SECRETS:
        fields = tree.get(section)
        if isinstance(fields, dict) and fields.pop(key, ""):
            problems.append(
                f"{section}.{key}: a secret must not stand in the file; put it in the environment as {name}"
            )
    return problems


def _overlay(tree: dict[str, Any], environ: dict[str, str], sections: Collection[str]) -> list[str]:
    """Lay the environment over the file. Returns what it could not place."""
    problems = []
    for name, value in sorted(environ.items()):
        if not name.startswith(_PREFIX) or name in _SHORT_NAMES:
            continue
        section, _, key = name.removeprefix(_PREFIX).lower().partition("__")
        if section not in sections or not key:
            problems.append(
                f"{name}: unknown; write BOT_SECTION__KEY, with SECTION one of {', '.join(sorted(sections))}"
            )
        else:
            tree.setdefault(section, {})[key] = value
    broker = tree.setdefault("broker", {})
    if isinstance(broker, dict):
        for key in ("live_access_token", "sandbox_access_token"):
            if token := environ.get(f"BOT_{key.upper()}"):
                broker[key] = token
    problems += _one_instrument(tree, environ)
    return problems


def _one_instrument(tree: dict[str, Any], environ: dict[str, str]) -> list[str]:
    """BOT_INSTRUMENT_KEY and BOT_TRADE_QTY set the one instrument, as in the first implementation."""
    changes = {
        field: environ[name]
        for name, field in (("BOT_INSTRUMENT_KEY", "key"), ("BOT_TRADE_QTY", "quantity"))
        if environ.get(name)
    }
    if not changes:
        return []
    instruments = tree.setdefault("instruments", [{}])
    if not isinstance(instruments, list) or len(instruments) > 1:
        return ["BOT_INSTRUMENT_KEY, BOT_TRADE_QTY: need exactly one [[instruments]] in the file"]
    instruments[0].update(changes)
    return []
