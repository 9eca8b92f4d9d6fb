"""Taking secrets out of whatever is about to be written where people, files or servers can see it.

By value (what was registered), by type (pydantic's SecretStr hides itself), by name of the field, and by the
look of the text. When in doubt it hides too much. It must never raise and never show what it hid.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

HIDDEN: Final = "***"
_SHORTEST: Final = 6  # a shorter "secret" would blot out ordinary words
_DEPTH_MAX: Final = 6
_NAMES_MAX: Final = 1024

# `instrument_token` is Upstox's word for an instrument's key, and no secret.
_WORDS: Final = (
    r"(?!instrument[_-]?token)[\w-]*(?:token|secret|password|passwd|passphrase|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|authorization|cookie)|m?pin|t?otp"
)
_FIELD: Final = re.compile(_WORDS, re.IGNORECASE)
_NAME: Final = rf"(?<![\w-])(?:{_WORDS})"
_VALUE: Final = r"""[^\s"'&,;<>{}\[\]()]+"""
_PATTERNS: Final = (
    (re.compile(r"\beyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?"), HIDDEN),  # a JWT
    (re.compile(r"\b(Bearer)\s+[\w.~+/=-]{4,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(Basic)\s+[\w+/=-]{12,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),  # an AWS access key's id
    # name="value", 'name': b'value'
    (re.compile(rf"({_NAME}[\"']?\s*[:=]\s*b?([\"']))(?:(?!\2).)+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"({_NAME}\s*=\s*){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # After a bare colon a short plain word is more likely prose ("token: is missing").
    (re.compile(rf"({_NAME}\s*:\s*)(?=\S*\d|\S{{12}}){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"\b(code|requestId|sig|signature)={_VALUE}", re.IGNORECASE), rf"\1={HIDDEN}"),
    (re.compile(r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)"), HIDDEN),  # user:password@host
)
# What any of the patterns needs, in small letters: most texts hold none of it, and are done. Searched one by
# one because a pattern of alternatives takes ten times as long.
_SUSPICIOUS: Final = (
    *("eyj", "bearer", "basic", "akia", "asia", "token", "secret", "pass", "key", "authorization", "cookie"),
    *("pin", "otp", "code=", "requestid=", "sig", "@"),
)


class Redactor:
    """`clean` any value for JSON; `hide` adds a secret known by value, at any time, from any thread."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._names: dict[str, tuple[str, bool]] = {}

    def hide(self, secret: str) -> None:
        """Never let this value through again, plain or as it looks inside an address."""
        if len(secret) < _SHORTEST:
            return
        forms = {*self._secrets, secret, quote(secret, safe="")}
        self._secrets = tuple(sorted(forms, key=len, reverse=True))
        self._names = {}

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        small = text.lower()
        for word in _SUSPICIOUS:
            if word in small:
                return self._scanned(text)
        return text

    def fields(self, fields: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
        """Every value clean, and those of fields with a secret's name gone."""
        clean = {}
        for name, value in fields.items():
            shown, secret = self._names.get(name) or self._name(name)
            clean[shown] = HIDDEN if secret and value else self.clean(value, depth)
        return clean

    def _name(self, name: Any) -> tuple[str, bool]:
        """How a field's name is shown, and whether its value is a secret. Remembered: names repeat."""
        known = (self.text(str(name)), _FIELD.fullmatch(str(name)) is not None)
        if type(name) is str and len(self._names) < _NAMES_MAX:
            self._names[name] = known
        return known

    def _scanned(self, text: str) -> str:
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def clean(self, value: Any, depth: int = 0) -> Any:
        """A value JSON can take, without secrets: what is no plain data becomes its text."""
        if value is None or type(value) in {int, float, bool}:
            return value
        if type(value) is str:
            return self.text(value)
        if depth < _DEPTH_MAX:
            if isinstance(value, Mapping):
                return self.fields(value, depth + 1)
            if isinstance(value, list | tuple | set | frozenset):
                return [self.clean(item, depth + 1) for item in value]
        if isinstance(value, bytes | bytearray):
            return self.text(bytes(value).decode("utf-8", "replace"))
        return self.text(_told(value))


def _told(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - another's __str__; a log line is no reason to fall
        return f"<{type(value).__name__} that can't be shown: {type(error).__name__}>"
