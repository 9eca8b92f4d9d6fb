"""Ask Upstox for today's access token (upstox §2.3): it asks the owner's phone, then posts to the webhook.

Called by the schedule at 08:00 IST, and once more by the bot when no token came. It raises when Upstox did
not take the request, so that the alarm on its errors speaks. It must never log what it reads.
"""

import json
import os
import urllib.error
import urllib.request
from typing import Any

import boto3

ANSWER_BYTES_MAX = 64 * 1024
TIMEOUT_SECONDS = 10
AGENT = "options-bot"


class NotAsked(Exception):
    """Upstox did not take the request. Says why and what to do, without anything secret."""


def handle(event: object, _context: object = None) -> dict[str, str]:
    """The Lambda's entry. Returns until when the owner may approve (epoch ms, as Upstox says it)."""
    del event  # who calls does not matter: asking is all this can do
    client_id = os.environ["UPSTOX_CLIENT_ID"]
    answer = _post(client_id, _client_secret())
    data = answer.get("data")
    expiry = str(data.get("authorization_expiry", "")) if isinstance(data, dict) else ""
    if answer.get("status") != "success" or not expiry.isdigit():
        raise NotAsked("Upstox answered without an authorization_expiry. Plan B: `bot login`.")
    print(json.dumps({"event": "token_requested", "approve_until_ms": expiry}))
    return {"approve_until_ms": expiry}


def _client_secret() -> str:
    name = os.environ["APP_SECRET"]
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    try:
        value = json.loads(secret)["client_secret"]
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, str) or not value:
        raise NotAsked(f'secret {name}: must be JSON {{"client_secret": "…"}}; run infra/deploy --secrets')
    return value


def _post(client_id: str, client_secret: str) -> dict[str, Any]:
    host = os.environ.get("UPSTOX_API", "https://api.upstox.com")
    request = urllib.request.Request(  # noqa: S310 - the scheme is ours
        f"{host}/v3/login/auth/token/request/{client_id}",
        data=json.dumps({"client_secret": client_secret}).encode(),
        headers={
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "options-bot",
        },
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            answer = json.loads(response.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as refused:
        code = refused.code
        refused.close()
        # `from None`: the exception of the library holds the request.
        raise NotAsked(f"Upstox said HTTP {code}. Check the app's key, secret and notifier URL.") from None
    except (OSError, ValueError) as failure:
        raise NotAsked(f"Upstox could not be asked ({type(failure).__name__}).") from None
    if not isinstance(answer, dict):
        raise NotAsked("Upstox answered with something that is no object.")
    return answer
