"""One cell of a sweep: one setting over one recorded file, wherever that runs, and what it came to.

A cell is small and travels to other processes and machines; its result is a row of plain numbers. What is
swept, in which order and what is kept is not known here.
"""

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from bot.core.charges import NoRateCard
from bot.core.forecast import Classifier, RelDiff
from bot.core.rules import RiskRules, Rules, StrategyRules
from bot.core.session import Session
from bot.core.units import SECOND, paise
from bot.research.backtest import Settings, trade_day
from bot.research.outcome import Outcome, block_bootstrap, figures
from bot.research.recording import Assumptions, RecordedDay, load
from bot.storage.archive import ArchiveRefused
from bot.storage.model import ModelRefused, load_model
from bot.storage.tick_source import TickFileError

BAR_SECONDS: Final = 900  # the Sharpe ratio's observation: the net result of a quarter of an hour
_PACKAGE: Final = Path(__file__).parents[1]
_ENGINE: Final = ("core", "sim", "storage", "twin", "research")  # what a result depends on
Row: TypeAlias = dict[str, Any]


class CellRefused(Exception):
    """A file or a worker can't be used; says why and what to do. Shown to people as it stands."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting. `threshold` None: no filter, so there is none. `quantity` None: one lot of the file."""

    filter: str = "model"  # model | none
    threshold: float | None = 0.63
    stop: float = 50.0  # rupees of premium per unit
    band: float | None = None
    rel_diff: str = RelDiff.PRICE_MINUS_ESTIMATE.value
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Common:
    """What all cells of a sweep share. `model_sha256` "": no trial wants a model."""

    model: Path
    model_sha256: str
    lot: int | None = None
    exchange: str | None = None
    charges_day: date | None = None
    guards: bool = False
    entries_per_day: int = 20
    entries_per_minute: int = 6
    seed: int = 7


class Source(NamedTuple):
    """A recorded file: `address` is a path or `s3://bucket/key`; `identity` changes with its content."""

    name: str
    address: str
    identity: str


class Cell(NamedTuple):
    trial: Trial
    source: Source
    common: Common
    engine: str  # engine_version() of who asks

    @property
    def setting(self) -> str:
        """What was tried, whatever the file and the version of the bot: trials are counted by it."""
        common = {name: value for name, value in asdict(self.common).items() if name != "model"}
        if self.trial.filter == "none":
            common["model_sha256"] = ""
        return _hash({**asdict(self.trial), **common})

    @property
    def key(self) -> str:
        """The same key, the same result: setting, content of the file, version of the bot."""
        return _hash([self.setting, self.source.identity, self.engine])


def _hash(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:24]


@cache
def engine_version() -> str:
    """Of the code that a result depends on: a changed engine makes every cell run again."""
    digest = hashlib.sha256()
    files = (
        file for room in _ENGINE for file in (_PACKAGE / room).rglob("*") if file.suffix in {".py", ".so"}
    )
    for file in sorted(files):
        digest.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


# ---- running one ------------------------------------------------------------------------------------------


class _Kept(threading.local):
    """The last file and the last model of this thread: a model's runtime is no thing to share."""

    file: tuple[Any, tuple[RecordedDay, ...]] | None = None
    model: tuple[Any, tuple[Classifier, str, frozenset[str]]] | None = None


_kept = _Kept()


def run_cell(cell: Cell, cache_folder: Path) -> Row:
    """Trade it; `cache_folder` takes what is fetched. Raises CellRefused."""
    if cell.engine != engine_version():
        raise CellRefused(
            f"a worker has another version of the bot ({engine_version()}, wanted {cell.engine}): install "
            "the same one on every worker"
        )
    trial, common = cell.trial, cell.common
    try:
        settings = _settings(trial, common)
        given = Assumptions(common.lot, trial.quantity, common.exchange)
        days = _days(cell.source, given, cache_folder)
        outcomes = [trade_day(day, settings) for day in days]
    except TickFileError as error:
        raise CellRefused(str(error).replace(str(error.path), cell.source.address)) from None
    except (ModelRefused, ArchiveRefused, NoRateCard) as error:
        raise CellRefused(str(error)) from None
    except OSError as error:
        raise CellRefused(f"{error.filename or cell.source.address}: {error.strerror or error}") from None
    return _row(cell, days, outcomes)


def rules_of(trial: Trial, common: Common) -> Rules:
    use_model = trial.filter == "model"
    return Rules(
        strategy=StrategyRules(
            threshold=trial.threshold or 0.0,  # without the filter nobody asks
            rel_diff=RelDiff(trial.rel_diff),
            band=trial.band,
            use_model=use_model,
        ),
        risk=RiskRules(
            stop_loss=paise(trial.stop),
            guards=common.guards,
            entries_per_day=common.entries_per_day,
            entries_per_minute=common.entries_per_minute,
        ),
    )


def _settings(trial: Trial, common: Common) -> Settings:
    settings = Settings(
        rules_of(trial, common), None, "none", charges_day=common.charges_day, seed=common.seed
    )
    if trial.filter == "none":
        return settings
    wanted = (common.model, common.model_sha256, trial.rel_diff)
    if _kept.model is None or _kept.model[0] != wanted:
        loaded = load_model(common.model, rel_diff=RelDiff(trial.rel_diff))
        if loaded.passport.sha256 != common.model_sha256:
            raise CellRefused(
                f"{common.model}: a worker has another model. Copy the same one to every worker"
            )
        trained_on = frozenset(str(row.get("sha256", "")) for row in loaded.passport.trained_on)
        _kept.model = wanted, (loaded.classifier, loaded.passport.sha256[:12], trained_on)
    classifier, name, trained_on = _kept.model[1]
    return replace(settings, classifier=classifier, model=name, trained_on=trained_on)


def _days(source: Source, given: Assumptions, cache_folder: Path) -> tuple[RecordedDay, ...]:
    wanted = (source, given)
    if _kept.file is None or _kept.file[0] != wanted:
        path = _brought(source, cache_folder) if source.address.startswith("s3://") else Path(source.address)
        days = load(path, given)
        if source.identity.startswith("sha256:") and source.identity != f"sha256:{days[0].sha256}":
            raise CellRefused(f"{source.address}: has changed since the sweep began. Start it again")
        _kept.file = wanted, days
    return _kept.file[1]


def _brought(source: Source, cache_folder: Path) -> Path:
    """The object as a file of ours, in a folder named by its content's tag."""
    from bot.storage.s3 import S3Fault  # boto3 costs 10 MB and 0.2 s: only where it is used
    from bot.storage.s3_files import S3Files

    target = cache_folder / hashlib.sha256(repr(source).encode()).hexdigest()[:16] / source.name
    if not target.exists():
        bucket, _, key = source.address.removeprefix("s3://").partition("/")
        try:
            same = S3Files(bucket).fetch_listed(key, source.identity.removeprefix("etag:"), target)
        except S3Fault as fault:
            raise CellRefused(f"{source.address}: {fault}. Start the sweep again: it goes on") from None
        if not same:
            raise CellRefused(f"{source.address}: has changed since the sweep began. Start it again")
    return target


def _row(cell: Cell, days: Sequence[RecordedDay], outcomes: Sequence[Outcome]) -> Row:
    trial = cell.trial
    found = figures(outcomes, trial.threshold or 0.0, trial.rel_diff)
    for name in ("net_per_trade", "threshold", "rel_diff"):
        del found[name]
    return {
        "key": cell.key,
        "setting": cell.setting,
        "file": cell.source.name,
        "data": cell.source.identity,
        "days": [day.day.isoformat() for day in days],
        **asdict(trial),
        **found,
        "in_sample": any(outcome.in_sample or False for outcome in outcomes),
        "notes": [note for outcome in outcomes for note in outcome.notes],
        "nets": [round(trip.net / 100, 2) for outcome in outcomes for trip in outcome.trips],
        "bars": [net for pair in zip(days, outcomes, strict=True) for net in _bars(*pair)],
    }


def _bars(day: RecordedDay, outcome: Outcome) -> list[float]:
    """Realized net of each quarter of an hour of the recording, rupees: their sum is the day's net. As many
    for every setting, whether it trades or not, so that their Sharpe ratios can be compared.
    """
    session = Session.on(day.day)
    first = max(day.ticks[0].at, session.open_at)
    seconds = (min(day.ticks[-1].at, session.close_at) - first) / SECOND
    bars = [0] * max(1, -int(-seconds // BAR_SECONDS))
    for fill in outcome.fills:
        number = int((fill.at - first) / SECOND // BAR_SECONDS)
        bars[min(max(number, 0), len(bars) - 1)] += fill.realized_pnl_net
    return [net / 100 for net in bars]


# ---- several together -------------------------------------------------------------------------------------

_SUMS: Final = (
    *("ticks", "seconds", "trades", "gross_points", "gross_rupees", "charges_rupees", "spread_rupees"),
    *("net_rupees", "stops", "flattens", "unclosed"),
)


def together(rows: Sequence[Mapping[str, Any]]) -> Row:
    """One setting over all files: `rows` are its cells, in the order of the files."""
    nets = [net for row in rows for net in row["nets"]]
    mean, low, high = block_bootstrap(nets)
    first = rows[0]
    return {
        **{name: first[name] for name in ("setting", *Trial.__dataclass_fields__)},
        "files": len(rows),
        **{name: round(sum(row[name] for row in rows), 4) for name in _SUMS},
        "net_per_trade": _rounded(mean),
        "net_per_trade_low": _rounded(low),
        "net_per_trade_high": _rounded(high),
        "hit_rate_net": round(sum(net > 0 for net in nets) / len(nets), 4) if nets else None,
        "spread": "quoted" if all(row["spread"] == "quoted" for row in rows) else "assumed",
        "model": first["model"],
        "in_sample_files": sum(row["in_sample"] for row in rows),
    }


def bars_of(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """The observations of one setting over all files."""
    return [bar for row in rows for bar in row["bars"]]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
