"""The network: scale-free maths and calibration inside the graph, so that serving code can't get them wrong.

Only this file and keras_import.py import TensorFlow. Input is the raw window [price, velocity, rel_diff] of
ten ticks with rel_diff = (ltp − estimate) / estimate; output the probability of the label in `dataset`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import: its greetings are not results
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels reorder sums from one machine to the next

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Final, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import ops

from bot.core.forecast import FEATURES, WINDOW_TICKS
from bot.research.dataset import RISE_BPS, Floats, Tape

HIDDEN: Final = (32, 16)
EPOCHS: Final = 10
BATCH: Final = 1024
DECAY: Final = 1e-4
LEARNING_RATE: Final = 1e-3
CALIBRATION_SHARE: Final = 0.2  # the last fifth of every tape fits the calibration, never the weights
CALIBRATION_TRUST: Final = 0.5  # how far it is followed: one or two days know half of what a third will be
VOLATILITY_JITTER: Final = 2.0
CLIP: Final = 8.0
FLOOR_BPS: Final = 0.5
_MOVED_PER_BPS: Final = 4.0  # a quarter of a basis point counts as a move

Model = Any  # keras ships no types
Doubles = npt.NDArray[np.float64]


class Samples(NamedTuple):
    windows: Floats
    rises: Floats
    weights: Floats


def prepare(seed: int) -> None:
    """Make everything that follows repeatable: one thread, seeded, deterministic kernels."""
    tf.get_logger().setLevel("ERROR")  # it warns of a function made anew for each fold
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def scale_free(windows: Any) -> Any:
    """Raw windows [n, 10, 3] → 50 numbers that don't change when all prices are multiplied by a constant.

    Everything is in basis points of the last estimate and divided by the window's own rms move, so that a
    ₹40 and a ₹900 option, a quiet and a wild minute look alike; how wild it was is one feature beside. The
    clips only bite on impossible windows: whatever comes, the answer is finite.
    """
    price = ops.clip(windows[:, :, 0], 0.01, 1e9)
    velocity, rel_diff = windows[:, :, 1], windows[:, :, 2]
    estimate = price[:, -1:] / ops.clip(1.0 + rel_diff[:, -1:], 1e-3, 1e3)
    rupees = ops.concatenate([price - estimate, velocity, price[:, 1:] - price[:, :-1]], axis=1)
    bps = ops.concatenate([rel_diff, rupees / estimate], axis=1) * 1e4
    bps = ops.clip(bps, -1e5, 1e5)
    moves = bps[:, -(WINDOW_TICKS - 1) :]
    rms = ops.sqrt(ops.mean(moves * moves, axis=1, keepdims=True)) + FLOOR_BPS
    moved = ops.minimum(ops.abs(moves) * _MOVED_PER_BPS, 1.0)
    share = ops.mean(moved, axis=1, keepdims=True)
    return ops.concatenate([ops.clip(bps / rms, -CLIP, CLIP), moved, share, ops.log(rms)], axis=1)


def _layers() -> list[Model]:
    hidden = [
        keras.layers.Dense(units, "relu", kernel_regularizer=keras.regularizers.L2(DECAY)) for units in HIDDEN
    ]
    return [*hidden, keras.layers.Dense(1)]


def _model(layers: Sequence[Model], batch: int | None, *, sigmoid: bool) -> Model:
    windows = keras.Input((WINDOW_TICKS, FEATURES), batch_size=batch, dtype="float32")
    value = keras.layers.Lambda(scale_free)(windows)
    for layer in layers:
        value = layer(value)
    return keras.Model(windows, ops.sigmoid(value) if sigmoid else value)


def fit(tapes: Sequence[Tape], seed: int, recipe: "Recipe | None" = None) -> Model:
    """Train on the first four fifths of each tape, calibrate on the last. Raw windows [n, 10, 3] → [n, 1]."""
    recipe = recipe or Recipe()
    prepare(seed)
    rng = np.random.default_rng(seed)
    halves = [tape.split(1 - CALIBRATION_SHARE) for tape in tapes]
    # Days weigh by the square root of their ticks: five options of one day are not five days.
    per_day: dict[str, int] = {}
    for tape in tapes:
        per_day[tape.day] = per_day.get(tape.day, 0) + len(tape.rises)
    days = [per_day[tape.day] ** -0.5 for tape in tapes]
    study = _join(
        [s for (early, _), day in zip(halves, days, strict=True) for s in recipe.variants(early, day, rng)]
    )
    held_out = _join([_plain(late, day) for (_, late), day in zip(halves, days, strict=True)])
    layers = recipe.layers()
    model = _model(layers, None, sigmoid=False)
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE), loss=keras.losses.BinaryCrossentropy(from_logits=True)
    )
    model.fit(
        study.windows, study.rises, sample_weight=study.weights, epochs=EPOCHS, batch_size=BATCH, verbose=0
    )
    logits = model.predict(held_out.windows, batch_size=8192, verbose=0)[:, 0].astype(np.float64)
    slope, offset = platt(logits, held_out.rises, held_out.weights)
    kernel, bias = layers[-1].get_weights()
    slope, offset = 1 + recipe.calibration_trust * (slope - 1), recipe.calibration_trust * offset
    layers[-1].set_weights([kernel * slope, bias * slope + offset])
    return _model(layers, None, sigmoid=True)


def _plain(tape: Tape, weight: float) -> Samples:
    return Samples(
        tape.windows, tape.rises.astype(np.float32), np.full(len(tape.rises), weight, dtype=np.float32)
    )


def _variants(tape: Tape, weight: float, rng: np.random.Generator) -> list[Samples]:
    """The tape as it was, at another volatility, and at another tempo and volatility.

    One day of five related contracts says little about other days: what differs most between days is how far
    and how often the price moves, and both can be varied without inventing any direction.
    """
    told_anew = tape.at_another_tempo(rng)
    return [_plain(tape, weight), _jittered(tape, weight, rng), _jittered(told_anew, weight, rng)]


def _jittered(tape: Tape, weight: float, rng: np.random.Generator) -> Samples:
    """Every window with all its moves × c, c log-uniform in ½ … 2, the label's rise × c as well.

    The filter is linear in the prices, so that scaling its outputs is what it would have said.
    """
    reach = np.log(VOLATILITY_JITTER)
    factor = np.exp(rng.uniform(-reach, reach, len(tape.rises)))
    windows = tape.windows.astype(np.float64)
    price, velocity, rel_diff = windows[..., 0], windows[..., 1], windows[..., 2]
    estimate = price / (1 + rel_diff)
    anchor, c = estimate[:, -1:], factor[:, None]
    new_price = anchor + c * (price - anchor)
    new_estimate = anchor + c * (estimate - anchor)
    scaled = np.stack([new_price, c * velocity, new_price / new_estimate - 1], axis=-1)
    rises = tape.best_bps * factor >= RISE_BPS
    return Samples(
        scaled.astype(np.float32), rises.astype(np.float32), np.full(len(rises), weight, dtype=np.float32)
    )


class Recipe(NamedTuple):
    """How a model is made. The default is what ships; `benchmarks/model_research.py` tries others."""

    layers: Callable[[], list[Model]] = _layers  # on the 50 numbers of `scale_free`; the last: Dense(1)
    variants: Callable[[Tape, float, np.random.Generator], list[Samples]] = _variants
    calibration_trust: float = CALIBRATION_TRUST


def _join(parts: Sequence[Samples]) -> Samples:
    windows, rises, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Samples(windows, rises, weights / weights.mean())


def platt(logits: Doubles, rises: Floats, weights: Floats) -> tuple[float, float]:
    """(slope, offset) that make σ(slope·logit + offset) the best probability. Newton's method; Platt 1999."""
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    theta = np.array([1.0, 0.0])
    for _ in range(25):
        p = 1 / (1 + np.exp(-(design @ theta)))
        gradient = design.T @ (weights * (p - rises))
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        theta -= np.linalg.solve(hessian, gradient)
    return float(theta[0]), float(theta[1])


def probabilities(model: Model, windows: Floats) -> Floats:
    """[n, 10, 3] → [n], in batches."""
    answers: Floats = model.predict(windows, batch_size=8192, verbose=0)[:, 0]
    return answers


def to_tflite(model: Model) -> bytes:
    """Builtin operations, batch 1. Rebuilt from its layers: a converted *function* of a Keras 3 model has no
    weights and answers NaN without an error, and a dynamic batch fails at run time.
    """
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    converter = tf.lite.TFLiteConverter.from_keras_model(_model(layers, 1, sigmoid=True))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    with redirect_stdout(StringIO()):  # it tells of temporary folders
        content: bytes = converter.convert()
    return content
