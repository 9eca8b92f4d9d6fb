"""The deflated Sharpe ratio: the paper's own figures, figures by hand, and what it says of pure noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.research.deflated import (
    BELIEVED,
    Deflated,
    Moments,
    deflate,
    expected_best,
    meaning,
    moments_of,
    probability_above,
)

# Bailey & López de Prado (2014), "A numerical example": the best of N trials has an annualized Sharpe ratio
# of 2.5 over 1250 days, the trials' annualized ratios have variance 1/2, skewness −3, kurtosis 10; 250 days a
# year.
DAILY = 2.5 / math.sqrt(250)
VARIANCE = 0.5 / 250
PAPER = Moments(1250, DAILY, -3.0, 10.0)


def test_the_papers_example_of_a_hundred_trials() -> None:
    assert expected_best(100, VARIANCE) == pytest.approx(0.1132, abs=5e-5)
    assert probability_above(expected_best(100, VARIANCE), PAPER) == pytest.approx(0.9004, abs=5e-5)


def test_the_papers_other_counts_of_trials() -> None:
    """46 would have passed at 95 %; had the returns been normal, 88."""
    assert probability_above(expected_best(46, VARIANCE), PAPER) == pytest.approx(0.9505, abs=5e-5)
    normal = PAPER._replace(skewness=0.0, kurtosis=3.0)
    assert probability_above(expected_best(88, VARIANCE), normal) == pytest.approx(0.9505, abs=5e-5)


def test_one_trial_is_the_probabilistic_ratio_and_nothing_is_deflated() -> None:
    """By hand: four observations 1, 3, 1, 3; mean 2, deviation (n − 1) √(4/3), no skew, kurtosis 1."""
    found = moments_of([1.0, 3.0, 1.0, 3.0])
    assert found is not None
    assert found == pytest.approx((4, 2 / math.sqrt(4 / 3), 0.0, 1.0))
    judged = deflate(found, [found.sharpe], 1)
    assert judged.expected == 0.0
    # Φ(√3 · √3 / √(1 − 0 + 0)) = Φ(3)
    assert judged.probability == judged.alone == pytest.approx(0.99865, abs=1e-5)


@pytest.mark.parametrize("results", [[], [1.0], [1.0, 2.0], [0.0] * 9, [-3.7] * 50])
def test_no_ratio_where_nothing_varies(results: list[float]) -> None:
    assert moments_of(results) is None


@given(
    st.floats(-1, 1), st.floats(-2, 2), st.floats(0, 10), st.integers(3, 5_000),
    st.integers(2, 400), st.floats(1e-6, 0.5),
)  # fmt: skip
def test_more_trials_never_make_the_best_more_believable(
    sharpe, skewness, over, observations, trials, spread
):
    found = Moments(observations, sharpe, skewness, 1 + skewness**2 + over)  # kurtosis ≥ 1 + skewness²
    fewer, more = (probability_above(expected_best(n, spread), found) for n in (trials, trials * 2))
    assert 0 <= more <= fewer <= 1


def test_of_pure_noise_the_best_looks_splendid_alone_and_is_seldom_believed() -> None:
    """200 sweeps of 50 worthless settings each: alone, nine in ten of the best pass at 95 %; deflated, one in
    twenty or fewer may (and do).
    """
    rng = np.random.default_rng(7)
    alone = deflated = 0
    shown, expected = [], []
    for _ in range(200):
        trials = rng.standard_t(5, size=(50, 250))
        found = [moments_of(trial) for trial in trials]
        sharpes = [one.sharpe for one in found if one is not None]
        best = max((one for one in found if one is not None), key=lambda one: one.sharpe)
        judged = deflate(best, sharpes, 50)
        alone += judged.alone >= BELIEVED
        deflated += judged.probability >= BELIEVED
        shown.append(best.sharpe)
        expected.append(judged.expected)
    assert alone > 0.85 * 200
    assert deflated <= 0.05 * 200
    assert np.mean(shown) == pytest.approx(np.mean(expected), rel=0.05), "SR₀ is what the luckiest shows"


def test_a_real_edge_among_worthless_settings_is_believed() -> None:
    rng = np.random.default_rng(8)
    trials = rng.normal(size=(50, 1_000))
    trials[17] += 0.25
    found = [moments_of(trial) for trial in trials]
    sharpes = [one.sharpe for one in found if one is not None]
    assert len(sharpes) == 50
    assert sharpes.index(max(sharpes)) == 17
    best = found[17]
    assert best is not None
    assert deflate(best, sharpes, 50).probability > 0.99


def test_the_words_promise_nothing() -> None:
    assert "loser" in meaning(Deflated(9, -0.1, 0.2, 0.1, 0.0))
    assert "choosing noise" in meaning(Deflated(9, 0.1, 0.2, 0.96, 0.3))
    assert "no proof" in meaning(Deflated(9, 0.4, 0.2, 0.99, 0.97))
    assert "One setting" in meaning(Deflated(1, 0.4, 0.0, 0.99, 0.99))
