"""A Keras model of the first implementation's kind, rebuilt with its scaler inside, so that TFLite serves it.

What goes wrong silently on the way is undone here: a fused LSTM keeps its state from one window to the next,
a dynamic batch fails at run time, a converted function has no weights and answers NaN. It imports TensorFlow,
unpickles nothing, and judges nothing: imported.py does.
"""

import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import: its greetings are not results
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels reorder sums from one machine to the next

import keras
import numpy as np
import tensorflow as tf

from bot.core.forecast import FEATURES, WINDOW_TICKS
from bot.research.dataset import Floats

Model = Any  # keras ships no types
UNROLLED: Final = ("LSTM", "GRU", "SimpleRNN")
PLAIN: Final = (
    *("Conv1D", "Dense", "Flatten", "Dropout", "BatchNormalization", "Activation", "ReLU", "LeakyReLU"),
    *(
        "MaxPooling1D",
        "AveragePooling1D",
        "GlobalAveragePooling1D",
        "GlobalMaxPooling1D",
        "LayerNormalization",
    ),
)


class KerasRefused(ValueError):
    """Why this model can't be taken. Shown to people as it stands."""


def opened(path: Path) -> Model:
    """The model of a `.keras`, `.h5` or `.hdf5` file; no code of the file is run (Keras' safe mode)."""
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise KerasRefused(f"{path}: Keras can't read it ({str(error).splitlines()[0][:200]}).") from error
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    problems = []
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape[1:]) != (WINDOW_TICKS, FEATURES):
        shapes = ", ".join(str(tuple(each.shape)) for each in model.inputs)
        problems.append(f"it takes {shapes}, not one window of {WINDOW_TICKS} ticks × {FEATURES} features")
    if len(model.outputs) != 1 or tuple(model.outputs[0].shape[1:]) != (1,):
        problems.append("it does not answer one number")
    strange = [type(layer).__name__ for layer in layers if type(layer).__name__ not in (*UNROLLED, *PLAIN)]
    if strange:
        problems.append(f"these layers are not known here: {', '.join(dict.fromkeys(strange))}")
    if not isinstance(model, keras.Sequential) and any(
        after.input is not before.output for before, after in pairwise(model.layers)
    ):
        problems.append("its layers are no plain chain")
    if any(getattr(layer, "stateful", False) for layer in layers if type(layer).__name__ in UNROLLED):
        problems.append("it keeps state between windows (stateful), which no bot serves")
    if problems:
        raise KerasRefused(f"{path}: {'; '.join(problems)}.")
    return model


def rebuilt(model: Model, mean: Sequence[float], scale: Sequence[float], batch: int | None) -> Model:
    """The same layers and weights behind (x − mean) / scale, recurrent ones unrolled. Raw windows → [n, 1]"""
    windows = keras.Input((WINDOW_TICKS, FEATURES), batch_size=batch, dtype="float32")
    means, scales = (np.array(each, dtype=np.float32).reshape(1, 1, FEATURES) for each in (mean, scale))
    value = (windows - means) / scales
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in {"InputLayer", "Dropout"}:
            continue
        config = layer.get_config()
        if kind in UNROLLED:
            config["unroll"] = True
        made = type(layer).from_config(config)
        value = made(value)
        made.set_weights(layer.get_weights())
    return keras.Model(windows, value)


def answers(model: Model, windows: Floats) -> Floats:
    """[n, 10, 3] → [n]."""
    said: Floats = model.predict(windows, batch_size=256, verbose=0)[:, 0]
    return said


def converted(model: Model) -> bytes:
    """TFLite with builtin operations alone. `model` has a batch of 1."""
    tf.get_logger().setLevel("ERROR")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    with redirect_stdout(StringIO()):  # it tells of temporary folders
        content: bytes = converter.convert()
    return content
