"""A histogram that costs next to nothing, and a classifier with a stopwatch on it."""

from bisect import bisect_left
from time import perf_counter_ns

from bot.core.forecast import Classifier, Window
from bot.telemetry.catalogue import INFERENCE


class Buckets:
    """A histogram of one series; an observation is one search and two additions."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, observations up to it) as Prometheus wants them, `+Inf` last."""
        pairs, so_far = [], 0
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            pairs.append((bound, float(so_far)))
        return pairs


class TimedClassifier:
    """A classifier with a stopwatch on it: hand it to the engine, and its `seconds` to `Metrics`."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.seconds = Buckets(INFERENCE.buckets)

    def __call__(self, window: Window) -> float:
        began = perf_counter_ns()
        probability = self._classifier(window)
        self.seconds.observe((perf_counter_ns() - began) * 1e-9)
        return probability
