"""The words of `bot sweep`'s command line → trials and what they share, every mistake named at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import product
from pathlib import Path
from typing import Any, Final

from bot.core.charges import NoRateCard, card_on
from bot.core.forecast import RelDiff
from bot.research.sweep import Common, Source, Trial
from bot.storage.model import SHIPPED, ModelRefused, load_model

VALUES_MAX: Final = 1_000  # of one option
CELLS_MAX: Final = 1_000_000
_EXCHANGES: Final = ("NSE", "BSE")


class SweepRefused(Exception):
    """`problems` say what a person must mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What the command line asked for. `dask` None: `jobs` processes here."""

    trials: tuple[Trial, ...]
    sources: tuple[Source, ...]
    common: Common
    out: Path
    jobs: int = 1
    dask: str | None = None
    trials_before: int = 0
    parquet: bool = False
    notes: tuple[str, ...] = ()


class _Wrong(ValueError):
    """A value that is not allowed."""


def trials_of(given: dict[str, str]) -> tuple[list[Trial], list[str]]:
    """(each combination of the values once, problems). `given`: text by the name of a parameter.

    Without the filter there is no threshold, so its values make one setting and not several.
    """
    problems: list[str] = []
    values = {name: _values(name, text, problems) for name, text in given.items()}
    if problems:
        return [], problems
    if values["quantity"] and None in values["quantity"] and len(values["quantity"]) > 1:
        problems.append("--quantity: write numbers, or lot alone (one lot of each file)")
    trials = []
    for combination in product(*values.values()):
        named: dict[str, Any] = dict(zip(values, combination, strict=True))
        if named["filter"] == "none":
            named["threshold"] = None
        trials.append(Trial(**named))
    return list(dict.fromkeys(trials)), problems


def common_of(
    trials: Sequence[Trial],
    *,
    model: Path | None,
    lot: int | None,
    exchange: str | None,
    charges: str | None,
    guards: bool,
    entries_per_day: int,
    entries_per_minute: int,
    seed: int,
) -> tuple[Common, list[str]]:
    """What the trials share, and problems."""
    problems = []
    if exchange is not None and exchange not in _EXCHANGES:
        problems.append(f"--exchange {exchange}: write NSE or BSE")
    charges_day = None
    if charges is not None:
        try:
            charges_day = date.fromisoformat(charges)
            card_on(charges_day, exchange if exchange in _EXCHANGES else _EXCHANGES[0])
        except NoRateCard as refused:
            problems.append(f"--charges {charges}: {refused}")
        except ValueError:
            problems.append(f"--charges {charges}: write a day like 2026-04-01")
    problems += [
        f"--quantity {quantity}: is no multiple of --lot {lot}"
        for quantity in dict.fromkeys(trial.quantity for trial in trials)
        if lot is not None and quantity is not None and quantity % lot
    ]
    path = (model or SHIPPED).absolute()
    sha256 = ""
    for rel_diff in dict.fromkeys(trial.rel_diff for trial in trials if trial.filter == "model"):
        try:
            sha256 = load_model(path, rel_diff=RelDiff(rel_diff)).passport.sha256
        except ModelRefused as refused:
            problems.append(f"--rel-diff {rel_diff} with --filter model: {refused}")
    common = Common(
        model=path,
        model_sha256=sha256,
        lot=lot,
        exchange=exchange,
        charges_day=charges_day,
        guards=guards,
        entries_per_day=entries_per_day,
        entries_per_minute=entries_per_minute,
        seed=seed,
    )
    return common, problems


# ---- lists of values --------------------------------------------------------------------------------------


def _values(name: str, text: str, problems: list[str]) -> list[Any]:
    one, allowed = _PARAMETERS[name]
    option = name.replace("_", "-")
    found: list[Any] = []
    for word in (part.strip() for part in text.split(",")):
        try:
            words = _range(word) if ":" in word else [word]
            found += [one(each) for each in words]
        except (_Wrong, ValueError, InvalidOperation) as error:
            reason = f" ({error})" if isinstance(error, _Wrong) and str(error) else ""
            problems.append(f"--{option} {word or 'nothing'}{reason}: allowed are {allowed}")
    if len(found) > VALUES_MAX:
        problems.append(f"--{option}: {len(found)} values; at most {VALUES_MAX} are allowed")
    return list(dict.fromkeys(found))


def _range(word: str) -> list[str]:
    """FIRST:LAST:STEP, the last included where a step meets it; in decimals, so that 0.1 is 0.1."""
    first, last, step = (Decimal(part) for part in word.split(":"))
    if not (first.is_finite() and last.is_finite() and step.is_finite() and step > 0 and first <= last):
        raise _Wrong("a range is FIRST:LAST:STEP, upwards")
    count = int((last - first) / step) + 1
    if count > VALUES_MAX:
        raise _Wrong(f"{count} values; at most {VALUES_MAX}")
    return [str(first + number * step) for number in range(count)]


def _number(low: float, high: float) -> Callable[[str], float]:
    def one(word: str) -> float:
        value = float(word)
        if not low <= value <= high:
            raise _Wrong
        return value

    return one


def _word(*allowed: str) -> Callable[[str], str]:
    def one(word: str) -> str:
        if word not in allowed:
            raise _Wrong
        return word

    return one


def _band(word: str) -> float | None:
    return None if word == "none" else _number(1e-6, 1.0)(word)


def _quantity(word: str) -> int | None:
    if word == "lot":
        return None
    if int(Decimal(word)) != Decimal(word) or int(Decimal(word)) < 1:
        raise _Wrong
    return int(Decimal(word))


_PARAMETERS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "filter": (_word("model", "none"), "model and none"),
    "threshold": (_number(0, 1), "numbers from 0 to 1, or a range like 0.5:0.8:0.05"),
    "stop": (_number(0.05, 100_000), "rupees from 0.05, or a range like 20:60:10"),
    "band": (_band, "numbers above 0 up to 1, or none (no band)"),
    "rel_diff": (_word(*RelDiff), " and ".join(RelDiff)),
    "quantity": (_quantity, "whole numbers from 1, a range like 65:650:65, or lot"),
}
