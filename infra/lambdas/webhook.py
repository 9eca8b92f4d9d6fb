"""Take the day's token from Upstox (upstox §2.3) and put it into Secrets Manager.

Upstox signs nothing, so all input is hostile: an unguessable path, a size cap, a strict schema, our client
and user, times that make sense. The bot still proves the token by a real call before it uses it. Nothing of
what comes in is ever logged; answers say nothing a guesser could use. It can write the secret, not read it.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
import time
from typing import Any, NamedTuple

import boto3

BODY_BYTES_MAX = 16 * 1024
TOKEN_CHARACTERS = re.compile(r"[A-Za-z0-9._~+/=-]{16,8192}")
MILLISECONDS = re.compile(r"[0-9]{13}")
HOUR_MS = 3_600_000
LIFE_MS_MAX = 25 * HOUR_MS  # a token dies at the next 03:30 IST (upstox §2.2)
LEFT_MS_MIN = HOUR_MS  # one that dies sooner is of no use today
AGE_MS_MAX = HOUR_MS  # it is posted when it is made; an older one is a replay
SKEW_MS = 5 * 60_000


class Refused(Exception):
    """`status` for the caller, `reason` for the log; neither holds anything of the input."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Handed(NamedTuple):
    """A token that may be kept. Times are epoch milliseconds."""

    access_token: str
    issued_at_ms: int
    expires_at_ms: int


def handle(event: dict[str, Any], _context: object = None) -> dict[str, Any]:
    """The entry of the function URL (payload 2.0)."""
    try:
        _check_door(event)
        handed = judge(_body(event), os.environ["UPSTOX_CLIENT_ID"], os.environ["UPSTOX_USER_ID"], _now_ms())
    except Refused as refused:
        print(json.dumps({"event": "token_refused", "status": refused.status, "reason": refused.reason}))
        return {"statusCode": refused.status, "body": ""}
    boto3.client("secretsmanager").put_secret_value(
        SecretId=os.environ["TOKEN_SECRET"], SecretString=json.dumps(handed._asdict())
    )
    print(json.dumps({"event": "token_stored", "expires_at_ms": handed.expires_at_ms}))
    return {"statusCode": 200, "body": ""}


def judge(body: bytes, client_id: str, user_id: str, now_ms: int) -> Handed:
    """The token of a webhook's body, or Refused. Unknown fields are ignored; known ones must be right."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "no JSON") from None
    if not isinstance(told, dict):
        raise Refused(400, "no object")
    told = {key: value for key, value in told.items() if isinstance(value, str)}
    if told.get("message_type") != "access_token" or told.get("token_type") != "Bearer":
        raise Refused(400, "message_type or token_type")
    if not _same(told.get("client_id", ""), client_id) or not _same(told.get("user_id", ""), user_id):
        raise Refused(403, "not our client_id and user_id")
    token = told.get("access_token", "")
    if not TOKEN_CHARACTERS.fullmatch(token):
        raise Refused(400, "access_token")
    issued, expires = _milliseconds(told, "issued_at"), _milliseconds(told, "expires_at")
    if not now_ms - AGE_MS_MAX <= issued <= now_ms + SKEW_MS:
        raise Refused(400, "issued_at is not of now")
    if not now_ms + LEFT_MS_MIN <= expires <= now_ms + LIFE_MS_MAX:
        raise Refused(400, "expires_at makes no sense")
    return Handed(token, issued, expires)


def _check_door(event: dict[str, Any]) -> None:
    path = str(event.get("rawPath", "")).strip("/")
    given = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
    if not hmac.compare_digest(given, os.environ["PATH_SHA256"]):
        raise Refused(404, "path")
    if event.get("requestContext", {}).get("http", {}).get("method") != "POST":
        raise Refused(404, "method")


def _body(event: dict[str, Any]) -> bytes:
    text = event.get("body") or ""
    if not isinstance(text, str) or len(text) > BODY_BYTES_MAX * 4 // 3 + 4:
        raise Refused(413, "size")
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except (binascii.Error, ValueError):
        raise Refused(400, "encoding") from None
    if len(body) > BODY_BYTES_MAX:
        raise Refused(413, "size")
    return body


def _same(given: str, ours: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), ours.encode())


def _milliseconds(told: dict[str, str], field: str) -> int:
    text = told.get(field, "")
    if not MILLISECONDS.fullmatch(text):
        raise Refused(400, field)
    return int(text)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
