"""The filter is the first implementation's to its last printed digit, and the window is what it should be."""

import gzip
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.forecast import Forecaster, RelDiff, round6
from bot.core.kalman import Kalman
from bot.core.units import SECOND, paise

_LINE = re.compile(r"Tick (\d+) \| Price \D*([\d.]+) \| KF \D*([\d.]+) \| Vel (\S+) \| \S+ (\S+)$")


def test_every_line_of_the_recorded_log_is_reproduced_to_six_decimals(recorded: Path) -> None:
    """Parity with the first implementation, under its sign setting."""
    forecaster = Forecaster(lambda _: 0.0, RelDiff.ESTIMATE_MINUS_PRICE)
    compared = 0
    with gzip.open(recorded / "ticks" / "seed_log_2025-08-07_run2_head.log.gz", "rt") as log:
        for line in log:
            found = _LINE.search(line.replace("\\u20b9", "").strip())
            if not found:
                continue
            number, price, estimate, velocity, rel_diff = found.groups()
            seen = forecaster.hear(0, paise(float(price)))
            assert str(seen.tick) == number
            printed = f"{seen.estimate:.6f} {seen.velocity:.6f} {seen.rel_diff:.6f}"
            assert printed == f"{estimate} {velocity} {rel_diff}"
            compared += 1
    assert compared == 729


def test_the_first_ticks_of_the_filter_from_zero() -> None:
    """Golden values taken from that log (its first three lines), so that parity is checked everywhere."""
    kalman = Kalman()
    seen = []
    for price in (462.85, 462.55, 462.55):
        kalman.update(price)
        seen.append((round(kalman.estimate, 6), round(kalman.velocity, 6)))
    assert seen == [(460.547378, 230.262176), (466.835660, 12.727542), (465.485996, 4.358612)]


def test_it_equals_the_textbook_matrices() -> None:
    """The scalar form is the general one with F=[[1,1],[0,1]], H=[1,0], Q=1e-4·I, R=1e-2."""
    kalman = Kalman()
    x, p = np.zeros(2), np.eye(2)
    f, h, q = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([1.0, 0.0]), np.eye(2) * 1e-4
    for price in 300 + np.random.default_rng(1).normal(0, 1, 500).cumsum():
        kalman.update(float(price))
        x, p = f @ x, f @ p @ f.T + q
        gain = p @ h / (h @ p @ h + 1e-2)
        x, p = x + gain * (price - h @ x), p - np.outer(gain, h @ p)
        assert kalman.estimate == pytest.approx(x[0], abs=1e-9)
        assert kalman.velocity == pytest.approx(x[1], abs=1e-9)


@given(st.lists(st.integers(1, 10_000_000), min_size=1, max_size=60))
def test_it_stays_finite_on_any_prices(prices: list[int]) -> None:
    forecaster = Forecaster(lambda _: 0.0)
    for price in prices:
        seen = forecaster.hear(0, price)
        assert all(math.isfinite(number) for number in (seen.estimate, seen.velocity, seen.rel_diff))


@given(st.integers(100, 260))
def test_the_window_holds_the_last_ten_ticks_oldest_first(ticks: int) -> None:
    """At tick n the classifier sees ticks n−9…n, whatever the ring buffer's turn."""
    windows: list[np.ndarray] = []
    forecaster = Forecaster(lambda window: float(bool(windows.append(window.copy()))))
    seen = [forecaster.hear(0, 30_000 + 5 * n) for n in range(ticks)]
    expected = [[s.ltp / 100, s.velocity, s.rel_diff] for s in seen[-10:]]
    assert windows[-1].shape == (1, 10, 3)
    np.testing.assert_allclose(windows[-1][0], np.float32(expected))


def test_the_first_probability_comes_at_tick_100() -> None:
    forecaster = Forecaster(lambda _: 0.7)
    seen = [forecaster.hear(0, 30_000).probability for _ in range(101)]
    assert seen[:99] == [None] * 99
    assert seen[99:] == [0.7, 0.7]


@pytest.mark.parametrize("jump_seconds", [61, -61, 86_400])
def test_a_gap_or_a_glued_jump_starts_afresh(jump_seconds: int) -> None:
    forecaster = Forecaster(lambda _: 0.7)
    start = 1_000_000 * SECOND
    for n in range(120):
        forecaster.hear(start + n * SECOND, 30_000)
    after = forecaster.hear(start + (119 + jump_seconds) * SECOND, 30_000)
    assert after.tick == 1
    assert after.probability is None


def test_a_minute_of_silence_is_no_gap() -> None:
    forecaster = Forecaster(lambda _: 0.7)
    forecaster.hear(SECOND, 30_000)
    assert forecaster.hear(61 * SECOND, 30_000).tick == 2


def test_signs() -> None:
    """Ours is (ltp − est)/est; the other (est − ltp)/ltp: another sign and another denominator."""
    ours, theirs = Forecaster(lambda _: 0.0), Forecaster(lambda _: 0.0, RelDiff.ESTIMATE_MINUS_PRICE)
    for price in (30_000, 30_100, 29_900):
        a, b = ours.hear(0, price), theirs.hear(0, price)
    assert a.rel_diff == round((299.0 - a.estimate) / a.estimate, 6)
    assert b.rel_diff == round((b.estimate - 299.0) / 299.0, 6)
    assert a.rel_diff * b.rel_diff < 0


@given(
    st.floats(min_value=-1e7, max_value=1e7)
    | st.integers(-(10**13), 10**13).map(lambda halves: halves * 0.5e-6)  # on and beside the halves
    | st.floats(allow_nan=False, allow_infinity=False)
)
def test_rounding_gives_the_very_double_that_round_gives(value: float) -> None:
    quick, plain = round6(value), round(value, 6)
    assert (quick, math.copysign(1, quick)) == (plain, math.copysign(1, plain))
