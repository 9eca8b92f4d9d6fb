"""All checks at once, each with a time limit of its own, as a list of findings.

The token goes first: without one that works, what needs it is not asked (a dozen refusals teach nothing).
It knows which checks there are and how to bound them, not what they look at.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeAlias

from bot.assemble.preflight import broker_checks, machine_checks
from bot.assemble.preflight.finding import CHECKS, Finding, Verdict, no_go, warn
from bot.assemble.preflight.ground import Ground
from bot.core.units import SECOND

Check: TypeAlias = Callable[[Ground], Awaitable[Finding]]

CHECK_SECONDS: Final = 25.0
_LONGER: Final = {
    "instrument": 125.0,
    "lot and freeze": 130.0,
    "archive": 60.0,
}  # a download; S3's own limits
_WITH_TOKEN: Final[dict[str, Check]] = {
    "address": broker_checks.address,
    "calendar": broker_checks.calendar,
    "funds": broker_checks.funds,
    "charges": broker_checks.charges,
    "clock": broker_checks.clock,
    "feed": machine_checks.feed,
}
_WITHOUT: Final[dict[str, Check]] = {
    "instrument": machine_checks.instrument,
    "lot and freeze": machine_checks.lot_and_freeze,
    "model": machine_checks.model,
    "disk": machine_checks.disk,
    "archive": machine_checks.archive,
}
ORDER_CHECKS: Final = frozenset({"address", "funds"})  # nothing to prove where orders are simulated


async def examine(ground: Ground, *, leave_out: Collection[str] = ()) -> list[Finding]:
    """Every check but those left out, in the order of CHECKS. Raises only for a mistake of ours."""
    left_out = set(leave_out) | (ORDER_CHECKS if ground.settings.broker.mode != "live" else set())
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_timed(ground, name, check))
            for name, check in _WITHOUT.items()
            if name not in left_out
        ]
        found = [await _timed(ground, "token", broker_checks.token)]
        works = found[0].verdict is not Verdict.NO_GO
        for name, check in _WITH_TOKEN.items():
            if name in left_out:
                continue
            if works or name == "clock":  # an answer that refuses us carries a Date, too
                tasks.append(group.create_task(_timed(ground, name, check)))
            else:
                found.append(warn(name, "not asked: it needs a token that works", "See token."))
    found += [task.result() for task in tasks]
    return sorted(found, key=lambda finding: CHECKS.index(finding.check))


async def _timed(ground: Ground, name: str, check: Check) -> Finding:
    began = ground.clock.monotonic()
    limit = _LONGER.get(name, CHECK_SECONDS)
    try:
        async with asyncio.timeout(limit):
            finding = await check(ground)
    except TimeoutError:
        finding = no_go(name, f"no answer within {limit:.0f} s", "Check the network, then run it again.")
    return finding._replace(seconds=round((ground.clock.monotonic() - began) / SECOND, 3))
