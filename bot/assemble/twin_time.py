"""Whose time it is: the wall's, or the twin's when the settings lead to one.

A twin plays a day of its own at an hour of its own, so whoever practises with it must live in its time: by
the wall its token has expired, its prices are months old and its contracts are gone. Plain HTTP on loopback
is the twin (settings allow it to nobody else); the broker is never asked.
"""

from typing import Final

import httpx

from bot.core.units import Nanos
from bot.run.live import WallClock
from bot.twin.control import CLOCK_PATH

LOOPBACK: Final = ("http://127.0.0.1", "http://localhost")
_PATIENCE_SECONDS: Final = 3.0


def clock_for(api_host: str) -> WallClock:
    """A clock that shows the twin's time at the twin's speed; the wall's without a twin that tells it."""
    if not api_host.startswith(LOOPBACK):
        return WallClock()
    try:
        answer = httpx.get(api_host + CLOCK_PATH, timeout=_PATIENCE_SECONDS, trust_env=False)
        if answer.status_code != httpx.codes.OK:
            return WallClock()
        told = answer.json()
        now, speed = told["now_ns"], told["speed"]
    except (httpx.RequestError, ValueError, KeyError, TypeError):
        return WallClock()  # nobody there, or another thing: the calls that follow say so, in their words
    return WallClock(starts_at=_nanos(now), speed=float(speed))


def _nanos(value: object) -> Nanos:
    return int(str(value))
