"""A frame's way to a probability: ours beside the way of the script that this bot replaces, written afresh.

That script turned each frame into a dictionary (MessageToDict), ran the filter with numpy matrices, and
asked a Keras model (Conv1D, LSTM, Dense) by `predict` for one window at a time. Its half runs in `.venv-
train` (TensorFlow), in a process of its own, between two halves of ours; the weights are random, for only
the time counts. Run: `make bench`.
"""

import json
import os
import pickle
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
THEIRS = ROOT / ".venv-train" / "bin" / "python"
FRAMES, WARM = 2_000, 100
THEIR_FRAMES, THEIR_WARM = 300, 20


def percentiles(values: list[int]) -> dict[str, float]:
    ranked = sorted(values)
    return {f"p{share}_us": round(ranked[len(ranked) * share // 100] / 1000, 1) for share in (50, 99)}


# ---- ours --------------------------------------------------------------------------------------------


def ours(frames: list[tuple[int, bytes]]) -> list[int]:
    """Nanoseconds from bytes to the decision, frame by frame."""
    from benchmarks.decision_path import KEY, MODEL
    from bot.core.engine import Engine
    from bot.core.events import BrokerSnapshot, Event, FeedUp, OrderStreamUp
    from bot.core.forecast import RelDiff
    from bot.core.rules import Contract, RiskRules, Rules
    from bot.core.session import Session
    from bot.storage.model import load_model
    from bot.upstox.wire_market import MarketDecoder

    session = Session.on(date(2026, 9, 16))
    classify = load_model(MODEL, rel_diff=RelDiff.PRICE_MINUS_ESTIMATE).classifier
    contracts = [Contract(KEY, 75, 75, 5, 1800, "NSE")]
    engine = Engine(Rules(risk=RiskRules(entries_per_day=0)), session, contracts, classify, 1)
    decoder, at = MarketDecoder([KEY]), session.open_at
    ready: tuple[Event, ...] = (FeedUp(at, 0), OrderStreamUp(at, 0), BrokerSnapshot(at, 0, 0, (), ()))
    for event in ready:
        engine.handle(event)
    times = []
    for moment, frame in frames:
        began = perf_counter_ns()
        for event in decoder.decode(frame, moment, moment):
            engine.handle(event)
        times.append(perf_counter_ns() - began)
    return times[WARM:]


# ---- the other way, in .venv-train -------------------------------------------------------------------


def numpy_filter() -> Callable[[float], tuple[float, float]]:
    transition, measure = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    process, noise = np.eye(2) * 1e-4, np.array([[1e-2]])
    state, covariance = np.zeros((2, 1)), np.eye(2)

    def update(price: float) -> tuple[float, float]:
        nonlocal state, covariance
        state = transition @ state
        covariance = transition @ covariance @ transition.T + process
        gain = covariance @ measure.T @ np.linalg.inv(measure @ covariance @ measure.T + noise)
        state = state + gain @ (np.array([[price]]) - measure @ state)
        covariance = (np.eye(2) - gain @ measure) @ covariance
        return float(state[0, 0]), float(state[1, 0])

    return update


def theirs(path: Path) -> dict[str, dict[str, float]]:
    import keras
    from google.protobuf.json_format import MessageToDict

    from bot.upstox import market_feed_pb2 as pb

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((10, 3)), layers.Conv1D(32, 3), layers.LSTM(32), layers.Dense(1, "sigmoid")]
    )
    frames: list[tuple[int, bytes]] = pickle.loads(path.read_bytes())  # our parent wrote it
    update, window = numpy_filter(), list[list[float]]()
    times: dict[str, list[int]] = {"dictionary": [], "filter": [], "predict": [], "whole": []}
    for number, (_, frame) in enumerate(frames[: THEIR_FRAMES + THEIR_WARM]):
        began = perf_counter_ns()
        message: Any = MessageToDict(pb.FeedResponse.FromString(frame))
        (feed,) = message["feeds"].values()
        price = feed["fullFeed"]["marketFF"]["ltpc"]["ltp"]
        read = perf_counter_ns()
        estimate, velocity = update(price)
        window = [*window[-9:], [price, velocity, (price - estimate) / price]]
        filtered = perf_counter_ns()
        if len(window) == 10:
            model.predict(np.array([window]), verbose=0)
        ended = perf_counter_ns()
        if number >= THEIR_WARM:
            for name, nanos in zip(
                times, (read - began, filtered - read, ended - filtered, ended - began), strict=True
            ):
                times[name].append(nanos)
    return {name: percentiles(values) for name, values in times.items()}


def main() -> int:
    if len(sys.argv) > 1:  # the child
        sys.stdout.write(json.dumps(theirs(Path(sys.argv[1]))) + "\n")
        return 0
    if not THEIRS.exists():
        sys.stderr.write("TensorFlow is not installed here: `make train-env` brings it. Not compared.\n")
        return 0
    from benchmarks.decision_path import frames as made
    from bot.core.session import Session

    frames = made(Session.on(date(2026, 9, 16)))[: FRAMES + WARM]
    with TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "frames.pickle"
        path.write_bytes(pickle.dumps(frames))
        times = ours(frames)
        sys.stderr.write(f"{THEIR_FRAMES} frames the first way\n")
        done = subprocess.run(
            [str(THEIRS), "-m", "benchmarks.first_way", str(path)],
            cwd=ROOT, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, check=True, capture_output=True,
            text=True,
        )  # fmt: skip
        times += ours(frames)
    other = json.loads(done.stdout.splitlines()[-1])
    mine = percentiles(times)
    result = {
        "ours": mine,
        "first_way": other,
        "times_as_fast_p50": round(other["whole"]["p50_us"] / mine["p50_us"]),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
