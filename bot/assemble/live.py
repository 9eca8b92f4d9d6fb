"""`bot run`: one day against the live order API, on the wall clock.

The container's main: wait for the session under APScheduler, trade, archive, exit. SIGTERM and SIGINT sell
what is open and end the day.
"""

import asyncio
import signal
from datetime import date

from bot.assemble.day import EXIT_DONE, Plan, trade
from bot.assemble.messages import say_refused
from bot.core.calendar import CalendarRefused
from bot.core.trading_day import Deadlines, NoSession, Opening, session_for
from bot.core.units import IST, ist
from bot.run.live import WallClock
from bot.run.timetable import Timetable
from bot.settings import Settings
from bot.storage import calendar_file, records
from bot.storage.archive import Archive, ArchiveRefused
from bot.storage.journal import JournalRefused, journal_path, read_journal
from bot.storage.model import ModelRefused, load_model
from bot.telemetry.logs import Logs
from bot.telemetry.ops_server import PortTaken
from bot.upstox.auth import Token
from bot.upstox.rest import Hosts

EXIT_REFUSED = 3  # somebody must mend something before the bot can trade


class LiveRefused(Exception):
    """The day cannot start; `problems` says what to do about each cause."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def run_live(settings: Settings, *, verbose: bool, clock: WallClock | None = None) -> int:
    """Trade today. Returns the exit code; raises LiveRefused for what a person must mend first.

    `clock` is the wall's unless a test brings its own.
    """
    clock = clock or WallClock()
    secret = settings.broker.live_access_token.get_secret_value()
    logs = Logs(clock.now, secrets=[secret])
    try:
        return _today(settings, clock, secret, logs, verbose=verbose)
    except LiveRefused as refused:
        session = ist(clock.now()).date().isoformat()
        if problem := say_refused(settings.telemetry.alertmanager, refused.problems, session):
            logs.log.error("message_not_delivered", name="MorningMessage", problem=problem)  # noqa: TRY400 - words
        raise
    finally:
        logs.close()


def _today(settings: Settings, clock: WallClock, secret: str, logs: Logs, *, verbose: bool) -> int:
    today = ist(clock.now()).date()
    opening = _opening(settings, today)
    for alert in opening.alerts:
        logs.log.warning("calendar", problem=alert)
    if isinstance(opening, NoSession):
        logs.log.info("no_session", day=today.isoformat(), reason=opening.reason)
        return EXIT_REFUSED if opening.why.wants_a_person else EXIT_DONE
    session = opening.session
    if clock.now() >= session.close_at and not _unfinished(settings, today):
        logs.log.info("no_session", day=today.isoformat(), reason="the session is over", zone=IST.key)
        return EXIT_DONE
    try:
        token = Token(secret)
        model = load_model(settings.model_path, rel_diff=settings.rules.strategy.rel_diff)
    except ValueError:
        problem = "BOT_LIVE_ACCESS_TOKEN: is no token (it has characters no HTTP header can carry)"
        raise LiveRefused([problem]) from None
    except ModelRefused as refused:
        raise LiveRefused([str(refused)]) from None
    expiry = token.expires_at
    if expiry is not None and expiry <= clock.now():
        when = f"{ist(expiry):%Y-%m-%d %H:%M} IST"
        raise LiveRefused([f"BOT_LIVE_ACCESS_TOKEN: expired at {when}; log in to Upstox for today's token"])
    plan = Plan(
        mode=settings.broker.mode,
        clock=clock,
        session=session,
        contracts=settings.contracts,
        rules=settings.rules,
        model=model,
        hosts=Hosts(settings.broker.api_host, settings.broker.order_host),
        token=token,
        data_folder=settings.data_folder,
        archive_root=settings.archive_root,
        logs=logs,
        telemetry=(settings.telemetry.host, settings.telemetry.port),
        alertmanager=settings.telemetry.alertmanager,
        checks=(("calendar", opening.entries_allowed), ("token", True), ("model", True)),
        public_settings=settings.public,
        algo_name=settings.broker.algo_name,
        verbose=verbose,
        no_entries="" if opening.entries_allowed else "calendar",
    )
    try:
        return asyncio.run(_day(plan))
    except (JournalRefused, PortTaken) as refused:
        raise LiveRefused([str(refused)]) from None


def _opening(settings: Settings, today: date) -> Opening | NoSession:
    """Today by the calendar file. (The broker's own word on the day is not asked yet.)"""
    times = settings.session
    try:
        calendar = calendar_file.load(settings.data_folder)
    except CalendarRefused as refused:
        raise LiveRefused(refused.problems) from None
    return session_for(
        today,
        calendar,
        Deadlines(opens=times.open, entry_cutoff=times.entry_cutoff, flatten=times.flatten),
        exchanges={contract.exchange for contract in settings.contracts},
        special=times.special,
    )


def _unfinished(settings: Settings, today: date) -> bool:
    """Did an earlier run of today end without closing the books?"""
    path = journal_path(settings.data_folder, today)
    try:
        return path.exists() and records.ended(read_journal(path)) is None
    except JournalRefused as refused:
        raise LiveRefused([str(refused)]) from None


async def _day(plan: Plan) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    timetable = Timetable(plan.session, lambda phase: plan.logs.log.info("phase", phase=phase))
    timetable.start()
    try:
        await _store_what_is_left(plan)
        waiting = asyncio.ensure_future(timetable.connect_time())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        stopping.cancel()
        if stop.is_set():
            return EXIT_DONE
        return (await trade(plan, stop)).exit_code
    finally:
        timetable.stop()


async def _store_what_is_left(plan: Plan) -> None:
    """Days that an earlier run could not archive. Never in the way of the day ahead."""
    try:
        archive = Archive(plan.archive_root, plan.data_folder)
    except ArchiveRefused as refused:
        raise LiveRefused([str(refused)]) from None
    for retried in await asyncio.to_thread(archive.retry_pending):
        plan.logs.log.info("archived_late", day=retried.day.isoformat(), problem=retried.problem)
