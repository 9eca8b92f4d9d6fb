"""`bot import-model`: a Keras model and a scaler's numbers → a .tflite with a passport, or a refusal.

A model that is imported wrongly answers plausibly: with another scaler, another order of features, another
sign. So what can be proven is proven (served answers equal Keras' own on windows in changing order), and what
can only be suspected is said. A pickle is never opened: it runs whatever its author wrote.
"""

import hashlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

import numpy as np

from bot.core.forecast import FEATURES, RelDiff
from bot.research.dataset import Floats, golden_windows
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

PARITY_MAX: Final = 1e-5
BYTES_MAX: Final = 200_000
INVOKE_P99_MAX_US: Final = 1000.0
SEQUENCE: Final = 600  # windows, each followed by another one
CARD_FILE: Final = "README.md"
PICKLES: Final = (".pkl", ".pickle", ".joblib", ".sav")
KERAS: Final = (".keras", ".h5", ".hdf5")
NUMBERS_OF_A_PICKLE: Final = (
    "a pickle runs whatever its author wrote, so it is never opened here. In the environment that made it: "
    "`import joblib; s = joblib.load('scaler.pkl'); print(*s.mean_, sep=','); print(*s.scale_, sep=',')`, "
    "and give the two lines as --mean and --scale"
)


class ImportRefused(Exception):
    """`problems` say what to do about each cause."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Imported(NamedTuple):
    """`doubts`: what can't be proven and looks wrong. Microseconds."""

    passport: Passport
    bytes: int
    parity: float
    invoke_p99_us: float
    doubts: tuple[str, ...]


def import_model(
    path: Path, mean: str, scale: str, out: Path, rel_diff: RelDiff, threshold: float
) -> Imported:
    """Write model, passport and card into `out`; nothing when anything is refused. Raises ImportRefused."""
    means, scales = _asked(path, mean, scale)
    try:
        from bot.research import keras_import as keras
    except ImportError as error:
        raise ImportRefused(
            [f"TensorFlow is not here ({error}). Run `make train-env`, then use `.venv-train/bin/bot`."]
        ) from error
    try:
        model = keras.opened(path)
    except keras.KerasRefused as refused:
        raise ImportRefused([str(refused)]) from None
    windows = sequence_of(rel_diff)
    scaled = ((windows - np.array(means)) / np.array(scales)).astype(np.float32)
    wanted = keras.answers(model, scaled)
    content = keras.converted(keras.rebuilt(model, means, scales, 1))
    golden = golden_of(rel_diff)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
        served, nanos = child.submit(_served, content, windows).result()
        golden_served, _ = child.submit(_served, content, golden).result()
        parity = float(np.abs(served - wanted).max())
        if problems := _wrong(path, served, wanted, parity):
            raise ImportRefused(problems)
        p99 = float(np.quantile(nanos, 0.99)) / 1000
        passport = Passport(
            sha256=hashlib.sha256(content).hexdigest(),
            features=FEATURE_ORDER,
            window_shape=WINDOW_SHAPE,
            rel_diff=rel_diff,
            threshold=threshold,
            label="unknown: imported from Keras",
            trained_on=(),
            created_by={
                "command": f"bot import-model {path.name} --mean {mean} --scale {scale} "
                f"--rel-diff {rel_diff.value}",
                "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            },
            figures={"bytes": len(content), "parity_max": parity, "invoke_p99_us": round(p99, 1)},
            reference={},  # what it was trained on is not known: drift has nothing to be measured against
            golden_windows=golden,
            golden_probabilities=golden_served,
            tolerance=TOLERANCE_MAX,
        )
        made = Imported(passport, len(content), parity, p99, tuple(_doubts(means, served, len(content), p99)))
        with TemporaryDirectory() as draft:
            _write(Path(draft), content, made)
            child.submit(_prove, Path(draft), rel_diff).result()
    _write(out, content, made)
    return made


def sequence_of(rel_diff: RelDiff) -> Floats:
    """Windows one unlike the next: made-up ticks, at other prices, none twice in a row. [n, 10, 3]"""
    base, rng = golden_of(rel_diff), np.random.default_rng(1)
    picked = base[rng.permutation(np.arange(SEQUENCE) % len(base))].astype(np.float64)
    factor = np.exp(rng.uniform(-1, 1, (SEQUENCE, 1)))
    picked[:, :, 0] *= factor
    picked[:, :, 1] *= factor
    made: Floats = picked.astype(np.float32)
    return made


def golden_of(rel_diff: RelDiff) -> Floats:
    windows: Floats = golden_windows()
    if rel_diff is not RelDiff.PRICE_MINUS_ESTIMATE:
        windows = windows.copy()
        windows[:, :, 2] *= -1
    return windows


def numbers(text: str, name: str) -> tuple[list[float], str]:
    """Three finite numbers out of "a,b,c", and what is wrong with them ("" for nothing)."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        return [], f"{name} {text}: write three numbers, like 512.3,0.02,0.0001 (price, velocity, rel_diff)"
    if len(values) != FEATURES or not np.isfinite(values).all():
        return (
            [],
            f"{name} {text}: three finite numbers are wanted, one for each of {', '.join(FEATURE_ORDER)}",
        )
    return values, ""


def _asked(path: Path, mean: str, scale: str) -> tuple[list[float], list[float]]:
    problems = []
    if path.suffix.lower() in PICKLES:
        problems.append(f"{path}: {NUMBERS_OF_A_PICKLE}")
    elif path.suffix.lower() not in KERAS:
        problems.append(f"{path}: a Keras model is wanted ({', '.join(KERAS)})")
    elif not path.is_file():
        problems.append(f"{path}: there is no such file")
    means, wrong_mean = numbers(mean, "--mean")
    scales, wrong_scale = numbers(scale, "--scale")
    problems += [problem for problem in (wrong_mean, wrong_scale) if problem]
    if scales and min(scales) <= 0:
        problems.append(f"--scale {scale}: a scale is a standard deviation, above zero")
    if problems:
        raise ImportRefused(problems)
    return means, scales


def _wrong(path: Path, served: Floats, wanted: Floats, parity: float) -> list[str]:
    if not (np.isfinite(served).all() and np.isfinite(wanted).all()):
        return [f"{path}: it answers numbers that are not finite. A scale near zero does that."]
    if served.min() < 0 or served.max() > 1:
        span = f"{served.min():.3g} to {served.max():.3g}"
        return [f"{path}: it answers {span}, no probability. Its last layer must be a sigmoid."]
    if float(np.ptp(served)) < 1e-6:
        said = f"{path}: it answers {served[0]:.4f} whatever it sees."
        return [f"{said} Are --mean and --scale those of its scaler?"]
    if not parity <= PARITY_MAX:
        found = f"served answers differ from Keras' by {parity:.2g} (limit {PARITY_MAX:g})"
        return [f"{path}: {found}. Not written."]
    return []


def _doubts(means: Sequence[float], served: Floats, size: int, p99: float) -> list[str]:
    found = []
    if abs(means[0]) <= max(abs(means[1]), abs(means[2])):
        found.append("--mean: the first should be by far the largest: the order is price, velocity, rel_diff")
    edge = float(np.mean((served < 0.01) | (served > 0.99)))
    if edge > 0.5:
        found.append(f"{edge:.0%} of its answers are below 0.01 or above 0.99: is this its own scaler?")
    if size > BYTES_MAX:
        found.append(f"{size:,} bytes: over {BYTES_MAX:,}, it starts and runs slower than it need")
    if p99 > INVOKE_P99_MAX_US:
        found.append(f"one run takes {p99:,.0f} µs (p99), over {INVOKE_P99_MAX_US:,.0f}: decisions come late")
    found.append("it sees absolute prices: at other price levels than it was trained on it guesses")
    return found


# ---- in a child process, without TensorFlow ---------------------------------------------------------------


def _served(content: bytes, windows: Floats) -> tuple[Floats, list[int]]:
    """What the bot's own runtime answers to the sequence, and the nanoseconds of each run."""
    classifier, _ = classifier_of(content, Path(MODEL_FILE))
    said, nanos = [], []
    for window in windows:
        began = perf_counter_ns()
        said.append(classifier(window[np.newaxis]))
        nanos.append(perf_counter_ns() - began)
    return np.array(said, dtype=np.float32), nanos


def _prove(folder: Path, rel_diff: RelDiff) -> None:
    load_model(folder, rel_diff=rel_diff)


def _write(folder: Path, content: bytes, made: Imported) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {
        MODEL_FILE: content,
        PASSPORT_FILE: made.passport.to_json().encode(),
        CARD_FILE: _card(made).encode(),
    }
    for name, body in files.items():
        (folder / name).write_bytes(body)


def _card(made: Imported) -> str:
    doubts = "\n".join(f"* {doubt}." for doubt in made.doubts)
    return f"""\
# An imported classifier

`{MODEL_FILE}` ({made.bytes:,} bytes), by `{made.passport.created_by["command"]}`. Its scaler is inside: it
takes raw windows of 10 × [{", ".join(FEATURE_ORDER)}], rel_diff = {made.passport.rel_diff.value}.
Served answers differ from Keras' own by at most {made.parity:.1e} on {SEQUENCE} windows, none twice in a row.

**Nothing is known of its skill.** Judge it on ticks that did not teach it: `bot evaluate DIR FILES…`.

{doubts}
"""
