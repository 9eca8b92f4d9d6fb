"""The day's access token: held, replaced while running, and never shown. Knows no network and no file.

All tokens die at 03:30 IST, however late they were issued, and there is no refresh (upstox §0.2, §2.2).
"""

import base64
import binascii

import orjson

from bot.core.units import SECOND, Nanos

_EXPIRES_MAX_SECONDS = 1 << 33  # the year 2242: beyond it `exp` is damage


class Token:
    """The bearer token of now. Call it for the text, at every request: it may have been replaced since.

    Raises ValueError, without the text, for one that no HTTP header can carry.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = _checked(text)

    def __call__(self) -> str:
        return self._text

    def replace(self, text: str) -> None:
        """Use `text` from the next request on."""
        self._text = _checked(text)

    @property
    def expires_at(self) -> Nanos | None:
        """When the token says it ends (its JWT `exp`); None when it does not say. Not proof that it works."""
        return expiry_of(self._text)

    def __repr__(self) -> str:
        return "Token(...)"

    def __reduce__(self) -> str:
        raise TypeError("a token is not copied or stored")


def expiry_of(token: str) -> Nanos | None:
    """The `exp` claim of a JWT, unverified, as nanoseconds; None when there is none to read (upstox §2.2)."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):  # not base64, not ASCII, not JSON: an opaque token
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(expires, bool) or not isinstance(expires, int) or not 0 < expires < _EXPIRES_MAX_SECONDS:
        return None
    return expires * SECOND


def _checked(text: str) -> str:
    token = text.strip()
    if not token:
        raise ValueError("the access token is empty")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("the access token holds characters that no token has")
    return token
