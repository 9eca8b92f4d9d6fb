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
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bot.core.forecast import RelDiff
from bot.core.model_range import LOOKS
from bot.research.card import card
from bot.research.dataset import HORIZON_TICKS, RISE_BPS, Floats, Tape, golden_windows, load
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
CARD_FILE: Final = "README.md"
LABEL: Final = (
    f"max of the next {HORIZON_TICKS} ltp >= ltp + {RISE_BPS:g} bps, same session, no reset between"
)

Fold: TypeAlias = frozenset[int]  # places in the list of tapes
Say: TypeAlias = Callable[[str, int, int], None]  # what is done, step, of how many


class TrainingFailed(Exception):
    """Why nothing was written, and what to do. Shown to people as it stands."""


class Trained(NamedTuple):
    """What was written, and the figures: `left_out` is "file" or "day"; each maps names to Scores."""

    passport: Passport
    by_file: dict[str, Scores]
    by_day: dict[str, Scores]


def main(files: Sequence[Path], out: Path, seed: int = 1) -> Trained:
    """`bot train`: train, judge, write, print. Raises TickFileError, TrainingFailed, ModelRefused."""
    console = Console()
    columns = (TextColumn("{task.description:42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def say(what: str, step: int, steps: int) -> None:
            bar.update(task, description=what, completed=step, total=steps)

        trained = train(files, out, seed, say)
    console.print(card(trained.passport), markup=False, highlight=False, soft_wrap=True)
    if trained.by_file and (auc := trained.by_file["pooled"].auc) > LEAKAGE_AUC:
        console.print(f"[bold red]AUC {auc:.3f} on such data is a leak until proved otherwise.[/]")
    console.print(
        f"Written to {out}: {MODEL_FILE}, {PASSPORT_FILE}, {CARD_FILE}.", highlight=False, soft_wrap=True
    )
    return trained


def train(files: Sequence[Path], out_dir: Path, seed: int, progress: Say) -> Trained:
    """Write the model, its passport and its card into `out_dir`; nothing when anything fails."""
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
    steps = len(folds) + 2
    judged: dict[Fold, list[Judged]] = {}
    for step, left_out in enumerate(folds):
        progress(f"leaving out {tapes[min(left_out)].name[:29]}", step, steps)
        taught = network.fit([tapes[i] for i in _others(tapes, left_out)], seed)
        judged[left_out] = [
            Judged(_name(tapes, i), network.probabilities(taught, tapes[i].windows), tapes[i].rises)
            for i in sorted(left_out)
        ]
    by_file = _scores(judged, _groups(tapes, by_day=False), seed)
    by_day = _scores(judged, _groups(tapes, by_day=True), seed)
    progress("training on everything", steps - 2, steps)
    model = network.fit(tapes, seed)
    content = network.to_tflite(model)
    progress("proving what is written", steps - 1, steps)
    figures = {
        "bytes": len(content),
        "leave_file_out": {name: scores.to_dict() for name, scores in by_file.items()},
        "leave_day_out": {name: scores.to_dict() for name, scores in by_day.items()},
    }
    windows = np.concatenate([tape.windows for tape in tapes])
    origins = tuple(_origin(tape, files) for tape in tapes)
    answers = network.probabilities(model, windows)
    reference = _reference(answers, tapes)
    passport = _proven(content, windows, answers, origins, figures, reference, _provenance(files, seed))
    _write(out_dir, content, passport)
    progress("done", steps, steps)
    return Trained(passport, by_file, by_day)


def _proven(
    content: bytes,
    windows: Floats,
    answers: Floats,
    origins: tuple[dict[str, Any], ...],
    figures: dict[str, Any],
    reference: dict[str, Any],
    created_by: dict[str, Any],
) -> Passport:
    """The passport of a model whose served answers are the trained ones and that the bot itself accepts."""
    few = np.linspace(0, len(windows) - 1, PARITY_WINDOWS, dtype=np.int64)
    golden = golden_windows()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
        worst = float(np.abs(child.submit(_served, content, windows[few]).result() - answers[few]).max())
        if not worst <= PARITY_MAX:  # NaN is worse than anything
            raise TrainingFailed(
                f"The converted model differs from the trained one by {worst:g}. Not written."
            )
        passport = Passport(
            sha256=hashlib.sha256(content).hexdigest(),
            features=FEATURE_ORDER,
            window_shape=WINDOW_SHAPE,
            rel_diff=RelDiff.PRICE_MINUS_ESTIMATE,
            threshold=THRESHOLD,
            label=LABEL,
            trained_on=origins,
            created_by=created_by,
            figures={**figures, "parity_max": worst},
            reference=reference,
            golden_windows=golden,
            golden_probabilities=child.submit(_served, content, golden).result(),
            tolerance=TOLERANCE_MAX,
        )
        with TemporaryDirectory() as draft:
            _write(Path(draft), content, passport)
            child.submit(_prove, Path(draft)).result()
    return passport


# --- folds ----------------------------------------------------------------------------------------------


def _groups(tapes: Sequence[Tape], *, by_day: bool) -> list[Fold]:
    keys = [tape.day if by_day else tape.file for tape in tapes]
    return [Fold(i for i, k in enumerate(keys) if k == key) for key in dict.fromkeys(keys)]


def _others(tapes: Sequence[Tape], left_out: Fold) -> list[int]:
    """What may teach a fold: nothing of the same instrument on the same day, whichever file it came in."""
    known = {(tapes[i].instrument, tapes[i].day) for i in left_out}
    return [i for i, tape in enumerate(tapes) if (tape.instrument, tape.day) not in known]


def _folds(tapes: Sequence[Tape]) -> list[Fold]:
    """Every file left out once and every day left out once; a fold that is both is trained once."""
    groups = [*_groups(tapes, by_day=False), *_groups(tapes, by_day=True)]
    return [group for group in dict.fromkeys(groups) if _others(tapes, group)]


def _name(tapes: Sequence[Tape], i: int) -> str:
    alone = sum(tape.name == tapes[i].name for tape in tapes) == 1
    return tapes[i].name if alone else f"{tapes[i].name} {tapes[i].instrument} {tapes[i].day}"


def _scores(judged: dict[Fold, list[Judged]], groups: Sequence[Fold], seed: int) -> dict[str, Scores]:
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


def _reference(p: Floats, tapes: Sequence[Tape]) -> dict[str, Any]:
    """What it was trained on: deciles that drift is measured against, and the calmest and wildest stretch."""
    rel_diffs = [tape.windows[:, -1, 2].astype(np.float64) for tape in tapes]
    stretches = [each for tape in rel_diffs for each in np.array_split(tape, max(len(tape) // LOOKS, 1))]
    wildness = [float(np.sqrt(np.mean(each * each))) * 1e4 for each in stretches]
    return {
        "windows": len(p),
        "probability_deciles": _deciles(p.astype(np.float64)),
        "rel_diff_deciles": _deciles(np.concatenate(rel_diffs)),
        "rel_diff_rms_bps": [round(min(wildness), 3), round(max(wildness), 3)],
    }


def _deciles(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(edge), 6) for edge in np.quantile(values, np.linspace(0, 1, 11))]


def _write(folder: Path, content: bytes, passport: Passport) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        MODEL_FILE: content,
        PASSPORT_FILE: passport.to_json().encode(),
        CARD_FILE: card(passport).encode(),
    }
    for name, body in files.items():
        (folder / name).write_bytes(body)
