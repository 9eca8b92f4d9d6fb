"""`bot import-model`: what is refused and why; and, with TensorFlow, that served answers are Keras' own."""

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bot.core.forecast import RelDiff
from bot.research.imported import golden_of, numbers, sequence_of
from bot.research.judgement import signed
from bot.storage.model import load_model
from tests.test_cli import invoke

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-train" / "bin" / "python"
SCALER = ("--mean", "300,0.0,0.0001", "--scale", "150,0.05,0.002")
MODELS = """
import keras
keras.utils.set_random_seed(1)
L, window = keras.layers, keras.Input((10, 3))
def chain(name, *layers):
    keras.Sequential([keras.Input((10, 3)), *layers]).save(name)
def last(): return L.Dense(1, activation="sigmoid")
def first(): return L.Conv1D(16, 3, activation="relu"), L.LSTM(16), L.Dropout(0.2), L.Dense(8, "relu")
chain("first.h5", *first(), last())
chain("first.keras", *first(), last())
chain("logits.keras", L.LSTM(8), L.Dense(1))
chain("constant.keras", L.Flatten(), L.Dense(1, activation="sigmoid", kernel_initializer="zeros"))
keras.Sequential([keras.Input((12, 3)), L.LSTM(8), last()]).save("shape.keras")
keras.Model(window, last()(L.Concatenate()([L.LSTM(4)(window), L.LSTM(4)(window)]))).save("fork.keras")
"""


@pytest.mark.parametrize("name", ["scaler.pkl", "model.joblib", "scaler.pickle"])
def test_a_pickle_is_never_opened_and_it_is_said_how_to_read_its_numbers(tmp_path: Path, name: str) -> None:
    trap = tmp_path / name
    trap.write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    said = invoke("import-model", str(trap), *SCALER, "--out", str(tmp_path / "out"))
    assert "never opened" in said
    assert "mean_" in said
    assert not (tmp_path / "out").exists()


def test_all_that_is_wrong_is_listed_at_once(tmp_path: Path) -> None:
    asked = (
        "import-model",
        str(tmp_path / "a.txt"),
        "--mean",
        "1,2",
        "--scale",
        "1,0,x",
        "--out",
        str(tmp_path),
    )
    said = invoke(*asked)
    assert all(word in said for word in ("a.txt", "--mean 1,2", "--scale 1,0,x"))
    assert "above zero" in invoke(
        "import-model", str(tmp_path / "a.h5"), "--mean", "1,2,3", "--scale", "1,0,1", "--out", str(tmp_path)
    )


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4", "a,b,c", "", "1,2,nan", "1,inf,2"])
def test_three_finite_numbers_are_wanted(text: str) -> None:
    assert numbers(text, "--mean") == ([], numbers(text, "--mean")[1])
    assert "--mean" in numbers(text, "--mean")[1]


def test_the_sequence_repeats_no_window_and_the_sign_is_the_models() -> None:
    windows = sequence_of(RelDiff.ESTIMATE_MINUS_PRICE)
    assert all(not np.array_equal(one, two) for one, two in pairwise(windows))
    ours, theirs = (golden_of(sign) for sign in RelDiff)
    assert np.array_equal(ours[:, :, 2], -theirs[:, :, 2])
    turned = signed(ours, RelDiff.ESTIMATE_MINUS_PRICE)
    estimate = ours[:, :, 0].astype(np.float64) / (1 + ours[:, :, 2].astype(np.float64))
    wanted = (estimate - ours[:, :, 0]) / ours[:, :, 0]
    assert np.allclose(turned[:, :, 2], wanted, atol=1e-7)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PYTHON.exists():
        pytest.skip("TensorFlow is not here (.venv-train): run `make train-env`")
    folder = tmp_path_factory.mktemp("keras")
    subprocess.run([str(PYTHON), "-c", MODELS], cwd=folder, check=True, capture_output=True)
    return folder


def imported(models: Path, name: str, out: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [
        str(PYTHON),
        "-m",
        "bot",
        "import-model",
        str(models / name),
        *SCALER,
        "--out",
        str(out),
        *more,
    ]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "300", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=ROOT, check=False)


@pytest.mark.component
@pytest.mark.parametrize("name", ["first.h5", "first.keras"])
def test_what_is_served_is_what_keras_says_and_the_bot_takes_it(
    models: Path, tmp_path: Path, name: str
) -> None:
    done = imported(models, name, tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = load_model(tmp_path, rel_diff=RelDiff.ESTIMATE_MINUS_PRICE)
    assert loaded.passport.figures["parity_max"] <= 1e-5
    assert loaded.passport.figures["bytes"] <= 200_000
    assert "estimate-minus-price" in done.stdout
    windows = golden_of(RelDiff.ESTIMATE_MINUS_PRICE)
    forth = [loaded.classifier(window[np.newaxis]) for window in windows]
    back = [loaded.classifier(window[np.newaxis]) for window in windows[::-1]][::-1]
    assert forth == back, "no state stays between windows"


@pytest.mark.component
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("logits.keras", "no probability"),
        ("constant.keras", "whatever it sees"),
        ("shape.keras", "12, 3"),
        ("fork.keras", "Concatenate"),
    ],
)
def test_traps_are_named_and_nothing_is_written(models: Path, tmp_path: Path, name: str, words: str) -> None:
    done = imported(models, name, tmp_path / "out")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
