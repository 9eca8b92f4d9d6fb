"""Data and figures of the classifier's life, without TensorFlow: labels, splits, and the measures."""

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.forecast import Forecaster
from bot.core.units import SECOND
from bot.research.dataset import Heard, Tape, load, tape_of
from bot.research.evaluate import Judged, auc_of, ece_of, score
from bot.research.train import TrainingFailed, _folds, _others, train
from bot.storage.ticks import TickFileError


def tape(
    prices: list[int], *, file: str = "a.csv", instrument: str = "A", day: str = "2025-12-15", gap: int = 0
) -> Tape:
    """A tick a second; before tick number `gap` an hour passes."""
    ticks = [Heard((i + (3600 if gap and i >= gap else 0)) * SECOND, price) for i, price in enumerate(prices)]
    return tape_of(tuple(ticks), file, instrument, day)


def walk(n: int, seed: int = 1) -> list[int]:
    return [50_000 + 5 * int(s) for s in np.cumsum(np.random.default_rng(seed).integers(-20, 21, n))]


# --- labels and windows ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(105, 300))
def test_the_label_is_the_highest_of_the_next_five_prices(seed: int, n: int) -> None:
    prices = walk(n, seed)
    made = tape(prices)
    assert len(made.rises) == n - 99 - 5  # warm from tick 100 on, with a whole horizon
    for row, place in enumerate(range(99, n - 5)):
        best = max(prices[place + 1 : place + 6])
        assert made.rises[row] == ((best - prices[place]) * 10_000 >= 18 * prices[place])
        assert made.windows[row, -1, 0] == pytest.approx(prices[place] / 100)


def test_eighteen_basis_points_exactly_are_a_rise() -> None:
    prices = [100_000] * 110
    prices[105] = 100_180
    made = tape(prices)
    assert made.rises.tolist() == [False, True, True, True, True, True]
    prices[105] = 100_179
    assert not tape(prices).rises.any()


def test_the_windows_are_the_serving_codes() -> None:
    prices = walk(140)
    seen: list[np.ndarray] = []
    forecaster = Forecaster(lambda window: seen.append(window[0].copy()) or 0.0)  # type: ignore[func-returns-value]
    for i, price in enumerate(prices):
        forecaster.hear(i * SECOND, price)
    assert np.array_equal(tape(prices).windows, np.stack(seen)[:-5])


def test_no_label_and_no_window_looks_across_a_gap() -> None:
    """150 ticks, an hour, 150 ticks: each part gives its own 46 windows, and the rise beyond is not seen."""
    made = tape([50_000] * 150 + [60_000] * 150, gap=150)
    assert len(made.rises) == 2 * (150 - 99 - 5)
    assert not made.rises.any()


def test_a_split_leaves_a_filters_warm_up_between_its_halves() -> None:
    early, late = tape(walk(1000)).split(0.8)
    assert (len(early.ticks), len(late.ticks)) == (800, 200)
    assert late.at[0] - early.at[-1] >= 100 * SECOND
    assert early.ticks[-1].at < late.ticks[0].at


def test_another_tempo_tells_the_same_prices() -> None:
    """Only repeats are added or left out: the sequence of different prices stays, labels are made anew."""

    def moves(ticks: tuple[Heard, ...]) -> list[int]:
        return [ticks[0].ltp, *(b.ltp for a, b in pairwise(ticks) if a.ltp != b.ltp)]

    made = tape(walk(3000))
    other = made.at_another_tempo(np.random.default_rng(0))
    assert moves(other.ticks) == moves(made.ticks)
    assert len(other.ticks) != len(made.ticks)
    assert other.ticks == made.at_another_tempo(np.random.default_rng(0)).ticks


# --- files ----------------------------------------------------------------------------------------------


def test_only_the_open_session_is_heard(tmp_path: Path) -> None:
    """What comes before 09:15 or after the close reaches no filter; each day and instrument has its own."""
    rows = ["timestamp,instrument,ltp"]
    for day in ("2025-12-15", "2025-12-16"):
        for key in ("A", "B"):
            rows += [f"{day} 09:14:{i:02d},{key},1.00" for i in range(60)]
            rows += [f"{day} 10:{i // 60:02d}:{i % 60:02d},{key},500.00" for i in range(150)]
            rows += [f"{day} 15:30:{i:02d},{key},999.00" for i in range(60)]
    path = tmp_path / "two.csv"
    path.write_text("\n".join(rows))
    tapes = load(path)
    assert [(t.instrument, t.day, len(t.ticks)) for t in tapes] == [
        (key, day, 150) for day in ("2025-12-15", "2025-12-16") for key in ("A", "B")
    ]
    assert all(np.all(t.windows[:, :, 0] == 500) for t in tapes)


def test_prices_without_times_are_cut_at_the_jumps(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    rows = [f"{price},0,0,0" for price in [500.0] * 150 + [560.0] * 150]
    path.write_text("Measured_Price,Estimated_Price,Estimated_Velocity,rel_diff\n" + "\n".join(rows))
    (made,) = load(path)
    assert (made.day, len(made.ticks), len(made.rises)) == ("undated", 300, 2 * 46)
    path.write_text("Measured_Price\n500\nfive\n")
    with pytest.raises(TickFileError, match="line 3"):
        load(path)


# --- folds ----------------------------------------------------------------------------------------------


def test_what_is_left_out_teaches_nothing() -> None:
    """Every file and every day once; the same instrument and day in another file is left out with it."""
    quiet = [50_000] * 120
    tapes = [
        tape(quiet, file="a", instrument="A", day="1"),
        tape(quiet, file="b", instrument="B", day="1"),
        tape(quiet, file="a-again", instrument="A", day="1"),
        tape(quiet, file="c", instrument="A", day="2"),
    ]
    folds = _folds(tapes)
    assert {tuple(sorted(fold)) for fold in folds} == {(0,), (1,), (2,), (3,), (0, 1, 2)}
    for fold in folds:
        others = _others(tapes, fold)
        left = {(tapes[i].instrument, tapes[i].day) for i in fold}
        assert not left & {(tapes[i].instrument, tapes[i].day) for i in others}
    assert _others(tapes, frozenset({0})) == [1, 3]
    assert _folds(tapes[:1]) == []


def test_without_tensorflow_training_says_what_to_do(tmp_path: Path) -> None:
    if find_spec("tensorflow"):
        pytest.skip("TensorFlow is installed here")
    with pytest.raises(TrainingFailed, match="make train-env"):
        train([tmp_path], tmp_path / "out", 1, lambda *_: None)
    assert not (tmp_path / "out").exists()


# --- figures --------------------------------------------------------------------------------------------

judgements = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.63, 0.9, 1.0]), st.booleans()), min_size=2, max_size=60
)


@given(judgements)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, bool]]) -> None:
    p, y = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    pairs = [(a > b) + (a == b) / 2 for a in p[y] for b in p[~y]]
    if pairs:
        assert auc_of(p, y) == pytest.approx(float(np.mean(pairs)))
    else:
        assert np.isnan(auc_of(p, y))


@given(judgements)
def test_ece_is_the_weighted_distance_between_said_and_came(rows: list[tuple[float, bool]]) -> None:
    p, y = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    bins = np.minimum((p * 10).astype(int), 9)
    slow = sum(
        abs(p[bins == b].mean() - y[bins == b].mean()) * np.mean(bins == b) for b in set(bins.tolist())
    )
    assert ece_of(p, y) == pytest.approx(float(slow))


def judged(n: int, skill: float, seed: int) -> Judged:
    rng = np.random.default_rng(seed)
    p = np.clip(0.4 + skill * rng.standard_normal(n), 0.02, 0.98)
    return Judged(f"tape {seed}", p.astype(np.float32), rng.random(n) < p)


def test_figures_of_probabilities_that_are_true() -> None:
    """Drawn from the very probabilities: calibrated, skilled, and the interval holds the value."""
    s = score([judged(20_000, 0.15, 1), judged(20_000, 0.15, 2)], 0.63, seed=0)
    assert s.n == 40_000
    assert s.ece < 0.01
    assert s.brier_skill == pytest.approx(0.15**2 / 0.24, abs=0.02)
    assert s.auc_low < s.auc < s.auc_high
    assert s.auc_high - s.auc_low < 0.03
    assert s.precision is not None
    assert s.lift == pytest.approx(s.precision / s.base_rate)
    assert s == score([judged(20_000, 0.15, 1), judged(20_000, 0.15, 2)], 0.63, seed=0)


def test_figures_of_noise_are_those_of_noise() -> None:
    noise = judged(20_000, 0.15, 1)
    rises = np.random.default_rng(9).permutation(noise.rises)
    s = score([noise._replace(rises=rises)], 0.63, seed=0)
    assert s.auc_low < 0.5 < s.auc_high
    assert s.brier_skill < 0
    nothing = score([noise], 0.999, seed=0)
    assert (nothing.coverage, nothing.precision, nothing.lift) == (0.0, None, None)
    assert set(nothing.to_dict()) >= {
        "n",
        "base_rate",
        "auc",
        "brier",
        "brier_skill",
        "ece",
        "coverage",
        "lift",
    }
