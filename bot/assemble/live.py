"""`bot run`: one day of live prices, on the wall clock.

The container's main: wait for the session under APScheduler, trade, archive, exit. SIGTERM and SIGINT sell
what is open and end the day; SIGUSR1 ends its entries.
"""

import asyncio
import signal
from datetime import date

from bot.assemble.access import NEW_TOKEN, access_of, first_token
from bot.assemble.broker import Sandbox
from bot.assemble.closing import EXIT_CRASHED, EXIT_DONE, EXIT_REFUSED
from bot.assemble.control import Control
from bot.assemble.courier import Courier
from bot.assemble.kill_switch import KillSwitch
from bot.assemble.lease import lease_for
from bot.assemble.live_day import LiveDay, live_day
from bot.assemble.messages import say_refused
from bot.assemble.opening import opening_for
from bot.assemble.twin_time import clock_for
from bot.core.calendar import CalendarRefused
from bot.core.trading_day import NoSession
from bot.core.units import IST, ist
from bot.run.live import WallClock
from bot.run.timetable import WallTimetable
from bot.settings import Settings
from bot.storage import calendar_file, records
from bot.storage.archive import ArchiveRefused
from bot.storage.journal import JournalRefused, journal_path, read_journal
from bot.storage.lock import FolderLock, FolderTaken
from bot.storage.model import SHIPPED, ModelRefused, load_model
from bot.storage.token_file import TokenFileRefused
from bot.telemetry.logs import Logs
from bot.telemetry.ops_server import PortTaken
from bot.upstox.auth import Token


class LiveRefused(Exception):
    """The day cannot start; `problems` says what to do about each cause."""

    def __init__(self, problems: list[str], exit_code: int = 2) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.exit_code = exit_code


def run_live(
    settings: Settings, *, verbose: bool, clock: WallClock | None = None, flatten: bool = False
) -> int:
    """Trade today. Returns the exit code; raises LiveRefused for what a person must mend first.

    `flatten`: only sell what an earlier run of today left, and end.
    `clock` is the wall's (against a twin: the twin's) unless a test brings its own.
    """
    clock = clock or clock_for(settings.broker.api_host)
    courier = Courier(settings, clock) if settings.broker.token_source else None
    if courier is not None:
        courier.bring()  # what is there already; a problem is said by its next look
    try:
        secret, _ = first_token(access_of(settings), clock.now())
    except TokenFileRefused as refused:
        raise LiveRefused([str(refused)]) from None
    sandbox = settings.broker.sandbox_access_token.get_secret_value()
    logs = Logs(clock.now, secrets=[text for text in (secret, sandbox) if text])
    lock = FolderLock(settings.data_folder)
    try:
        _take(lock, settings, clock, logs)
        return _today(settings, clock, secret, logs, courier, verbose=verbose, flatten=flatten)
    except LiveRefused as refused:
        session = ist(clock.now()).date().isoformat()
        if problem := say_refused(settings.telemetry.alertmanager, refused.problems, session):
            logs.log.error("message_not_delivered", name="MorningMessage", problem=problem)  # noqa: TRY400 - words
        raise
    except Exception as error:  # noqa: BLE001 - the process ends by it, with its words redacted; the next start goes on
        logs.crashed(error)
        return EXIT_CRASHED
    finally:
        logs.close()
        lock.release()


def _take(lock: FolderLock, settings: Settings, clock: WallClock, logs: Logs) -> None:
    """Raises LiveRefused when another bot works here."""
    try:
        lock.take(f"mode {settings.broker.mode}, since {ist(clock.now()):%Y-%m-%d %H:%M} IST")
    except FolderTaken as taken:
        raise LiveRefused([str(taken)], EXIT_REFUSED) from None
    except OSError as error:
        # A disk that takes nothing: what is held is looked after all the same (no_disk.py).
        logs.log.warning("no_lock", problem=str(error))


def _today(
    settings: Settings,
    clock: WallClock,
    secret: str,
    logs: Logs,
    courier: Courier | None,
    *,
    verbose: bool,
    flatten: bool,
) -> int:
    today = ist(clock.now()).date()
    try:
        calendar = calendar_file.load(settings.data_folder)
    except CalendarRefused as refused:
        raise LiveRefused(refused.problems) from None
    opening = opening_for(settings, calendar, today)
    for alert in opening.alerts:
        if not alert.startswith("the broker has not"):  # it is not asked yet
            logs.log.warning("calendar", problem=alert)
    if isinstance(opening, NoSession):
        logs.log.info("no_session", day=today.isoformat(), reason=opening.reason)
        return EXIT_REFUSED if opening.why.wants_a_person else EXIT_DONE
    if clock.now() >= opening.session.close_at and not _unfinished(settings, today):
        logs.log.info("no_session", day=today.isoformat(), reason="the session is over", zone=IST.key)
        return EXIT_DONE
    try:
        # One that somebody will still bring is waited for; until then nothing is asked with this word.
        token = Token(secret or "none-yet")
        model = load_model(settings.model_path or SHIPPED, rel_diff=settings.rules.strategy.rel_diff)
    except ValueError:
        problem = "the access token has characters no HTTP header can carry: run `bot token set`"
        raise LiveRefused([problem]) from None
    except ModelRefused as refused:
        raise LiveRefused([str(refused)]) from None
    expiry = token.expires_at
    # A named file is one that somebody fills each morning; so is the one that the courier fills.
    awaited = settings.broker.token_file is not None or courier is not None
    if expiry is not None and expiry <= clock.now() and not awaited:
        when = f"{ist(expiry):%Y-%m-%d %H:%M} IST"
        raise LiveRefused([f"the access token expired at {when}: {NEW_TOKEN}"])
    switch = KillSwitch(clock, settings.kill_file, logs.log)
    day = LiveDay(
        settings=settings,
        clock=clock,
        calendar=calendar,
        opening=opening,
        token=token,
        model=model,
        logs=logs,
        timetable=lambda session, announce: WallTimetable(session, announce, clock),
        verbose=verbose,
        sandbox=_sandbox(settings),
        kill_switch=switch,
        looks_after_access=True,
        flatten_now=flatten,
        lease=None
        if flatten
        else lease_for(
            clock,
            settings.archive_root,
            settings.broker.mode,
            settings.data_folder,
            settings.process.lease_seconds,
        ),
        control=Control(settings.data_folder, clock, logs.log),
    )
    try:
        return asyncio.run(_until_signalled(day, courier, switch))
    except (JournalRefused, PortTaken, ArchiveRefused) as refused:
        raise LiveRefused([str(refused)]) from None


def _sandbox(settings: Settings) -> Sandbox | None:
    if settings.broker.mode != "sandbox":
        return None
    try:
        token = Token(settings.broker.sandbox_access_token.get_secret_value())
    except ValueError:
        problem = "BOT_SANDBOX_ACCESS_TOKEN: is no token (it has characters no HTTP header can carry)"
        raise LiveRefused([problem]) from None
    return Sandbox(settings.broker.sandbox_host, token)


def _unfinished(settings: Settings, today: date) -> bool:
    """Did an earlier run of today end without closing the books?"""
    path = journal_path(settings.data_folder, today)
    try:
        return path.exists() and records.ended(read_journal(path)) is None
    except JournalRefused as refused:
        raise LiveRefused([str(refused)]) from None


async def _until_signalled(day: LiveDay, courier: Courier | None, switch: KillSwitch) -> int:
    stop = asyncio.Event()
    if day.flatten_now:
        stop.set()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, switch.pull)
    if courier is None:
        return await live_day(day, stop)
    trading = asyncio.create_task(live_day(day, stop), name="day")
    bringing = asyncio.create_task(courier.run(day.opening.session.open_at, day.logs), name="courier")
    try:
        await asyncio.wait({trading, bringing}, return_when=asyncio.FIRST_COMPLETED)
        if bringing.done():
            bringing.result()  # it never ends by itself: what it raises ends the process, as any task's would
        return await trading
    finally:
        bringing.cancel()
        trading.cancel()
