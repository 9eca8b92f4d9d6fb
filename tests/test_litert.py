"""The shipped model on LiteRT, tflite-runtime's successor: the same answers to a sequence of windows."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bot.core.forecast import RelDiff
from bot.research.imported import sequence_of
from bot.storage.model import MODEL_FILE, load_model

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-litert" / "bin" / "python"
THEIRS = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model = Interpreter(model_path=sys.argv[1])
model.allocate_tensors()
given, said = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
answers = []
for window in np.load(sys.argv[2]):
    model.set_tensor(given, window[np.newaxis])
    model.invoke()
    answers.append(float(model.get_tensor(said).ravel()[0]))
print(json.dumps(answers))
"""


@pytest.mark.component
def test_both_runtimes_say_the_same(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("LiteRT is not here (.venv-litert): run `make litert-env`")
    model = load_model(ROOT / "models", rel_diff=RelDiff.PRICE_MINUS_ESTIMATE)
    windows = sequence_of(RelDiff.PRICE_MINUS_ESTIMATE)
    np.save(tmp_path / "windows.npy", windows)
    command = [str(PYTHON), "-c", THEIRS, str(ROOT / "models" / MODEL_FILE), str(tmp_path / "windows.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = np.array(json.loads(done.stdout.splitlines()[-1]))
    ours = np.array([model.classifier(window[np.newaxis]) for window in windows])
    assert np.ptp(ours) > 0.1
    assert np.abs(ours - theirs).max() <= 1e-6
