"""A day of live prices from preflight to exit, on any clock: prepare, connect, choose, trade, close, archive.

It asks the broker about the day, turns settings into contracts and hands a Plan to day.py; what a day does is
decided there. It must never read the wall clock or know a signal.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bot.assemble.admission import Admitted, Morning
from bot.assemble.broker import PAPER_MODES, Sandbox
from bot.assemble.choosing import Chooser, already_ours, choose_at
from bot.assemble.closing import EXIT_DONE, EXIT_REFUSED
from bot.assemble.contracts import ContractsRefused, DayContracts, Pending, contracts_of
from bot.assemble.control import Beside, Control, together
from bot.assemble.day import trade
from bot.assemble.day_files import on_thread
from bot.assemble.kill_switch import KillSwitch
from bot.assemble.lease import Lease
from bot.assemble.no_disk import readable, tried
from bot.assemble.opening import opening_for
from bot.assemble.plan import Plan
from bot.assemble.preflight.finding import Finding, outcomes
from bot.assemble.readings import Readings
from bot.core.calendar import Calendar
from bot.core.session import Session
from bot.core.trading_day import BrokerDay, NoSession, Opening
from bot.run.crash_loop import NEVER, CrashLoop
from bot.run.ports import Clock, Observer, Record
from bot.run.timetable import Timetable
from bot.settings import Settings
from bot.storage import records
from bot.storage.archive import Archive
from bot.storage.choices import Chosen, choices, keep_choices
from bot.storage.journal import journal_path
from bot.storage.model import LoadedModel
from bot.telemetry.logs import Logs
from bot.upstox.auth import Token
from bot.upstox.calendar import ask_broker
from bot.upstox.rest import Hosts, UpstoxRest

ASKS_FOR_SECONDS = 12.0


@dataclass(frozen=True)
class LiveDay:
    """What is known before the day begins. `timetable` makes one for a session and a listener of phases."""

    settings: Settings
    clock: Clock
    calendar: Calendar
    opening: Opening
    token: Token
    model: LoadedModel
    logs: Logs
    timetable: Callable[[Session, Callable[[str], None]], Timetable]
    verbose: bool = False
    sandbox: Sandbox | None = None
    observers: tuple[Observer, ...] = ()
    jitter_seed: int | None = None
    flatten_now: bool = False  # only sell what an earlier run of today left (with `stop` set from the start)
    lease: Lease | None = None
    control: Control | None = None  # for a person's commands
    kill_switch: KillSwitch | None = None  # None: made here; who hears signals brings his own
    looks_after_access: bool = False  # wait for a token that works, run the preflight, watch for a new token


async def live_day(day: LiveDay, stop: asyncio.Event) -> int:
    """Run it; the exit code. `stop` set: leave what is open, and end. Raises what a person must mend."""
    return await _Live(day, stop).run()


class _Live:
    def __init__(self, day: LiveDay, stop: asyncio.Event) -> None:
        self._day, self._stop = day, stop
        self._log = day.logs.log
        self._opening = day.opening
        self._settings = day.settings
        self._no_entries = ""
        self._user_id = ""
        self._morning: Morning | None = None  # who looks after the token; None: nobody has to
        self._preflight: asyncio.Task[list[Finding]] | None = None
        hosts = day.settings.broker
        self._hosts = Hosts(hosts.api_host, hosts.order_host)
        self._random = random.Random(day.jitter_seed)  # noqa: S311 - spreads reconnects, no secret

    async def run(self) -> int:
        day = self._day
        timetable = day.timetable(day.opening.session, lambda phase: self._log.info("phase", phase=phase))
        timetable.start()
        rest = UpstoxRest(day.clock, day.token, self._hosts, algo_name=self._settings.broker.algo_name)
        try:
            await self._store_what_is_left()
            kept = self._kept()
            # A stop before anything was traded is an end; afterwards the day itself must leave what is open.
            traded = bool(records.boots(kept)) or day.flatten_now
            if day.lease is not None and (other := await day.lease.claim()):
                self._log.error("refused", problem=f"{other}. One account, one bot: stop that one first.")
                return EXIT_REFUSED
            if not await self._until(timetable, "preflight") and not traded:
                return EXIT_DONE
            if records.ended(kept) is None:
                if not await self._admitted():
                    return EXIT_REFUSED
                chosen = await self._prepare(rest, kept, timetable)
                if chosen is None:
                    return EXIT_REFUSED
            else:
                chosen = tuple(choices(kept).values())
            if self._stop.is_set() and not traded:
                return EXIT_DONE
            if not chosen and not traded:
                self._log.warning("nothing_to_trade", reason="no contract was chosen for today")
                return EXIT_DONE
            return (await trade(self._plan(chosen, timetable), self._stop)).exit_code
        finally:
            if self._preflight is not None:
                self._preflight.cancel()
            timetable.say("exit")
            timetable.stop()
            await rest.aclose()

    async def _admitted(self) -> bool:
        """A token that works, and the preflight begun beside what follows. False: no token, no day.

        A stop is no reason for one: what an earlier run left open is sold with the token there is.
        """
        day = self._day
        if not day.looks_after_access or self._stop.is_set():
            return True
        morning = Morning(self._settings, day.clock, self._opening.session, day.logs)
        admitted = await morning.admitted(self._stop)
        if admitted is None:
            return self._stop.is_set()
        day.token.replace(admitted.token())
        self._user_id, self._morning = admitted.user_id, morning
        self._preflight = asyncio.create_task(morning.examine(day.token))
        return True

    # ---- before the open -----------------------------------------------------------------------------

    async def _until(self, timetable: Timetable, phase: str) -> bool:
        """Whether the phase came before a stop."""
        waits = [asyncio.ensure_future(timetable.reached(phase)), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not self._stop.is_set()

    async def _store_what_is_left(self) -> None:
        """Days that an earlier run could not archive. Never in the way of the day ahead."""
        archive = Archive(self._settings.archive_root, self._settings.data_folder)
        for retried in await on_thread(self._day.clock, archive.retry_pending):
            self._log.info("archived_late", day=retried.day.isoformat(), problem=retried.problem)

    def _kept(self) -> Sequence[Record]:
        return readable(journal_path(self._settings.data_folder, self._opening.session.day))

    async def _prepare(
        self, rest: UpstoxRest, kept: Sequence[Record], timetable: Timetable
    ) -> tuple[Chosen, ...] | None:
        """The broker's word on the day, the contracts, the choice. None: refused, and it was said why."""
        day, today = self._day, self._opening.session.day
        told = await self._told(rest)
        before = choices(kept)
        try:
            found = await contracts_of(self._settings, day.clock, today, day.calendar, before)
        except ContractsRefused as refused:
            for problem in refused.problems:
                self._log.error("refused", problem=problem)
            if not (before and records.boots(kept)):
                return None
            self._no_entries = "contracts"  # what an earlier run of today left open is looked after
            found = DayContracts(tuple(before.values()), (), ())
        for warning in found.warnings:
            self._log.warning("contract", problem=warning)
        exchanges = {one.contract.exchange for one in found.chosen}
        exchanges |= {each.options[0].exchange for each in found.pending}
        if not self._reopen(found.chosen, exchanges, told, timetable):
            return None
        made: tuple[Chosen, ...] = ()
        # Once orders were possible, nothing is chosen any more: what is open must not wait for a choice.
        if found.pending and not records.boots(kept) and await self._until(timetable, "connect"):
            made = await self._choose(found, rest)
        chosen = (*found.chosen, *made)
        self._keep([one for one in chosen if before.get(one.entry) != one])
        if made and not self._reopen(chosen, exchanges, told, timetable):
            return None
        await self._until(timetable, "connect")
        return chosen

    async def _told(self, rest: UpstoxRest) -> BrokerDay | None:
        """The broker's word on the day, if it comes soon: a restart may have a position to look after."""
        day = self._opening.session.day
        try:
            async with asyncio.timeout(ASKS_FOR_SECONDS):
                told, untold = await ask_broker(rest, day)
        except TimeoutError:
            told, untold = None, f"the broker did not tell the hours of {day} in time"
        if untold:
            self._log.warning("calendar", problem=untold)
        return told

    def _reopen(
        self,
        chosen: Iterable[Chosen],
        exchanges: Iterable[str],
        told: BrokerDay | None,
        timetable: Timetable,
    ) -> bool:
        """The session anew, with what has been learnt. False: there is none."""
        today, known = self._opening.session.day, set(self._opening.alerts)
        opening = opening_for(
            self._settings,
            self._day.calendar,
            today,
            exchanges=exchanges,
            expires_today=any(one.expiry == today for one in chosen),
            broker=told,
        )
        for alert in opening.alerts:
            if alert.startswith("calendar disagreement"):
                self._log.error("alert", name="CalendarDisagreement", text=alert)
            if alert not in known:
                self._log.warning("calendar", problem=alert)
        if isinstance(opening, NoSession):
            self._log.error("no_session", day=today.isoformat(), reason=opening.reason)
            return False
        self._opening = opening
        timetable.change(opening.session)
        return True

    async def _choose(self, found: DayContracts, rest: UpstoxRest) -> tuple[Chosen, ...]:
        session = self._opening.session
        made: tuple[Chosen, ...] = ()
        pending: Sequence[Pending] = found.pending
        if self._settings.broker.mode not in PAPER_MODES and self._day.clock.now() >= choose_at(session):
            made, pending = await already_ours(rest, pending, session.day, self._log)
        if pending:
            chooser = Chooser(
                self._day.clock,
                rest.authorize_market,
                session,
                pending,
                self._settings.rules.risk,
                jitter=self._random.random,
                log=self._log,
            )
            made = (*made, *await chooser.run(self._stop))
        return made

    def _keep(self, chosen: Sequence[Chosen]) -> None:
        """On disk before anything is traded: a restart takes these. And told, with the reason."""
        for one in chosen:
            self._log.info(
                "contract_chosen",
                instrument=one.contract.key,
                name=one.contract.name,
                quantity=one.contract.quantity,
                expiry=one.expiry and one.expiry.isoformat(),
                reason=one.reason,
            )
        if not chosen:
            return
        path = journal_path(self._settings.data_folder, self._opening.session.day)
        if problem := tried(lambda: keep_choices(path, self._day.clock.now(), chosen)):
            self._no_entries = "no_disk"  # day.py finds the same, and says what it means
            self._log.error("disk_failed", what="choice", problem=problem)

    # ---- the day -------------------------------------------------------------------------------------

    def _beside(self) -> list[Beside]:
        """All that runs as long as the day: the broker's readings, the kill switch, the token, the lease, a
        person's commands.
        """
        day = self._day
        switch = day.kill_switch or KillSwitch(day.clock, self._settings.kill_file, self._log)
        readings = Readings(day.clock, self._log, funds=self._settings.rules.risk.funds_wanted)
        works: list[Beside] = [switch.run, readings.run]
        if self._morning is not None:
            works.append(self._morning.beside(Admitted(day.token, self._user_id), self._preflight))
        if day.lease is not None:
            works.append(day.lease.keep)
        if day.control is not None:
            works.append(day.control.serve)
        return works

    def _checks(self) -> tuple[tuple[str, bool], ...]:
        """What is known before the day begins; the preflight's word when it has come already."""
        known = {"token": True, "model": True}
        task = self._preflight
        if task is not None and task.done() and not task.cancelled() and task.exception() is None:
            known |= dict(outcomes(task.result()))  # what it raised is raised beside the day
        return tuple((known | {"calendar": self._opening.entries_allowed}).items())

    def _plan(self, chosen: Sequence[Chosen], timetable: Timetable) -> Plan:
        day, settings = self._day, self._settings
        plan = Plan(
            mode=settings.broker.mode,
            clock=day.clock,
            session=self._opening.session,
            contracts=tuple(one.contract for one in chosen),
            rules=settings.rules,
            model=day.model,
            hosts=self._hosts,
            token=day.token,
            data_folder=settings.data_folder,
            archive_root=settings.archive_root,
            logs=day.logs,
            telemetry=(settings.telemetry.host, settings.telemetry.port),
            alertmanager=settings.telemetry.alertmanager,
            checks=self._checks(),
            public_settings=settings.public,
            algo_name=settings.broker.algo_name,
            verbose=day.verbose,
            no_entries=self._no_entries or ("" if self._opening.entries_allowed else "calendar"),
            companions=tuple(dict.fromkeys(one.index_key for one in chosen if one.index_key)),
            sandbox=day.sandbox,
            observers=day.observers,
            phase=timetable.say,
            beside=together(day.clock, self._beside(), sell=day.flatten_now),
            on_ready=day.control.ready if day.control is not None else lambda _: None,
            writer=day.lease.writer if day.lease is not None else "",
            hold_on_stop=settings.process.on_stop == "hold" and not day.flatten_now,
            crash_loop=NEVER  # a person's start, and it enters nothing
            if day.flatten_now
            else CrashLoop(settings.process.crash_loop_boots, settings.process.crash_loop_minutes * 60),
        )
        return plan if day.jitter_seed is None else replace(plan, jitter_seed=day.jitter_seed)
