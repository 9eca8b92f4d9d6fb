"""The catalogue as a page for people. `make docs` writes docs/metrics.md; a test compares."""

import sys
from collections.abc import Iterator

from bot.telemetry.catalogue import Kind, Metric, all_metrics

_HEAD = """\
# Metrics

Made from `bot/telemetry/catalogue.py` by `make docs`: edit there. Served at `/metrics` of the ops server,
beside prometheus_client's `process_*`. Base units; `_total`: counters; `_timestamp_seconds`: when, by the
bot's own clock (ages: from `bot_clock_timestamp_seconds`, not `time()`); NaN on a gauge: nothing to say.
Every label combination exists from the start: counters and histograms at 0. `instrument` is Upstox's key, one
a contract traded; `…` stands for values that come with the day.

| metric | kind | labels | says |
|---|---|---|---|
"""


def page() -> str:
    """The whole text of docs/metrics.md."""
    return _HEAD + "".join(f"{row}\n" for row in _rows())


def _rows() -> Iterator[str]:
    for metric in all_metrics():
        yield f"| `{metric.name}` | {metric.kind.value} | {_labels(metric)} | {_says(metric)} |"


def _labels(metric: Metric) -> str:
    """Each label with its values; `…` where they come with the day."""
    told = []
    for number, label in enumerate(metric.labels):
        values = list(dict.fromkeys(series[number] for series in metric.series if series))
        told.append(f"`{label}`: {', '.join(values) if values else '…'}")
    return "; ".join(told)


def _says(metric: Metric) -> str:
    if metric.kind is not Kind.HISTOGRAM:
        return metric.text
    return f"{metric.text} Edges: {', '.join(f'{edge:g}' for edge in metric.buckets)}."


if __name__ == "__main__":
    sys.stdout.write(page())
