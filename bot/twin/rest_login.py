"""Login calls of the REST API: dialog, token, approval (upstox §2) need no token; logout does."""

import asyncio
from typing import Final
from urllib.parse import parse_qsl

import httpx
import orjson

from bot.twin.answers import Answer, invalid, success
from bot.twin.calls import Call
from bot.twin.rest_account import person

APPROVAL_SECONDS: Final = 2.0  # the user finds the phone
POST_SECONDS: Final = 5.0


async def dialog(call: Call) -> Answer:
    """GET /v2/login/authorization/dialog: back to the app with a code; the user has said yes."""
    location = call.floor.login.dialog(call.query, call.floor.clock.now())
    return Answer({}, 302, location)


async def token(call: Call) -> Answer:
    """POST /v2/login/authorization/token: a form in, a flat answer without envelope out (upstox §1.3)."""
    try:
        form = dict(parse_qsl(call.body.decode("ascii"), strict_parsing=True))
    except (UnicodeDecodeError, ValueError):
        raise invalid("body", "The body is not a form") from None
    text = call.floor.login.exchange(form, call.floor.clock.now())
    return Answer(person() | {"access_token": text, "extended_token": None})


async def request_token(call: Call) -> Answer:
    """POST /v3/login/auth/token/request/{client_id}: the token comes later, to the notifier's address."""
    try:
        body = orjson.loads(call.body)
        secret = body.get("client_secret")
    except (orjson.JSONDecodeError, AttributeError):
        raise invalid("body", "The body is not a JSON object") from None
    floor = call.floor
    until = floor.login.ask_approval(call.path["client_id"], secret, floor.clock.now())
    url = floor.login.app.notifier_url
    if url:
        task = asyncio.create_task(_notify(call, url), name="twin approval")
        floor.errands.add(task)
        task.add_done_callback(floor.errands.discard)
    return success({"authorization_expiry": str(until // 1_000_000), "notifier_url": url})


async def logout(call: Call) -> Answer:
    """DELETE /v2/logout: the token is dead."""
    call.floor.access.revoke(call.token)
    return success(True)


async def _notify(call: Call, url: str) -> None:
    """The approval, posted once: a webhook that is not taken is not repeated (upstox §2.3: nothing said)."""
    await call.floor.sleep(APPROVAL_SECONDS)
    word = call.floor.login.approved(call.floor.clock.now())
    async with httpx.AsyncClient(timeout=POST_SECONDS, trust_env=False) as client:
        try:
            await client.post(url, json=word)
        except httpx.RequestError:
            return  # nobody listens: the app asks again
