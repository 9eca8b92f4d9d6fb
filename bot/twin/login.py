"""How an app gets its token: the dialog's code, the exchange, the approval on the phone (upstox §2.1, §2.3).

No clock: the time is an argument. Knows neither HTTP nor sockets; a refusal is raised as `Refused`. The
twin's user says yes to everything, at once: there is no page to fill in.
"""

import base64
from collections.abc import Mapping
from http import HTTPStatus
from random import Random
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from bot.core.units import MILLISECOND, SECOND, Nanos
from bot.twin.access import Access
from bot.twin.answers import Refused
from bot.twin.hours import next_expiry

CODE_LIVES: Final[Nanos] = 60 * SECOND  # one to two minutes, by a third party (upstox §2.1)
APPROVAL_LIVES: Final[Nanos] = 30 * 60 * SECOND  # how long the phone may be asked: a guess
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class App(NamedTuple):
    """A registered app. Without `redirect_uris` any address on loopback will do."""

    client_id: str = "twin-client"
    client_secret: str = "twin-secret"  # noqa: S105  opens nothing but the twin
    redirect_uris: tuple[str, ...] = ()
    notifier_url: str = ""  # where the approved token is posted


class _Code(NamedTuple):
    redirect_uri: str
    until: Nanos


class Login:
    """One app's logins. Tokens are entered into `access`; older ones live on (upstox §2.4: not stated)."""

    def __init__(self, app: App, access: Access, user: str, rng: Random) -> None:
        self.app = app
        self._access, self._user, self._rng = access, user, rng
        self._codes: dict[str, _Code] = {}

    def dialog(self, query: Mapping[str, str], at: Nanos) -> str:
        """The address the browser is sent back to. Raises Refused (UDAPI100068)."""
        uri = query.get("redirect_uri", "")
        if query.get("client_id") != self.app.client_id or not self._registered(uri):
            raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100068", "Check your 'client_id' and 'redirect_uri'")
        if query.get("response_type", "code") != "code":  # the official client leaves it out
            raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100036", "Invalid input", "response_type")
        code = f"{self._rng.getrandbits(32):06x}"
        self._codes[code] = _Code(uri, at + CODE_LIVES)
        state = f"&state={query['state']}" if "state" in query else ""
        return f"{uri}{'&' if '?' in uri else '?'}code={code}{state}"

    def exchange(self, form: Mapping[str, str], at: Nanos) -> str:
        """A token for a code. The code is gone whatever comes of it. Raises Refused."""
        code = self._codes.pop(form.get("code", ""), None)
        if form.get("client_id") != self.app.client_id or form.get("grant_type") != "authorization_code":
            message = "Check your 'client_id', 'redirect_uri' and 'code'"
            raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100069", message)
        if form.get("client_secret") != self.app.client_secret:
            raise Refused(HTTPStatus.UNAUTHORIZED, "UDAPI100016", "Invalid Credentials")
        if code is None or code.until <= at:
            raise Refused(HTTPStatus.UNAUTHORIZED, "UDAPI100057", "Invalid Auth code")
        if form.get("redirect_uri") != code.redirect_uri:
            message = "Check your 'client_id', 'redirect_uri' and 'code'"
            raise Refused(HTTPStatus.BAD_REQUEST, "UDAPI100069", message)
        return self.issue(at)

    def ask_approval(self, client_id: str, secret: object, at: Nanos) -> Nanos:
        """The phone is asked; until when it may say yes. Raises Refused."""
        if client_id != self.app.client_id or secret != self.app.client_secret:
            raise Refused(HTTPStatus.UNAUTHORIZED, "UDAPI100016", "Invalid Credentials")
        return at + APPROVAL_LIVES

    def approved(self, at: Nanos) -> dict[str, str]:
        """What is posted to the notifier when the user said yes: unsigned (upstox §2.3)."""
        return {
            "client_id": self.app.client_id,
            "user_id": self._user,
            "access_token": self.issue(at),
            "token_type": "Bearer",
            "expires_at": str(next_expiry(at) // MILLISECOND),
            "issued_at": str(at // MILLISECOND),
            "message_type": "access_token",
        }

    def issue(self, at: Nanos) -> str:
        """A new token, shaped like the broker's: a JWT whose `exp` is the next 03:30 (upstox §2.2)."""
        claims = {
            "sub": self._user,
            "isMultiClient": False,
            "isPlusPlan": False,
            "iat": at // SECOND,
            "exp": next_expiry(at) // SECOND,
            "iss": "udapi-gateway-service",
        }
        parts = (orjson.dumps({"typ": "JWT", "alg": "HS256"}), orjson.dumps(claims), self._rng.randbytes(32))
        token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
        self._access.issue(token, at)
        return token

    def _registered(self, uri: str) -> bool:
        if self.app.redirect_uris:
            return uri in self.app.redirect_uris
        return urlsplit(uri).hostname in LOOPBACK
