"""`bot train`: tick files → models with a passport, judged on files and days they never saw.

TensorFlow is imported by `network`, late: the runtime that serves the bot can't live in one process with it
(their native libraries clash), so what is written is proved in a child process that only knows the bot.
"""

import hashlib
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bot.core.forecast import Forecaster, RelDiff, Window
from bot.core.units import SECOND
from bot.research.dataset import HORIZON_TICKS, RISE_BPS, Floats, Tape, load
from bot.research.evaluate import LEAKAGE_AUC, Judged, Scores, score
from bot.storage.model import (
    FEATURE_ORDER,
    MODEL_FILE,
    PASSPORT_FILE,
    TOLERANCE_MAX,
    WINDOW_SHAPE,
    Passport,
    classifier_of,
    load_model,
)

THRESHOLD: Final = 0.63
PARITY_MAX: Final = 1e-6  # served against trained
PARITY_WINDOWS: Final = 4000
GOLDEN_SEED: Final = 20251215
LABEL: Final = (
    f"max of the next {HORIZON_TICKS} ltp >= ltp + {RISE_BPS:g} bps, same session, no reset between"
)

Say = Callable[[str, int, int], None]  # what is done, step, of how many


class TrainingFailed(Exception):
    """Why nothing was written, and what to do. Shown to people as it stands."""


class Trained(NamedTuple):
    """What was written, and the figures: `left_out` is "file" or "day"; each maps names to Scores."""

    passport: Passport
    by_file: dict[str, Scores]
    by_day: dict[str, Scores]


def main(files: Sequence[Path], out: Path, seed: int = 1) -> Trained:
    """`bot train`: train, judge, write, print. Raises TickFileError, TrainingFailed, ModelRefused."""
    console = Console(width=max(Console().width, 120))
    columns = (TextColumn("{task.description:42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def say(what: str, step: int, steps: int) -> None:
            bar.update(task, description=what, completed=step, total=steps)

        trained = train(files, out, seed, say)
    _print(console, trained, out)
    return trained


def train(files: Sequence[Path], out_dir: Path, seed: int, progress: Say) -> Trained:
    """Write `trade_classifier.tflite` and `passport.json` into `out_dir`; nothing when anything fails."""
    try:
        from bot.research import network
    except ImportError as error:
        raise TrainingFailed(
            f"Training needs TensorFlow, which is not installed here ({error}). "
            "Run `make train-env`, then `.venv-train/bin/bot train …`."
        ) from error
    tapes: list[Tape] = []
    for step, file in enumerate(files):
        progress(f"reading {file.name[:33]}", step, len(files))
        tapes.extend(load(file))
    if not tapes:
        raise TrainingFailed("No file holds a session long enough to train on (100 ticks and a horizon).")
    folds = _folds(tapes)
    judged: dict[frozenset[int], list[Judged]] = {}
    for step, left_out in enumerate(folds):
        progress(f"leaving out {tapes[min(left_out)].name[:30]}", step, len(folds) + 2)
        taught = network.fit([tapes[i] for i in _others(tapes, left_out)], seed)
        judged[left_out] = [
            Judged(_name(tapes, i), network.probabilities(taught, tapes[i].windows), tapes[i].rises)
            for i in sorted(left_out)
        ]
    progress("training on everything", len(folds), len(folds) + 2)
    model = network.fit(tapes, seed)
    content = network.to_tflite(model)
    progress("proving what was written", len(folds) + 1, len(folds) + 2)
    windows = np.concatenate([tape.windows for tape in tapes])
    windows = windows[np.linspace(0, len(windows) - 1, PARITY_WINDOWS, dtype=np.int64)]
    golden = golden_windows()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
        served = child.submit(_served, content, np.concatenate([windows, golden])).result()
        worst = float(np.abs(served[: len(windows)] - network.probabilities(model, windows)).max())
        if not worst <= PARITY_MAX:  # NaN is worse than anything
            raise TrainingFailed(f"The written model differs from the trained one by {worst:g}. Not written.")
        by_file = _scores(judged, _groups(tapes, by_day=False), seed)
        by_day = _scores(judged, _groups(tapes, by_day=True), seed)
        passport = Passport(
            sha256=hashlib.sha256(content).hexdigest(),
            features=FEATURE_ORDER,
            window_shape=WINDOW_SHAPE,
            rel_diff=RelDiff.PRICE_MINUS_ESTIMATE,
            threshold=THRESHOLD,
            label=LABEL,
            trained_on=tuple(_origin(tape, files) for tape in tapes),
            created_by=_provenance(files, seed),
            figures={
                "parity_max": worst,
                "bytes": len(content),
                "leave_file_out": {name: scores.to_dict() for name, scores in by_file.items()},
                "leave_day_out": {name: scores.to_dict() for name, scores in by_day.items()},
            },
            reference=_reference(network.probabilities(model, np.concatenate([t.windows for t in tapes]))),
            golden_windows=golden,
            golden_probabilities=served[len(windows) :],
            tolerance=TOLERANCE_MAX,
        )
        _write(out_dir / MODEL_FILE, content)
        _write(out_dir / PASSPORT_FILE, passport.to_json().encode())
        child.submit(_prove, out_dir).result()
    progress("done", len(folds) + 2, len(folds) + 2)
    return Trained(passport, by_file, by_day)


def golden_windows() -> Floats:
    """25 windows of made-up ticks: cheap and dear options, quiet and wild, and one that never moves."""
    rng = np.random.default_rng(GOLDEN_SEED)
    kept: list[Window] = []
    for rupees, bps in ((42.0, 60.0), (480.0, 18.0), (910.0, 8.0), (2.5, 0.0)):
        heard: list[Window] = []

        def capture(window: Window, heard: list[Window] = heard) -> float:
            heard.append(window[0].copy())
            return 0.0

        forecaster, price = Forecaster(capture), rupees
        for second in range(260):
            price *= 1 + rng.standard_t(5) * bps / 1e4 * (rng.random() < 0.7)
            forecaster.hear(second * SECOND, round(price * 20) * 5)
        kept.extend(heard[20::18][: 8 if bps else 1])
    return np.stack(kept)


# --- folds ----------------------------------------------------------------------------------------------


def _groups(tapes: Sequence[Tape], *, by_day: bool) -> list[frozenset[int]]:
    keys = [tape.day if by_day else tape.file for tape in tapes]
    return [frozenset(i for i, k in enumerate(keys) if k == key) for key in dict.fromkeys(keys)]


def _others(tapes: Sequence[Tape], left_out: frozenset[int]) -> list[int]:
    """What may teach a fold: nothing of the same instrument on the same day, whichever file it came in."""
    known = {(tapes[i].instrument, tapes[i].day) for i in left_out}
    return [i for i, tape in enumerate(tapes) if (tape.instrument, tape.day) not in known]


def _folds(tapes: Sequence[Tape]) -> list[frozenset[int]]:
    """Every file left out once and every day left out once; a fold that is both is trained once."""
    groups = [*_groups(tapes, by_day=False), *_groups(tapes, by_day=True)]
    return [group for group in dict.fromkeys(groups) if _others(tapes, group)]


def _name(tapes: Sequence[Tape], i: int) -> str:
    alone = sum(tape.name == tapes[i].name for tape in tapes) == 1
    return tapes[i].name if alone else f"{tapes[i].name} {tapes[i].instrument} {tapes[i].day}"


def _scores(
    judged: dict[frozenset[int], list[Judged]], groups: Sequence[frozenset[int]], seed: int
) -> dict[str, Scores]:
    """One row a tape and one for all together; empty when nothing could be left out."""
    tapes = [tape for group in groups for tape in judged.get(group, [])]
    rows = {tape.name: score([tape], THRESHOLD, seed) for tape in tapes}
    return {**rows, "pooled": score(tapes, THRESHOLD, seed)} if rows else {}


# --- in a child process, without TensorFlow --------------------------------------------------------------


def _served(content: bytes, windows: Floats) -> Floats:
    """What the bot's own runtime answers to a sequence of different windows."""
    classifier, _ = classifier_of(content, Path(MODEL_FILE))
    return np.array([classifier(window[np.newaxis]) for window in windows], dtype=np.float32)


def _prove(folder: Path) -> None:
    load_model(folder, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)


# --- the passport's parts --------------------------------------------------------------------------------


def _origin(tape: Tape, files: Sequence[Path]) -> dict[str, Any]:
    file = next(file for file in files if file.name == tape.file)
    return {
        "file": tape.file,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "instrument": tape.instrument,
        "day": tape.day,
        "ticks": len(tape.ticks),
        "windows": len(tape.rises),
        "base_rate": round(float(tape.rises.mean()), 6),
    }


def _provenance(files: Sequence[Path], seed: int) -> dict[str, Any]:
    names = " ".join(file.name for file in files)
    return {
        "command": f"bot train {names} --out DIR --seed {seed}",
        "seed": seed,
        **{package: _version(package) for package in ("tensorflow", "keras", "numpy", "tflite-runtime")},
    }


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def _reference(p: Floats) -> dict[str, Any]:
    """Deciles of the probabilities on what it was trained on: what drift is measured against."""
    deciles = np.quantile(p.astype(np.float64), np.linspace(0, 1, 11))
    return {"windows": len(p), "probability_deciles": [round(float(d), 6) for d in deciles]}


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(file.name + ".part")
    draft.write_bytes(content)
    draft.replace(file)


def _print(console: Console, trained: Trained, out: Path) -> None:
    tables = (("leave one file out", trained.by_file), ("leave one day out", trained.by_day))
    for title, rows in tables:
        if not rows:
            console.print(f"{title}: nothing could be left out, so there is no honest figure.")
            continue
        table = Table(
            title=f"{title}, threshold {THRESHOLD}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False
        )
        for head in (
            "tape",
            "windows",
            "base",
            "AUC",
            "95 %",
            "Brier skill",
            "ECE",
            "coverage",
            "precision",
            "lift",
        ):
            table.add_column(head, justify="left" if head == "tape" else "right", no_wrap=True)
        for name, s in rows.items():
            table.add_row(name, *_cells(s), style="bold" if name == "pooled" else "")
        console.print(table)
        if (auc := rows["pooled"].auc) > LEAKAGE_AUC:
            console.print(f"[bold red]AUC {auc:.3f} on such data is a leak until proved otherwise.[/]")
    passport = trained.passport
    console.print(
        f"{out / MODEL_FILE}: {passport.figures['bytes']} bytes, sha256 {passport.sha256}; served against "
        f"trained: {passport.figures['parity_max']:.1e} on {PARITY_WINDOWS} windows; "
        f"{len(passport.golden_probabilities)} golden rows."
    )
    console.print("These figures are about a label before costs. They are not money: see models/README.md.")


def _cells(s: Scores) -> list[str]:
    return [
        f"{s.n:,}",
        f"{s.base_rate:.3f}",
        f"{s.auc:.3f}",
        f"{s.auc_low:.3f}–{s.auc_high:.3f}",
        f"{s.brier_skill:+.3f}",
        f"{s.ece:.3f}",
        f"{s.coverage:.2%}",
        "–" if s.precision is None else f"{s.precision:.3f}",
        "–" if s.lift is None else f"{s.lift:.2f}",
    ]
