"""How good probabilities are, in the field's figures. Pure numpy; knows no network and no file.

None of these is money: skill at this label does not pay a spread.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bot.research.dataset import Floats

Bools: TypeAlias = npt.NDArray[np.bool_]

BINS: Final = 10
BLOCK_WINDOWS: Final = 300  # about five minutes: overlapping windows are not independent, blocks nearly are
RESAMPLES: Final = 400
_FINE: Final = 1000
LEAKAGE_AUC: Final = 0.66  # more than this on such data is a leak until proved otherwise


class Judged(NamedTuple):
    """Out-of-sample probabilities of one tape beside what came."""

    name: str
    probabilities: Floats
    rises: Bools


class Scores(NamedTuple):
    """`auc_low`, `auc_high`: 95 % by block bootstrap. Precision and lift are None where nothing is chosen."""

    n: int
    base_rate: float
    auc: float
    auc_low: float
    auc_high: float
    brier: float
    brier_skill: float  # 1 − Brier / Brier of the constant base rate
    ece: float
    coverage: float  # share at or above the threshold
    precision: float | None
    lift: float | None

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        flat = {name: None if value is None else round(value, 6) for name, value in self._asdict().items()}
        auc = {"value": flat.pop("auc"), "low": flat.pop("auc_low"), "high": flat.pop("auc_high")}
        return {
            "n": flat["n"],
            "base_rate": flat["base_rate"],
            "auc": auc,
            "brier": flat["brier"],
            "brier_skill": flat["brier_skill"],
            "ece": flat["ece"],
            "coverage": flat["coverage"],
            "precision_at_threshold": flat["precision"],
            "lift": flat["lift"],
        }


def score(tapes: Sequence[Judged], threshold: float, seed: int) -> Scores:
    """The figures of all tapes taken together. The bootstrap's blocks never join two tapes."""
    p = np.concatenate([tape.probabilities for tape in tapes]).astype(np.float64)
    y = np.concatenate([tape.rises for tape in tapes])
    base = float(y.mean())
    brier = float(np.mean((p - y) ** 2))
    chosen = p >= threshold
    precision = float(y[chosen].mean()) if chosen.any() else None
    low, high = _auc_interval(tapes, seed)
    return Scores(
        n=len(y),
        base_rate=base,
        auc=auc_of(p, y),
        auc_low=low,
        auc_high=high,
        brier=brier,
        brier_skill=1 - brier / (base * (1 - base)) if 0 < base < 1 else float("nan"),
        ece=ece_of(p, y),
        coverage=float(chosen.mean()),
        precision=precision,
        lift=None if precision is None or not base else precision / base,
    )


def auc_of(p: npt.NDArray[np.float64], y: Bools) -> float:
    """The chance that a rise got a higher probability than a non-rise; ties count half. One class: NaN."""
    _, ranks, counts = np.unique(p, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    positives = int(y.sum())
    pairs = positives * (len(y) - positives)
    return (
        float((middle[ranks][y].sum() - positives * (positives + 1) / 2) / pairs) if pairs else float("nan")
    )


def ece_of(p: npt.NDArray[np.float64], y: Bools) -> float:
    """Expected calibration error over ten equal bins: mean |said − came|, weighted by the bins' sizes."""
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    said = np.bincount(place, weights=p, minlength=BINS)
    came = np.bincount(place, weights=y, minlength=BINS)
    return float(np.abs(said - came).sum() / len(y))


def _auc_interval(tapes: Sequence[Judged], seed: int) -> tuple[float, float]:
    """Whole blocks are drawn with replacement; each draw is scored from histograms of the blocks."""
    everything = np.concatenate([tape.probabilities for tape in tapes])
    edges = np.unique(np.quantile(everything, np.linspace(0, 1, _FINE + 1))[1:-1])
    rows = []
    for tape in tapes:
        place = np.searchsorted(edges, tape.probabilities, side="right")
        for start in range(0, len(place), BLOCK_WINDOWS):
            here, y = place[start : start + BLOCK_WINDOWS], tape.rises[start : start + BLOCK_WINDOWS]
            both = [np.bincount(here[y == side], minlength=len(edges) + 1) for side in (False, True)]
            rows.append(np.stack(both))
    blocks = np.stack(rows).astype(np.float64)  # [block, no rise | rise, bin]
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=RESAMPLES)
    totals = np.tensordot(draws.astype(np.float64), blocks, axes=1)
    falls, rises = totals[:, 0], totals[:, 1]
    below = np.cumsum(falls, axis=1) - falls / 2
    pairs = falls.sum(axis=1) * rises.sum(axis=1)
    aucs = (below * rises).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    if not len(aucs):
        return float("nan"), float("nan")
    low, high = np.quantile(aucs, [0.025, 0.975])
    return float(low), float(high)
