"""The words of `bot backtest`'s command line → options, every mistake named at once."""

from datetime import date
from pathlib import Path

from bot.assemble.backtest import BacktestOptions, BacktestRefused
from bot.core.charges import NoRateCard, card_on
from bot.core.forecast import RelDiff
from bot.core.rules import RiskRules, Rules, StrategyRules
from bot.core.units import paise
from bot.research.recording import Assumptions
from bot.storage.model import SHIPPED

_EXCHANGES = ("NSE", "BSE")


def options_of(
    files: list[Path],
    *,
    filter_: str,
    model: Path | None,
    threshold: float,
    stop: float,
    band: float | None,
    rel_diff: str,
    quantity: int | None,
    lot: int | None,
    exchange: str | None,
    charges: str | None,
    guards: bool,
    entries_per_day: int,
    entries_per_minute: int,
    seed: int,
    jobs: int,
    random_runs: int,
    trace: Path | None,
    json: Path | None,
    report: Path | None,
) -> BacktestOptions:
    """Raises BacktestRefused with all that is wrong."""
    problems = []
    if filter_ not in {"model", "none"}:
        problems.append(f"--filter {filter_}: write model or none")
    if rel_diff not in set(RelDiff):
        problems.append(f"--rel-diff {rel_diff}: write {' or '.join(RelDiff)}")
    if exchange is not None and exchange not in _EXCHANGES:
        problems.append(f"--exchange {exchange}: write NSE or BSE")
    if band is not None and band <= 0:
        problems.append(f"--band {band}: must be above 0, or every entry is refused")
    if quantity is not None and lot is not None and quantity % lot:
        problems.append(f"--quantity {quantity}: is no multiple of --lot {lot}")
    if trace is not None and jobs > 1:
        problems.append("--trace: rows of several processes would mix; use --jobs 1")
    charges_day = None
    if charges is not None:
        try:
            charges_day = date.fromisoformat(charges)
            card_on(charges_day, exchange or _EXCHANGES[0])
        except NoRateCard as refused:
            problems.append(f"--charges {charges}: {refused}")
        except ValueError:
            problems.append(f"--charges {charges}: write a day like 2026-04-01")
    if problems:
        raise BacktestRefused(problems)
    risk = RiskRules(
        stop_loss=paise(stop),
        guards=guards,
        entries_per_day=entries_per_day,
        entries_per_minute=entries_per_minute,
    )
    strategy = StrategyRules(
        threshold=threshold, rel_diff=RelDiff(rel_diff), band=band, use_model=filter_ == "model"
    )
    return BacktestOptions(
        files=tuple(files),
        rules=Rules(strategy=strategy, risk=risk),
        model=(model or SHIPPED) if filter_ == "model" else None,
        given=Assumptions(lot, quantity, exchange),
        charges_day=charges_day,
        seed=seed,
        jobs=jobs,
        random_runs=random_runs,
        trace=trace,
        json=json,
        report=report,
    )
