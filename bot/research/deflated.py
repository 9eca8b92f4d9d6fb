"""How much of the best of many trials is luck: the deflated Sharpe ratio. Numbers in, numbers and words out.

Bailey, D. H. and López de Prado, M. (2014), "The Deflated Sharpe Ratio: Correcting for Selection Bias,
Backtest Overfitting and Non-Normality", Journal of Portfolio Management 40(5), 94–107. It must never know
what was traded.
"""

from collections.abc import Sequence
from math import e, sqrt
from statistics import NormalDist, variance
from typing import Final, NamedTuple

import numpy as np

_EULER_MASCHERONI: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()
BELIEVED: Final = 0.95  # the paper's level: below it a discovery is not told from the luckiest of the trials


class Moments(NamedTuple):
    """A track record in four figures. `sharpe` is of one observation, not annualized; `kurtosis` of a normal
    distribution is 3.
    """

    observations: int
    sharpe: float
    skewness: float
    kurtosis: float


class Deflated(NamedTuple):
    """The best trial's Sharpe ratio, judged. `expected`: what the best of as many trials without any skill is
    expected to show; `alone`: the probability that the true ratio is above zero, had it been the only trial;
    `probability`: that it is above `expected` (the deflated Sharpe ratio).
    """

    trials: int
    sharpe: float
    expected: float
    alone: float
    probability: float


def moments_of(results: Sequence[float]) -> Moments | None:
    """None where there is no ratio: fewer than three observations, or all the same."""
    if len(results) < 3:
        return None
    values = np.asarray(results, dtype=np.float64)
    deviation = float(values.std())
    if deviation <= 1e-12 * float(np.abs(values).max()):
        return None
    standard = (values - values.mean()) / deviation
    return Moments(
        observations=len(values),
        sharpe=float(values.mean() / values.std(ddof=1)),
        skewness=float((standard**3).mean()),
        kurtosis=float((standard**4).mean()),
    )


def expected_best(trials: int, variance_of_sharpes: float) -> float:
    """E[max] of the Sharpe ratios of `trials` independent trials whose true ratio is 0 (the paper's SR₀)."""
    assert trials >= 1, trials
    if trials == 1:
        return 0.0  # nothing was chosen
    highest = (1 - _EULER_MASCHERONI) * _NORMAL.inv_cdf(1 - 1 / trials)
    highest += _EULER_MASCHERONI * _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance_of_sharpes) * highest


def probability_above(benchmark: float, found: Moments) -> float:
    """That the true Sharpe ratio is above `benchmark`, given how long, skewed, fat-tailed the record is."""
    spread = 1 - found.skewness * found.sharpe + (found.kurtosis - 1) / 4 * found.sharpe**2
    # Zero or below only for records whose ratio says nothing any more (a few huge outliers).
    return _NORMAL.cdf((found.sharpe - benchmark) * sqrt((found.observations - 1) / max(spread, 1e-12)))


def deflate(best: Moments, sharpes: Sequence[float], trials: int) -> Deflated:
    """Judge the best of `trials`. `sharpes`: those known, the best among them; their variance stands for that
    of all. Trials are taken for independent, which related settings are not: too strict rather than too kind.
    """
    assert trials >= len(sharpes) >= 1, (trials, len(sharpes))
    expected = expected_best(trials, variance(sharpes) if len(sharpes) > 1 else 0.0)
    return Deflated(
        trials=trials,
        sharpe=best.sharpe,
        expected=expected,
        alone=probability_above(0.0, best),
        probability=probability_above(expected, best),
    )


def meaning(found: Deflated) -> str:
    """What it means, for somebody about to trade the best of a sweep."""
    if found.sharpe <= 0:
        return (
            "Even the best of these settings lost money after costs. There is nothing to deflate: the least "
            "bad loser is a loser."
        )
    chosen = (
        f"The best of {found.trials} settings without any skill is expected to show a Sharpe ratio of "
        f"{found.expected:.3f}; the best here shows {found.sharpe:.3f}. "
        if found.trials > 1
        else f"One setting was tried; it shows a Sharpe ratio of {found.sharpe:.3f}. "
    )
    share = f"{100 * found.probability:.0f} %"
    if found.probability < BELIEVED:
        return (
            f"{chosen}The probability that it is better than luck is {share}, and 95 % is where belief may "
            "begin: choosing it would be choosing noise."
        )
    return (
        f"{chosen}The probability that it is better than the luck of choosing is {share}. That is no proof: "
        "the settings were chosen on these very files. Freeze it, then test it once on days nobody has "
        "looked at."
    )
