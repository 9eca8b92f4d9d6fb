"""Tokens in the broker's form that open nothing: made here, signed by nobody."""

import json
from base64 import urlsafe_b64encode


def unsigned(signature: bytes = b"", /, **claims: object) -> str:
    """A JWT with these claims; `signature` is any bytes."""
    parts = [json.dumps({"typ": "JWT", "alg": "none"}).encode(), json.dumps(claims).encode(), signature]
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


EXPIRED = unsigned(b"x", exp=1_700_000_000)  # November 2023
