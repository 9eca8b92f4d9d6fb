"""How far what the classifier hears and says today is from its training files."""

from bisect import bisect_left
from collections.abc import Sequence
from math import log
from typing import Final

SEEN_MIN: Final = 500  # fewer say more about chance than about drift
_FLOOR: Final = 1e-4  # of a share; an empty bin must not make it infinite


class Drift:
    """Population stability index over deciles. `observe` only notes; `fold` sorts, once a second."""

    __slots__ = ("_counts", "_edges", "_noted", "observe")

    def __init__(self, reference: Sequence[float]) -> None:
        """`reference`: 11 ascending edges of equal shares, or nothing; the outermost are open."""
        self._edges = tuple(reference[1:-1])
        self._counts = [0] * (len(self._edges) + 1)
        self._noted: list[float] = []
        self.observe = self._noted.append

    def fold(self) -> None:
        """Sort what was noted into the bins."""
        for value in self._noted:
            self._counts[bisect_left(self._edges, value)] += 1
        self._noted.clear()

    def psi(self) -> float:
        """0: the same; single days of training are well above 0.25. NaN: no reference, or too little seen."""
        self.fold()
        seen = sum(self._counts)
        if not self._edges or seen < SEEN_MIN:
            return float("nan")
        expected = 1 / len(self._counts)
        shares = (max(count / seen, _FLOOR) for count in self._counts)
        return sum((share - expected) * log(share / expected) for share in shares)
