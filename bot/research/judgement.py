"""A model judged on tick files: its figures, what costs nothing beside it, what is left after charges.

It serves the model as the bot does, without TensorFlow. A file that taught the model is said to have: its
figures flatter. Whether a figure is good enough to trade on is not decided here.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bot.core.forecast import RelDiff
from bot.core.rules import RiskRules, Rules, StrategyRules
from bot.research.backtest import Settings, trade_day
from bot.research.dataset import Floats
from bot.research.dataset import load as load_tapes
from bot.research.evaluate import LEAKAGE_AUC, Judged, Scores, auc_of, score
from bot.research.outcome import Interval, block_bootstrap, verdict
from bot.research.recording import RecordedDay
from bot.research.recording import load as load_days
from bot.storage.model import LoadedModel
from bot.storage.ticks import TickFileError

CURVE: Final = tuple(number / 100 for number in range(40, 81))
BINS: Final = 10
NO_EDGE_AUC: Final = 0.56  # what a model shows on prices without any memory is below it

Say = Callable[[str], None]


class CurvePoint(NamedTuple):
    """What entering at `threshold` would choose. Precision and lift are None where nothing is chosen."""

    threshold: float
    coverage: float
    precision: float | None
    lift: float | None


class Bin(NamedTuple):
    """Of the reliability plot: what was said on average, what came, of how many windows."""

    said: float
    came: float
    n: int


class Baselines(NamedTuple):
    """AUCs of what costs nothing: how wild the window is, and the model's own answers on shuffled labels. (A
    constant has 0.5 and skill 0 by definition.) `volatility_lift`: of as many windows, the wildest.
    """

    volatility_auc: float
    volatility_lift: float | None
    shuffled_auc: float


class Tradable(NamedTuple):
    """Net of charges, rupees a trade, without guards: filtered by the model, and by the rule alone."""

    trades: int
    filtered: Interval
    trades_unfiltered: int
    unfiltered: Interval


class FileJudged(NamedTuple):
    """One tape. `taught`: the model was trained on this very file. `nets`: None where there are no times."""

    name: str
    taught: bool
    judged: Judged
    volatility: npt.NDArray[np.float64]
    nets: tuple[float, ...] | None  # of each trade, rupees
    nets_unfiltered: tuple[float, ...] | None


def judge_file(path: Path, model: LoadedModel, say: Say = lambda _: None) -> list[FileJudged]:
    """All tapes of a file. Raises TickFileError."""
    say(f"reading {path.name}")
    tapes = load_tapes(path)
    known = {str(origin.get("sha256")) for origin in model.passport.trained_on}
    days = _days(path)
    with path.open("rb") as file:
        taught = hashlib.file_digest(file, "sha256").hexdigest() in known
    found = []
    for tape in tapes:
        say(f"asking about {tape.name}")
        windows = signed(tape.windows, model.passport.rel_diff)
        asked = np.array([model.classifier(window[np.newaxis]) for window in windows], dtype=np.float32)
        here = [day for day in days if day.contracts[0].key == tape.instrument and str(day.day) == tape.day]
        say(f"trading {tape.name}")
        filtered, unfiltered = (_nets(here, model, filtered=way) for way in (True, False))
        found.append(
            FileJudged(
                tape.name,
                taught,
                Judged(tape.name, asked, tape.rises),
                volatility_of(tape.windows),
                filtered,
                unfiltered,
            )
        )
    return found


def signed(windows: Floats, sign: RelDiff) -> Floats:
    """Windows as served with `sign`, from those with (ltp − estimate) / estimate. [n, 10, 3]"""
    if sign is RelDiff.PRICE_MINUS_ESTIMATE:
        return windows
    turned = windows.copy()
    turned[:, :, 2] = 1 / (1 + windows[:, :, 2].astype(np.float64)) - 1  # (estimate − ltp) / ltp
    return turned


def volatility_of(windows: Floats) -> npt.NDArray[np.float64]:
    """The rms of the moves within each window, in basis points of its last price. [n, 10, 3] → [n]."""
    prices = windows[:, :, 0].astype(np.float64)
    moves = np.diff(prices, axis=1) / prices[:, -1:] * 10_000
    rms: npt.NDArray[np.float64] = np.sqrt(np.mean(moves**2, axis=1))
    return rms


def baselines_of(files: Sequence[FileJudged], scores: Scores, seed: int) -> Baselines:
    p = np.concatenate([file.judged.probabilities for file in files]).astype(np.float64)
    y = np.concatenate([file.judged.rises for file in files])
    wild = np.concatenate([file.volatility for file in files])
    as_many = round(scores.coverage * len(y))
    wildest = np.argsort(-wild, kind="stable")[:as_many]
    shuffled = np.random.default_rng(seed).permutation(y)
    base = float(y.mean())
    lift = float(y[wildest].mean()) / base if as_many and base else None
    return Baselines(auc_of(wild, y), lift, auc_of(p, shuffled))


def curve_of(files: Sequence[FileJudged]) -> list[CurvePoint]:
    p = np.concatenate([file.judged.probabilities for file in files])
    y = np.concatenate([file.judged.rises for file in files])
    base, points = float(y.mean()), []
    for threshold in CURVE:
        chosen = p >= threshold
        precision = float(y[chosen].mean()) if chosen.any() else None
        lift = precision / base if precision is not None and base else None
        points.append(CurvePoint(threshold, float(chosen.mean()), precision, lift))
    return points


def reliability_of(files: Sequence[FileJudged]) -> list[Bin]:
    p = np.concatenate([file.judged.probabilities for file in files]).astype(np.float64)
    y = np.concatenate([file.judged.rises for file in files])
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    return [
        Bin(float(p[place == number].mean()), float(y[place == number].mean()), int((place == number).sum()))
        for number in range(BINS)
        if (place == number).any()
    ]


def tradable_of(files: Sequence[FileJudged]) -> Tradable | None:
    """Of the files that can be traded; None when none can."""
    filtered = [net for file in files for net in file.nets or ()]
    unfiltered = [net for file in files for net in file.nets_unfiltered or ()]
    if all(file.nets is None for file in files):
        return None
    return Tradable(len(filtered), block_bootstrap(filtered), len(unfiltered), block_bootstrap(unfiltered))


def words(scores: Scores, tradable: Tradable | None, taught: Sequence[str]) -> list[str]:
    """What the figures mean, for somebody about to trade on them."""
    said = []
    if taught:
        said.append(
            f"The model was trained on {', '.join(taught)}: there its figures flatter. Believe the others."
        )
    if scores.auc > LEAKAGE_AUC:
        said.append(f"AUC {scores.auc:.3f} on such data is a leak until proved otherwise.")
    elif scores.auc_low <= 0.5 or scores.auc <= NO_EDGE_AUC:
        span = f"{scores.auc_low:.3f}–{scores.auc_high:.3f}"
        said.append(f"no edge: AUC {scores.auc:.3f} ({span}) is not told from chance.")
    else:
        better = f"It tells rises from others a little better than chance (AUC {scores.auc:.3f})."
        said.append(f"{better} The label is no trade.")
    if tradable is None:
        said.append("Net of charges: not known, for these files have no times or no day to trade on.")
    else:
        said.append(f"Net of charges, filtered by the model: {verdict(tradable.filtered)}")
        said.append(f"Net of charges, without the model: {verdict(tradable.unfiltered)}")
    return said


def to_dict(files: Sequence[FileJudged], threshold: float, seed: int) -> dict[str, Any]:
    """One group's figures, as `evaluate --json` prints them."""
    scores, tradable = score([file.judged for file in files], threshold, seed), tradable_of(files)
    return {
        **scores.to_dict(),
        "baselines": {
            "constant": {"auc": 0.5, "brier_skill": 0.0},
            **_rounded(baselines_of(files, scores, seed)._asdict()),
        },
        "net": None
        if tradable is None
        else {
            "trades": tradable.trades,
            "net_per_trade_rupees": tradable.filtered.rounded(),
            "trades_unfiltered": tradable.trades_unfiltered,
            "net_per_trade_unfiltered_rupees": tradable.unfiltered.rounded(),
        },
        "taught": any(file.taught for file in files),
    }


def _rounded(values: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 6) for name, value in values.items()}


def _days(path: Path) -> Sequence[RecordedDay]:
    """To trade on. A file of prices alone can be judged and not traded."""
    try:
        return load_days(path)
    except TickFileError:
        return ()


def _nets(days: Sequence[RecordedDay], model: LoadedModel, *, filtered: bool) -> tuple[float, ...] | None:
    if not days:
        return None
    strategy = StrategyRules(threshold=model.passport.threshold, rel_diff=model.passport.rel_diff)
    rules = Rules(strategy, risk=RiskRules(guards=False))
    settings = Settings(rules, model.classifier if filtered else None, "model" if filtered else "none")
    return tuple(trip.net / 100 for day in days for trip in trade_day(day, settings).trips)
