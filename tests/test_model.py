"""The shipped classifier: it is what its passport says, or the bot refuses it in words."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bot.core.forecast import Forecaster, RelDiff, Window
from bot.core.units import SECOND
from bot.research.card import card
from bot.research.dataset import golden_windows
from bot.storage.model import LoadedModel, ModelRefused, Passport, load_model

MODELS = Path(__file__).parents[1] / "models"
SIGN = RelDiff.PRICE_MINUS_ESTIMATE


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(MODELS / "trade_classifier.tflite", rel_diff=SIGN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy to damage."""
    for name in ("trade_classifier.tflite", "passport.json"):
        shutil.copy(MODELS / name, tmp_path)
    return tmp_path


def refusal(folder: Path, rel_diff: RelDiff = SIGN) -> str:
    with pytest.raises(ModelRefused) as refused:
        load_model(folder, rel_diff=rel_diff)
    return str(refused.value)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    body = json.loads((folder / "passport.json").read_text())
    change(body)
    (folder / "passport.json").write_text(json.dumps(body))


def replace_model(folder: Path, content: bytes) -> None:
    """Another model with a passport that names it: only its behaviour can give it away."""
    (folder / "trade_classifier.tflite").write_bytes(content)
    rewrite(folder, lambda body: body["model"].update(sha256=hashlib.sha256(content).hexdigest()))


def interpreter_of(content: bytes) -> Any:
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError:
        from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def first_weights(content: bytes) -> bytes:
    """The first dense layer's weights as they stand in the file."""
    interpreter = interpreter_of(content)
    for tensor in interpreter.get_tensor_details():
        if len(tensor["shape"]) == 2 and min(tensor["shape"]) == 32:
            found: bytes = interpreter.get_tensor(tensor["index"]).tobytes()
            if content.count(found) == 1:
                return found
    raise AssertionError("no dense layer in the model")


# --- what it is -----------------------------------------------------------------------------------------


def test_the_golden_rows_are_reproduced_by_the_plain_interface_too(model: LoadedModel) -> None:
    """The classifier takes a short cut through the runtime: the long way answers the same, to the bit."""
    interpreter = interpreter_of((MODELS / "trade_classifier.tflite").read_bytes())
    given, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    passport = model.passport
    assert len(passport.golden_windows) >= 20
    for window, expected in zip(passport.golden_windows, passport.golden_probabilities, strict=True):
        interpreter.set_tensor(given, window[None])
        interpreter.invoke()
        plain = float(interpreter.get_tensor(answer)[0, 0])
        assert model.classifier(window[None]) == plain
        assert plain == pytest.approx(float(expected), abs=1e-5)


def test_the_golden_rows_tell_models_apart(model: LoadedModel) -> None:
    """They are made-up ticks, anyone can make them again, and their answers are spread out."""
    assert np.array_equal(golden_windows(), model.passport.golden_windows)
    assert np.ptp(model.passport.golden_probabilities) > 0.3
    assert len(set(model.passport.golden_probabilities.tolist())) == len(model.passport.golden_windows)


def test_the_golden_rows_catch_a_flipped_sign(model: LoadedModel) -> None:
    flipped = model.passport.golden_windows * np.array([1, 1, -1], dtype=np.float32)
    errors = [
        abs(model.classifier(window[None]) - float(p))
        for window, p in zip(flipped, model.passport.golden_probabilities, strict=True)
    ]
    assert max(errors) > 1000 * model.passport.tolerance


def test_no_state_stays_between_windows(model: LoadedModel) -> None:
    first, second = model.passport.golden_windows[:2]
    before = model.classifier(first[None])
    model.classifier(second[None])
    assert model.classifier(first[None]) == before


def test_the_passport_says_what_the_bot_serves(model: LoadedModel) -> None:
    passport = model.passport
    assert (passport.threshold, passport.rel_diff, passport.window_shape) == (0.63, SIGN, (1, 10, 3))
    assert passport.features == ("price", "velocity", "rel_diff")
    assert Passport.from_json(passport.to_json()).to_json() == passport.to_json()
    text = (MODELS / "passport.json").read_text()
    assert '"/' not in text, "no path of the machine that trained it"
    assert "http" not in text


def test_every_number_of_the_card_is_the_commands(model: LoadedModel) -> None:
    """The card is what the training command writes from the passport, to the letter."""
    assert (MODELS / "README.md").read_text() == card(model.passport)


def test_the_figures_are_those_of_a_weak_filter_and_not_of_a_leak(model: LoadedModel) -> None:
    for left_out in ("leave_file_out", "leave_day_out"):
        pooled = model.passport.figures[left_out]["pooled"]
        assert 0.575 <= pooled["auc"]["low"] <= pooled["auc"]["value"] <= pooled["auc"]["high"] <= 0.66
    assert model.passport.figures["parity_max"] <= 1e-6
    assert (MODELS / "trade_classifier.tflite").stat().st_size <= 200_000


# --- how it behaves -------------------------------------------------------------------------------------


def probabilities(model: LoadedModel, prices: list[int]) -> list[float]:
    forecaster = Forecaster(model.classifier)
    heard = [forecaster.hear(i * SECOND, price).probability for i, price in enumerate(prices)]
    return [p for p in heard if p is not None]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-40, 40), min_size=110, max_size=160), st.sampled_from([0.1, 10, 100]))
def test_the_price_level_does_not_matter(model: LoadedModel, steps: list[int], factor: float) -> None:
    """The same day at ×0.1 … ×100 gets the same probabilities, through filter, rounding and float32."""
    prices = [40_000 + 10 * int(s) for s in np.cumsum(steps)]
    scaled = [round(price * factor) for price in prices]
    pairs = zip(probabilities(model, prices), probabilities(model, scaled), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 2e-3


extremes = [float(np.float32(x)) for x in (0.0, -1.0, 1.0, 3e38, -3e38, 1e-45)]
any_float = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from(extremes)


@settings(deadline=None, max_examples=300)
@given(arrays(np.float32, (1, 10, 3), elements=any_float))
def test_whatever_comes_the_answer_is_a_probability(model: LoadedModel, window: Window) -> None:
    assert 0.0 <= model.classifier(window) <= 1.0


@settings(deadline=None, max_examples=100)
@given(st.floats(1, 5000, width=32), st.floats(-0.25, 0.25, width=32), st.integers(0, 9))
def test_a_jump_anywhere_in_a_still_window_is_survived(
    model: LoadedModel, price: float, jump: float, place: int
) -> None:
    window = np.zeros((1, 10, 3), dtype=np.float32)
    window[0, :, 0] = price
    window[0, place:, 0] *= 1 + jump
    assert 0.0 < model.classifier(window) < 1.0


def test_loading_is_cheap_and_brings_no_heavy_library() -> None:
    """Import to proven model in a fresh process. The whole live stack must fit 96 MB and a second."""
    script = (
        "import sys, time; begun = time.perf_counter()\n"
        "from pathlib import Path\n"
        "from bot.core.forecast import RelDiff\n"
        "from bot.storage.model import load_model\n"
        f"load_model(Path({str(MODELS)!r}), rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "status = Path('/proc/self/status')\n"  # getrusage tells the parent's peak, if larger
        "peak = status.read_text().partition('VmHWM:')[2].split()[0] if status.exists() else 0\n"
        "print(time.perf_counter() - begun, int(peak) / 1024, heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=MODELS.parent
    )
    took, megabytes, heavy = done.stdout.split(maxsplit=2)
    assert float(took) < 1.0
    assert float(megabytes) < 70
    assert heavy.strip() == "set()"


# --- what is refused, and in which words ----------------------------------------------------------------


def test_a_folder_is_as_good_as_the_file(folder: Path) -> None:
    assert load_model(folder, rel_diff=SIGN).passport.threshold == 0.63


def test_a_missing_model_or_passport_is_named(folder: Path) -> None:
    (folder / "passport.json").unlink()
    assert f"There is no passport at {folder / 'passport.json'}" in refusal(folder)
    (folder / "trade_classifier.tflite").unlink()
    assert f"There is no model at {folder / 'trade_classifier.tflite'}" in refusal(folder)
    assert "bot train" in refusal(folder)


@pytest.mark.parametrize("place", [0, 0.5, 0.999])
def test_one_flipped_bit_is_refused_before_the_runtime_sees_it(folder: Path, place: float) -> None:
    content = bytearray((folder / "trade_classifier.tflite").read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / "trade_classifier.tflite").write_bytes(content)
    assert "not the file its passport describes" in refusal(folder)


def test_the_other_sign_is_refused_with_the_setting_to_change(folder: Path) -> None:
    words = refusal(folder, RelDiff.ESTIMATE_MINUS_PRICE)
    assert "trained with rel_diff = price-minus-estimate, the setting says estimate-minus-price" in words
    assert "[strategy] rel_diff" in words


def test_a_passport_of_another_interface_is_refused(folder: Path) -> None:
    rewrite(folder, lambda body: body["window"].update(features=["velocity", "price", "rel_diff"]))
    assert "the bot serves [1, 10, 3] × ['price', 'velocity', 'rel_diff']" in refusal(folder)


def test_a_model_of_another_shape_is_refused(folder: Path) -> None:
    """The passport is right, the file's own input is not."""
    content = (folder / "trade_classifier.tflite").read_bytes()
    shape = np.array([3, 1, 10, 3], dtype="<i4").tobytes()  # a vector of three: how the file keeps it
    assert shape in content
    replace_model(folder, content.replace(shape, np.array([3, 1, 30, 1], dtype="<i4").tobytes()))
    assert "takes float32[1, 30, 1]; the bot serves float32[1, 10, 3]" in refusal(folder)


@pytest.mark.parametrize("value", [0.0, np.nan, 0.1])
def test_a_model_with_other_weights_fails_its_golden_rows(folder: Path, value: float) -> None:
    """A conversion that loses the weights answers NaN, or something plausible, without an error."""
    content = (folder / "trade_classifier.tflite").read_bytes()
    weights = first_weights(content)
    replace_model(folder, content.replace(weights, np.full(len(weights) // 4, value, dtype="<f4").tobytes()))
    assert "does not give its golden rows" in refusal(folder)


def test_a_file_that_is_no_model_is_refused(folder: Path) -> None:
    replace_model(folder, b"not a model at all, whatever its passport says")
    assert "is no model" in refusal(folder)


def _cut(body: dict[str, Any], rows: int) -> None:
    for name in ("windows", "probabilities"):
        body["golden"][name] = body["golden"][name][:rows]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: body.pop("golden"), "it lacks 'golden'"),
        (lambda body: body.update(format=2), "format 2"),
        (lambda body: body.update(threshold=63), "threshold 63"),
        (lambda body: body.update(rel_diff="up"), "up"),
        (lambda body: body["golden"].update(tolerance=0.5), "tolerance 0.5"),
        (lambda body: _cut(body, 19), "golden rows"),
        (lambda body: body["golden"]["probabilities"].pop(), "golden rows"),
        (lambda body: body["golden"]["probabilities"].__setitem__(0, float("nan")), "not finite"),
        (lambda body: body["window"].update(dtype="int8"), "int8"),
    ],
)
def test_a_passport_that_proves_nothing_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    """Among them: a tolerance so wide, or so few rows, that any model would pass."""
    rewrite(folder, change)
    text = refusal(folder)
    assert words in text
    assert "passport.json can't be used" in text


@pytest.mark.parametrize("text", ["", "{", "[]", "17", '"x"', "\x00", "[" * 100_000])
def test_a_passport_that_is_no_json_is_refused(folder: Path, text: str) -> None:
    (folder / "passport.json").write_text(text)
    assert "can't be used" in refusal(folder)
