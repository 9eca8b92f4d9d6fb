"""One trading day put together: parts chosen by a `Plan`, run, and closed. Every mode comes through here.

It knows which parts there are; it decides nothing about trading.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson

from bot.assemble.broker import order_side
from bot.assemble.closing import EXIT_DONE, EXIT_HOLDING, EXIT_REFUSED, Closing, DayResult
from bot.assemble.day_files import archived, day_files, decoded_of
from bot.assemble.day_tape import DayTape
from bot.assemble.messages import Messenger, evening_of, morning_of
from bot.assemble.no_disk import no_disk, opened, stop_when_flat, tried
from bot.assemble.plan import Desk, Lines, Plan
from bot.assemble.scrapes import last_scrapes
from bot.assemble.view import DayView
from bot.core.commands import RecordFill
from bot.core.engine import Engine
from bot.core.events import Operator
from bot.run.day import DayParts, run_day
from bot.run.outbox import Outbox
from bot.run.ports import Observer
from bot.run.recover import replay
from bot.run.step import Stepper
from bot.storage import records
from bot.storage.journal import DayJournal
from bot.storage.tape import tape_path
from bot.storage.trades import TradeRow, TradesCsv, TradesFailed, rows_of, summary, trades_path
from bot.telemetry.buckets import TimedClassifier
from bot.telemetry.catalogue import LOOP_LAG
from bot.telemetry.log_observer import LogObserver
from bot.telemetry.metrics import Metrics, MetricsObserver
from bot.telemetry.ops_server import OpsServer
from bot.telemetry.recent import Recent
from bot.upstox.broker import UpstoxBroker
from bot.upstox.feed import MarketFeed
from bot.upstox.rest import UpstoxRest


async def trade(plan: Plan, stop: asyncio.Event) -> DayResult:
    """Recover, run the day, close the books, archive. Raises what preflight should have seen."""
    day = plan.session.day
    journal, kept, problem = opened(plan)
    try:
        end = records.ended(kept)
        if end is None:
            return await _Day(plan, journal, kept, problem).trade(stop)
    finally:
        journal.close()
    # A restart after the end: nothing to trade, but what was not archived still can be.
    plan.logs.log.info("day_already_over", exit_code=end.exit_code)
    fills = tuple(row.fill for row in rows_of(kept))
    files = day_files(plan.data_folder, day)
    root, log = plan.archive_root, plan.logs.log
    stored, problem = await archived(plan.clock, root, plan.data_folder, day, files, log)
    # 0, whatever the day's code was: a container that restarts on failure must come to rest.
    return DayResult(EXIT_DONE, summary(fills), fills, None, files, stored, problem, 0, True)


class _Day:
    """The life of one incarnation."""

    def __init__(self, plan: Plan, journal: DayJournal, kept: Sequence[Any], disk_problem: str) -> None:
        self._plan = plan
        self._journal = journal
        self._kept = kept
        self._model = plan.model.passport.sha256[:12]
        self._config = sha256(orjson.dumps(plan.public_settings, option=orjson.OPT_SORT_KEYS)).hexdigest()[
            :12
        ]
        self._csv = TradesCsv(trades_path(plan.data_folder, plan.session.day))
        self._view: DayView | None = None
        self._messenger = Messenger(plan)
        self._disk_problem = disk_problem  # why nothing can be written; "": it can
        self._rows: list[TradeRow] = []  # the day's fills, the journal's and this run's

    async def trade(self, stop: asyncio.Event) -> DayResult:
        plan, clock = self._plan, self._plan.clock
        run = len(records.boots(self._kept)) + 1
        named = f"{run}{plan.writer}" if plan.writer else run
        classifier = TimedClassifier(plan.model.classifier)
        rules = replace(
            plan.rules, strategy=replace(plan.rules.strategy, taught_bps=plan.model.passport.taught_bps)
        )
        engine = Engine(rules, plan.session, plan.contracts, classifier.classify, named)
        decoded = decoded_of(self._kept, engine.desks.keys(), plan.mode)
        recovered = replay(engine, decoded, clock.monotonic())
        engine.forbid_entries(plan.no_entries)
        boot = records.boot_record(clock.now(), mode=plan.mode, model=self._model, config=self._config)
        self._rows = rows_of(self._kept)
        self._disk_problem = (
            self._disk_problem
            or tried(lambda: self._journal.commit([boot]))
            or tried(lambda: self._csv.rewrite(self._rows))
        )
        plan.logs.log.info(
            "recovered",
            run=run,
            fills=len(recovered.fills),
            orders=recovered.orders,
            under_way=recovered.under_way,
        )
        taped = plan.taped and not self._disk_problem
        tape = DayTape(tape_path(plan.data_folder, plan.session.day, run) if taped else None)
        tape.begin(
            clock.now(),
            clock.monotonic(),
            session=plan.session,
            contracts=plan.contracts,
            rules=rules,
            run=named,
            model=self._model,
            no_entries=plan.no_entries,
            kept=self._kept,
            facts=plan.public_settings,
        )
        inbox = tape.inbox
        for word in self._first_words():
            inbox.put(word)
        rest = UpstoxRest(clock, plan.token, plan.hosts, algo_name=plan.algo_name)
        jitter = random.Random(plan.jitter_seed).random  # noqa: S311 - spreads reconnects, no secret
        decoder = tape.decoder([contract.key for contract in plan.contracts])
        orders = order_side(
            plan.mode,
            clock,
            inbox.put,
            rest,
            session=plan.session,
            contracts=plan.contracts,
            kept=decoded,
            jitter=jitter,
            log=plan.logs.log,
            sandbox=plan.sandbox,
        )
        broker = orders.broker
        feed = MarketFeed(
            clock,
            orders.listening(inbox.put),
            rest.authorize_market,
            decoder,
            decoder.instruments,
            jitter=jitter,
            companions=plan.companions,
        )
        view = DayView(plan.mode, self._model, clock, engine, decoder, plan.token, plan.logs)
        self._view = view
        view.checks = plan.checks
        metrics = Metrics(view, classifier.seconds, plan.model.passport.reference)
        recent = Recent(view)
        outbox = Outbox(
            clock, inbox.put, self._journal, records.encode, self._write_fills, broker, self._note_failure
        )
        observers: list[Observer] = [
            MetricsObserver(metrics),
            LogObserver(plan.logs.log, verbose=plan.verbose),
            recent,
            tape,
            *plan.observers,
        ]
        stepper = Stepper(engine, observers, outbox.put, self._observer_failed)
        ops = OpsServer(metrics, view, *plan.telemetry, recent) if plan.telemetry else None
        if ops is not None:
            await ops.start()
        plan.on_ready(Desk(engine, feed, broker, view, ops.port if ops else 0, metrics))
        if run == 1:
            self._messenger.send(morning_of(plan, engine.entries_stopped))

        def renew() -> None:
            feed.renew()
            if isinstance(broker, UpstoxBroker):
                broker.stream.renew()

        def checked(found: tuple[tuple[str, bool], ...]) -> None:
            view.checks = tuple((dict(view.checks) | dict(found)).items())

        try:
            parts = DayParts(clock, plan.session, engine, inbox, stepper, outbox, feed, broker)
            lines = Lines(inbox.put, rest, renew, checked)
            beside = [plan.beside(lines)] if plan.beside else []
            if self._disk_problem:
                beside.append(stop_when_flat(clock, engine, stop))
            lag = metrics.histogram(LOOP_LAG).observe
            await run_day(parts, stop, feed.arm, lag, beside, hold=plan.hold_on_stop)
            over = not stop.is_set() or clock.now() >= plan.session.flatten_at
            closing = Closing(
                plan, self._journal, self._csv, self._rows, tape, self._note_failure, stop.is_set
            )
            result = await closing.close(engine, broker, sum(feed.lost_total.values()), over=over)
            if self._disk_problem and not over and result.exit_code != EXIT_HOLDING:
                result = result._replace(exit_code=EXIT_REFUSED)
            if result.stored:
                view.archived_at = clock.now()
            self._messenger.send(evening_of(result, flat=result.exit_code != EXIT_HOLDING))
            if ops is not None and over:
                plan.phase("scrapes")
                await last_scrapes(clock, ops)
            return result
        finally:
            tape.writer.close()
            await self._messenger.finish()
            if ops is not None:
                await ops.stop()
            await orders.aclose()
            await rest.aclose()

    def _first_words(self) -> Iterator[Operator]:
        """What the engine hears before anything else: why there are no entries today."""
        clock, log = self._plan.clock, self._plan.logs.log
        if self._disk_problem:
            log.error("disk_failed", what="start", problem=self._disk_problem)
            yield no_disk(clock)
        boots = records.boots(self._kept)
        if word := self._plan.crash_loop.word(boots, clock.now(), clock.monotonic()):
            log.error("crash_loop", starts=len(boots) + 1)
            yield word

    # ---- callbacks -----------------------------------------------------------------------------------

    def _write_fills(self, fills: Sequence[RecordFill]) -> None:
        """On the disk's thread. A row the disk does not take is kept and written with the next."""
        for fill in fills:
            self._rows.append(TradeRow(fill, self._model, self._config))
            try:
                self._csv.append(fill, model=self._model, config=self._config)
            except TradesFailed as error:
                self._note_failure("trades csv", error)

    def _note_failure(self, what: str, error: Exception) -> None:
        self._plan.logs.log.error("disk_failed", what=what, problem=str(error))

    def _observer_failed(self, observer: Observer, error: Exception) -> None:
        if self._view is not None:
            self._view.observer_failures += 1
        self._plan.logs.log.error("observer_cut_off", observer=type(observer).__name__, problem=repr(error))
