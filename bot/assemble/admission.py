"""Before the open: wait for a token that works, look whether the day can be traded; then watch the token.

What `bot run` does about its access, in one place. A token is untrusted until a profile call proves it; it
is waited for until 09:10, a page goes out at 08:50, and nothing is ever traded without one (components: the
morning token).
"""

import asyncio
from hashlib import sha256
from typing import Final, NamedTuple

from bot.assemble.access import TokenRefused, access_of, kept_token, verify
from bot.assemble.plan import Lines
from bot.assemble.preflight.command import open_ground
from bot.assemble.preflight.examine import examine
from bot.assemble.preflight.finding import Finding, Verdict, outcomes, unsafe
from bot.assemble.token_watch import TokenWatch
from bot.core.events import Operator, OperatorAction
from bot.core.session import Session
from bot.core.units import SECOND, Nanos
from bot.run.ports import Clock
from bot.settings import Settings
from bot.storage.token_file import TokenFileRefused
from bot.telemetry.logs import Logs
from bot.upstox.auth import Token

ALERT_BEFORE_OPEN: Final[Nanos] = 25 * 60 * SECOND  # 08:50; the preflight's time, too
LAST_LOOK_BEFORE_OPEN: Final[Nanos] = 5 * 60 * SECOND  # 09:10
CONNECT_BEFORE_OPEN: Final[Nanos] = 15 * 60 * SECOND
LOOK_EVERY: Final[Nanos] = 5 * SECOND
EXAMINE_EVERY: Final[Nanos] = 60 * SECOND  # after a no-go, as long as there is time before the open
_STEPS: Final = {Verdict.OK: "info", Verdict.WARN: "warning", Verdict.NO_GO: "error"}


class Admitted(NamedTuple):
    """A token to trade with. `user_id`: whose, "" when the broker could not be asked."""

    token: Token
    user_id: str


class Morning:
    """One day's."""

    def __init__(self, settings: Settings, clock: Clock, session: Session, logs: Logs) -> None:
        self._settings = settings
        self._access = access_of(settings)
        self._read_only = settings.broker.mode != "live"
        self._clock = clock
        self._session = session
        self._logs = logs
        self._refused: dict[str, str] = {}  # digest of a token → why it does not do
        self._told = ""

    async def admitted(self, stop: asyncio.Event) -> Admitted | None:
        """The token of the day, once it is proven; None when there is none by 09:10, or `stop` came first."""
        alert_at = self._session.open_at - ALERT_BEFORE_OPEN
        last_at = self._session.open_at - LAST_LOOK_BEFORE_OPEN
        paged = False
        while not stop.is_set():
            last = self._clock.now() >= last_at  # before the look: the look at 09:10 is made, and is the last
            if (found := await self._look(last=last)) is not None:
                return found
            if last:
                self._say("NoToken", "No token that works by 09:10: the day is not traded. If a position is "
                          "open, look after it in the broker's app.")  # fmt: skip
                return None
            if not paged and self._clock.now() >= alert_at:
                paged = True
                self._say("AuthRequired", "No token that works yet: run `bot login` or `bot token set` "
                          "before 09:10, or approve the request on the phone.")  # fmt: skip
            await self._pause(min(self._clock.now() + LOOK_EVERY, last_at), stop)
        return None

    async def examine(self, token: Token) -> list[Finding]:
        """The preflight, said line by line; the last one's findings. What said no is asked again each minute
        until 09:10: a broker that was away for a moment, or a mistake mended since, must not cost the day.
        """
        last_at = self._session.open_at - LAST_LOOK_BEFORE_OPEN
        paged: tuple[str, ...] = ()
        while True:
            findings = await self._examined(token)
            if (no := unsafe(findings)) and no != paged:
                paged = no
                self._say("PreflightNoGo", f"No entries: {', '.join(no)}. What to do stands in the log.")
            if not no and paged:
                self._logs.log.warning("preflight_mended", checks=", ".join(paged))
            if not no or self._clock.now() + EXAMINE_EVERY > last_at:
                return findings
            await self._clock.sleep_until(self._clock.now() + EXAMINE_EVERY)

    async def _examined(self, token: Token) -> list[Finding]:
        """Once. From the connect phase on the running feed proves itself."""
        late = self._clock.now() >= self._session.open_at - CONNECT_BEFORE_OPEN
        async with open_ground(self._settings, self._clock, token) as ground:
            findings = await examine(ground, leave_out={"feed"} if late else ())
        for found in findings:
            tell = getattr(self._logs.log, _STEPS[found.verdict])
            told = {"verdict": found.verdict.value, "said": found.said, "advice": found.advice}
            tell("preflight", check=found.check, **told)
        return findings

    def beside(self, admitted: Admitted, preflight: "asyncio.Task[list[Finding]] | None") -> "Beside":
        """What is to run beside the day: the watch over the token, and the preflight's verdict."""
        watch = TokenWatch(
            self._clock,
            admitted.token,
            self._access.token_file,
            self._access.hosts,
            self._logs.hide,
            self._logs.log,
            user_id=admitted.user_id,
            read_only=self._read_only,
        )
        return Beside(self._clock, watch, preflight)

    async def _pause(self, until: Nanos, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(self._clock.sleep_until(until)), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # ---- inside --------------------------------------------------------------------------------------

    async def _look(self, *, last: bool) -> Admitted | None:
        """Try what there is. At the last look a broker that can't be asked is no reason to stay away: what
        trades without a working token is refused by the broker itself, and a position may be open.
        """
        unasked: str | None = None
        for text in self._candidates():
            self._logs.hide(text)
            digest = sha256(text.encode()).hexdigest()
            if digest in self._refused:
                continue
            try:
                found = await verify(self._clock, self._access.hosts, text, read_only=self._read_only)
            except TokenRefused as refused:
                self._complain(str(refused))
                if refused.passing:
                    unasked = unasked or text
                else:
                    self._refused[digest] = str(refused)
                continue
            self._logs.log.info("token_accepted", user=found.user_id)
            return Admitted(Token(text), found.user_id)
        return Admitted(Token(unasked), "") if last and unasked else None

    def _candidates(self) -> tuple[str, ...]:
        try:
            kept = kept_token(self._access)
        except TokenFileRefused as refused:
            self._complain(str(refused))
            kept = ""
        return tuple(dict.fromkeys(text for text in (self._access.environment_token, kept) if text))

    def _complain(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._logs.log.warning("token_refused", problem=text)

    def _say(self, name: str, text: str) -> None:
        self._logs.log.error("alert", name=name, text=text)


class Beside:
    """Runs as long as the day: the preflight's verdict for the engine, then the token."""

    def __init__(
        self, clock: Clock, watch: TokenWatch, preflight: "asyncio.Task[list[Finding]] | None"
    ) -> None:
        self._clock, self._watch, self._preflight = clock, watch, preflight

    async def __call__(self, lines: Lines) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run(lines))
            if self._preflight is None:
                return
            findings = await self._preflight
            lines.checked(outcomes(findings))
            if unsafe(findings):
                now, mono = self._clock.now(), self._clock.monotonic()
                lines.put(Operator(now, mono, OperatorAction.STOP_ENTRIES, "preflight"))
