"""`bot demo`: one whole day of the real bot against the twin in this process, in lockstep.

Bot and twin share one event loop and the loopback device, nothing else: they speak HTTP, WebSocket and
protobuf, as live. Virtual time stands still while anything is on its way (run/lockstep.py).
"""

import asyncio
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bot.assemble.closing import DayResult
from bot.assemble.day import trade
from bot.assemble.market import DemoMarket, DemoRefused, recorded_market, synthetic_market
from bot.assemble.plan import Plan
from bot.assemble.summary import print_summary
from bot.core.commands import Alert
from bot.core.events import FeedDown, Heartbeat, Tick
from bot.core.rules import RiskRules, Rules
from bot.core.units import SECOND, Nanos, ist
from bot.research.day_report import Line, TradedDay, write_days
from bot.research.picture import DayRecorder, draw_day
from bot.run.lockstep import LockstepClock, LockstepLoop
from bot.run.ports import Observer, Turn
from bot.storage.model import SHIPPED, ModelRefused, load_model
from bot.storage.tick_source import TickFileError
from bot.telemetry.logs import Logs
from bot.telemetry.ops_server import PortTaken
from bot.twin.server import Twin
from bot.upstox.auth import Token
from bot.upstox.rest import Hosts

STARTS_BEFORE_OPEN: Nanos = 20 * 60 * SECOND
ENTRIES_PER_DAY = 400
STOPS_PER_DAY = 10  # three slides are in the script: none of them shall end the show
_MARKER = ".made-by-bot-demo"

__all__ = ["DemoOptions", "DemoRefused", "run_demo"]


class DemoOptions(NamedTuple):
    """What the command line asked for."""

    files: tuple[Path, ...]
    seed: int
    calm: bool
    max_speed: float | None
    out: Path
    picture: bool
    telemetry: str = "127.0.0.1:0"  # where /metrics is served; port 0: any free one


def run_demo(options: DemoOptions, console: Console, market: DemoMarket | None = None) -> int:
    """Run the day, print its summary, return its exit code. Raises DemoRefused for what must be mended.
    `market`: another than the options name (a shorter day).
    """
    if market is None:
        files, seed = options.files, options.seed
        market = recorded_market(files) if files else synthetic_market(seed, calm=options.calm)
    telemetry = _host_and_port(options.telemetry)
    folder = _fresh_folder(options.out / market.name)
    # The live default of 20 entries is used up within minutes; the demo shows a day, an entry a minute.
    rules = Rules(
        risk=RiskRules(
            entries_per_day=ENTRIES_PER_DAY,
            entries_per_minute=1,
            stops_per_day=STOPS_PER_DAY,
        )
    )
    try:
        model = load_model(SHIPPED, rel_diff=rules.strategy.rel_diff)
    except ModelRefused as refused:
        raise DemoRefused([str(refused)]) from None
    loop = LockstepLoop(speed_max=options.max_speed)
    clock = LockstepClock(loop, market.session.open_at - STARTS_BEFORE_OPEN)
    recorder = DayRecorder()
    log_file = (folder / "log.jsonl").open("w", encoding="utf-8")
    logs = Logs(clock.now, stream=log_file, pretty=False)
    console.print(f"[bold]{market.title}[/bold]")
    with _bar(console) as progress:
        watcher = _Progress(progress, market.session.open_at - STARTS_BEFORE_OPEN, market.session.close_at)

        async def day() -> DayResult:
            twin = Twin(
                clock,
                {contract.key: contract for contract in market.contracts},
                market.events,
                opens_at=market.session.open_at,
                closes_at=market.session.close_at,
                seed=options.seed,
                faults=market.faults,
            )
            addresses = await twin.start()
            playing = asyncio.create_task(twin.run(), name="twin")
            plan = Plan(
                mode="demo",
                clock=clock,
                session=market.session,
                contracts=market.contracts,
                rules=rules,
                model=model,
                hosts=Hosts(addresses.rest, addresses.rest),
                token=Token(twin.token),
                data_folder=folder / "data",
                archive_root=str(folder / "archive"),
                logs=logs,
                telemetry=telemetry,
                public_settings={"mode": "demo", "market": market.name, **market.facts},
                observers=(watcher, recorder),
                jitter_seed=options.seed,
            )
            stop = asyncio.Event()
            loop.add_signal_handler(signal.SIGTERM, stop.set)  # as live: sell what is open, then end
            trading = asyncio.create_task(trade(plan, stop), name="bot")
            try:
                await asyncio.wait({trading, playing}, return_when=asyncio.FIRST_COMPLETED)
                if playing.done() and playing.exception() is not None:
                    trading.cancel()
                    await playing  # the market broke (a recording damaged in its middle): say so
                return await trading
            finally:
                playing.cancel()
                await twin.stop()

        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                result = runner.run(day())
        except* TickFileError as damaged:
            raise DemoRefused([str(error) for error in damaged.exceptions]) from None
        except* PortTaken as taken:
            raise DemoRefused([str(error) for error in taken.exceptions]) from None
        watcher.done()
    logs.close()
    log_file.close()
    picture = None
    if options.picture:
        picture = folder / "day.png"
        with console.status("drawing the day"):
            draw_day(picture, market.title, market.session.day, recorder, result.fills)
            _write_page(folder / "day.html", market, recorder, result)
    print_summary(console, result, market, picture)
    return result.exit_code


def _write_page(path: Path, market: DemoMarket, recorder: DayRecorder, result: DayResult) -> None:
    """The same day as a page (what `bot report` makes of the archive)."""
    lines = {key: Line(*series) for key, series in recorder.ticks.items()}
    exchanges = {contract.key: contract.exchange for contract in market.contracts}
    day = TradedDay(
        market.session.day,
        market.title,
        result.fills,
        lines,
        [("books", _books(result))],
        exchanges=exchanges,
    )
    write_days(path, market.title, [day])


def _books(result: DayResult) -> str:
    if result.books is None:
        return "the broker's trade list could not be read"
    return "agree with the broker's trade list" if result.books.reconciled else "DIFFER from the broker's"


class _Progress:
    """An observer that moves the progress bar once a virtual minute."""

    def __init__(self, progress: Progress, begins: Nanos, ends: Nanos) -> None:
        self._progress = progress
        self._begins = begins
        self._task = progress.add_task("", total=(ends - begins) // SECOND, clock="", ticks=0, note="")
        self._ticks = 0
        self._note = ""
        self._shown: Nanos = 0

    def hear(self, turn: Turn) -> None:
        event = turn.event
        if isinstance(event, Tick):
            self._ticks += 1
            return
        if isinstance(event, FeedDown):
            self._note = f"feed lost ({event.reason})"
        for command in turn.commands:
            if isinstance(command, Alert):
                self._note = command.name
        if isinstance(event, Heartbeat) and event.at - self._shown >= 60 * SECOND:
            self._shown = event.at
            self._progress.update(
                self._task,
                completed=(event.at - self._begins) // SECOND,
                clock=f"{ist(event.at):%H:%M}",
                ticks=self._ticks,
                note=self._note,
            )

    def done(self) -> None:
        """The day is over."""
        total = self._progress.tasks[0].total
        self._progress.update(self._task, completed=total, ticks=self._ticks, note="", clock="closed")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.fields[clock]:>6}"),
        BarColumn(),
        TextColumn("{task.fields[ticks]:>7,} ticks"),
        TimeElapsedColumn(),
        TextColumn("[yellow]{task.fields[note]}[/yellow]"),
        console=console,
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise DemoRefused([f"--telemetry {text}: write HOST:PORT like 127.0.0.1:9100"])
    return host, int(port)


def _fresh_folder(folder: Path) -> Path:
    """An empty folder for this day. Only one that an earlier demo made is emptied."""
    if folder.exists():
        if not (folder / _MARKER).exists() and any(folder.iterdir()):
            raise DemoRefused([f"{folder} is not empty and was not made by a demo. Give another --out."])
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
        (folder / _MARKER).touch()
    except OSError as error:
        raise DemoRefused([f"{folder} cannot be made: {error.strerror}. Give another --out."]) from None
    return folder


_OBSERVERS: tuple[type[Observer], ...] = (_Progress, DayRecorder)  # both fit the port: checked by mypy
