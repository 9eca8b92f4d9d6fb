"""`bot report`: the pages of traded days, out of the archive's files. Reads, and writes one HTML file."""

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from re import fullmatch
from typing import TypeAlias

from rich.console import Console

from bot.core.commands import Alert, RecordFill
from bot.core.events import Tick
from bot.core.forecast import Classifier, Forecaster, RelDiff
from bot.core.session import Session
from bot.core.units import InstrumentKey
from bot.research.day_report import Line, TradedDay, write_days
from bot.research.duel import compared
from bot.research.taped import read_taped
from bot.storage import records
from bot.storage.journal import JournalRefused, journal_path, read_journal
from bot.storage.model import LoadedModel, ModelRefused, load_model
from bot.storage.tape import TapeRefused, tapes_of
from bot.storage.tick_source import TickFileError

_JOURNAL = "journal-????-??-??.sqlite"


class ReportRefused(Exception):
    """`problems` say what a person must mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


Models: TypeAlias = tuple[Path, Path | None]  # the day's own, and one that challenges it


def run_report(what: str, archive: Path, out: Path | None, models: Models, console: Console) -> int:
    """`what`: a day (2026-09-16), a week (2026-W38), or a folder holding days. Raises ReportRefused."""
    found = _days(what, archive)
    days = []
    with console.status("reading") as status:
        for number, (day, folder) in enumerate(found, 1):
            status.update(f"reading {day} ({number} of {len(found)})")
            days.append(read_day(folder, day, models))
    path = out or _beside(found, what)
    title = f"Traded day {found[0][0]}" if len(found) == 1 else f"{len(found)} traded days · {what}"
    write_days(path, title, days)
    console.print(f"[bold]{path}[/bold]", highlight=False, soft_wrap=True)
    return 0


def _beside(found: list[tuple[date, Path]], what: str) -> Path:
    if len(found) == 1:
        return found[0][1] / f"report-{found[0][0]}.html"
    return Path(f"report-{what.strip('/').replace('/', '-') or 'days'}.html")


def _days(what: str, archive: Path) -> list[tuple[date, Path]]:
    """(day, folder with its files), in order."""
    if Path(what).is_dir():
        found = _in(Path(what))
        if not found:
            raise ReportRefused([f"{what}: holds no day's journal ({_JOURNAL}), nor does any folder in it"])
        return found
    week = fullmatch(r"(\d{4})-W(\d{1,2})", what)
    try:
        if week:
            wanted = {date.fromisocalendar(int(week[1]), int(week[2]), weekday) for weekday in range(1, 8)}
        else:
            wanted = {date.fromisoformat(what)}
    except ValueError:
        raise ReportRefused([f"{what}: no folder, no day (2026-09-16), no week (2026-W38)"]) from None
    found = [row for row in _in(archive) if row[0] in wanted]
    if not found:
        raise ReportRefused(
            [f"{what}: not in {archive}. Name its folder with --archive (copy days out of S3 first)"]
        )
    return found


def _in(folder: Path) -> list[tuple[date, Path]]:
    found = {
        date.fromisoformat(path.stem.removeprefix("journal-")): path.parent
        for path in sorted(folder.rglob(_JOURNAL))
    }
    return sorted(found.items())


def read_day(folder: Path, day: date, models: Models) -> TradedDay:
    """A day's folder. What is missing there is said in the page, not refused; a damaged journal is."""
    try:
        kept = read_journal(journal_path(folder, day))
        items = [
            records.decode(record.kind, record.body) for record in kept if record.kind not in records.MARKS
        ]
    except JournalRefused as refused:
        raise ReportRefused([str(refused)]) from None
    end = records.ended(kept)
    facts = [
        ("starts of the process", str(len(records.boots(kept)))),
        ("the day's end", f"exit code {end.exit_code}" if end else "never reached: the bot was stopped"),
        ("replay", _certificate(folder / f"certificate-{day.isoformat()}.json")),
    ]
    fills = tuple(item for item in items if isinstance(item, RecordFill))
    alerts = tuple(item for item in items if isinstance(item, Alert))
    made = TradedDay(day, f"from {folder}", fills, facts=facts, alerts=alerts)
    tapes = tapes_of(folder, day)
    if not tapes:
        facts.append(("tape", "none: no price is shown"))
        return made
    try:
        taped = read_taped(tapes)
    except (TapeRefused, TickFileError) as refused:
        facts.append(("tape", str(refused)))
        return made
    if taped.facts.get("synthetic"):
        made.title = f"synthetic market, seed {taped.facts.get('seed')} · {made.title}"
    made.exchanges = {contract.key: contract.exchange for contract in taped.contracts}
    kept_model = _model_of(folder, day)
    facts.append(("model", kept_model or "not known"))
    champion = _champion(models[0], kept_model)
    classifier: Classifier = champion.classifier if champion else lambda _: 0.0
    made.threshold = champion.passport.threshold if champion else None
    made.lines = lines_of(taped.ticks, Session.on(day), classifier)
    if models[1] is not None:
        own = [("champion", champion)] if champion else []
        made.models = compared(taped.ticks, day, [*own, ("challenger", _challenger(models[1]))])
    return made


def lines_of(ticks: Iterable[Tick], session: Session, classifier: Classifier) -> dict[InstrumentKey, Line]:
    """The filter's path over a day's ticks, by instrument."""
    forecasters: dict[InstrumentKey, Forecaster] = {}
    lines: dict[InstrumentKey, tuple[list[int], list[float], list[float], list[float]]] = {}
    for tick in ticks:
        if not session.open_at <= tick.at < session.close_at:
            continue
        key = tick.instrument
        if key not in forecasters:
            forecasters[key], lines[key] = Forecaster(classifier), ([], [], [], [])
        seen = forecasters[key].hear(tick.at, tick.ltp)
        at, price, estimate, probability = lines[key]
        at.append(tick.at)
        price.append(tick.ltp / 100)
        estimate.append(seen.estimate if seen.tick > 10 else tick.ltp / 100)
        if seen.probability is not None:
            probability.append(seen.probability)
    return {key: Line(*line) for key, line in lines.items()}


def _model_of(folder: Path, day: date) -> str:
    from bot.assemble.replay import header_of

    try:
        return str(header_of(tapes_of(folder, day)[0])["model"])
    except (TapeRefused, KeyError, IndexError):
        return ""


def _champion(model: Path, kept_model: str) -> LoadedModel | None:
    """The day's model where it is the one at hand; else none, and no probabilities are shown."""
    try:
        loaded = load_model(model, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)
    except ModelRefused:
        return None
    return loaded if kept_model and loaded.passport.sha256.startswith(kept_model) else None


def _challenger(model: Path) -> LoadedModel:
    """Of either sign."""
    try:
        return load_model(model, rel_diff=None)
    except ModelRefused as refused:
        raise ReportRefused([f"--challenger: {refused}"]) from None


def _certificate(path: Path) -> str:
    if not path.exists():
        return "no certificate"
    certificates = json.loads(path.read_text())
    return "; ".join(
        f"{one['tape']}: {'identical' if one['identical'] else 'DIFFERENT'}, {one['turns']:,} turns, "
        f"decisions {one['decisions_sha256'][:12]}"
        for one in certificates
    )
