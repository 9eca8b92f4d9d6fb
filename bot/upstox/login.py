"""The OAuth dialog's two halves: the address a person opens, and its code for a token (upstox §2.1).

It knows no browser and no file. A code is burned by its first use, also by one that fails, so the exchange
is asked once. Neither code, secret nor token may get into a text.
"""

import ssl
from typing import Final, NamedTuple
from urllib.parse import urlencode

import httpx
import orjson

from bot.run.ports import Clock
from bot.upstox.line import USER_AGENT
from bot.upstox.wire_answers import api_errors

SECONDS: Final = 15.0
_ADVICE: Final = {
    "UDAPI100057": "The code was used or too old: run `bot login` again and do not reload the page.",
    "UDAPI100069": "API key, redirect address or code do not belong together: compare [login] with the app's "
    "page in the developer console, letter by letter.",
    "UDAPI100068": "API key or redirect address is wrong: compare [login] with the app's page.",
    "UDAPI100016": "API key or secret is wrong: copy both again from the developer console.",
    "UDAPI100058": "The account needs reactivation: log in to the broker's site.",
    "UDAPI100073": "The app is inactive: look at it in the developer console.",
    "UDAPI100099": "Too many token requests: wait a minute.",
}


class LoginRefused(Exception):
    """No token came of it. Says why and what to do."""


class Login(NamedTuple):
    """What the exchange gave."""

    token: str
    user_id: str

    def __repr__(self) -> str:
        return f"Login(token=..., user_id={self.user_id!r})"


def dialog_address(host: str, api_key: str, redirect_uri: str, state: str) -> str:
    """What the person's browser opens. Holds no secret."""
    query = {"response_type": "code", "client_id": api_key, "redirect_uri": redirect_uri, "state": state}
    return f"{host}/v2/login/authorization/dialog?{urlencode(query)}"


async def exchange(
    clock: Clock,
    host: str,
    *,
    code: str,
    api_key: str,
    api_secret: str,
    redirect_uri: str,
    trust: ssl.SSLContext | None = None,
) -> Login:
    """The code for the day's token; once. Raises LoginRefused."""
    form = {
        "code": code,
        "client_id": api_key,
        "client_secret": api_secret,
        "redirect_uri": redirect_uri,
        "grant_type": "authorization_code",
    }
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    verify: ssl.SSLContext | bool = trust or True
    clock.departed()
    try:
        async with httpx.AsyncClient(timeout=SECONDS, trust_env=False, verify=verify) as client:
            answer = await client.post(f"{host}/v2/login/authorization/token", data=form, headers=headers)
    except httpx.HTTPError as error:
        raise LoginRefused(
            f"the broker did not answer the exchange ({type(error).__name__}). Run `bot login` again: the "
            "code may be used up."
        ) from None
    finally:
        clock.arrived()
    return _read(answer.status_code, answer.content)


def _read(status: int, content: bytes) -> Login:
    """The success body is flat, without the usual envelope (upstox §1.3)."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = None
    fields = body if isinstance(body, dict) else {}
    token, user_id = fields.get("access_token"), fields.get("user_id")
    if status == 200 and isinstance(token, str) and token:
        return Login(token, user_id if isinstance(user_id, str) else "")
    errors = api_errors(fields)
    code = errors[0].code if errors else ""
    advice = _ADVICE.get(code, "Run `bot login` again; if it stays, look the code up at the broker's.")
    raise LoginRefused(f"the broker gave no token (HTTP {status} {code or 'without a code'}). {advice}")
