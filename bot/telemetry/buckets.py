"""A histogram that costs next to nothing, and a classifier with a stopwatch on it."""

from bisect import bisect_left
from time import perf_counter

from bot.core.forecast import Classifier, Window
from bot.telemetry.catalogue import INFERENCE


class Buckets:
    """A histogram of one series. `observe` only notes the value; sorting it into its bucket waits until
    somebody reads, or for `fold`, which is called once a second so that notes stay few.
    """

    __slots__ = ("_counts", "_total", "bounds", "noted", "observe")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self.noted: list[float] = []  # not sorted in yet
        self.observe = self.noted.append

    def fold(self) -> None:
        """Sort what was noted into the buckets."""
        if not self.noted:
            return
        for value in self.noted:
            self._counts[bisect_left(self.bounds, value)] += 1
            self._total += value
        self.noted.clear()

    @property
    def total(self) -> float:
        """The sum of all observations."""
        self.fold()
        return self._total

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, observations up to it) as Prometheus wants them, `+Inf` last."""
        self.fold()
        pairs, so_far = [], 0
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self._counts, strict=True):
            so_far += count
            pairs.append((bound, float(so_far)))
        return pairs


class TimedClassifier:
    """A classifier with a stopwatch on it: hand `classify` to the engine, and `seconds` to `Metrics`."""

    def __init__(self, classifier: Classifier) -> None:
        self.seconds = Buckets(INFERENCE.buckets)
        observe = self.seconds.observe

        # A plain function: an object that is called costs more than the stopwatch does.
        def classify(window: Window) -> float:
            began = perf_counter()
            probability = classifier(window)
            observe(perf_counter() - began)
            return probability

        self.classify: Classifier = classify
