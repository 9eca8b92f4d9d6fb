"""Brings the day's token from where a webhook put it (`broker.token_source`) to the token file.

It judges nothing: whoever reads the file proves what stands in it. On a thread, for AWS may be slow; a token
is hidden from the logs before anything else is done with it.
"""

import asyncio
from typing import Final

from bot.assemble.access import expired
from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock
from bot.settings import Settings
from bot.storage.token_file import TokenFileRefused, write_token
from bot.storage.token_source import TokenSourceFailed, ask_for_token, read_token
from bot.telemetry.logs import Logs

LOOK_EVERY: Final[Nanos] = 15 * SECOND
ASK_BEFORE_OPEN: Final[Nanos] = 35 * 60 * SECOND  # 08:40
TOO_LATE_BEFORE_OPEN: Final[Nanos] = 5 * 60 * SECOND  # 09:10: nobody waits for it any more


class Courier:
    """One day's. `bring` is blocking; `run` calls it on a thread, until cancelled."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._source = settings.broker.token_source
        self._request = settings.broker.token_request
        self._file = settings.token_file
        self._clock = clock
        self.brought = ""  # the last token that was put into the file

    def bring(self, logs: Logs | None = None) -> str:
        """Copy what is new. Returns the problem, "" when there is none (or nothing is there yet)."""
        try:
            text = read_token(self._source)
            if logs is not None and text:
                logs.hide(text)
            if text and text != self.brought and not expired(text, self._clock.now()):
                write_token(self._file, text)
                self.brought = text
        except (TokenSourceFailed, TokenFileRefused) as failed:
            return str(failed)
        return ""

    async def run(self, open_at: Nanos, logs: Logs) -> None:
        """Bring each new token; ask for one, once, when none came until 35 minutes before the open."""
        told, asked = "", False
        while True:
            before = self.brought
            problem = await asyncio.to_thread(self.bring, logs)
            if problem and problem != told:
                logs.log.warning("token_source_failed", problem=problem)
            told = problem
            if self.brought != before:
                logs.log.info("token_brought", source=self._source)
            now = self._clock.now()
            due = open_at - ASK_BEFORE_OPEN <= now < open_at - TOO_LATE_BEFORE_OPEN
            if due and not self.brought and not asked and self._request:
                asked = True
                logs.log.warning("token_asked_again")
                try:
                    await asyncio.to_thread(ask_for_token, self._request)
                except TokenSourceFailed as failed:
                    logs.log.error("token_request_failed", problem=str(failed))  # noqa: TRY400 - its words do
            await self._clock.sleep_until(now + LOOK_EVERY)
