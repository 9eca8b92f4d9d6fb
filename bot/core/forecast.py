"""A tick → filter → window of 10 × [price, velocity, rel_diff] → probability. One instance an instrument.

The classifier is a callable from outside: this file knows no file format and no runtime. Train, backtest,
paper and live use this very code, so that a feature has one meaning (contract: *Definitions*).
"""

from collections.abc import Callable
from enum import StrEnum
from struct import Struct
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bot.core.kalman import Kalman
from bot.core.units import SECOND, Nanos, Paise

WINDOW_TICKS = 10
FEATURES = 3  # price, velocity, rel_diff
WARMUP_TICKS = 100
GAP_NANOS: Nanos = 60 * SECOND  # a longer silence, or time going back by more, starts the filter afresh

Window: TypeAlias = npt.NDArray[np.float32]  # shape (1, 10, 3): raw price, velocity, rel_diff; oldest first
Classifier: TypeAlias = Callable[[Window], float]  # probability in [0, 1]


_ROW = Struct(f"={FEATURES}f")
_pack_row = _ROW.pack_into


_WHOLE = 1.5 * 2**52  # added and taken away again, it rounds to a whole number: `round` without the call


def round6(value: float) -> float:
    """`round(value, 6)`, the very same double, at a third of its price: that one prints and reads decimals.

    A whole number of millionths divided by a million is the double nearest to that decimal; which whole
    number it is can only be in doubt near a half, or where doubles are sparse.
    """
    scaled = value * 1e6
    if -1e12 < scaled < 1e12:
        whole = scaled + _WHOLE - _WHOLE
        if whole and -0.499 < scaled - whole < 0.499:  # `whole`: a zero has a sign, and keeps it
            return whole / 1e6
    return round(value, 6)


class RelDiff(StrEnum):
    """Which way the relative difference is taken (house: *Sign of rel_diff*)."""

    PRICE_MINUS_ESTIMATE = "price-minus-estimate"  # (ltp − est) / est: ours, and the training data's
    ESTIMATE_MINUS_PRICE = "estimate-minus-price"  # (est − ltp) / ltp: the first implementation, in full


class Forecast(NamedTuple):
    """What one tick told us. Rupees, rounded to 6 decimals; probability is None before the warm-up ends."""

    tick: int  # counted from the filter's last reset, from 1
    ltp: Paise
    estimate: float
    velocity: float
    rel_diff: float
    probability: float | None


class Forecasting(Protocol):
    """All that a desk asks of its forecaster."""

    def hear(self, at: Nanos, ltp: Paise) -> Forecast:
        """Take one tick."""


class Forecaster:
    """Feed it every accepted tick of one instrument, in order."""

    __slots__ = ("_at", "_classifier", "_flipped", "_kalman", "_rows", "_store", "_ticks", "_warmup")

    def __init__(
        self,
        classifier: Classifier,
        rel_diff: RelDiff = RelDiff.PRICE_MINUS_ESTIMATE,
        warmup_ticks: int = WARMUP_TICKS,
    ) -> None:
        self._classifier = classifier
        self._flipped = rel_diff is RelDiff.ESTIMATE_MINUS_PRICE
        self._warmup = max(warmup_ticks, WINDOW_TICKS)
        self._kalman = Kalman()
        # Every row is written twice, 10 rows apart, so that the last 10 always lie in one stretch: the
        # window handed out is a view made here once, and a tick allocates no array.
        self._store = bytearray(2 * WINDOW_TICKS * _ROW.size)
        rows = np.frombuffer(self._store, dtype=np.float32).reshape(2 * WINDOW_TICKS, FEATURES)
        # For each row: its two places, in bytes, and the window that ends with it.
        self._rows = [
            (
                row * _ROW.size,
                (row + WINDOW_TICKS) * _ROW.size,
                rows[row + 1 : row + 1 + WINDOW_TICKS].reshape(1, WINDOW_TICKS, FEATURES),
            )
            for row in range(WINDOW_TICKS)
        ]
        self._ticks = 0
        self._at: Nanos = 0

    def reset(self) -> None:
        """Start afresh: the next tick is number 1."""
        self._kalman.reset()
        self._ticks = 0

    @property
    def ticks(self) -> int:
        """Ticks since the reset."""
        return self._ticks

    def hear(self, at: Nanos, ltp: Paise) -> Forecast:
        """Take one tick. The window given to the classifier is reused: it must not keep it."""
        if abs(at - self._at) > GAP_NANOS and self._ticks:
            self.reset()
        self._at = at
        self._ticks = ticks = self._ticks + 1
        price = ltp / 100
        kalman = self._kalman
        kalman.update(price)
        estimate = round6(kalman.estimate)
        velocity = round6(kalman.velocity)
        if self._flipped:
            rel_diff = round6((estimate - price) / price)
        else:
            # Only a filter of nothing but zeros can stand at 0, and prices are positive.
            rel_diff = round6((price - estimate) / estimate) if estimate else 0.0
        store = self._store
        here, there, window = self._rows[ticks % WINDOW_TICKS]
        _pack_row(store, here, price, velocity, rel_diff)
        _pack_row(store, there, price, velocity, rel_diff)
        probability = self._classifier(window) if ticks >= self._warmup else None
        # Made by `tuple`, at half the price of the class's own constructor.
        return tuple.__new__(Forecast, (ticks, ltp, estimate, velocity, rel_diff, probability))
