"""Counting what happens, and showing it in Prometheus' text format.

A turn touches plain numbers only; everything that can be read off the bot is read when it is scraped. Names
and labels stand in `catalogue.py`. This file must never slow, stop or answer a decision.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from bot.core.commands import Alert, Command, PlaceOrder, Reason, RecordFill, Refused
from bot.core.events import (
    Act,
    BrokerSnapshot,
    Event,
    FeedDown,
    FeedUp,
    Heartbeat,
    OrderReport,
    OrderStreamDown,
    OrderStreamUp,
    OrderType,
    Quote,
    SegmentStatus,
    SendOutcome,
    Side,
    Tick,
)
from bot.core.events import FrameSeen as Frame
from bot.core.session import Phase
from bot.core.units import SECOND, InstrumentKey, Nanos, Paise
from bot.run.ports import Turn
from bot.telemetry import catalogue as names
from bot.telemetry.buckets import Buckets
from bot.telemetry.catalogue import Kind, Metric
from bot.telemetry.drift import Drift
from bot.telemetry.readings import Labels, of_day, of_instruments
from bot.telemetry.view import View

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_SKEW_SECONDS: Final = 60
_BLIND_AFTER: Final[Nanos] = 5 * SECOND  # the engine's limit for a feed in doubt
_NO_REFERENCE: Final[Mapping[str, Any]] = {}
_IN_MARKET: Final = frozenset({Phase.OPEN.value, Phase.NO_ENTRY.value, Phase.FLATTEN.value})


class Metrics(Collector):
    """All series of one bot, in a registry of its own. `text` is a scrape."""

    def __init__(
        self, view: View, inference: Buckets | None = None, reference: Mapping[str, Any] = _NO_REFERENCE
    ) -> None:
        """`reference`: the passport's, with the deciles (11 edges) of what the training saw, for drift."""
        self.view = view
        instruments = [state.instrument for state in view.instruments()]
        self.frame_at: Nanos = view.day().now  # when the market socket last spoke
        self.before_fold: Callable[[], None] = lambda: None  # brings what was only noted so far
        self._values: dict[str, dict[Labels, float]] = {}  # by the metric's name
        self._histograms: dict[str, dict[Labels, Buckets]] = {}
        for metric in names.all_metrics():
            series = [(key,) for key in instruments] if metric.labels == ("instrument",) else metric.series
            if metric.kind is Kind.HISTOGRAM:
                self._histograms[metric.name] = {labels: Buckets(metric.buckets) for labels in series}
            else:
                self._values[metric.name] = dict.fromkeys(series, 0.0)
        if inference is not None:
            self._histograms[names.INFERENCE.name][()] = inference
        self._every_histogram = [each for series in self._histograms.values() for each in series.values()]
        self._values[names.PREFLIGHT.name] = dict.fromkeys(names.PREFLIGHT.series, float("nan"))
        self._values[names.STOP_NET.name] = dict.fromkeys(((key,) for key in instruments), float("nan"))
        self.drifts = {name: Drift(reference.get(f"{name}_deciles", ())) for name in names.DRIFT_FEATURES}
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def bump(self, metric: Metric, labels: Labels = (), by: float = 1.0) -> None:
        """Count. A word that is not in the catalogue is counted as `other`: labels stay bounded."""
        series = self._values[metric.name]
        if labels not in series:
            labels = (*labels[:-1], names.OTHER)
        series[labels] = series.get(labels, 0.0) + by

    def set(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        self._values[metric.name][labels] = value

    def histogram(self, metric: Metric, labels: Labels = ()) -> Buckets:
        """Bind once, observe often."""
        return self._histograms[metric.name][labels]

    def fold(self) -> None:
        """Take in what was noted and tidy the histograms: once a second is plenty."""
        self.before_fold()
        for buckets in self._every_histogram:
            if buckets.noted:  # asked here: most have nothing, and a call costs more than a look
                buckets.fold()
        for drift in self.drifts.values():
            drift.fold()

    def text(self) -> bytes:
        """Everything, in the text format (CONTENT_TYPE). Call it on the event loop: about 4 ms."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Family]:
        """prometheus_client asks; the view is read now."""
        self.fold()
        for metric, labels, value in (*of_day(self.view.day()), *of_instruments(self.view.instruments())):
            self._values[metric.name][labels] = value
        self.set(names.FEED_FRAME, self.frame_at / SECOND)
        for name, drift in self.drifts.items():
            self.set(names.DRIFT, drift.psi(), (name,))
        for metric in names.all_metrics():
            yield self._family(metric)

    def describe(self) -> Iterable[Family]:
        """Nothing is read before the first scrape."""
        return ()

    def _family(self, metric: Metric) -> Family:
        if metric.kind is Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
            for labels, buckets in self._histograms[metric.name].items():
                # With values below zero a sum is no counter, so none is shown.
                total = buckets.total if metric.buckets[0] >= 0 else None
                histogram.add_metric(labels, buckets.cumulative(), total)
            return histogram
        maker = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
        family = maker(metric.name, metric.text, labels=metric.labels)
        for labels, value in self._values[metric.name].items():
            family.add_metric(labels, value)
        return family


class _Placed(NamedTuple):
    side: Side
    reason: Reason
    mono: Nanos


class MetricsObserver:
    """Counts turns. A tick's turn is only noted, for later: once a second and before a scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        metrics.before_fold = self._read_ticks
        self._ticks: list[Turn] = []
        self._note = self._ticks.append
        self._decision = metrics.histogram(names.DECISION).observe
        self._probability = metrics.histogram(names.PROBABILITY).observe
        self._lag = metrics.histogram(names.FEED_LAG).observe
        self._ack = metrics.histogram(names.ORDER_ACK).observe
        self._fill = metrics.histogram(names.ORDER_FILL).observe
        self._placed: dict[str, _Placed] = {}  # by tag, until the broker's final word
        self._stopping: set[InstrumentKey] = set()  # a stop-loss is counted once a position
        self._drift = metrics.drifts["probability"].observe
        self._rel_diff_drift = metrics.drifts["rel_diff"].observe
        self._slippage: Paise = 0
        self._trip_net: dict[InstrumentKey, Paise] = {}  # of the round trip under way
        self._quickest: deque[float] = deque(maxlen=_SKEW_SECONDS)  # least lag of each second
        self._least_lag = inf
        self._frame_mono: Nanos = 0
        self._beat_mono: Nanos = 0
        self._feed_up = False

    def hear(self, turn: Turn) -> None:
        """Note one turn."""
        event, _, commands, _ = turn
        if type(event) is Tick:
            self._note(turn)
        else:
            self._event(event)
        if commands:
            for command in commands:
                self._command(command, event.mono)

    def _read_ticks(self) -> None:
        for event, forecast, _, seconds in self._ticks:
            assert isinstance(event, Tick)
            self._metrics.frame_at = max(event.at, self._metrics.frame_at)
            self._frame_mono = max(event.mono, self._frame_mono)
            self._decision(seconds)
            if event.exchange_at:
                lag = (event.at - event.exchange_at) * 1e-9
                self._lag(lag)
                self._least_lag = min(self._least_lag, lag)
            if forecast is not None and forecast.probability is not None:
                self._probability(forecast.probability)
                self._drift(forecast.probability)
                self._rel_diff_drift(forecast.rel_diff)
        self._ticks.clear()

    def _event(self, event: Event) -> None:
        metrics = self._metrics
        match event:
            case Quote() | Frame() | SegmentStatus():
                metrics.frame_at, self._frame_mono = event.at, event.mono
            case Heartbeat():
                self._heartbeat(event.mono)
            case OrderReport():
                self._report(event)
            case BrokerSnapshot():
                metrics.set(names.RECONCILED, event.at / SECOND)
                placed = self._placed  # few; a day's book is long
                for report in event.orders:
                    if report.tag in placed:
                        self._report(report)
            case SendOutcome():
                self._answer(event)
            case FeedUp():
                self._feed_up = True
                metrics.frame_at, self._frame_mono = event.at, event.mono
                metrics.set(names.FEED_CONNECTED, 1.0)
            case FeedDown():
                self._feed_up = False
                metrics.set(names.FEED_CONNECTED, 0.0)
                metrics.bump(names.FEED_RECONNECTS, (event.reason,))
            case OrderStreamUp():
                metrics.set(names.STREAM_CONNECTED, 1.0)
            case OrderStreamDown():
                metrics.set(names.STREAM_CONNECTED, 0.0)

    def _command(self, command: Command, mono: Nanos) -> None:
        match command:
            case PlaceOrder():
                self._order(command, mono)
            case Refused():
                self._metrics.bump(names.SIGNALS, (Side.BUY.value, command.reason))
            case RecordFill():
                self._filled(command)
            case Alert():
                self._metrics.bump(names.ALERTS, (command.severity.value, command.name))
                if kind := names.MISMATCH_KINDS.get(command.name):
                    self._metrics.bump(names.MISMATCHES, (kind,))

    def _order(self, order: PlaceOrder, mono: Nanos) -> None:
        self._placed[order.tag] = _Placed(order.side, order.reason, mono)
        if order.reason in {Reason.ENTRY, Reason.SIGNAL_EXIT}:
            self._metrics.bump(names.SIGNALS, (order.side.value, names.ORDERED))
        # A stop that rests at the broker is no stop-loss until it sells.
        if order.reason is Reason.STOP_LOSS and order.order_type is not OrderType.SL:
            self._stopped(order.instrument)

    def _filled(self, fill: RecordFill) -> None:
        per_unit = fill.slippage / fill.quantity / 100
        self._metrics.histogram(names.ORDER_SLIPPAGE, (fill.side.value,)).observe(per_unit)
        self._slippage += fill.slippage
        self._metrics.set(names.SLIPPAGE, self._slippage / 100)
        net = self._trip_net.get(fill.instrument, 0) + fill.realized_pnl_net
        self._trip_net[fill.instrument] = net
        if fill.reason is Reason.STOP_LOSS:
            self._stopped(fill.instrument)
            self._metrics.set(names.STOP_NET, net / 100, (fill.instrument,))
        if fill.position_after <= 0:
            self._trip_net.pop(fill.instrument)
            self._stopping.discard(fill.instrument)

    def _stopped(self, instrument: InstrumentKey) -> None:
        if instrument not in self._stopping:
            self._stopping.add(instrument)
            self._metrics.bump(names.STOP_LOSSES, (instrument,))

    def _answer(self, answer: SendOutcome) -> None:
        placed = self._placed.get(answer.tag)
        if placed is None:
            return  # an order of an earlier run
        if placed.reason is Reason.END_OF_DAY:
            self._metrics.bump(names.FLATTEN_ATTEMPTS, (answer.outcome.value,))
        if answer.act is Act.PLACE:
            self._metrics.bump(names.ORDERS, (placed.side.value, placed.reason.value, answer.outcome.value))
            self._ack((answer.mono - placed.mono) / SECOND)

    def _report(self, report: OrderReport) -> None:
        ended = names.FINAL_STATUS.get(report.status)
        if ended is None or (placed := self._placed.pop(report.tag, None)) is None:
            return  # not the end, not this run's, or told before
        self._metrics.bump(names.ORDERS, (placed.side.value, placed.reason.value, ended))
        if ended == names.FINAL_STATUS["complete"]:
            self._fill((report.mono - placed.mono) / SECOND)

    def _heartbeat(self, mono: Nanos) -> None:
        """Once a second: is the market open while we see nothing of it, and what if we own something?"""
        metrics = self._metrics
        metrics.fold()
        self._skew()
        since, self._beat_mono = self._beat_mono or mono, mono
        if self._feed_up and mono - self._frame_mono <= _BLIND_AFTER:
            return
        if metrics.view.day().session_state in _IN_MARKET:
            owned = [state for state in metrics.view.instruments() if state.position]
            blind_seconds = (mono - since) / SECOND
            metrics.bump(names.FEED_BLIND, (str(bool(owned)).lower(),), blind_seconds)
            if not all(state.stop_resting for state in owned):
                metrics.bump(names.UNPROTECTED, (), blind_seconds)

    def _skew(self) -> None:
        """No tick comes before it was sent: the quickest of a minute bounds our clock's error from above."""
        if self._least_lag < inf:
            self._quickest.append(self._least_lag)
            self._least_lag = inf
            self._metrics.set(names.CLOCK_SKEW, min(self._quickest))
