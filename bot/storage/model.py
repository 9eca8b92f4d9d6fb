"""A TFLite file and its passport → the classifier, or a refusal in words.

A model that is not exactly what its passport says could trade on nonsense without an error (a converted file
without weights answers NaN, a flipped sign answers plausibly): so it proves itself on golden rows at every
start. This file must never import TensorFlow, and never knows a strategy.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from bot.core.forecast import FEATURES, WINDOW_TICKS, Classifier, RelDiff, Window

MODEL_FILE: Final = "trade_classifier.tflite"
SHIPPED: Final = Path(__file__).parents[2] / "models" / MODEL_FILE  # the one that came along
PASSPORT_FILE: Final = "passport.json"
FORMAT: Final = 1
WINDOW_SHAPE: Final = (1, WINDOW_TICKS, FEATURES)
FEATURE_ORDER: Final = ("price", "velocity", "rel_diff")
GOLDEN_ROWS_MIN: Final = 20
TOLERANCE_MAX: Final = 1e-5  # between runtimes; a passport may ask for less, never for more

_RESTORE: Final = (
    "Restore the model's folder from the release it came with, or train anew with `bot train`; "
    "`[model] path` in bot.toml names the file."
)

Floats: TypeAlias = npt.NDArray[np.float32]


class ModelRefused(Exception):
    """Why this model may not decide, and what to do. Shown to people as it stands."""


@dataclass(frozen=True, slots=True, eq=False)
class Passport:
    """What a model claims to be. `golden_windows` float32 [n, 10, 3] → `golden_probabilities` float32 [n]."""

    sha256: str  # of the .tflite file
    features: tuple[str, ...]  # the order in a row of the window, oldest row first
    window_shape: tuple[int, ...]
    rel_diff: RelDiff
    threshold: float
    label: str
    trained_on: tuple[Mapping[str, Any], ...]
    created_by: Mapping[str, Any]
    figures: Mapping[str, Any]
    reference: Mapping[str, Any]  # what the training files looked like: for drift, and the model's range
    golden_windows: Floats
    golden_probabilities: Floats
    tolerance: float

    def to_json(self) -> str:
        """The passport's file, a key a line. Floats are the shortest text that gives the same float32."""
        body = {
            "format": FORMAT,
            "model": {"file": MODEL_FILE, "sha256": self.sha256},
            "window": {"shape": self.window_shape, "dtype": "float32", "features": self.features},
            "rel_diff": self.rel_diff,
            "threshold": self.threshold,
            "label": self.label,
            "trained_on": self.trained_on,
            "created_by": self.created_by,
            "figures": self.figures,
            "reference": self.reference,
            "golden": {
                "tolerance": self.tolerance,
                "probabilities": [_short(p) for p in self.golden_probabilities],
                "windows": [[[_short(x) for x in row] for row in window] for window in self.golden_windows],
            },
        }
        lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in body.items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @property
    def taught_bps(self) -> tuple[float, float] | None:
        """The wildness of the calmest and the wildest stretch it was taught (core/model_range.py)."""
        stated = self.reference.get("rel_diff_rms_bps")
        return None if stated is None else (float(stated[0]), float(stated[1]))

    @staticmethod
    def from_json(text: str) -> "Passport":
        """Raises KeyError, TypeError or ValueError for a text that is no passport of this format."""
        body = json.loads(text)
        if body["format"] != FORMAT:
            raise ValueError(f"format {body['format']} where this version reads {FORMAT}")
        window, golden = body["window"], body["golden"]
        if window["dtype"] != "float32":
            raise ValueError(f"dtype {window['dtype']}")
        passport = Passport(
            sha256=str(body["model"]["sha256"]),
            features=tuple(map(str, window["features"])),
            window_shape=tuple(map(int, window["shape"])),
            rel_diff=RelDiff(body["rel_diff"]),
            threshold=float(body["threshold"]),
            label=str(body["label"]),
            trained_on=tuple(body["trained_on"]),
            created_by=dict(body["created_by"]),
            figures=dict(body["figures"]),
            reference=dict(body["reference"]),
            golden_windows=np.array(golden["windows"], dtype=np.float32),
            golden_probabilities=np.array(golden["probabilities"], dtype=np.float32),
            tolerance=float(golden["tolerance"]),
        )
        rows = len(passport.golden_probabilities)
        if passport.golden_windows.shape != (rows, *WINDOW_SHAPE[1:]) or rows < GOLDEN_ROWS_MIN:
            raise ValueError(f"golden rows of shape {passport.golden_windows.shape} for {rows} probabilities")
        if not 0 < passport.threshold < 1 or not 0 < passport.tolerance <= TOLERANCE_MAX:
            raise ValueError(f"threshold {passport.threshold}, tolerance {passport.tolerance}")
        passport.taught_bps  # noqa: B018  two numbers, or none
        if (
            not np.isfinite(passport.golden_windows).all()
            or not np.isfinite(passport.golden_probabilities).all()
        ):
            raise ValueError("golden rows that are not finite")
        return passport


class LoadedModel(NamedTuple):
    """`classifier` maps a window float32 [1, 10, 3] to a probability; not for several threads at once."""

    classifier: Classifier
    passport: Passport
    runtime: str  # which TFLite runtime serves it


def load_model(path: Path, *, rel_diff: RelDiff | None) -> LoadedModel:
    """The model in `path` (the .tflite file or its folder), proven against `passport.json` beside it.

    `rel_diff` is the sign the bot will serve; None: whichever the passport says. Raises ModelRefused with a
    sentence for the trader.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    content = _read(file, "model")
    passport = _passport(file.with_name(PASSPORT_FILE))
    _check_interface(file, passport, rel_diff)
    if hashlib.sha256(content).hexdigest() != passport.sha256:
        # Before the runtime sees a byte: it crashes the process on some damaged files.
        _refuse(
            file, "is not the file its passport describes (sha256 differs): it is damaged or was replaced"
        )
    classifier, runtime = classifier_of(content, file)
    for window, expected in zip(passport.golden_windows, passport.golden_probabilities, strict=True):
        answer = classifier(window[np.newaxis])
        if not math.isfinite(answer) or abs(answer - float(expected)) > passport.tolerance:
            _refuse(
                file,
                f"does not give its golden rows on {runtime}: {answer:.6f}, not {expected:.6f}",
            )
    return LoadedModel(classifier, passport, runtime)


def _refuse(file: Path, problem: str, cause: Exception | None = None) -> NoReturn:
    raise ModelRefused(f"The model {file} {problem}. {_RESTORE}") from cause


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise ModelRefused(f"There is no {what} at {file}. {_RESTORE}") from None
    except OSError as error:
        raise ModelRefused(f"The {what} {file} can't be read ({error.strerror}). {_RESTORE}") from error


def _passport(file: Path) -> Passport:
    try:
        return Passport.from_json(_read(file, "passport").decode())
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ModelRefused(f"The passport {file} can't be used: {reason}. {_RESTORE}") from error


def _check_interface(file: Path, passport: Passport, rel_diff: RelDiff | None) -> None:
    if passport.features != FEATURE_ORDER or passport.window_shape != WINDOW_SHAPE:
        _refuse(
            file,
            f"wants windows of {list(passport.window_shape)} × {list(passport.features)}; "
            f"the bot serves {list(WINDOW_SHAPE)} × {list(FEATURE_ORDER)}",
        )
    if rel_diff is not None and passport.rel_diff is not rel_diff:
        raise ModelRefused(
            f"The model {file} was trained with rel_diff = {passport.rel_diff}, the setting says {rel_diff}: "
            f"its probabilities would mean the opposite. Set `[strategy] rel_diff` to {passport.rel_diff}, "
            "or give a model trained with the other sign."
        )


def classifier_of(content: bytes, file: Path) -> tuple[Classifier, str]:
    """(classifier, the runtime's name) of a TFLite file's bytes, interface checked. Raises ModelRefused."""
    interpreter, runtime = interpreter_of(content, file)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or tuple(inputs[0]["shape"]) != WINDOW_SHAPE or inputs[0]["dtype"] is not np.float32:
        found = [f"{np.dtype(i['dtype']).name}{[int(n) for n in i['shape']]}" for i in inputs]
        _refuse(file, f"takes {' and '.join(found)}; the bot serves float32{list(WINDOW_SHAPE)}")
    if len(outputs) != 1 or math.prod(outputs[0]["shape"]) != 1 or outputs[0]["dtype"] is not np.float32:
        found = [f"{np.dtype(o['dtype']).name}{[int(n) for n in o['shape']]}" for o in outputs]
        _refuse(file, f"answers {' and '.join(found)}; the bot reads one float32")
    try:
        with _native_stderr_silenced():  # the runtime greets every start with a line about its delegate
            interpreter.allocate_tensors()
    except RuntimeError as error:
        _refuse(file, f"can't be prepared by {runtime} ({error})", error)
    return _fast(interpreter, inputs[0]["index"], outputs[0]["index"]), runtime


def interpreter_of(content: bytes, file: Path) -> tuple[Any, str]:
    """(interpreter, the runtime's name); tensors are not allocated yet. Raises ModelRefused."""
    try:
        # Frozen in time, and the smallest: has wheels up to Python 3.11.
        from tflite_runtime.interpreter import Interpreter

        runtime = "tflite-runtime"
    except ImportError:
        try:
            from ai_edge_litert.interpreter import Interpreter  # its successor, same interface

            runtime = "ai-edge-litert"
        except ImportError as error:
            raise ModelRefused(
                "No TFLite runtime is installed, so no model can be read. Run `make env`."
            ) from error
    try:
        return Interpreter(model_content=content, num_threads=1), runtime
    except (RuntimeError, ValueError) as error:
        _refuse(file, f"is no model {runtime} can read ({error})", error)


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """What native code writes to file descriptor 2 goes nowhere; what fails still comes as an exception."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a file
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _fast(interpreter: Any, input_index: int, output_index: int) -> Classifier:
    """0.6 µs over the bare invoke, against 2.1 µs through `set_tensor` and `get_tensor`.

    The runtime's own `invoke` refuses while views of its tensors exist, because a resize would leave them
    dangling. Shapes are fixed here and nothing resizes: the views stay good for the interpreter's life.
    """
    window_in = interpreter.tensor(input_index)()
    value_out = memoryview(interpreter.tensor(output_index)()).cast("B").cast("f")
    invoke: Callable[[], None] = interpreter._interpreter.Invoke  # noqa: SLF001 — see above

    # The weights lie in the file's bytes, which only the interpreter object keeps alive: without it they are
    # freed, and the answers turn to NaN some time later. A default argument holds it as long as the function.
    def classify(window: Window, _keeps_the_weights: Any = interpreter) -> float:
        window_in[...] = window
        invoke()
        probability: float = value_out[0]
        return probability

    return classify


def _short(value: np.float32) -> float:
    """The double whose shortest text is the float32's."""
    return float(str(value))
