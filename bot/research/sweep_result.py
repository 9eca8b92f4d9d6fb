"""The cells of a sweep → settings in order of their Sharpe ratio, and how much of the best is luck."""

from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Any

from bot.research.deflated import Moments, deflate, expected_best, meaning, moments_of
from bot.research.sweep import BAR_SECONDS, Row, bars_of, together


def result_of(cells: Sequence[Sequence[Row]], trials: int) -> dict[str, Any]:
    """`cells`: a setting each, its rows in the order of the files. `trials`: settings ever tried on them,
    these included. What `sweep.json` holds (docs/backtest.md).
    """
    settings, known = [], []
    for rows in cells:
        found = moments_of(bars_of(rows))
        settings.append({**together(rows), "sharpe": None if found is None else round(found.sharpe, 6)})
        known.append(found)
    order = sorted(range(len(settings)), key=lambda n: _rank(settings[n]), reverse=True)
    best = known[order[0]] if order else None
    return {
        "settings": [settings[number] for number in order],
        "files": [_file(row) for row in cells[0]] if cells else [],
        "trials": trials,
        "observations": len(bars_of(cells[0])) if cells else 0,
        "observation_seconds": BAR_SECONDS,
        "above_zero": sum(setting["net_rupees"] > 0 for setting in settings),
        "median_net_rupees": _median([setting["net_rupees"] for setting in settings]),
        "best": _judged(best, known, trials),
    }


def _rank(setting: Mapping[str, Any]) -> tuple[float, float]:
    """By Sharpe ratio; one that never traded stands at 0, where doing nothing stands."""
    return setting["sharpe"] or 0.0, setting["net_rupees"]


def _judged(best: Moments | None, known: Sequence[Moments | None], trials: int) -> dict[str, Any]:
    sharpes = [one.sharpe for one in known if one is not None]
    if best is None:
        luck = expected_best(trials, variance(sharpes)) if len(sharpes) > 1 else None
        words = "The best of these settings never traded: none that did was better than doing nothing."
        return {"sharpe": None, "expected_of_luck": luck, "deflated": None, "alone": None, "words": words}
    judged = deflate(best, sharpes, trials)
    return {
        "sharpe": round(judged.sharpe, 6),
        "expected_of_luck": round(judged.expected, 6),
        "deflated": round(judged.probability, 6),
        "alone": round(judged.alone, 6),
        "skewness": round(best.skewness, 4),
        "kurtosis": round(best.kurtosis, 4),
        "words": meaning(judged),
    }


def _file(row: Row) -> dict[str, Any]:
    return {
        "file": row["file"],
        **{name: row[name] for name in ("data", "days", "ticks", "spread", "notes")},
    }


def _median(values: Sequence[float]) -> float | None:
    ordered = sorted(values)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    return round(fmean(middle), 2) if middle else None
